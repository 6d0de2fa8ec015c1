//! Checks that the files and symbols that documents name exist. They are written as `it/crash_points.rs::a_test`, as
//! `suite/connection.rs::a_test`, with a path below `crates/`, or with a path from the root such as
//! `config.example.toml::public_url`. A code sample must be a part of the file that the document names.

use std::path::Path;

use regex::Regex;

use super::source::SourceFile;

/// The minimum number of questions in `docs/questions.md`.
const MIN_QUESTIONS: usize = 20;

/// The beginning of a code sample in a document.
const SAMPLE_FENCE: &str = "```rust\n";

/// Reports each reference of a document to a file or symbol that does not exist, each outdated code sample, and each
/// question whose answer contains no reference.
pub(super) fn check(sources: &[SourceFile]) -> Vec<String> {
    let mut findings = Vec::new();
    let questions = sources.iter().find(|source| source.path == "docs/questions.md");
    findings.extend(questions.into_iter().flat_map(|document| check_questions(&document.text)));
    for document in sources.iter().filter(|source| is_document(&source.path)) {
        for (file, symbol) in find_references(&document.text) {
            if !symbol_exists(sources, file, symbol) {
                findings.push(format!("{}: there is no {file}::{symbol}", document.path));
            }
        }
        for path in find_paths(&document.text).filter(|path| find_file(sources, path).is_none()) {
            findings.push(format!("{}: there is no {path}", document.path));
        }
        findings.extend(check_samples(sources, document));
    }
    findings
}

/// Finds the paths of files and folders that stand between backticks in a text, such as `crates/store` or `it/a.rs`.
fn find_paths(text: &str) -> impl Iterator<Item = &str> {
    const FOLDERS: [&str; 5] = ["crates/", "docs/", "migrations/", "it/", "suite/"];
    let is_path_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    let is_rust = |span: &str| Path::new(span).extension().is_some_and(|extension| extension == "rs");
    text.split('`').filter(move |span| {
        span.contains('/')
            && span.chars().all(is_path_char)
            && (FOLDERS.iter().any(|folder| span.starts_with(folder)) || is_rust(span))
    })
}

/// Finds the file with this path or a path that ends with it, or any file in the folder with this path.
fn find_file<'a>(sources: &'a [SourceFile], path: &str) -> Option<&'a SourceFile> {
    let (file, folder) = (format!("/{path}"), format!("/{}/", path.trim_end_matches('/')));
    sources.iter().find(|source| {
        let from_root = format!("/{}", source.path);
        from_root.ends_with(&file) || from_root.contains(&folder)
    })
}

/// Reports each Rust sample of a document that is not a part of the last file named before it.
fn check_samples(sources: &[SourceFile], document: &SourceFile) -> Vec<String> {
    let mut findings = Vec::new();
    let mut rest = document.text.as_str();
    while let Some((before, after)) = rest.split_once(SAMPLE_FENCE) {
        let (sample, remainder) = after.split_once("```").unwrap_or((after, ""));
        let named = find_paths(before).last();
        let is_part = named
            .and_then(|path| find_file(sources, path))
            .is_some_and(|source| source.is_rust() && source.text.contains(sample));
        if !is_part {
            let (path, line) = (named.unwrap_or("any file"), sample.lines().next().unwrap_or_default());
            findings.push(format!("{}: the sample is no part of {path}: {line}", document.path));
        }
        rest = remainder;
    }
    findings
}

/// Reports questions without a reference. A question is a numbered paragraph.
fn check_questions(text: &str) -> Vec<String> {
    let begins_question =
        |line: &&str| line.split_once(". **").is_some_and(|(number, _)| number.parse::<u32>().is_ok());
    let mut findings = Vec::new();
    let mut questions: Vec<String> = Vec::new();
    for line in text.lines() {
        if begins_question(&line) {
            questions.push(line.to_owned());
        } else if line.starts_with("   ")
            && let Some(question) = questions.last_mut()
        {
            question.push(' ');
            question.push_str(line.trim());
        }
    }
    for question in questions.iter().filter(|question| find_references(question).next().is_none()) {
        findings.push(format!("docs/questions.md: an answer without a file and symbol: {question}"));
    }
    if questions.len() < MIN_QUESTIONS {
        findings.push(format!(
            "docs/questions.md: {} questions, at least {MIN_QUESTIONS} are required",
            questions.len()
        ));
    }
    findings
}

fn is_document(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|kind| kind == "md")
}

/// Finds the references in a text: pairs of file and symbol between backticks, such as `a/b.rs::c`.
fn find_references(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let spans = text.split('`').filter(|span| !span.contains(char::is_whitespace));
    let pairs = spans.filter_map(|span| span.split_once("::"));
    let in_files = pairs.filter(|(file, _)| Path::new(file).extension().is_some() && file.contains('/'));
    in_files.map(|(file, path)| (file, path.rsplit("::").next().unwrap_or(path)))
}

fn symbol_exists(sources: &[SourceFile], file: &str, symbol: &str) -> bool {
    let below_crates = match file.split_once('/') {
        Some(("it", rest)) => format!("crates/server/tests/it/{rest}"),
        Some(("suite", rest)) => format!("crates/store/tests/suite/{rest}"),
        _ => format!("crates/{file}"),
    };
    let source = sources.iter().find(|source| source.path == below_crates || source.path == file);
    source
        .is_some_and(|source| if source.is_rust() { declares(source, symbol) } else { names(source, symbol) })
}

/// Returns whether a Rust file declares a function, type, constant, variant, field or macro of this name.
fn declares(source: &SourceFile, symbol: &str) -> bool {
    let keyword = r"\b(fn|struct|enum|trait|type|const|static|mod|macro_rules!) ";
    let symbol = regex::escape(symbol);
    let declaration =
        Regex::new(&format!(r"(?m){keyword}{symbol}\b|^\s*(pub(\([a-z]+\))? )?{symbol}(:|,| \{{|\(| =)"));
    declaration.is_ok_and(|declaration| declaration.is_match(&source.text))
}

fn names(source: &SourceFile, symbol: &str) -> bool {
    let word = Regex::new(&format!(r"(^|[^\w-]){}($|[^\w-])", regex::escape(symbol)));
    word.is_ok_and(|word| source.text.lines().any(|line| word.is_match(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Vec<String> {
        let source = |path: &str, text: &str| SourceFile { path: path.into(), text: text.into() };
        check(&[
            source("crates/server/tests/it/crash_points.rs", "async fn it_holds(hub: TestHub) {}"),
            source("crates/store/tests/suite/connection.rs", "fn it_holds() {}"),
            source("crates/domain/src/id.rs", "pub struct JobId;\npub enum E {\n    Variant,\n}\n"),
            source("docs/x/a.toml", "public_url = \"\""),
            source("docs/a.md", text),
        ])
    }

    #[test]
    fn existing_paths_and_current_code_samples_are_accepted() {
        let text = "`it/`, `crates/domain`, `docs/x/`, `domain/src/id.rs`, `a/b.txt`, `it/*.rs` and from \
                    `it/crash_points.rs`:\n```rust\nasync fn it_holds(```\n";

        assert_eq!(findings(text), Vec::<String>::new());
    }

    #[test]
    fn missing_path_or_outdated_code_sample_is_reported() {
        assert_eq!(
            findings("`crates/domain/src/ids.rs`"),
            ["docs/a.md: there is no crates/domain/src/ids.rs"]
        );
        assert_eq!(findings("`it/crash/` and `model/id.rs`").len(), 2);
        assert_eq!(
            findings("`it/crash_points.rs`:\n```rust\nfn other() {}\n```\n"),
            ["docs/a.md: the sample is no part of it/crash_points.rs: fn other() {}"]
        );
        assert_eq!(findings("```rust\nfn it_holds() {}\n```\n").len(), 1, "no file is named");
    }

    #[test]
    fn existing_symbols_are_accepted() {
        let text = "`it/crash_points.rs::it_holds`, `suite/connection.rs::sqlite::it_holds`, \
                    `domain/src/id.rs::JobId`, `domain/src/id.rs::Variant`, `docs/x/a.toml::public_url`, `a/b.txt`";
        assert_eq!(findings(text), Vec::<String>::new());
    }

    #[test]
    fn question_of_newcomer_without_file_reference_is_reported() {
        let text = "1. **Where?** Here,\n   `it/a.rs::b`.\n2. **Why?** No reference.\n";

        let findings = check_questions(text);

        assert!(findings[0].ends_with("2. **Why?** No reference."), "{findings:?}");
        assert_eq!(findings.len(), 2, "two questions are too few: {findings:?}");
    }

    #[test]
    fn missing_file_or_symbol_is_reported() {
        assert_eq!(
            findings("see `it/crash_points.rs::missing`"),
            ["docs/a.md: there is no it/crash_points.rs::missing"]
        );
        assert_eq!(findings("`domain/src/ids.rs::JobId` and `docs/x/a.toml::public`").len(), 2);
    }
}
