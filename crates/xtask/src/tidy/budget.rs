//! Budgets: lines of a file, and how much of a crate is tests. Functions and parameters are clippy's.

use super::Source;

const MOST_LINES: usize = 500;
const MOST_TEST_LINES: usize = 800;

/// Lines of code: production and tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lines {
    production: usize,
    tests: usize,
}

/// Counts without comments, blank lines and attributes. What follows `#[cfg(test)]` is tests.
fn count(source: &Source) -> Lines {
    let whole_file = source.path.contains("/tests/") || source.path.ends_with("_tests.rs");
    let mut lines = Lines::default();
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

fn is_rust(source: &Source) -> bool {
    source.path.starts_with("crates/") && source.is_rust()
}

pub(super) fn check(source: &Source) -> Vec<String> {
    if !is_rust(source) {
        return Vec::new();
    }
    let lines = count(source);
    let mut findings = Vec::new();
    if lines.production > MOST_LINES {
        findings.push(format!("{}: {} lines, the budget is {MOST_LINES}", source.path, lines.production));
    }
    if lines.tests > MOST_TEST_LINES {
        findings.push(format!(
            "{}: {} lines of tests, the budget is {MOST_TEST_LINES}",
            source.path, lines.tests
        ));
    }
    findings
}

/// Tests for each production line, in hundredths: what each crate must keep. The aim is 80 for `domain`,
/// `store` and `server`; the floors below rise with the tests and never fall.
const FLOORS: [(&str, usize); 6] =
    [("domain", 45), ("fdx", 30), ("sandbox", 30), ("server", 25), ("store", 25), ("xtask", 10)];

pub(super) fn ratios(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, floor) in FLOORS {
        let prefix = format!("crates/{name}/");
        let of = sources.iter().filter(|s| is_rust(s) && s.path.starts_with(&prefix)).map(count);
        let total = of.fold(Lines::default(), |sum, l| Lines {
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
    fn comments_and_attributes_do_not_count_and_tests_count_apart() {
        let text = "//! doc\nuse x;\n\n#[derive(Debug)]\nstruct A; // why\n#[cfg(test)]\nmod tests {\n}\n";
        let source = Source { path: "crates/domain/src/x.rs".into(), text: text.into() };
        assert_eq!(count(&source), Lines { production: 2, tests: 2 });
    }

    #[test]
    fn a_long_file_is_found() {
        let source = Source { path: "crates/domain/src/x.rs".into(), text: "x();\n".repeat(501) };
        assert_eq!(check(&source).len(), 1);
    }
}
