//! A provider's answers: what is read is written so that it reads the same again.
#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn stays<T: DeserializeOwned + Serialize + PartialEq + Debug>(text: &[u8]) {
    if let Ok(read) = fdx::parse::<T>(text) {
        let written = serde_json::to_vec(&read.value).expect("it can be written");
        let again = fdx::parse::<T>(&written).expect("it can be read again");
        assert_eq!((&again.value, again.dropped), (&read.value, 0));
    }
}

fuzz_target!(|text: &[u8]| {
    stays::<fdx::Accounts>(text);
    stays::<fdx::Transactions>(text);
    stays::<fdx::Customer>(text);
    stays::<fdx::Statements>(text);
    stays::<fdx::PaymentNetworks>(text);
    stays::<fdx::AccountContact>(text);
    stays::<fdx::ErrorBody>(text);
    for read in [fdx::v6::parse::<fdx::Accounts>(text)].into_iter().flatten() {
        let written = fdx::v6::write(&read.value).expect("it can be written").to_string();
        let again = fdx::v6::parse::<fdx::Accounts>(written.as_bytes()).expect("it can be read again");
        assert_eq!((&again.value, again.dropped), (&read.value, 0));
    }
});
