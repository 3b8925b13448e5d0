# shellcheck shell=bash disable=SC2034,SC2154 # variables of the other parts of scripts/bench
# OpenVPN over TCP: the hub is its server, opens and seals every packet and passes it on.
peer_programs=openvpn
tun_mtu=1500

openvpn_on() { # openvpn_on HOST OPTIONS...
  background "$1" openvpn --dev tun --topology subnet --tun-mtu "$tun_mtu" --data-ciphers AES-256-GCM \
    --tcp-nodelay --mssfix 0 --ca "$secret/ca.crt" --cert "$secret/$1.crt" --key "$secret/$1.key" "${@:2}"
}

peer_up() {
  [ -e "$secret/ca.crt" ] || certificates
  openvpn_on hub --dh none --proto tcp-server --mode server --tls-server \
    --server 10.78.0.0 255.255.255.0 --client-to-client --keepalive 10 60
  wait_for "OpenVPN listens" 20 in_ns hub sh -c 'ss -Hltn "sport = :1194" | grep -q .'
  local host
  for host in a b; do
    openvpn_on $host --client --proto tcp-client --nobind --remote "$(hub_of $host)" 1194
    wait_for "$host has an address" 20 in_ns $host sh -c 'ip -o -4 addr show | grep -q 10.78.0'
  done
  address=$(in_ns b ip -o -4 addr show | awk '/10\.78\.0/ {sub("/.*", "", $4); print $4}')
}

certificates() { # a CA and a certificate each, for this run only
  local name new=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
  openssl req -x509 "${new[@]}" -days 2 -subj /CN=ca -keyout "$secret/ca.key" -out "$secret/ca.crt"
  for name in hub a b; do
    openssl req "${new[@]}" -subj /CN=$name -keyout "$secret/$name.key" -out "$secret/$name.csr"
    openssl x509 -req -in "$secret/$name.csr" -days 2 -CA "$secret/ca.crt" -CAkey "$secret/ca.key" \
      -CAcreateserial -out "$secret/$name.crt"
  done
} >>"$log" 2>&1
