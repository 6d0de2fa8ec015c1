//! Tests that the end of a connection is durable before the response 204 is sent. A trace of the system calls must show
//! a sync of the write-ahead log between the last write to it and the response. Killing the process cannot show this,
//! because the page cache survives.

use std::collections::BTreeMap;

use crate::support::HubProcess;

/// Returns an error unless the write-ahead log was synced between the last write to it and the first 204 response.
fn ensure_synced_before_reply(trace: &str) -> Result<(), String> {
    let mut begun: BTreeMap<&str, bool> = BTreeMap::new();
    let (mut written, mut synced) = (false, false);
    for line in trace.lines() {
        let (thread, call) = line.trim_start().split_once(' ').ok_or("a line without a thread")?;
        let call = call.trim_start();
        if call.contains("HTTP/1.1 204") {
            return match (written, synced) {
                (true, true) => Ok(()),
                (true, false) => Err("the reply was sent before the log was synced".into()),
                (false, _) => Err("nothing was written before the reply".into()),
            };
        }
        let on_log = call.contains("-wal>");
        if call.starts_with("pwrite64(") && on_log {
            (written, synced) = (true, false);
        }
        let is_sync = call.starts_with("fdatasync(") || call.starts_with("fsync(");
        if is_sync && on_log && call.contains("<unfinished") {
            begun.insert(thread, true);
        }
        let resumed = call.starts_with("<... fdatasync") || call.starts_with("<... fsync");
        let done = is_sync && on_log || resumed && begun.remove(thread).is_some();
        synced |= done && call.ends_with("= 0");
    }
    Err("no 204 was sent".into())
}

#[test]
fn durability_checker_rejects_reply_before_sync() {
    let write = "7 pwrite64(12</x/hub.db-wal>, \"\"..., 4096, 32) = 4096\n";
    let sync = "7 fdatasync(12</x/hub.db-wal>) = 0\n";
    let reply = "9 writev(20<socket:[1]>, [{iov_base=\"HTTP/1.1 204 No Content\"..., 160}], 1) = 160\n";
    let other = "7 fdatasync(13</x/hub.db>) = 0\n";
    let split = "7 fdatasync(12</x/hub.db-wal> <unfinished ...>\n8 write(1, \"\", 0) = 0\n7 <... fdatasync resumed>) = 0\n";
    let cut = "7 fdatasync(12</x/hub.db-wal> <unfinished ...>\n";
    let failed = "7 fdatasync(12</x/hub.db-wal>) = -1 EIO (Input/output error)\n";
    for good in [[write, sync, reply], [write, split, reply]] {
        assert_eq!(ensure_synced_before_reply(&good.concat()), Ok(()));
    }
    for bad in [
        [write, reply, sync],
        [sync, write, reply],
        [write, other, reply],
        [write, cut, reply],
        [write, failed, reply],
        [sync, "", reply],
        [write, sync, ""],
    ] {
        assert!(ensure_synced_before_reply(&bad.concat()).is_err(), "{bad:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoke_syncs_write_ahead_log_before_sending_204() {
    let strace = std::env::var("BOWLINE_TEST_STRACE").expect("BOWLINE_TEST_STRACE: run `cargo xtask test`");
    let site = HubProcess::new(None).await;
    site.initialize().await;
    let acme = site.add_recipient("Acme Budget");
    let trace = site.path("trace").display().to_string();
    let calls = "trace=fsync,fdatasync,pwrite64,write,writev,sendto,sendmsg";
    let _hub = site.serve(&[&strace, "-f", "-y", "-s", "24", "-e", calls, "-o", &trace]).await;
    let tokens = site.connect(&acme, "alice").await;
    assert_eq!(site.api().revoke(&tokens.access).await.status, 204);
    let seen = std::fs::read_to_string(&trace).unwrap();
    assert_eq!(ensure_synced_before_reply(&seen), Ok(()), "{}", &seen[seen.len().saturating_sub(4000)..]);
}

/// The memory of the hub contains keys. Neither a debugger nor a core dump may read it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hub_disables_core_dumps_before_it_reads_its_keys() {
    let strace = std::env::var("BOWLINE_TEST_STRACE").expect("BOWLINE_TEST_STRACE: run `cargo xtask test`");
    let site = HubProcess::new(None).await;
    site.initialize().await;
    let trace = site.path("trace.txt").display().to_string();

    let hub = site.serve(&[&strace, "-f", "-y", "-e", "trace=prctl,prlimit64,openat", "-o", &trace]).await;

    let trace = std::fs::read_to_string(site.path("trace.txt")).unwrap();
    let find = |call: &str| trace.find(call).unwrap_or_else(|| panic!("no {call}: {trace}"));
    let keys = find("hub.keys");
    assert!(find("prctl(PR_SET_DUMPABLE, SUID_DUMP_DISABLE") < keys, "{trace}");
    assert!(find("RLIMIT_CORE, {rlim_cur=0, rlim_max=0}") < keys, "{trace}");
    drop(hub);
}
