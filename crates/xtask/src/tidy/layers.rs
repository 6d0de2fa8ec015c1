//! Reports files that use code of a layer that they must not know.

use super::source::SourceFile;

/// A text that a file must not contain, with the reason why.
type Forbidden = (&'static str, &'static str);

/// The top-level modules of the server that `http` must not import.
const FEATURES: [&str; 13] = [
    "crate::admin_api",
    "crate::api_docs",
    "crate::cli",
    "crate::connections",
    "crate::fdx_api",
    "crate::jobs",
    "crate::oauth",
    "crate::openapi",
    "crate::pages",
    "crate::partner_api",
    "crate::router",
    "crate::server",
    "crate::upstream",
];

fn list_forbidden(path: &str) -> Vec<Forbidden> {
    let mut rules = Vec::new();
    let Some(inside) = path.strip_prefix("crates/") else { return rules };
    // Tests may reach below the layer that they test.
    if inside.contains("/tests/") || inside.starts_with("xtask/") {
        return rules;
    }
    if !inside.starts_with("store/") {
        rules.push(("sql!(", "only `store` contains SQL"));
    }
    if inside.starts_with("domain/") || inside.starts_with("fdx/") {
        let reason = "`domain` and `fdx` use no other crate of the workspace, no HTTP, no SQL and no runtime";
        for name in ["store::", "bowline::", "sandbox::", "axum", "tokio", "rusqlite", "reqwest"] {
            rules.push((name, reason));
        }
    }
    if inside.starts_with("fdx/") || inside.starts_with("sandbox/") {
        rules.push(("domain::", "`fdx` and `sandbox` do not know the hub"));
    }
    if inside.starts_with("store/") {
        rules.extend([("axum", "`store` does not know HTTP"), ("reqwest", "`store` does not know HTTP")]);
    }
    if inside.starts_with("bench/") {
        let reason = "`bench` knows the hub by its trait, `BenchmarkTarget`";
        rules.extend([("bowline::", reason), ("sandbox::", reason), ("reqwest", reason)]);
    } else if inside != "server/src/cli/bench.rs" {
        rules.push(("use bench::", "only `bowline bench` uses the benchmark"));
    }
    if let Some(server) = inside.strip_prefix("server/src/") {
        rules.extend(list_server_rules(server));
    }
    rules
}

fn list_server_rules(path: &str) -> Vec<Forbidden> {
    if path == "app.rs" {
        return vec![("sandbox", "`app.rs` does not know the sandbox")];
    }
    // No rule applies to the commands: they build the app, open the store and call the API.
    if path.starts_with("cli") || path == "lib.rs" || path == "main.rs" {
        return Vec::new();
    }
    let mut rules = Vec::new();
    if is_edge(path) {
        let reason = "handlers call use cases, never the store";
        rules.extend([("store::", reason), (".store()", reason)]);
    } else {
        rules.push((
            "axum",
            "handlers are in `http.rs` and `operations.rs` files, `http/`, `pages/` and `server/`",
        ));
        rules.push(("crate::http", "use cases never import `http`"));
    }
    if is_http_kit(path) {
        rules.extend(FEATURES.map(|feature| (feature, "`http` imports no feature")));
    }
    rules
}

/// Returns whether a file of the server may use HTTP types, because it receives requests or renders responses.
fn is_edge(path: &str) -> bool {
    // The readiness check is a use case although it is in `server/`: it queries the store, and the probes only render
    // its result.
    let is_use_case_of_server = path == "server/readiness.rs";
    // Files with the name `operations` contain handlers, together with their OpenAPI descriptions and error responses.
    let is_handler = ["http", "operations"]
        .iter()
        .any(|name| path.ends_with(&format!("/{name}.rs")) || path.contains(&format!("/{name}/")));
    let in_edge_module = ["pages", "server", "openapi"].iter().any(|module| is_in(path, module));
    !is_use_case_of_server && (is_handler || is_http_kit(path) || in_edge_module || path == "router.rs")
}

fn is_http_kit(path: &str) -> bool {
    is_in(path, "http")
}

/// Returns whether a file belongs to a top-level module: it is the module's root file or in the module's folder.
fn is_in(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

/// Reports each line of a file that uses code of a layer that the file must not know.
pub(super) fn check(source: &SourceFile) -> Vec<String> {
    let mut findings = Vec::new();
    if !source.is_rust() {
        return findings;
    }
    for (name, reason) in list_forbidden(&source.path) {
        for (number, line) in source.text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if code.contains(name) {
                findings.push(format!("{}:{}: `{name}`: {reason}", source.path, number + 1));
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
        assert!(has_violation("crates/server/src/cli/tour.rs", "use bench::BenchmarkReport;"));
        assert!(has_violation("crates/bench/src/fill.rs", "use bowline::app::App;"));
        assert!(!has_violation("crates/server/src/oauth/http.rs", "use axum::Json;"));
        assert!(!has_violation("crates/server/src/upstream/fetch.rs", "// not sql!( here"));
    }

    #[test]
    fn handler_file_that_uses_store_is_reported() {
        for edge in [
            "http.rs",
            "http/body.rs",
            "pages.rs",
            "server/node.rs",
            "router.rs",
            "admin_api/operations/x.rs",
            "oauth/operations.rs",
        ] {
            assert!(has_violation(&format!("crates/server/src/{edge}"), "use store::Store;"), "{edge}");
        }
        assert!(!has_violation("crates/server/src/server/readiness.rs", "use store::SCHEMA_VERSION;"));
        assert!(has_violation("crates/server/src/server/readiness.rs", "use axum::Json;"));
    }

    #[test]
    fn http_file_that_imports_feature_module_is_reported() {
        for feature in FEATURES {
            assert!(
                has_violation("crates/server/src/http/body.rs", &format!("use {feature}::X;")),
                "{feature}"
            );
            assert!(
                !has_violation("crates/server/src/router.rs", &format!("use {feature}::X;")),
                "{feature}"
            );
        }
        assert!(!has_violation("crates/server/src/http/body.rs", "use crate::app::App;"));
    }
}
