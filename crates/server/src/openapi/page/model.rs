//! What a page shows, made of an OpenAPI document and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use serde_json::Value;

use super::curl::{Asked, variable};
use super::piece::{Mark, Text};
use super::schema::{Field, Schemas};

/// A document.
pub(super) struct Reference {
    pub(super) title: String,
    pub(super) description: Text,
    pub(super) version: String,
    /// Where it is served, if that differs from hub to hub: a variable, and what it mostly is.
    pub(super) server: Option<(String, String)>,
    pub(super) schemes: Vec<Named>,
    pub(super) groups: Vec<Group>,
    /// The types that are too large to be told where they are used.
    pub(super) types: Vec<Type>,
    pub(super) headers: Vec<Named>,
}

/// Something with a name, and what it is.
pub(super) struct Named {
    pub(super) name: String,
    pub(super) words: Text,
    pub(super) description: Text,
}

/// Operations below one heading.
pub(super) struct Group {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) description: Text,
    pub(super) operations: Vec<Operation>,
}

/// One method of one path.
pub(super) struct Operation {
    pub(super) id: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) summary: String,
    pub(super) description: Text,
    /// The security schemes of which one must be kept.
    pub(super) callers: Vec<Caller>,
    /// Whether it may be called without any.
    pub(super) open: bool,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<Body>,
    pub(super) answers: Vec<Answer>,
    pub(super) curl: Text,
}

/// A security scheme that an operation takes.
pub(super) struct Caller {
    pub(super) name: String,
    /// The roles or scopes of which one must be had.
    pub(super) roles: Vec<String>,
}

/// A parameter.
pub(super) struct Parameter {
    pub(super) place: String,
    pub(super) name: String,
    pub(super) required: bool,
    pub(super) words: Text,
    pub(super) description: Text,
}

/// What is sent.
pub(super) struct Body {
    pub(super) required: bool,
    pub(super) contents: Vec<Content>,
}

/// What a status comes with.
pub(super) struct Answer {
    pub(super) status: String,
    pub(super) reason: &'static str,
    pub(super) description: Text,
    pub(super) headers: Vec<String>,
    pub(super) contents: Vec<Content>,
}

/// Content of some media types that is the same in each.
pub(super) struct Content {
    pub(super) media: Vec<String>,
    /// The type; none where the content is no JSON.
    pub(super) kind: Option<String>,
    pub(super) fields: Vec<Field>,
    pub(super) examples: Vec<Example>,
}

/// An example.
pub(super) struct Example {
    pub(super) name: String,
    pub(super) json: Text,
}

/// A type.
pub(super) struct Type {
    pub(super) name: String,
    pub(super) description: Text,
    pub(super) fields: Vec<Field>,
}

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

impl Reference {
    /// The page's content.
    pub(super) fn of(document: &Value) -> Self {
        let schemas = Schemas(document);
        let groups = groups(schemas);
        let title = string(&document["info"], "title");
        Self {
            title: capital(&title.strip_prefix("Bowline: ").unwrap_or(&title).replace('`', "")),
            description: sentence(&document["info"]),
            version: string(&document["info"], "version"),
            server: members(&document["servers"][0]["variables"])
                .next()
                .map(|(name, told)| (variable(name), string(told, "default"))),
            schemes: members(&document["components"]["securitySchemes"]).map(|s| scheme(s.0, s.1)).collect(),
            types: types(schemas, &groups),
            headers: members(&document["components"]["headers"])
                .map(|(name, header)| Named {
                    name: name.clone(),
                    words: schemas.words(&header["schema"], &BTreeSet::new()),
                    description: sentence(header),
                })
                .collect(),
            groups,
        }
    }

    /// Whether a line of `curl` has a variable in it.
    pub(super) fn has_variable(&self, name: &str) -> bool {
        let mut lines =
            self.groups.iter().flat_map(|group| &group.operations).map(|operation| &operation.curl);
        lines.any(|line| line.0.iter().any(|piece| piece.mark == Mark::Variable && piece.text == name))
    }

    /// How many operations there are.
    pub(super) fn operations(&self) -> usize {
        self.groups.iter().map(|group| group.operations.len()).sum()
    }

    /// Whether something is told of a header below the operations.
    pub(super) fn tells_of(&self, header: &str) -> bool {
        self.headers.iter().any(|known| known.name == header)
    }
}

impl Answer {
    /// Whether it is no refusal.
    pub(super) fn is_good(&self) -> bool {
        self.status.as_str() < "400"
    }

    /// The first digit of the status.
    pub(super) fn class(&self) -> &str {
        self.status.get(..1).unwrap_or_default()
    }

    /// The words of its examples, each once.
    pub(super) fn words(&self) -> Vec<&str> {
        let mut words: Vec<&str> = Vec::new();
        for example in self.contents.iter().flat_map(|content| &content.examples) {
            let word = example.word();
            if word != "example" && !words.contains(&word) {
                words.push(word);
            }
        }
        words
    }
}

impl Operation {
    /// The answers that are no refusals and have examples.
    pub(super) fn shown(&self) -> impl Iterator<Item = &Answer> {
        let has = |answer: &&Answer| answer.contents.iter().any(|content| !content.examples.is_empty());
        self.answers.iter().filter(|answer| answer.is_good()).filter(has)
    }
}

impl Example {
    /// Its name without the number that tells it from others of the name.
    pub(super) fn word(&self) -> &str {
        match self.name.rsplit_once('-') {
            Some((word, number)) if number.bytes().all(|b| b.is_ascii_digit()) => word,
            _ => &self.name,
        }
    }
}

fn groups(schemas: Schemas<'_>) -> Vec<Group> {
    let document = schemas.0;
    let mut below: BTreeMap<String, Vec<Operation>> = BTreeMap::new();
    for (path, item) in members(&document["paths"]) {
        for (method, operation) in members(item).filter(|(method, _)| METHODS.contains(&method.as_str())) {
            let tag = operation["tags"][0].as_str().unwrap_or_default().to_owned();
            below.entry(tag).or_default().push(self::operation(schemas, method, path, item, operation));
        }
    }
    let tags: Vec<&Value> = document["tags"].as_array().into_iter().flatten().collect();
    let mut names: Vec<String> = tags.iter().map(|tag| string(tag, "name")).collect();
    names.extend(below.keys().filter(|name| !names.contains(name)).cloned().collect::<Vec<_>>());
    let group = |name: String| {
        let told = tags.iter().find(|tag| tag["name"] == name.as_str());
        Some(Group {
            id: format!("group-{}", name.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-")),
            operations: below.remove(&name)?,
            description: told.map(|tag| sentence(tag)).unwrap_or_default(),
            name: if name.is_empty() { "Others".into() } else { name },
        })
    };
    names.into_iter().filter_map(group).collect()
}

fn operation(schemas: Schemas<'_>, method: &str, path: &str, item: &Value, operation: &Value) -> Operation {
    let shared = [item, operation].into_iter().filter_map(|told| told["parameters"].as_array()).flatten();
    let parameters: Vec<&Value> = shared.map(|parameter| schemas.resolved(parameter)).collect();
    let base = schemas.0["servers"][0]["url"].as_str().unwrap_or("/");
    let method = method.to_uppercase();
    let curl = Asked { schemas, base, method: &method, path, operation, parameters: &parameters }.line();
    let wanted = operation.get("security").unwrap_or(&schemas.0["security"]).as_array();
    let wanted: Vec<Vec<Caller>> = wanted.into_iter().flatten().map(callers).collect();
    let body = operation.get("requestBody").map(|body| schemas.resolved(body));
    let id = string(operation, "operationId");
    Operation {
        id: if id.is_empty() { format!("{method}-{path}").replace(['/', '{', '}'], "-") } else { id },
        path: path.to_owned(),
        summary: string(operation, "summary"),
        description: sentence(operation),
        open: wanted.is_empty() || wanted.iter().any(Vec::is_empty),
        callers: wanted.into_iter().flatten().collect(),
        parameters: parameters.iter().map(|parameter| self::parameter(schemas, parameter)).collect(),
        body: body.map(|body| Body {
            required: body["required"] == true,
            contents: contents(schemas, &body["content"]),
        }),
        answers: members(&operation["responses"])
            .map(|(status, answer)| self::answer(schemas, status, schemas.resolved(answer)))
            .collect(),
        curl: Text::command(&curl),
        method,
    }
}

/// Who keeps one of the ways of an operation's security.
fn callers(way: &Value) -> Vec<Caller> {
    let roles = |roles: &Value| -> Vec<String> {
        roles.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    members(way).map(|(name, of)| Caller { name: name.clone(), roles: roles(of) }).collect()
}

fn parameter(schemas: Schemas<'_>, parameter: &Value) -> Parameter {
    Parameter {
        place: string(parameter, "in"),
        name: string(parameter, "name"),
        required: parameter["required"] == true,
        words: schemas.words(&parameter["schema"], &BTreeSet::new()),
        description: sentence(parameter),
    }
}

fn answer(schemas: Schemas<'_>, status: &str, answer: &Value) -> Answer {
    let code = status.parse().ok().and_then(|code: u16| StatusCode::from_u16(code).ok());
    Answer {
        status: status.to_owned(),
        reason: code.and_then(|code| code.canonical_reason()).unwrap_or_default(),
        description: sentence(answer),
        headers: members(&answer["headers"]).map(|(name, _)| name.clone()).collect(),
        contents: contents(schemas, &answer["content"]),
    }
}

fn contents(schemas: Schemas<'_>, content: &Value) -> Vec<Content> {
    let mut same: Vec<(Vec<String>, &Value)> = Vec::new();
    for (media, told) in members(content) {
        match same.iter_mut().find(|(_, known)| *known == told) {
            Some((all, _)) => all.push(media.clone()),
            None => same.push((vec![media.clone()], told)),
        }
    }
    let content = |(media, told): (Vec<String>, &Value)| {
        let examples = members(&told["examples"]).map(|(name, example)| (name.clone(), &example["value"]));
        let single = told.get("example").map(|example| ("example".to_owned(), example));
        let kind = told["schema"].as_object().filter(|schema| !schema.is_empty());
        Content {
            media,
            kind: kind.map(|_| schemas.words(&told["schema"], &BTreeSet::new()).plain()),
            fields: schemas.fields(&told["schema"]),
            examples: examples
                .chain(single)
                .map(|(name, value)| Example { name, json: Text::json(value) })
                .collect(),
        }
    };
    same.into_iter().map(content).collect()
}

/// The types that fields name, and those that their fields name.
fn types(schemas: Schemas<'_>, groups: &[Group]) -> Vec<Type> {
    let operations = groups.iter().flat_map(|group| &group.operations);
    let contents = operations.flat_map(|operation| {
        let sent = operation.body.iter().flat_map(|body| &body.contents);
        sent.chain(operation.answers.iter().flat_map(|answer| &answer.contents))
    });
    let mut open: Vec<String> = contents.flat_map(|content| named(&content.fields)).collect();
    let mut told: BTreeMap<String, Type> = BTreeMap::new();
    while let Some(name) = open.pop() {
        if told.contains_key(&name) {
            continue;
        }
        let Some((description, fields)) = schemas.component(&name) else { continue };
        open.extend(named(&fields));
        told.insert(name.clone(), Type { name, description, fields });
    }
    told.into_values().collect()
}

/// The types that fields name.
fn named(fields: &[Field]) -> impl Iterator<Item = String> {
    let pieces = fields.iter().flat_map(|field| &field.words.0);
    pieces.filter(|piece| piece.mark == Mark::Type).map(|piece| piece.text.clone())
}

fn scheme(name: &str, scheme: &Value) -> Named {
    let words = match (scheme["scheme"].as_str(), scheme["name"].as_str()) {
        (Some("bearer"), _) => Text::sentence("Bearer token"),
        (Some("basic"), _) => Text::sentence("HTTP Basic"),
        (_, Some(header)) => Text::sentence(&format!("`{header}`")),
        _ => Text::sentence(&string(scheme, "type")),
    };
    Named { name: name.to_owned(), words, description: sentence(scheme) }
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn string(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_default().to_owned()
}

fn sentence(value: &Value) -> Text {
    Text::sentence(value["description"].as_str().unwrap_or_default())
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
