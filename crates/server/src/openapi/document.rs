//! How descriptions of operations become an OpenAPI 3.1 document.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::operation::{ContentSpec, OperationSpec, ParameterSpec, RequestBodySpec, ResponseSpec};

/// What stands above the operations of a document.
pub(super) struct DocumentInfo {
    pub(super) title: &'static str,
    pub(super) description: &'static str,
    /// Where it is served: a server object.
    pub(super) server: Value,
    /// The headings, each with what belongs below it.
    pub(super) tags: &'static [(&'static str, &'static str)],
    /// The security schemes by name.
    pub(super) security: Value,
    /// What a parameter of a path is: description and schema.
    pub(super) path_parameter: fn(&str) -> (&'static str, Value),
}

/// The document of some operations.
pub(super) fn build_document(about: &DocumentInfo, operations: Vec<OperationSpec>) -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|s| {
        s.definitions_path = "/components/schemas".into();
        s.meta_schema = None;
    });
    let mut generator = settings.with_transform(NormalizeSchema).into_generator();
    let mut schemas = Map::new();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for operation in operations {
        let rendered = render_operation(about, &operation, &mut generator, &mut schemas);
        let methods = paths.entry(operation.path).or_default();
        methods.insert(operation.method.as_str().to_lowercase(), rendered);
    }
    schemas.extend(generator.take_definitions(true));
    let tags: Vec<_> =
        about.tags.iter().map(|(name, text)| json!({"name": name, "description": text})).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": about.title, "version": env!("CARGO_PKG_VERSION"), "description": about.description,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [about.server],
        "tags": tags,
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": about.security, "headers": response_headers()},
    })
}

fn render_operation(
    about: &DocumentInfo,
    operation: &OperationSpec,
    generator: &mut SchemaGenerator,
    schemas: &mut Map<String, Value>,
) -> Value {
    let mut rendered = json!({
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "security": operation.security.iter().map(|name| render_security(name, operation.role)).collect::<Vec<_>>(),
        "responses": render_responses(&operation.responses, generator),
    });
    if !operation.description.is_empty() {
        rendered["description"] = operation.description.into();
    }
    let mut parameters: Vec<Value> = find_path_parameters(operation.path)
        .map(|name| render_path_parameter(name, about.path_parameter))
        .collect();
    parameters.extend(operation.parameters.iter().map(render_parameter));
    if !parameters.is_empty() {
        rendered["parameters"] = parameters.into();
    }
    if let Some(request_body) = &operation.body {
        rendered["requestBody"] = render_body(request_body);
        schemas.insert(request_body.schema.0.to_owned(), request_body.schema.1.clone());
    }
    rendered
}

/// A security scheme that is kept, with the role that it needs; by no name, that none is.
fn render_security(name: &str, role: Option<&'static str>) -> Value {
    if name.is_empty() { json!({}) } else { json!({name: role.as_slice()}) }
}

/// The names of the parameters of a path.
fn find_path_parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
}

fn render_path_parameter(name: &str, describe: fn(&str) -> (&'static str, Value)) -> Value {
    let (description, schema) = describe(name);
    json!({"name": name, "in": "path", "required": true, "description": description, "schema": schema})
}

fn render_parameter(parameter: &ParameterSpec) -> Value {
    json!({
        "name": parameter.name, "in": parameter.location, "required": parameter.required,
        "description": parameter.description, "schema": parameter.schema,
    })
}

fn render_body(body: &RequestBodySpec) -> Value {
    let examples: Map<String, Value> =
        body.examples.iter().map(|(name, value)| ((*name).to_owned(), json!({"value": value}))).collect();
    let reference = json!({"$ref": format!("#/components/schemas/{}", body.schema.0)});
    let content: Map<String, Value> = body
        .media
        .iter()
        .map(|media| ((*media).to_owned(), json!({"schema": reference, "examples": examples})))
        .collect();
    json!({"required": body.required, "content": content})
}

/// What each status comes with. What is told of one status several times becomes a list of examples.
fn render_responses(all: &[ResponseSpec], generator: &mut SchemaGenerator) -> Value {
    let mut by_status: BTreeMap<u16, Vec<&ResponseSpec>> = BTreeMap::new();
    for response in all {
        by_status.entry(response.status).or_default().push(response);
    }
    let responses: Map<String, Value> = by_status
        .into_iter()
        .map(|(status, answers)| (status.to_string(), render_response(status, &answers, generator)))
        .collect();
    responses.into()
}

fn render_response(status: u16, all: &[&ResponseSpec], generator: &mut SchemaGenerator) -> Value {
    let mut descriptions: Vec<&str> = Vec::new();
    let mut content: Map<String, Value> = Map::new();
    let mut headers: Map<String, Value> = Map::new();
    for name in ["ob-correlation-id", "ob-trace-id"].iter().chain(all.iter().flat_map(|a| a.headers)) {
        headers.insert((*name).to_owned(), json!({"$ref": format!("#/components/headers/{name}")}));
    }
    for response in all {
        if !descriptions.contains(&response.description) {
            descriptions.push(response.description);
        }
        match &response.content {
            ContentSpec::Empty => {}
            ContentSpec::Document(kinds) => {
                for kind in *kinds {
                    content.insert((*kind).to_owned(), json!({"schema": {}}));
                }
            }
            ContentSpec::Json(media, shape) => {
                let schema = shape(generator).to_value();
                let media_object =
                    content.entry(*media).or_insert_with(|| json!({"schema": schema, "examples": {}}));
                merge_schema(&mut media_object["schema"], schema);
                if let Some(example) = &response.example {
                    let nth = media_object["examples"].as_object().map_or(0, Map::len);
                    media_object["examples"][name_example(status, nth, response)] = json!({"value": example});
                }
            }
        }
    }
    let mut response = json!({"description": descriptions.join(". "), "headers": headers});
    if !content.is_empty() {
        response["content"] = content.into();
    }
    response
}

/// Lets a schema be another one as well.
fn merge_schema(schema: &mut Value, other: Value) {
    if let Some(any) = schema.get_mut("anyOf").and_then(Value::as_array_mut) {
        if !any.contains(&other) {
            any.push(other);
        }
    } else if *schema != other {
        *schema = json!({"anyOf": [schema.take(), other]});
    }
}

/// The word or number of the error; whatever is not the first of its status is numbered.
fn name_example(status: u16, nth: usize, response: &ResponseSpec) -> String {
    let example = response.example.as_ref();
    let member = |name: &str| example.and_then(|e| e.get(name));
    let code = member("error").or_else(|| member("code").filter(|_| status >= 400));
    let word = match code {
        Some(Value::String(word)) => word.clone(),
        Some(number) => number.to_string(),
        None => "example".into(),
    };
    if nth == 0 { word } else { format!("{word}-{}", nth + 1) }
}

fn response_headers() -> Value {
    let text = |description: &str| json!({"description": description, "schema": {"type": "string"}});
    json!({
        "ob-correlation-id": {
            "description": "The correlation id: `correlation_id` of the query, otherwise `x-fapi-interaction-id`, otherwise generated. Include it in support requests.",
            "required": true, "schema": {"type": "string", "minLength": 1, "maxLength": 64},
        },
        "ob-trace-id": {
            "description": "The trace id of the request (W3C Trace Context).",
            "required": true, "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        },
        "retry-after": {
            "description": "Seconds to wait before the next request (RFC 9110 §10.2.3).",
            "required": true, "schema": {"type": "string", "pattern": "^[0-9]+$"},
        },
        "www-authenticate": text("The authentication challenge (RFC 6750 §3)."),
        "location": text("The URI to which the browser is redirected."),
        "allow": text("The allowed methods (RFC 9110 §10.2.1)."),
    })
}

/// Writes schemas as they are meant: what may be absent is never null, and formats are those that others know.
#[derive(Clone)]
struct NormalizeSchema;

impl Transform for NormalizeSchema {
    fn transform(&mut self, schema: &mut Schema) {
        let format = schema.get("format").and_then(Value::as_str);
        if format.is_some_and(|format| format.starts_with("uint")) {
            schema.remove("format");
        }
        schema.remove("default");
        let required: Vec<String> = schema
            .get("required")
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            .unwrap_or_default();
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            for (name, property) in properties.iter_mut() {
                if !required.contains(name) {
                    remove_null(property);
                }
            }
        }
        transform_subschemas(self, schema);
    }
}

/// Takes null away from what a property may be.
fn remove_null(property: &mut Value) {
    let Some(property) = property.as_object_mut() else { return };
    if let Some(Value::Array(types)) = property.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            property.insert("type".into(), one);
        }
    }
    if let Some(Value::Array(words)) = property.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    let Some(Value::Array(any)) = property.get_mut("anyOf") else { return };
    any.retain(|schema| schema.get("type").is_none_or(|kind| kind != "null"));
    if let [Value::Object(one)] = any.as_slice() {
        let one = one.clone();
        property.remove("anyOf");
        property.extend(one);
    }
}
