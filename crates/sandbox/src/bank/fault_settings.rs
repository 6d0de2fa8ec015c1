//! The settings of fault injection: how a bank misbehaves at the moment.

use fdx::Amount;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::profile::BankProfile;
use super::token_faults::{RevocationBehavior, TokenResponseFault};

const MAX_LATENCY_MS: u64 = 60_000;
const MAX_CLOCK_SKEW_SECS: u64 = 366 * 86_400;

/// The fault settings of a bank. The body of a `PUT` request may contain only some of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "the faults are independent of each other")]
pub struct FaultSettings {
    /// The delay of every OAuth and FDX response in milliseconds.
    pub latency_ms: u64,
    /// The status of failing OAuth and FDX calls: 500 or 503; none if calls do not fail.
    pub fail: Option<u16>,
    /// The share of calls that fail, from 0 to 1, spread evenly.
    pub fail_share: Amount,
    /// The availability of the token endpoint.
    pub token_endpoint: EndpointStatus,
    /// The response of the token endpoint to requests that it has processed.
    pub token_response: TokenResponseFault,
    /// The behavior of the revocation endpoint.
    pub revoke: RevocationBehavior,
    /// Every refresh returns a new refresh token and invalidates the old one.
    pub rotate_refresh: bool,
    /// Every refresh fails with `invalid_grant`.
    pub invalid_grant_to_all: bool,
    /// Every OAuth and FDX call fails with 429.
    pub rate_limited: bool,
    /// The number of seconds by which the bank's clock is ahead of the real time.
    pub clock_skew_s: i64,
    /// FDX responses are delayed until this setting is false again.
    pub hold: bool,
    /// The behavior of the FDX API.
    pub data: DataFault,
    /// The number of days before which the bank has no data and responds with 702; none if there is no limit.
    pub history_days: Option<u16>,
}

/// The availability of the token endpoint, as a fault setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointStatus {
    /// The endpoint works normally.
    Up,
    /// The endpoint responds with 503.
    Down,
}

macro_rules! data_faults {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)+) => {
        /// The behavior of the FDX API, as a fault setting.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum DataFault { $($(#[$doc])* $name),+ }

        impl DataFault {
            pub(super) const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Returns the value in JSON and in the form of the fault injection page.
            pub(super) const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

data_faults! {
    /// Responds normally.
    Normal = "normal",
    /// Pages have null instead of their position and links.
    NullPage = "null_page",
    /// Lists are null.
    NullList = "null_list",
    /// Responses have no list.
    MissingList = "missing_list",
    /// Lists begin with null, and each element has a field of another type.
    OddElements = "odd_elements",
    /// Only the link to the next page has its offset.
    LinkOnly = "link_only",
    /// Every page has the same position of the next one.
    SamePage = "same_page",
    /// The parameter `limit` is ignored.
    IgnoreLimit = "ignore_limit",
    /// The dates of the request are ignored.
    IgnoreDates = "ignore_dates",
    /// Responds with 200 and the description of an error.
    ErrorBody = "error_body",
    /// Responds with 200 and a page of a gateway.
    Html = "html",
    /// Declares a `Content-Encoding` that was not asked for.
    Encoded = "encoded",
    /// Responds with 403 without an FDX code.
    Forbidden = "forbidden",
    /// Responds with 410 without an FDX code.
    Gone = "gone",
    /// Responds with 503 and `Retry-After` in seconds.
    RetrySeconds = "retry_seconds",
    /// Responds with 503 and `Retry-After` as a date.
    RetryDate = "retry_date",
}

impl Default for FaultSettings {
    fn default() -> Self {
        Self {
            latency_ms: 0,
            fail: None,
            fail_share: Amount(Decimal::ONE),
            token_endpoint: EndpointStatus::Up,
            token_response: TokenResponseFault::Normal,
            revoke: RevocationBehavior::Ok,
            rotate_refresh: false,
            invalid_grant_to_all: false,
            rate_limited: false,
            clock_skew_s: 0,
            hold: false,
            data: DataFault::Normal,
            history_days: None,
        }
    }
}

impl FaultSettings {
    /// Returns the settings that a bank with this profile starts with.
    pub(super) fn for_profile(profile: &BankProfile) -> Self {
        Self { rotate_refresh: profile.rotates_refresh_tokens, ..Self::default() }
    }

    /// Returns these settings with some of them replaced. The error names the first invalid setting.
    pub(super) fn with_changes(&self, changes: &Value) -> Result<Self, String> {
        let changes = changes.as_object().ok_or("the body must be a JSON object of fault settings")?;
        let updated =
            changes.iter().try_fold(self.clone(), |all, (name, value)| all.with_value(name, value))?;
        match updated.find_invalid() {
            Some(error) => Err(error),
            None => Ok(updated),
        }
    }

    fn with_value(&self, name: &str, value: &Value) -> Result<Self, String> {
        let mut all = serde_json::to_value(self).map_err(|error| error.to_string())?;
        match all.get_mut(name) {
            Some(current) => *current = value.clone(),
            None => return Err(format!("{name} is not a fault setting")),
        }
        // One setting at a time, so that a value of the wrong type is reported with the name of its setting.
        serde_json::from_value(all).map_err(|error| format!("{name}: {error}"))
    }

    /// Returns an error message for the first setting that is out of range.
    fn find_invalid(&self) -> Option<String> {
        let share = self.fail_share.0;
        let checks = [
            ("latency_ms", self.latency_ms <= MAX_LATENCY_MS, "must be from 0 to 60000"),
            ("fail", matches!(self.fail, None | Some(500 | 503)), "must be null, 500 or 503"),
            ("fail_share", (Decimal::ZERO..=Decimal::ONE).contains(&share), "must be from 0 to 1"),
            (
                "clock_skew_s",
                self.clock_skew_s.unsigned_abs() <= MAX_CLOCK_SKEW_SECS,
                "must be at most one year",
            ),
        ];
        checks.iter().find(|(_, is_valid, _)| !is_valid).map(|(name, _, rule)| format!("{name} {rule}"))
    }
}
