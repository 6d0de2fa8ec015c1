//! `/admin/v1`: every parameter of the operators' API.

use super::super::expect::Expected;
use super::{Bad, Case, Values};
use crate::kit::Raw;

const FORM: &str = "application/x-www-form-urlencoded";

fn invalid(field: &'static str, expected: &str) -> Expected {
    Expected::Problem(400, "invalid", Some(field), format!("{field}: {expected}").into())
}

pub(super) fn cases(values: &Values) -> Vec<Case> {
    let mut cases = lists(values);
    cases.extend(ids(values));
    cases.extend(operators(values));
    cases.extend(ends(values));
    cases.extend(set_up(values));
    cases
}

/// Bodies of what operators set up, each with what is wrong in it; `admin::recipients` and its like try every field.
fn set_up(values: &Values) -> Vec<Case> {
    const JSON: &str = "application/json";
    let missing = |field| invalid(field, "is missing");
    let twice = |field| invalid(field, "is given twice");
    let about = |status, code, told: &'static str| Expected::Problem(status, code, None, told.into());
    let removal = |query: &str| format!("/admin/v1/recipients/dc-sandbox?{query}");
    let mut cases = vec![
        ("POST", "/admin/v1/partners".to_owned(), r#"{"name":null}"#, missing("name")),
        ("POST", "/admin/v1/partners".into(), r#"{"name":"a","name":"a"}"#, twice("name")),
        ("POST", "/admin/v1/partners".into(), r#"{"title":"a"}"#, invalid("title", "expected one of name")),
        ("POST", "/admin/v1/recipients".into(), "{}", missing("name")),
        (
            "PUT",
            "/admin/v1/recipients/dc-sandbox".into(),
            r#"{"redirect_uris":[]}"#,
            missing("redirect_uris"),
        ),
        (
            "POST",
            "/admin/v1/registrations".into(),
            r#"{"client_ids":["dc-sandbox"]}"#,
            missing("provider_ids"),
        ),
        (
            "POST",
            "/admin/v1/registrations".into(),
            r#"{"client_ids":["dc-nobody"],"provider_ids":[1000]}"#,
            about(404, "not_found", "Registrations are asked for all or none (bad pairs: 1)"),
        ),
        (
            "POST",
            "/admin/v1/registrations".into(),
            r#"{"client_ids":["dc-sandbox"],"provider_ids":[1000]}"#,
            about(409, "conflict", "Registrations are asked for all or none (bad pairs: 1)"),
        ),
        (
            "POST",
            "/admin/v1/registrations/dc-sandbox/1000/approve".into(),
            "",
            about(409, "conflict", "a registration that is active cannot take the step approve"),
        ),
        ("POST", "/admin/v1/registrations/dc-sandbox/1000/reject".into(), "{}", missing("reason")),
        ("POST", "/admin/v1/providers".into(), "{}", missing("id")),
        ("POST", "/admin/v1/providers".into(), r#"{"id":1,"id":2}"#, twice("id")),
        (
            "POST",
            "/admin/v1/providers".into(),
            r#"{"id":1,"fdx":{"base_url":"https://a.example","version":"5","base_url":"https://b.example"}}"#,
            twice("fdx.base_url"),
        ),
        (
            "POST",
            "/admin/v1/providers".into(),
            r#"{"id":1,"scopes":{"ACCOUNT_BASIC":"a","ACCOUNT_BASIC":"a"}}"#,
            twice("scopes.ACCOUNT_BASIC"),
        ),
        ("POST", "/admin/v1/partners".into(), r#"{"name":"a","x":[{"y":1},{"y":1,"y":2}]}"#, twice("x[1].y")),
        ("POST", "/admin/v1/operators".into(), r#"{"name":"a","x":{"y":1,"y":2}}"#, twice("x.y")),
        ("DELETE", removal("dry_run=1"), "", invalid("dry_run", "expected true, false")),
        ("DELETE", removal("dry_run=true&dry_run=true"), "", invalid("dry_run", "expected once")),
        ("DELETE", removal("dryrun=true"), "", invalid("dryrun", "expected one of dry_run")),
        ("DELETE", removal("dry_run=true"), "", Expected::Data),
    ];
    for path in
        ["/admin/v1/partners", "/admin/v1/recipients", "/admin/v1/registrations", "/admin/v1/providers"]
    {
        let no_object = "The body is no JSON object: line 1, column 0";
        cases.push(("POST", path.into(), "[]", about(400, "invalid", no_object)));
    }
    let case = |(method, path, body, expected): (&str, String, &str, Expected)| {
        let raw = Raw::post(path.as_str(), JSON, body).method(method).bearer(&values.operator);
        Case::new(format!("set up: {method} {path} {body}"), raw, expected)
    };
    let form = Raw::post("/admin/v1/partners", FORM, "name=a").bearer(&values.operator);
    let told = about(415, "unsupported_media_type", "The content type must be application/json");
    cases.into_iter().map(case).chain([Case::new("set up: a form", form, told)]).collect()
}

/// A dry run that is misspelt must not be an end.
fn ends(values: &Values) -> Vec<Case> {
    let path = format!("/admin/v1/connections/{}/end", values.connection);
    let mut cases = Vec::new();
    for bad in Bad::ALL.into_iter().filter(|bad| *bad != Bad::Missing) {
        let told = if bad == Bad::Twice { "expected once" } else { "expected true, false" };
        let query = bad.within(&[("dry_run", "true")], "dry_run");
        let raw = Raw::post(format!("{path}?{query}"), FORM, "").bearer(&values.operator);
        cases.push(Case::new(format!("end: {bad:?} as dry_run"), raw, invalid("dry_run", told)));
    }
    let raw = Raw::post(format!("{path}?dryrun=true"), FORM, "").bearer(&values.operator);
    cases.push(Case::new("end: dryrun", raw, invalid("dryrun", "expected one of dry_run")));
    let raw = Raw::post(format!("{path}?dry_run=true"), FORM, "").bearer(&values.operator);
    cases.push(Case::new("end: a dry run", raw, Expected::Data));
    cases
}

/// The lists, the parameters of each with a good value, and what a bad one is told.
type List = (&'static str, &'static [(&'static str, &'static str, &'static str)]);
const ACTIONS: &str = "expected client.registered, client.state_changed, client.redirect_uris_replaced, \
    client.secret_regenerated, client.removed, provider.changed, provider.orphan_settled, registration.changed, \
    connection.opened, connection.activated, connection.ended, connection.code_refused, connection.bank_told, \
    job.retried, job.closed, operator.bootstrap_issued, operator.added, operator.removed";
const TIME: &str = "expected a time in RFC 3339";
const CLIENT: &str = "expected a client's id";
const LISTS: [List; 8] = [
    ("/admin/v1/providers", &[]),
    (
        "/admin/v1/audit",
        &[
            ("subject_kind", "connection", "expected connection, client, provider, operator"),
            ("action", "connection.ended", ACTIONS),
            ("actor_kind", "operator", "expected recipient, customer, provider, operator, partner, system"),
            ("from", "2026-10-01T00:00:00Z", TIME),
            ("before", "2026-10-01T00:00:00Z", TIME),
        ],
    ),
    (
        "/admin/v1/jobs",
        &[
            ("state", "dead", "expected pending, done, dead"),
            (
                "kind",
                "tell_bank",
                "expected tell_bank, revoke_orphan, recover_code, register_client, delete_client",
            ),
            ("provider_id", "9999", "expected a positive integer"),
        ],
    ),
    (
        "/admin/v1/connections",
        &[
            ("id", "con_nobody", "expected a connection's id"),
            ("client_id", "dc-nobody", "expected a client's id"),
            ("provider_id", "9999", "expected a positive integer"),
            ("sub", "00000000-0000-4000-8000-000000000000", "expected a UUID"),
            ("state", "active", "expected pending, active, revoked, expired, abandoned"),
            ("created_from", "2026-10-01T00:00:00Z", TIME),
            ("created_before", "2026-10-01T00:00:00Z", TIME),
            ("ended_from", "2026-10-01T00:00:00Z", TIME),
            ("ended_before", "2026-10-01T00:00:00Z", TIME),
        ],
    ),
    ("/admin/v1/operators", &[]),
    ("/admin/v1/partners", &[]),
    (
        "/admin/v1/recipients",
        &[("partner", "pt-nobody", CLIENT), ("state", "active", "expected active, suspended, closed")],
    ),
    (
        "/admin/v1/registrations",
        &[
            ("client_id", "dc-nobody", CLIENT),
            ("provider_id", "9999", "expected a positive integer"),
            ("partner", "pt-nobody", CLIENT),
            ("state", "active", "expected pending_approval, pending_activation, active, suspended, rejected"),
        ],
    ),
];

fn lists(values: &Values) -> Vec<Case> {
    let mut cases = Vec::new();
    let paging = [
        ("limit", "5", "expected a positive integer"),
        ("after", "x", "expected `next` of the same list, not altered and not expired"),
    ];
    for (path, own) in LISTS {
        for (name, good, told) in paging.iter().chain(own) {
            for bad in Bad::ALL {
                let expected = match bad {
                    Bad::Missing => Expected::Data,
                    Bad::Twice => invalid(name, "expected once"),
                    _ => invalid(name, told),
                };
                let raw = Raw::get(format!("{path}?{}", bad.within(&[(name, good)], name)));
                cases.push(Case::new(
                    format!("{path}: {bad:?} as {name}"),
                    raw.bearer(&values.operator),
                    expected,
                ));
            }
        }
        for (query, field) in [("limit=0", "limit"), ("limit=%2B1", "limit"), ("limit=99999999999", "limit")]
        {
            let raw = Raw::get(format!("{path}?{query}")).bearer(&values.operator);
            cases.push(Case::new(
                format!("{path}: {query}"),
                raw,
                invalid(field, "expected a positive integer"),
            ));
        }
        if path == "/admin/v1/audit" {
            cases.extend(pairs(values));
            continue;
        }
        let known: Vec<_> = own.iter().map(|(name, ..)| *name).chain(["limit", "after"]).collect();
        let raw = Raw::get(format!("{path}?colour=red")).bearer(&values.operator);
        let expected = invalid("colour", &format!("expected one of {}", known.join(", ")));
        cases.push(Case::new(format!("{path}: what is not known"), raw, expected));
    }
    cases
}

/// An id of the record says nothing without its kind.
fn pairs(values: &Values) -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, id) in [("subject_kind", "subject_id"), ("actor_kind", "actor_id")] {
        for bad in Bad::ALL {
            let expected = match bad {
                Bad::Missing => Expected::Data,
                Bad::Twice => invalid(id, "expected once"),
                _ => invalid(id, "expected an id"),
            };
            let raw =
                Raw::get(format!("/admin/v1/audit?{}", bad.within(&[(kind, "operator"), (id, "opr_1")], id)));
            cases.push(Case::new(format!("audit: {bad:?} as {id}"), raw.bearer(&values.operator), expected));
        }
        let raw = Raw::get(format!("/admin/v1/audit?{id}=opr_1")).bearer(&values.operator);
        cases.push(Case::new(
            format!("audit: {id} alone"),
            raw,
            invalid(kind, &format!("expected with {id}")),
        ));
    }
    cases
}

/// What is named in a path, and what is said of one that is not there.
const IDS: [(&str, &str, &str, &str); 23] = [
    ("GET", "/admin/v1/providers/{}", "9999", "There is no such provider"),
    ("POST", "/admin/v1/providers/{}/pause", "9999", "There is no such provider"),
    ("POST", "/admin/v1/providers/{}/release", "9999", "There is no such provider"),
    ("POST", "/admin/v1/providers/{}/retire", "9999", "There is no such provider"),
    ("POST", "/admin/v1/jobs/{}/retry", "job_nobody", "There is no such job"),
    ("POST", "/admin/v1/jobs/{}/close", "job_nobody", "There is no such job"),
    ("DELETE", "/admin/v1/operators/{}", "opr_nobody", "There is no such operator"),
    ("GET", "/admin/v1/connections/{}", "con_nobody", "There is no such connection"),
    ("POST", "/admin/v1/connections/{}/end", "con_nobody", "There is no such connection"),
    ("POST", "/admin/v1/providers/{}/test", "9999", "There is no such provider"),
    ("GET", "/admin/v1/partners/{}", "pt-nobody", "There is no such partner"),
    ("POST", "/admin/v1/partners/{}/secret", "pt-nobody", "There is no such partner"),
    ("POST", "/admin/v1/partners/{}/suspend", "pt-nobody", "There is no such partner"),
    ("POST", "/admin/v1/partners/{}/reinstate", "pt-nobody", "There is no such partner"),
    ("GET", "/admin/v1/recipients/{}", "dc-nobody", "There is no such recipient"),
    ("DELETE", "/admin/v1/recipients/{}", "dc-nobody", "There is no such recipient"),
    ("POST", "/admin/v1/recipients/{}/secret", "dc-nobody", "There is no such recipient"),
    ("POST", "/admin/v1/recipients/{}/suspend", "dc-nobody", "There is no such recipient"),
    ("POST", "/admin/v1/recipients/{}/reinstate", "dc-nobody", "There is no such recipient"),
    ("POST", "/admin/v1/registrations/dc-sandbox/{}/approve", "9999", "There is no such registration"),
    ("POST", "/admin/v1/registrations/dc-sandbox/{}/activate", "9999", "There is no such registration"),
    ("POST", "/admin/v1/registrations/dc-sandbox/{}/suspend", "9999", "There is no such registration"),
    ("POST", "/admin/v1/registrations/dc-sandbox/{}/reinstate", "9999", "There is no such registration"),
];

fn ids(values: &Values) -> Vec<Case> {
    let mut cases = Vec::new();
    for (method, path, good, told) in IDS {
        for bad in Bad::ALL {
            let (id, told) = match bad {
                Bad::Empty => (String::new(), "There is nothing at this path"),
                _ => (bad.encoded(good), told),
            };
            if bad == Bad::Empty && !path.ends_with("{}") {
                continue;
            }
            let raw = Raw::new(method, path.replace("{}", &id)).bearer(&values.operator);
            let expected = Expected::Problem(404, "not_found", None, told.into());
            cases.push(Case::new(format!("{method} {path}: {bad:?}"), raw, expected));
        }
    }
    cases
}

fn operators(values: &Values) -> Vec<Case> {
    let good = [("name", "ann"), ("role", "viewer"), ("expires_at", "2026-12-01T00:00:00Z")];
    let path = "/admin/v1/operators";
    let post = |kind: &str, body: &str| Raw::post(path, kind, body).bearer(&values.operator);
    let mut cases = Vec::new();
    for (name, told) in [
        ("name", "expected 1 to 64 letters, digits or -._@, and not bootstrap"),
        ("role", "expected viewer, operator, admin"),
        ("expires_at", "expected a time in RFC 3339, at most 366 days from now"),
    ] {
        for bad in Bad::ALL.into_iter().filter(|bad| name != "expires_at" || *bad != Bad::Missing) {
            let told = if bad == Bad::Twice { "expected once" } else { told };
            let raw = post(FORM, &bad.within(&good, name));
            cases.push(Case::new(format!("operators: {bad:?} as {name}"), raw, invalid(name, told)));
        }
    }
    let about = |status, code, told: &'static str| Expected::Problem(status, code, None, told.into());
    let large = format!("name={}", "x".repeat(70_000));
    for (kind, body, expected) in [
        (
            FORM,
            "name=bootstrap&role=admin",
            invalid("name", "expected 1 to 64 letters, digits or -._@, and not bootstrap"),
        ),
        (
            FORM,
            "name=ann&role=admin&expires_at=2020-01-01T00:00:00Z",
            invalid("expires_at", "expected a time in RFC 3339, at most 366 days from now"),
        ),
        (
            FORM,
            "name=ann&role=admin&expires_at=2999-01-01T00:00:00Z",
            invalid("expires_at", "expected a time in RFC 3339, at most 366 days from now"),
        ),
        (FORM, "name=ann&role=admin&colour=red", invalid("colour", "expected one of name, role, expires_at")),
        (
            FORM,
            "name=sandbox&role=viewer",
            about(409, "conflict", "An operator of this name is there already"),
        ),
        ("application/json", r#"{"name":1,"role":"admin"}"#, about(400, "invalid", "name must be a string")),
        ("application/json", "{", about(400, "invalid", "The body is no JSON object: line 1, column 1")),
        (
            "text/plain",
            "x",
            about(
                415,
                "unsupported_media_type",
                "The content type must be application/json or application/x-www-form-urlencoded",
            ),
        ),
        (FORM, &large, about(413, "too_large", "The body is too large")),
    ] {
        let shown: String = body.chars().take(40).collect();
        cases.push(Case::new(format!("operators: {shown}"), post(kind, body), expected));
    }
    cases
}
