//! Access tokens: what we did not sign is refused, whatever it looks like.
#![no_main]

use std::sync::LazyLock;

use domain::jose::AccessTokenKeys;
use domain::{Secret, Timestamp};
use libfuzzer_sys::fuzz_target;

static KEYS: LazyLock<AccessTokenKeys> =
    LazyLock::new(|| AccessTokenKeys::new("https://hub.example", ("k", &Secret::new([1; 32])), &[]));

/// The header of our own tokens, so that what comes behind it is looked at.
const HEADER: &str = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJIUzI1NiIsImtpZCI6ImsifQ";

fuzz_target!(|text: &str| {
    let now = Timestamp::from_seconds(1_709_146_734);
    for token in [text.to_owned(), format!("{HEADER}.{text}")] {
        assert!(KEYS.verify(&token, now).is_err(), "a forged token is taken: {token}");
    }
});
