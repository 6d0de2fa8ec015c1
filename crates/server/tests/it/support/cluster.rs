//! A PostgreSQL server of one test, which can be crashed and restarted.

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
    server: Option<Child>,
}

impl PostgresCluster {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        if is_root() {
            assert!(Command::new("chown").arg("postgres").arg(folder.path()).status().unwrap().success());
        }
        let mut cluster = Self { bin: find_postgres_bin(), folder, port: reserve_ports(1), server: None };
        let arguments = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"];
        let initialized = cluster.command("initdb").args(arguments).output().unwrap();
        assert!(initialized.status.success(), "{}", String::from_utf8_lossy(&initialized.stderr));
        cluster.start_server().await;
        cluster
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts the server and waits until it responds.
    pub(crate) async fn start_server(&mut self) {
        let mut server = self.command("postgres");
        server.args(["-p", &self.port.to_string(), "-k", "", "-c", "listen_addresses=127.0.0.1"]);
        self.server = Some(server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let patience = ConstantBuilder::default().with_delay(Duration::from_millis(20)).with_max_times(1000);
        let connected =
            (|| async { tokio_postgres::connect(&self.url(), tokio_postgres::NoTls).await.map(drop) })
                .retry(patience)
                .await;
        assert!(connected.is_ok(), "PostgreSQL does not respond: {connected:?}");
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
