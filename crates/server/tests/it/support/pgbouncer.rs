//! The pooler pgbouncer, started in front of the PostgreSQL of one test.

use std::process::{Child, Command, Stdio};

use super::{PostgresCluster, reserve_ports, wait_until};

pub(crate) struct Pgbouncer {
    folder: tempfile::TempDir,
    port: u16,
    target: u16,
    process: Child,
}

impl Pgbouncer {
    /// Starts pgbouncer with a pool mode: `session` or `transaction`.
    pub(crate) async fn start(cluster: &PostgresCluster, pool_mode: &str) -> Self {
        let variable = "BOWLINE_TEST_PGBOUNCER";
        let program = std::env::var(variable)
            .unwrap_or_else(|_| panic!("{variable} names pgbouncer: `cargo xtask test` sets it"));
        let (folder, port) = (tempfile::tempdir().unwrap(), reserve_ports(1));
        let config = folder.path().join("pgbouncer.ini");
        write_config(&folder, cluster.port(), port, pool_mode);
        // pgbouncer refuses to run as root.
        let is_root = Command::new("id").arg("-u").output().unwrap().stdout.trim_ascii() == b"0";
        let mut command = if is_root {
            assert!(
                Command::new("chown")
                    .arg("-R")
                    .arg("postgres")
                    .arg(folder.path())
                    .status()
                    .unwrap()
                    .success()
            );
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--pdeathsig", "KILL"]);
            command.arg(program);
            command
        } else {
            Command::new(program)
        };
        let process = command.arg(&config).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let bouncer = Self { folder, port, target: cluster.port(), process };
        let url = bouncer.url();
        wait_until("pgbouncer accepts connections", async || {
            tokio_postgres::connect(&url, tokio_postgres::NoTls).await.is_ok()
        })
        .await;
        bouncer
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Changes the pool mode of the running pgbouncer.
    pub(crate) fn reload_pool_mode(&self, pool_mode: &str) {
        write_config(&self.folder, self.target, self.port, pool_mode);
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    }
}

fn write_config(folder: &tempfile::TempDir, target: u16, port: u16, pool_mode: &str) {
    let users = folder.path().join("users.txt");
    std::fs::write(&users, "\"postgres\" \"\"\n").unwrap();
    let config = format!(
        "[databases]\npostgres = host=127.0.0.1 port={target} dbname=postgres\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = trust\n\
         auth_file = {users}\npool_mode = {pool_mode}\nmax_client_conn = 200\ndefault_pool_size = 40\n",
        users = users.display()
    );
    std::fs::write(folder.path().join("pgbouncer.ini"), config).unwrap();
}

impl Drop for Pgbouncer {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-KILL", &self.process.id().to_string()]).status();
        let _ = self.process.wait();
    }
}
