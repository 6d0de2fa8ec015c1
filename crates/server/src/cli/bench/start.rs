//! What the program and the disk need by themselves.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use backon::{ConstantBuilder, Retryable};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::error::CliError;

const SYNC_COUNT: u32 = 200;

/// How often a second a page can be appended to a file and synced.
pub(super) fn measure_syncs_per_second(folder: &Path) -> Result<f64, CliError> {
    let path = folder.join("sync");
    let measured = || -> std::io::Result<f64> {
        let mut file = File::create(&path)?;
        let begun = crate::telemetry::monotonic_now();
        for _ in 0..SYNC_COUNT {
            file.write_all(&[1; 4096])?;
            file.sync_data()?;
        }
        Ok(f64::from(SYNC_COUNT) / begun.elapsed().as_secs_f64())
    };
    let measured = measured().map_err(|e| CliError::Internal(e.into()))?;
    let _ = std::fs::remove_file(&path);
    Ok(measured)
}

/// A program that is killed when it is no longer needed.
struct RunningProgram(Child);

impl Drop for RunningProgram {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Milliseconds from its start until `serve` is ready, and its memory then, in MiB.
pub(super) async fn measure_program_start(config: &Path) -> Result<(f64, f64), CliError> {
    let program = std::env::current_exe().map_err(|e| CliError::Internal(e.into()))?;
    let (hub, probes) = (find_free_address().await?, find_free_address().await?);
    let mut command = Command::new(program);
    command.arg("--config").arg(config).args(["serve", "--listen", &hub, "--probe-listen", &probes]);
    let begun = crate::telemetry::monotonic_now();
    let running =
        RunningProgram(command.stderr(Stdio::null()).spawn().map_err(|e| CliError::Internal(e.into()))?);
    let retry_policy = ConstantBuilder::default().with_delay(Duration::from_millis(1)).with_max_times(60_000);
    let readiness = (|| check_ready(&probes)).retry(retry_policy).await;
    let took = begun.elapsed().as_secs_f64() * 1000.0;
    if readiness.is_err() {
        return Err(CliError::Failed("the program did not become ready within a minute".into()));
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.0.id())).unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = resident.and_then(|text| text.trim().trim_end_matches(" kB").parse::<f64>().ok());
    Ok((took, kib.unwrap_or_default() / 1024.0))
}

async fn find_free_address() -> Result<String, CliError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|e| CliError::Internal(e.into()))?;
    Ok(listener.local_addr().map_err(|e| CliError::Internal(e.into()))?.to_string())
}

async fn check_ready(probes: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(probes).await?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await?;
    if response.starts_with(b"HTTP/1.1 200") { Ok(()) } else { Err(std::io::Error::other("not ready")) }
}
