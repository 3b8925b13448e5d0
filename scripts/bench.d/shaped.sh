# shellcheck shell=bash disable=SC2034,SC2154 # variables of the other parts of scripts/bench
# Subject shaped: how long a ping takes while streams fill a link of 100 Mbit/s on either side of the hub.

# The qdisc of the link's both ends: what is sent into it waits there.
shape() { # shape HOST INTERFACE
  in_ns "$1" tc qdisc add dev "$2" root tbf rate 100mbit burst 128kb limit 512kb
}

shaped_of() { # shaped_of WHO SIDE
  local stream mean p99
  [ "$1" != haproxy ] || return 0 # it carries no pings
  fresh_hosts
  shape hub "to-$2"
  shape "$2" up0
  peer "$1"
  look_around
  iperf $((SHORT_SECONDS + 2)) -O 2 -P 4 &
  stream=$!
  sleep 2
  read -r mean p99 < <(pings $((SHORT_SECONDS * 80)))
  wait $stream
  record "full-stream/$2" "$1" "$(jq '.end.sum_received.bits_per_second / 1e6' "$out/iperf.json")"
  record "full-ping/$2" "$1" "$mean"
  record "full-p99/$2" "$1" "$p99"
  remove_hosts a b
}

shaped_round() {
  local side
  for side in a b; do each_peer shaped_of $side; done
}
