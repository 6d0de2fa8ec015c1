//! Reports import cycles between the files of a crate, and between the top-level modules of `server`.
//!
//! Files are parsed with `syn`. A reference counts if it is a `use` tree or an inline path that begins with `crate`,
//! `super`, `self`, a child module or an imported module; paths inside macro calls count too. Re-exports are followed
//! to the file that defines the name, so that a facade does not hide a cycle. A module's `mod` and `pub use` of its own
//! children and everything under `#[cfg(test)]` do not count.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context, Result};
use petgraph::algo::tarjan_scc;
use petgraph::graph::DiGraph;
use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Item, UseTree, Visibility};

use super::source::SourceFile;

/// A path of module and item names from the root of its crate.
type ModulePath = Vec<String>;

/// The maximum length of a chain of re-exports, which may be circular in code that does not compile.
const MAX_REEXPORT_DEPTH: usize = 8;

/// The references and names of one source file.
#[derive(Default)]
struct Module {
    path: ModulePath,
    defined: BTreeSet<String>,
    children: BTreeSet<String>,
    /// Names that `use` brings into scope, with the paths that they refer to.
    imported: HashMap<String, ModulePath>,
    reexported: HashMap<String, ModulePath>,
    reexported_globs: Vec<ModulePath>,
    references: BTreeSet<ModulePath>,
}

/// Reports every group of files, and of top-level modules of `server`, that import each other.
pub(super) fn check(sources: &[SourceFile]) -> Result<Vec<String>> {
    let mut crates: BTreeMap<&str, Vec<(&str, &SourceFile)>> = BTreeMap::new();
    for source in sources.iter().filter(|s| s.is_rust() && !s.path.ends_with("_tests.rs")) {
        if let Some((name, file)) = source.path.strip_prefix("crates/").and_then(|p| p.split_once("/src/")) {
            crates.entry(name).or_default().push((file, source));
        }
    }
    let mut findings = Vec::new();
    for (name, files) in crates {
        let mut modules = Vec::new();
        for (file, source) in files.into_iter().filter(|(file, _)| *file != "main.rs" || name == "xtask") {
            let parsed = parse_module(file, &source.text);
            modules.push(parsed.with_context(|| format!("{} cannot be parsed", source.path))?);
        }
        let edges = file_edges(&modules);
        for cycle in find_cycles(modules.len(), &edges) {
            let names = cycle.iter().map(|&i| display_path(&modules[i].path));
            findings.push(format!("{name}: import cycle of files: {}", names.collect::<Vec<_>>().join(", ")));
        }
        if name == "server" {
            findings.extend(check_top_level(name, &modules, &edges));
        }
    }
    Ok(findings)
}

/// Reports import cycles between the modules directly below the root of a crate. `edges` are pairs of indexes of files
/// in `modules`.
fn check_top_level(name: &str, modules: &[Module], edges: &BTreeSet<(usize, usize)>) -> Vec<String> {
    let top: Vec<&str> = modules.iter().filter_map(|m| m.path.first().map(String::as_str)).collect();
    let top: Vec<&str> = BTreeSet::from_iter(top).into_iter().collect();
    let position = |index: usize| {
        let first = modules[index].path.first()?;
        top.iter().position(|name| name == first)
    };
    let between = edges.iter().filter_map(|&(from, to)| Some((position(from)?, position(to)?)));
    let between: BTreeSet<_> = between.filter(|(from, to)| from != to).collect();
    let cycles = find_cycles(top.len(), &between).into_iter();
    let described = cycles.map(|cycle| cycle.iter().map(|&i| top[i]).collect::<Vec<_>>().join(", "));
    described.map(|names| format!("{name}: import cycle of top-level modules: {names}")).collect()
}

fn display_path(path: &[String]) -> String {
    if path.is_empty() { "lib".to_owned() } else { path.join("::") }
}

/// Derives the module path from the file name: `http/body.rs` and `http/body/mod.rs` are `http::body`.
fn module_path(file: &str) -> ModulePath {
    let stem = file.trim_end_matches(".rs").trim_end_matches("/mod");
    if matches!(stem, "lib" | "main" | "mod") {
        return Vec::new();
    }
    stem.split('/').map(str::to_owned).collect()
}

fn parse_module(file: &str, text: &str) -> Result<Module> {
    let mut module = Module { path: module_path(file), ..Module::default() };
    let parsed = syn::parse_file(text)?;
    // `use` and `mod` come first: the meaning of an inline path depends on what they bring into scope.
    for item in parsed.items.iter().filter(|item| !is_test_only(item)) {
        record_names(item, &mut module);
    }
    for item in parsed.items.iter().filter(|item| !is_test_only(item) && !matches!(item, Item::Use(_))) {
        if !matches!(item, Item::Mod(inner) if inner.content.is_none()) {
            record_inline_paths(item.to_token_stream(), &mut module);
        }
    }
    Ok(module)
}

fn is_test_only(item: &Item) -> bool {
    let attributes = match item {
        Item::Mod(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Const(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        _ => return false,
    };
    attributes.iter().any(|attribute| attribute.to_token_stream().to_string().contains("cfg (test)"))
}

fn record_names(item: &Item, module: &mut Module) {
    let defined = match item {
        Item::Use(item) => {
            let mut leaves = Vec::new();
            flatten_use_tree(&item.tree, &mut Vec::new(), &mut leaves);
            let is_public = !matches!(item.vis, Visibility::Inherited);
            for leaf in leaves {
                record_use(leaf, is_public, module);
            }
            return;
        }
        Item::Mod(item) => {
            if item.content.is_none() {
                module.children.insert(item.ident.to_string());
            }
            return;
        }
        Item::Struct(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Const(item) => &item.ident,
        Item::Static(item) => &item.ident,
        Item::Macro(item) if item.ident.is_some() => match &item.ident {
            Some(ident) => ident,
            None => return,
        },
        _ => return,
    };
    module.defined.insert(defined.to_string());
}

/// One leaf of a `use` tree: the full path and the name that it gets; no name for a glob.
type UseLeaf = (ModulePath, Option<String>);

fn flatten_use_tree(tree: &UseTree, prefix: &mut ModulePath, leaves: &mut Vec<UseLeaf>) {
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            flatten_use_tree(&path.tree, prefix, leaves);
            prefix.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten_use_tree(tree, prefix, leaves)),
        UseTree::Glob(_) => leaves.push((prefix.clone(), None)),
        UseTree::Name(name) if name.ident == "self" => leaves.push((prefix.clone(), prefix.last().cloned())),
        UseTree::Name(name) => {
            let name = name.ident.to_string();
            leaves.push((prefix.iter().cloned().chain([name.clone()]).collect(), Some(name)));
        }
        UseTree::Rename(rename) => {
            let path = prefix.iter().cloned().chain([rename.ident.to_string()]).collect();
            leaves.push((path, Some(rename.rename.to_string())));
        }
    }
}

fn record_use((path, name): UseLeaf, is_public: bool, module: &mut Module) {
    let Some(path) = absolute_path(&path, module) else { return };
    let is_own_child = path.len() > module.path.len() && path.starts_with(&module.path);
    if !(is_public && is_own_child) {
        module.references.insert(path.clone());
    }
    match name {
        Some(name) if is_public => drop(module.reexported.insert(name, path)),
        Some(name) => drop(module.imported.insert(name, path)),
        None if is_public => module.reexported_globs.push(path),
        None => {}
    }
}

/// Converts a path in a module to the path from the root of its crate. Returns `None` if the path leads into another
/// crate.
fn absolute_path(path: &[String], module: &Module) -> Option<ModulePath> {
    let (first, rest) = path.split_first()?;
    let join = |base: &[String], rest: &[String]| Some(base.iter().chain(rest).cloned().collect());
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => join(&module.path, rest),
        "super" => {
            let levels = path.iter().take_while(|name| *name == "super").count();
            join(module.path.get(..module.path.len().checked_sub(levels)?)?, &path[levels..])
        }
        name if module.children.contains(name) => join(&module.path, path),
        name => join(module.imported.get(name)?, rest),
    }
}

/// Records each path such as `a::b::C` that occurs in the tokens of a macro call, at any depth.
fn record_inline_paths(tokens: TokenStream, module: &mut Module) {
    let mut path: ModulePath = Vec::new();
    let mut colons = 0;
    let flush = |path: &mut ModulePath, module: &mut Module| {
        if path.len() > 1
            && let Some(path) = absolute_path(path, module)
        {
            module.references.insert(path);
        }
        path.clear();
    };
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => {
                if colons != 2 {
                    flush(&mut path, module);
                }
                path.push(ident.to_string());
                colons = 0;
            }
            TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => colons += 1,
            TokenTree::Group(group) => {
                flush(&mut path, module);
                colons = 0;
                record_inline_paths(group.stream(), module);
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {
                flush(&mut path, module);
                colons = 0;
            }
        }
    }
    flush(&mut path, module);
}

/// Returns the pairs of file indexes of which the first file refers to the second.
fn file_edges(modules: &[Module]) -> BTreeSet<(usize, usize)> {
    let by_path: HashMap<&[String], usize> =
        modules.iter().enumerate().map(|(i, module)| (module.path.as_slice(), i)).collect();
    let mut edges = BTreeSet::new();
    for (from, module) in modules.iter().enumerate() {
        for reference in &module.references {
            let to = resolve(modules, &by_path, reference, 0);
            edges.extend(to.filter(|to| *to != from).map(|to| (from, to)));
        }
    }
    edges
}

/// Returns the index of the file that defines the item with a path. Follows re-exports.
fn resolve(
    modules: &[Module],
    by_path: &HashMap<&[String], usize>,
    path: &[String],
    depth: usize,
) -> Option<usize> {
    let (length, index) = (0..=path.len()).rev().find_map(|n| Some((n, *by_path.get(&path[..n])?)))?;
    let module = &modules[index];
    let Some(name) = path.get(length) else { return Some(index) };
    if module.defined.contains(name) || depth > MAX_REEXPORT_DEPTH {
        return Some(index);
    }
    if let Some(target) = module.reexported.get(name) {
        return resolve(modules, by_path, target, depth + 1);
    }
    let in_glob = module.reexported_globs.iter().find_map(|glob| {
        let target = by_path.get(glob.as_slice())?;
        let path: ModulePath = glob.iter().chain([name]).cloned().collect();
        let defines =
            modules[*target].defined.contains(name) || modules[*target].reexported.contains_key(name);
        if defines { resolve(modules, by_path, &path, depth + 1) } else { None }
    });
    in_glob.or(Some(index))
}

fn find_cycles(nodes: usize, edges: &BTreeSet<(usize, usize)>) -> Vec<Vec<usize>> {
    let mut graph = DiGraph::<(), ()>::new();
    let ids: Vec<_> = (0..nodes).map(|_| graph.add_node(())).collect();
    for &(from, to) in edges {
        graph.add_edge(ids[from], ids[to], ());
    }
    let components = tarjan_scc(&graph).into_iter().filter(|component| component.len() > 1);
    let sorted = components.map(|component| {
        let mut nodes: Vec<usize> = component.into_iter().map(petgraph::graph::NodeIndex::index).collect();
        nodes.sort_unstable();
        nodes
    });
    sorted.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<SourceFile> = files
            .iter()
            .map(|(path, text)| SourceFile {
                path: format!("crates/server/src/{path}"),
                text: (*text).to_owned(),
            })
            .collect();
        check(&sources).expect("valid Rust")
    }

    #[test]
    fn files_that_import_each_other_by_use_are_reported() {
        let found = findings(&[("a.rs", "use crate::{b::{B, C}};"), ("b.rs", "use super::a::A;")]);
        assert_eq!(
            found,
            ["server: import cycle of files: a, b", "server: import cycle of top-level modules: a, b"]
        );
    }

    #[test]
    fn inline_path_in_macro_call_counts_as_import() {
        let found = findings(&[("a.rs", "fn f() { vec![crate::b::g()]; }"), ("b.rs", "use crate::a::f;")]);
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn path_through_imported_module_counts_as_import() {
        let a = "use crate::m; fn f() { m::b::g() }";
        let found = findings(&[("a.rs", a), ("m.rs", "pub(crate) mod b;"), ("m/b.rs", "use crate::a::f;")]);
        assert!(found.contains(&"server: import cycle of files: a, m::b".to_owned()), "{found:?}");
    }

    #[test]
    fn import_of_reexport_counts_for_the_defining_file() {
        let files = [
            ("m.rs", "mod a; mod b; pub(crate) use a::A; pub(crate) use b::B;"),
            ("m/a.rs", "use super::B; pub(crate) struct A;"),
            ("m/b.rs", "use super::A; pub(crate) struct B;"),
        ];
        assert_eq!(findings(&files), ["server: import cycle of files: m::a, m::b"]);
    }

    #[test]
    fn import_of_child_module_or_in_test_is_not_counted() {
        let files = [
            (
                "m.rs",
                "mod a; pub(crate) use a::A; pub(crate) struct M; #[cfg(test)] mod tests { use crate::n::N; }",
            ),
            ("m/a.rs", "use super::M; pub(crate) struct A;"),
            ("n.rs", "use crate::m::A; pub(crate) struct N;"),
        ];
        assert_eq!(findings(&files), Vec::<String>::new());
    }
}
