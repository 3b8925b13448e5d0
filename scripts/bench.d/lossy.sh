# shellcheck shell=bash disable=SC2034,SC2154 # variables of the other parts of scripts/bench
# Subject lossy: one stream and pings over a long link, with loss and without, between a and the hub.

WARM_UP_SECONDS=8
# MBIT-PER-S/RTT-MS/LOSS-PERCENT/BUFFER-BYTES, the same both ways.
LOSSY_LINKS="200/20/0/500000 200/20/0.5/500000 200/20/1/500000 5/160/0/100000"

# Hosts as always, but for the link of a, which is an emulated one.
lossy_hosts() { # lossy_hosts MBIT-PER-S RTT-MS LOSS-PERCENT BUFFER-BYTES
  make_host hub
  make_host a
  make_host b
  link_hosts 1 hub b
  use_cubic
  background hub "$bin/dosp-link" up0 to-a --rate "$1" --delay "$(awk "BEGIN {print $2 / 2}")" \
    --loss "$3" --buffer "$4"
  wait_for "the emulated link" 10 in_ns hub ip link show to-a
  in_ns hub ip link set up0 netns "$(ns a)"
  join_ends 0 hub to-a a up0
  in_ns a ip link set up0 txqueuelen 2000
  in_ns hub ip link set to-a txqueuelen 2000
}

lossy_of() { # lossy_of WHO LINK
  local stream mean p99 link
  IFS=/ read -ra link <<<"$2"
  lossy_hosts "${link[@]}"
  peer "$1"
  # Agents are there for days, and by then know what their link is like.
  iperf $WARM_UP_SECONDS
  look_around
  iperf $((STREAM_SECONDS + 3)) -O 3 &
  stream=$!
  sleep 3
  read -r mean p99 < <(pings $((STREAM_SECONDS * 70)))
  wait $stream
  local what=${2%/*}
  record "long-stream/$what" "$1" "$(jq '.end.sum_received.bits_per_second / 1e6' "$out/iperf.json")"
  record "long-ping/$what" "$1" "$mean"
  record "long-p99/$what" "$1" "$p99"
  remove_hosts a b
}

lossy_round() {
  local link who
  for link in $LOSSY_LINKS; do
    for who in plain ours; do lossy_of $who "$link"; done
  done
}
