//! Validates the fields of recipients, partners, providers and credentials, which operators and partners enter.

use std::borrow::Cow;
use std::fmt;

use email_address::{EmailAddress, Options};
use url::Url;

use crate::scope::{Clusters, DataCluster};

/// The error for an invalid field of a request, with a message that names the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {expected}")]
pub struct ValidationError {
    /// The invalid field, with the index of an item if it is a list, such as `redirect_uris[1]`.
    pub field: String,
    /// The expected value, as the rest of a sentence that begins with the field, such as `must be CA or US`.
    pub expected: String,
}

impl ValidationError {
    /// Creates an error from a field and an expectation.
    pub fn new(field: impl Into<String>, expected: impl fmt::Display) -> Self {
        Self { field: field.into(), expected: expected.to_string() }
    }

    /// Creates the error for a required field that the input does not have.
    pub fn for_missing_field(field: &str) -> Self {
        Self::new(field, "is missing")
    }
}

/// The maximum length of the name of a client or provider.
pub const MAX_NAME_CHARS: usize = 256;
/// The maximum length of a recipient's description.
pub const MAX_DESCRIPTION_CHARS: usize = 512;
const MAX_URI_BYTES: usize = 2000;
const MAX_URIS: usize = 100;
const MAX_CONTACTS: usize = 20;

/// Validates a text that is displayed to people. It must not be blank, too long, or contain invisible or control
/// characters.
pub fn validate_text(field: &str, text: &str, max_chars: usize) -> Result<(), ValidationError> {
    let length = text.trim().chars().count();
    if length == 0 || length > max_chars || text.chars().any(|c| c.is_control() || is_invisible(c)) {
        return Err(ValidationError::new(field, format_args!("must be 1 to {max_chars} characters of text")));
    }
    Ok(())
}

/// Returns whether a character is invisible or changes the text direction. With such characters a name could look like
/// another.
pub const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The policy for redirect URIs with plain http on a loopback address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoopbackPolicy {
    /// Such redirect URIs are allowed.
    Allowed,
    /// Such redirect URIs are rejected.
    Refused,
}

/// Validates redirect URIs: absolute, https, without a fragment (RFC 6749 §3.1.2).
pub fn validate_redirect_uris(
    field: &str,
    uris: &[String],
    loopback: LoopbackPolicy,
) -> Result<(), ValidationError> {
    if uris.is_empty() {
        return Err(ValidationError::for_missing_field(field));
    }
    if uris.len() > MAX_URIS {
        return Err(ValidationError::new(field, format_args!("must be at most {MAX_URIS} URLs")));
    }
    for (nth, uri) in uris.iter().enumerate() {
        let expected = find_redirect_uri_error(uri, loopback)
            .or_else(|| uris[..nth].contains(uri).then(|| "is given twice".into()));
        if let Some(expected) = expected {
            return Err(ValidationError::new(format!("{field}[{nth}]"), expected));
        }
    }
    Ok(())
}

/// The parameters of an authorization response (RFC 6749 §4.1.2, RFC 9207 §2), which the hub adds to a redirect URI.
const RESPONSE_PARAMETERS: [&str; 6] = ["code", "state", "iss", "error", "error_description", "error_uri"];

/// Returns what is expected instead of a text that is no redirect URI, or `None` if it is one.
fn find_redirect_uri_error(uri: &str, loopback: LoopbackPolicy) -> Option<Cow<'static, str>> {
    // A scheme may have uppercase letters (RFC 3986 §3.1).
    let lower = uri.to_ascii_lowercase();
    if lower.contains(",http://") || lower.contains(",https://") {
        return Some("must be one URL, not a list separated by commas".into());
    }
    let url = match parse_web_url(uri, loopback) {
        Ok(url) => url,
        Err(expected) => return Some(expected),
    };
    // The text is checked and not the parsed URL, so that an empty fragment (`#` at the end) is rejected in any case.
    if uri.contains('#') {
        return Some(expected_scheme(loopback).into());
    }
    // An app reads the first or the last of two parameters with one name, so a fixed one could hide the hub's.
    let is_reserved = |name: &str| RESPONSE_PARAMETERS.contains(&name);
    let (name, _) = url.query_pairs().find(|(name, _)| is_reserved(name))?;
    Some(format!("must have a query without `{name}`, which the hub adds").into())
}

const fn expected_scheme(loopback: LoopbackPolicy) -> &'static str {
    match loopback {
        LoopbackPolicy::Allowed => "must be an https URL without a fragment (http on loopback)",
        LoopbackPolicy::Refused => "must be an https URL without a fragment",
    }
}

/// Validates the URL of a link, such as a logo or website: absolute and https.
pub fn validate_url(field: &str, uri: &str) -> Result<(), ValidationError> {
    match parse_web_url(uri, LoopbackPolicy::Refused) {
        Ok(_) => Ok(()),
        Err(_) => Err(ValidationError::new(field, "must be an https URL")),
    }
}

/// Parses an absolute URL with `https`, or `http` on a loopback address if that is allowed. The error is the expectation that the
/// text does not meet.
///
/// The parser follows the rules of browsers and repairs what it reads. Redirect URIs are compared as texts (RFC 6749 §3.1.2.3),
/// so the text itself must have the form of the parsed URL.
fn parse_web_url(uri: &str, loopback: LoopbackPolicy) -> Result<Url, Cow<'static, str>> {
    if uri.len() > MAX_URI_BYTES {
        return Err(format!("must be at most {MAX_URI_BYTES} characters long").into());
    }
    if !is_uri_text(uri.as_bytes()) {
        return Err("must have only characters of a URL; others are percent-encoded".into());
    }
    let lower = uri.to_ascii_lowercase();
    let (scheme, rest) = lower.split_once(':').ok_or(expected_scheme(loopback))?;
    if scheme != "https" && (scheme != "http" || loopback == LoopbackPolicy::Refused) {
        return Err(expected_scheme(loopback).into());
    }
    let authority =
        rest.strip_prefix("//").unwrap_or_default().split(['/', '?', '#']).next().unwrap_or_default();
    let host = validate_authority(authority)?;
    let url = Url::parse(uri).map_err(|_| "must have a host name or an IP address as its host")?;
    match url.host_str() {
        // Browsers read many other forms of an address, such as `0x7f.1`.
        Some(parsed) if parsed != host => {
            Err(format!("must have its host in the usual form, which is `{parsed}`").into())
        }
        Some("127.0.0.1" | "localhost" | "[::1]") => Ok(url),
        Some(_) if scheme == "https" => Ok(url),
        Some(_) | None => Err(expected_scheme(loopback).into()),
    }
}

/// Validates the part of a URL between `//` and the path, in lowercase (RFC 3986 §3.2), and returns its host. The error is the
/// expectation that the text does not meet.
fn validate_authority(authority: &str) -> Result<&str, &'static str> {
    if authority.contains('@') {
        return Err("must have no user name or password");
    }
    // The colons in an IPv6 address do not separate a port.
    let end_of_address = authority.find(']').unwrap_or(0);
    let port_at = authority[end_of_address..].find(':').map(|at| end_of_address + at);
    let (host, port) = port_at.map_or((authority, None), |at| (&authority[..at], Some(&authority[at + 1..])));
    if host.is_empty() {
        return Err("must have a host after `https://`");
    }
    if port.is_some_and(|port| port.starts_with(['0', '+']) || port.parse::<u16>().is_err()) {
        return Err("must have a port from 1 to 65535, without leading zeros, or no colon after the host");
    }
    if host.starts_with('[') {
        return Ok(host);
    }
    if host.starts_with('.') || host.contains("..") {
        return Err("must have a host without empty labels");
    }
    // With other characters a host could look like a trusted one, or browsers could reject it.
    if !host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.')) {
        return Err("must have a host of letters, digits, hyphens and dots");
    }
    // The limits of DNS (RFC 1035 §2.3.4). A dot at the end does not count.
    let is_too_long = host.trim_end_matches('.').len() > 253 || host.split('.').any(|label| label.len() > 63);
    if is_too_long {
        return Err("must have a host of at most 253 characters, and at most 63 in each label");
    }
    Ok(host)
}

/// Returns whether a text has only the characters of a URI (RFC 3986 §2). The parser follows the rules of browsers and
/// accepts more than that.
fn is_uri_text(text: &[u8]) -> bool {
    let is_escape = |rest: &[u8]| rest.len() >= 2 && rest[..2].iter().all(u8::is_ascii_hexdigit);
    text.iter().enumerate().all(|(at, byte)| match byte {
        b'%' => is_escape(&text[at + 1..]),
        byte => byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=".contains(byte),
    })
}

/// The longest consent that can be set for a recipient.
const MAX_CONSENT_DAYS: u16 = 366;

/// Ensures that a recipient's longest consent lasts at least 1 day and at most [`MAX_CONSENT_DAYS`].
pub fn validate_consent_days(field: &str, days: u16) -> Result<(), ValidationError> {
    match days {
        1..=MAX_CONSENT_DAYS => Ok(()),
        _ => Err(ValidationError::new(field, format_args!("must be 1 to {MAX_CONSENT_DAYS} days"))),
    }
}

/// The maximum length of the id and the secret of an upstream client.
const MAX_CREDENTIAL_BYTES: usize = 2048;

/// Validates a client id or client secret that is sent to a provider (RFC 6749 §A.1, §A.2).
pub fn validate_credential(field: &str, text: &str) -> Result<(), ValidationError> {
    let printable = text.bytes().all(|b| (0x20..0x7f).contains(&b));
    if (1..=MAX_CREDENTIAL_BYTES).contains(&text.len()) && printable {
        return Ok(());
    }
    Err(ValidationError::new(
        field,
        format_args!("must be 1 to {MAX_CREDENTIAL_BYTES} printable characters of ASCII"),
    ))
}

/// Validates the country in which a recipient is registered: `CA` or `US`.
pub fn validate_country(field: &str, country: &str) -> Result<(), ValidationError> {
    if matches!(country, "CA" | "US") { Ok(()) } else { Err(ValidationError::new(field, "must be CA or US")) }
}

/// Validates e-mail addresses. If the items of the field are objects, `member` is the path of the address in an item,
/// such as `.email`; otherwise it is empty.
pub fn validate_contacts(field: &str, member: &str, contacts: &[String]) -> Result<(), ValidationError> {
    if contacts.len() > MAX_CONTACTS {
        let items = if member.is_empty() { "addresses" } else { "objects" };
        return Err(ValidationError::new(field, format_args!("must be at most {MAX_CONTACTS} {items}")));
    }
    let options = Options::default().with_required_tld().without_display_text().without_domain_literal();
    match contacts.iter().position(|c| !c.is_ascii() || EmailAddress::parse_with_options(c, options).is_err())
    {
        None => Ok(()),
        Some(nth) => {
            Err(ValidationError::new(format!("{field}[{nth}]{member}"), "must be an e-mail address"))
        }
    }
}

/// Parses the scope that a recipient may request. It must include `ACCOUNT_BASIC`.
pub fn parse_scope(field: &str, scope: &str) -> Result<Clusters, ValidationError> {
    let clusters = scope
        .parse::<Clusters>()
        .map_err(|unknown| ValidationError::new(field, format_args!("{} is unknown", unknown.0)))?;
    if clusters.contains(DataCluster::AccountBasic) {
        Ok(clusters)
    } else {
        Err(ValidationError::new(field, "must include ACCOUNT_BASIC"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validate_text_rejects_invisible_and_control_characters() {
        for valid in [
            "Acme Budget",
            "L’Épargne d'Amélie & Cie",
            "銀行",
            "Ünïcode 100 %",
            "תקציב",
            "ميزانية",
            "Acme 💸",
            &"x".repeat(256),
        ] {
            assert!(validate_text("name", valid, 256).is_ok(), "{valid}");
        }
        for bad in [
            "",
            "  ",
            "a\nb",
            "Acme\u{0}",
            "Acme\u{202e}knaB",
            "\u{2067}Acme",
            "Ac\u{200b}me",
            "👩\u{200d}👧",
            "Acme\u{2028}x",
            "\u{feff}Acme",
            "A\u{ad}cme",
            &"é".repeat(257),
        ] {
            assert!(validate_text("name", bad, 256).is_err(), "{bad:?}");
        }
    }

    fn validate_redirect_uri(uri: &str, loopback: LoopbackPolicy) -> Result<(), ValidationError> {
        validate_redirect_uris("redirect_uris", &[uri.to_owned()], loopback)
    }

    #[test]
    fn redirect_uris_must_be_https_or_allowed_loopback_http() {
        let loopback = ["http://127.0.0.1:3000/cb?x=1", "http://localhost/cb", "http://[::1]/cb"];
        for valid in loopback.into_iter().chain(["https://app.example.org/back"]) {
            assert!(validate_redirect_uri(valid, LoopbackPolicy::Allowed).is_ok(), "{valid}");
            assert_eq!(
                validate_redirect_uri(valid, LoopbackPolicy::Refused).is_ok(),
                valid.starts_with("https"),
                "{valid}"
            );
        }
        for bad in [
            "http://app.example.org/",
            "http://127.0.0.1.example.org/",
            "https://app.example.org/#top",
            "https://app.example.org/#",
            "javascript:alert(1)",
            "/back",
            "",
            "https://",
            "https://me:pw@app.example.org/",
            "https://app.example.org/a b",
            "https://app.example.org/é",
            "https://app.example.org/%",
            "https://app.example.org/%zz",
            "https://app.example.org/\"",
            "https://app.example.org\\@evil.example/",
            "https://app.example.org/<x>",
            "https://app.example.org;x=1/",
            "myapp://back",
            &format!("https://app.example.org/{}", "x".repeat(2000)),
        ] {
            assert!(validate_redirect_uri(bad, LoopbackPolicy::Allowed).is_err(), "{bad}");
        }
    }

    #[test]
    fn validation_error_names_field_and_index() {
        let uris = |all: &[&str]| {
            let all: Vec<String> = all.iter().map(|uri| (*uri).to_owned()).collect();
            validate_redirect_uris("redirect_uris", &all, LoopbackPolicy::Refused).unwrap_err().to_string()
        };
        assert_eq!(uris(&[]), "redirect_uris is missing");
        assert_eq!(
            uris(&["https://a.example/", "x"]),
            "redirect_uris[1] must be an https URL without a fragment"
        );
        assert_eq!(uris(&["https://a.example/", "https://a.example/"]), "redirect_uris[1] is given twice");
        assert_eq!(uris(&["x"; 101]), "redirect_uris must be at most 100 URLs");
        assert_eq!(
            parse_scope("scope", "TRANSACTIONS").unwrap_err().to_string(),
            "scope must include ACCOUNT_BASIC"
        );
        assert_eq!(parse_scope("scope", "ACCOUNT_BASIC X").unwrap_err().to_string(), "scope X is unknown");
        assert_eq!(validate_country("country", "ca").unwrap_err().to_string(), "country must be CA or US");
        assert_eq!(
            validate_url("logo_uri", "http://a/").unwrap_err().to_string(),
            "logo_uri must be an https URL"
        );
    }

    #[test]
    fn redirect_uri_error_names_expected_form() {
        let label = "a".repeat(63);
        let long_label = format!("https://{label}a.example/cb");
        let long_host = format!("https://{}.example/cb", [&*label; 4].join("."));
        let long_uri = format!("https://a.example/{}", "x".repeat(1983));
        let scheme = "be an https URL without a fragment";
        let port = "have a port from 1 to 65535, without leading zeros, or no colon after the host";
        let host_characters = "have a host of letters, digits, hyphens and dots";
        let host_length = "have a host of at most 253 characters, and at most 63 in each label";
        let usual_form = "have its host in the usual form, which is `127.0.0.1`";
        for (uri, expected) in [
            ("http://a.example/cb", scheme),
            ("myapp://cb", scheme),
            ("https://a.example/cb#", scheme),
            (&*long_uri, "be at most 2000 characters long"),
            ("https://a.example/%zz", "have only characters of a URL; others are percent-encoded"),
            ("https://a.example/cb,https://b.example/cb", "be one URL, not a list separated by commas"),
            ("https:///cb", "have a host after `https://`"),
            ("https:a.example/cb", "have a host after `https://`"),
            ("HTTPS:///cb", "have a host after `https://`"),
            ("Https:a.example/cb", "have a host after `https://`"),
            ("https://?x=1", "have a host after `https://`"),
            ("https://:443/cb", "have a host after `https://`"),
            ("https://me@a.example/cb", "have no user name or password"),
            ("https://me:pw@a.example/cb", "have no user name or password"),
            ("https://a..b/cb", "have a host without empty labels"),
            ("https://.example/cb", "have a host without empty labels"),
            ("https://a.example:0/cb", port),
            ("https://a.example:/cb", port),
            ("https://a.example:", port),
            ("https://a.example:0443/cb", port),
            ("https://a.example:+443/cb", port),
            ("https://a.example:65536/cb", port),
            ("https://a.example:443:443/cb", port),
            ("https://[::1]:0/cb", port),
            ("https://a%2eexample/cb", host_characters),
            ("https://%61.example/cb", host_characters),
            ("https://a_b.example/cb", host_characters),
            ("https://a.example;x=1/cb", host_characters),
            (&long_label, host_length),
            (&long_host, host_length),
            ("https://127.1/cb", usual_form),
            ("https://0x7f.1/cb", usual_form),
            ("https://0x7F000001/cb", usual_form),
            ("https://2130706433/cb", usual_form),
            ("https://0177.0.0.1/cb", usual_form),
            ("https://127.0.0.1./cb", usual_form),
            ("https://[0:0:0:0:0:0:0:1]/cb", "have its host in the usual form, which is `[::1]`"),
            ("https://256.0.0.1/cb", "have a host name or an IP address as its host"),
            ("https://[::x]/cb", "have a host name or an IP address as its host"),
            ("https://xn--a/cb", "have a host name or an IP address as its host"),
            ("https://a.example/cb?code=1", "have a query without `code`, which the hub adds"),
            ("https://a.example/cb?x=1&st%61te", "have a query without `state`, which the hub adds"),
            ("https://a.example/cb?error=", "have a query without `error`, which the hub adds"),
            ("https://a.example/cb?iss=x", "have a query without `iss`, which the hub adds"),
        ] {
            let error = validate_redirect_uri(uri, LoopbackPolicy::Refused).unwrap_err();
            assert_eq!(error.to_string(), format!("redirect_uris[0] must {expected}"), "{uri}");
        }
    }

    #[test]
    fn usual_redirect_uris_are_accepted() {
        let longest_label = format!("https://{}.example/cb", "a".repeat(63));
        let longest_host =
            format!("https://{}{}/cb", format!("{}.", "a".repeat(49)).repeat(5), "a".repeat(3));
        let longest_uri = format!("https://a.example/{}", "x".repeat(1982));
        for uri in [
            "https://A.Example/cb",
            "HTTPS://a.example:443",
            "https://a.example:65535/cb?x=1&Code=2&states=3",
            "https://a.example./cb",
            "https://xn--bcher-kva.example/cb",
            "https://192.0.2.1/cb",
            "https://[2001:DB8::1]:8443/cb",
            "https://a.example/a/../b%2e?q=a%26code%3D1",
            &longest_label,
            &longest_host,
            &longest_uri,
        ] {
            assert_eq!(validate_redirect_uri(uri, LoopbackPolicy::Refused), Ok(()), "{uri}");
        }
    }

    #[test]
    fn contacts_must_be_deliverable_email_addresses() {
        let validate_email =
            |email: &str| validate_contacts("contacts", ".email", &["a@b.example".into(), email.to_owned()]);
        for valid in ["john.doe@flinks.fake.com", "a+b@sub.example.org"] {
            assert!(validate_email(valid).is_ok(), "{valid}");
        }
        for bad in [
            "",
            "john",
            "john@",
            "@example.org",
            "john@localhost",
            "John <john@example.org>",
            "a@[127.0.0.1]",
            "a b@c.example",
            "a@b.example\r\nBcc: x@y.example",
            "é@b.example",
        ] {
            let message = validate_email(bad).unwrap_err().to_string();
            assert_eq!(message, "contacts[1].email must be an e-mail address", "{bad:?}");
        }
    }

    #[test]
    fn redirect_uri_has_no_user_and_only_characters_of_a_uri() {
        for valid in
            ["https://app.example/%2F", "https://app.example/a%20b%c3", "https://app.example:8443/a?b=(c)"]
        {
            assert_eq!(validate_redirect_uri(valid, LoopbackPolicy::Refused), Ok(()), "{valid}");
        }
        for invalid in [
            "https://me@app.example/",
            "https://:pw@app.example/",
            "https://app.example/%2",
            "https://app.example/%g0",
            "https://app.example/%0g",
        ] {
            assert!(validate_redirect_uri(invalid, LoopbackPolicy::Allowed).is_err(), "{invalid}");
        }
    }

    #[test]
    fn lists_are_accepted_up_to_their_limit() {
        let uris = |count: usize| -> Vec<String> {
            (0..count).map(|nth| format!("https://app.example/{nth}")).collect()
        };
        let contacts = |count: usize| vec!["a@b.example".to_owned(); count];

        assert_eq!(validate_redirect_uris("uris", &uris(MAX_URIS), LoopbackPolicy::Refused), Ok(()));
        assert!(validate_redirect_uris("uris", &uris(MAX_URIS + 1), LoopbackPolicy::Refused).is_err());
        assert_eq!(validate_contacts("contacts", "", &contacts(MAX_CONTACTS)), Ok(()));
        for (member, expected) in
            [("", "contacts must be at most 20 addresses"), (".email", "contacts must be at most 20 objects")]
        {
            let error = validate_contacts("contacts", member, &contacts(MAX_CONTACTS + 1)).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn consent_lasts_one_day_to_a_leap_year() {
        for (days, is_valid) in [(0, false), (1, true), (366, true), (367, false), (u16::MAX, false)] {
            assert_eq!(validate_consent_days("days", days).is_ok(), is_valid, "{days}");
        }
        assert_eq!(validate_consent_days("days", 0).unwrap_err().to_string(), "days must be 1 to 366 days");
    }

    #[test]
    fn known_fields_are_accepted() {
        for country in ["CA", "US"] {
            assert_eq!(validate_country("country", country), Ok(()));
        }
        assert_eq!(validate_url("logo_uri", "https://app.example/logo.png"), Ok(()));
        let scope = parse_scope("scope", "TRANSACTIONS ACCOUNT_BASIC").unwrap();
        assert_eq!(scope.to_string(), "ACCOUNT_BASIC TRANSACTIONS");
        for (credential, is_valid) in [
            ("a b~", true),
            (&*"x".repeat(MAX_CREDENTIAL_BYTES), true),
            (&*"x".repeat(MAX_CREDENTIAL_BYTES + 1), false),
            ("", false),
            ("a\u{7f}", false),
        ] {
            assert_eq!(validate_credential("secret", credential).is_ok(), is_valid, "{credential}");
        }
    }
}
