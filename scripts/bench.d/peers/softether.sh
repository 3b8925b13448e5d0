# shellcheck shell=bash disable=SC2034,SC2154 # variables of the other parts of scripts/bench
# SoftEther over TLS: Ethernet through one connection a host, switched by the server at the hub.
peer_programs=vpncmd

# Each of its daemons has folders of its own in place of the system's.
softether_on() { # softether_on HOST PROGRAM PORT
  local folders=(/var/lib/softether /run/softether /var/log/softether)
  # What the subject before has made there would be in the way.
  rm -rf "$secret/softether-$1"
  mkdir -p "${folders[@]}" "$secret/softether-$1"
  # shellcheck disable=SC2016 # the inner shell is to expand it
  background "$1" unshare -m sh -c 'own=$1 program=$2; shift 2
    for folder; do mount --bind "$own" "$folder" || exit; done
    exec "/usr/libexec/softether/$program/$program" execsvc' \
    sh "$secret/softether-$1" "$2" "${folders[@]}"
  wait_for "SoftEther listens at $1" 20 in_ns "$1" sh -c "ss -Hltn 'sport = :$3' | grep -q ."
}

# It waits for answers on its input, and says on its output what went wrong.
softether_told() { # softether_told HOST COMMAND-LINE...
  in_ns "$1" timeout 10 vpncmd localhost "${@:2}" </dev/null >>"$log" 2>&1
}

peer_up() {
  local host vip=2
  softether_on hub vpnserver 5555
  softether_told hub /SERVER /CMD HubCreate bench /PASSWORD:bench
  local hub=(/SERVER /PASSWORD: /ADMINHUB:bench /CMD)
  softether_told hub "${hub[@]}" UserCreate user /GROUP:none /REALNAME:none /NOTE:none
  softether_told hub "${hub[@]}" UserPasswordSet user /PASSWORD:bench
  for host in a b; do
    softether_on $host vpnclient 9931
    softether_told $host /CLIENT /CMD NicCreate bench
    softether_told $host /CLIENT /CMD AccountCreate bench "/SERVER:$(hub_of $host):5555" /HUB:bench \
      /USERNAME:user /NICNAME:bench
    softether_told $host /CLIENT /CMD AccountPasswordSet bench /PASSWORD:bench /TYPE:standard
    softether_told $host /CLIENT /CMD AccountDetailSet bench /MAXTCP:1 /INTERVAL:1 /TTL:0 /HALF:no \
      /BRIDGE:no /MONITOR:no /NOTRACK:no /NOQOS:no /DISABLEUDP:yes
    softether_told $host /CLIENT /CMD AccountConnect bench
    wait_for "$host has SoftEther's interface" 20 in_ns $host ip link show vpn_bench
    in_ns $host ip addr add "10.78.0.$vip/24" dev vpn_bench
    in_ns $host ip link set vpn_bench up
    vip=3
  done
  address=10.78.0.3
}
