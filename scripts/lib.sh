# shellcheck shell=bash
# What the scripts share. Sourced, not run; the caller stands in the root of the repository.

say() { printf '%s\n' "$*"; }
die() {
  printf '%s: %s\n' "${0##*/}" "$1" >&2
  [ $# -lt 2 ] || printf 'hint: %s\n' "$2" >&2
  exit 1
}

need_root() {
  # shellcheck disable=SC2016 # the user's shell is to expand it
  [ "$EUID" = 0 ] || die "needs root, for network namespaces" 'sudo -E env PATH="$PATH" '"$0"
}

# install_packages NAME...: those of these Debian packages that are missing. Their services are not
# started (openssh-server would).
install_packages() {
  local name missing=() policy=/usr/sbin/policy-rc.d made=
  command -v dpkg-query >/dev/null || die "this is not Debian" "install what corresponds to: $*"
  for name; do
    dpkg-query -W -f '${db:Status-Abbrev}' "$name" 2>/dev/null | grep -q '^ii' || missing+=("$name")
  done
  [ ${#missing[@]} != 0 ] || return 0
  say "installing Debian packages: ${missing[*]}"
  [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy && made=1; }
  local status=0
  { apt-get update -q && DEBIAN_FRONTEND=noninteractive \
    apt-get install -qy --no-install-recommends "${missing[@]}"; } >/tmp/dosp-apt.$$ 2>&1 || status=$?
  [ -z $made ] || rm -f $policy
  [ $status = 0 ] || { tail -n 20 /tmp/dosp-apt.$$ >&2; die "apt-get failed, see /tmp/dosp-apt.$$"; }
  rm -f /tmp/dosp-apt.$$
}

# The oldest Rust that builds this, from Cargo.toml; and the version of the cargo in PATH.
wanted_rust() { sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml; }
cargo_version() { cargo --version 2>/dev/null | awk '{print $2}'; }

cargo_is_new_enough() {
  command -v cargo >/dev/null || return 1
  [ "$(printf '%s\n' "$(wanted_rust)" "$(cargo_version)" | sort -V | head -n 1)" = "$(wanted_rust)" ]
}

# A Rust toolchain where there is none, or only one that is too old (Debian's).
install_rust() {
  PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
  ! cargo_is_new_enough || return 0
  if command -v cargo >/dev/null; then
    say "cargo $(cargo_version) is too old, this needs $(wanted_rust): installing Rust through rustup"
  else
    say "there is no cargo: installing Rust through rustup"
  fi
  local options=(-y --no-modify-path --profile minimal --default-toolchain stable)
  if command -v rustup-init >/dev/null; then
    rustup-init "${options[@]}"
  elif command -v rustup >/dev/null; then
    rustup toolchain install --profile minimal stable
  else
    say "fetching rustup's official installer from sh.rustup.rs"
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- "${options[@]}"
  fi
  hash -r
  cargo_is_new_enough || die "there is still no cargo of at least $(wanted_rust) in PATH" \
    "install it from https://rustup.rs and run this again"
}

# The tools themselves are built with little optimisation: that halves the time on a fresh machine.
cargo_tool() { # cargo_tool NAME VERSION
  ! cargo "${1#cargo-}" --version >/dev/null 2>&1 || return 0
  CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_DEBUG=0 \
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 cargo install --quiet --locked "$1@$2"
}

# Hosts are network namespaces around one called hub, which does not forward:
#   a 198.18.0.2 ─ 198.18.0.1 hub 198.18.1.1 ─ 198.18.1.2 b
# The process id in their names keeps runs apart, and lets the tests remove what a killed run left.
ns() { echo "dosp-$$-$1"; }
in_ns() { ip netns exec "$(ns "$1")" "${@:2}"; } # in_ns HOST COMMAND...

make_hosts() { # make_hosts NAME...: a hub and these hosts
  local i=0 host
  make_host hub
  for host; do
    make_host "$host"
    link_hosts $i hub "$host"
    i=$((i + 1))
  done
}

make_host() { # make_host NAME: it does not forward
  ip netns add "$(ns "$1")"
  in_ns "$1" ip link set lo up
  in_ns "$1" sh -c 'echo 0 >/proc/sys/net/ipv4/ip_forward'
}

link_hosts() { # link_hosts I ONE OTHER: 198.18.I.1 at ONE, to which OTHER, 198.18.I.2, sends everything
  ip link add "to-$3" netns "$(ns "$2")" type veth peer name up0 netns "$(ns "$3")"
  join_ends "$1" "$2" "to-$3" "$3" up0
}

join_ends() { # join_ends I ONE INTERFACE OTHER INTERFACE: the same for interfaces that are there
  in_ns "$2" ip addr add "198.18.$1.1/24" dev "$3"
  in_ns "$2" ip link set "$3" up
  in_ns "$4" ip addr add "198.18.$1.2/24" dev "$5"
  in_ns "$4" ip link set "$5" up
  in_ns "$4" ip route add default via "198.18.$1.1"
}

end_processes() { # end_processes NAME...: all that runs on these hosts, by process id
  local host pids
  for host; do
    for _ in {1..50}; do
      pids=$(ip netns pids "$(ns "$host")" 2>/dev/null) || break
      [ -n "$pids" ] || break
      # shellcheck disable=SC2086 # a list of numbers; some may have ended meanwhile
      kill -KILL $pids 2>/dev/null || true
      sleep 0.1
    done
  done
}

remove_hosts() { # remove_hosts NAME...: with the hub, also when only some were made
  local host
  end_processes "$@" hub
  for host in "$@" hub; do
    rm -rf "/etc/netns/$(ns "$host")"
    ip netns del "$(ns "$host")" 2>/dev/null || true
  done
}

wait_for() { # wait_for WHAT SECONDS COMMAND...: until the command succeeds
  local what=$1 end=$((SECONDS + $2))
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -le $end ] || { printf 'timed out: %s\n' "$what" >&2; return 1; }
    sleep 0.1
  done
}
