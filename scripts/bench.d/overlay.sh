# shellcheck shell=bash disable=SC2034,SC2154 # variables of the other parts of scripts/bench
# Subject overlay: what each carries between a and b where only the cores are the limit.

# One stream, and what the processes at the hub and at the hosts work meanwhile, in seconds per gigabyte.
stream_and_work() { # stream_and_work WHO
  local hub hosts began gbit gigabytes stream
  iperf $((STREAM_SECONDS + 1)) -O 1 &
  stream=$!
  sleep 2
  hub=$(cpu_seconds hub) hosts=$(cpu_seconds a b) began=$EPOCHREALTIME
  sleep $((STREAM_SECONDS - 1))
  hub=$(awk "BEGIN {print $(cpu_seconds hub) - $hub}")
  hosts=$(awk "BEGIN {print $(cpu_seconds a b) - $hosts}")
  began=$(awk "BEGIN {print $EPOCHREALTIME - $began}")
  wait $stream
  gbit=$(gbit_per_s)
  gigabytes=$(awk "BEGIN {print $gbit / 8 * $began}")
  record stream "$1" "$gbit"
  [ "$1" != plain ] || return 0 # the kernel does it
  record work-hub "$1" "$(awk "BEGIN {print $hub / $gigabytes}")"
  record work-all "$1" "$(awk "BEGIN {print ($hub + $hosts) / $gigabytes}")"
}

# What arrives while the sender sends as fast as it can: most of it does not.
small_packets() { # small_packets WHO
  iperf $SHORT_SECONDS -u -b 0 -l 64
  record small-packets "$1" \
    "$(jq '.end.sum | (.packets - .lost_packets) / .seconds' "$out/iperf.json")"
}

overlay_of() { # overlay_of WHO
  local stream mean p99
  fresh_hosts
  peer "$1"
  look_around
  if [ $carries = ip ]; then
    pings 20 >>"$log"
    read -r mean p99 < <(pings 200)
    record idle-ping "$1" "$mean"
  fi
  stream_and_work "$1"
  iperf $SHORT_SECONDS -O 1 -P 8
  record streams "$1" "$(gbit_per_s)"
  iperf $SHORT_SECONDS -O 1 -R
  record reverse "$1" "$(gbit_per_s)"
  if [ $carries = ip ]; then
    iperf $((SHORT_SECONDS + 1)) &
    stream=$!
    sleep 1
    read -r mean p99 < <(pings $((SHORT_SECONDS * 80)))
    wait $stream
    record busy-ping "$1" "$mean"
    record busy-p99 "$1" "$p99"
    small_packets "$1"
  fi
  remove_hosts a b
}

overlay_round() { each_peer overlay_of; }
