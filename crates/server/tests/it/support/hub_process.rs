//! The built program as a separate process, configured by a file, with a sandbox bank.

mod configuration;

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use bowline::cli::{Browser, BrowserRequest, BrowserResponse};
use bowline::vault::{KeyFile, Vault};
use domain::id::ConnectionId;
use domain::model::audit_event::{AuditHead, SubjectKind};
use domain::model::connection::ConnectionState;
use http::Method;
use sandbox::bank::{Bank, BankSettings, SecurityProfile};
use store::query::{GetAuditChain, GetConnection};
use store::{Location, Store};

use super::direct_sql::{build_job_id, sql};
use super::recorder::ExchangeRecorder;
use super::{
    AuthorizationFlow, ConnectionTokens, Customer, HubApiClient, TestClient, TestHub, authorize_url,
    query_parameter, wait_until,
};

/// A data folder with a hub's configuration, and a running sandbox bank. The hub is started separately.
pub(crate) struct HubProcess {
    pub(crate) hub_url: String,
    pub(crate) browser: Browser,
    /// The recorder of the hub's exchanges with the bank.
    pub(crate) recorder: ExchangeRecorder,
    bank: Bank,
    bank_url: String,
    store: String,
    folder: tempfile::TempDir,
}

/// A running hub, which is killed with its wrapper process when dropped.
pub(crate) struct RunningHub(pub(crate) Child);

impl RunningHub {
    /// Sends a signal to the process, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Waits until the process has ended and returns its exit code.
    pub(crate) async fn wait_for_exit(&mut self) -> Option<i32> {
        let process = std::cell::RefCell::new(self);
        wait_until("the process ends", async || !process.borrow_mut().is_running()).await;
        process.into_inner().0.wait().unwrap().code()
    }

    /// Stops the hub gracefully, as a service manager does.
    pub(crate) fn stop(mut self) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert_eq!(self.0.wait().unwrap().code(), Some(0));
    }

    /// Returns whether the hub's process is still running.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for RunningHub {
    fn drop(&mut self) {
        if self.is_running() {
            let group = format!("-{}", self.0.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
            let _ = self.0.wait();
        }
    }
}

impl HubProcess {
    /// Prepares a hub on a new SQLite store, or on the store with this URL.
    pub(crate) async fn new(store: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hub = reserve_origin();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let bank_url = format!("http://{}", listener.local_addr().unwrap());
        #[expect(clippy::disallowed_methods, reason = "the bank's clock and the hub's are one")]
        let clock = || jiff::Timestamp::now().as_millisecond();
        let bank = Bank::maple(BankSettings {
            seed: b"site".to_vec(),
            secret_key: b"secret key".to_vec(),
            origin: bank_url.clone(),
            client_id: "bowline".into(),
            client_secret: "the-hub-at-the-bank".into(),
            redirect_uris: vec![format!("{hub}/callback/1000")],
            journal: folder.path().join("bank.jsonl"),
            clock: Arc::new(clock),
            security: SecurityProfile::default(),
        })
        .unwrap();
        let recorder = ExchangeRecorder::default();
        let router = recorder.record(bank.router());
        tokio::spawn(async move { axum::serve(listener, router).await });
        std::fs::write(folder.path().join("bank.secret"), "the-hub-at-the-bank\n").unwrap();
        let sqlite = format!("sqlite:{}", folder.path().join("hub.db").display());
        let store = store.unwrap_or(&sqlite).to_owned();
        let site =
            Self { hub_url: hub, browser: Browser::new().unwrap(), recorder, bank, bank_url, store, folder };
        std::fs::write(site.path("bowline.toml"), site.render_config()).unwrap();
        site
    }

    /// Starts a second node on a store with this URL, with listeners of its own. Returns it with its origin and that of its
    /// probes; does not wait.
    pub(crate) fn start_other_node(&self, store: &str) -> (RunningHub, String, String) {
        let ports = reserve_ports(2);
        let (listen, probes) = (format!("127.0.0.1:{ports}"), format!("127.0.0.1:{}", ports + 1));
        let mut command = self.command(&[], &["serve", "--listen", &listen, "--probe-listen", &probes]);
        command.args(["--store", store]).env("BOWLINE_SERVER__ADMIN_SOCKET", "");
        let node = Self::spawn(command.stderr(self.open_log()));
        (node, format!("http://{listen}"), format!("http://{probes}"))
    }

    /// Returns the initial access token of the bank.
    pub(crate) fn initial_access_token(&self) -> String {
        self.bank.initial_access_token().unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the path of the admin socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path("admin.sock")
    }

    /// Returns the origin of the probes, whose port is the hub's plus one.
    pub(crate) fn probe_url(&self) -> String {
        let (host, port) = self.hub_url.rsplit_once(':').unwrap();
        format!("{host}:{}", port.parse::<u16>().unwrap() + 1)
    }

    /// Requests a path from the probe listener.
    pub(crate) async fn call_probe(&self, path: &str) -> BrowserResponse {
        let url = format!("{}{path}", self.probe_url());
        self.browser.send(BrowserRequest::new(Method::GET, &url)).await.unwrap()
    }

    /// Builds a command of the program with this hub's configuration; `before` is a wrapper such as `strace -f`.
    pub(crate) fn command(&self, before: &[&str], arguments: &[&str]) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_bowline"));
        let mut command = match before {
            [] => Command::new(program),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        command.arg("--config").arg(self.path("bowline.toml")).args(arguments);
        command
    }

    /// Runs a command of the program with this hub's configuration, and returns its output.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(&[], arguments).output().unwrap()
    }

    /// Starts the hub and waits until it is ready. A hub that was killed under strace may end after its tracer; once its
    /// port is free, its lock is free too.
    pub(crate) async fn serve(&self, before: &[&str]) -> RunningHub {
        let address = self.hub_url.trim_start_matches("http://");
        wait_until("a former hub is gone", async || TcpListener::bind(address).is_ok()).await;
        let mut hub = self.start(before);
        assert!(self.wait_until_ready(&mut hub).await, "the hub is not ready: {}", self.log());
        hub
    }

    /// Starts the hub without waiting. Its log goes to `hub.log`.
    pub(crate) fn start(&self, before: &[&str]) -> RunningHub {
        Self::spawn(self.command(before, &["serve"]).stderr(self.open_log()))
    }

    /// Starts the hub with environment variables and this standard error, and waits until it is ready.
    pub(crate) async fn serve_with(
        &self,
        variables: &[(&str, &str)],
        stderr: impl Into<Stdio>,
    ) -> RunningHub {
        let mut command = self.command(&[], &["serve"]);
        self.spawn_and_wait(command.envs(variables.iter().copied()).stderr(stderr)).await
    }

    /// Starts the hub by a command and waits until it is ready.
    pub(crate) async fn spawn_and_wait(&self, command: &mut Command) -> RunningHub {
        let mut hub = Self::spawn(command);
        assert!(self.wait_until_ready(&mut hub).await, "the hub is not ready: {}", self.log());
        hub
    }

    /// Opens `hub.log` to append to it.
    pub(crate) fn open_log(&self) -> std::fs::File {
        std::fs::File::options().create(true).append(true).open(self.path("hub.log")).unwrap()
    }

    fn spawn(command: &mut Command) -> RunningHub {
        RunningHub(command.stdout(Stdio::null()).process_group(0).spawn().unwrap())
    }

    /// Waits until the hub is ready; returns false if it ends before.
    pub(crate) async fn wait_until_ready(&self, hub: &mut RunningHub) -> bool {
        let ready = format!("{}/readyz", self.probe_url());
        let process = std::cell::RefCell::new(hub);
        let is_up = async || {
            let answer = self.browser.send(BrowserRequest::new(Method::GET, &ready)).await;
            answer.is_ok_and(|answer| answer.status == 200)
        };
        wait_until("the hub is ready, or has died", async || {
            !process.borrow_mut().is_running() || is_up().await
        })
        .await;
        process.borrow_mut().is_running()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("hub.log")).unwrap_or_default()
    }

    /// Waits until the log contains a text a number of times.
    pub(crate) async fn wait_for_log(&self, text: &str, times: usize) {
        wait_until(text, async || self.log().matches(text).count() >= times).await;
    }

    /// Starts the hub once, which creates the store and the key file that other commands need, and stops it again.
    pub(crate) async fn initialize(&self) {
        if !self.store.starts_with("sqlite:") {
            assert!(self.run(&["migrate"]).status.success());
        }
        self.serve(&[]).await.stop();
    }

    /// Adds a recipient from the command line.
    pub(crate) fn add_recipient(&self, name: &str) -> TestClient {
        self.add_recipient_with_scope(name, super::SCOPE)
    }

    /// Adds a recipient with a scope from the command line.
    pub(crate) fn add_recipient_with_scope(&self, name: &str, scope: &str) -> TestClient {
        let redirect_uri = "https://app.example.org/back".to_owned();
        let output = self.run(&[
            "--json",
            "recipient",
            "add",
            "--name",
            name,
            "--purpose-en",
            "To show balances",
            "--purpose-fr",
            "Pour montrer les soldes",
            "--redirect-uri",
            &redirect_uri,
            "--scope",
            scope,
            "--provider",
            "1000",
        ]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let created: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |name: &str| created[name].as_str().unwrap().to_owned();
        TestClient { id: text("client_id"), secret: text("client_secret"), redirect_uri }
    }

    pub(crate) fn api(&self) -> HubApiClient<'_> {
        HubApiClient { browser: &self.browser, hub: &self.hub_url }
    }

    /// Connects a customer who shares one account, and returns the tokens.
    pub(crate) async fn connect(&self, recipient: &TestClient, username: &str) -> ConnectionTokens {
        let code = self.obtain_code(recipient, username).await;
        ConnectionTokens::from_response(&self.api().redeem(recipient, &code).await, code)
    }

    /// Obtains an authorization code for a recipient; the customer shares one account.
    pub(crate) async fn obtain_code(&self, recipient: &TestClient, username: &str) -> String {
        self.obtain_code_with_scope(recipient, username, super::SCOPE).await
    }

    /// Obtains an authorization code with a scope; the customer shares one account.
    pub(crate) async fn obtain_code_with_scope(
        &self,
        recipient: &TestClient,
        username: &str,
        scope: &str,
    ) -> String {
        let back = self.complete_authorization(recipient, username, scope).await;
        query_parameter(&back, "code").unwrap_or_else(|| panic!("no code: {back}"))
    }

    /// Completes an authorization, and returns the URL to which the browser goes back.
    pub(crate) async fn complete_authorization(
        &self,
        recipient: &TestClient,
        username: &str,
        scope: &str,
    ) -> String {
        let mut query = TestHub::build_authorization_query(recipient);
        query.retain(|(name, _)| *name != "scope");
        query.push(("scope", scope.to_owned()));
        self.complete_login(&authorize_url(&self.hub_url, &query), username).await
    }

    /// Opens the URL of an authorization request as a customer, who shares one account. Returns the URL at which the browser
    /// leaves the hub and the bank.
    pub(crate) async fn complete_login(&self, url: &str, username: &str) -> String {
        let walk = AuthorizationFlow {
            browser: &self.browser,
            origins: vec![self.hub_url.clone(), self.bank_url.clone()],
        };
        let customer = Customer {
            username: username.to_owned(),
            password: self.password(username),
            accounts: vec![format!("mt-{username}-chequing")],
        };
        walk.complete(url, &customer).await
    }

    /// Returns a customer's password at the bank.
    pub(crate) fn password(&self, username: &str) -> String {
        self.bank.logins().into_iter().find(|login| login.username == username).unwrap().password
    }

    /// Changes the fault settings of the bank.
    pub(crate) async fn inject_faults(&self, faults: serde_json::Value) {
        let mut sent = BrowserRequest::new(Method::PUT, &format!("{}/faults", self.bank_url));
        sent.json = Some(faults);
        assert_eq!(self.browser.send(sent).await.unwrap().status, 200);
    }

    /// Lists the files in the hub's data folder.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect()
    }

    /// Counts the data responses that the bank delays.
    pub(crate) fn count_delayed_responses(&self) -> usize {
        self.bank.delayed_response_count()
    }

    /// Counts the clients that were registered at the bank.
    pub(crate) fn count_registered_clients(&self) -> usize {
        self.bank.client_ids().len()
    }

    /// Counts the active grants at the bank.
    pub(crate) async fn count_active_grants(&self) -> usize {
        let listed = BrowserRequest::new(Method::GET, &format!("{}/faults/grants", self.bank_url));
        let listed = self.browser.send(listed).await.unwrap().json();
        listed.as_array().unwrap().iter().filter(|grant| grant["state"] == "active").count()
    }

    /// Runs a statement on the hub's database.
    pub(crate) async fn sql(&self, statement: &str) -> Vec<String> {
        sql(&self.store, statement).await
    }

    /// Calls [`build_job_id`] for the hub's database.
    pub(crate) fn build_job_id(&self, text: &str) -> String {
        build_job_id(&self.store, text)
    }

    /// Makes every job due now: leased jobs of killed workers, and jobs that wait for another attempt.
    pub(crate) async fn make_jobs_due(&self) {
        self.sql("UPDATE jobs SET lease_until = 0, due_at = 0 WHERE state = 'pending'").await;
    }

    /// Returns whether a connection has ended. Asserts that its tokens and credentials are consistent with that, that at
    /// most one job revokes at the provider, and that its audit chain verifies up to the head in its row.
    pub(crate) async fn verify_consistency(&self, id: &ConnectionId) -> bool {
        let vault = Arc::new(Vault::new(KeyFile::open(&self.path("hub.keys")).unwrap()));
        let keys = vault.store_keys();
        let audit_key = keys.audit.clone();
        let location = Location::parse(&self.store).unwrap();
        let start = tokio::time::Instant::now();
        let settings = store::StoreSettings {
            location,
            connections: 2,
            queue_capacity: 1,
            access_map_bytes: 0,
            node_lease: std::time::Duration::from_mins(1),
            uptime: store::UptimeClock::new(move || start.elapsed()),
            keys,
        };
        let store = Store::open(settings).await.unwrap();
        let row = async || store.query(&GetConnection { id: id.clone() }).await.unwrap().unwrap();
        let events = GetAuditChain { kind: SubjectKind::Connection, id: id.to_string() };
        let (mut connection, mut chain) = (row().await, store.query(&events).await.unwrap());
        // A worker may be writing, so both are read until they are stable.
        while row().await.audit != connection.audit {
            (connection, chain) = (row().await, store.query(&events).await.unwrap());
        }
        let mut head = AuditHead::default();
        for event in chain {
            assert!(audit_key.verifies(&head, &event), "event {} of {id}", event.seq);
            head = AuditHead::from(&event);
        }
        assert_eq!(connection.audit, head, "the row of {id} contains the head of its chain");
        let ended = matches!(connection.state, ConnectionState::Ended(_));
        // The tokens of an ended connection are deleted later, but their keys are deleted with the end.
        let counted = format!(
            "SELECT (SELECT COUNT(*) FROM connections WHERE id = '{id}' AND access_key IS NULL AND refresh_key IS NULL
                    AND accounts_key IS NULL),
                (SELECT COUNT(*) FROM jobs WHERE connection_id = '{id}' AND kind = 'revoke_at_provider')"
        );
        let counted = self.sql(&counted).await;
        assert_eq!(counted, [if ended { "1|1" } else { "0|0" }], "rows of {id}, ended: {ended}");
        ended
    }
}

fn reserve_origin() -> String {
    format!("http://127.0.0.1:{}", reserve_ports(2))
}

/// Returns the first of several consecutive free ports, below the range that the system assigns automatically, and never
/// the same twice in a process.
pub(crate) fn reserve_ports(count: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let apart = u16::try_from(std::process::id() % 200).unwrap() * 100;
    loop {
        let first = 10_000 + (apart + NEXT.fetch_add(count, Ordering::Relaxed)) % 22_000;
        if (0..count).all(|above| TcpListener::bind(("127.0.0.1", first + above)).is_ok()) {
            return first;
        }
    }
}
