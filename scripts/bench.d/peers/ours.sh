# shellcheck shell=bash disable=SC2034,SC2154 # variables of the other parts of scripts/bench
# This project. Who was met in version 2 of tunnels is never met in version 1 again, so whoever wants
# version 1 sets `state_name` to have states apart.
peer_programs=
peer_up() { # peer_up OPTIONS-OF-UP...
  local host agent
  # shellcheck disable=SC2086 # options, split at spaces
  background hub "$bin/dosp-server" --listen 0.0.0.0:7744 --network 10.78.0.0/24 ${DOSP_SERVER_OPTIONS:-}
  wait_for "the hub listens" 20 in_ns hub sh -c 'ss -Hltn "sport = :7744" | grep -q .'
  for host in a b; do
    agent=("$bin/dosp-agent" --socket "$secret/$host.sock" --state "$secret/${state_name:-ours}-$host")
    # shellcheck disable=SC2086
    background $host "${agent[@]}" up "$(hub_of $host)" ${DOSP_UP_OPTIONS:-} "$@"
    wait_for "$host joins" 20 in_ns $host "${agent[@]}" ip
  done
  address=$(in_ns b "${agent[@]}" ip 2>>"$log")
}
