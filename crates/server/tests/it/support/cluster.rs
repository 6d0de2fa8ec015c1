//! A PostgreSQL server that belongs to one test, which can crash and restart it.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use backon::{ConstantBuilder, Retryable};

use super::reserve_ports;

/// A PostgreSQL server with default settings, so that acknowledged commits are on disk. It is removed when dropped.
pub(crate) struct PostgresCluster {
    bin: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    settings: Vec<String>,
    server: Option<Child>,
}

impl PostgresCluster {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts a cluster with settings of the form `name=value`.
    pub(crate) async fn start_with(settings: &[&str]) -> Self {
        let mut cluster = Self::create(settings);
        cluster.start_server().await;
        cluster
    }

    /// Creates a cluster that is not started yet, so that its files can be changed.
    pub(crate) fn create(settings: &[&str]) -> Self {
        let mut cluster = Self::prepare();
        cluster.settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let arguments = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"];
        let initialized = cluster.command("initdb").args(arguments).output().unwrap();
        assert!(initialized.status.success(), "{}", String::from_utf8_lossy(&initialized.stderr));
        cluster
    }

    /// Creates an empty data folder.
    fn prepare() -> Self {
        // PostgreSQL rejects a folder that others may read.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        let folder = tempfile::Builder::new().permissions(mode).tempdir().unwrap();
        if is_root() {
            assert!(Command::new("chown").arg("postgres").arg(folder.path()).status().unwrap().success());
        }
        let (bin, port) = (find_postgres_bin(), reserve_ports(1));
        Self { bin, folder, port, settings: Vec::new(), server: None }
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Writes a file into the data folder, readable for the server only.
    pub(crate) fn write_file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        if is_root() {
            assert!(Command::new("chown").arg("postgres").arg(&path).status().unwrap().success());
        }
        path
    }

    /// Opens a connection that is not the hub's.
    pub(crate) async fn connect(&self) -> tokio_postgres::Client {
        let (client, connection) = tokio_postgres::connect(&self.url(), tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// Runs each statement in a transaction of its own.
    pub(crate) async fn execute(&self, statements: &[&str]) {
        let client = self.connect().await;
        for statement in statements {
            client.batch_execute(statement).await.unwrap();
        }
    }

    /// Changes a setting of the running server, as an administrator does.
    pub(crate) async fn reload_setting(&self, name: &str, value: &str) {
        let set = format!("ALTER SYSTEM SET {name} = '{value}'");
        self.execute(&[&set, "SELECT pg_reload_conf()"]).await;
        let client = self.connect().await;
        let is_set = async || {
            let shown = client.query_one(&format!("SELECT current_setting('{name}')"), &[]).await.unwrap();
            shown.get::<_, String>(0) == value
        };
        super::wait_until("the server has reloaded its settings", is_set).await;
    }

    /// Returns what the server has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default()
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts the server and waits until it responds.
    pub(crate) async fn start_server(&mut self) {
        let mut server = self.command("postgres");
        server.args(["-p", &self.port.to_string(), "-k", "", "-c", "listen_addresses=127.0.0.1"]);
        for setting in &self.settings {
            server.args(["-c", setting]);
        }
        let log =
            std::fs::File::options().create(true).append(true).open(self.folder.path().join("server.log"));
        self.server = Some(server.stdout(Stdio::null()).stderr(log.unwrap()).spawn().unwrap());
        let patience = ConstantBuilder::default().with_delay(Duration::from_millis(20)).with_max_times(1000);
        let connected =
            (|| async { tokio_postgres::connect(&self.url(), tokio_postgres::NoTls).await.map(drop) })
                .retry(patience)
                .await;
        assert!(connected.is_ok(), "PostgreSQL does not respond: {connected:?}\n{}", self.log());
    }

    /// Starts a standby of this server, and lets each commit of this server wait for it.
    pub(crate) async fn start_synchronous_standby(&self) -> Self {
        let mut standby = Self::prepare();
        let source = ["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres"];
        let copied =
            standby.command("pg_basebackup").args(source).args(["-R", "-N", "-c", "fast"]).output().unwrap();
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        standby.start_server().await;
        self.reload_setting("synchronous_standby_names", "*").await;
        standby
    }

    /// Makes a standby a primary, as an administrator or a fail-over manager does.
    pub(crate) async fn promote(&self) {
        let promoted = self.connect().await.query_one("SELECT pg_promote()", &[]).await.unwrap();
        assert!(promoted.get::<_, bool>(0), "{}", self.log());
    }

    /// Stops the server as in a crash: it writes nothing, and recovers at the next start.
    pub(crate) fn crash(&mut self) {
        self.stop_server("-QUIT");
    }

    fn stop_server(&mut self, signal: &str) {
        if let Some(mut server) = self.server.take() {
            let _ = Command::new("kill").args([signal, &server.id().to_string()]).status();
            let _ = server.wait();
        }
    }

    /// Builds a command for a program of PostgreSQL. If the test runs as root, the command runs as the user `postgres`,
    /// because PostgreSQL refuses to run as root.
    fn command(&self, name: &str) -> Command {
        let program = self.bin.join(name);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--pdeathsig", "QUIT"]);
            command.arg(program);
            command
        } else {
            Command::new(program)
        };
        command.arg("-D").arg(self.folder.path()).current_dir("/");
        command
    }
}

impl Drop for PostgresCluster {
    fn drop(&mut self) {
        self.stop_server("-INT");
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout.trim_ascii() == b"0"
}

/// Returns the folder of PostgreSQL's programs, from the environment or Debian's default.
fn find_postgres_bin() -> PathBuf {
    if let Some(folder) = std::env::var_os("BOWLINE_TEST_POSTGRES_BIN") {
        return folder.into();
    }
    let versions = std::path::Path::new("/usr/lib/postgresql").read_dir();
    let mut found: Vec<PathBuf> =
        versions.into_iter().flatten().flatten().map(|v| v.path().join("bin")).collect();
    found.retain(|folder| folder.join("initdb").is_file());
    found.sort();
    let none = "BOWLINE_TEST_POSTGRES_BIN names the folder of initdb: run `cargo xtask test`";
    found.pop().unwrap_or_else(|| panic!("{none}"))
}
