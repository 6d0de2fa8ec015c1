//! Lists and reads the text files that the rules of `cargo xtask tidy` check.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// A text file of the project.
pub(crate) struct SourceFile {
    /// The path from the root, separated by `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl SourceFile {
    pub(crate) fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|extension| extension == "rs")
    }
}

/// Returns the root folder of the project.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Reads every text file that git tracks, and new files that it does not ignore.
pub(super) fn list_tracked_files() -> Result<Vec<SourceFile>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .context("git ls-files")?;
    let listed = String::from_utf8(output.stdout)?;
    let mut sources = Vec::new();
    for path in listed.lines() {
        // Fonts and images are not valid UTF-8, and a deleted file may still be in the index.
        if let Ok(text) = std::fs::read_to_string(root().join(path)) {
            sources.push(SourceFile { path: path.to_owned(), text });
        }
    }
    Ok(sources)
}
