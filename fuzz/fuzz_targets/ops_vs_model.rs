#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| afterimage::testing::fuzz::ops_vs_model(data));
