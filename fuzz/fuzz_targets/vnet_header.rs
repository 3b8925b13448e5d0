#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| dosp_fuzz::vnet_header::run(input));
