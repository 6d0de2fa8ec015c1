//! Builds the fuzz targets with the installed compiler and runs each for a given time.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::tidy;

/// Compiler flags that report edges and comparisons to libFuzzer: those of `cargo fuzz`, without a sanitizer, because
/// the project forbids unsafe code.
const COVERAGE_FLAGS: [&str; 6] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];
/// The target platform of the fuzz builds. It is named explicitly, because only then build scripts and procedural
/// macros are built without `COVERAGE_FLAGS`.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Runs each fuzz target for `seconds`. An input that fails is kept next to the target's corpus.
pub(crate) fn run(seconds: u32) -> Result<()> {
    let fuzz = tidy::root().join("fuzz");
    let built = Command::new("cargo")
        .args(["build", "--locked", "--bins", "--target", TARGET])
        .current_dir(&fuzz)
        // The stable compiler accepts the coverage passes only with this.
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
