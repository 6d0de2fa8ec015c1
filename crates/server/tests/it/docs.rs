//! Tests of the HTML reference at `/docs`: each page shows everything that its OpenAPI document contains.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bowline::cli::BrowserResponse;
use bowline::openapi::ApiDocument;
use bowline::router::generate_document;
use serde_json::Value;

use crate::support::{Chrome, RawRequest, SCOPE, TestHub};

/// Returns the text of HTML without tags.
fn html_to_text(html: &str) -> String {
    let text: String = html
        .split('<')
        .enumerate()
        .map(|(nth, part)| if nth == 0 { part } else { part.split_once('>').map_or("", |(_, text)| text) })
        .collect();
    let entities = [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&")];
    entities.into_iter().fold(text, |text, (entity, character)| text.replace(entity, character))
}

/// Returns the HTML of a page's section with this id, which describes an operation.
fn find_section<'a>(page: &'a str, id: &str) -> &'a str {
    let begin = format!("<section class=\"operation\" id=\"{id}\"");
    let at = page.find(&begin).unwrap_or_else(|| panic!("{id} has no section"));
    page[at..].split("</section>").next().unwrap()
}

fn list_operations(document: &Value) -> impl Iterator<Item = (&String, &String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, methods)| {
        methods.as_object().unwrap().iter().map(move |(method, operation)| (path, method, operation))
    })
}

/// Collects the texts that the section of an operation must contain.
fn collect_expected_texts(path: &str, method: &str, operation: &Value) -> Vec<String> {
    let mut texts = vec![method.to_uppercase(), path.to_owned()];
    let text = |value: &Value| value.as_str().unwrap_or_default().replace('`', "");
    texts.extend([text(&operation["summary"]), text(&operation["description"])]);
    let named = operation["parameters"].as_array().into_iter().flatten();
    texts.extend(named.flat_map(|p| [&p["name"], &p["in"], &p["description"]]).map(text));
    let callers = operation["security"].as_array().unwrap().iter();
    for (name, roles) in callers.flat_map(|one| one.as_object().unwrap()) {
        texts.push(name.clone());
        texts.extend(roles.as_array().unwrap().iter().map(|role| format!("{name} with {}", text(role))));
    }
    let mut bodies = vec![&operation["requestBody"]];
    for (status, response) in operation["responses"].as_object().unwrap() {
        texts.extend([status.clone(), text(&response["description"])]);
        texts.extend(response["headers"].as_object().into_iter().flatten().map(|(name, _)| name.clone()));
        bodies.push(response);
    }
    for (media, content) in bodies.into_iter().filter_map(|body| body["content"].as_object()).flatten() {
        texts.push(media.clone());
        let examples = content["examples"].as_object().into_iter().flatten();
        texts.extend(examples.map(|(_, example)| format!("{:#}", example["value"])));
    }
    texts
}

#[tokio::test]
async fn docs_pages_show_every_operation_of_openapi_document() {
    let kit = TestHub::new().await;
    let index = kit.get("/docs").await;
    for document in ApiDocument::ALL {
        let page = kit.get(&format!("/docs/{}", document.name())).await;
        assert_eq!((page.status, &page.headers["cache-control"]), (200, &"max-age=3600".parse().unwrap()));
        let link = format!("href=\"/docs/{}\"", document.name());
        assert!(index.body.contains(&link) && page.body.contains(&link), "{link}");
        let (spec, mut number) = (generate_document(document), 0);
        for (path, method, operation) in list_operations(&spec) {
            let id = operation["operationId"].as_str().unwrap();
            let shown = html_to_text(find_section(&page.body, id));
            for expected in collect_expected_texts(path, method, operation) {
                assert!(shown.contains(&expected), "{id} does not show {expected:?}:\n{shown}");
            }
            assert!(page.body.contains(&format!("<a href=\"#{id}\">")), "{id} is not in the index");
            number += 1;
        }
        assert_eq!(page.body.matches("<section class=\"operation\"").count(), number, "{document:?}");
        assert!(page.body.contains(document.path()), "{document:?} is not linked");
    }
}

/// Collects the names of all properties of a schema and of the schemas that it refers to.
fn collect_property_names<'a>(
    document: &'a Value,
    schema: &'a Value,
    seen: &mut BTreeSet<&'a str>,
    names: &mut BTreeSet<String>,
) {
    if let Some(target) = schema["$ref"].as_str() {
        if seen.insert(target) {
            collect_property_names(
                document,
                document.pointer(target.trim_start_matches('#')).unwrap(),
                seen,
                names,
            );
        }
        return;
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        names.insert(name.clone());
        collect_property_names(document, property, seen, names);
    }
    for inner in [&schema["items"], &schema["additionalProperties"]] {
        if inner.is_object() {
            collect_property_names(document, inner, seen, names);
        }
    }
    for inner in ["oneOf", "anyOf", "allOf"].into_iter().filter_map(|key| schema[key].as_array()).flatten() {
        collect_property_names(document, inner, seen, names);
    }
}

#[tokio::test]
async fn docs_pages_show_every_field_and_have_no_dead_links() {
    let kit = TestHub::new().await;
    for document in ApiDocument::ALL {
        let page = kit.get(&format!("/docs/{}", document.name())).await.body;
        let all = |before: &str| -> Vec<&str> {
            page.split(before).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
        };
        let ids = all(" id=\"");
        let unique: BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(unique.len(), ids.len(), "{document:?}: an id is used twice");
        let dead: Vec<_> = all("href=\"#").into_iter().filter(|target| !unique.contains(target)).collect();
        assert!(dead.is_empty(), "{document:?}: {dead:?}");
        let names = page.split("<th scope=\"row\"><code>").skip(1);
        let names: Vec<String> =
            names.map(|rest| html_to_text(rest.split("</code>").next().unwrap())).collect();
        let shown_names: BTreeSet<&str> = names.iter().flat_map(|name| name.split(['.', '['])).collect();
        let spec = generate_document(document);
        let mut fields = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for schema in spec["components"]["schemas"].as_object().unwrap().values() {
            collect_property_names(&spec, schema, &mut seen, &mut fields);
        }
        let missing: Vec<_> = fields.iter().filter(|name| !shown_names.contains(name.as_str())).collect();
        assert!(missing.is_empty(), "{document:?}: {missing:?}");
    }
}

/// Runs a command of the documentation in the shell, with a function in place of `curl`, and returns the request that
/// the command would send.
fn parse_curl_line(line: &str, variables: &BTreeMap<&str, String>) -> RawRequest {
    let function =
        "curl() { for word in \"$@\"; do printf '%s\\0' \"$word\"; done; printf '\\1\\0'; cat; }\n";
    let mut shell = Command::new("sh");
    shell.args(["-euc", &format!("{function}{line}")]).stdin(Stdio::null()).env_clear();
    let output = shell.env("PATH", std::env::var_os("PATH").unwrap()).envs(variables).output().unwrap();
    assert!(output.status.success(), "{line}\n{}", String::from_utf8_lossy(&output.stderr));
    let output_text = String::from_utf8(output.stdout).unwrap();
    let (words, body) = output_text.split_once("\u{1}\0").unwrap();
    let (mut method, mut target, mut headers, mut has_body, mut query) =
        ("GET", String::new(), Vec::new(), false, None);
    let mut words = words.split_terminator('\0');
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap();
        match word {
            "-i" => {}
            "-X" => method = value(),
            "-o" => assert_eq!(value(), "document"),
            "-H" => {
                let (name, value) = value().split_once(": ").unwrap();
                headers.push((name, value.to_owned()));
            }
            "-G" => query = Some(form_urlencoded::Serializer::new(String::new())),
            "--data-urlencode" => {
                let (name, value) = value().split_once('=').unwrap();
                query.as_mut().unwrap().append_pair(name, value);
            }
            "-u" => headers.push(("Authorization", format!("Basic {}", STANDARD.encode(value())))),
            "-d" => has_body = value() == "@-",
            url => {
                let below = |base: &str| url.strip_prefix(&variables[base]);
                below("HUB").or_else(|| below("ADMIN")).unwrap().clone_into(&mut target);
            }
        }
    }
    if let Some(mut query) = query {
        target = format!("{target}?{}", query.finish());
    }
    let raw = RawRequest::post(target, "application/json", if has_body { body } else { "" }).method(method);
    headers
        .into_iter()
        .filter(|(name, _)| *name != "Content-Type")
        .fold(raw, |raw, (name, value)| raw.header(name, value))
}

#[tokio::test]
async fn docs_curl_examples_run_unchanged() {
    let kit = TestHub::new().await;
    let (acme, partner) = (kit.acme(), kit.partner());
    let scope = format!("{SCOPE} STATEMENTS");
    let tokens = kit.connect_at(1000, &acme, "alice", &["mt-alice-chequing"], &scope).await;
    let mut variables = BTreeMap::from([
        ("HUB", kit.app().public_url().to_owned()),
        ("CLIENT_ID", acme.id.clone()),
        ("CLIENT_SECRET", acme.secret.clone()),
        ("REDIRECT_URI", acme.redirect_uri.clone()),
        ("ADMIN", format!("http://{}", kit.world.node.admin)),
        ("SCOPE", "ACCOUNT_BASIC TRANSACTIONS".to_owned()),
        ("CONNECTION_ID", tokens.id.to_string()),
        ("STATE", "s-1".to_owned()),
        ("ACCOUNT_ID", kit.fetch_account_id(&tokens.access).await),
        ("STATEMENT_ID", kit.fetch_statement_id(&tokens.access).await),
    ]);
    let (own, partners) = (kit.request_client_token(&acme).await, kit.request_client_token(&partner).await);
    for (document, id, token, status) in [
        ("flinks", "authorizeWithDataProvider", "", 200),
        ("flinks", "token", "", 200),
        ("flinks", "listConnections", &*own, 200),
        ("flinks", "createDataRecipient", &*partners, 200),
        ("fdx", "searchForAccounts", &*tokens.access, 200),
        ("fdx", "getAccount", &*tokens.access, 200),
        ("fdx", "getAccountStatement", &*tokens.access, 200),
        ("admin", "listConnections", kit.admin_token(), 200),
        ("admin", "getConnection", kit.admin_token(), 200),
        ("admin", "createPartner", kit.admin_token(), 201),
        ("flinks", "revokeConnection", &*tokens.access, 204),
        ("flinks", "revokeConnectionPost", &*tokens.access, 200),
        ("fdx", "getAccount", &*tokens.access, 401),
    ] {
        variables.insert("TOKEN", token.to_owned());
        let page = kit.get(&format!("/docs/{document}")).await.body;
        let html = find_section(&page, id).split("<code class=\"curl\">").nth(1).unwrap();
        let line = html_to_text(html.split("</code>").next().unwrap());
        let response: BrowserResponse = kit.send_raw(&parse_curl_line(&line, &variables)).await;
        assert_eq!(response.status, status, "{id}: {}\n{line}", response.body);
    }
}

#[tokio::test]
async fn unknown_docs_path_returns_404() {
    let kit = TestHub::new().await;
    for path in ["/docs/nothing", "/docs/", "/docs/flinks.json", "/static/docs.js"] {
        assert_eq!(kit.get(path).await.status, 404, "{path}");
    }
}

/// Opens each API document from the list of documents, and an operation from the index of the document. `index` is the
/// expected CSS position of the index at this window width.
async fn browse_docs(width: u32, index: &str) {
    let kit = TestHub::new().await;
    let chrome = Chrome::new(width).await;
    chrome.navigate(&kit.url("/docs")).await;
    chrome.wait_for_text(&["API reference"]).await;
    chrome.take_screenshot(&format!("docs-{width}")).await;
    for document in ApiDocument::ALL {
        chrome.navigate(&kit.url("/docs")).await;
        chrome.click(&format!(".card a[href=\"/docs/{}\"]", document.name())).await;
        chrome.wait_for_text(&["Authentication"]).await;
        chrome.take_screenshot(&format!("docs-{}-{width}", document.name())).await;
        assert_eq!(
            chrome.read_css_property(".index", "position").await,
            index,
            "the stylesheet is not loaded"
        );
        let spec = generate_document(document);
        let (.., first) = list_operations(&spec).next().unwrap();
        let id = first["operationId"].as_str().unwrap();
        chrome.click(&format!(".index a[href=\"#{id}\"]")).await;
        let url = chrome.url().await;
        assert!(url.ends_with(&format!("/docs/{}#{id}", document.name())), "{url}");
        chrome.take_screenshot(&format!("docs-{}-{id}-{width}", document.name())).await;
    }
    assert_eq!(chrome.read_console().await, Vec::<String>::new());
    chrome.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docs_pages_can_be_navigated_on_desktop() {
    browse_docs(1440, "sticky").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docs_pages_can_be_navigated_on_phone() {
    browse_docs(375, "static").await;
}
