//! Cases for the partner API with invalid registrations, providers and connections.

use super::super::expectations::ExpectedResponse;
use super::super::management::{NO_CONNECTION, NO_RECIPIENT, expected_not_found};
use super::manage::{PartnerValues, RECIPIENTS, expected_invalid_request};
use super::{BadValue, InputCase, InputValues};
use crate::support::RawRequest;

/// Builds the cases for invalid provider ids in the path of a registration.
pub(super) fn build_registration_cases(values: &InputValues) -> Vec<InputCase> {
    let none = "This data recipient has no registration with the provider";
    let mut cases = Vec::new();
    for id in ["2000", "9999", "0", "01", "x", "-1", "1e3", "%2e", "99999999999999999999", "con_1"] {
        let raw = RawRequest::get(format!("{RECIPIENTS}/{}/providers/{id}", values.manage.recipient));
        cases.push(InputCase::new(
            format!("manage, registration with {id}"),
            raw.bearer(&values.manage.token),
            expected_not_found(none),
        ));
    }
    let good = RawRequest::get(format!("{RECIPIENTS}/{}/providers/1000", values.manage.recipient));
    cases.push(InputCase::new(
        "manage, registration",
        good.bearer(&values.manage.token),
        ExpectedResponse::Data,
    ));
    cases
}

/// Builds the cases for invalid lists of ids in a request for registrations.
pub(super) fn build_registration_request_cases(values: &InputValues) -> Vec<InputCase> {
    let PartnerValues { recipient: own, foreign, partner, token, .. } = &values.manage;
    let unknown_recipient =
        |count: u32| ExpectedResponse::PairErrors(404, format!("{NO_RECIPIENT} (bad pairs: {count})").into());
    let nowhere = "provider_id names no provider of this hub (bad pairs: 1)";
    let before = "This registration was requested before and is PENDING_APPROVAL (bad pairs: 1)";
    let provider =
        |nth: usize| expected_invalid_request(format!("provider_ids[{nth}] must be a positive integer"));
    let recipient = |nth: usize| {
        expected_invalid_request(format!("recipient_ids[{nth}] must be an id of a data recipient"))
    };
    let numbers = |count: u32| (1..=count).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let forty = (1..=40).map(|n| format!("dc-{n}")).collect::<Vec<_>>().join(",");
    let mut cases = Vec::new();
    for (recipients, providers, expected) in [
        (own.clone(), "1000".to_owned(), ExpectedResponse::PairErrors(409, before.into())),
        (own.clone(), "9999".into(), ExpectedResponse::PairErrors(400, nowhere.into())),
        (own.clone(), "2000,9999".into(), ExpectedResponse::PairErrors(400, nowhere.into())),
        (own.clone(), "2000,1000".into(), ExpectedResponse::PairErrors(409, before.into())),
        (foreign.clone(), "1000".into(), unknown_recipient(1)),
        (format!("{own},{foreign}"), "2000,9999".into(), unknown_recipient(3)),
        (partner.clone(), "1000".into(), unknown_recipient(1)),
        ("dc-unknown".into(), "1000".into(), unknown_recipient(1)),
        ("dc-sandbox".into(), "1000".into(), unknown_recipient(1)),
        ("1000".into(), own.clone(), provider(0)),
        (own.clone(), "0".into(), provider(0)),
        (own.clone(), "-1".into(), provider(0)),
        (own.clone(), "1e3".into(), provider(0)),
        (own.clone(), "2000,".into(), provider(1)),
        (own.clone(), "2000,%202000".into(), provider(1)),
        (own.clone(), "%D9%A1".into(), provider(0)),
        (own.clone(), "2000,2000".into(), expected_invalid_request("provider_ids[1] is given twice")),
        (format!("{own},{own}"), "2000".into(), expected_invalid_request("recipient_ids[1] is given twice")),
        (format!("{own},"), "2000".into(), recipient(1)),
        (format!("{own}%00"), "2000".into(), recipient(0)),
        (format!("{own}%E2%80%AE"), "2000".into(), recipient(0)),
        ("%20".into(), "2000".into(), recipient(0)),
        ("%FF".into(), "2000".into(), recipient(0)),
        (own.clone(), numbers(1001), expected_invalid_request("provider_ids must be at most 1000 items")),
        (
            forty,
            numbers(26),
            expected_invalid_request("recipient_ids and provider_ids must make at most 1000 pairs"),
        ),
        (own.clone(), "2000".into(), ExpectedResponse::Data),
    ] {
        let shown: String = format!("{recipients} with {providers}").chars().take(90).collect();
        let raw =
            RawRequest::new("POST", format!("{RECIPIENTS}/providers/requests/{recipients}/{providers}"));
        cases.push(InputCase::new(format!("manage, request {shown}"), raw.bearer(token), expected));
    }
    cases
}

pub(super) fn build_provider_cases(values: &InputValues) -> Vec<InputCase> {
    let PartnerValues { token, recipient_token: own, .. } = &values.manage;
    let mut cases = Vec::new();
    for id in ["9999", "0", "01", "x", "-1", "1e3", "%2e", "1000%00", "%FF", "99999999999999999999", "con_1"]
    {
        let raw = RawRequest::get(format!("/api/v1/providers/{id}")).bearer(token);
        let none = expected_not_found("provider_id names no provider of this hub");
        cases.push(InputCase::new(format!("manage, provider {id}"), raw, none));
    }
    let good = [("country", "CA"), ("isEnabledForClient", "TRUE"), ("colour", "red")];
    for (name, _) in good {
        for bad in BadValue::ALL {
            let expected = match (name, bad) {
                ("colour", _) | (_, BadValue::Missing | BadValue::Empty) => ExpectedResponse::Data,
                (_, BadValue::Repeated) => expected_invalid_request(format!("{name} is given twice")),
                ("country", _) => expected_invalid_request("country must be CA, US or CA,US"),
                _ => expected_invalid_request("isEnabledForClient must be TRUE or FALSE"),
            };
            for bearer in [token, own] {
                let raw = RawRequest::get(format!("/api/v2/providers?{}", bad.build_query(&good, name)))
                    .bearer(bearer);
                cases.push(InputCase::new(
                    format!("manage, providers: {bad:?} as {name}"),
                    raw,
                    expected.clone(),
                ));
            }
        }
    }
    for (query, expected) in [
        ("country=CA,US", ExpectedResponse::Data),
        ("country=CA,,US", ExpectedResponse::Data),
        ("country=ca", expected_invalid_request("country must be CA, US or CA,US")),
        ("country=FR", expected_invalid_request("country must be CA, US or CA,US")),
        ("isEnabledForClient=true", ExpectedResponse::Data),
        ("isEnabledForClient=1", expected_invalid_request("isEnabledForClient must be TRUE or FALSE")),
        ("isEnabledForClient=yes", expected_invalid_request("isEnabledForClient must be TRUE or FALSE")),
    ] {
        let raw = RawRequest::get(format!("/api/v2/providers?{query}")).bearer(own);
        cases.push(InputCase::new(format!("manage, providers: {query}"), raw, expected));
    }
    cases
}

pub(super) fn build_connection_cases(values: &InputValues) -> Vec<InputCase> {
    let managed = &values.manage;
    let under = format!("{RECIPIENTS}/{}/connections", managed.recipient);
    let mut ids: Vec<String> = BadValue::ALL
        .into_iter()
        .filter(|bad| !matches!(bad, BadValue::Missing | BadValue::Repeated | BadValue::Empty))
        .map(|bad| bad.encode(&managed.connection))
        .collect();
    ids.extend(
        ["con_", "con_unknown", "arq_1", "dc-sandbox", "1000", "null", "*", "%2e%2e"].map(str::to_owned),
    );
    ids.extend([managed.foreign_connection.clone(), managed.connection.to_uppercase()]);
    let mut cases = Vec::new();
    for id in &ids {
        let shown: String = id.chars().take(60).collect();
        for method in ["GET", "DELETE"] {
            let own =
                RawRequest::new(method, format!("/api/v1/connections/{id}")).bearer(&managed.recipient_token);
            cases.push(InputCase::new(
                format!("manage, {method} connection {shown}"),
                own,
                expected_not_found(NO_CONNECTION),
            ));
            let partners = RawRequest::new(method, format!("{under}/{id}")).bearer(&managed.token);
            let what = format!("manage, {method} a partner's connection {shown}");
            cases.push(InputCase::new(what, partners, expected_not_found(NO_CONNECTION)));
        }
    }
    cases.extend(build_paging_cases(values, &under));
    cases
}

/// Builds the cases for invalid parameters of lists. `under` is the path of the connections of a partner's recipient.
fn build_paging_cases(values: &InputValues, under: &str) -> Vec<InputCase> {
    let (managed, mut cases) = (&values.manage, Vec::new());
    let registrations = format!("{RECIPIENTS}/{}/providers/requests", managed.recipient);
    let lists = [
        ("/api/v1/connections", &managed.recipient_token),
        (under, &managed.token),
        (RECIPIENTS, &managed.token),
        ("/api/v1/recipients/providers/requests", &managed.token),
        (registrations.as_str(), &managed.token),
    ];
    for (path, bearer) in lists {
        for name in ["limit", "offset", "colour"] {
            for bad in BadValue::ALL {
                let expected = match (name, bad) {
                    ("colour", _) | (_, BadValue::Missing) => ExpectedResponse::Data,
                    ("limit", _) => expected_invalid_request("limit must be a positive integer, given once"),
                    (_, BadValue::Repeated) => expected_invalid_request("offset is given twice"),
                    _ => expected_invalid_request("offset is altered, expired or of another list"),
                };
                let query = bad.build_query(&[("limit", "5"), ("colour", "red")], name);
                let raw = RawRequest::get(format!("{path}?{query}")).bearer(bearer);
                cases.push(InputCase::new(format!("manage, {path}: {bad:?} as {name}"), raw, expected));
            }
        }
    }
    for cursor in [&managed.cursor, &values.foreign.cursor] {
        let raw = RawRequest::get(format!("{under}?offset={cursor}")).bearer(&managed.token);
        let expected = expected_invalid_request("offset is altered, expired or of another list");
        cases.push(InputCase::new("manage, connections: the cursor of another list", raw, expected));
    }
    cases
}
