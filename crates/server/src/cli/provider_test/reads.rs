//! The reads of a test connection: each resource that the granted scope contains, once.

use http::Method;
use serde_json::{Value, json};

use super::super::args::build_path;
use super::super::browser::{Browser, BrowserRequest, BrowserResponse};
use super::super::error::CliError;
use super::super::output::escape_terminal;
use super::login::TestAccess;
use crate::clock::Clock;

/// The number of days whose transactions and statements are read.
const DAYS: i64 = 90;

/// A resource, the data clusters of which one allows to read it, its path below an account, and the name of its list.
struct Resource {
    name: &'static str,
    clusters: &'static [&'static str],
    last_segment: &'static str,
    list: Option<&'static str>,
    has_dates: bool,
}

const OF_ACCOUNT: [Resource; 5] = [
    Resource {
        name: "account",
        clusters: &["ACCOUNT_DETAILED", "INVESTMENTS"],
        last_segment: "",
        list: None,
        has_dates: false,
    },
    Resource {
        name: "transactions",
        clusters: &["TRANSACTIONS"],
        last_segment: "transactions",
        list: Some("transactions"),
        has_dates: true,
    },
    Resource {
        name: "payment-networks",
        clusters: &["ACCOUNT_PAYMENTS"],
        last_segment: "payment-networks",
        list: Some("paymentNetworks"),
        has_dates: false,
    },
    Resource {
        name: "statements",
        clusters: &["STATEMENTS"],
        last_segment: "statements",
        list: Some("statements"),
        has_dates: true,
    },
    Resource {
        name: "contact",
        clusters: &["CUSTOMER_CONTACT"],
        last_segment: "contact",
        list: None,
        has_dates: false,
    },
];

/// The responses to the read of one resource.
struct ReadResult {
    /// The first failure, or else the last response.
    response: BrowserResponse,
    /// The elements of a list.
    elements: Vec<Value>,
    /// The number of elements that the hub could not read and left out.
    omitted: u64,
    pages: u32,
}

impl ReadResult {
    fn of_object(response: BrowserResponse) -> Self {
        Self { response, elements: Vec::new(), omitted: 0, pages: 1 }
    }

    fn of_list(response: BrowserResponse, list: &str) -> Self {
        let elements = response.json()[list].as_array().cloned().unwrap_or_default();
        let omitted = response.headers.get("bowline-omitted").map_or(0, |count| {
            // A header without a number still shows that something was left out.
            count.to_str().ok().and_then(|count| count.parse().ok()).unwrap_or(1)
        });
        Self { response, elements, omitted, pages: 1 }
    }

    /// Adds the next page.
    fn add_page(&mut self, next: Self) {
        self.elements.extend(next.elements);
        self.omitted += next.omitted;
        self.pages += 1;
        // A failure of either page is a failure of the list.
        if self.response.status == 200 {
            self.response = next.response;
        }
    }
}

/// The API of the hub, with the access token of the test.
struct DataApi<'a> {
    browser: &'a Browser,
    base: String,
    access: &'a TestAccess,
}

/// Reads each resource that the scope contains. Returns a report of each read.
pub(super) async fn read_resources(
    browser: &Browser,
    public_url: &str,
    access: &TestAccess,
) -> Result<Vec<Value>, CliError> {
    let api = DataApi { browser, base: format!("{public_url}/api/fdx/5"), access };
    let is_granted = |clusters: &[&str]| access.scope().split(' ').any(|granted| clusters.contains(&granted));
    let accounts = api.read_list("/accounts", "accounts").await?;
    // The hub serves accounts as FDX 5 does: an object with one member, whose name is the type.
    let ids = accounts
        .elements
        .iter()
        .filter_map(|account| account.as_object()?.values().next()?["accountId"].as_str());
    let ids: Vec<String> = ids.map(str::to_owned).collect();
    let mut reports = vec![require_account(build_report("accounts", &accounts, true), &ids)];
    let resources = OF_ACCOUNT.iter().filter(|resource| is_granted(resource.clusters));
    if let Some(id) = ids.first() {
        for resource in resources {
            reports.push(api.read_of_account(resource, id).await?);
        }
    }
    if is_granted(&["CUSTOMER_PERSONAL", "CUSTOMER_CONTACT"]) {
        let result = ReadResult::of_object(api.get("/customers/current").await?);
        // The other data cluster is also that of the contact data of an account.
        reports.push(build_report("customer", &result, is_granted(&["CUSTOMER_PERSONAL"])));
    }
    Ok(reports)
}

impl DataApi<'_> {
    async fn read_of_account(&self, resource: &Resource, id: &str) -> Result<Value, CliError> {
        let segments = ["accounts", id, resource.last_segment];
        let segments: Vec<_> = segments.into_iter().filter(|segment| !segment.is_empty()).collect();
        let mut path = build_path(&segments);
        if resource.has_dates {
            let today = Clock::system().now().date();
            let start = today.checked_sub(jiff::Span::new().days(DAYS)).unwrap_or(today);
            path = format!("{path}?startTime={start}&endTime={today}");
        }
        let result = match resource.list {
            Some(list) => self.read_list(&path, list).await?,
            None => ReadResult::of_object(self.get(&path).await?),
        };
        // The provider has listed this account.
        let is_required = resource.last_segment.is_empty();
        Ok(build_report(resource.name, &result, is_required))
    }

    /// Reads the first page of a list, and the second one if there is one.
    async fn read_list(&self, path: &str, list: &str) -> Result<ReadResult, CliError> {
        let mut result = ReadResult::of_list(self.get(path).await?, list);
        if let Some(offset) = result.response.json()["page"]["nextOffset"].as_str() {
            let joint = if path.contains('?') { '&' } else { '?' };
            let offset: String = form_urlencoded::byte_serialize(offset.as_bytes()).collect();
            let next = self.get(&format!("{path}{joint}offset={offset}")).await?;
            result.add_page(ReadResult::of_list(next, list));
        }
        Ok(result)
    }

    async fn get(&self, path: &str) -> Result<BrowserResponse, CliError> {
        let mut request = BrowserRequest::new(Method::GET, &format!("{}{path}", self.base));
        request.bearer = Some(self.access.token().expose().clone());
        let response = self.browser.send(request).await;
        response.map_err(|error| CliError::Unreachable(format!("{}: {error}", self.base)))
    }
}

/// Lets the report of the accounts fail if there is none. Nothing else can be read then, so a success would prove nothing.
fn require_account(mut report: Value, ids: &[String]) -> Value {
    if report["ok"] == true && ids.is_empty() {
        report["ok"] = json!(false);
        report["detail"] = json!("nothing read: the test customer has no accounts");
    }
    report
}

/// Builds the report of a read, without anything of the data. `is_required` is true if the provider must have the resource.
fn build_report(name: &str, result: &ReadResult, is_required: bool) -> Value {
    let ReadResult { response, elements, omitted, pages } = result;
    let status = response.status;
    let message = response.json()["message"].as_str().map(escape_terminal);
    let (ok, detail) = match (status, omitted) {
        (200, 0) => (true, String::new()),
        (200, count) if elements.is_empty() => {
            (false, format!("the hub cannot read any of the {count} elements"))
        }
        (200, count) => (true, format!("{count} elements were left out, because the hub cannot read them")),
        // The provider does not have the resource at all, so its data cluster should not be offered.
        (404 | 405 | 501, _) if !is_required => {
            (true, "the provider does not offer it: remove its data cluster from scopes".to_owned())
        }
        (404 | 405 | 501, _) => {
            (false, "the provider does not have it: compare fdx.base_url and scopes".to_owned())
        }
        _ => (false, message.unwrap_or_else(|| "the read has failed".to_owned())),
    };
    let count = if status == 200 && elements.is_empty() && is_object(name) { 1 } else { elements.len() };
    json!({"resource": name, "ok": ok, "status": status, "elements": count, "pages": pages, "detail": detail})
}

fn is_object(name: &str) -> bool {
    ["account", "contact", "customer"].contains(&name)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderMap;

    use super::*;

    fn response(status: u16, body: &Value) -> BrowserResponse {
        let (headers, elapsed) = (HeaderMap::new(), Duration::ZERO);
        BrowserResponse { status, location: None, body: body.to_string(), elapsed, headers }
    }

    #[test]
    fn report_contains_no_data_of_the_customer() {
        let transactions = [json!({"depositTransaction": {"description": "private"}})];
        let body = json!({"transactions": transactions});

        let mut result = ReadResult::of_list(response(200, &body), "transactions");
        result.add_page(ReadResult::of_list(response(200, &json!({})), "transactions"));
        let report = build_report("transactions", &result, false);

        let expected = json!({"resource": "transactions", "ok": true, "status": 200, "elements": 1, "pages": 2,
            "detail": ""});
        assert_eq!(report, expected);
    }

    #[test]
    fn only_resource_that_is_not_required_may_be_missing() {
        let report = |status: u16, is_required: bool| {
            let error = json!({"code": 500, "message": "The provider failed"});
            build_report("contact", &ReadResult::of_object(response(status, &error)), is_required)
        };

        for status in [404, 405, 501] {
            assert_eq!(
                (&report(status, false)["ok"], &report(status, true)["ok"]),
                (&json!(true), &json!(false))
            );
        }
        assert_eq!(report(502, false)["ok"], false);
        assert_eq!(report(502, false)["detail"], "The provider failed");
    }

    #[test]
    fn list_without_any_readable_element_is_a_failure() {
        let page = |elements: Value| {
            let mut page = response(200, &json!({"accounts": elements}));
            page.headers.insert("bowline-omitted", "2".parse().unwrap());
            ReadResult::of_list(page, "accounts")
        };
        let mut none = page(json!([]));
        none.add_page(page(json!([])));
        let mut some = page(json!([{}]));
        // The number of the first page counts, too.
        some.add_page(ReadResult::of_list(response(200, &json!({"accounts": []})), "accounts"));

        let (none, some) = (build_report("accounts", &none, true), build_report("accounts", &some, true));

        assert_eq!(
            (&none["ok"], &none["detail"]),
            (&json!(false), &json!("the hub cannot read any of the 4 elements"))
        );
        assert_eq!(some["ok"], true);
        assert!(some["detail"].as_str().unwrap().starts_with("2 elements were left out"), "{some}");
    }

    #[test]
    fn test_customer_without_account_proves_nothing() {
        let accounts = ReadResult::of_list(response(200, &json!({"accounts": []})), "accounts");
        let report = || build_report("accounts", &accounts, true);

        let none = require_account(report(), &[]);

        assert_eq!(
            (&none["ok"], &none["detail"]),
            (&json!(false), &json!("nothing read: the test customer has no accounts"))
        );
        assert_eq!(require_account(report(), &["a-1".to_owned()])["ok"], true);
    }
}
