//! The authorization responses of providers that a browser posts (`response_mode=form_post`), sealed so that the browser can bring
//! them again.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::id::ProviderId;
use domain::{Secret, Timestamp};

use super::{DataKey, UnsealError, Vault};

/// The time for which a sealed response is accepted. The browser follows a redirect immediately; a customer may reload the page
/// that it leads to.
const VALIDITY: Duration = Duration::from_mins(20);
const SALT_LEN: usize = 16;
/// The maximum length of a sealed response. A longer value is not decoded.
const MAX_SEALED_LEN: usize = 6 * 1024;

impl Vault {
    /// Seals a posted response for the callback of a provider. `salt` is random.
    pub fn seal_posted_response(
        &self,
        provider: ProviderId,
        now: Timestamp,
        salt: [u8; SALT_LEN],
        form: &str,
    ) -> Result<String, UnsealError> {
        let text = format!("{}\n{form}", now.millis());
        let sealed = self.posted_response_key(salt).seal(&bind(provider), text.as_bytes())?;
        Ok(URL_SAFE_NO_PAD.encode([&salt[..], &sealed].concat()))
    }

    /// Opens a response that was sealed for the callback of a provider, and returns its form.
    pub fn open_posted_response(
        &self,
        provider: ProviderId,
        now: Timestamp,
        value: &str,
    ) -> Option<Secret<String>> {
        if value.len() > MAX_SEALED_LEN {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(value).ok()?;
        let (salt, sealed) = bytes.split_first_chunk::<SALT_LEN>()?;
        let text = self.posted_response_key(*salt).open_text(&bind(provider), sealed).ok()?;
        let (at, form) = text.expose().split_once('\n')?;
        let at = Timestamp::from_millis(at.parse().ok()?);
        (now < at.plus(VALIDITY)).then(|| Secret::from(form))
    }

    /// Derives the key of one response. Anyone can make the hub seal responses; with a key for each of them, the number of values
    /// that are sealed with one key needs no limit.
    fn posted_response_key(&self, salt: [u8; SALT_LEN]) -> DataKey {
        DataKey::new(self.keys.derive(&format!("posted-response/1\n{}", URL_SAFE_NO_PAD.encode(salt))))
    }
}

fn bind(provider: ProviderId) -> String {
    format!("posted_response\n{provider}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::KeyFile;

    #[test]
    fn posted_response_opens_for_its_provider_and_time_only() {
        let folder = tempfile::tempdir().unwrap();
        let keys = KeyFile::open_or_create(&folder.path().join("keys/file"), || Ok([1; 32])).unwrap();
        let (vault, now) = (Vault::new(keys), Timestamp::from_millis(1_795_500_000_123));
        let provider = ProviderId::new(1);

        let sealed = vault.seal_posted_response(provider, now, [7; SALT_LEN], "code=secret\n").unwrap();

        let open = |provider, now, value: &str| {
            vault
                .open_posted_response(ProviderId::new(provider), now, value)
                .map(|form| form.expose().clone())
        };
        assert_eq!(open(1, now, &sealed).as_deref(), Some("code=secret\n"));
        assert_eq!(open(2, now, &sealed), None);
        assert_eq!(open(1, now.plus(VALIDITY), &sealed), None);
        for altered in [format!("{sealed}AAAA"), sealed.to_lowercase(), String::new(), "A".repeat(9_000)] {
            assert_eq!(open(1, now, &altered), None, "{altered}");
        }
    }
}
