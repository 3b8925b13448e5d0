# shellcheck shell=bash disable=SC2034,SC2154 # variables of the other parts of scripts/bench
# What the subjects of scripts/bench share: hosts, records, and what is measured between a and b.

STREAM_SECONDS=8
SHORT_SECONDS=4
MAX_WAIT_FOR_CALM=10
ticks_per_s=$(getconf CLK_TCK)
noise=0 # cores that others used before what is being measured

record() { # record WHAT WHO FIGURE
  printf '%s\t%s\t%s\t%s\n' "$@" "$noise" >>"$results"
  printf '  %-22s %-14s %s\n' "$@"
}

background() { in_ns "$1" "${@:2}" >>"$log" 2>&1 </dev/null & } # background HOST COMMAND...

# Seconds of work that the machine has done since it started, of everything in it.
work_done() { awk '{print ($2 + $3 + $4) / '"$ticks_per_s"'; exit}' /proc/stat; }

# How many cores are used while we do nothing, in `noise`: waits a while for the machine to be calm.
look_around() {
  local before end=$((SECONDS + MAX_WAIT_FOR_CALM))
  while :; do
    before=$(work_done)
    sleep 1
    noise=$(awk "BEGIN {print $(work_done) - $before}")
    awk "BEGIN {exit !($noise > 0.1)}" && [ $SECONDS -lt $end ] || return 0
  done
}

# TCP uses cubic in all hosts, whatever this machine's default is.
fresh_hosts() {
  make_hosts a b
  use_cubic
}

use_cubic() {
  local host
  for host in hub a b; do
    in_ns $host sh -c 'echo cubic >/proc/sys/net/ipv4/tcp_congestion_control'
  done
}

hub_of() { [ "$1" = a ] && echo 198.18.0.1 || echo 198.18.1.1; } # hub_of HOST: its address there

# Starts who is to be measured on the hosts that are there: sets `address`, where b is reached, and
# `carries`, ip or tcp. With an iperf3 server at b.
peer() { # peer WHO OPTIONS...
  carries=ip
  . "scripts/bench.d/peers/$1.sh"
  peer_up "${@:2}"
  background b iperf3 -s
  wait_for "iperf3 listens" 10 in_ns b sh -c 'ss -Hltn "sport = :5201" | grep -q .'
  [ $carries = tcp ] || wait_for "a way from a to b" 30 in_ns a ping -n -c1 -W1 "$address"
  sleep 1
}

iperf() { # iperf SECONDS OPTIONS...
  in_ns a timeout $(($1 + 20)) iperf3 -c "$address" -t "$1" -J --connect-timeout 5000 "${@:2}" \
    >"$out/iperf.json"
}

gbit_per_s() { jq '.end.sum_received.bits_per_second / 1e9' "$out/iperf.json"; }

# Milliseconds of echoes 10 ms apart: their mean and what one of a hundred exceeds. What got lost does not count.
pings() { # pings COUNT
  in_ns a ping -n -i 0.01 -c "$1" -W 2 "$address" | sed -n 's/.*time=\([0-9.]*\).*/\1/p' | sort -n |
    awk '{sum += $1; ms[NR] = $1} END {if (!NR) exit 1; print sum / NR, ms[int(NR * 0.99 + 0.999)]}'
}

cpu_seconds() { # cpu_seconds HOST...: of all processes there but the load
  local host pids
  for host; do
    pids=$(ip netns pids "$(ns "$host")")
    # shellcheck disable=SC2086 # a list of numbers; some may have ended meanwhile
    for pid in $pids; do cat "/proc/$pid/stat" 2>/dev/null || true; done
  done | awk '!/\((iperf3|ping|timeout|dosp-link)\)/ {sub(/.*\) /, ""); ticks += $12 + $13}
    END {print ticks / '"$ticks_per_s"'}'
}
