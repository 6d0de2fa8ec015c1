//! The evaluation of the check of a provider: from responses and metadata to results that name what to change.

mod comparison;
mod response;

use schemars::JsonSchema;
use serde::Serialize;
use url::Url;

use crate::model::provider::{DateParameters, FdxVersion, ProviderSettings};

pub use comparison::compare_with_metadata;
pub use response::{
    InitialAccessToken, ProbeResponse, evaluate_authorization_response, evaluate_consent_response,
    evaluate_data_response, evaluate_introspection_response, evaluate_pushed_request,
    evaluate_registration_response, evaluate_revocation_response, evaluate_token_response,
};

/// The verdict of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckVerdict {
    /// The check has passed.
    Passed,
    /// Connections may work, but the result is not what the hub expects.
    Warning,
    /// Connections cannot work, or cannot be ended at the provider.
    Failed,
    /// The response proves nothing.
    Undetermined,
}

/// The result of one check of a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CheckResult {
    /// The checked item, such as `token` or `scopes`.
    pub name: &'static str,
    /// The verdict.
    pub verdict: CheckVerdict,
    /// True if the check has not failed. A warning is no failure.
    pub ok: bool,
    /// A description of the result. It contains no text from the provider other than an error code.
    pub detail: String,
    /// The setting to change and its value, or the question to the provider.
    pub change: Option<String>,
}

impl CheckResult {
    fn new(
        name: &'static str,
        verdict: CheckVerdict,
        detail: impl Into<String>,
        change: Option<String>,
    ) -> Self {
        Self { name, verdict, ok: verdict != CheckVerdict::Failed, detail: detail.into(), change }
    }

    /// Creates the result of a check that has passed.
    pub fn passed(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, CheckVerdict::Passed, detail, None)
    }

    /// Creates the result of a check that has failed.
    pub fn failed(name: &'static str, detail: impl Into<String>, change: impl Into<String>) -> Self {
        Self::new(name, CheckVerdict::Failed, detail, Some(change.into()))
    }

    /// Creates a result that needs attention.
    pub fn warning(name: &'static str, detail: impl Into<String>, change: impl Into<String>) -> Self {
        Self::new(name, CheckVerdict::Warning, detail, Some(change.into()))
    }

    /// Creates the result of a check that proves nothing.
    pub fn undetermined(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, CheckVerdict::Undetermined, detail, None)
    }
}

/// Evaluates the names of date parameters. `found` are those of the provider's links, if the hub has seen any that differ from
/// those of its requests.
pub fn evaluate_date_parameters(settings: &ProviderSettings, found: Option<DateParameters>) -> CheckResult {
    const NAME: &str = "date_parameters";
    let setting = settings.fdx.date_parameters;
    let Some(found) = found else {
        let [start, end] = settings.fdx.date_parameters(None).names();
        let detail =
            format!("the hub sends {start} and {end}; a list that the provider divides shows its own");
        return CheckResult::undetermined(NAME, detail);
    };
    let [start, end] = found.names();
    let detail = |consequence: &str| format!("the provider's links have {start} and {end}: {consequence}");
    let change = format!("set fdx.date_parameters = \"{start}\"");
    match setting {
        None => CheckResult::warning(NAME, detail("the hub uses them until its next start"), change),
        Some(setting) if setting == found => CheckResult::passed(NAME, detail("the setting agrees")),
        Some(_) => {
            CheckResult::failed(NAME, detail("the hub sends others, which the provider may ignore"), change)
        }
    }
}

/// Evaluates the FDX version of the settings. `offered` are the versions that the provider's `/capability` names, if it does.
pub fn evaluate_fdx_version(settings: &ProviderSettings, offered: Option<&[String]>) -> CheckResult {
    const NAME: &str = "fdx_version";
    let version = settings.fdx.version;
    let (own, other) = match version {
        FdxVersion::V5 => (5, "6"),
        FdxVersion::V6 => (6, "5"),
    };
    let change = format!("set fdx.version = \"{other}\", if the provider's documentation agrees");
    let offered: Vec<u32> =
        offered.unwrap_or_default().iter().filter_map(|name| major_version(name)).collect();
    if offered.contains(&own) {
        return CheckResult::passed(NAME, format!("the provider offers FDX {own}"));
    }
    if !offered.is_empty() {
        let detail = format!("the provider does not offer FDX {own}");
        return CheckResult::failed(NAME, detail, change);
    }
    let url = Url::parse(&settings.fdx.base_url).ok();
    let path = url.as_ref().map(Url::path).unwrap_or_default();
    let named = path.split('/').filter(|part| part.starts_with(['v', 'V'])).find_map(major_version);
    match named.filter(|major| [5, 6].contains(major)) {
        Some(major) if major != own => {
            let detail = format!("fdx.base_url names version {major}, but the setting is FDX {own}");
            CheckResult::warning(NAME, detail, change)
        }
        Some(_) => CheckResult::passed(NAME, format!("fdx.base_url names version {own}, as the setting")),
        None => {
            let detail = format!("the provider names no version; the setting is FDX {own}");
            CheckResult::undetermined(NAME, detail)
        }
    }
}

/// Returns the first number of a version, such as 6 for `V6.2.0`.
fn major_version(name: &str) -> Option<u32> {
    let digits = name.trim_start_matches(|first: char| !first.is_ascii_digit());
    let end = digits.find(|next: char| !next.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    pub(super) fn settings(changes: &Value) -> ProviderSettings {
        let mut value = json!({
            "name": "Maple Trust", "country": "CA", "issuer": "https://bank.example", "client_id": "hub",
            "client_secret": "sealed", "revoke": ["rfc7009"],
            "fdx": {"base_url": "https://bank.example/fdx/v6", "version": "6"}, "scopes": {"TRANSACTIONS": "tx"},
        });
        value.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn fdx_version_is_compared_with_offer_and_url() {
        let evaluate = |version: &str, url: &str, offered: Option<&[&str]>| {
            let fdx = json!({"fdx": {"base_url": url, "version": version}});
            let offered: Option<Vec<String>> =
                offered.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
            evaluate_fdx_version(&settings(&fdx), offered.as_deref()).verdict
        };
        let (plain, v5) = ("https://v6.bank.example/fdx", "https://bank.example/fdx/v5.2");

        for (version, url, offered, expected) in [
            ("6", plain, Some(&["V5.1", "V6.0"][..]), CheckVerdict::Passed),
            ("6", plain, Some(&["5.1.0"][..]), CheckVerdict::Failed),
            ("6", v5, Some(&["6.2"][..]), CheckVerdict::Passed),
            ("6", v5, None, CheckVerdict::Warning),
            ("5", v5, None, CheckVerdict::Passed),
            ("6", "https://bank.example/api/v1", None, CheckVerdict::Undetermined),
            ("5", plain, Some(&["latest"][..]), CheckVerdict::Undetermined),
        ] {
            assert_eq!(evaluate(version, url, offered), expected, "{version} {url} {offered:?}");
        }
    }

    #[test]
    fn date_parameters_of_links_are_compared_with_setting() {
        let fdx = |date: Value| {
            settings(&json!({"fdx": {"base_url": "https://b/fdx", "version": "6", "date_parameters": date}}))
        };
        let found = Some(DateParameters::Date);
        let evaluate = |date, found| evaluate_date_parameters(&fdx(date), found);

        assert_eq!(evaluate(Value::Null, None).verdict, CheckVerdict::Undetermined);
        let unset = evaluate(Value::Null, found);
        assert_eq!(unset.verdict, CheckVerdict::Warning);
        assert_eq!(unset.change.as_deref(), Some("set fdx.date_parameters = \"startDate\""));
        assert_eq!(evaluate(json!("startDate"), found).verdict, CheckVerdict::Passed);
        assert_eq!(evaluate(json!("startTime"), found).verdict, CheckVerdict::Failed);
    }
}
