//! Builds the program that is distributed: optimized across crates, with its debug information in a file of its own.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::tidy;

/// The maximum size of the distributed program, in bytes.
const MAX_PROGRAM_BYTES: u64 = 30 * 1024 * 1024;

/// Builds `target/dist/package/bowline` and `bowline.debug` next to it. Debuggers find the second file by its name, which the
/// program contains.
pub(crate) fn build_program() -> Result<()> {
    let root = tidy::root();
    run(&root, "cargo", &["build", "--locked", "--profile", "dist", "-p", "bowline"])?;
    let folder = root.join("target/dist/package");
    fs::create_dir_all(&folder)?;
    // Cargo can only strip all debug information or leave it in the program. The program that Cargo has built is not changed,
    // because Cargo would not build it again.
    run(
        &folder,
        "objcopy",
        &["--only-keep-debug", "--compress-debug-sections", "../bowline", "bowline.debug"],
    )?;
    run(&folder, "objcopy", &["--strip-all", "--add-gnu-debuglink=bowline.debug", "../bowline", "bowline"])?;
    run(&folder, &folder.join("bowline").to_string_lossy(), &["--version"])?;
    for file in ["bowline", "bowline.debug"] {
        println!("target/dist/package/{file}: {} bytes", size_of_file(&folder.join(file))?);
    }
    let size = size_of_file(&folder.join("bowline"))?;
    ensure!(
        size <= MAX_PROGRAM_BYTES,
        "the program has {size} bytes; at most {MAX_PROGRAM_BYTES} are allowed"
    );
    Ok(())
}

fn size_of_file(path: &Path) -> Result<u64> {
    Ok(path.metadata().with_context(|| format!("cannot read {}", path.display()))?.len())
}

fn run(folder: &Path, program: &str, arguments: &[&str]) -> Result<()> {
    let status = Command::new(program).args(arguments).current_dir(folder).status();
    let status = status.with_context(|| format!("cannot run {program}"))?;
    ensure!(status.success(), "{program} {} failed", arguments.join(" "));
    Ok(())
}
