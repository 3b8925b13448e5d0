# shellcheck shell=bash
# scripts/demo federation: two sites, each with a hub and a host of its own. Sourced by scripts/demo.

hub_at() { # hub_at SITE ARGS...: dosp-server there
  in_ns "$1" "$bin/dosp-server" --config "$work/$1.toml" --socket "$work/$1.sock" \
    --state "$work/$1.state" "${@:2}"
}

# A hub reaches the other one and its own host, a host only its own hub:
#   a 198.18.1.2 ─ .1 paris 198.18.0.1 ─ 198.18.0.2 berlin 198.18.2.1 ─ .2 b
make_sites() {
  begin "two sites: a hub and a host each; the hosts reach only their own hub"
  local host
  for host in paris berlin a b; do make_host "$host"; done
  link_hosts 0 paris berlin
  link_hosts 1 paris a
  link_hosts 2 berlin b
  for host in paris berlin a b; do mkdir -p "/etc/netns/$(ns "$host")"; done
  names_at paris "198.18.0.2 berlin.example.org"
  names_at berlin "198.18.0.1 paris.example.org"
  names_at a "198.18.1.1 paris.example.org"
  names_at b "198.18.2.1 berlin.example.org"
  ! in_ns a ping -c1 -W1 198.18.2.2 >/dev/null 2>&1 || die "the hosts reach each other without us"
}

names_at() { printf '127.0.0.1 localhost\n%s\n' "$2" >"/etc/netns/$(ns "$1")/hosts"; }

start_site() { # start_site SITE NETWORK PEER
  hub_at "$1" init --name "$1" --network "$2" --advertise "$1.example.org" \
    >"$work/$1.init" 2>"$work/$1-init.log"
  hub_at "$1" --peer "$3" >"$work/$1.log" 2>&1 &
}

link_sites() {
  begin "a hub at each site, each with the other for a peer"
  start_site paris 10.77.0.0/24 berlin.example.org=10.78.0.0/24
  start_site berlin 10.78.0.0/24 paris.example.org=10.77.0.0/24
  wait_for "the hubs are linked" 20 sites_are_linked
  hub_at paris peers >"$work/peers.out"
  cat "$work/peers.out"
  proved "dosp-server --peer: the hubs of paris and berlin know each other's key, and share one link"
}

sites_are_linked() {
  hub_at paris peers | grep -q '^berlin .* up, ' && hub_at berlin peers | grep -q '^paris .* up, '
}

host_up() { # host_up HOST SITE NAME
  agent "$1" join "$(hub_at "$2" invite --name "$3" 2>>"$work/invite.log")" 2>"$work/$1-join.log"
  agent "$1" up >"$work/$1.log" 2>&1 &
  wait_for "host $1 joins" 20 agent "$1" ip
}

start_hosts() {
  begin "a host at each site"
  host_up a paris alice
  host_up b berlin bob
  vip_b=$(agent b ip 2>/dev/null)
  wait_for "a knows bob" 20 in_ns a getent hosts bob.berlin.dosp
  wait_for "b knows alice" 20 in_ns b getent hosts alice.paris.dosp
  proved "alice at paris, $(agent a ip 2>/dev/null), and bob at berlin, $vip_b, know each other by name"
}

show_ping_across() {
  begin "ping across both hubs"
  in_ns a ping -n -c 5 -i 0.2 -W 2 bob.berlin.dosp >"$work/ping.log"
  in_ns b ping -n -c 5 -i 0.2 -W 2 alice.paris.dosp >>"$work/ping.log"
  [ "$(grep -c ' 0% packet loss' "$work/ping.log")" = 2 ]
  proved "ping bob.berlin.dosp: $(awk -F/ '/^rtt/ {print $5; exit}' "$work/ping.log") ms"
  agent a ping -c 3 bob.berlin >"$work/agent-ping.out" 2>"$work/agent-ping.log"
  cat "$work/agent-ping.out"
  grep -q 'berlin' "$work/agent-ping.out"
  proved "dosp-agent ping bob.berlin: through the tunnel, and how many hubs lie between"
}

# The hub of the other site ends; who sends is told that, and all is well when it is back.
show_outage() {
  begin "the other site's hub ends, and is back"
  local pids
  pids=$(ip netns pids "$(ns berlin)")
  # shellcheck disable=SC2086 # a list of numbers
  kill $pids
  wait_for "paris knows" 10 eval '! sites_are_linked'
  hub_at berlin --peer paris.example.org=10.77.0.0/24 >>"$work/berlin.log" 2>&1 &
  wait_for "ping is back" 30 in_ns a ping -n -c 1 -W 1 bob.berlin.dosp
  proved "berlin's hub ended and came back: so did the link, and ping"
}

show_federation() {
  make_sites
  link_sites
  start_hosts
  show_ping_across
  show_ssh_across
  show_outage
}

show_ssh_across() {
  begin "ssh across both hubs"
  vip_a=$(agent a ip 2>/dev/null)
  start_sshd
  local seen
  # shellcheck disable=SC2016 # the other host's shell is to expand it
  seen=$(in_ns a ssh "${ssh_options[@]}" root@bob.berlin.dosp 'echo "$SSH_CONNECTION"' \
    2>"$work/ssh.log")
  [ "${seen%% *}" = "$vip_a" ]
  proved "ssh bob.berlin.dosp: $vip_b sees a login from $vip_a"
}
