#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| afterimage::testing::fuzz::slice_decode(data));
