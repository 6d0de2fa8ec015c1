//! Deliberately broken builds: each must be caught by the test that is there to catch it. A checker that
//! passes on a broken program proves nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// One break, and what must notice it.
struct Mutant {
    /// What is wrong with it.
    name: &'static str,
    file: &'static str,
    /// Stands in the file exactly once.
    original: &'static str,
    replacement: &'static str,
    /// Where the test is.
    tests: TestTarget,
    /// The test.
    test: &'static str,
    /// What the failing test says.
    expected_failure: &'static str,
    /// Whether every run tries it, or a full one alone.
    always: bool,
}

/// A binary of tests: the smallest one that must notice is built, and no other.
#[derive(Clone, Copy)]
enum TestTarget {
    /// Stories over HTTP.
    Integration,
    /// The store's commands on both databases.
    StoreSuite,
    /// The tests inside of a package's sources.
    Unit(&'static str),
}

impl TestTarget {
    fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Integration => ["-p", "bowline", "--test", "it"],
            Self::StoreSuite => ["-p", "bowline-store", "--test", "suite"],
            Self::Unit(package) => ["-p", package, "--lib", "--quiet"],
        }
    }
}

const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "a step of a registration is taken wherever it stands",
        file: "crates/store/src/command/registration.rs",
        original: "let state = known.state.after(self.step).map_err(NotTaken::WrongState)?;",
        replacement: "let state = known.state.after(self.step).unwrap_or(RegistrationState::Active);",
        tests: TestTarget::Integration,
        test: "client_there::sqlite::rejection_during_client_registration_deletes_client",
        expected_failure: "the rejection stands",
        always: false,
    },
    Mutant {
        name: "an answer is served without the second access check",
        file: "crates/server/src/fdx_api/access.rs",
        original: "Err(Again::Ended(_)) => Err(DataError::Ended),",
        replacement: "Err(Again::Ended(_)) => Ok(Served(answer)),",
        tests: TestTarget::Integration,
        test: "race::no_read_succeeds_after_acknowledged_end_sqlite",
        expected_failure: "succeeded after",
        always: true,
    },
    Mutant {
        name: "the access check lets a revoked connection live",
        file: "crates/domain/src/rule/access.rs",
        original: "Status::Active if open => Standing::Live(hold(state)),",
        replacement: "Status::Active | Status::Revoked => Standing::Live(hold(state)),",
        tests: TestTarget::Integration,
        test: "race::no_read_succeeds_after_acknowledged_end_sqlite",
        expected_failure: "succeeded after",
        always: true,
    },
    Mutant {
        name: "a removed recipient is served until its connections are written down",
        file: "crates/domain/src/rule/access.rs",
        original: "state.client_state != ClientState::Closed && now < state.expires_at",
        replacement: "now < state.expires_at",
        tests: TestTarget::Unit("bowline-domain"),
        test: "rule::access::tests::removed_recipient_denies_access_before_ends_are_stored",
        expected_failure: "assertion failed",
        always: false,
    },
    Mutant {
        name: "a commit is answered before it is on disk",
        file: "crates/store/src/sqlite.rs",
        original: "PRAGMA synchronous = FULL;",
        replacement: "PRAGMA synchronous = OFF;",
        tests: TestTarget::Integration,
        test: "trace::revoke_syncs_wal_before_204",
        expected_failure: "the reply was sent before the log was synced",
        always: true,
    },
    Mutant {
        name: "a command does not lock its connection's row, and two nodes refresh at once",
        file: "crates/store/src/record.rs",
        original: r#""-- lock a connection\n", connection_columns!(), "WHERE id = ?1 FOR UPDATE""#,
        replacement: r#""-- lock a connection\n", connection_columns!(), "WHERE id = ?1""#,
        tests: TestTarget::StoreSuite,
        test: "race::postgres::concurrent_lease_requests_grant_one_lease",
        expected_failure: "may refresh at once",
        always: true,
    },
    Mutant {
        name: "a command does not lock its connection's row, and a token is lost to an end",
        file: "crates/store/src/record.rs",
        original: r#""-- lock a connection\n", connection_columns!(), "WHERE id = ?1 FOR UPDATE""#,
        replacement: r#""-- lock a connection\n", connection_columns!(), "WHERE id = ?1""#,
        tests: TestTarget::StoreSuite,
        test: "race::postgres::concurrent_refresh_and_end_revoke_every_token",
        expected_failure: "the newest token is nobody's",
        always: false,
    },
    Mutant {
        name: "an end queues no job that tells the bank",
        file: "crates/store/src/command/end_connection.rs",
        original: "..Sealed::token(data_key, token) };\n        queue(tx, moment, JobKind::TellBank, connection, sealed);",
        replacement: "..Sealed::token(data_key, token) };\n        drop(sealed);",
        tests: TestTarget::StoreSuite,
        test: "life::sqlite::end_deletes_tokens_and_credentials",
        expected_failure: "tests/suite/life.rs",
        always: true,
    },
    Mutant {
        name: "an end leaves the refresh tokens",
        file: "crates/store/src/command/end_connection.rs",
        original: "DELETE FROM refresh_tokens WHERE connection_id = ?1",
        replacement: "DELETE FROM refresh_tokens WHERE connection_id = ?1 AND 1 = 0",
        tests: TestTarget::StoreSuite,
        test: "race::sqlite::concurrent_exchange_and_end_leave_no_refresh_token",
        expected_failure: "a token lives on",
        always: false,
    },
    Mutant {
        name: "old news of a credential ends a connection",
        file: "crates/store/src/command/end_connection.rs",
        original: "self.fence.is_some_and(|version| version != connection.credential_version)",
        replacement: "self.fence.is_some_and(|version| version < 0)",
        tests: TestTarget::StoreSuite,
        test: "life::sqlite::stale_credential_version_is_ignored",
        expected_failure: "right: Fenced",
        always: false,
    },
    Mutant {
        name: "old news of an invalid_grant ends a connection",
        file: "crates/store/src/command/invalid_grant.rs",
        original: "if connection.credential_version != self.lease.version {",
        replacement: "if connection.credential_version < self.lease.version {",
        tests: TestTarget::StoreSuite,
        test: "trip::sqlite::stale_and_repeated_invalid_grants_are_not_counted",
        expected_failure: "right: Fenced",
        always: false,
    },
    Mutant {
        name: "the loser of two refreshes overwrites the winner's token",
        file: "crates/store/src/command/credential.rs",
        original: "if connection.credential_version != self.lease.version {",
        replacement: "if connection.credential_version < self.lease.version {",
        tests: TestTarget::StoreSuite,
        test: "credential::sqlite::first_of_two_refreshes_is_stored",
        expected_failure: "right: TooLate",
        always: false,
    },
    Mutant {
        name: "a sealed token opens for any connection",
        file: "crates/server/src/vault/seal.rs",
        original: "Aad::from(bound_to.as_bytes())",
        replacement: "Aad::from(&bound_to.as_bytes()[..0])",
        tests: TestTarget::Unit("bowline"),
        test: "vault::seal::tests::sealed_value_opens_only_for_its_name_and_key",
        expected_failure: "key(1).open(\"con_2\", &sealed).is_err()",
        always: false,
    },
    Mutant {
        name: "the log shows the query of a request",
        file: "crates/server/src/http/middleware.rs",
        original: r#"map_or("none", MatchedPath::as_str).to_owned();"#,
        replacement: r#"map_or("none", MatchedPath::as_str).to_owned() + request.uri().query().unwrap_or_default();"#,
        tests: TestTarget::Integration,
        test: "secrets::no_secret_is_logged_or_stored_sqlite",
        expected_failure: "in hub.log",
        always: false,
    },
    Mutant {
        name: "a redirect URI is compared by its beginning",
        file: "crates/domain/src/rule/authorize.rs",
        original: "client.redirect_uris.iter().any(|known| known == uri)",
        replacement: "client.redirect_uris.iter().any(|known| uri.starts_with(known.as_str()))",
        tests: TestTarget::Unit("bowline-domain"),
        test: "rule::authorize::tests::rfc9700_s2_1_redirect_uri_must_match_exactly",
        expected_failure: "authorize_tests.rs",
        always: true,
    },
    Mutant {
        name: "a code is redeemed for a redirect URI that begins alike",
        file: "crates/domain/src/rule/authorization_code.rs",
        original: "if code.redirect_uri != redirect_uri {",
        replacement: "if !redirect_uri.starts_with(code.redirect_uri.as_str()) {",
        tests: TestTarget::Unit("bowline-domain"),
        test: "rule::redeem::tests::invalid_second_code_use_is_rejected_as_suspicious",
        expected_failure: "Replayed",
        always: false,
    },
    Mutant {
        name: "a bank's document is fetched wherever the bank says",
        file: "crates/server/src/upstream/urls.rs",
        original: "from.join(location).ok().filter(|url| is_within_base(base, url))",
        replacement: "from.join(location).ok()",
        tests: TestTarget::Integration,
        test: "statements::document_redirect_stays_below_provider_base_url",
        expected_failure: "assertion",
        always: false,
    },
    Mutant {
        name: "a redirect of a bank is followed with what was sent to it",
        file: "crates/server/src/outbound.rs",
        original: ".redirect(reqwest::redirect::Policy::none())",
        replacement: ".redirect(reqwest::redirect::Policy::limited(3))",
        tests: TestTarget::Integration,
        test: "spec::rfc6750::rfc6750_s5_3_redirect_with_bearer_token_is_not_followed",
        expected_failure: "a bearer was sent on",
        always: false,
    },
    Mutant {
        name: "an answer of one bank is taken for another's",
        file: "crates/store/src/command/authorization_request.rs",
        original: "let request = request.filter(|r| r.provider_id == self.provider_id);",
        replacement: "",
        tests: TestTarget::Integration,
        test: "spec::rfc9700::rfc9700_s4_4_callback_with_other_issuer_is_rejected",
        expected_failure: "it was taken for another's",
        always: false,
    },
    Mutant {
        name: "whoever comes over the network seems to come from the machine itself",
        file: "crates/server/src/http/listener.rs",
        original: "Ok((stream, Peer::address(address.ip())))",
        replacement: "Ok((stream, Peer::local(domain::rule::operator::LocalPeer { user: 0, own: 0 })))",
        tests: TestTarget::Integration,
        test: "admin::socket::network_request_is_never_local_peer",
        expected_failure: "/admin/v1/",
        always: false,
    },
    Mutant {
        name: "any user of the machine is an admin at the hub's own socket",
        file: "crates/domain/src/rule/operator.rs",
        original: "if peer.user != peer.own && peer.user != ROOT {",
        replacement: "if peer.user == u32::MAX && peer.user != ROOT {",
        tests: TestTarget::Unit("bowline-domain"),
        test: "rule::operator::tests::local_peer_is_admin_only_as_hub_user_or_root",
        expected_failure: "1000 at a hub of 0",
        always: false,
    },
];

/// Builds and tests mutants, all of them or those that every run tries; an error names those that nobody
/// caught.
pub(crate) fn run(root: &Path, environment: &[(&str, String)], all: bool) -> Result<()> {
    let tree = root.join("target/mutants/tree");
    let target = root.join("target/mutants/target");
    copy_sources(root, &tree)?;
    copy_dependencies(root, &target)?;
    let mut survivors = Vec::new();
    for mutant in MUTANTS.iter().filter(|mutant| all || mutant.always) {
        let begun = crate::steps::start_stopwatch();
        let caught = check_mutant(mutant, &tree, &target, environment)?;
        let seconds = begun.elapsed().as_secs();
        println!("  {}: {} in {seconds} s", mutant.name, if caught { "caught" } else { "NOT CAUGHT" });
        if !caught {
            survivors.push(mutant.name);
        }
    }
    ensure!(survivors.is_empty(), "nobody noticed: {}", survivors.join("; "));
    Ok(())
}

fn check_mutant(mutant: &Mutant, tree: &Path, target: &Path, environment: &[(&str, String)]) -> Result<bool> {
    let path = tree.join(mutant.file);
    let original = fs::read_to_string(&path).with_context(|| mutant.file)?;
    fs::write(&path, apply_mutant(mutant, &original)?)?;
    let run = |arguments: &[&str]| {
        let all = [&mutant.tests.arguments()[..], arguments].concat();
        run_cargo_test(tree, target, environment, &all)
    };
    let tested = run(&["--no-run"]).and_then(|built| {
        ensure!(built.0, "{} does not build: {}", mutant.name, built.1);
        run(&["--", "--exact", mutant.test])
    });
    fs::write(&path, original)?;
    let (passed, output) = tested?;
    ensure!(!passed || output.contains("1 passed"), "{}: there is no test {}", mutant.name, mutant.test);
    if !passed && !output.contains(mutant.expected_failure) {
        bail!("{}: the test failed otherwise than it should:\n{output}", mutant.name);
    }
    Ok(!passed)
}

fn apply_mutant(mutant: &Mutant, source: &str) -> Result<String> {
    let times = source.matches(mutant.original).count();
    ensure!(times == 1, "{}: {:?} stands {times} times in {}", mutant.name, mutant.original, mutant.file);
    Ok(source.replace(mutant.original, mutant.replacement))
}

fn run_cargo_test(
    tree: &Path,
    target: &Path,
    environment: &[(&str, String)],
    arguments: &[&str],
) -> Result<(bool, String)> {
    let mut command = Command::new("cargo");
    command.arg("test").args(arguments).current_dir(tree);
    command.env("CARGO_TARGET_DIR", target).env_remove("CARGO_MANIFEST_DIR");
    command.envs(environment.iter().map(|(k, v)| (*k, v.as_str())));
    let output = command.stdin(Stdio::null()).output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

/// What a build needs of the sources. A file that is the same already keeps its time, so that only what
/// differs is built again; a file that is gone goes from there too.
fn copy_sources(root: &Path, tree: &Path) -> Result<()> {
    let parts =
        [".cargo", "crates", "migrations", "Cargo.toml", "Cargo.lock", "config.example.toml", "README.md"];
    let mut sources = Vec::new();
    for part in parts {
        sources.extend(files_below(root.join(part))?);
    }
    for from in &sources {
        let to = tree.join(from.strip_prefix(root)?);
        let bytes = fs::read(from).with_context(|| from.display().to_string())?;
        if fs::read(&to).is_ok_and(|known| known == bytes) {
            continue;
        }
        fs::create_dir_all(to.parent().context("a file has a folder")?)?;
        fs::write(&to, bytes)?;
    }
    for copy in files_below(tree.to_path_buf())? {
        if !root.join(copy.strip_prefix(tree)?).exists() {
            fs::remove_file(&copy)?;
        }
    }
    Ok(())
}

/// The files of a folder and of those in it; a file is itself.
fn files_below(path: PathBuf) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut pending = vec![path];
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            for entry in fs::read_dir(&path)? {
                pending.push(entry?.path());
            }
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

/// The dependencies' artefacts are the same for a mutant: they are copied, not built again.
fn copy_dependencies(root: &Path, target: &Path) -> Result<()> {
    if target.join("debug").exists() {
        return Ok(());
    }
    fs::create_dir_all(target.join("debug"))?;
    for part in ["deps", "build", ".fingerprint"] {
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(root.join("target/debug").join(part)).arg(target.join("debug"));
        ensure!(copy.status()?.success(), "{copy:?} failed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_applies_to_current_sources() {
        let root = crate::tidy::root();
        for mutant in MUTANTS {
            let source = fs::read_to_string(root.join(mutant.file)).unwrap();
            assert_ne!(apply_mutant(mutant, &source).unwrap(), source, "{}", mutant.name);
        }
    }
}
