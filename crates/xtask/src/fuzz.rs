//! The fuzz targets, built with the machine's own compiler and run for a while each.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::tidy;

/// What libFuzzer needs to see of a program: its edges and its compares (what `cargo fuzz` sets, without a sanitizer:
/// the project forbids unsafe code).
const COVERAGE_FLAGS: [&str; 6] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];
/// With a target named, build scripts and macros are built without these flags.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Runs each target for so many seconds. What it was about to try when it failed is kept beside its corpus.
pub(crate) fn run(seconds: u32) -> Result<()> {
    let fuzz = tidy::root().join("fuzz");
    let built = Command::new("cargo")
        .args(["build", "--locked", "--bins", "--target", TARGET])
        .current_dir(&fuzz)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", COVERAGE_FLAGS.join(" "))
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .status()?;
    ensure!(built.success(), "the fuzz targets cannot be built");
    for target in list_targets(&fuzz.join("fuzz_targets"))? {
        let corpus = fuzz.join("target/corpus").join(&target);
        std::fs::create_dir_all(&corpus)?;
        println!("== fuzz {target} for {seconds} s");
        let run = Command::new(fuzz.join("target").join(TARGET).join("debug").join(&target))
            .args([
                format!("-max_total_time={seconds}"),
                "-verbosity=0".into(),
                "-print_final_stats=1".into(),
            ])
            .arg(format!("-artifact_prefix={}/", corpus.display()))
            .arg(&corpus)
            .status()?;
        ensure!(run.success(), "fuzz target {target} failed: the input is in {}", corpus.display());
    }
    Ok(())
}

fn list_targets(folder: &Path) -> Result<Vec<String>> {
    let files = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let names =
        files.map(|file| Ok(file?.path().file_stem().unwrap_or_default().to_string_lossy().into_owned()));
    let mut names = names.collect::<Result<Vec<_>>>()?;
    names.sort();
    ensure!(!names.is_empty(), "there are no fuzz targets in {}", folder.display());
    Ok(names)
}
