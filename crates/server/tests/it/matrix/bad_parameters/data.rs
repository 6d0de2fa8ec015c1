//! Cases for the operations of the FDX API with invalid ids in the path or an invalid query.

use domain::error::OAuthCode;
use fdx::ErrorCode;

use super::super::expectations::{ExpectedResponse, NOT_FOUND};
use super::{BadValue, InputCase, InputValues};
use crate::support::RawRequest;

const BASE: &str = "/api/fdx/5";
const NO_ACCOUNT: ExpectedResponse =
    ExpectedResponse::Fdx(ErrorCode::AccountNotFound, "accountId is not an account of this consent");

const fn expected_invalid_input(debug_message: &'static str) -> ExpectedResponse {
    ExpectedResponse::Fdx(ErrorCode::InvalidInput, debug_message)
}

pub(super) fn build_data_cases(values: &InputValues) -> Vec<InputCase> {
    let mut cases = build_account_id_cases(values);
    cases.extend(build_account_list_cases(values));
    cases.extend(build_transaction_cases(values));
    cases.extend(build_page_cases(values, "payment-networks"));
    cases.extend(build_statement_cases(values));
    let raw = RawRequest::get(format!("{BASE}/accounts/{}/contact?limit=0&%00", values.account));
    cases.push(InputCase::new(
        "contact: a query is ignored",
        raw.bearer(&values.access),
        ExpectedResponse::Data,
    ));
    cases.extend(build_download_cases(values));
    cases.extend(build_path_cases(values));
    cases.extend(build_metadata_cases(values));
    for query in ["?x=%00", "?limit=0&offset=x", "?%", "?accountIds=x&accountIds=y"] {
        let raw = RawRequest::get(format!("{BASE}/customers/current{query}")).bearer(&values.access);
        cases.push(InputCase::new(format!("customer: {query} is ignored"), raw, ExpectedResponse::Data));
    }
    cases
}

/// Builds the cases for invalid account ids, for every operation on an account.
fn build_account_id_cases(values: &InputValues) -> Vec<InputCase> {
    let account = &values.account;
    let mut ids: Vec<String> = BadValue::ALL
        .into_iter()
        .filter(|bad| !matches!(bad, BadValue::Missing | BadValue::Repeated | BadValue::Empty))
        .map(|bad| bad.encode(account))
        .collect();
    ids.extend(
        [
            "acc_",
            "acc_x",
            "acc_AAAA",
            "mt-alice-chequing",
            "..",
            ".",
            "%2e%2e",
            "..%2Fcustomers%2Fcurrent",
            "..%5C..",
            "..;",
            "%2F",
            "%252e%252e",
            "*",
            "null",
            "0",
            "-1",
        ]
        .map(str::to_owned),
    );
    ids.extend([
        account.to_lowercase(),
        account.to_uppercase(),
        format!("{account}="),
        account[..account.len().saturating_sub(1)].to_owned(),
        format!("%61cc_{}", "A".repeat(12_000)),
        values.foreign.account.clone(),
    ]);
    let mut cases = Vec::new();
    for id in ids {
        for rest in ["", "/contact", "/transactions", "/payment-networks", "/statements", "/statements/x"] {
            let raw = RawRequest::get(format!("{BASE}/accounts/{id}{rest}")).bearer(&values.access);
            let shown: String = id.chars().take(60).collect();
            cases.push(InputCase::new(format!("account {shown}{rest}"), raw, NO_ACCOUNT));
        }
    }
    cases
}

fn build_account_list_cases(values: &InputValues) -> Vec<InputCase> {
    let good = [
        ("limit", "5"),
        ("resultType", "details"),
        ("accountIds", values.account.as_str()),
        ("colour", "red"),
    ];
    let mut cases = Vec::new();
    for name in ["limit", "resultType", "accountIds", "offset", "colour"] {
        for bad in BadValue::ALL {
            let raw = RawRequest::get(format!("{BASE}/accounts?{}", bad.build_query(&good, name)))
                .bearer(&values.access);
            cases.push(InputCase::new(
                format!("accounts: {bad:?} as {name}"),
                raw,
                expected_list_response(name, bad),
            ));
        }
    }
    let many = vec!["acc_x"; 101].join(",");
    for (query, expected) in [
        ("limit=0", expected_invalid_input("limit must be a positive integer, given once")),
        ("limit=-1", expected_invalid_input("limit must be a positive integer, given once")),
        ("limit=%2B1", expected_invalid_input("limit must be a positive integer, given once")),
        ("limit=1.0", expected_invalid_input("limit must be a positive integer, given once")),
        ("limit=1e1", expected_invalid_input("limit must be a positive integer, given once")),
        ("limit=0x10", expected_invalid_input("limit must be a positive integer, given once")),
        ("limit=%D9%A1", expected_invalid_input("limit must be a positive integer, given once")),
        (
            "limit=99999999999999999999",
            expected_invalid_input("limit must be a positive integer, given once"),
        ),
        ("limit=4294967296", ExpectedResponse::Data),
        ("limit=501", ExpectedResponse::Data),
        ("resultType=DETAILS", expected_invalid_input("resultType must be lightweight or details")),
        (
            "resultType=lightweight,details",
            expected_invalid_input("resultType must be lightweight or details"),
        ),
        ("offset=0", expected_invalid_input("offset is altered, expired or of another list")),
        ("limit[]=5", ExpectedResponse::Data),
        (&*format!("accountIds={many}"), expected_invalid_input("accountIds must name at most 100 accounts")),
        (&*format!("accountIds={}", values.foreign.account), ExpectedResponse::Data),
        (
            &*format!("limit=1&resultType=lightweight&offset={}", values.foreign.cursor),
            expected_invalid_input("offset is altered, expired or of another list"),
        ),
    ] {
        let raw = RawRequest::get(format!("{BASE}/accounts?{query}")).bearer(&values.access);
        let shown: String = query.chars().take(60).collect();
        cases.push(InputCase::new(format!("accounts: {shown}"), raw, expected));
    }
    cases
}

/// Returns the expected response to a list request in which one parameter has a bad value.
fn expected_list_response(name: &str, bad: BadValue) -> ExpectedResponse {
    match (name, bad) {
        ("colour", _) | (_, BadValue::Missing) => ExpectedResponse::Data,
        ("limit", _) => expected_invalid_input("limit must be a positive integer, given once"),
        ("resultType", BadValue::Repeated) => expected_invalid_input("resultType is given twice"),
        ("resultType", _) => expected_invalid_input("resultType must be lightweight or details"),
        ("accountIds", BadValue::Repeated) => expected_invalid_input("accountIds is given twice"),
        // Invalid ids match no account, so the list is empty.
        ("accountIds", _) => ExpectedResponse::Data,
        ("offset", BadValue::Repeated) => expected_invalid_input("offset is given twice"),
        ("offset", _) => expected_invalid_input("offset is altered, expired or of another list"),
        (name, bad) => panic!("no expectation is listed for {bad:?} as {name}"),
    }
}

fn build_transaction_cases(values: &InputValues) -> Vec<InputCase> {
    const INVALID_DATE: ExpectedResponse = ExpectedResponse::Fdx(
        ErrorCode::InvalidDate,
        "startTime and endTime must be calendar dates in the form YYYY-MM-DD",
    );
    let good = [("startTime", "2026-10-01"), ("endTime", "2026-10-31"), ("limit", "5")];
    let path = format!("{BASE}/accounts/{}/transactions", values.account);
    let mut cases = Vec::new();
    for name in ["startTime", "endTime", "limit", "offset", "colour"] {
        for bad in BadValue::ALL {
            let expected = match (name, bad) {
                ("startTime" | "endTime", BadValue::Missing) => ExpectedResponse::Data,
                ("startTime", BadValue::Repeated) => expected_invalid_input("startTime is given twice"),
                ("endTime", BadValue::Repeated) => expected_invalid_input("endTime is given twice"),
                ("startTime" | "endTime", _) => INVALID_DATE,
                (name, bad) => expected_list_response(name, bad),
            };
            let raw =
                RawRequest::get(format!("{path}?{}", bad.build_query(&good, name))).bearer(&values.access);
            cases.push(InputCase::new(format!("transactions: {bad:?} as {name}"), raw, expected));
        }
    }
    let reversed = ExpectedResponse::Fdx(ErrorCode::InvalidRange, "startTime must not be after endTime");
    for (query, expected) in [
        ("startTime=2026-02-30", INVALID_DATE),
        ("startTime=2026-13-01", INVALID_DATE),
        ("startTime=2026-00-00", INVALID_DATE),
        ("startTime=0000-01-01", ExpectedResponse::Data),
        ("endTime=9999-12-31", ExpectedResponse::Data),
        ("startTime=2026-1-1", INVALID_DATE),
        ("startTime=20260101", INVALID_DATE),
        ("startTime=2026-10-01T00:00:00Z", INVALID_DATE),
        ("startTime=1790000000", INVALID_DATE),
        ("startTime=-026-10-01", INVALID_DATE),
        ("startTime=%D9%A2026-10-1", INVALID_DATE),
        ("endTime=tomorrow", INVALID_DATE),
        ("startTime=2026-10-02&endTime=2026-10-01", reversed.clone()),
        ("startTime=9999-12-31&endTime=0001-01-01", reversed),
    ] {
        let raw = RawRequest::get(format!("{path}?{query}")).bearer(&values.access);
        cases.push(InputCase::new(format!("transactions: {query}"), raw, expected));
    }
    cases
}

fn build_statement_cases(values: &InputValues) -> Vec<InputCase> {
    const INVALID_DATE_FORMAT: ExpectedResponse =
        expected_invalid_input("startTime and endTime must have the form YYYY-MM-DD");
    const INVALID_DATE: ExpectedResponse = ExpectedResponse::Fdx(
        ErrorCode::InvalidDate,
        "startTime and endTime must be calendar dates in the form YYYY-MM-DD",
    );
    const INCOMPLETE_RANGE: ExpectedResponse =
        ExpectedResponse::Fdx(ErrorCode::InvalidRange, "startTime and endTime must be given together");
    let good = [("startTime", "2026-08-01"), ("endTime", "2026-10-31"), ("limit", "5")];
    let path = format!("{BASE}/accounts/{}/statements", values.account);
    let mut cases = Vec::new();
    for name in ["startTime", "endTime", "limit", "offset", "colour"] {
        for bad in BadValue::ALL {
            let expected = match (name, bad) {
                ("startTime" | "endTime", BadValue::Missing) => INCOMPLETE_RANGE,
                ("startTime", BadValue::Repeated) => expected_invalid_input("startTime is given twice"),
                ("endTime", BadValue::Repeated) => expected_invalid_input("endTime is given twice"),
                ("startTime" | "endTime", _) => INVALID_DATE_FORMAT,
                (name, bad) => expected_list_response(name, bad),
            };
            let raw =
                RawRequest::get(format!("{path}?{}", bad.build_query(&good, name))).bearer(&values.access);
            cases.push(InputCase::new(format!("statements: {bad:?} as {name}"), raw, expected));
        }
    }
    let reversed = ExpectedResponse::Fdx(ErrorCode::InvalidRange, "startTime must not be after endTime");
    for (query, expected) in [
        ("startTime=2026-02-30&endTime=2026-03-01", INVALID_DATE),
        ("startTime=2026-01-01&endTime=2026-13-01", INVALID_DATE),
        ("startTime=2026-1-1&endTime=2026-02-01", INVALID_DATE_FORMAT),
        ("startTime=2026-10-01", INCOMPLETE_RANGE),
        ("endTime=2026-10-01", INCOMPLETE_RANGE),
        ("startTime=2026-10-02&endTime=2026-10-01", reversed),
        ("startTime=2026-10-01&endTime=2026-10-01", ExpectedResponse::Data),
        ("startTime=0001-01-01&endTime=9999-12-31", ExpectedResponse::Data),
    ] {
        let raw = RawRequest::get(format!("{path}?{query}")).bearer(&values.access);
        cases.push(InputCase::new(format!("statements: {query}"), raw, expected));
    }
    cases
}

fn build_download_cases(values: &InputValues) -> Vec<InputCase> {
    const NO_STATEMENT: ExpectedResponse =
        ExpectedResponse::Fdx(ErrorCode::DataNotFound, "statementId is not a statement of this account");
    const NO_TYPE: ExpectedResponse = ExpectedResponse::Fdx(
        ErrorCode::ContentType,
        "Accept must name application/pdf, image/gif, image/jpeg, image/tiff or image/png",
    );
    let path = format!("{BASE}/accounts/{}/statements", values.account);
    let statement = &values.statement;
    let mut ids: Vec<String> = BadValue::ALL
        .into_iter()
        .filter(|bad| !matches!(bad, BadValue::Missing | BadValue::Repeated | BadValue::Empty))
        .map(|bad| bad.encode(statement))
        .collect();
    ids.extend(["stm_", "stm_AAAA", "mt-alice-chequing-2026-10", "..", "%2e%2e", "*"].map(str::to_owned));
    ids.extend([
        values.account.clone(),
        values.foreign.statement.clone(),
        statement.replacen("stm_", "acc_", 1),
    ]);
    let mut cases = Vec::new();
    for id in ids {
        let raw = RawRequest::get(format!("{path}/{id}")).bearer(&values.access);
        let shown: String = id.chars().take(60).collect();
        cases.push(InputCase::new(format!("statement {shown}"), raw, NO_STATEMENT));
    }
    let own = || RawRequest::get(format!("{path}/{statement}")).bearer(&values.access);
    for accept in ["text/html", "application/json", "x", ",", "*/*;q=0", "é", "image/webp, text/*"] {
        cases.push(InputCase::new(format!("accept {accept}"), own().header("accept", accept), NO_TYPE));
    }
    for accept in ["", "*/*", "application/*", "text/html, application/pdf;q=0.1", "application/pdf\t;x=1"] {
        cases.push(InputCase::new(
            format!("accept {accept}"),
            own().header("accept", accept),
            ExpectedResponse::PdfFile,
        ));
    }
    let no_image = ExpectedResponse::Fdx(
        ErrorCode::ContentType,
        "The data provider does not offer this statement in this type",
    );
    cases.push(InputCase::new("an image", own().header("accept", "image/png"), no_image));
    let two = own().header("accept", "text/html").header("accept", "application/pdf");
    cases.push(InputCase::new("two headers are one list", two, ExpectedResponse::PdfFile));
    cases
}

/// Builds the cases for a list of an account that accepts `limit` and `offset` and ignores other parameters.
fn build_page_cases(values: &InputValues, list: &str) -> Vec<InputCase> {
    let path = format!("{BASE}/accounts/{}/{list}", values.account);
    let mut cases = Vec::new();
    for name in ["limit", "offset", "startTime"] {
        for bad in BadValue::ALL {
            let expected =
                if name == "startTime" { ExpectedResponse::Data } else { expected_list_response(name, bad) };
            let raw = RawRequest::get(format!("{path}?{}", bad.build_query(&[("limit", "5")], name)));
            cases.push(InputCase::new(
                format!("{list}: {bad:?} as {name}"),
                raw.bearer(&values.access),
                expected,
            ));
        }
    }
    cases
}

fn build_metadata_cases(values: &InputValues) -> Vec<InputCase> {
    let mut cases = Vec::new();
    for place in ["availability", "capability", "certification-metrics"] {
        for bad in BadValue::ALL {
            let expected = match bad {
                BadValue::Missing => ExpectedResponse::Data,
                BadValue::Repeated => expected_invalid_input("operationId is given twice"),
                _ => expected_invalid_input("operationId is not an operation of this API"),
            };
            let query = bad.build_query(&[("operationId", "getAccount")], "operationId");
            let raw = RawRequest::get(format!("{BASE}/{place}?{query}")).bearer(&values.access);
            cases.push(InputCase::new(format!("{place}: {bad:?} as operationId"), raw, expected));
        }
        let raw = RawRequest::get(format!("{BASE}/{place}?operationId=getAccount&fdxVersion=V9&%00"));
        cases.push(InputCase::new(
            format!("{place}: one"),
            raw.bearer(&values.access),
            ExpectedResponse::Data,
        ));
    }
    cases
}

/// Builds the cases for paths that differ slightly from valid ones.
fn build_path_cases(values: &InputValues) -> Vec<InputCase> {
    let (account, message) = (&values.account, "There is nothing at this path");
    let nowhere = || ExpectedResponse::OAuth(404, OAuthCode::InvalidRequest, message.into());
    let mut cases = Vec::new();
    for (path, expected) in [
        (format!("{BASE}/accounts/"), ExpectedResponse::MessageOnly(404)),
        (format!("{BASE}/accounts/{account}/"), ExpectedResponse::MessageOnly(404)),
        (format!("{BASE}/accounts/{account}/transactions/"), ExpectedResponse::MessageOnly(404)),
        (format!("{BASE}/accounts/{account}/documents"), ExpectedResponse::MessageOnly(404)),
        (format!("{BASE}/accounts/{account}/statements/"), ExpectedResponse::MessageOnly(404)),
        (format!("{BASE}/accounts/{account}/../{account}"), ExpectedResponse::MessageOnly(404)),
        (format!("{BASE}/accounts/../customers/current"), ExpectedResponse::MessageOnly(404)),
        (format!("{BASE}/./accounts"), ExpectedResponse::MessageOnly(404)),
        (format!("{BASE}/accounts;x=1"), ExpectedResponse::MessageOnly(404)),
        (format!("{BASE}/Accounts"), ExpectedResponse::MessageOnly(404)),
        (format!("{BASE}/%61ccounts"), ExpectedResponse::MessageOnly(404)),
        (format!("{BASE}/accounts%2F{account}"), ExpectedResponse::MessageOnly(404)),
        (format!("{BASE}/accounts%00"), ExpectedResponse::MessageOnly(404)),
        ("/api/fdx/6/accounts".into(), ExpectedResponse::MessageOnly(404)),
        ("/api/fdx/".into(), ExpectedResponse::MessageOnly(404)),
        (format!("//api//fdx/5///accounts/{account}"), ExpectedResponse::Data),
        (format!("{BASE}/accounts//{account}//transactions"), ExpectedResponse::Data),
        (format!("{BASE}/accounts//"), ExpectedResponse::MessageOnly(404)),
        (format!("{BASE}/accounts/{account}//transactions//"), ExpectedResponse::MessageOnly(404)),
        (format!("{BASE}/accounts//transactions"), NO_ACCOUNT),
        (format!("http://127.0.0.1{BASE}/accounts"), ExpectedResponse::Data),
        (format!("http://evil.example.org{BASE}/accounts"), ExpectedResponse::MessageOnly(421)),
        ("/api/v1/revoke/".into(), nowhere()),
        ("/api/v1/revoke%2F".into(), nowhere()),
        ("/api/v1/%72evoke".into(), nowhere()),
        ("/api/v1/authorize/../revoke".into(), nowhere()),
        ("/api/v1".into(), nowhere()),
        ("/api//".into(), nowhere()),
        ("/api".into(), ExpectedResponse::Page(404, NOT_FOUND)),
        ("//".into(), ExpectedResponse::Page(200, "Bowline")),
        ("/API/v1/token".into(), ExpectedResponse::Page(404, NOT_FOUND)),
        ("/static/../static/bowline.css".into(), ExpectedResponse::Page(404, NOT_FOUND)),
        ("/static/..%2Fbowline.css".into(), ExpectedResponse::Page(404, NOT_FOUND)),
        ("/static/".into(), ExpectedResponse::Page(404, NOT_FOUND)),
        ("/%FF".into(), ExpectedResponse::Page(404, NOT_FOUND)),
    ] {
        let raw = RawRequest::get(path.clone()).bearer(&values.access);
        cases.push(InputCase::new(format!("path {path}"), raw, expected));
    }
    cases
}
