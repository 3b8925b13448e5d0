# shellcheck shell=bash disable=SC2034,SC2154 # variables of the other parts of scripts/bench
# Subject federation: hubs in a line.

# Every hub in a line costs the same cores; 1 KiB is about a packet, 64 KiB what TCP makes of many.
LINE_DATA_LENS="64 1024 65536"
LINE_RATE=200
keys=() # of the hubs

line_hub() { # line_hub NUMBER OPTIONS...
  background hub setsid "$bin/dosp-server" --state "$secret/line-$1" --socket "$secret/line-$1.sock" \
    --listen "127.0.0.1:774$((3 + $1))" --network "7.$1.0.0/24" "${@:2}"
}

line_tells() { "$bin/dosp-server" peers --json --socket "$secret/line-$1.sock" 2>>"$log" | jq "${@:2}"; }

# What a peer has to know of a hub before they are started as peers.
line_keys() {
  local i
  make_hosts
  for i in 1 2 3; do
    line_hub "$i"
    wait_for "hub $i has a key" 20 line_tells "$i" -e .key
    keys[i]=$(line_tells "$i" -r .key)
  done
  remove_hosts
}

line() { # line HUBS: so many in a line, each with a link to the next, and routes to all
  local i j peers
  make_hosts
  for ((i = 1; i <= $1; i++)); do
    peers=()
    for j in $((i - 1)) $((i + 1)); do
      ((j < 1 || j > $1)) ||
        peers+=(--peer "127.0.0.1:774$((3 + j))=7.$j.0.0/24,key=${keys[j]},networks=7.0.0.0/8")
    done
    line_hub "$i" "${peers[@]}"
  done
  for ((i = 1; i <= $1; i++)); do
    wait_for "hub $i has all links and routes" 20 line_tells "$i" -e \
      "all(.peers[]; .state == \"up\") and ([.routes[] | select(.is_best)] | length) == $(($1 - 1))"
  done
}

# Load whose every frame goes from one end of such a line to the other.
line_load() { # line_load HUBS MODE OPTIONS...
  line "$1"
  load "$2" --clients 2 --seconds $FRAMES_SECONDS --to-hub "127.0.0.1:774$((3 + $1))" "${@:3}"
  remove_hosts
}

federation_round() {
  local data_len num_hubs one added
  for data_len in $LINE_DATA_LENS; do
    line_load 1 throughput --bytes "$data_len"
    one=$(loaded .frames_per_s)
    for num_hubs in 2 3; do
      line_load $num_hubs throughput --bytes "$data_len"
      record "line/$data_len/$num_hubs" ours "$(loaded .frames_per_s)"
      record "line/$data_len/$num_hubs" one "$one"
    done
  done
  line_load 1 latency --rate $LINE_RATE
  one=$(loaded .p50_us)
  added=$one
  for num_hubs in 2 3; do
    line_load $num_hubs latency --rate $LINE_RATE
    record "added/$num_hubs" ours "$(loaded ".p50_us - $added")"
    record "added/$num_hubs" one "$one"
    added=$(loaded .p50_us)
  done
}
