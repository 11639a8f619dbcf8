//! See `touchpoint_fuzz::playbook`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| touchpoint_fuzz::playbook(data));
