//! What a recipient may say of itself.

use std::fmt;

use email_address::{EmailAddress, Options};
use url::{Host, Url};

use crate::scope::{Clusters, DataCluster};

/// A field that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {expected}")]
pub struct Invalid {
    /// Which.
    pub field: String,
    /// What was expected, as a sentence goes on.
    pub expected: String,
}

impl Invalid {
    /// A field, and what was expected of it.
    pub fn new(field: impl Into<String>, expected: impl fmt::Display) -> Self {
        Self { field: field.into(), expected: expected.to_string() }
    }

    /// A field that was not given.
    pub fn missing(field: &str) -> Self {
        Self::new(field, "is missing")
    }
}

/// The longest name of a client, in characters.
pub const LONGEST_NAME: usize = 256;
/// The longest description of a recipient, in characters.
pub const LONGEST_DESCRIPTION: usize = 512;
const LONGEST_URI: usize = 2000;
const MOST_URIS: usize = 100;
const MOST_CONTACTS: usize = 20;

/// A text that people read.
pub fn is_text(field: &str, text: &str, most: usize) -> Result<(), Invalid> {
    let length = text.trim().chars().count();
    if length == 0 || length > most || text.chars().any(|c| c.is_control() || is_invisible(c)) {
        return Err(Invalid::new(field, format_args!("must be 1 to {most} characters of text")));
    }
    Ok(())
}

/// Characters that turn the reading direction, join, break or show nothing: with them a name could pass for another.
pub const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Who may have answers sent to this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loopback {
    /// Redirect URIs may be http on loopback.
    Allowed,
    /// They may not.
    Refused,
}

/// Redirect URIs: absolute, https, without a fragment (RFC 6749 §3.1.2).
pub fn are_redirect_uris(field: &str, uris: &[String], loopback: Loopback) -> Result<(), Invalid> {
    if uris.is_empty() {
        return Err(Invalid::missing(field));
    }
    if uris.len() > MOST_URIS {
        return Err(Invalid::new(field, format_args!("must be at most {MOST_URIS} URLs")));
    }
    for (nth, uri) in uris.iter().enumerate() {
        let expected = match loopback {
            Loopback::Allowed => "must be an https URL without a fragment (http on loopback)",
            Loopback::Refused => "must be an https URL without a fragment",
        };
        let bare = web_address(uri, loopback).is_some_and(|url| url.fragment().is_none());
        if !bare || uri.contains('#') {
            return Err(Invalid::new(format!("{field}[{nth}]"), expected));
        }
        if uris[..nth].contains(uri) {
            return Err(Invalid::new(format!("{field}[{nth}]"), "is given twice"));
        }
    }
    Ok(())
}

/// A link that people follow.
pub fn is_link(field: &str, uri: &str) -> Result<(), Invalid> {
    match web_address(uri, Loopback::Refused) {
        Some(_) => Ok(()),
        None => Err(Invalid::new(field, "must be an https URL")),
    }
}

fn web_address(uri: &str, loopback: Loopback) -> Option<Url> {
    let url = Url::parse(uri).ok()?;
    let here = matches!(url.host_str()?, "127.0.0.1" | "localhost" | "[::1]");
    let scheme = url.scheme() == "https" || loopback == Loopback::Allowed && url.scheme() == "http" && here;
    let plain = uri.len() <= LONGEST_URI && is_uri_text(uri.as_bytes());
    let named = match url.host()? {
        Host::Domain(name) => name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.')),
        Host::Ipv4(_) | Host::Ipv6(_) => true,
    };
    let nobodys = url.username().is_empty() && url.password().is_none();
    (scheme && plain && named && nobodys).then_some(url)
}

/// Characters that a URI may have (RFC 3986 §2): a parser of browsers takes more than that.
fn is_uri_text(text: &[u8]) -> bool {
    let escaped = |rest: &[u8]| rest.len() >= 2 && rest[..2].iter().all(u8::is_ascii_hexdigit);
    text.iter().enumerate().all(|(at, byte)| match byte {
        b'%' => escaped(&text[at + 1..]),
        byte => byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=".contains(byte),
    })
}

/// The longest consent that a recipient may ask for, in days.
const LONGEST_CONSENT: u16 = 366;

/// How long the consents are that a recipient asks for, in days.
pub fn is_duration(field: &str, days: u16) -> Result<(), Invalid> {
    match days {
        1..=LONGEST_CONSENT => Ok(()),
        _ => Err(Invalid::new(field, format_args!("must be 1 to {LONGEST_CONSENT} days"))),
    }
}

/// The longest id and secret of a client at a provider, in characters.
const LONGEST_CREDENTIAL: usize = 2048;

/// What is sent to a provider in a form or a header (RFC 6749 §A.1, §A.2).
pub fn is_credential(field: &str, text: &str) -> Result<(), Invalid> {
    let printable = text.bytes().all(|b| (0x20..0x7f).contains(&b));
    if (1..=LONGEST_CREDENTIAL).contains(&text.len()) && printable {
        return Ok(());
    }
    Err(Invalid::new(field, format_args!("must be 1 to {LONGEST_CREDENTIAL} printable characters of ASCII")))
}

/// The country that a recipient is registered in.
pub fn is_country(field: &str, country: &str) -> Result<(), Invalid> {
    if matches!(country, "CA" | "US") { Ok(()) } else { Err(Invalid::new(field, "must be CA or US")) }
}

/// E-mail addresses of people; `member` is where each stands in its item, if the items are objects.
pub fn are_contacts(field: &str, member: &str, contacts: &[String]) -> Result<(), Invalid> {
    if contacts.len() > MOST_CONTACTS {
        let items = if member.is_empty() { "addresses" } else { "objects" };
        return Err(Invalid::new(field, format_args!("must be at most {MOST_CONTACTS} {items}")));
    }
    let options = Options::default().with_required_tld().without_display_text().without_domain_literal();
    match contacts.iter().position(|c| !c.is_ascii() || EmailAddress::parse_with_options(c, options).is_err())
    {
        None => Ok(()),
        Some(nth) => Err(Invalid::new(format!("{field}[{nth}]{member}"), "must be an e-mail address")),
    }
}

/// The most that a recipient may ask for.
pub fn scope(field: &str, words: &str) -> Result<Clusters, Invalid> {
    let clusters = Clusters::parse(words)
        .map_err(|unknown| Invalid::new(field, format_args!("{} is unknown", unknown.0)))?;
    if clusters.contains(DataCluster::AccountBasic) {
        Ok(clusters)
    } else {
        Err(Invalid::new(field, "must include ACCOUNT_BASIC"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_shows_what_it_is() {
        for good in [
            "Acme Budget",
            "L’Épargne d'Amélie & Cie",
            "銀行",
            "Ünïcode 100 %",
            "תקציב",
            "ميزانية",
            "Acme 💸",
            &"x".repeat(256),
        ] {
            assert!(is_text("name", good, 256).is_ok(), "{good}");
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
            assert!(is_text("name", bad, 256).is_err(), "{bad:?}");
        }
    }

    fn redirect(uri: &str, loopback: Loopback) -> Result<(), Invalid> {
        are_redirect_uris("redirect_uris", &[uri.to_owned()], loopback)
    }

    #[test]
    fn redirect_uris_are_https_or_where_it_is_allowed_on_this_machine() {
        let here = ["http://127.0.0.1:3000/cb?x=1", "http://localhost/cb", "http://[::1]/cb"];
        for good in here.into_iter().chain(["https://app.example.org/back"]) {
            assert!(redirect(good, Loopback::Allowed).is_ok(), "{good}");
            assert_eq!(redirect(good, Loopback::Refused).is_ok(), good.starts_with("https"), "{good}");
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
            assert!(redirect(bad, Loopback::Allowed).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_field_that_is_wrong_is_named_with_its_place() {
        let uris = |all: &[&str]| {
            let all: Vec<String> = all.iter().map(|uri| (*uri).to_owned()).collect();
            are_redirect_uris("redirect_uris", &all, Loopback::Refused).unwrap_err().to_string()
        };
        assert_eq!(uris(&[]), "redirect_uris is missing");
        assert_eq!(
            uris(&["https://a.example/", "x"]),
            "redirect_uris[1] must be an https URL without a fragment"
        );
        assert_eq!(uris(&["https://a.example/", "https://a.example/"]), "redirect_uris[1] is given twice");
        assert_eq!(uris(&["x"; 101]), "redirect_uris must be at most 100 URLs");
        assert_eq!(
            scope("scope", "TRANSACTIONS").unwrap_err().to_string(),
            "scope must include ACCOUNT_BASIC"
        );
        assert_eq!(scope("scope", "ACCOUNT_BASIC X").unwrap_err().to_string(), "scope X is unknown");
        assert_eq!(is_country("country", "ca").unwrap_err().to_string(), "country must be CA or US");
        assert_eq!(
            is_link("logo_uri", "http://a/").unwrap_err().to_string(),
            "logo_uri must be an https URL"
        );
    }

    #[test]
    fn contacts_are_addresses_that_mail_can_be_sent_to() {
        let are = |email: &str| are_contacts("contacts", ".email", &["a@b.example".into(), email.to_owned()]);
        for good in ["john.doe@flinks.fake.com", "a+b@sub.example.org"] {
            assert!(are(good).is_ok(), "{good}");
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
            let said = are(bad).unwrap_err().to_string();
            assert_eq!(said, "contacts[1].email must be an e-mail address", "{bad:?}");
        }
    }
}
