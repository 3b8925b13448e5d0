# shellcheck shell=bash disable=SC2034,SC2154 # variables of the other parts of scripts/bench
# Subject members: nodes that join a closed hub at once, and come back.

NUM_MEMBERS=1000
NUM_MEMBERS_BACK=500

# A network of its own, whose hub the load starts and ends.
members() { # members CLIENTS OPTIONS-OF-LOAD...
  local hub=("$bin/dosp-server" --config "$secret/hub.toml" --state "$secret/hub") join
  rm -rf "$secret/hub" "$secret/hub.toml"
  "${hub[@]}" init --network 10.7.0.0/16 --advertise 127.0.0.1 >>"$log" 2>&1
  join=$("${hub[@]}" invite --uses "$1" 2>>"$log")
  make_hosts
  load members --clients "$1" --join "${join##* }" "${@:2}" -- "${hub[@]}" --listen 127.0.0.1:7744 \
    --socket "$secret/hub.sock" 2>>"$log"
  remove_hosts
}

members_round() {
  members $NUM_MEMBERS
  record "enter/$NUM_MEMBERS" ours "$(loaded .seconds_to_join)"
  record "enters/$NUM_MEMBERS" ours "$(loaded .joins_per_s)"
  record "member/$NUM_MEMBERS" ours "$(loaded .anon_kib_per_member)"
  members $NUM_MEMBERS_BACK --restart
  record "return/$NUM_MEMBERS_BACK" ours "$(loaded .seconds_to_return)"
}
