//! The command `bowline provider test`, which checks a provider and shows what to change. With `--interactive` it opens a
//! connection, reads every resource and ends the connection again.

mod login;
mod reads;
mod recipient;

use domain::Secret;
use http::Method;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::admin_client::AdminClient;
use super::args::{ProviderIdArgs, build_path};
use super::browser::BrowserRequest;
use super::error::CliError;
use super::globals::GlobalArgs;
use super::registration::{RequestedProvider, has_registration_clients, register_and_activate};
use super::terminal::print_line;
use login::TestLogin;
use reads::read_resources;
use recipient::TestRecipient;

/// The arguments of `provider test`.
#[derive(clap::Args, Debug)]
pub(super) struct TestProviderArgs {
    #[command(flatten)]
    provider: ProviderIdArgs,
    /// Also connect in a browser, read every resource and end the connection; adds a recipient for the test and removes it
    #[arg(long)]
    interactive: bool,
    /// URL at which browsers reach the hub, for `--interactive` [default: `server.public_url` of the configuration]
    #[arg(long, value_name = "URL", requires = "interactive")]
    public_url: Option<String>,
}

impl TestProviderArgs {
    /// Returns the URL of the hub for `--interactive`.
    pub(super) fn find_public_url(&self, globals: &GlobalArgs) -> Result<Option<String>, CliError> {
        if !self.interactive {
            return Ok(None);
        }
        let url = match &self.public_url {
            Some(url) => url.clone(),
            None => globals.load_config(&[])?.server.public_url,
        };
        Ok(Some(url.trim_end_matches('/').to_owned()))
    }
}

/// Tests a provider. With `public_url`, also opens a connection.
pub(super) async fn run(
    admin: &AdminClient,
    args: &TestProviderArgs,
    public_url: Option<&str>,
) -> Result<(), CliError> {
    let id = args.provider.id;
    let mut report = admin.post(&format!("/providers/{id}/test")).await?;
    let Some(public_url) = public_url else {
        print_report(admin, &report);
        return ensure_passed(id, &report);
    };
    if report["ok"] != true {
        print_report(admin, &report);
        let message = format!("provider {id} failed at least one check, see above; no connection was opened");
        return Err(CliError::Failed(message));
    }
    let connection = test_connection(admin, id, public_url).await?;
    report["ok"] = json!(connection["ok"] == true);
    report["connection"] = connection;
    print_report(admin, &report);
    ensure_passed(id, &report)
}

fn ensure_passed(id: i64, report: &Value) -> Result<(), CliError> {
    if report["ok"] == true {
        return Ok(());
    }
    Err(CliError::Failed(format!("provider {id} failed at least one check, see above")))
}

/// Prints the results of checks as a table, and below it what to change and what a connection delivered.
fn print_report(admin: &AdminClient, report: &Value) {
    let output = &admin.output;
    if output.is_json() {
        return output.print_object(report);
    }
    let list = |items: &Value| json!({ "items": items });
    output.print_page(&list(&report["checks"]), &["name", "verdict", "detail"]);
    let changes = report["checks"].as_array().into_iter().flatten();
    let changes: Vec<_> = changes.filter(|check| check["change"].is_string()).collect();
    if !changes.is_empty() {
        print_line("");
        output.print_page(&list(&json!(changes)), &["name", "change"]);
    }
    let connection = &report["connection"];
    for (name, columns) in [
        ("reads", &["resource", "status", "elements", "pages", "detail"][..]),
        ("observed", &["call", "fdx_version", "dates", "absent_members"]),
        ("left_out", &["path", "reason", "count"]),
    ] {
        if connection[name].as_array().is_some_and(|items| !items.is_empty()) {
            print_line(format_args!("\n{name}"));
            output.print_page(&list(&connection[name]), columns);
        }
    }
    if let Some(revocation) = connection["revocation"].as_str() {
        print_line(format_args!("\nrevocation  {revocation}"));
    }
}

/// Opens a connection with a recipient that is added for it, reads, and ends it. Returns what the provider delivered.
async fn test_connection(admin: &AdminClient, id: i64, public_url: &str) -> Result<Value, CliError> {
    let provider = admin.get(&format!("/providers/{id}")).await?;
    let settings = &provider["settings"];
    let activates_automatically = settings["dynamic_registration"].is_object();
    if has_registration_clients(settings) && !activates_automatically {
        return Err(CliError::Usage(format!(
            "provider {id} needs a client for each registration, which a test does not have"
        )));
    }
    // The recipient must not remain after an interrupt, not even if the signal arrives while it is added.
    let mut interrupt = signal(SignalKind::interrupt())
        .map_err(|error| CliError::Failed(format!("cannot handle signals: {error}")))?;
    let recipient = TestRecipient::add(admin, id, (settings, public_url)).await?;
    let requested = RequestedProvider { id, activates_automatically };
    let test = async {
        register_and_activate(admin, &recipient.client_id, &[requested]).await?;
        recipient.wait_until_active().await?;
        recipient.connect_and_read(&provider["dropped_fields"]).await
    };
    let outcome = tokio::select! {
        outcome = test => outcome,
        _ = interrupt.recv() => Err(CliError::Failed("the test was interrupted".into())),
    };
    let path = build_path(&["recipients", &recipient.client_id]);
    let removed = admin.call(Method::DELETE, &path, None).await;
    match (outcome, removed) {
        (Ok(report), Ok(_)) => Ok(report),
        (Err(error), Ok(_)) => Err(error),
        (outcome, Err(error)) => {
            let id = &recipient.client_id;
            let remedy = format!("remove the recipient of the test: bowline recipient remove {id}");
            let first = outcome.err().map(|first| format!("{first}; ")).unwrap_or_default();
            Err(error.with_message(&format!("{first}{remedy}")))
        }
    }
}

impl TestRecipient<'_> {
    /// Connects, reads and ends the connection. `left_out_before` was left out of responses before the test.
    async fn connect_and_read(&self, left_out_before: &Value) -> Result<Value, CliError> {
        let access = TestLogin::begin(self)?.complete().await?;
        let reads = read_resources(&self.browser, self.public_url, &access).await;
        let provider = self.admin.get(&format!("/providers/{}", self.provider_id)).await?;
        let revocation = self.end_connection(access.token()).await?;
        let reads = reads?;
        let calls: Vec<_> = reads.iter().map(|read| read["resource"].clone()).collect();
        let observed = provider["observed_responses"].as_array().into_iter().flatten();
        let observed: Vec<_> = observed.filter(|seen| calls.contains(&seen["call"])).collect();
        // A provider without a method of revocation is reported by the checks.
        let is_revoked = ["accepted", "verified", "not_needed", "unsupported"].contains(&&*revocation);
        let is_read = reads.iter().all(|read| read["ok"] == true);
        Ok(json!({
            "ok": is_read && is_revoked,
            "scope": access.scope(),
            "reads": reads,
            "observed": observed,
            "left_out": subtract_counts(&provider["dropped_fields"], left_out_before),
            "revocation": revocation,
        }))
    }

    /// Ends the connection as a recipient does, and returns the progress of the revocation at the provider.
    async fn end_connection(&self, token: &Secret<String>) -> Result<String, CliError> {
        let list = self.admin.get(&format!("/connections?client_id={}", self.client_id)).await?;
        let id = list["items"][0]["id"].as_str().unwrap_or_default().to_owned();
        let mut request = BrowserRequest::new(Method::DELETE, &format!("{}/api/v1/revoke", self.public_url));
        request.bearer = Some(token.expose().clone());
        let response = self.browser.send(request).await;
        let response = response.map_err(|error| CliError::Unreachable(error.to_string()))?;
        if response.status != 204 {
            let status = response.status;
            return Err(CliError::Failed(format!("the hub did not end the connection: HTTP {status}")));
        }
        let is_decided = |shown: &Value| shown["provider_revocation"] != "pending";
        let shown = self.poll(&build_path(&["connections", &id]), is_decided).await?;
        Ok(shown["provider_revocation"].as_str().unwrap_or("unknown").to_owned())
    }
}

/// Returns what was left out in addition to an earlier state.
fn subtract_counts(after: &Value, before: &Value) -> Vec<Value> {
    let count_before = |item: &Value| {
        let earlier = before.as_array().into_iter().flatten();
        let mut same =
            earlier.filter(|known| known["path"] == item["path"] && known["reason"] == item["reason"]);
        same.next().and_then(|known| known["count"].as_u64()).unwrap_or_default()
    };
    let items = after.as_array().into_iter().flatten();
    let added = items.filter_map(|item| {
        let count = item["count"].as_u64()?.saturating_sub(count_before(item));
        (count > 0).then(|| json!({"path": item["path"], "reason": item["reason"], "count": count}))
    });
    added.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_test_left_out_is_reported() {
        let item = |path: &str, count: u64| json!({"path": path, "reason": "unknown", "count": count});
        let before = json!([item("a", 2), item("b", 5)]);
        let after = json!([item("a", 3), item("b", 5), item("c", 1)]);

        assert_eq!(subtract_counts(&after, &before), [item("a", 1), item("c", 1)]);
        assert_eq!(subtract_counts(&before, &Value::Null), [item("a", 2), item("b", 5)]);
    }
}
