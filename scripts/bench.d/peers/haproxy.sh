# shellcheck shell=bash disable=SC2034,SC2154 # variables of the other parts of scripts/bench
# A relay of bytes, without TUN and cipher, for connections to iperf3's port: the bound of a hub on TCP.
peer_programs=haproxy
peer_up() {
  address=$(hub_of a) carries=tcp
  cat >"$secret/haproxy.cfg" <<CONFIG
defaults
  mode tcp
  timeout connect 5s
  timeout client 1m
  timeout server 1m
listen relay
  bind $address:5201
  server b 198.18.1.2:5201
CONFIG
  background hub haproxy -db -f "$secret/haproxy.cfg"
  wait_for "haproxy listens" 10 in_ns hub sh -c 'ss -Hltn "sport = :5201" | grep -q .'
}
