//! The tests that documents name exist: `it/crash_points.rs::a_test`, `suite/connection.rs::a_test`, or a path below `crates/`.

use std::path::Path;

use super::SourceFile;

/// A test that a document names and that is nowhere.
pub(super) fn check(sources: &[SourceFile]) -> Vec<String> {
    let is_document =
        |source: &&SourceFile| Path::new(&source.path).extension().is_some_and(|kind| kind == "md");
    let documents = sources.iter().filter(is_document);
    let named =
        documents.flat_map(|document| find_test_references(&document.text).map(move |test| (document, test)));
    let missing = named.filter(|(_, (file, test))| !test_exists(sources, file, test));
    missing.map(|(document, (file, test))| format!("{}: there is no {file}::{test}", document.path)).collect()
}

/// File and function of each test that a text names.
fn find_test_references(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let spans = text.split('`').filter(|span| !span.contains(char::is_whitespace));
    let parts = spans.filter_map(|span| span.split_once(".rs::").map(|(file, path)| (span, file, path)));
    let named =
        parts.map(|(span, file, path)| (&span[..file.len() + 3], path.rsplit("::").next().unwrap_or(path)));
    // A type that is named is no test.
    named.filter(|(_, name)| name.starts_with(|c: char| c.is_ascii_lowercase()))
}

fn test_exists(sources: &[SourceFile], file: &str, test: &str) -> bool {
    let below = match file.split_once('/') {
        Some(("it", rest)) => format!("crates/server/tests/it/{rest}"),
        Some(("suite", rest)) => format!("crates/store/tests/suite/{rest}"),
        _ => format!("crates/{file}"),
    };
    let function = format!("fn {test}(");
    sources.iter().any(|source| source.path == below && source.text.contains(&function))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_test_named_in_document_is_reported() {
        let source = |path: &str, text: &str| SourceFile { path: path.into(), text: text.into() };
        let code = [
            source("crates/server/tests/it/crash_points.rs", "async fn it_holds(kit: Kit) {}"),
            source("crates/store/tests/suite/connection.rs", "fn it_holds() {}"),
            source("crates/domain/src/id.rs", "fn it_holds() {}"),
        ];
        let findings = |text: &str| {
            let sources = code.iter().map(|s| source(&s.path, &s.text)).chain([source("docs/a.md", text)]);
            check(&sources.collect::<Vec<_>>())
        };
        let good = "`it/crash_points.rs::it_holds`, `suite/connection.rs::sqlite::it_holds`, `domain/src/id.rs::it_holds`, `it/crash_points.rs`";
        assert!(findings(good).is_empty());
        assert_eq!(
            findings("see `it/crash_points.rs::it_held`"),
            ["docs/a.md: there is no it/crash_points.rs::it_held"]
        );
        assert_eq!(findings("`domain/src/ids.rs::it_holds`").len(), 1);
    }
}
