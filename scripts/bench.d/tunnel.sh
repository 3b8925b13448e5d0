# shellcheck shell=bash disable=SC2034,SC2154 # variables of the other parts of scripts/bench
# Subject tunnel: version 2 of tunnels against version 1. The streams of `overlay` are against others.

version() { # version WHO OPTIONS-OF-UP...
  fresh_hosts
  open_hub=1 state_name=$1-
  peer ours "${@:2}"
  unset open_hub state_name
  look_around
  iperf $STREAM_SECONDS -O 2
  record version "$1" "$(gbit_per_s)"
  remove_hosts a b
}

tunnel_round() {
  version ours
  version version_1 --c2c v1 --version1 all
}
