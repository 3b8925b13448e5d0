# shellcheck shell=bash disable=SC2034,SC2154 # variables of the other parts of scripts/bench
# Subject frames, and the hub that other subjects load, too.

FRAMES_SECONDS=2
NUM_CLIENTS="2 16 100"
DATA_LENS="64 1400 65536"

# A hub that listens on the loopback of a namespace and knows of no client yet. In a session of its
# own: on a busy machine the kernel shares the cores among sessions, not among threads, of which the
# published server has one for each client.
loopback_hub() { # loopback_hub COMMAND...
  make_hosts
  background hub setsid "$@"
  wait_for "the hub listens" 20 in_ns hub sh -c 'ss -Hltn "sport = :7744" | grep -q .'
}

hub_ours() { loopback_hub "$bin/dosp-server" --listen 127.0.0.1:7744 "$@"; }
hub_python() {
  loopback_hub "$out/venv/bin/python" -m dosp --serve --host 127.0.0.1 --port 7744
}
# The same server without its limit of 256 clients, which no option and no variable sets.
hub_python_unlimited() {
  loopback_hub "$out/venv/bin/python" -c \
    'from dosp import DoSP; DoSP(host="127.0.0.1", port=7744, max_clients=0).start()'
}

load() { in_ns hub "$bin/dosp-load" "$1" 127.0.0.1:7744 "${@:2}" >"$out/load.json"; }
loaded() { jq "$1" "$out/load.json"; } # loaded FIELD: of the last load

# Every run has a hub of its own: one that was flooded goes on with what is in its sockets.
throughput() { # throughput WHO DATA_LEN CLIENTS
  "hub_$1"
  load throughput --bytes "$2" --clients "$3" --seconds $FRAMES_SECONDS
  record "frames/$2/$3" "$1" "$(loaded .frames_per_s)"
  remove_hosts
}

latency() { # latency WHO DATA_LEN CLIENTS RATE
  "hub_$1"
  load latency --bytes "$2" --clients "$3" --rate "$4" --seconds $FRAMES_SECONDS
  record "p50/$2/$3" "$1" "$(loaded .p50_us/1000)"
  record "p99/$2/$3" "$1" "$(loaded .p99_us/1000)"
  remove_hosts
}

frames_round() {
  local data_len num_clients rate
  for data_len in $DATA_LENS; do
    for num_clients in $NUM_CLIENTS; do
      throughput ours "$data_len" "$num_clients"
      throughput python "$data_len" "$num_clients"
      rate=$(loaded '.frames_per_s * 0.8 | floor')
      latency python "$data_len" "$num_clients" "$rate"
      latency ours "$data_len" "$num_clients" "$rate"
    done
  done
}
