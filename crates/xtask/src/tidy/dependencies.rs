//! Reports dependencies with a licence that is not allowed, banned crates and unused dependencies, and counts crates with several
//! versions.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::source::SourceFile;

const ALLOWED_LICENCES: [&str; 15] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "ISC",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "Zlib",
    "0BSD",
    "Unicode-3.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "OpenSSL",
    "Unlicense",
    "MIT-0",
    "BSL-1.0",
];

/// Crates that must not be built, with the reason.
const BANNED_CRATES: [(&str, &str); 4] = [
    ("ring", "aws-lc-rs is the only crypto"),
    ("rsa", "aws-lc-rs is the only crypto"),
    ("openssl-sys", "rustls is the only TLS"),
    ("native-tls", "rustls is the only TLS"),
];

/// Crates whose licence is not on the list of allowed ones but that only tests use, with their licence. They are never
/// shipped.
const TEST_ONLY_LICENCES: [(&str, &str); 1] = [("webdriver", "MPL-2.0")];

/// Checks the crates that are built for the platform of the releases.
pub(super) fn check() -> Result<Vec<String>> {
    let tree = ["tree", "--workspace", "--locked", "--prefix=none", "--format={p}|{l}"];
    let output = Command::new("cargo")
        .args(tree)
        .args(["--target=x86_64-unknown-linux-gnu", "--edges=normal,build,dev"])
        .current_dir(super::source::root())
        .output()
        .context("cargo tree")?;
    let listed = String::from_utf8(output.stdout)?;
    ensure!(!listed.is_empty(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    Ok(check_packages(&listed))
}

fn check_packages(listed: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (package, licence) in listed.lines().filter_map(|line| line.split_once('|')) {
        let mut words = package.split(' ');
        let (name, version) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if !versions.entry(name).or_default().insert(version) {
            continue;
        }
        let licence = licence.trim_end_matches(" (*)");
        if !is_allowed(licence) && !TEST_ONLY_LICENCES.contains(&(name, licence)) {
            findings.push(format!("{name}: the licence {licence:?} is not on the list"));
        }
        if let Some((_, why)) = BANNED_CRATES.iter().find(|(banned, _)| *banned == name) {
            findings.push(format!("{name} is banned: {why}"));
        }
    }
    let duplicates = versions.values().filter(|versions| versions.len() > 1).count();
    println!("  {} crates, {duplicates} in several versions", versions.len());
    findings
}

/// Reports the dependencies of manifests that no code of their crate names. Every build would compile them for nothing.
pub(super) fn check_use(sources: &[SourceFile]) -> Vec<String> {
    let mut findings = Vec::new();
    for manifest in sources {
        // The manifest of the workspace, at the root, declares the dependencies of all crates.
        let Some(folder) = manifest.path.strip_suffix("/Cargo.toml") else { continue };
        let (mut code, mut tests) = (BTreeSet::new(), BTreeSet::new());
        for source in sources.iter().filter(|source| source.is_rust()) {
            let Some(path) = source.path.strip_prefix(folder).and_then(|path| path.strip_prefix('/')) else {
                continue;
            };
            let words = if path.starts_with("tests/") { &mut tests } else { &mut code };
            let lines = source.text.lines().filter(|line| !line.trim_start().starts_with("//"));
            words.extend(lines.flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_')));
        }
        for (section, name) in list_dependencies(&manifest.text) {
            let word = name.replace('-', "_");
            if !code.contains(word.as_str()) && (section == "dependencies" || !tests.contains(word.as_str()))
            {
                findings.push(format!("{}: no code uses {name} of [{section}]", manifest.path));
            }
        }
    }
    findings
}

/// Returns the dependencies of a manifest with the section of each.
fn list_dependencies(manifest: &str) -> Vec<(&str, &str)> {
    let mut dependencies = Vec::new();
    let mut section = "";
    for line in manifest.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
            // A dependency may have a table of its own, as in `[dependencies.serde]`.
            if let Some((outer, name)) = section.rsplit_once('.')
                && outer.ends_with("dependencies")
            {
                dependencies.push((outer, name));
            }
        } else if section.ends_with("dependencies") && !line.starts_with('#') {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if !name.is_empty() {
                dependencies.push((section, name));
            }
        }
    }
    dependencies
}

/// Returns whether an SPDX licence expression is allowed: every operand of an `AND`, and one operand of each `OR`, must
/// be on the list.
fn is_allowed(licence: &str) -> bool {
    let plain = licence.replace(['(', ')'], "").replace('/', " OR ");
    plain.split(" AND ").all(|part| part.split(" OR ").any(|one| ALLOWED_LICENCES.contains(&one.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licence_expression_needs_one_allowed_alternative() {
        assert!(
            is_allowed("MIT OR GPL-3.0")
                && is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0")
                && is_allowed("MIT/Apache-2.0")
        );
        assert!(!is_allowed("GPL-3.0") && !is_allowed("MIT AND GPL-3.0") && !is_allowed("none"));
    }

    #[test]
    fn dependency_that_no_code_uses_is_reported() {
        let source = |path: &str, text: &str| SourceFile { path: path.into(), text: text.into() };
        let manifest = "[package]\nname = \"a\"\n\n[dependencies]\n# needed\nrand-core.workspace = true
serde = \"1\"\n\n[dev-dependencies]\ninsta = \"1\"\nproptest = \"1\"\n\n[dependencies.hyper]\nversion = \"1\"\n";
        let sources = [
            source("Cargo.toml", "[workspace.dependencies]\nunknown = \"1\""),
            source("crates/a/Cargo.toml", manifest),
            source("crates/a/src/lib.rs", "// hyper is not used\nuse rand_core::Rng;"),
            source("crates/a/tests/suite.rs", "use serde::Serialize; use insta::assert;"),
            source("crates/ab/src/lib.rs", "use proptest::prelude;"),
        ];

        assert_eq!(
            check_use(&sources),
            [
                "crates/a/Cargo.toml: no code uses serde of [dependencies]",
                "crates/a/Cargo.toml: no code uses proptest of [dev-dependencies]",
                "crates/a/Cargo.toml: no code uses hyper of [dependencies]",
            ]
        );
    }

    #[test]
    fn banned_crate_and_unlisted_licence_are_reported_once() {
        assert_eq!(
            check_packages("ring v0.17.1|Apache-2.0 AND ISC\nring v0.17.1|Apache-2.0 AND ISC (*)").len(),
            1
        );
        assert_eq!(check_packages("x v1.0.0|GPL-3.0").len(), 1);
        assert!(check_packages("serde v1.0.0|MIT OR Apache-2.0\nwebdriver v0.53.0|MPL-2.0").is_empty());
    }
}
