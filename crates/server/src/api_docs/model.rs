//! The content of an API reference page, built from an OpenAPI document.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use serde_json::Value;

use super::curl::{CurlCommand, shell_variable};
use super::piece::{Mark, MarkedText};
use super::schema::{Field, Schemas};

pub(super) struct Reference {
    pub(super) title: String,
    pub(super) description: MarkedText,
    pub(super) version: String,
    /// The shell variable of the server URL and its default, if the document has a server variable.
    pub(super) server: Option<(String, String)>,
    pub(super) schemes: Vec<NamedItem>,
    pub(super) groups: Vec<GroupView>,
    /// The types that are too large to be described where they are used. The page describes each of them once.
    pub(super) types: Vec<Type>,
    pub(super) headers: Vec<NamedItem>,
}

/// A security scheme or a response header.
pub(super) struct NamedItem {
    pub(super) name: String,
    pub(super) type_text: MarkedText,
    pub(super) description: MarkedText,
}

/// The operations that have the same OpenAPI tag.
pub(super) struct GroupView {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) description: MarkedText,
    pub(super) operations: Vec<OperationView>,
}

pub(super) struct OperationView {
    pub(super) id: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) summary: String,
    pub(super) description: MarkedText,
    /// The security schemes that the operation accepts as alternatives.
    pub(super) callers: Vec<CallerView>,
    /// Whether the operation can be called without authentication.
    pub(super) allows_anonymous: bool,
    pub(super) parameters: Vec<ParameterView>,
    pub(super) body: Option<RequestBodyView>,
    pub(super) responses: Vec<ResponseView>,
    pub(super) curl: MarkedText,
}

/// A security scheme that an operation accepts.
pub(super) struct CallerView {
    pub(super) name: String,
    /// The roles or scopes in the security requirement.
    pub(super) roles: Vec<String>,
}

pub(super) struct ParameterView {
    pub(super) location: String,
    pub(super) name: String,
    pub(super) required: bool,
    pub(super) type_text: MarkedText,
    pub(super) description: MarkedText,
}

pub(super) struct RequestBodyView {
    pub(super) required: bool,
    pub(super) contents: Vec<ContentView>,
}

pub(super) struct ResponseView {
    pub(super) status: String,
    pub(super) reason: &'static str,
    pub(super) description: MarkedText,
    pub(super) headers: Vec<String>,
    pub(super) contents: Vec<ContentView>,
}

/// The content of a body, for all media types that have the same schema and examples.
pub(super) struct ContentView {
    pub(super) media: Vec<String>,
    /// The description of the type; `None` if the content has no schema.
    pub(super) kind: Option<String>,
    pub(super) fields: Vec<Field>,
    pub(super) examples: Vec<Example>,
}

pub(super) struct Example {
    pub(super) name: String,
    pub(super) json: MarkedText,
}

pub(super) struct Type {
    pub(super) name: String,
    pub(super) description: MarkedText,
    pub(super) fields: Vec<Field>,
}

// A path item has members that are no operations, for example `parameters`.
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

impl Reference {
    pub(super) fn from_document(document: &Value) -> Self {
        let schemas = Schemas(document);
        let groups = build_groups(schemas);
        let title = string_member(&document["info"], "title");
        Self {
            title: capitalize(&title.strip_prefix("Bowline: ").unwrap_or(&title).replace('`', "")),
            description: description_text(&document["info"]),
            version: string_member(&document["info"], "version"),
            server: iter_members(&document["servers"][0]["variables"]).next().map(
                |(name, variable_object)| (shell_variable(name), string_member(variable_object, "default")),
            ),
            schemes: iter_members(&document["components"]["securitySchemes"])
                .map(|s| build_scheme(s.0, s.1))
                .collect(),
            types: collect_types(schemas, &groups),
            headers: iter_members(&document["components"]["headers"])
                .map(|(name, header)| NamedItem {
                    name: name.clone(),
                    type_text: schemas.describe(&header["schema"], &BTreeSet::new()),
                    description: description_text(header),
                })
                .collect(),
            groups,
        }
    }

    /// Returns whether the `curl` command of any operation contains the shell variable `name`.
    pub(super) fn has_variable(&self, name: &str) -> bool {
        let mut lines =
            self.groups.iter().flat_map(|group| &group.operations).map(|operation| &operation.curl);
        lines.any(|line| line.0.iter().any(|piece| piece.mark == Mark::Variable && piece.text == name))
    }

    /// Returns the number of operations in all groups.
    pub(super) fn operations(&self) -> usize {
        self.groups.iter().map(|group| group.operations.len()).sum()
    }

    /// Returns whether the page contains a description of the response header with this name.
    pub(super) fn describes_header(&self, header: &str) -> bool {
        self.headers.iter().any(|known| known.name == header)
    }
}

impl ResponseView {
    pub(super) fn is_success(&self) -> bool {
        self.status.as_str() < "400"
    }

    /// Returns the first digit of the status, which selects the CSS class.
    pub(super) fn class(&self) -> &str {
        self.status.get(..1).unwrap_or_default()
    }

    /// Returns the distinct error codes of the examples, which are part of the examples' names.
    pub(super) fn codes(&self) -> Vec<&str> {
        let mut codes: Vec<&str> = Vec::new();
        for example in self.contents.iter().flat_map(|content| &content.examples) {
            let code = example.code();
            if code != "example" && !codes.contains(&code) {
                codes.push(code);
            }
        }
        codes
    }
}

impl OperationView {
    /// Returns the successful responses that have examples.
    pub(super) fn successes_with_examples(&self) -> impl Iterator<Item = &ResponseView> {
        let has =
            |response: &&ResponseView| response.contents.iter().any(|content| !content.examples.is_empty());
        self.responses.iter().filter(|response| response.is_success()).filter(has)
    }
}

impl Example {
    /// Returns the error code in the example's name, which may end with a number: `gone` for `gone-2`.
    pub(super) fn code(&self) -> &str {
        match self.name.rsplit_once('-') {
            Some((code, number)) if number.bytes().all(|b| b.is_ascii_digit()) => code,
            _ => &self.name,
        }
    }
}

fn build_groups(schemas: Schemas<'_>) -> Vec<GroupView> {
    let document = schemas.0;
    let mut by_tag: BTreeMap<String, Vec<OperationView>> = BTreeMap::new();
    for (path, item) in iter_members(&document["paths"]) {
        for (method, operation) in iter_members(item).filter(|(method, _)| METHODS.contains(&method.as_str()))
        {
            let tag = operation["tags"][0].as_str().unwrap_or_default().to_owned();
            by_tag.entry(tag).or_default().push(build_operation(schemas, method, path, item, operation));
        }
    }
    let tags: Vec<&Value> = document["tags"].as_array().into_iter().flatten().collect();
    let mut names: Vec<String> = tags.iter().map(|tag| string_member(tag, "name")).collect();
    // Tags that the document does not list come last, in alphabetical order.
    names.extend(by_tag.keys().filter(|name| !names.contains(name)).cloned().collect::<Vec<_>>());
    let group = |name: String| {
        let tag_object = tags.iter().find(|tag| tag["name"] == name.as_str());
        Some(GroupView {
            id: format!("group-{}", name.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-")),
            operations: by_tag.remove(&name)?,
            description: tag_object.map(|tag| description_text(tag)).unwrap_or_default(),
            name: if name.is_empty() { "Others".into() } else { name },
        })
    };
    names.into_iter().filter_map(group).collect()
}

fn build_operation(
    schemas: Schemas<'_>,
    method: &str,
    path: &str,
    item: &Value,
    operation: &Value,
) -> OperationView {
    let shared = [item, operation].into_iter().filter_map(|object| object["parameters"].as_array()).flatten();
    let parameters: Vec<&Value> = shared.map(|parameter| schemas.resolve(parameter)).collect();
    let base = schemas.0["servers"][0]["url"].as_str().unwrap_or("/");
    let method = method.to_uppercase();
    let curl =
        CurlCommand { schemas, base, method: &method, path, operation, parameters: &parameters }.render();
    let security = operation.get("security").unwrap_or(&schemas.0["security"]).as_array();
    let callers: Vec<Vec<CallerView>> = security.into_iter().flatten().map(build_callers).collect();
    let body = operation.get("requestBody").map(|body| schemas.resolve(body));
    let id = string_member(operation, "operationId");
    OperationView {
        id: if id.is_empty() { format!("{method}-{path}").replace(['/', '{', '}'], "-") } else { id },
        path: path.to_owned(),
        summary: string_member(operation, "summary"),
        description: description_text(operation),
        // Both an empty list and an empty requirement permit calls without credentials (OpenAPI 3.1, Security
        // Requirement Object).
        allows_anonymous: callers.is_empty() || callers.iter().any(Vec::is_empty),
        callers: callers.into_iter().flatten().collect(),
        parameters: parameters.iter().map(|parameter| build_parameter(schemas, parameter)).collect(),
        body: body.map(|body| RequestBodyView {
            required: body["required"] == true,
            contents: build_contents(schemas, &body["content"]),
        }),
        responses: iter_members(&operation["responses"])
            .map(|(status, response)| build_response(schemas, status, schemas.resolve(response)))
            .collect(),
        curl: MarkedText::from_command(&curl),
        method,
    }
}

/// Returns the security schemes of one security requirement, which must all be satisfied.
fn build_callers(requirement: &Value) -> Vec<CallerView> {
    let roles = |roles: &Value| -> Vec<String> {
        roles.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    iter_members(requirement)
        .map(|(name, scopes)| CallerView { name: name.clone(), roles: roles(scopes) })
        .collect()
}

fn build_parameter(schemas: Schemas<'_>, parameter: &Value) -> ParameterView {
    ParameterView {
        location: string_member(parameter, "in"),
        name: string_member(parameter, "name"),
        required: parameter["required"] == true,
        type_text: schemas.describe(&parameter["schema"], &BTreeSet::new()),
        description: description_text(parameter),
    }
}

fn build_response(schemas: Schemas<'_>, status: &str, response: &Value) -> ResponseView {
    let code = status.parse().ok().and_then(|code: u16| StatusCode::from_u16(code).ok());
    ResponseView {
        status: status.to_owned(),
        reason: code.and_then(|code| code.canonical_reason()).unwrap_or_default(),
        description: description_text(response),
        headers: iter_members(&response["headers"]).map(|(name, _)| name.clone()).collect(),
        contents: build_contents(schemas, &response["content"]),
    }
}

fn build_contents(schemas: Schemas<'_>, content: &Value) -> Vec<ContentView> {
    let mut same: Vec<(Vec<String>, &Value)> = Vec::new();
    for (media, media_object) in iter_members(content) {
        match same.iter_mut().find(|(_, known)| *known == media_object) {
            Some((all, _)) => all.push(media.clone()),
            None => same.push((vec![media.clone()], media_object)),
        }
    }
    let content = |(media, media_object): (Vec<String>, &Value)| {
        let examples =
            iter_members(&media_object["examples"]).map(|(name, example)| (name.clone(), &example["value"]));
        let single = media_object.get("example").map(|example| ("example".to_owned(), example));
        let kind = media_object["schema"].as_object().filter(|schema| !schema.is_empty());
        ContentView {
            media,
            kind: kind.map(|_| schemas.describe(&media_object["schema"], &BTreeSet::new()).to_plain_text()),
            fields: schemas.list_fields(&media_object["schema"]),
            examples: examples
                .chain(single)
                .map(|(name, value)| Example { name, json: MarkedText::from_json(value) })
                .collect(),
        }
    };
    same.into_iter().map(content).collect()
}

/// Returns the types to which the fields of all bodies refer, directly or through other types, in alphabetical order.
fn collect_types(schemas: Schemas<'_>, groups: &[GroupView]) -> Vec<Type> {
    let operations = groups.iter().flat_map(|group| &group.operations);
    let contents = operations.flat_map(|operation| {
        let sent = operation.body.iter().flat_map(|body| &body.contents);
        sent.chain(operation.responses.iter().flat_map(|response| &response.contents))
    });
    let mut pending: Vec<String> = contents.flat_map(|content| list_type_names(&content.fields)).collect();
    let mut collected: BTreeMap<String, Type> = BTreeMap::new();
    while let Some(name) = pending.pop() {
        if collected.contains_key(&name) {
            continue;
        }
        let Some((description, fields)) = schemas.find_component(&name) else { continue };
        pending.extend(list_type_names(&fields));
        collected.insert(name.clone(), Type { name, description, fields });
    }
    collected.into_values().collect()
}

/// Returns the names of the types that fields refer to directly.
fn list_type_names(fields: &[Field]) -> impl Iterator<Item = String> {
    let pieces = fields.iter().flat_map(|field| &field.type_text.0);
    pieces.filter(|piece| piece.mark == Mark::Type).map(|piece| piece.text.clone())
}

fn build_scheme(name: &str, scheme: &Value) -> NamedItem {
    let type_text = match (scheme["scheme"].as_str(), scheme["name"].as_str()) {
        (Some("bearer"), _) => MarkedText::from_description("Bearer token"),
        (Some("basic"), _) => MarkedText::from_description("HTTP Basic"),
        (_, Some(header)) => MarkedText::from_description(&format!("`{header}`")),
        _ => MarkedText::from_description(&string_member(scheme, "type")),
    };
    NamedItem { name: name.to_owned(), type_text, description: description_text(scheme) }
}

fn iter_members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn string_member(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_default().to_owned()
}

fn description_text(value: &Value) -> MarkedText {
    MarkedText::from_description(value["description"].as_str().unwrap_or_default())
}

fn capitalize(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
