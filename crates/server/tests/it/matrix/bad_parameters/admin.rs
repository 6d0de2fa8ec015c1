//! Cases for every parameter of the admin API (`/admin/v1`) with invalid values.

use super::super::expectations::ExpectedResponse;
use super::{BadValue, InputCase, InputValues};
use crate::support::RawRequest;

const FORM: &str = "application/x-www-form-urlencoded";

const CONFIGURED: &str =
    "The provider is defined in the configuration file: change it there, and reload the file with SIGHUP";

fn expected_invalid_field(field: &'static str, expected: &str) -> ExpectedResponse {
    ExpectedResponse::Problem(400, "invalid", Some(field), format!("{field}: {expected}").into())
}

pub(super) fn build_admin_cases(values: &InputValues) -> Vec<InputCase> {
    let mut cases = build_list_cases(values);
    cases.extend(build_id_cases(values));
    cases.extend(build_operator_cases(values));
    cases.extend(build_end_cases(values));
    cases.extend(build_setup_cases(values));
    cases
}

/// Builds the cases for invalid bodies of the admin API; `admin::recipients` and others test every field.
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn build_setup_cases(values: &InputValues) -> Vec<InputCase> {
    const JSON: &str = "application/json";
    let missing = |field| expected_invalid_field(field, "is missing");
    let repeated = |field| expected_invalid_field(field, "is given twice");
    let problem =
        |status, code, detail: &'static str| ExpectedResponse::Problem(status, code, None, detail.into());
    let retry = |query: &str| format!("/admin/v1/jobs/retry{query}");
    let removal = |query: &str| format!("/admin/v1/recipients/dc-sandbox?{query}");
    let mut cases = vec![
        ("POST", "/admin/v1/partners".to_owned(), r#"{"name":null}"#, missing("name")),
        ("POST", "/admin/v1/partners".into(), r#"{"name":"a","name":"a"}"#, repeated("name")),
        (
            "POST",
            "/admin/v1/partners".into(),
            r#"{"title":"a"}"#,
            expected_invalid_field("title", "expected one of name"),
        ),
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
            r#"{"client_ids":["dc-unknown"],"provider_ids":[1000]}"#,
            problem(
                404,
                "not_found",
                "No registration was requested, because pairs were rejected (rejected pairs: 1)",
            ),
        ),
        (
            "POST",
            "/admin/v1/registrations".into(),
            r#"{"client_ids":["dc-sandbox"],"provider_ids":[1000]}"#,
            problem(
                409,
                "conflict",
                "No registration was requested, because pairs were rejected (rejected pairs: 1)",
            ),
        ),
        (
            "POST",
            "/admin/v1/registrations/dc-sandbox/1000/approve".into(),
            "",
            problem(409, "conflict", "the registration is active: approve is not possible in this state"),
        ),
        ("POST", "/admin/v1/registrations/dc-sandbox/1000/reject".into(), "{}", missing("reason")),
        ("POST", "/admin/v1/providers".into(), "{}", missing("id")),
        ("PUT", "/admin/v1/providers/1000".into(), "{}", problem(409, "conflict", CONFIGURED)),
        (
            "PUT",
            "/admin/v1/providers/9999".into(),
            "{}",
            problem(404, "not_found", "There is no such provider"),
        ),
        ("POST", "/admin/v1/providers/1000/secret".into(), "{}", problem(409, "conflict", CONFIGURED)),
        (
            "PUT",
            "/admin/v1/providers/1000?dry_run=1".into(),
            "{}",
            expected_invalid_field("dry_run", "expected true, false"),
        ),
        ("POST", retry(""), "{}", expected_invalid_field("provider_id", SELECTION_EXPECTED)),
        ("POST", retry(""), r#"{"all":false}"#, expected_invalid_field("provider_id", SELECTION_EXPECTED)),
        (
            "POST",
            retry(""),
            r#"{"all":true,"provider_id":1000}"#,
            expected_invalid_field("all", SELECTION_EXPECTED),
        ),
        (
            "POST",
            retry(""),
            r#"{"provider_id":0}"#,
            expected_invalid_field("provider_id", "must be a positive integer"),
        ),
        (
            "POST",
            retry(""),
            r#"{"provider_id":9999}"#,
            problem(404, "not_found", "There is no such provider"),
        ),
        ("POST", retry(""), r#"{"all":"yes"}"#, expected_invalid_field("all", "must be true or false")),
        (
            "POST",
            retry(""),
            r#"{"all":true,"failed_until":"now"}"#,
            expected_invalid_field("failed_until", EXPECTED_TIME),
        ),
        (
            "POST",
            retry(""),
            r#"{"al":true}"#,
            expected_invalid_field("al", "expected one of provider_id, all, failed_until, after"),
        ),
        (
            "POST",
            retry(""),
            r#"{"all":true,"after":"x"}"#,
            expected_invalid_field(
                "after",
                "expected `next` of the same selection, not altered and not expired",
            ),
        ),
        (
            "POST",
            retry("?dry_run=1"),
            r#"{"all":true}"#,
            expected_invalid_field("dry_run", "expected true, false"),
        ),
        ("POST", "/admin/v1/providers".into(), r#"{"id":1,"id":2}"#, repeated("id")),
        (
            "POST",
            "/admin/v1/providers".into(),
            r#"{"id":1,"fdx":{"base_url":"https://a.example","version":"5","base_url":"https://b.example"}}"#,
            repeated("fdx.base_url"),
        ),
        (
            "POST",
            "/admin/v1/providers".into(),
            r#"{"id":1,"scopes":{"ACCOUNT_BASIC":"a","ACCOUNT_BASIC":"a"}}"#,
            repeated("scopes.ACCOUNT_BASIC"),
        ),
        (
            "POST",
            "/admin/v1/partners".into(),
            r#"{"name":"a","x":[{"y":1},{"y":1,"y":2}]}"#,
            repeated("x[1].y"),
        ),
        ("POST", "/admin/v1/operators".into(), r#"{"name":"a","x":{"y":1,"y":2}}"#, repeated("x.y")),
        ("DELETE", removal("dry_run=1"), "", expected_invalid_field("dry_run", "expected true, false")),
        (
            "DELETE",
            removal("dry_run=true&dry_run=true"),
            "",
            expected_invalid_field("dry_run", "expected once"),
        ),
        ("DELETE", removal("dryrun=true"), "", expected_invalid_field("dryrun", "expected one of dry_run")),
        ("DELETE", removal("dry_run=true"), "", ExpectedResponse::Data),
    ];
    for path in
        ["/admin/v1/partners", "/admin/v1/recipients", "/admin/v1/registrations", "/admin/v1/providers"]
    {
        let no_object = "The body is not a JSON object: line 1, column 0";
        cases.push(("POST", path.into(), "[]", problem(400, "invalid", no_object)));
    }
    let case = |(method, path, body, expected): (&str, String, &str, ExpectedResponse)| {
        let raw = RawRequest::post(path.as_str(), JSON, body).method(method).bearer(&values.operator);
        InputCase::new(format!("set up: {method} {path} {body}"), raw, expected)
    };
    let form = RawRequest::post("/admin/v1/partners", FORM, "name=a").bearer(&values.operator);
    let unsupported_type =
        problem(415, "unsupported_media_type", "The content type must be application/json");
    cases.into_iter().map(case).chain([InputCase::new("set up: a form", form, unsupported_type)]).collect()
}

/// Builds the cases for ends of connections. A misspelt `dry_run` must not end a connection.
fn build_end_cases(values: &InputValues) -> Vec<InputCase> {
    let path = format!("/admin/v1/connections/{}/end", values.connection);
    let mut cases = Vec::new();
    for bad in BadValue::ALL.into_iter().filter(|bad| *bad != BadValue::Missing) {
        let expectation = if bad == BadValue::Repeated { "expected once" } else { "expected true, false" };
        let query = bad.build_query(&[("dry_run", "true")], "dry_run");
        let raw = RawRequest::post(format!("{path}?{query}"), FORM, "").bearer(&values.operator);
        cases.push(InputCase::new(
            format!("end: {bad:?} as dry_run"),
            raw,
            expected_invalid_field("dry_run", expectation),
        ));
    }
    let raw = RawRequest::post(format!("{path}?dryrun=true"), FORM, "").bearer(&values.operator);
    cases.push(InputCase::new(
        "end: dryrun",
        raw,
        expected_invalid_field("dryrun", "expected one of dry_run"),
    ));
    let raw = RawRequest::post(format!("{path}?dry_run=true"), FORM, "").bearer(&values.operator);
    cases.push(InputCase::new("end: a dry run", raw, ExpectedResponse::Data));
    cases
}

const SELECTION_EXPECTED: &str = "expected either provider_id or all";

/// The path of a list and its parameters, each with a valid value and the error for an invalid one.
type ListParameters = (&'static str, &'static [(&'static str, &'static str, &'static str)]);
const EXPECTED_ACTION: &str = "expected client.registered, client.state_changed, client.redirect_uris_replaced, \
    client.secret_regenerated, client.removed, client.call_failed, client.access_denied, provider.changed, provider.metadata_changed, provider.orphaned_grant_resolved, provider.call_failed, registration.changed, \
    connection.opened, connection.activated, connection.narrowed, connection.end_moved, connection.ended, connection.code_rejected, connection.provider_revocation_changed, connection.call_failed, \
    job.retried, job.closed, operator.bootstrap_token_issued, operator.added, operator.removed, operator.access_denied, hub.access_denied";
const EXPECTED_TIME: &str = "expected a time in RFC 3339";
const EXPECTED_CLIENT_ID: &str = "expected a client's id";
const LISTS: [ListParameters; 8] = [
    ("/admin/v1/providers", &[]),
    (
        "/admin/v1/audit",
        &[
            ("subject_kind", "connection", "expected connection, client, provider, operator, hub"),
            ("action", "connection.ended", EXPECTED_ACTION),
            ("actor_kind", "operator", "expected recipient, customer, provider, operator, partner, system"),
            ("from", "2026-10-01T00:00:00Z", EXPECTED_TIME),
            ("before", "2026-10-01T00:00:00Z", EXPECTED_TIME),
        ],
    ),
    (
        "/admin/v1/jobs",
        &[
            ("state", "failed", "expected pending, done, failed"),
            (
                "kind",
                "revoke_at_provider",
                "expected revoke_at_provider, revoke_orphaned_grant, recover_authorization_code, register_upstream_client, delete_upstream_client, confirm_invalid_grant",
            ),
            ("provider_id", "9999", "expected a positive integer"),
        ],
    ),
    (
        "/admin/v1/connections",
        &[
            ("id", "con_unknown", "expected a connection's id"),
            ("client_id", "dc-unknown", "expected a client's id"),
            ("provider_id", "9999", "expected a positive integer"),
            ("sub", "00000000-0000-4000-8000-000000000000", "expected a UUID"),
            ("state", "active", "expected pending, active, revoked, expired, abandoned"),
            ("created_from", "2026-10-01T00:00:00Z", EXPECTED_TIME),
            ("created_before", "2026-10-01T00:00:00Z", EXPECTED_TIME),
            ("ended_from", "2026-10-01T00:00:00Z", EXPECTED_TIME),
            ("ended_before", "2026-10-01T00:00:00Z", EXPECTED_TIME),
        ],
    ),
    ("/admin/v1/operators", &[]),
    ("/admin/v1/partners", &[]),
    (
        "/admin/v1/recipients",
        &[
            ("partner", "pt-unknown", EXPECTED_CLIENT_ID),
            ("state", "active", "expected active, suspended, closed"),
        ],
    ),
    (
        "/admin/v1/registrations",
        &[
            ("client_id", "dc-unknown", EXPECTED_CLIENT_ID),
            ("provider_id", "9999", "expected a positive integer"),
            ("partner", "pt-unknown", EXPECTED_CLIENT_ID),
            ("state", "active", "expected pending_approval, pending_activation, active, suspended, rejected"),
        ],
    ),
];

fn build_list_cases(values: &InputValues) -> Vec<InputCase> {
    let mut cases = Vec::new();
    let paging = [
        ("limit", "5", "expected a positive integer"),
        ("after", "x", "expected `next` of the same list, not altered and not expired"),
    ];
    for (path, own) in LISTS {
        for (name, good, expectation) in paging.iter().chain(own) {
            for bad in BadValue::ALL {
                let expected = match bad {
                    BadValue::Missing => ExpectedResponse::Data,
                    BadValue::Repeated => expected_invalid_field(name, "expected once"),
                    _ => expected_invalid_field(name, expectation),
                };
                let raw = RawRequest::get(format!("{path}?{}", bad.build_query(&[(name, good)], name)));
                cases.push(InputCase::new(
                    format!("{path}: {bad:?} as {name}"),
                    raw.bearer(&values.operator),
                    expected,
                ));
            }
        }
        for (query, field) in [("limit=0", "limit"), ("limit=%2B1", "limit"), ("limit=99999999999", "limit")]
        {
            let raw = RawRequest::get(format!("{path}?{query}")).bearer(&values.operator);
            cases.push(InputCase::new(
                format!("{path}: {query}"),
                raw,
                expected_invalid_field(field, "expected a positive integer"),
            ));
        }
        if path == "/admin/v1/audit" {
            cases.extend(build_audit_id_cases(values));
            continue;
        }
        let known_parameters: Vec<_> = own.iter().map(|(name, ..)| *name).chain(["limit", "after"]).collect();
        let raw = RawRequest::get(format!("{path}?colour=red")).bearer(&values.operator);
        let expected =
            expected_invalid_field("colour", &format!("expected one of {}", known_parameters.join(", ")));
        cases.push(InputCase::new(format!("{path}: what is not known"), raw, expected));
    }
    cases
}

/// Builds the cases for ids in the audit log, which require the kind of the subject.
fn build_audit_id_cases(values: &InputValues) -> Vec<InputCase> {
    let mut cases = Vec::new();
    for (kind, id) in [("subject_kind", "subject_id"), ("actor_kind", "actor_id")] {
        for bad in BadValue::ALL {
            let expected = match bad {
                BadValue::Missing => ExpectedResponse::Data,
                BadValue::Repeated => expected_invalid_field(id, "expected once"),
                _ => expected_invalid_field(id, "expected an id"),
            };
            let raw = RawRequest::get(format!(
                "/admin/v1/audit?{}",
                bad.build_query(&[(kind, "operator"), (id, "opr_1")], id)
            ));
            cases.push(InputCase::new(
                format!("audit: {bad:?} as {id}"),
                raw.bearer(&values.operator),
                expected,
            ));
        }
        let raw = RawRequest::get(format!("/admin/v1/audit?{id}=opr_1")).bearer(&values.operator);
        cases.push(InputCase::new(
            format!("audit: {id} without its kind"),
            raw,
            expected_invalid_field(kind, &format!("expected with {id}")),
        ));
    }
    cases
}

/// Routes with an id in the path: method, path, the id of an object that does not exist, and the expected error.
const IDS: [(&str, &str, &str, &str); 23] = [
    ("GET", "/admin/v1/providers/{}", "9999", "There is no such provider"),
    ("POST", "/admin/v1/providers/{}/pause", "9999", "There is no such provider"),
    ("POST", "/admin/v1/providers/{}/release", "9999", "There is no such provider"),
    ("POST", "/admin/v1/providers/{}/retire", "9999", "There is no such provider"),
    ("POST", "/admin/v1/jobs/{}/retry", "job_unknown", "There is no such job"),
    ("POST", "/admin/v1/jobs/{}/close", "job_unknown", "There is no such job"),
    ("DELETE", "/admin/v1/operators/{}", "opr_nobody", "There is no such operator"),
    ("GET", "/admin/v1/connections/{}", "con_unknown", "There is no such connection"),
    ("POST", "/admin/v1/connections/{}/end", "con_unknown", "There is no such connection"),
    ("POST", "/admin/v1/providers/{}/test", "9999", "There is no such provider"),
    ("GET", "/admin/v1/partners/{}", "pt-unknown", "There is no such partner"),
    ("POST", "/admin/v1/partners/{}/secret", "pt-unknown", "There is no such partner"),
    ("POST", "/admin/v1/partners/{}/suspend", "pt-unknown", "There is no such partner"),
    ("POST", "/admin/v1/partners/{}/reinstate", "pt-unknown", "There is no such partner"),
    ("GET", "/admin/v1/recipients/{}", "dc-unknown", "There is no such recipient"),
    ("DELETE", "/admin/v1/recipients/{}", "dc-unknown", "There is no such recipient"),
    ("POST", "/admin/v1/recipients/{}/secret", "dc-unknown", "There is no such recipient"),
    ("POST", "/admin/v1/recipients/{}/suspend", "dc-unknown", "There is no such recipient"),
    ("POST", "/admin/v1/recipients/{}/reinstate", "dc-unknown", "There is no such recipient"),
    ("POST", "/admin/v1/registrations/dc-sandbox/{}/approve", "9999", "There is no such registration"),
    ("POST", "/admin/v1/registrations/dc-sandbox/{}/activate", "9999", "There is no such registration"),
    ("POST", "/admin/v1/registrations/dc-sandbox/{}/suspend", "9999", "There is no such registration"),
    ("POST", "/admin/v1/registrations/dc-sandbox/{}/reinstate", "9999", "There is no such registration"),
];

fn build_id_cases(values: &InputValues) -> Vec<InputCase> {
    let mut cases = Vec::new();
    for (method, path, good, detail) in IDS {
        for bad in BadValue::ALL {
            let (id, detail) = match bad {
                BadValue::Empty => (String::new(), "There is nothing at this path"),
                _ => (bad.encode(good), detail),
            };
            if bad == BadValue::Empty && !path.ends_with("{}") {
                continue;
            }
            let raw = RawRequest::new(method, path.replace("{}", &id)).bearer(&values.operator);
            let expected = ExpectedResponse::Problem(404, "not_found", None, detail.into());
            cases.push(InputCase::new(format!("{method} {path}: {bad:?}"), raw, expected));
        }
    }
    cases
}

fn build_operator_cases(values: &InputValues) -> Vec<InputCase> {
    let good = [("name", "ann"), ("role", "viewer"), ("expires_at", "2026-12-01T00:00:00Z")];
    let path = "/admin/v1/operators";
    let post = |kind: &str, body: &str| RawRequest::post(path, kind, body).bearer(&values.operator);
    let mut cases = Vec::new();
    for (name, expectation) in [
        ("name", "expected 1 to 64 letters, digits or -._@, and not bootstrap"),
        ("role", "expected viewer, operator, admin"),
        ("expires_at", "expected a time in RFC 3339, at most 366 days from now"),
    ] {
        for bad in BadValue::ALL.into_iter().filter(|bad| name != "expires_at" || *bad != BadValue::Missing) {
            let expectation = match bad {
                BadValue::Repeated => "is given twice",
                BadValue::Missing => "is missing",
                _ => expectation,
            };
            let raw = post(FORM, &bad.build_query(&good, name));
            cases.push(InputCase::new(
                format!("operators: {bad:?} as {name}"),
                raw,
                expected_invalid_field(name, expectation),
            ));
        }
    }
    let problem =
        |status, code, detail: &'static str| ExpectedResponse::Problem(status, code, None, detail.into());
    let large = format!("name={}", "x".repeat(70_000));
    for (kind, body, expected) in [
        (
            FORM,
            "name=bootstrap&role=admin",
            expected_invalid_field("name", "expected 1 to 64 letters, digits or -._@, and not bootstrap"),
        ),
        (
            FORM,
            "name=ann&role=admin&expires_at=2020-01-01T00:00:00Z",
            expected_invalid_field("expires_at", "expected a time in RFC 3339, at most 366 days from now"),
        ),
        (
            FORM,
            "name=ann&role=admin&expires_at=2999-01-01T00:00:00Z",
            expected_invalid_field("expires_at", "expected a time in RFC 3339, at most 366 days from now"),
        ),
        (
            FORM,
            "name=ann&role=admin&colour=red",
            expected_invalid_field("colour", "expected one of name, role, expires_at"),
        ),
        (
            FORM,
            "name=sandbox&role=viewer",
            problem(409, "conflict", "An operator with this name exists already"),
        ),
        (
            "application/json",
            r#"{"name":1,"role":"admin"}"#,
            expected_invalid_field("name", "must be a string"),
        ),
        ("application/json", "{", problem(400, "invalid", "The body is not a JSON object: line 1, column 1")),
        (
            "text/plain",
            "x",
            problem(
                415,
                "unsupported_media_type",
                "The content type must be application/json or application/x-www-form-urlencoded",
            ),
        ),
        (FORM, &large, problem(413, "too_large", "The body is too large")),
    ] {
        let shown: String = body.chars().take(40).collect();
        cases.push(InputCase::new(format!("operators: {shown}"), post(kind, body), expected));
    }
    cases
}
