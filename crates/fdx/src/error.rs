//! Errors of the FDX API: the documented codes, messages and HTTP statuses.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:literal, $message:literal;)+) => {
        /// A documented error code. The HTTP statuses are those that Flinks documents.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "each variant is described by its message")]
        pub enum ErrorCode { $($name),+ }

        impl ErrorCode {
            /// Every error code that the standard documents.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Returns the number that is sent as `code`.
            pub const fn number(self) -> u16 {
                match self { $(Self::$name => $code),+ }
            }

            /// Returns the HTTP status of a response with this error.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status),+ }
            }

            /// Returns the message that the standard documents for the code.
            pub const fn message(self) -> &'static str {
                match self { $(Self::$name => $message),+ }
            }
        }
    };
}

error_codes! {
    InvalidInput = 401, 400, "Invalid Input";
    SubscriptionNotFound = 403, 403, "Subscription not found";
    Internal = 500, 500, "Internal server error";
    TooLarge = 413, 413, "Content too large";
    SubsystemUnavailable = 501, 405, "Subsystem unavailable";
    Maintenance = 503, 503, "Scheduled maintenance";
    CustomerNotFound = 601, 404, "Customer not found";
    NotAuthorized = 602, 401, "Customer not authorized";
    AccountNotFound = 701, 404, "Account not found";
    InvalidDate = 702, 400, "Invalid start or end date";
    InvalidRange = 703, 400, "Invalid date range";
    AccountTypeNotSupported = 704, 422, "Account type not supported";
    AccountClosed = 705, 409, "Account is closed";
    DataNotFound = 1107, 404, "Data not found for request parameters";
    ContentType = 1203, 406, "Content type not supported";
    TooManyRequests = 1207, 429, "Too many requests were sent within a short period of time";
    StatementProcessing = 1300, 400, "Statement is processing";
}

impl ErrorCode {
    /// Returns the documented code with a number, if there is one.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|c| c.number() == number)
    }
}

/// The body of an error response. Errors outside the documented list have no code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "Error")]
pub struct ErrorBody {
    /// The number of the code. It is serialized as a number, and parsed from a number or a string.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "number_or_text")]
    pub code: Option<u16>,
    /// The message that is documented for the error's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Cow<'static, str>>,
    /// A description of the cause, for developers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debug_message: Option<Cow<'static, str>>,
}

impl ErrorBody {
    /// Creates the body of a documented error.
    pub fn new(code: ErrorCode, debug_message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code: Some(code.number()),
            message: Some(code.message().into()),
            debug_message: Some(debug_message.into()),
        }
    }
}

// Data providers send the code as a number or as a string.
pub(crate) fn number_or_text<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u16>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    let number = value.as_u64().and_then(|n| u16::try_from(n).ok());
    Ok(number.or_else(|| value.as_str().and_then(|text| text.parse().ok())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documented_code_is_found_by_its_number() {
        for code in ErrorCode::ALL.iter().copied() {
            assert_eq!(ErrorCode::from_number(code.number()), Some(code));
        }
        for number in [0, 400, 402, 600, 1301] {
            assert_eq!(ErrorCode::from_number(number), None, "{number}");
        }
    }
}
