//! Rules for the sources that no other tool checks. Each rule has a test that it reports a violation.

mod budget;
mod cycles;
mod dependencies;
mod layers;
mod naming;
mod prose;
mod references;
mod source;

use anyhow::{Result, bail};

use source::{SourceFile, list_tracked_files};

pub(crate) use source::root;

/// Runs every rule, prints the figures and the violations, and fails if there are violations.
pub(crate) fn run() -> Result<()> {
    let sources = list_tracked_files()?;
    let mut findings = Vec::new();
    for source in &sources {
        findings.extend(layers::check(source));
        findings.extend(naming::check(source));
        findings.extend(budget::check(source));
    }
    findings.extend(check_migrations(&sources));
    findings.extend(references::check(&sources));
    findings.extend(dependencies::check()?);
    findings.extend(dependencies::check_use(&sources));
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

/// Reports the migrations for which SQLite and PostgreSQL have different numbers or names.
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
