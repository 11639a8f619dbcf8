//! See `touchpoint_fuzz::template`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| touchpoint_fuzz::template(data));
