//! Our own rules over the sources. Each is a function over a text, with a test that it catches a violation.

mod budget;
mod cycles;
mod dependencies;
mod layers;
mod names;
mod naming;
mod prose;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// A source file of the project.
pub(crate) struct SourceFile {
    /// Its path from the root, with `/`.
    pub(crate) path: String,
    /// Its text.
    pub(crate) text: String,
}

impl SourceFile {
    /// Whether it is Rust.
    pub(crate) fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|extension| extension == "rs")
    }
}

/// Runs every rule and prints what breaks them.
pub(crate) fn run() -> Result<()> {
    let sources = list_tracked_files()?;
    let mut findings = Vec::new();
    for source in &sources {
        findings.extend(layers::check(source));
        findings.extend(naming::check(source));
        findings.extend(budget::check(source));
    }
    findings.extend(check_migrations(&sources));
    findings.extend(names::check(&sources));
    findings.extend(dependencies::check()?);
    findings.extend(budget::check_test_ratios(&sources));
    findings.extend(cycles::check(&sources)?);
    findings.extend(prose::check(&sources)?);
    for finding in &findings {
        println!("  {finding}");
    }
    match findings.len() {
        0 => Ok(()),
        number => bail!("tidy found {number} violation(s)"),
    }
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The text files that git knows or would know.
fn list_tracked_files() -> Result<Vec<SourceFile>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .context("git ls-files")?;
    let listed = String::from_utf8(output.stdout)?;
    let mut sources = Vec::new();
    for path in listed.lines() {
        if let Ok(text) = std::fs::read_to_string(root().join(path)) {
            sources.push(SourceFile { path: path.to_owned(), text });
        }
    }
    Ok(sources)
}

/// Migrations have the same numbers and names for both databases.
fn check_migrations(sources: &[SourceFile]) -> Vec<String> {
    let list_of = |dialect: &str| -> Vec<&str> {
        let prefix = format!("migrations/{dialect}/");
        sources.iter().filter_map(|s| s.path.strip_prefix(prefix.as_str())).collect()
    };
    let (sqlite, postgres) = (list_of("sqlite"), list_of("postgres"));
    if sqlite == postgres {
        Vec::new()
    } else {
        vec![format!("migrations differ: {sqlite:?} and {postgres:?}")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migration_missing_for_one_database_is_reported() {
        let source = |path: &str| SourceFile { path: path.into(), text: String::new() };
        let both = [source("migrations/sqlite/0001_a.sql"), source("migrations/postgres/0001_a.sql")];
        assert!(check_migrations(&both).is_empty());
        assert_eq!(check_migrations(&both[..1]).len(), 1);
    }
}
