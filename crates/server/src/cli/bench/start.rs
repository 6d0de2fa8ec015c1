//! What the program and the disk need by themselves.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use backon::{ConstantBuilder, Retryable};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::Failure;

const SYNCS: u32 = 200;

/// How often a second a page can be appended to a file and synced.
pub(super) fn syncs(folder: &Path) -> Result<f64, Failure> {
    let path = folder.join("sync");
    let measured = || -> std::io::Result<f64> {
        let mut file = File::create(&path)?;
        let begun = crate::telemetry::stopwatch();
        for _ in 0..SYNCS {
            file.write_all(&[1; 4096])?;
            file.sync_data()?;
        }
        Ok(f64::from(SYNCS) / begun.elapsed().as_secs_f64())
    };
    let measured = measured().map_err(|e| Failure::Fault(e.into()))?;
    let _ = std::fs::remove_file(&path);
    Ok(measured)
}

/// A program that is killed when it is no longer needed.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Milliseconds from its start until `serve` is ready, and its memory then, in MiB.
pub(super) async fn of_the_program(config: &Path) -> Result<(f64, f64), Failure> {
    let program = std::env::current_exe().map_err(|e| Failure::Fault(e.into()))?;
    let (hub, probes) = (free().await?, free().await?);
    let mut command = Command::new(program);
    command.arg("--config").arg(config).args(["serve", "--listen", &hub, "--probe-listen", &probes]);
    let begun = crate::telemetry::stopwatch();
    let running = Running(command.stderr(Stdio::null()).spawn().map_err(|e| Failure::Fault(e.into()))?);
    let patience = ConstantBuilder::default().with_delay(Duration::from_millis(1)).with_max_times(60_000);
    let asked = (|| ready(&probes)).retry(patience).await;
    let took = begun.elapsed().as_secs_f64() * 1000.0;
    if asked.is_err() {
        return Err(Failure::DoesNotHold("the program did not become ready within a minute".into()));
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.0.id())).unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = resident.and_then(|text| text.trim().trim_end_matches(" kB").parse::<f64>().ok());
    Ok((took, kib.unwrap_or_default() / 1024.0))
}

async fn free() -> Result<String, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|e| Failure::Fault(e.into()))?;
    Ok(listener.local_addr().map_err(|e| Failure::Fault(e.into()))?.to_string())
}

async fn ready(probes: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(probes).await?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    if answer.starts_with(b"HTTP/1.1 200") { Ok(()) } else { Err(std::io::Error::other("not ready")) }
}
