//! See `touchpoint_fuzz::inside`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| touchpoint_fuzz::inside(data));
