//! Builds an OpenAPI 3.1 document from the routes of an API.

use std::collections::BTreeMap;

use domain::model::operator::Role;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::http::Route;
use crate::operation::{ContentSpec, OperationSpec, ParameterSpec, RequestBodySpec, ResponseSpec};

/// The parts of a document that do not depend on its operations.
pub(super) struct DocumentInfo {
    pub(super) title: &'static str,
    pub(super) description: &'static str,
    /// The only server object of the document.
    pub(super) server: Value,
    /// The name and the description of each tag, which groups operations.
    pub(super) tags: &'static [(&'static str, &'static str)],
    /// An object that contains the security schemes by name.
    pub(super) security: Value,
    /// A function that returns the description and the schema of a path parameter by its name.
    pub(super) path_parameter: fn(&str) -> (&'static str, Value),
}

/// Builds an OpenAPI document from routes. Routes without documentation, such as pages, are left out.
pub(super) fn build_document<'a>(info: &DocumentInfo, routes: impl Iterator<Item = &'a Route>) -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|s| {
        s.definitions_path = "/components/schemas".into();
        s.meta_schema = None;
    });
    let mut generator = settings.with_transform(NormalizeSchema).into_generator();
    let mut schemas = Map::new();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in routes {
        let Some(operation) = route.operation() else { continue };
        let role = route.required_role.map(Role::as_str);
        let rendered = render_operation(info, operation, role, &mut generator, &mut schemas);
        let methods = paths.entry(route.path).or_default();
        methods.insert(route.method.as_str().to_lowercase(), rendered);
    }
    schemas.extend(generator.take_definitions(true));
    let tags: Vec<_> =
        info.tags.iter().map(|(name, text)| json!({"name": name, "description": text})).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": info.title, "version": env!("CARGO_PKG_VERSION"), "description": info.description,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [info.server],
        "tags": tags,
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": info.security, "headers": response_headers()},
    })
}

fn render_operation(
    info: &DocumentInfo,
    operation: &OperationSpec,
    role: Option<&'static str>,
    generator: &mut SchemaGenerator,
    schemas: &mut Map<String, Value>,
) -> Value {
    let mut rendered = json!({
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "security": operation.security.iter().map(|name| render_security(name, role)).collect::<Vec<_>>(),
        "responses": render_responses(&operation.responses, generator),
    });
    if !operation.description.is_empty() {
        rendered["description"] = operation.description.into();
    }
    let mut parameters: Vec<Value> = find_path_parameters(operation.path)
        .map(|name| render_path_parameter(name, info.path_parameter))
        .collect();
    parameters.extend(operation.parameters.iter().map(render_parameter));
    if !parameters.is_empty() {
        rendered["parameters"] = parameters.into();
    }
    if let Some(request_body) = &operation.body {
        rendered["requestBody"] = render_body(request_body);
        let (name, schema) = request_body.schema;
        schemas.insert(name.to_owned(), schema());
    }
    rendered
}

/// Renders a security requirement: the scheme `name` with the required role. An empty name means that no credentials
/// are required.
fn render_security(name: &str, role: Option<&'static str>) -> Value {
    if name.is_empty() { json!({}) } else { json!({name: role.as_slice()}) }
}

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

/// Renders the responses of an operation. Responses with the same status are merged into one with several examples.
fn render_responses(all: &[ResponseSpec], generator: &mut SchemaGenerator) -> Value {
    let mut by_status: BTreeMap<u16, Vec<&ResponseSpec>> = BTreeMap::new();
    for response in all {
        by_status.entry(response.status).or_default().push(response);
    }
    let responses: Map<String, Value> = by_status
        .into_iter()
        .map(|(status, same_status)| (status.to_string(), render_response(status, &same_status, generator)))
        .collect();
    responses.into()
}

fn render_response(status: u16, all: &[&ResponseSpec], generator: &mut SchemaGenerator) -> Value {
    let mut descriptions: Vec<&str> = Vec::new();
    let mut content: Map<String, Value> = Map::new();
    let mut headers: Map<String, Value> = Map::new();
    // The middleware adds these two headers to every response.
    for name in ["ob-correlation-id", "ob-trace-id"].iter().chain(all.iter().flat_map(|a| a.headers)) {
        headers.insert((*name).to_owned(), json!({"$ref": format!("#/components/headers/{name}")}));
    }
    for response in all {
        if !descriptions.contains(&response.description) {
            descriptions.push(response.description);
        }
        match &response.content {
            ContentSpec::Empty => {}
            ContentSpec::Document(media_types) => {
                for media in *media_types {
                    content.insert((*media).to_owned(), json!({"schema": {}}));
                }
            }
            ContentSpec::Json(media, schema) => {
                let schema = schema(generator).to_value();
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

/// Extends a schema with `anyOf`, so that it also accepts values of the schema `other`.
fn merge_schema(schema: &mut Value, other: Value) {
    if let Some(any) = schema.get_mut("anyOf").and_then(Value::as_array_mut) {
        if !any.contains(&other) {
            any.push(other);
        }
    } else if *schema != other {
        *schema = json!({"anyOf": [schema.take(), other]});
    }
}

/// Returns the name of an example: its error code, with a number from the second example of the status on.
fn name_example(status: u16, nth: usize, response: &ResponseSpec) -> String {
    let example = response.example.as_ref();
    let member = |name: &str| example.and_then(|e| e.get(name));
    let code = member("error").or_else(|| member("code").filter(|_| status >= 400));
    let name = match code {
        Some(Value::String(text)) => text.clone(),
        Some(number) => number.to_string(),
        None => "example".into(),
    };
    if nth == 0 { name } else { format!("{name}-{}", nth + 1) }
}

fn response_headers() -> Value {
    let text = |description: &str| json!({"description": description, "schema": {"type": "string"}});
    json!({
        "ob-correlation-id": {
            "description": "The correlation id: `correlation_id` of the query, otherwise \
             `x-fapi-interaction-id`, otherwise generated. Include it in support requests.",
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
        "link": text("The URL of the next page, with `rel=\"next\"` (RFC 8288). Absent on the last page."),
        "location": text("The URI to which the browser is redirected."),
        "bowline-omitted": {
            "description": "The number of elements of this page that the consent covers and that were left out, because \
             the hub could not read them or does not serve their type. Absent if there are none.",
            "schema": {"type": "string", "pattern": "^[0-9]+$"},
        },
        "allow": text("The allowed methods (RFC 9110 §10.2.1)."),
    })
}

/// A transformation that adjusts generated schemas to the hub's responses. Optional members do not accept null, because
/// the hub omits them. Formats of integers are removed, because they are names of Rust types.
#[derive(Clone)]
struct NormalizeSchema;

impl Transform for NormalizeSchema {
    fn transform(&mut self, schema: &mut Schema) {
        let format = schema.get("format").and_then(Value::as_str);
        if format.is_some_and(|format| format.starts_with("uint")) {
            schema.remove("format");
        }
        // The value of `#[serde(default)]` matters only where a type is read.
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

/// Removes `null` from the types, values and alternatives that a property accepts.
fn remove_null(property: &mut Value) {
    let Some(property) = property.as_object_mut() else { return };
    if let Some(Value::Array(types)) = property.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            property.insert("type".into(), one);
        }
    }
    if let Some(Value::Array(values)) = property.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    let Some(Value::Array(any)) = property.get_mut("anyOf") else { return };
    any.retain(|schema| schema.get("type").is_none_or(|kind| kind != "null"));
    if let [Value::Object(one)] = any.as_slice() {
        let one = one.clone();
        property.remove("anyOf");
        property.extend(one);
    }
}
