//! What a stranger tries who has nothing but a keyboard.

use std::os::unix::fs::PermissionsExt;

use bowline::cli::Sent;
use http::{Method, header};

use crate::kit::{Kit, on_both, parameter};

#[tokio::test]
async fn a_flood_of_fields_is_refused_before_anything_is_looked_up() {
    let kit = Kit::new().await;
    let fields: Vec<(String, String)> = (0..5_000).map(|n| (format!("{n:x}"), String::new())).collect();
    let fields: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let answer = kit.send(Sent::new(Method::POST, &kit.url("/api/v1/token")).form(&fields)).await;
    assert_eq!(answer.json()["error_description"], "The request has more than 64 fields");
}

