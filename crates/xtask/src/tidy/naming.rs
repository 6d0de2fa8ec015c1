//! Reports vague type names, absolute paths of one machine, TODOs without an issue, and floating-point types in crates
//! that handle amounts.

use super::source::SourceFile;

const FORBIDDEN_SUFFIXES: [&str; 5] = ["Manager", "Helper", "Util", "Utils", "Service"];
const FORBIDDEN_NAMES: [&str; 4] = ["Session", "Token", "Request", "User"];

pub(super) fn check(source: &SourceFile) -> Vec<String> {
    let mut findings = Vec::new();
    let ours = source.path.starts_with("crates/") && source.is_rust();
    let own_rules = source.path.starts_with("crates/xtask/src/tidy");
    for (number, line) in source.text.lines().enumerate() {
        let mut found = |what: String| findings.push(format!("{}:{}: {what}", source.path, number + 1));
        if !own_rules && has_machine_path(line) {
            found("a path of one machine".into());
        }
        if !ours || own_rules {
            continue;
        }
        let bare_todo = line.split("TODO").skip(1).any(|rest| !rest.starts_with("(#"));
        if bare_todo {
            found("a TODO must name its issue: TODO(#n)".into());
        }
        if let Some(name) = find_declared_type(line)
            && (FORBIDDEN_SUFFIXES.iter().any(|s| name.ends_with(s)) || FORBIDDEN_NAMES.contains(&name))
        {
            found(format!("the type name {name} says too little; see docs/style.md"));
        }
        let exact =
            ["crates/domain/", "crates/fdx/", "crates/store/"].iter().any(|c| source.path.starts_with(c));
        let code = line.split("//").next().unwrap_or_default();
        if exact && (has_word(code, "f32") || has_word(code, "f64")) {
            found("f32 and f64 cannot represent amounts of money".into());
        }
    }
    findings
}

fn has_machine_path(line: &str) -> bool {
    ["/work/", "/root/", "/home/"].iter().any(|path| {
        line.match_indices(path).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            before.is_none_or(|c| matches!(c, ' ' | '"' | '\'' | '`' | '(' | '='))
        })
    })
}

/// Returns the name of the struct, enum, trait or type alias that a line declares.
fn find_declared_type(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line.strip_prefix("pub ").or_else(|| line.strip_prefix("pub(crate) ")).unwrap_or(line);
    let rest = ["struct ", "enum ", "trait ", "type "].iter().find_map(|k| line.strip_prefix(k))?;
    rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|part| part == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_violation(path: &str, text: &str) -> bool {
        !check(&SourceFile { path: path.into(), text: text.into() }).is_empty()
    }

    #[test]
    fn forbidden_names_and_words_are_reported() {
        let path = "crates/domain/src/x.rs";
        assert!(has_violation(path, "pub struct ConnectionManager;"));
        assert!(has_violation(path, "pub enum Token {"));
        assert!(has_violation(path, "fn f(x: f64) {}"));
        assert!(has_violation(path, "// TODO later"));
        assert!(has_violation("README.md", "see /home/someone/x"));
        assert!(!has_violation(path, "pub struct TokenHash;"));
        assert!(!has_violation(path, "// TODO(#7) later"));
        assert!(!has_violation("README.md", "https://example.org/home/x"));
    }
}
