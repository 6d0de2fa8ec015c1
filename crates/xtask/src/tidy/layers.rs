//! The layer law: who may use whom.

use super::source::SourceFile;

/// What a file may not name, and why.
fn list_forbidden(path: &str) -> Vec<(&'static str, &'static str)> {
    let mut rules = Vec::new();
    let Some(inside) = path.strip_prefix("crates/") else { return rules };
    if inside.contains("/tests/") || inside.starts_with("xtask/") {
        return rules;
    }
    if !inside.starts_with("store/") {
        rules.push(("sql!(", "SQL stands in `store` alone"));
    }
    if inside.starts_with("domain/") || inside.starts_with("fdx/") {
        let why = "`domain` and `fdx` use nothing of ours, no HTTP, no SQL, no runtime";
        for name in ["store::", "bowline::", "sandbox::", "axum", "tokio", "rusqlite", "reqwest"] {
            rules.push((name, why));
        }
    }
    if inside.starts_with("fdx/") || inside.starts_with("sandbox/") {
        rules.push(("domain::", "`fdx` and `sandbox` know nothing of the hub"));
    }
    if inside.starts_with("store/") {
        rules.extend([("axum", "`store` knows no HTTP"), ("reqwest", "`store` knows no HTTP")]);
    }
    if let Some(server) = inside.strip_prefix("server/src/") {
        rules.extend(list_server_rules(server));
    }
    rules
}

fn list_server_rules(path: &str) -> Vec<(&'static str, &'static str)> {
    let edge = path.ends_with("http.rs")
        || path.starts_with("http/")
        || path.starts_with("pages")
        || path.starts_with("server")
        || path.starts_with("openapi");
    if path == "app.rs" {
        return vec![("sandbox", "`app.rs` never names the sandbox")];
    }
    if path.starts_with("cli") || path == "lib.rs" || path == "main.rs" {
        return Vec::new();
    }
    if edge {
        return vec![
            ("store::", "handlers call use cases, never the store"),
            (".store()", "handlers call use cases, never the store"),
        ];
    }
    vec![
        ("axum", "handlers are in `http.rs` files, `http/` and `pages/`"),
        ("crate::http", "use cases never import `http`"),
    ]
}

pub(super) fn check(source: &SourceFile) -> Vec<String> {
    let mut findings = Vec::new();
    if !source.is_rust() {
        return findings;
    }
    for (name, why) in list_forbidden(&source.path) {
        for (number, line) in source.text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if code.contains(name) {
                findings.push(format!("{}:{}: `{name}`: {why}", source.path, number + 1));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_violation(path: &str, text: &str) -> bool {
        !check(&SourceFile { path: path.into(), text: text.into() }).is_empty()
    }

    #[test]
    fn layer_violations_are_reported() {
        assert!(has_violation("crates/domain/src/id.rs", "use store::Store;"));
        assert!(has_violation("crates/domain/src/id.rs", "use tokio::sync::Mutex;"));
        assert!(has_violation("crates/server/src/upstream/fetch.rs", "sql!(\"SELECT 1\")"));
        assert!(has_violation("crates/server/src/upstream/fetch.rs", "use axum::Json;"));
        assert!(has_violation("crates/server/src/upstream/fetch.rs", "use crate::http::ApiSurface;"));
        assert!(has_violation("crates/server/src/oauth/http.rs", "use store::query::GetClient;"));
        assert!(has_violation("crates/server/src/pages/http.rs", "ctx.app().store().ask(&q)"));
        assert!(has_violation("crates/sandbox/src/bank.rs", "use domain::Secret;"));
        assert!(has_violation("crates/server/src/app.rs", "use sandbox::bank::Bank;"));
        assert!(!has_violation("crates/server/src/oauth/http.rs", "use axum::Json;"));
        assert!(!has_violation("crates/server/src/upstream/fetch.rs", "// not sql!( here"));
    }
}
