//! Limits the lines of each file, and requires a minimum share of test code in each crate. Clippy limits the length and
//! the parameters of functions.

use super::source::SourceFile;

/// The maximum number of production lines of a file, and of its lines of tests.
const MAX_LINES: usize = 500;

/// The numbers of production lines and test lines in a file or crate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct LineCount {
    production: usize,
    tests: usize,
}

/// Counts lines without comments, blank lines and attributes. Everything after `#[cfg(test)]` counts as tests.
fn count_lines(source: &SourceFile) -> LineCount {
    let whole_file = source.path.contains("/tests/") || source.path.ends_with("_tests.rs");
    let mut lines = LineCount::default();
    let mut tests = whole_file;
    for line in source.text.lines().map(str::trim) {
        tests |= line == "#[cfg(test)]";
        if line.is_empty() || line.starts_with("//") || line.starts_with("#[") || line.starts_with("#!") {
            continue;
        }
        if tests {
            lines.tests += 1;
        } else {
            lines.production += 1;
        }
    }
    lines
}

fn is_crate_source(source: &SourceFile) -> bool {
    source.path.starts_with("crates/") && source.is_rust()
}

pub(super) fn check(source: &SourceFile) -> Vec<String> {
    if !is_crate_source(source) {
        return Vec::new();
    }
    let lines = count_lines(source);
    let mut findings = Vec::new();
    for (number, kind) in [(lines.production, "lines"), (lines.tests, "lines of tests")] {
        if number > MAX_LINES {
            findings.push(format!("{}: {number} {kind}, the budget is {MAX_LINES}", source.path));
        }
    }
    findings
}

/// The minimum number of test lines per 100 production lines of each crate. A limit may only rise.
const MIN_TEST_PERCENT: [(&str, usize); 7] = [
    ("bench", 14),
    ("domain", 45),
    ("fdx", 30),
    ("sandbox", 30),
    ("server", 25),
    ("store", 25),
    ("xtask", 10),
];

pub(super) fn check_test_ratios(sources: &[SourceFile]) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, floor) in MIN_TEST_PERCENT {
        let prefix = format!("crates/{name}/");
        let counts =
            sources.iter().filter(|s| is_crate_source(s) && s.path.starts_with(&prefix)).map(count_lines);
        let total = counts.fold(LineCount::default(), |sum, l| LineCount {
            production: sum.production + l.production,
            tests: sum.tests + l.tests,
        });
        let ratio = total.tests * 100 / total.production.max(1);
        println!("  {name:<8} {:>6} lines, {:>6} of tests: {ratio:>3} %", total.production, total.tests);
        if ratio < floor {
            findings
                .push(format!("{name}: {ratio} lines of tests for 100 of production, the floor is {floor}"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_count_skips_comments_and_separates_tests() {
        let text = "//! doc\nuse x;\n\n#[derive(Debug)]\nstruct A; // why\n#[cfg(test)]\nmod tests {\n}\n";
        let source = SourceFile { path: "crates/domain/src/x.rs".into(), text: text.into() };
        assert_eq!(count_lines(&source), LineCount { production: 2, tests: 2 });
    }

    #[test]
    fn file_over_line_budget_is_reported() {
        for path in ["crates/domain/src/x.rs", "crates/domain/tests/it/x.rs"] {
            let count = |lines| check(&SourceFile { path: path.into(), text: "x();\n".repeat(lines) }).len();

            assert_eq!((count(500), count(501)), (0, 1), "{path}");
        }
    }
}
