# shellcheck shell=bash disable=SC2034,SC2154 # variables of the other parts of scripts/bench
# Subject crypto: sealing and opening.

# Both in one process, one after the other. The figures are nanoseconds a frame.
crypto_round() {
  local what who data_len
  CRITERION_HOME="$out/../criterion" cargo bench --quiet --locked -p dosp-proto --bench tunnel -- \
    --noplot --warm-up-time 1 --measurement-time 2 '^(seal|open)/(aead|v2)/' >>"$log" 2>&1
  for what in seal open; do
    for data_len in $DATA_LENS; do
      for who in ours aead; do
        record "$what/$data_len" $who "$(jq .median.point_estimate \
          "$out/../criterion/$what/${who/ours/v2}/$data_len/new/estimates.json")"
      done
    done
  done
}
