# shellcheck shell=bash disable=SC2034,SC2154 # variables of the other parts of scripts/bench
# The same OpenVPN with a TUN that lets packets of 48,000 bytes through: as far as tuning gets it.
. scripts/bench.d/peers/openvpn.sh
tun_mtu=48000
