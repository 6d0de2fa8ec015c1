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
    /// The test of the integration binary.
    test: &'static str,
    /// What the failing test says.
    says: &'static str,
}

const IT: &[&str] = &["-p", "bowline", "--test", "it"];

const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "an answer is served without the second access check",
        file: "crates/server/src/gateway/access.rs",
        whole: "Err(Again::Ended(_)) => Err(DataError::Ended),",
        broken: "Err(Again::Ended(_)) => Ok(Served(answer)),",
        test: "race::nobody_is_served_after_an_end_on_sqlite",
        says: "succeeded after",
    },
    Mutant {
        name: "the access check lets a revoked connection live",
        file: "crates/domain/src/rule/access.rs",
        whole: "Status::Active if now < state.expires_at => Standing::Live(hold(state)),",
        broken: "Status::Active | Status::Revoked => Standing::Live(hold(state)),",
        test: "race::nobody_is_served_after_an_end_on_sqlite",
        says: "succeeded after",
    },
    Mutant {
        name: "a commit is answered before it is on disk",
        file: "crates/store/src/sqlite.rs",
        whole: "PRAGMA synchronous = FULL;",
        broken: "PRAGMA synchronous = OFF;",
        test: "trace::the_log_is_synced_before_the_reply_leaves",
        says: "the reply was sent before the log was synced",
    },
    Mutant {
        name: "a redirect of a bank is followed with what was sent to it",
        file: "crates/server/src/outbound.rs",
        whole: ".redirect(reqwest::redirect::Policy::none())",
        broken: ".redirect(reqwest::redirect::Policy::limited(3))",
        test: "spec::rfc6750::s5_3_no_redirect_is_followed_with_a_bearer",
        says: "a bearer was sent on",
    },
    Mutant {
        name: "an answer of one bank is taken for another's",
        file: "crates/store/src/command/request.rs",
        whole: "let request = request.filter(|r| r.provider_id == self.provider_id);",
        broken: "",
        test: "spec::rfc9700::s4_4_an_answer_of_one_bank_is_never_taken_for_anothers",
        says: "it was taken for another's",
    },
];

/// Builds and tests each mutant; an error names those that nobody caught.
pub(crate) fn run(root: &Path, environment: &[(&str, String)]) -> Result<()> {
    let tree = root.join("target/mutants/tree");
    let target = root.join("target/mutants/target");
    copy_sources(root, &tree)?;
    lend_dependencies(root, &target)?;
    let mut survivors = Vec::new();
    for mutant in MUTANTS {
        let caught = caught(mutant, &tree, &target, environment)?;
        println!("  {}: {}", mutant.name, if caught { "caught" } else { "NOT CAUGHT" });
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
    let built = cargo(tree, target, environment, &["--no-run"])?;
    ensure!(built.0, "{} does not build: {}", mutant.name, built.1);
    let tested = cargo(tree, target, environment, &["--", "--exact", mutant.test]);
    fs::write(&path, whole)?;
    let (passed, output) = tested?;
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
    command.arg("test").args(IT).args(arguments).current_dir(tree);
    command.env("CARGO_TARGET_DIR", target).env_remove("CARGO_MANIFEST_DIR");
    command.envs(environment.iter().map(|(k, v)| (*k, v.as_str())));
    let output = command.stdin(Stdio::null()).output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

/// What a build needs of the sources. A file that is the same already keeps its time, so that only what
/// differs is built again.
fn copy_sources(root: &Path, tree: &Path) -> Result<()> {
    let mut pending: Vec<PathBuf> =
        [".cargo", "crates", "migrations", "Cargo.toml", "Cargo.lock", "config.example.toml", "README.md"]
            .iter()
            .map(|name| root.join(name))
            .collect();
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            for entry in fs::read_dir(&path)? {
                pending.push(entry?.path());
            }
            continue;
        }
        let to = tree.join(path.strip_prefix(root)?);
        let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
        if fs::read(&to).is_ok_and(|known| known == bytes) {
            continue;
        }
        fs::create_dir_all(to.parent().context("a file has a folder")?)?;
        fs::write(&to, bytes)?;
    }
    Ok(())
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
