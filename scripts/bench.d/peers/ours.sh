# shellcheck shell=bash disable=SC2034,SC2154 # variables of the other parts of scripts/bench
# This project, as the README sets it up: a closed network, whose members join with a string each.
# Version 1 of tunnels exists on open hubs only: `open_hub` asks for one. Who was met in version 2 is never
# met in version 1 again, so `state_name` has states apart.
peer_programs=

peer_up() { # peer_up OPTIONS-OF-UP...
  local host
  # shellcheck disable=SC2206 # options, split at spaces
  local server_options=(--listen 0.0.0.0:7744 ${DOSP_SERVER_OPTIONS:-}) server=("$bin/dosp-server")
  if [ -n "${open_hub:-}" ]; then
    server_options+=(--network 10.78.0.0/24)
  else
    rm -rf "$secret"/ours*
    server+=(--config "$secret/ours.toml" --state "$secret/ours-hub" --socket "$secret/ours-hub.sock")
    "${server[@]}" init --network 10.78.0.0/24 --advertise 198.18.0.1 \
      --advertise 198.18.1.1 >>"$log" 2>&1
  fi
  background hub "${server[@]}" "${server_options[@]}"
  wait_for "the hub listens" 20 in_ns hub sh -c 'ss -Hltn "sport = :7744" | grep -q .'
  for host in a b; do ours_up $host "$@"; done
}

ours_up() { # ours_up HOST OPTIONS-OF-UP...
  local agent hub=()
  agent=("$bin/dosp-agent" --socket "$secret/$1.sock" --state "$secret/ours-${state_name:-}$1")
  if [ -n "${open_hub:-}" ]; then
    hub=("$(hub_of "$1")")
  else
    "${agent[@]}" join "$("${server[@]}" invite --name "$1" 2>>"$log")" 2>>"$log"
  fi
  # shellcheck disable=SC2086
  background "$1" "${agent[@]}" up "${hub[@]}" --no-hosts ${DOSP_UP_OPTIONS:-} "${@:2}"
  wait_for "$1 joins" 20 in_ns "$1" "${agent[@]}" ip
  address=$(in_ns "$1" "${agent[@]}" ip 2>>"$log")
}
