//! Tests of the demo app's languages: the choice for a browser, and equal keys in the files of both languages.

use axum::body::Body;
use axum::http::{Request, header};

use crate::support::DemoFixture;

#[tokio::test]
async fn demo_language_comes_from_query_session_or_browser() {
    let fixture = DemoFixture::new().await;
    let mut browser = fixture.browser();
    let request = Request::get("/").header(header::ACCEPT_LANGUAGE, "fr-CA,fr;q=0.9").body(Body::empty());

    assert!(browser.send(request.unwrap()).await.contains(r#"<html lang="fr">"#));
    assert!(
        browser.get("/").await.contains(r#"<html lang="en">"#),
        "an accepted language must not be stored"
    );

    let page = browser.get("/accounts/a%201?bank=1000&q=x&lang=fr").await;
    assert_eq!(page.location, "/accounts");
    assert!(browser.get("/").await.contains(r#"<html lang="fr">"#));

    let page = browser.get("/accounts?a=1&lang=en").await;
    assert!(page.contains(r#"href="/accounts?a=1&#38;lang=fr""#), "{}", page.text);
}

/// Returns the parts of a source text that look like text keys of the demo app.
fn text_keys(text: &str) -> impl Iterator<Item = &str> {
    let is_part_of_key = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    text.split(move |c: char| !is_part_of_key(c)).filter(|key| key.starts_with("demo-"))
}

#[test]
fn demo_text_keys_match_locale_file() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = String::new();
    for folder in ["src/demo", "templates/demo"] {
        for file in std::fs::read_dir(root.join(folder)).unwrap() {
            sources.push_str(&std::fs::read_to_string(file.unwrap().path()).unwrap());
            sources.push(' ');
        }
    }
    let locale = std::fs::read_to_string(root.join("locales/en/demo.ftl")).unwrap();
    let known: Vec<&str> = locale.lines().filter_map(|line| Some(line.split_once(" = ")?.0)).collect();

    for key in text_keys(&sources) {
        let is_prefix = key.ends_with('-');
        assert!(
            known.iter().any(|known| *known == key || is_prefix && known.starts_with(key)),
            "{key} is missing in the locale file"
        );
    }
    for key in known {
        let notice_key = key.strip_suffix("-advice").unwrap_or(key);
        let is_used = text_keys(&sources)
            .any(|name| name == notice_key || name.ends_with('-') && key.starts_with(name));
        assert!(is_used, "{key} is never used");
    }
}
