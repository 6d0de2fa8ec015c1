//! Mutants of the pure rules: `cargo-mutants` changes `domain` and `fdx` in every place that it knows, and the tests of the
//! changed crate must notice it.
//!
//! Each mutant is first tested by the unit tests, without the slow ones, which a mutant rarely needs. Those that no test noticed
//! are tested again with all tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The pinned version. Another one generates other mutants.
const VERSION: &str = "25.3.1";

/// The crates whose tests must notice the mutants.
const PACKAGES: [&str; 2] = ["bowline-domain", "bowline-fdx"];

/// The share of the viable mutants that the tests must notice, in percent.
const REQUIRED_PERCENT: usize = 97;

/// Mutants that no test can or must notice, one per line with the reason after ` # `. Line numbers are left out.
const ACCEPTED: &str = include_str!("accepted-rule-mutants.txt");

/// Tests that take most of the time: they explore a model, create keys, or try arbitrary input or every field of every document.
const SLOW_TESTS: [&str; 4] =
    ["node_lease::model::", "jose::", "untrusted_input_tests::", "loses_nothing_else"];

/// The maximum duration of a build in seconds, so that no mutant builds without an end.
const BUILD_TIMEOUT: &str = "180";

/// The exit codes of `cargo-mutants` after it has tested every mutant: all caught, some missed, some timed out.
const COMPLETED: [Option<i32>; 3] = [Some(0), Some(2), Some(3)];

/// Tests the mutants of the rules. `shard` is a part of them, such as `2/8`. The error names the mutants that no test
/// noticed, unless they are accepted.
pub(crate) fn run(root: &Path, shard: Option<&str>) -> Result<()> {
    let program = ensure_cargo_mutants(root)?;
    let mut problems = Vec::new();
    for package in PACKAGES {
        let results = test_package(root, &program, package, shard)?;
        println!(
            "  {package}: {} of {} viable mutants were noticed, {} of the others are accepted",
            results.noticed,
            results.viable(),
            results.missed.len() - results.unaccepted().len()
        );
        problems.extend(results.find_problem(package));
    }
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}

/// Installs `cargo-mutants` below `target/` if it is not there.
fn ensure_cargo_mutants(root: &Path) -> Result<PathBuf> {
    let folder = root.join("target/cargo-mutants");
    crate::test_environment::ensure_installation(&folder, VERSION, || {
        let mut install = Command::new("cargo");
        install.args(["install", "--quiet", "--locked", "cargo-mutants", "--version", VERSION, "--root"]);
        let status = install.arg(&folder).status()?;
        ensure!(status.success(), "cargo install cargo-mutants failed");
        Ok(())
    })?;
    Ok(folder.join("bin/cargo-mutants"))
}

/// Tests the mutants of a crate, and again with all tests those that were missed.
fn test_package(root: &Path, program: &Path, package: &str, shard: Option<&str>) -> Result<RuleMutants> {
    let output = root.join("target/mutants").join(package);
    // Only the unit tests of the crate are built, which halves the duration of a build.
    let mut selection = vec!["--cargo-arg=--lib".to_owned()];
    selection.extend(shard.into_iter().flat_map(|shard| ["--shard".to_owned(), shard.to_owned()]));
    let skipped = SLOW_TESTS.map(|test| ["--skip".to_owned(), test.to_owned()]).concat();
    let quick = run_round(root, program, package, &output.join("quick"), &selection, &skipped)?;
    if quick.missed.is_empty() {
        return Ok(quick);
    }
    let missed: Vec<String> =
        quick.missed.iter().map(|mutant| format!("--re=^{}$", regex::escape(mutant))).collect();
    let again = run_round(root, program, package, &output.join("complete"), &missed, &[])?;
    Ok(RuleMutants { noticed: quick.noticed + again.noticed, missed: again.missed })
}

/// Runs `cargo-mutants` for the selected mutants of a crate. The arguments in `test_arguments` are those of the test programs.
fn run_round(
    root: &Path,
    program: &Path,
    package: &str,
    output: &Path,
    selection: &[String],
    test_arguments: &[String],
) -> Result<RuleMutants> {
    fs::create_dir_all(output)?;
    let mut command = Command::new(program);
    // Lints are not capped: that would build all dependencies again, and let a constant be computed without an end.
    command.args(["mutants", "--package", package, "--colors", "never"]);
    command.args(["--build-timeout", BUILD_TIMEOUT]).args(selection).arg("--output").arg(output);
    command.args(["--", "--"]).args(test_arguments);
    // The changed copy of the sources is built without debug information, next to the dependencies of earlier runs.
    command.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "1");
    command.env("CARGO_TARGET_DIR", root.join("target/mutants/rules"));
    // Another run tests the same cases, and the failures of one mutant are not repeated for the others.
    command.env("PROPTEST_RNG_SEED", "1").env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true");
    let status = command.current_dir(root).status().with_context(|| program.display().to_string())?;
    ensure!(COMPLETED.contains(&status.code()), "cargo mutants failed for {package}");
    RuleMutants::read(&output.join("mutants.out"))
}

/// The results for one crate. Mutants that do not build are left out.
struct RuleMutants {
    /// The number of mutants that a test noticed, by a failure or by running without an end.
    noticed: usize,
    /// The names of the others, with their positions.
    missed: Vec<String>,
}

impl RuleMutants {
    /// Reads the results from the folder that `cargo-mutants` wrote.
    fn read(folder: &Path) -> Result<Self> {
        let lines = |name: &str| -> Result<Vec<String>> {
            let path = folder.join(name);
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            Ok(text.lines().map(str::to_owned).collect())
        };
        let noticed = lines("caught.txt")?.len() + lines("timeout.txt")?.len();
        Ok(Self { noticed, missed: lines("missed.txt")? })
    }

    const fn viable(&self) -> usize {
        self.noticed + self.missed.len()
    }

    fn unaccepted(&self) -> Vec<&str> {
        let accepted: BTreeSet<&str> = ACCEPTED.lines().filter_map(parse_accepted_mutant).collect();
        let is_accepted = |mutant: &&str| accepted.contains(&*remove_position(mutant));
        self.missed.iter().map(String::as_str).filter(|mutant| !is_accepted(mutant)).collect()
    }

    /// Returns the reason why the tests of a crate do not suffice, if they do not.
    fn find_problem(&self, package: &str) -> Option<String> {
        let share = 100 * self.noticed / self.viable().max(1);
        let unaccepted = self.unaccepted();
        (share < REQUIRED_PERCENT || !unaccepted.is_empty()).then(|| {
            format!(
                "{package}: {share} % were noticed, and {REQUIRED_PERCENT} % are required. No test noticed:\n{}",
                unaccepted.join("\n")
            )
        })
    }
}

/// Returns the mutant of a line of the list of accepted ones; `None` for an empty line.
fn parse_accepted_mutant(line: &str) -> Option<&str> {
    line.split_once(" # ").map(|(mutant, _)| mutant)
}

/// Removes line and column from the name of a mutant, as in `crates/fdx/src/copy.rs:243:5: replace …`.
fn remove_position(mutant: &str) -> String {
    let mut parts = mutant.splitn(4, ':');
    match (parts.next(), parts.nth(2)) {
        (Some(file), Some(change)) => format!("{file}:{change}"),
        _ => mutant.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_of_mutant_is_removed() {
        let mutant = "crates/fdx/src/copy.rs:243:5: replace find_time -> Option<a::B> with None";

        assert_eq!(
            remove_position(mutant),
            "crates/fdx/src/copy.rs: replace find_time -> Option<a::B> with None"
        );
    }

    #[test]
    fn share_below_limit_or_unaccepted_mutant_is_a_problem() {
        let missed = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let all = RuleMutants { noticed: 100, missed: Vec::new() };
        let one = RuleMutants { noticed: 99, missed: missed(&["a.rs: replace x"]) };

        assert_eq!(all.find_problem("p"), None);
        assert!(one.find_problem("p").is_some_and(|problem| problem.contains("a.rs: replace x")));
    }

    #[test]
    fn every_accepted_mutant_has_a_reason() {
        for line in ACCEPTED.lines().filter(|line| !line.is_empty()) {
            assert!(parse_accepted_mutant(line).is_some(), "no reason: {line}");
        }
    }
}
