//! The steps of `cargo xtask test`, such as builds, lints and tests, which run one after the other.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use anyhow::{Result, anyhow, bail, ensure};

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
    command.args(["test", "--workspace", "--no-fail-fast"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.envs(environment.iter().map(|(k, v)| (*k, v.as_str())));
    let mut child = command.spawn()?;
    let errors = child.stderr.take();
    // Both outputs are read at the same time: the process would wait for a reader of a full pipe.
    let errors = std::thread::spawn(move || find_failures(errors, |line| eprintln!("{line}")));
    let mut failures = find_failures(child.stdout.take(), |line| {
        count.add(line);
        println!("{line}");
    })?;
    failures.extend(errors.join().map_err(|_| anyhow!("the errors of the tests were not read"))??);
    let status = child.wait()?;
    ensure!(count.passed > 0, "no tests were run");
    ensure!(count.ignored == 0, "{} tests were skipped; a skipped test counts as a failure", count.ignored);
    // They are repeated, because they may be far above the end of the output. A test program that was aborted counts no tests.
    let failures = failures.join("\n");
    ensure!(status.success() && count.failed == 0, "{} tests failed:\n{failures}", count.failed);
    Ok(())
}

/// Passes on the lines of an output as they arrive, and returns those that name a failed test or an aborted test program.
fn find_failures(output: Option<impl Read>, mut pass_on: impl FnMut(&str)) -> Result<Vec<String>> {
    let mut failures = Vec::new();
    for line in output.into_iter().flat_map(|output| BufReader::new(output).split(b'\n')) {
        let line = line?;
        // A test may print text that is not UTF-8.
        let line = String::from_utf8_lossy(&line);
        pass_on(&line);
        if names_failure(&line) {
            failures.push(line.into_owned());
        }
    }
    Ok(failures)
}

/// Returns whether a line of cargo's output names a failed test, or the reason why a test program ended without its results.
fn names_failure(line: &str) -> bool {
    (line.starts_with("test ") && line.ends_with("... FAILED"))
        || ["has overflowed its stack", "process didn't exit successfully", "memory allocation of"]
            .iter()
            .any(|text| line.contains(text))
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

    #[test]
    fn failed_tests_and_aborted_programs_are_repeated() {
        let output =
            b"test a::b ... ok\ntest a::c ... FAILED\n\xff\nthread 'a::d' (7) has overflowed its stack\n\
            process didn't exit successfully: `it` (signal: 6)\ntest result: FAILED. 1 passed; 1 failed\n";
        let mut lines = 0;

        let failures = find_failures(Some(&output[..]), |_| lines += 1).unwrap();

        assert_eq!(lines, 6);
        assert_eq!(
            failures,
            [
                "test a::c ... FAILED",
                "thread 'a::d' (7) has overflowed its stack",
                "process didn't exit successfully: `it` (signal: 6)"
            ]
        );
    }
}
