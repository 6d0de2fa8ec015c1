//! Seeded bugs: builds the project with one wrong line at a time and runs the test that must catch it. A test that
//! passes on a wrong program proves nothing.

mod access_map;
mod clocks;
mod documents;
mod dpop;
mod ends;
mod logins;
mod provider_calls;
mod provider_credentials;
mod refusals;
pub(crate) mod rules;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use self::access_map::ACCESS_MAP_MUTANTS;
use self::clocks::CLOCK_MUTANTS;
use self::documents::DOCUMENT_MUTANTS;
use self::dpop::DPOP_MUTANTS;
use self::ends::END_MUTANTS;
use self::logins::LOGIN_MUTANTS;
use self::provider_calls::PROVIDER_CALL_MUTANTS;
use self::provider_credentials::PROVIDER_CREDENTIAL_MUTANTS;
use self::refusals::REFUSAL_MUTANTS;
use self::table::{MUTANTS, Mutant};

/// Builds and tests the seeded bugs, either all of them or those marked `always`. The error names those that no test
/// caught.
pub(crate) fn run(root: &Path, environment: &[(&str, String)], all: bool) -> Result<()> {
    let tree = root.join("target/mutants/tree");
    let target = root.join("target/mutants/target");
    copy_sources(root, &tree)?;
    copy_dependencies(root, &target)?;
    let mut survivors = Vec::new();
    for mutant in all_mutants().filter(|mutant| all || mutant.always) {
        let started = crate::stopwatch::start_stopwatch();
        let caught = check_mutant(mutant, &tree, &target, environment)?;
        let seconds = started.elapsed().as_secs();
        println!("  {}: {} in {seconds} s", mutant.name, if caught { "caught" } else { "NOT CAUGHT" });
        if !caught {
            survivors.push(mutant.name);
        }
    }
    ensure!(survivors.is_empty(), "no test caught: {}", survivors.join("; "));
    Ok(())
}

fn all_mutants() -> impl Iterator<Item = &'static Mutant> {
    let others = [
        ACCESS_MAP_MUTANTS,
        PROVIDER_CALL_MUTANTS,
        PROVIDER_CREDENTIAL_MUTANTS,
        CLOCK_MUTANTS,
        DOCUMENT_MUTANTS,
        DPOP_MUTANTS,
        END_MUTANTS,
        LOGIN_MUTANTS,
        REFUSAL_MUTANTS,
    ];
    MUTANTS.iter().chain(others.into_iter().flatten())
}

fn check_mutant(mutant: &Mutant, tree: &Path, target: &Path, environment: &[(&str, String)]) -> Result<bool> {
    let path = tree.join(mutant.file);
    let original = fs::read_to_string(&path).with_context(|| mutant.file)?;
    fs::write(&path, apply_mutant(mutant, &original)?)?;
    let run = |arguments: &[&str]| {
        let all = [&mutant.tests.arguments()[..], arguments].concat();
        run_cargo_test(tree, target, environment, &all)
    };
    let tested = run(&["--no-run"]).and_then(|built| {
        ensure!(built.0, "{} does not build: {}", mutant.name, built.1);
        run(&["--", "--exact", mutant.test])
    });
    fs::write(&path, original)?;
    let (passed, output) = tested?;
    ensure!(!passed || output.contains("1 passed"), "{}: there is no test {}", mutant.name, mutant.test);
    if !passed && !output.contains(mutant.expected_failure) {
        bail!("{}: the test failed with an unexpected message:\n{output}", mutant.name);
    }
    Ok(!passed)
}

fn apply_mutant(mutant: &Mutant, source: &str) -> Result<String> {
    let times = source.matches(mutant.original).count();
    ensure!(
        times == 1,
        "{}: {:?} occurs {times} times in {}, expected once",
        mutant.name,
        mutant.original,
        mutant.file
    );
    Ok(source.replace(mutant.original, mutant.replacement))
}

fn run_cargo_test(
    tree: &Path,
    target: &Path,
    environment: &[(&str, String)],
    arguments: &[&str],
) -> Result<(bool, String)> {
    let mut command = Command::new("cargo");
    command.arg("test").args(arguments).current_dir(tree);
    command.env("CARGO_TARGET_DIR", target).env_remove("CARGO_MANIFEST_DIR");
    command.envs(environment.iter().map(|(k, v)| (*k, v.as_str())));
    let output = command.stdin(Stdio::null()).output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

/// The files and folders that a build of the tests needs, relative to the root.
const COPIED_SOURCES: [&str; 8] = [
    ".cargo",
    "crates",
    "migrations",
    "openapi",
    "Cargo.toml",
    "Cargo.lock",
    "config.example.toml",
    "README.md",
];

/// Copies the sources that a build needs. An unchanged file keeps its modification time, so that only changed files are
/// built again. A removed file is removed from the copy too.
fn copy_sources(root: &Path, tree: &Path) -> Result<()> {
    let mut sources = Vec::new();
    for part in COPIED_SOURCES {
        sources.extend(files_below(root.join(part))?);
    }
    for from in &sources {
        let to = tree.join(from.strip_prefix(root)?);
        let bytes = fs::read(from).with_context(|| from.display().to_string())?;
        if fs::read(&to).is_ok_and(|known| known == bytes) {
            continue;
        }
        fs::create_dir_all(to.parent().context("a file has a folder")?)?;
        fs::write(&to, bytes)?;
    }
    for copy in files_below(tree.to_path_buf())? {
        if !root.join(copy.strip_prefix(tree)?).exists() {
            fs::remove_file(&copy)?;
        }
    }
    Ok(())
}

/// Lists all files in a folder and its subfolders. For the path of a file, the list contains only that file.
fn files_below(path: PathBuf) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut pending = vec![path];
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            for entry in fs::read_dir(&path)? {
                pending.push(entry?.path());
            }
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

/// Copies the build artefacts of the dependencies, which no seeded bug changes.
fn copy_dependencies(root: &Path, target: &Path) -> Result<()> {
    if target.join("debug").exists() {
        return Ok(());
    }
    fs::create_dir_all(target.join("debug"))?;
    for part in ["deps", "build", ".fingerprint"] {
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(root.join("target/debug").join(part)).arg(target.join("debug"));
        ensure!(copy.status()?.success(), "{copy:?} failed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::table::TestTarget;
    use super::*;

    #[test]
    fn original_text_of_every_seeded_bug_occurs_exactly_once() {
        let root = crate::tidy::root();
        for mutant in all_mutants() {
            let source = fs::read_to_string(root.join(mutant.file)).unwrap();
            assert_ne!(apply_mutant(mutant, &source).unwrap(), source, "{}", mutant.name);
        }
    }

    #[test]
    fn every_included_file_is_copied() {
        let root = crate::tidy::root().canonicalize().unwrap();
        let included = regex::Regex::new(r#"include_(?:str|bytes)!\("([^"]+)"\)"#).unwrap();

        for source in files_below(root.join("crates")).unwrap() {
            if source.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = fs::read_to_string(&source).unwrap();
            for path in included.captures_iter(&text).map(|found| found.get(1).unwrap().as_str()) {
                // A path in a text of a test need not exist.
                let Ok(file) = source.parent().unwrap().join(path).canonicalize() else { continue };
                let is_copied = COPIED_SOURCES.iter().any(|part| file.starts_with(root.join(part)));
                assert!(is_copied, "{}: {path}", source.display());
            }
        }
    }

    /// The tests run with `--exact`, so a name without its modules finds none.
    #[test]
    fn test_of_every_seeded_bug_exists_under_its_exact_name() {
        for mutant in all_mutants() {
            let mut modules: Vec<_> = mutant.test.split("::").collect();
            let function = modules.pop().unwrap();
            let source = find_test_source(mutant, &modules);
            assert!(source.contains(&format!("fn {function}(")), "{}: {}", mutant.name, mutant.test);
            let is_on_both = |list: &str| list.split([',', '\n', ' ']).any(|name| name == function);
            let macros = source.split("on_both").skip(1).filter_map(|rest| rest.split_once("!("));
            let mut lists = macros.filter_map(|(_, rest)| rest.split(')').next());
            let names_database =
                modules.last().is_some_and(|last| last.ends_with("sqlite") || last.ends_with("postgres"));
            assert_eq!(lists.any(is_on_both), names_database, "{}: {}", mutant.name, mutant.test);
        }
    }

    /// Returns the text of the files that may contain a test: those of its modules, or all of a package's unit tests.
    fn find_test_source(mutant: &Mutant, modules: &[&str]) -> String {
        let (folder, is_unit) = match mutant.tests {
            TestTarget::Integration => ("crates/server/tests/it", false),
            TestTarget::StoreSuite => ("crates/store/tests/suite", false),
            TestTarget::Unit("bowline") => ("crates/server/src", true),
            TestTarget::Unit("bowline-store") => ("crates/store/src", true),
            TestTarget::Unit("bowline-domain") => ("crates/domain/src", true),
            TestTarget::Unit("bowline-fdx") => ("crates/fdx/src", true),
            TestTarget::Unit(package) => panic!("{package} has no known folder"),
        };
        let folder = crate::tidy::root().join(folder);
        let files: Vec<_> = if is_unit {
            files_below(folder).unwrap()
        } else {
            let paths = (1..=modules.len()).map(|length| folder.join(modules[..length].join("/")));
            paths.flat_map(|path| [path.with_extension("rs"), path.join("mod.rs")]).collect()
        };
        files.into_iter().filter_map(|file| fs::read_to_string(file).ok()).collect()
    }
}
