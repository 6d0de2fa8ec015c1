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
    whole: &'static str,
    broken: &'static str,
    /// Where the test is.
    tests: Tests,
    /// The test.
    test: &'static str,
    /// What the failing test says.
    says: &'static str,
    /// Whether every run tries it, or a full one alone.
    always: bool,
}

/// A binary of tests: the smallest one that must notice is built, and no other.
#[derive(Clone, Copy)]
enum Tests {
    /// Stories over HTTP.
    It,
    /// The store's commands on both databases.
    Suite,
    /// The tests inside of a package's sources.
    Unit(&'static str),
}

impl Tests {
    fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::It => ["-p", "bowline", "--test", "it"],
            Self::Suite => ["-p", "bowline-store", "--test", "suite"],
            Self::Unit(package) => ["-p", package, "--lib", "--quiet"],
        }
    }
}

const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "a step of a registration is taken wherever it stands",
        file: "crates/store/src/command/registration.rs",
        whole: "let state = known.state.after(self.step).map_err(NotTaken::WrongState)?;",
        broken: "let state = known.state.after(self.step).unwrap_or(RegistrationState::Active);",
        tests: Tests::It,
        test: "client_there::sqlite::a_rejection_meanwhile_stands_and_the_client_is_deleted",
        says: "the rejection stands",
        always: false,
    },
    Mutant {
        name: "an answer is served without the second access check",
        file: "crates/server/src/gateway/access.rs",
        whole: "Err(Again::Ended(_)) => Err(DataError::Ended),",
        broken: "Err(Again::Ended(_)) => Ok(Served(answer)),",
        tests: Tests::It,
        test: "race::nobody_is_served_after_an_end_on_sqlite",
        says: "succeeded after",
        always: true,
    },
    Mutant {
        name: "the access check lets a revoked connection live",
        file: "crates/domain/src/rule/access.rs",
        whole: "Status::Active if open => Standing::Live(hold(state)),",
        broken: "Status::Active | Status::Revoked => Standing::Live(hold(state)),",
        tests: Tests::It,
        test: "race::nobody_is_served_after_an_end_on_sqlite",
        says: "succeeded after",
        always: true,
    },
    Mutant {
        name: "a removed recipient is served until its connections are written down",
        file: "crates/domain/src/rule/access.rs",
        whole: "state.client_state != ClientState::Closed && now < state.expires_at",
        broken: "now < state.expires_at",
        tests: Tests::Unit("bowline-domain"),
        test: "rule::access::tests::a_removed_recipient_is_over_before_its_connections_are_written_down",
        says: "assertion failed",
        always: false,
    },
    Mutant {
        name: "a commit is answered before it is on disk",
        file: "crates/store/src/sqlite.rs",
        whole: "PRAGMA synchronous = FULL;",
        broken: "PRAGMA synchronous = OFF;",
        tests: Tests::It,
        test: "trace::the_log_is_synced_before_the_reply_leaves",
        says: "the reply was sent before the log was synced",
        always: true,
    },
    Mutant {
        name: "a command does not lock its connection's row, and two nodes refresh at once",
        file: "crates/store/src/record.rs",
        whole: r#""-- lock a connection\n", connection_columns!(), "WHERE id = ?1 FOR UPDATE""#,
        broken: r#""-- lock a connection\n", connection_columns!(), "WHERE id = ?1""#,
        tests: Tests::Suite,
        test: "race::postgres::of_many_that_ask_at_once_one_refreshes",
        says: "may refresh at once",
        always: true,
    },
    Mutant {
        name: "a command does not lock its connection's row, and a token is lost to an end",
        file: "crates/store/src/record.rs",
        whole: r#""-- lock a connection\n", connection_columns!(), "WHERE id = ?1 FOR UPDATE""#,
        broken: r#""-- lock a connection\n", connection_columns!(), "WHERE id = ?1""#,
        tests: Tests::Suite,
        test: "race::postgres::a_refresh_and_an_end_at_once_lose_no_token",
        says: "the newest token is nobody's",
        always: false,
    },
    Mutant {
        name: "an end queues no job that tells the bank",
        file: "crates/store/src/command/end_connection.rs",
        whole: "..Sealed::token(data_key, token) };\n        queue(tx, moment, JobKind::TellBank, connection, sealed);",
        broken: "..Sealed::token(data_key, token) };\n        drop(sealed);",
        tests: Tests::Suite,
        test: "life::sqlite::an_end_takes_everything_along",
        says: "tests/suite/life.rs",
        always: true,
    },
    Mutant {
        name: "an end leaves the refresh tokens",
        file: "crates/store/src/command/end_connection.rs",
        whole: "DELETE FROM refresh_tokens WHERE connection_id = ?1",
        broken: "DELETE FROM refresh_tokens WHERE connection_id = ?1 AND 1 = 0",
        tests: Tests::Suite,
        test: "race::sqlite::an_exchange_and_an_end_at_once_leave_nothing_alive",
        says: "a token lives on",
        always: false,
    },
    Mutant {
        name: "old news of a credential ends a connection",
        file: "crates/store/src/command/end_connection.rs",
        whole: "self.fence.is_some_and(|version| version != connection.credential_version)",
        broken: "self.fence.is_some_and(|version| version < 0)",
        tests: Tests::Suite,
        test: "life::sqlite::an_old_news_is_fenced",
        says: "right: Fenced",
        always: false,
    },
    Mutant {
        name: "old news of an invalid_grant ends a connection",
        file: "crates/store/src/command/invalid_grant.rs",
        whole: "if connection.credential_version != self.lease.version {",
        broken: "if connection.credential_version < self.lease.version {",
        tests: Tests::Suite,
        test: "trip::sqlite::old_news_and_ended_connections_do_not_count",
        says: "right: Fenced",
        always: false,
    },
    Mutant {
        name: "the loser of two refreshes overwrites the winner's token",
        file: "crates/store/src/command/credential.rs",
        whole: "if connection.credential_version != self.lease.version {",
        broken: "if connection.credential_version < self.lease.version {",
        tests: Tests::Suite,
        test: "credential::sqlite::the_first_of_two_refreshes_wins",
        says: "right: TooLate",
        always: false,
    },
    Mutant {
        name: "a sealed token opens for any connection",
        file: "crates/server/src/vault/seal.rs",
        whole: "Aad::from(bound_to.as_bytes())",
        broken: "Aad::from(&bound_to.as_bytes()[..0])",
        tests: Tests::Unit("bowline"),
        test: "vault::seal::tests::a_value_opens_for_its_own_name_and_key_alone",
        says: "key(1).open(\"con_2\", &sealed).is_err()",
        always: false,
    },
    Mutant {
        name: "the log shows the query of a request",
        file: "crates/server/src/web/outer.rs",
        whole: r#"map_or("none", MatchedPath::as_str).to_owned();"#,
        broken: r#"map_or("none", MatchedPath::as_str).to_owned() + request.uri().query().unwrap_or_default();"#,
        tests: Tests::It,
        test: "secrets::no_secret_is_written_down_on_sqlite",
        says: "in hub.log",
        always: false,
    },
    Mutant {
        name: "a redirect URI is compared by its beginning",
        file: "crates/domain/src/rule/authorize.rs",
        whole: "client.redirect_uris.iter().any(|known| known == uri)",
        broken: "client.redirect_uris.iter().any(|known| uri.starts_with(known.as_str()))",
        tests: Tests::Unit("bowline-domain"),
        test: "rule::authorize::tests::only_an_exactly_registered_uri_is_redirected_to",
        says: "authorize_tests.rs",
        always: true,
    },
    Mutant {
        name: "a code is redeemed for a redirect URI that begins alike",
        file: "crates/domain/src/rule/redeem.rs",
        whole: "if code.redirect_uri != redirect_uri {",
        broken: "if !redirect_uri.starts_with(code.redirect_uri.as_str()) {",
        tests: Tests::Unit("bowline-domain"),
        test: "rule::redeem::tests::any_other_second_use_is_refused_recorded_and_without_effect",
        says: "Replayed",
        always: false,
    },
    Mutant {
        name: "a bank's document is fetched wherever the bank says",
        file: "crates/server/src/hub/provider.rs",
        whole: "from.join(place).ok().filter(|url| is_below(base, url))",
        broken: "from.join(place).ok()",
        tests: Tests::It,
        test: "statements::a_redirect_is_followed_below_the_base_and_the_bearer_goes_nowhere_else",
        says: "assertion",
        always: false,
    },
    Mutant {
        name: "a redirect of a bank is followed with what was sent to it",
        file: "crates/server/src/outbound.rs",
        whole: ".redirect(reqwest::redirect::Policy::none())",
        broken: ".redirect(reqwest::redirect::Policy::limited(3))",
        tests: Tests::It,
        test: "spec::rfc6750::s5_3_no_redirect_is_followed_with_a_bearer",
        says: "a bearer was sent on",
        always: false,
    },
    Mutant {
        name: "an answer of one bank is taken for another's",
        file: "crates/store/src/command/request.rs",
        whole: "let request = request.filter(|r| r.provider_id == self.provider_id);",
        broken: "",
        tests: Tests::It,
        test: "spec::rfc9700::s4_4_an_answer_of_one_bank_is_never_taken_for_anothers",
        says: "it was taken for another's",
        always: false,
    },
    Mutant {
        name: "whoever comes over the network seems to come from the machine itself",
        file: "crates/server/src/web/listen.rs",
        whole: "Ok((stream, Peer::address(address.ip())))",
        broken: "Ok((stream, Peer::local(domain::rule::operator::LocalPeer { user: 0, own: 0 })))",
        tests: Tests::It,
        test: "admin::socket::over_the_network_nobody_comes_from_the_machine",
        says: "/admin/v1/",
        always: false,
    },
    Mutant {
        name: "any user of the machine is an admin at the hub's own socket",
        file: "crates/domain/src/rule/operator.rs",
        whole: "if peer.user != peer.own && peer.user != ROOT {",
        broken: "if peer.user == u32::MAX && peer.user != ROOT {",
        tests: Tests::Unit("bowline-domain"),
        test: "rule::operator::tests::of_the_machine_the_hubs_own_user_and_root_are_let_in_as_admins",
        says: "1000 at a hub of 0",
        always: false,
    },
];

/// Builds and tests mutants, all of them or those that every run tries; an error names those that nobody
/// caught.
pub(crate) fn run(root: &Path, environment: &[(&str, String)], all: bool) -> Result<()> {
    let tree = root.join("target/mutants/tree");
    let target = root.join("target/mutants/target");
    copy_sources(root, &tree)?;
    lend_dependencies(root, &target)?;
    let mut survivors = Vec::new();
    for mutant in MUTANTS.iter().filter(|mutant| all || mutant.always) {
        let begun = crate::steps::stopwatch();
        let caught = caught(mutant, &tree, &target, environment)?;
        let seconds = begun.elapsed().as_secs();
        println!("  {}: {} in {seconds} s", mutant.name, if caught { "caught" } else { "NOT CAUGHT" });
        if !caught {
            survivors.push(mutant.name);
        }
    }
    ensure!(survivors.is_empty(), "nobody noticed: {}", survivors.join("; "));
    Ok(())
}

fn caught(mutant: &Mutant, tree: &Path, target: &Path, environment: &[(&str, String)]) -> Result<bool> {
    let path = tree.join(mutant.file);
    let whole = fs::read_to_string(&path).with_context(|| mutant.file)?;
    fs::write(&path, broken(mutant, &whole)?)?;
    let run = |arguments: &[&str]| {
        let all = [&mutant.tests.arguments()[..], arguments].concat();
        cargo(tree, target, environment, &all)
    };
    let tested = run(&["--no-run"]).and_then(|built| {
        ensure!(built.0, "{} does not build: {}", mutant.name, built.1);
        run(&["--", "--exact", mutant.test])
    });
    fs::write(&path, whole)?;
    let (passed, output) = tested?;
    ensure!(!passed || output.contains("1 passed"), "{}: there is no test {}", mutant.name, mutant.test);
    if !passed && !output.contains(mutant.says) {
        bail!("{}: the test failed otherwise than it should:\n{output}", mutant.name);
    }
    Ok(!passed)
}

fn broken(mutant: &Mutant, whole: &str) -> Result<String> {
    let times = whole.matches(mutant.whole).count();
    ensure!(times == 1, "{}: {:?} stands {times} times in {}", mutant.name, mutant.whole, mutant.file);
    Ok(whole.replace(mutant.whole, mutant.broken))
}

fn cargo(
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
fn lend_dependencies(root: &Path, target: &Path) -> Result<()> {
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
    fn every_break_is_possible_in_the_sources_as_they_are() {
        let root = crate::tidy::root();
        for mutant in MUTANTS {
            let whole = fs::read_to_string(root.join(mutant.file)).unwrap();
            assert_ne!(broken(mutant, &whole).unwrap(), whole, "{}", mutant.name);
        }
    }
}
