//! Counts words, names and comments that are hard to read, by the rules of `docs/style.md`, for each crate.
//!
//! The limits are the counts of the last commit: a count may only fall, and a lower count lowers its limit.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use anyhow::{Context, Result};
use regex::Regex;

use super::source::SourceFile;

/// Patterns of words that `docs/style.md` replaces, one per line. They are in a file of their own, so that this file
/// does not use them.
const AVOIDED_WORDS: &str = include_str!("avoided-words.txt");
/// The words of `AVOIDED_WORDS` as parts of identifiers, one per line.
const AVOIDED_PARTS: &str = include_str!("avoided-parts.txt");

/// Words at the beginning of a doc comment that does not name its subject, one per line.
const QUESTION_WORDS: &str = include_str!("question-words.txt");
/// Words at the beginning of a test name that does not name its subject, one per line.
const UNCLEAR_TEST_WORDS: &str = include_str!("unclear-test-words.txt");

const COUNTED_FILES: [&str; 6] = ["rs", "md", "toml", "ftl", "html", "sql"];

/// Commits after this moment follow the rule for subjects.
const SUBJECT_RULE_SINCE: &str = "2026-11-29T19:20:00Z";
const MAX_SUBJECT_CHARS: usize = 72;
const MAX_TEST_NAME_CHARS: usize = 60;

static AVOIDED_WORD: LazyLock<Regex> =
    LazyLock::new(|| pattern(&format!(r"(?i)\b({})\b", alternatives(AVOIDED_WORDS))));
static QUESTION: LazyLock<Regex> =
    LazyLock::new(|| pattern(&format!(r"^\s*({})\b", alternatives(QUESTION_WORDS))));
static DOC_COMMENT: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\s*//[/!] ?(.*)$"));
static LINE_COMMENT: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\s*//($|[^/!])"));
static STRING: LazyLock<Regex> = LazyLock::new(|| pattern(r#""((?:[^"\\]|\\.)*)""#));
static TEST_ATTRIBUTE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"#\[(tokio::)?test\b|#\[rstest\b|#\[test_case"));
static FUNCTION: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^\s*(?:pub(?:\([^)]*\))? )?(?:const )?(?:async )?fn (\w+)"));
static TESTS_ON_BOTH: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?s)on_both!\(([^)]*)\)"));
static TYPE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^\s*(?:pub(?:\([^)]*\))? )?(?:struct|enum|trait) (\w+)"));
static UNCLEAR_TEST: LazyLock<Regex> =
    LazyLock::new(|| pattern(&format!("^({})_", alternatives(UNCLEAR_TEST_WORDS))));
static DECLARED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\b(?:fn|struct|enum|trait|const|static|mod|let|let mut) ([A-Za-z_]\w*)|^\s*(?:pub(?:\([^)]*\))? )?(\w+): ",
    )
});

/// Joins the lines of a word list into alternatives of a pattern.
fn alternatives(lines: &str) -> String {
    lines.lines().collect::<Vec<_>>().join("|")
}

#[expect(clippy::expect_used, reason = "the patterns are constants, and a test compiles each")]
fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("valid pattern")
}

/// The counts for one crate, or for the documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    avoided_words: usize,
    avoided_identifiers: usize,
    doc_comments: usize,
    question_comments: usize,
    reason_comments: usize,
    code_lines: usize,
    unclear_tests: usize,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.avoided_words += other.avoided_words;
        self.avoided_identifiers += other.avoided_identifiers;
        self.doc_comments += other.doc_comments;
        self.question_comments += other.question_comments;
        self.reason_comments += other.reason_comments;
        self.code_lines += other.code_lines;
        self.unclear_tests += other.unclear_tests;
    }
}

/// The maximum counts of each crate: avoided words, avoided parts of identifiers, doc comments that begin with a
/// question word.
// The counts above zero are no faults: the sandbox serves the field `held_in_account` of FDX, and doc comments of `bool`
// fields begin with "Whether".
const LIMITS: [(&str, [usize; 3]); 8] = [
    ("bench", [0, 0, 0]),
    ("documents", [0, 0, 0]),
    ("domain", [0, 0, 0]),
    ("fdx", [0, 0, 0]),
    ("sandbox", [0, 2, 0]),
    ("server", [0, 0, 9]),
    ("store", [0, 0, 5]),
    ("xtask", [0, 0, 0]),
];

/// Limits for the sum of all crates and documents.
const MAX_AVOIDED_WORDS: usize = 30;
const MAX_QUESTION_PERMILLE: usize = 60;
const MIN_REASONS_PER_1000_LINES: usize = 12;
const MAX_REPEATED_TYPE_NAMES: usize = 12;

/// Prints all counts and reports each that is over its limit.
pub(super) fn check(sources: &[SourceFile]) -> Result<Vec<String>> {
    let mut crates: BTreeMap<&str, Counts> = BTreeMap::new();
    let mut types: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let mut findings = Vec::new();
    for source in sources {
        let Some(area) = area_of(&source.path) else { continue };
        let counts = if source.is_rust() { count_rust(source) } else { count_document(&source.text) };
        findings.extend(unclear_tests(source));
        crates.entry(area).or_default().add(counts);
        for name in declared_types(source) {
            types.entry(name).or_default().insert(&source.path);
        }
    }
    let mut total = Counts::default();
    for (area, counts) in &crates {
        total.add(*counts);
        println!("  {area:<9} {}", describe(counts));
        findings.extend(check_limits(area, counts));
    }
    println!("  all       {}", describe(&total));
    let repeated: Vec<String> = types
        .into_iter()
        // Several commands define `Args` and `Command` for Clap, private to their file.
        .filter(|(name, files)| files.len() > 1 && !matches!(name.as_str(), "Args" | "Command"))
        .map(|(name, files)| format!("{name} ({})", Vec::from_iter(files).join(", ")))
        .collect();
    println!("  {} type names are defined in several files", repeated.len());
    if repeated.len() > MAX_REPEATED_TYPE_NAMES {
        findings.push(format!(
            "at most {MAX_REPEATED_TYPE_NAMES} type names may be defined in several files: {}",
            repeated.join("; ")
        ));
    }
    findings.extend(check_targets(&total));
    findings.extend(check_subjects()?);
    Ok(findings)
}

/// Returns the crate of a file, or `documents`; `None` for files whose prose is not counted.
fn area_of(path: &str) -> Option<&str> {
    // The three files list the words that must be avoided. The rules apply to English texts, not to French ones, and
    // `Cargo.lock` is generated.
    let exempt = ["docs/style.md", "docs/glossary.md", "crates/xtask/src/tidy/prose.rs"].contains(&path)
        || path.contains("locales/fr/")
        || path.ends_with("Cargo.lock");
    let extension = Path::new(path).extension().and_then(|extension| extension.to_str());
    let counted = extension.is_some_and(|extension| COUNTED_FILES.contains(&extension));
    if exempt || !counted {
        return None;
    }
    path.strip_prefix("crates/").and_then(|inside| inside.split('/').next()).or(Some("documents"))
}

fn describe(counts: &Counts) -> String {
    format!(
        "{} avoided words, {} in identifiers; {} of {} doc comments begin with a question word; {} line comments in {} lines of code ({} per 1,000)",
        counts.avoided_words,
        counts.avoided_identifiers,
        counts.question_comments,
        counts.doc_comments,
        counts.reason_comments,
        counts.code_lines,
        counts.reason_comments * 1000 / counts.code_lines.max(1),
    )
}

fn check_limits(area: &str, counts: &Counts) -> Vec<String> {
    let limit = LIMITS.iter().find(|(name, _)| *name == area).map_or([0; 3], |(_, limits)| *limits);
    let found = [counts.avoided_words, counts.avoided_identifiers, counts.question_comments];
    let names =
        ["avoided words", "avoided words in identifiers", "doc comments that begin with a question word"];
    let compared = found.into_iter().zip(limit).zip(names);
    let message = compared.filter_map(|((found, limit), name)| match found.cmp(&limit) {
        std::cmp::Ordering::Greater => Some(format!("{area}: {found} {name}, the limit is {limit}")),
        std::cmp::Ordering::Less => {
            Some(format!("{area}: {found} {name} are left; lower its limit of {limit} in tidy/prose.rs"))
        }
        std::cmp::Ordering::Equal => None,
    });
    message.collect()
}

fn check_targets(total: &Counts) -> Vec<String> {
    let mut findings = Vec::new();
    if total.avoided_words > MAX_AVOIDED_WORDS {
        findings.push(format!("{} avoided words, the limit is {MAX_AVOIDED_WORDS}", total.avoided_words));
    }
    if total.question_comments * 1000 > total.doc_comments * MAX_QUESTION_PERMILLE {
        let share = MAX_QUESTION_PERMILLE / 10;
        findings.push(format!("more than {share} % of the doc comments begin with a question word"));
    }
    if total.reason_comments * 1000 < total.code_lines * MIN_REASONS_PER_1000_LINES {
        let least = MIN_REASONS_PER_1000_LINES;
        findings.push(format!("fewer than {least} line comments that give a reason in 1,000 lines of code"));
    }
    findings
}

fn count_document(text: &str) -> Counts {
    Counts { avoided_words: AVOIDED_WORD.find_iter(text).count(), ..Counts::default() }
}

fn is_test_file(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("_tests.rs")
}

fn count_rust(source: &SourceFile) -> Counts {
    let mut counts = Counts::default();
    let mut after_doc = false;
    let mut in_tests = is_test_file(&source.path);
    for line in source.text.lines() {
        in_tests |= line.contains("#[cfg(test)]");
        let doc = DOC_COMMENT.captures(line).and_then(|found| found.get(1)).map(|text| text.as_str());
        let is_comment = doc.is_none() && LINE_COMMENT.is_match(line);
        if let Some(text) = doc.filter(|_| !after_doc) {
            counts.doc_comments += 1;
            counts.question_comments += usize::from(QUESTION.is_match(text));
        }
        if doc.is_none() && !in_tests {
            counts.reason_comments += usize::from(is_comment);
            counts.code_lines += usize::from(!is_comment && !line.trim().is_empty());
        }
        after_doc = doc.is_some();
        if doc.is_some() || is_comment {
            counts.avoided_words += AVOIDED_WORD.find_iter(line).count();
        } else {
            let strings = STRING.captures_iter(line).filter_map(|found| found.get(1));
            counts.avoided_words +=
                strings.map(|text| AVOIDED_WORD.find_iter(text.as_str()).count()).sum::<usize>();
            counts.avoided_identifiers += avoided_identifiers(line);
        }
    }
    counts
}

/// Counts the names declared in a line of Rust code that contain an avoided word.
fn avoided_identifiers(line: &str) -> usize {
    let code = line.split("//").next().unwrap_or_default();
    let names = DECLARED.captures_iter(code).filter_map(|found| found.get(1).or(found.get(2)));
    names
        .filter(|name| {
            name_parts(name.as_str()).any(|part| AVOIDED_PARTS.lines().any(|avoided| avoided == part))
        })
        .count()
}

/// Splits `snake_case` and `CamelCase` into lower-case words.
fn name_parts(name: &str) -> impl Iterator<Item = String> {
    let mut parts = vec![String::new()];
    for letter in name.chars() {
        let starts_part = letter == '_' || (letter.is_uppercase() && !parts[parts.len() - 1].is_empty());
        if starts_part {
            parts.push(String::new());
        }
        let last = parts.len() - 1;
        parts[last].extend(letter.to_lowercase().filter(|letter| *letter != '_'));
    }
    parts.into_iter()
}

/// Reports names of tests that are too long or begin with a word that does not name the subject.
fn unclear_tests(source: &SourceFile) -> Vec<String> {
    if !source.is_rust() {
        return Vec::new();
    }
    let mut names: Vec<&str> = Vec::new();
    let mut follows_attribute = false;
    for line in source.text.lines() {
        follows_attribute |= TEST_ATTRIBUTE.is_match(line);
        if let Some(name) = FUNCTION.captures(line).and_then(|found| found.get(1)) {
            names.extend(follows_attribute.then_some(name.as_str()));
            follows_attribute = false;
        }
    }
    let listed = TESTS_ON_BOTH.captures_iter(&source.text).filter_map(|found| found.get(1));
    names.extend(listed.flat_map(|list| list.as_str().split(',').map(str::trim)).filter(|name| {
        !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    }));
    let unclear = names.into_iter().filter(|n| n.len() > MAX_TEST_NAME_CHARS || UNCLEAR_TEST.is_match(n));
    unclear.map(|name| format!("{}: the test name {name} is too long or unclear", source.path)).collect()
}

fn declared_types(source: &SourceFile) -> Vec<String> {
    if !source.is_rust() || is_test_file(&source.path) {
        return Vec::new();
    }
    let production = source.text.lines().take_while(|line| !line.contains("#[cfg(test)]"));
    let names =
        production.filter_map(|line| TYPE.captures(line)?.get(1).map(|name| name.as_str().to_owned()));
    names.collect()
}

/// Reports subjects of commits that are too long. A shallow clone shows only the commits that it has.
fn check_subjects() -> Result<Vec<String>> {
    let since = format!("--since={SUBJECT_RULE_SINCE}");
    let output = Command::new("git")
        .args(["log", "--no-merges", "--format=%h %s", since.as_str()])
        .current_dir(super::source::root())
        .output()
        .context("git log")?;
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    let subjects = listed.lines().filter_map(|line| line.split_once(' '));
    let long = subjects.filter(|(_, subject)| subject.chars().count() > MAX_SUBJECT_CHARS);
    Ok(long.map(|(hash, _)| format!("commit {hash}: subject over {MAX_SUBJECT_CHARS} characters")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rust(text: &str) -> SourceFile {
        SourceFile { path: "crates/domain/src/x.rs".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn avoided_words_in_comments_and_strings_are_counted() {
        let word = AVOIDED_WORDS.lines().next().expect("the list is not empty");
        let part = AVOIDED_PARTS.lines().next().expect("the list is not empty");
        let text = format!("/// A {word} b.\n// A {word} b.\nlet x = \"{word}\"; let was_{part} = 1;\n");
        let counts = count_rust(&rust(&text));
        assert_eq!((counts.avoided_words, counts.avoided_identifiers), (3, 1));
    }

    #[test]
    fn question_word_counts_only_at_the_start_of_a_comment() {
        let source =
            rust("/// What it is.\nfn a() {}\n/// Returns it.\n/// When it fails: an error.\nfn b() {}\n");
        let counts = count_rust(&source);
        assert_eq!((counts.doc_comments, counts.question_comments), (2, 1));
    }

    #[test]
    fn line_comments_and_lines_of_code_are_counted() {
        let counts =
            count_rust(&rust("// The lock comes first.\nlock();\n\nwrite();\n#[cfg(test)]\n// test\n"));
        assert_eq!((counts.reason_comments, counts.code_lines), (1, 2));
    }

    #[test]
    fn long_and_unclear_test_names_are_reported() {
        let long = format!("#[test]\nfn {}() {{}}\n", "a".repeat(61));
        assert_eq!(unclear_tests(&rust(&long)).len(), 1);
        assert_eq!(unclear_tests(&rust("on_both!(\n    of_revoke,\n    revoke_works,\n);")).len(), 1);
        assert!(unclear_tests(&rust("#[test]\nfn revoke_twice_returns_204() {}\n")).is_empty());
    }

    #[test]
    fn prose_count_over_limit_is_reported() {
        let counts = Counts { avoided_words: 2, ..Counts::default() };
        assert_eq!(check_limits("unlisted", &counts), ["unlisted: 2 avoided words, the limit is 0"]);
    }

    #[test]
    fn name_parts_split_snake_and_camel_case() {
        assert!(name_parts("InvalidGrant").eq(["invalid", "grant"]));
        assert!(name_parts("was_sent").eq(["was", "sent"]));
    }
}
