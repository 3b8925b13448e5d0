# shellcheck shell=bash disable=SC2034,SC2154 # variables of the other parts of scripts/bench
# No overlay: the hub's kernel forwards IP. The bound of everything that has packets.
peer_programs=
peer_up() {
  in_ns hub sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
  address=198.18.1.2
}
