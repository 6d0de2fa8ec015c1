//! Responses of providers: a parsed value that is serialized and parsed again stays the same.
#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn assert_round_trip<T: DeserializeOwned + fdx::Shaped + Serialize + PartialEq + Debug>(text: &[u8]) {
    if let Ok(parsed) = fdx::parse::<T>(text) {
        let serialized = serde_json::to_vec(&parsed.value).expect("a parsed value can be serialized");
        let again = fdx::parse::<T>(&serialized).expect("a serialized value can be parsed");
        assert_eq!((&again.value, again.dropped), (&parsed.value, 0));
    }
}

fuzz_target!(|text: &[u8]| {
    assert_round_trip::<fdx::Accounts>(text);
    assert_round_trip::<fdx::Transactions>(text);
    assert_round_trip::<fdx::Customer>(text);
    assert_round_trip::<fdx::Statements>(text);
    assert_round_trip::<fdx::PaymentNetworks>(text);
    assert_round_trip::<fdx::AccountContact>(text);
    assert_round_trip::<fdx::ErrorBody>(text);
    if let Ok(parsed) = fdx::v6::parse::<fdx::Accounts>(text) {
        let serialized = fdx::v6::write(&parsed.value).expect("a parsed value can be serialized").to_string();
        let again =
            fdx::v6::parse::<fdx::Accounts>(serialized.as_bytes()).expect("a serialized value can be parsed");
        assert_eq!((&again.value, again.dropped), (&parsed.value, 0));
    }
});
