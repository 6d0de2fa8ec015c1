//! Measures the start time and memory of the hub as a separate process, and the speed of the disk.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use backon::{ConstantBuilder, Retryable};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::error::BenchmarkError;
use crate::stopwatch;

const SYNC_COUNT: u32 = 200;
/// The number of starts of which the median is reported. The disk is still busy with the writes of earlier measurements during
/// the first.
const STARTS: usize = 5;

/// Measures how many pages of 4 KiB per second can be appended to a file if each is synced before the next.
pub(crate) fn measure_syncs_per_second(folder: &Path) -> Result<f64, BenchmarkError> {
    let path = folder.join("sync");
    let append_and_sync = || -> std::io::Result<f64> {
        let mut file = File::create(&path)?;
        let started = stopwatch::start();
        for _ in 0..SYNC_COUNT {
            file.write_all(&[1; 4096])?;
            file.sync_data()?;
        }
        Ok(f64::from(SYNC_COUNT) / started.elapsed().as_secs_f64())
    };
    let per_second = append_and_sync().context("cannot write to the folder of the store")?;
    let _ = std::fs::remove_file(&path);
    Ok(per_second)
}

/// Finds two free addresses: one for the public API, one for the probes.
pub(crate) async fn find_free_addresses() -> Result<[String; 2], BenchmarkError> {
    // Both are bound before either is released, so that they differ.
    let listeners =
        [TcpListener::bind("127.0.0.1:0").await, TcpListener::bind("127.0.0.1:0").await].map(|listener| {
            let address = listener.and_then(|listener| Ok((listener.local_addr()?.to_string(), listener)));
            address.context("cannot listen on 127.0.0.1")
        });
    let [public, probes] = listeners;
    Ok([public?.0, probes?.0])
}

/// The hub as a separate process, which is killed on drop, so that it does not outlive its measurement.
pub(crate) struct HubProcess(Child);

impl HubProcess {
    /// Starts the hub several times, and returns the last process with the median of the times until it was ready.
    pub(crate) async fn start_repeatedly<E: From<BenchmarkError>>(
        serve: impl Fn() -> Result<Command, E>,
        probe_address: &str,
    ) -> Result<(Self, Duration), E> {
        let (mut last, first_time) = Self::start(serve()?, probe_address).await?;
        let mut times = vec![first_time];
        while times.len() < STARTS {
            // The previous process has the lock of the store until it is dropped.
            drop(last);
            let (process, ready_after) = Self::start(serve()?, probe_address).await?;
            times.push(ready_after);
            last = process;
        }
        times.sort_unstable();
        Ok((last, times[STARTS / 2]))
    }

    /// Starts the hub, and returns it with the time until it was ready.
    async fn start(mut serve: Command, probe_address: &str) -> Result<(Self, Duration), BenchmarkError> {
        let started = stopwatch::start();
        let child = serve.stderr(Stdio::null()).spawn().context("cannot start the hub as a process")?;
        let process = Self(child);
        let every_millisecond = ConstantBuilder::default().with_delay(Duration::from_millis(1));
        let ready = (|| check_ready(probe_address)).retry(every_millisecond.with_max_times(60_000)).await;
        let ready_after = started.elapsed();
        if ready.is_err() {
            let message = "the hub did not become ready within a minute";
            return Err(BenchmarkError::UnexpectedResponse(message.into()));
        }
        Ok((process, ready_after))
    }

    /// Returns the resident memory in MiB, or 0 on a system without `/proc`.
    pub(crate) fn resident_mib(&self) -> f64 {
        read_resident_mib(self.0.id())
    }
}

impl Drop for HubProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn read_resident_mib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = resident.and_then(|text| text.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or_default() / 1024.0
}

async fn check_ready(probe_address: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(probe_address).await?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await?;
    if response.starts_with(b"HTTP/1.1 200") { Ok(()) } else { Err(std::io::Error::other("not ready")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_of_own_process_is_read_on_linux() {
        let known = read_resident_mib(std::process::id());

        assert!(!cfg!(target_os = "linux") || known > 0.5, "{known}");
        assert!(read_resident_mib(u32::MAX) < 0.1);
    }
}
