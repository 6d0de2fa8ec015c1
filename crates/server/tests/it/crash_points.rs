//! Tests with `kill -9` at every step: the process is killed when it enters its n-th write, sync or send, so before and
//! after each commit, response, lease and delivery. Every step is atomic, the provider is notified of every end, and
//! the audit chain verifies.

use bowline::cli::BrowserRequest;
use http::Method;

use crate::support::{HubProcess, TestClient, create_durable_database, wait_until};

/// A set of system calls as strace names it, and the distance between the numbers of calls at which a short run kills
/// the process. A full run tries each number.
type SyscallFamily = (&'static str, usize);

struct CrashScenario {
    site: HubProcess,
    acme: TestClient,
    strace: String,
}

impl CrashScenario {
    /// Revokes a connection while the process is killed at the `number`-th system call `call`; returns whether it was
    /// killed.
    async fn crash_at(&self, call: &str, number: usize) -> bool {
        let site = &self.site;
        let plain = site.serve(&[]).await;
        let tokens = site.connect(&self.acme, "alice").await;
        drop(plain); // SIGKILL as well

        let inject = format!("inject={call}:signal=KILL:when={number}");
        let traced = format!("trace={call}");
        let before = [self.strace.as_str(), "-f", "-qq", "-o", "/dev/null", "-e", &traced, "-e", &inject];
        let mut hub = site.start(&before);
        let mut acknowledged = false;
        if site.wait_until_ready(&mut hub).await {
            let mut revoke = BrowserRequest::new(Method::DELETE, &format!("{}/api/v1/revoke", site.hub_url));
            revoke.bearer = Some(tokens.access.clone());
            // An interrupted connection proves nothing: the end may be stored or not.
            if let Ok(answer) = site.browser.send(revoke).await {
                assert_eq!(answer.status, 204, "{}", answer.body);
                acknowledged = true;
            }
        }
        let process = std::cell::RefCell::new(&mut hub);
        wait_until("the provider is notified, or the hub was killed", async || {
            let done_job = "SELECT id FROM jobs WHERE state = 'done' AND connection_id = ";
            !process.borrow_mut().is_running()
                || !site.sql(&format!("{done_job}'{}'", tokens.id)).await.is_empty()
        })
        .await;
        let died = !hub.is_running();
        drop(hub);

        let what = format!("killed at {call} {number}");
        let _hub = site.serve(&[]).await;
        let ended = site.verify_consistency(&tokens.id).await;
        assert!(ended || !acknowledged, "{what}: an acknowledged end was lost");
        let read = site.api().read("/accounts", &tokens.access).await;
        assert_eq!(read.status, if ended { 401 } else { 200 }, "{what}: {}", read.body);
        assert_eq!(site.api().revoke(&tokens.access).await.status, 204, "{what}: repeating is safe");
        site.make_jobs_due().await;
        wait_until(&format!("the provider is notified ({what})"), async || {
            let state = format!("SELECT provider_revocation FROM connections WHERE id = '{}'", tokens.id);
            site.count_active_grants().await == 0 && site.sql(&state).await == ["accepted"]
        })
        .await;
        site.verify_consistency(&tokens.id).await;
        died
    }
}

async fn crash_at_every_step(database: Option<&str>, families: &[SyscallFamily]) {
    let each = std::env::var("BOWLINE_CRASH_ROUNDS").is_ok();
    let strace = std::env::var("BOWLINE_TEST_STRACE")
        .unwrap_or_else(|_| panic!("BOWLINE_TEST_STRACE names strace: run `cargo xtask test`"));
    let site = HubProcess::new(database).await;
    site.initialize().await;
    let story = CrashScenario { acme: site.add_recipient("Acme Budget"), site, strace };
    for (call, apart) in families {
        let step = if each { 1 } else { *apart };
        let mut deaths = 0;
        while story.crash_at(call, 1 + deaths * step).await {
            deaths += 1;
        }
        assert!(deaths > 0, "the process never calls {call}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_step_is_atomic_if_killed_at_any_system_call_sqlite() {
    crash_at_every_step(None, &[("fsync,fdatasync", 1), ("pwrite64", 9), ("sendto,sendmsg,writev", 1)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_step_is_atomic_if_killed_at_any_system_call_postgres() {
    let database = create_durable_database().await;
    crash_at_every_step(Some(&database), &[("sendto", 7), ("sendmsg,writev", 2)]).await;
}
