# shellcheck shell=bash disable=SC2034,SC2154 # variables of the other parts of scripts/bench
# Subject hub: frames per second against a relay that looks at nothing, and what a frame costs as the
# number of clients grows.

# As long as a frame's cost of a few µs takes to be read to a few percent in ticks of 10 ms.
GROWTH_SECONDS=4
# DATA_LEN/FEW/MANY/RATE: the same frames per second from few clients and from many.
GROWTHS="65536/2/1000/2000 1400/200/1000/20000"

hub_relay() { loopback_hub "$bin/dosp-load" relay 127.0.0.1:7744 --clients "$1"; } # hub_relay CLIENTS

relayed() { # relayed WHO CLIENTS
  if [ "$1" = relay ]; then hub_relay "$2"; else hub_ours; fi
  load throughput --bytes 1400 --clients "$2" --seconds $FRAMES_SECONDS
  record "relayed/$2" "$1" "$(loaded .frames_per_s)"
  remove_hosts
}

growth() { # growth DATA_LEN CLIENTS RATE
  hub_ours --network 10.7.0.0/16 --max-clients 1100
  load latency --bytes "$1" --clients "$2" --rate "$3" --seconds $GROWTH_SECONDS \
    --pid "$(ip netns pids "$(ns hub)")"
  remove_hosts
}

hub_round() {
  local num_clients data_len few many rate one
  for num_clients in 2 16; do
    relayed ours $num_clients
    relayed relay $num_clients
  done
  for one in $GROWTHS; do
    IFS=/ read -r data_len few many rate <<<"$one"
    growth "$data_len" "$few" "$rate"
    record "growth/$data_len/$many" few "$(loaded .cpu_us_per_frame)"
    growth "$data_len" "$many" "$rate"
    record "growth/$data_len/$many" ours "$(loaded .cpu_us_per_frame)"
  done
}
