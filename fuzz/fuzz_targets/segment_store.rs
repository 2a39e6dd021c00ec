#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| afterimage::testing::fuzz::segment_store(data));
