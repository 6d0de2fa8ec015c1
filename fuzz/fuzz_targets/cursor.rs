//! Paging cursors: a text that was not sealed with the key is rejected, and a sealed text that is no cursor does not panic.
#![no_main]

use std::sync::LazyLock;

use bowline::paging::open_cursor;
use bowline::vault::DataKey;
use domain::{Secret, Timestamp};
use libfuzzer_sys::fuzz_target;

static KEY: LazyLock<DataKey> = LazyLock::new(|| DataKey::new(Secret::new([1; 32])));

fuzz_target!(|input: (&str, &str, &[u8])| {
    let (list, text, plain) = input;
    let now = Timestamp::from_seconds(1_709_146_734);
    assert_eq!(open_cursor(&KEY, list, text, now), None, "a forged cursor must be rejected");
    // A forged text never opens, so only a sealed one reaches the parser of the content.
    let sealed = KEY.seal(list, plain).expect("sealing succeeds");
    let _ = open_cursor(&KEY, list, &encode_base64url(&sealed), now);
});

/// Encodes bytes in base64url without padding.
fn encode_base64url(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().enumerate().fold(0_u32, |bits, (at, byte)| bits | u32::from(*byte) << (16 - 8 * at));
        for at in 0..=chunk.len() {
            text.push(char::from(LETTERS[(bits >> (18 - 6 * at) & 63) as usize]));
        }
    }
    text
}
