# shellcheck shell=bash disable=SC2034,SC2154 # variables of the other parts of scripts/bench
# Subject scale: idle clients.

# The published server keeps a thread for each client, and fewer of them.
NUM_IDLE=10000
NUM_IDLE_PYTHON=2000

idle() { # idle WHO CLIENTS
  load idle --clients "$2" --pid "$(ip netns pids "$(ns hub)")"
  record joins "$1" "$(loaded .connects_per_s)"
  record memory "$1" "$(loaded '.rss_bytes_per_client / 1024')"
  remove_hosts
}

scale_round() {
  hub_ours --network 10.7.0.0/16 --max-clients $((NUM_IDLE + 100))
  idle ours $NUM_IDLE
  hub_python_unlimited
  idle python $NUM_IDLE_PYTHON
}
