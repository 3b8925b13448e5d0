# shellcheck shell=bash disable=SC2034,SC2154 # variables of the other parts of scripts/bench
# EasyTier over TCP, end to end: a node at the hub relays, and the others may not look for another way.
peer_programs=easytier-core
easytier_on() { # easytier_on HOST VIP OPTIONS...
  background "$1" easytier-core --network-name bench --network-secret bench --disable-p2p \
    --disable-ipv6 --console-log-level warn --ipv4 "$2" --dev-name easytier0 --hostname "$1" \
    --instance-name "$1" "${@:3}"
  wait_for "$1 has EasyTier's interface" 20 in_ns "$1" ip link show easytier0
}

peer_up() {
  easytier_on hub 10.78.0.1 --listeners tcp://0.0.0.0:11010
  easytier_on a 10.78.0.2 --no-listener --peers "tcp://$(hub_of a):11010"
  easytier_on b 10.78.0.3 --no-listener --peers "tcp://$(hub_of b):11010"
  address=10.78.0.3
}
