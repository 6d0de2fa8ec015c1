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
    let (accounts, report) = api.read_list("accounts", "/accounts", "accounts").await?;
    let mut reports = vec![report];
    // The hub serves accounts as FDX 5 does: an object with one member, whose name is the type.
    let ids =
        accounts.iter().filter_map(|account| account.as_object()?.values().next()?["accountId"].as_str());
    let ids: Vec<String> = ids.map(str::to_owned).collect();
    let resources = OF_ACCOUNT.iter().filter(|resource| is_granted(resource.clusters));
    if let Some(id) = ids.first() {
        for resource in resources {
            reports.push(api.read_of_account(resource, id).await?);
        }
    }
    if is_granted(&["CUSTOMER_PERSONAL", "CUSTOMER_CONTACT"]) {
        let response = api.get("/customers/current").await?;
        reports.push(build_report("customer", &response, &[], 1));
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
        match resource.list {
            Some(list) => Ok(self.read_list(resource.name, &path, list).await?.1),
            None => Ok(build_report(resource.name, &self.get(&path).await?, &[], 1)),
        }
    }

    /// Reads the first page of a list, and the second one if there is one.
    async fn read_list(&self, name: &str, path: &str, list: &str) -> Result<(Vec<Value>, Value), CliError> {
        let mut response = self.get(path).await?;
        let mut pages = 1;
        let mut elements = find_elements(&response, list);
        if let Some(offset) = response.json()["page"]["nextOffset"].as_str() {
            let joint = if path.contains('?') { '&' } else { '?' };
            let offset: String = form_urlencoded::byte_serialize(offset.as_bytes()).collect();
            let next = self.get(&format!("{path}{joint}offset={offset}")).await?;
            elements.extend(find_elements(&next, list));
            pages = 2;
            // A failure of either page is a failure of the list.
            if response.status == 200 {
                response = next;
            }
        }
        let report = build_report(name, &response, &elements, pages);
        Ok((elements, report))
    }

    async fn get(&self, path: &str) -> Result<BrowserResponse, CliError> {
        let mut request = BrowserRequest::new(Method::GET, &format!("{}{path}", self.base));
        request.bearer = Some(self.access.token().expose().clone());
        let response = self.browser.send(request).await;
        response.map_err(|error| CliError::Unreachable(format!("{}: {error}", self.base)))
    }
}

fn find_elements(response: &BrowserResponse, list: &str) -> Vec<Value> {
    response.json()[list].as_array().cloned().unwrap_or_default()
}

/// Builds the report of a read, without anything of the data.
fn build_report(name: &str, response: &BrowserResponse, elements: &[Value], pages: u32) -> Value {
    let status = response.status;
    let omitted = response.headers.get("bowline-omitted").and_then(|count| count.to_str().ok());
    let message = response.json()["message"].as_str().map(escape_terminal);
    let (ok, detail) = match (status, omitted) {
        (200, None) => (true, String::new()),
        (200, Some(count)) => {
            (true, format!("{count} elements were left out, because the hub cannot read them"))
        }
        // The provider does not have the resource at all, so its data cluster should not be offered.
        (404 | 405 | 501, _) => {
            (true, "the provider does not offer it: remove its data cluster from scopes".to_owned())
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

        let report = build_report("transactions", &response(200, &body), &transactions, 2);

        let expected = json!({"resource": "transactions", "ok": true, "status": 200, "elements": 1, "pages": 2,
            "detail": ""});
        assert_eq!(report, expected);
    }

    #[test]
    fn resource_that_is_not_offered_is_no_failure() {
        let report = |status: u16| {
            let error = json!({"code": 500, "message": "The provider failed"});
            build_report("contact", &response(status, &error), &[], 1)
        };

        assert_eq!(report(404)["ok"], true);
        assert_eq!(report(502)["ok"], false);
        assert_eq!(report(502)["detail"], "The provider failed");
    }
}
