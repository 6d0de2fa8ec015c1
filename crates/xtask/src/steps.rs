//! The steps of `cargo xtask test`, such as builds, lints and tests, which run one after the other.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Result, bail, ensure};

use crate::stopwatch::start_stopwatch;
use crate::test_environment::TestEnvironment;
use crate::tidy;

/// The numbers of passed, failed and ignored tests that cargo reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct TestCount {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl TestCount {
    /// Adds the numbers in a line of cargo's output, such as `test result: ok. 8 passed; 0 failed; 0 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some((_, results)) = line.split_once("test result:") else { return };
        let number = |word: &str| {
            let before = results.split_once(word)?.0.trim_end();
            before.rsplit([' ', '.', ';']).find(|part| !part.is_empty())?.parse::<u64>().ok()
        };
        self.passed += number("passed").unwrap_or(0);
        self.failed += number("failed").unwrap_or(0);
        self.ignored += number("ignored").unwrap_or(0);
    }
}

/// Runs all steps of the check. Steps that can fail soonest come first.
pub(crate) fn run_tests(full: bool) -> Result<()> {
    let started = start_stopwatch();
    let machine = run_step("prepare the test environment", TestEnvironment::prepare)?;
    run_step("format", || run_cargo(&["fmt", "--all", "--check"], &[]))?;
    run_step("tidy", tidy::run)?;
    // All steps use one build profile, because a second profile would build the dependencies again.
    run_step("clippy", || {
        run_cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[])
    })?;
    let mut count = TestCount::default();
    let mut environment = machine.environment.clone();
    if full {
        environment.push(("BOWLINE_CRASH_ROUNDS", "200".into()));
        environment.push(("BOWLINE_RACE_ROUNDS", "10000".into()));
        environment.push(("BOWLINE_FILLED_CONNECTIONS", "1000000".into()));
    }
    let tested = run_step("tests", || run_and_count_tests(&mut count, &environment));
    let caught = tested.and_then(|()| {
        run_step("seeded bugs are caught", || crate::mutants::run(&tidy::root(), &environment, full))
    });
    let documented = caught.and_then(|()| {
        run_step("documentation", || {
            let doc = ["doc", "--workspace", "--no-deps", "--document-private-items"];
            run_cargo(
                &doc,
                &[("RUSTDOCFLAGS", "-D warnings --allow rustdoc::private_intra_doc_links".into())],
            )
        })
    });
    let result = documented.and_then(|()| if full { run_release_steps() } else { Ok(()) });
    // The database servers are stopped first, so that the summary is the last output.
    drop(machine);
    println!("the whole check took {} s", started.elapsed().as_secs());
    println!("{} passed, {} failed", count.passed, count.failed);
    result
}

/// Builds and tests the seeded bugs only.
pub(crate) fn run_mutants(full: bool) -> Result<()> {
    let machine = TestEnvironment::prepare()?;
    crate::mutants::run(&tidy::root(), &machine.environment, full)
}

fn run_release_steps() -> Result<()> {
    let tour = ["run", "--release", "--quiet", "-p", "bowline", "--", "tour", "--quiet"];
    run_step("the tour in a release build", || run_cargo(&tour, &[]))?;
    run_step("the program for distribution", crate::dist::build_program)
}

fn run_and_count_tests(count: &mut TestCount, environment: &[(&str, String)]) -> Result<()> {
    let mut command = Command::new("cargo");
    command.args(["test", "--workspace", "--no-fail-fast"]).stdout(Stdio::piped());
    command.envs(environment.iter().map(|(k, v)| (*k, v.as_str())));
    let mut child = command.spawn()?;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line?;
            count.add(&line);
            println!("{line}");
        }
    }
    let status = child.wait()?;
    ensure!(count.passed > 0, "no tests were run");
    ensure!(count.ignored == 0, "{} tests were skipped; a skipped test counts as a failure", count.ignored);
    ensure!(status.success() && count.failed == 0, "{} tests failed", count.failed);
    Ok(())
}

fn run_cargo(arguments: &[&str], environment: &[(&str, String)]) -> Result<()> {
    let mut command = Command::new("cargo");
    command.args(arguments).envs(environment.iter().map(|(k, v)| (*k, v.as_str())));
    if !command.status()?.success() {
        bail!("cargo {} failed", arguments.join(" "));
    }
    Ok(())
}

fn run_step<T>(name: &str, act: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("== {name}");
    let started = start_stopwatch();
    let result = act();
    println!(
        "== {name}: {} in {:.1} s",
        if result.is_ok() { "done" } else { "FAILED" },
        started.elapsed().as_secs_f32()
    );
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_counts_are_summed_and_other_lines_ignored() {
        let mut count = TestCount::default();
        count.add(
            "test result: ok. 8 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.04s",
        );
        count.add("test result: FAILED. 11 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out");
        count.add("running 99 tests");
        assert_eq!(count, TestCount { passed: 19, failed: 2, ignored: 1 });
    }
}
