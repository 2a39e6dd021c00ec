#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| afterimage::testing::fuzz::frame_decode(data));
