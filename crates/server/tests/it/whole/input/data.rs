//! The data operations: ids in the path, and the query.

use domain::error::OAuthCode;
use fdx::ErrorCode;

use super::super::expect::{Expected, NOTHING};
use super::{Bad, Case, Values};
use crate::kit::Raw;

const BASE: &str = "/api/fdx/5";
const NO_ACCOUNT: Expected =
    Expected::Fdx(ErrorCode::AccountNotFound, "accountId names no account of this consent");

const fn invalid(told: &'static str) -> Expected {
    Expected::Fdx(ErrorCode::InvalidInput, told)
}

pub(super) fn cases(values: &Values) -> Vec<Case> {
    let mut cases = ids(values);
    cases.extend(lists(values));
    cases.extend(transactions(values));
    cases.extend(pages(values, "payment-networks"));
    cases.extend(statements(values));
    let raw = Raw::get(format!("{BASE}/accounts/{}/contact?limit=0&%00", values.account));
    cases.push(Case::new("contact: a query is ignored", raw.bearer(&values.access), Expected::Data));
    cases.extend(downloads(values));
    cases.extend(paths(values));
    cases.extend(meta(values));
    for query in ["?x=%00", "?limit=0&offset=x", "?%", "?accountIds=x&accountIds=y"] {
        let raw = Raw::get(format!("{BASE}/customers/current{query}")).bearer(&values.access);
        cases.push(Case::new(format!("customer: {query} is ignored"), raw, Expected::Data));
    }
    cases
}

/// What stands in the place of an account's id, in every operation of an account.
fn ids(values: &Values) -> Vec<Case> {
    let account = &values.account;
    let mut ids: Vec<String> = Bad::ALL
        .into_iter()
        .filter(|bad| !matches!(bad, Bad::Missing | Bad::Twice | Bad::Empty))
        .map(|bad| bad.encoded(account))
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
            let raw = Raw::get(format!("{BASE}/accounts/{id}{rest}")).bearer(&values.access);
            let shown: String = id.chars().take(60).collect();
            cases.push(Case::new(format!("account {shown}{rest}"), raw, NO_ACCOUNT));
        }
    }
    cases
}

fn lists(values: &Values) -> Vec<Case> {
    let good = [
        ("limit", "5"),
        ("resultType", "details"),
        ("accountIds", values.account.as_str()),
        ("colour", "red"),
    ];
    let mut cases = Vec::new();
    for name in ["limit", "resultType", "accountIds", "offset", "colour"] {
        for bad in Bad::ALL {
            let raw = Raw::get(format!("{BASE}/accounts?{}", bad.within(&good, name))).bearer(&values.access);
            cases.push(Case::new(format!("accounts: {bad:?} as {name}"), raw, of_a_list(name, bad)));
        }
    }
    let many = vec!["acc_x"; 101].join(",");
    for (query, expected) in [
        ("limit=0", invalid("limit must be a positive integer, given once")),
        ("limit=-1", invalid("limit must be a positive integer, given once")),
        ("limit=%2B1", invalid("limit must be a positive integer, given once")),
        ("limit=1.0", invalid("limit must be a positive integer, given once")),
        ("limit=1e1", invalid("limit must be a positive integer, given once")),
        ("limit=0x10", invalid("limit must be a positive integer, given once")),
        ("limit=%D9%A1", invalid("limit must be a positive integer, given once")),
        ("limit=99999999999999999999", invalid("limit must be a positive integer, given once")),
        ("limit=4294967296", Expected::Data),
        ("limit=501", Expected::Data),
        ("resultType=DETAILS", invalid("resultType must be lightweight or details")),
        ("resultType=lightweight,details", invalid("resultType must be lightweight or details")),
        ("offset=0", invalid("offset is altered, expired or of another list")),
        ("limit[]=5", Expected::Data),
        (&*format!("accountIds={many}"), invalid("accountIds must name at most 100 accounts")),
        (&*format!("accountIds={}", values.foreign.account), Expected::Data),
        (
            &*format!("limit=1&resultType=lightweight&offset={}", values.foreign.cursor),
            invalid("offset is altered, expired or of another list"),
        ),
    ] {
        let raw = Raw::get(format!("{BASE}/accounts?{query}")).bearer(&values.access);
        let shown: String = query.chars().take(60).collect();
        cases.push(Case::new(format!("accounts: {shown}"), raw, expected));
    }
    cases
}

/// What each parameter of a list with each bad value is told.
fn of_a_list(name: &str, bad: Bad) -> Expected {
    match (name, bad) {
        ("colour", _) | (_, Bad::Missing) => Expected::Data,
        ("limit", _) => invalid("limit must be a positive integer, given once"),
        ("resultType", Bad::Twice) => invalid("resultType is given twice"),
        ("resultType", _) => invalid("resultType must be lightweight or details"),
        ("accountIds", Bad::Twice) => invalid("accountIds is given twice"),
        // Ids that are none are not there: so is what is asked for.
        ("accountIds", _) => Expected::Data,
        ("offset", Bad::Twice) => invalid("offset is given twice"),
        ("offset", _) => invalid("offset is altered, expired or of another list"),
        (name, bad) => panic!("nobody has thought of {bad:?} as {name}"),
    }
}

fn transactions(values: &Values) -> Vec<Case> {
    const DATES: Expected = Expected::Fdx(
        ErrorCode::InvalidDate,
        "startTime and endTime must be dates of the calendar: YYYY-MM-DD",
    );
    let good = [("startTime", "2026-10-01"), ("endTime", "2026-10-31"), ("limit", "5")];
    let path = format!("{BASE}/accounts/{}/transactions", values.account);
    let mut cases = Vec::new();
    for name in ["startTime", "endTime", "limit", "offset", "colour"] {
        for bad in Bad::ALL {
            let expected = match (name, bad) {
                ("startTime" | "endTime", Bad::Missing) => Expected::Data,
                ("startTime", Bad::Twice) => invalid("startTime is given twice"),
                ("endTime", Bad::Twice) => invalid("endTime is given twice"),
                ("startTime" | "endTime", _) => DATES,
                (name, bad) => of_a_list(name, bad),
            };
            let raw = Raw::get(format!("{path}?{}", bad.within(&good, name))).bearer(&values.access);
            cases.push(Case::new(format!("transactions: {bad:?} as {name}"), raw, expected));
        }
    }
    let reversed = Expected::Fdx(ErrorCode::InvalidRange, "startTime must not be after endTime");
    for (query, expected) in [
        ("startTime=2026-02-30", DATES),
        ("startTime=2026-13-01", DATES),
        ("startTime=2026-00-00", DATES),
        ("startTime=0000-01-01", Expected::Data),
        ("endTime=9999-12-31", Expected::Data),
        ("startTime=2026-1-1", DATES),
        ("startTime=20260101", DATES),
        ("startTime=2026-10-01T00:00:00Z", DATES),
        ("startTime=1790000000", DATES),
        ("startTime=-026-10-01", DATES),
        ("startTime=%D9%A2026-10-1", DATES),
        ("endTime=tomorrow", DATES),
        ("startTime=2026-10-02&endTime=2026-10-01", reversed.clone()),
        ("startTime=9999-12-31&endTime=0001-01-01", reversed),
    ] {
        let raw = Raw::get(format!("{path}?{query}")).bearer(&values.access);
        cases.push(Case::new(format!("transactions: {query}"), raw, expected));
    }
    cases
}

fn statements(values: &Values) -> Vec<Case> {
    const WRITTEN: Expected = invalid("startTime and endTime must be written YYYY-MM-DD");
    const DATES: Expected = Expected::Fdx(
        ErrorCode::InvalidDate,
        "startTime and endTime must be dates of the calendar: YYYY-MM-DD",
    );
    const ALONE: Expected =
        Expected::Fdx(ErrorCode::InvalidRange, "startTime and endTime must be given together");
    let good = [("startTime", "2026-08-01"), ("endTime", "2026-10-31"), ("limit", "5")];
    let path = format!("{BASE}/accounts/{}/statements", values.account);
    let mut cases = Vec::new();
    for name in ["startTime", "endTime", "limit", "offset", "colour"] {
        for bad in Bad::ALL {
            let expected = match (name, bad) {
                ("startTime" | "endTime", Bad::Missing) => ALONE,
                ("startTime", Bad::Twice) => invalid("startTime is given twice"),
                ("endTime", Bad::Twice) => invalid("endTime is given twice"),
                ("startTime" | "endTime", _) => WRITTEN,
                (name, bad) => of_a_list(name, bad),
            };
            let raw = Raw::get(format!("{path}?{}", bad.within(&good, name))).bearer(&values.access);
            cases.push(Case::new(format!("statements: {bad:?} as {name}"), raw, expected));
        }
    }
    let reversed = Expected::Fdx(ErrorCode::InvalidRange, "startTime must not be after endTime");
    for (query, expected) in [
        ("startTime=2026-02-30&endTime=2026-03-01", DATES),
        ("startTime=2026-01-01&endTime=2026-13-01", DATES),
        ("startTime=2026-1-1&endTime=2026-02-01", WRITTEN),
        ("startTime=2026-10-01", ALONE),
        ("endTime=2026-10-01", ALONE),
        ("startTime=2026-10-02&endTime=2026-10-01", reversed),
        ("startTime=2026-10-01&endTime=2026-10-01", Expected::Data),
        ("startTime=0001-01-01&endTime=9999-12-31", Expected::Data),
    ] {
        let raw = Raw::get(format!("{path}?{query}")).bearer(&values.access);
        cases.push(Case::new(format!("statements: {query}"), raw, expected));
    }
    cases
}

fn downloads(values: &Values) -> Vec<Case> {
    const NO_STATEMENT: Expected =
        Expected::Fdx(ErrorCode::DataNotFound, "statementId names no statement of this account");
    const NO_TYPE: Expected = Expected::Fdx(
        ErrorCode::ContentType,
        "Accept must name application/pdf, image/gif, image/jpeg, image/tiff or image/png",
    );
    let path = format!("{BASE}/accounts/{}/statements", values.account);
    let statement = &values.statement;
    let mut ids: Vec<String> = Bad::ALL
        .into_iter()
        .filter(|bad| !matches!(bad, Bad::Missing | Bad::Twice | Bad::Empty))
        .map(|bad| bad.encoded(statement))
        .collect();
    ids.extend(["stm_", "stm_AAAA", "mt-alice-chequing-2026-10", "..", "%2e%2e", "*"].map(str::to_owned));
    ids.extend([
        values.account.clone(),
        values.foreign.statement.clone(),
        statement.replacen("stm_", "acc_", 1),
    ]);
    let mut cases = Vec::new();
    for id in ids {
        let raw = Raw::get(format!("{path}/{id}")).bearer(&values.access);
        let shown: String = id.chars().take(60).collect();
        cases.push(Case::new(format!("statement {shown}"), raw, NO_STATEMENT));
    }
    let own = || Raw::get(format!("{path}/{statement}")).bearer(&values.access);
    for accept in ["text/html", "application/json", "x", ",", "*/*;q=0", "é", "image/webp, text/*"] {
        cases.push(Case::new(format!("accept {accept}"), own().header("accept", accept), NO_TYPE));
    }
    for accept in ["", "*/*", "application/*", "text/html, application/pdf;q=0.1", "application/pdf\t;x=1"] {
        cases.push(Case::new(format!("accept {accept}"), own().header("accept", accept), Expected::File));
    }
    let no_image =
        Expected::Fdx(ErrorCode::ContentType, "The data provider has no such type of this statement");
    cases.push(Case::new("an image", own().header("accept", "image/png"), no_image));
    let two = own().header("accept", "text/html").header("accept", "application/pdf");
    cases.push(Case::new("two headers are one list", two, Expected::File));
    cases
}

/// A list of an account that knows `limit` and `offset` alone.
fn pages(values: &Values, list: &str) -> Vec<Case> {
    let path = format!("{BASE}/accounts/{}/{list}", values.account);
    let mut cases = Vec::new();
    for name in ["limit", "offset", "startTime"] {
        for bad in Bad::ALL {
            let expected = if name == "startTime" { Expected::Data } else { of_a_list(name, bad) };
            let raw = Raw::get(format!("{path}?{}", bad.within(&[("limit", "5")], name)));
            cases.push(Case::new(format!("{list}: {bad:?} as {name}"), raw.bearer(&values.access), expected));
        }
    }
    cases
}

fn meta(values: &Values) -> Vec<Case> {
    let mut cases = Vec::new();
    for place in ["availability", "capability", "certification-metrics"] {
        for bad in Bad::ALL {
            let expected = match bad {
                Bad::Missing => Expected::Data,
                Bad::Twice => invalid("operationId is given twice"),
                _ => invalid("operationId names no operation of this API"),
            };
            let query = bad.within(&[("operationId", "getAccount")], "operationId");
            let raw = Raw::get(format!("{BASE}/{place}?{query}")).bearer(&values.access);
            cases.push(Case::new(format!("{place}: {bad:?} as operationId"), raw, expected));
        }
        let raw = Raw::get(format!("{BASE}/{place}?operationId=getAccount&fdxVersion=V9&%00"));
        cases.push(Case::new(format!("{place}: one"), raw.bearer(&values.access), Expected::Data));
    }
    cases
}

/// Paths that are almost right.
fn paths(values: &Values) -> Vec<Case> {
    let (account, words) = (&values.account, "There is nothing at this path");
    let nowhere = || Expected::OAuth(404, OAuthCode::InvalidRequest, words.into());
    let mut cases = Vec::new();
    for (path, expected) in [
        (format!("{BASE}/accounts/"), Expected::Bare(404)),
        (format!("{BASE}/accounts/{account}/"), Expected::Bare(404)),
        (format!("{BASE}/accounts/{account}/transactions/"), Expected::Bare(404)),
        (format!("{BASE}/accounts/{account}/documents"), Expected::Bare(404)),
        (format!("{BASE}/accounts/{account}/statements/"), Expected::Bare(404)),
        (format!("{BASE}/accounts/{account}/../{account}"), Expected::Bare(404)),
        (format!("{BASE}/accounts/../customers/current"), Expected::Bare(404)),
        (format!("{BASE}/./accounts"), Expected::Bare(404)),
        (format!("{BASE}/accounts;x=1"), Expected::Bare(404)),
        (format!("{BASE}/Accounts"), Expected::Bare(404)),
        (format!("{BASE}/%61ccounts"), Expected::Bare(404)),
        (format!("{BASE}/accounts%2F{account}"), Expected::Bare(404)),
        (format!("{BASE}/accounts%00"), Expected::Bare(404)),
        ("/api/fdx/6/accounts".into(), Expected::Bare(404)),
        ("/api/fdx/".into(), Expected::Bare(404)),
        (format!("//api//fdx/5///accounts/{account}"), Expected::Data),
        (format!("{BASE}/accounts//{account}//transactions"), Expected::Data),
        (format!("{BASE}/accounts//"), Expected::Bare(404)),
        (format!("{BASE}/accounts/{account}//transactions//"), Expected::Bare(404)),
        (format!("{BASE}/accounts//transactions"), NO_ACCOUNT),
        (format!("http://evil.example.org{BASE}/accounts"), Expected::Data),
        ("/api/v1/revoke/".into(), nowhere()),
        ("/api/v1/revoke%2F".into(), nowhere()),
        ("/api/v1/%72evoke".into(), nowhere()),
        ("/api/v1/authorize/../revoke".into(), nowhere()),
        ("/api/v1".into(), nowhere()),
        ("/api//".into(), nowhere()),
        ("/api".into(), Expected::Page(404, NOTHING)),
        ("//".into(), Expected::Page(200, "Bowline")),
        ("/API/v1/token".into(), Expected::Page(404, NOTHING)),
        ("/static/../static/bowline.css".into(), Expected::Page(404, NOTHING)),
        ("/static/..%2Fbowline.css".into(), Expected::Page(404, NOTHING)),
        ("/static/".into(), Expected::Page(404, NOTHING)),
        ("/%FF".into(), Expected::Page(404, NOTHING)),
    ] {
        let raw = Raw::get(path.clone()).bearer(&values.access);
        cases.push(Case::new(format!("path {path}"), raw, expected));
    }
    cases
}
