//! How an operation is described.

use http::Method;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

/// Gives the schema of a type of the wire.
pub(super) type SchemaFn = fn(&mut SchemaGenerator) -> Schema;

/// The shape of a type.
pub(super) const fn schema_fn<T: JsonSchema>() -> SchemaFn {
    |generator| generator.subschema_for::<T>()
}

/// Returns the schema of the type that a request body is read into, without references to other components.
pub(super) fn request_schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().for_deserialize().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let settings = settings.with_transform(RemoveRustNames);
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// Removes what describes the Rust types and not the JSON: their names, and the widths of their integers.
#[derive(Clone)]
struct RemoveRustNames;

impl Transform for RemoveRustNames {
    fn transform(&mut self, schema: &mut Schema) {
        schema.remove("title");
        let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
        if format.starts_with("int") || format.starts_with("uint") {
            schema.remove("format");
        }
        transform_subschemas(self, schema);
    }
}

/// One method of one path, as a stranger needs to know it.
pub(super) struct OperationSpec {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) id: &'static str,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    pub(super) description: &'static str,
    /// The security schemes of which one must be kept; none where everybody may ask.
    pub(super) security: &'static [&'static str],
    /// The least role, where there are roles.
    pub(super) role: Option<&'static str>,
    pub(super) parameters: Vec<ParameterSpec>,
    pub(super) body: Option<RequestBodySpec>,
    pub(super) responses: Vec<ResponseSpec>,
}

/// A parameter of the query or a header.
pub(super) struct ParameterSpec {
    pub(super) location: &'static str,
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) required: bool,
    pub(super) schema: Value,
}

/// What is sent.
pub(super) struct RequestBodySpec {
    pub(super) media: &'static [&'static str],
    pub(super) required: bool,
    /// The name of the schema among the components, and the schema.
    pub(super) schema: (&'static str, Value),
    pub(super) examples: Vec<(&'static str, Value)>,
}

/// What is answered with one status. Several of one status are told as one.
pub(super) struct ResponseSpec {
    pub(super) status: u16,
    pub(super) description: &'static str,
    pub(super) content: ContentSpec,
    pub(super) example: Option<Value>,
    pub(super) headers: &'static [&'static str],
}

/// The content of an answer.
pub(super) enum ContentSpec {
    /// No body.
    Empty,
    /// JSON of a type, of a media type.
    Json(&'static str, SchemaFn),
    /// A document, of one of these media types.
    Document(&'static [&'static str]),
}

impl OperationSpec {
    pub(super) fn new(method: Method, path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self {
            method,
            path,
            id,
            tag: "",
            summary,
            description: "",
            security: &[],
            role: None,
            parameters: Vec::new(),
            body: None,
            responses: Vec::new(),
        }
    }

    /// The heading that it stands below.
    pub(super) const fn with_tag(mut self, tag: &'static str) -> Self {
        self.tag = tag;
        self
    }

    /// The security schemes of which one must be kept.
    pub(super) const fn with_security(mut self, security: &'static [&'static str]) -> Self {
        self.security = security;
        self
    }

    /// `limit` and `offset` of a list.
    pub(super) fn with_page_parameters(self) -> Self {
        let limit = json!({"type": "integer", "minimum": 1});
        self.with_query("limit", "Maximum number of results. A larger value is treated as the maximum.", limit)
            .with_query(
                "offset",
                "`page.nextOffset` of the previous page. Opaque, valid only for this list and for a limited time.",
                json!({"type": "string"}),
            )
    }

    /// What is to be known beyond the summary.
    pub(super) const fn with_description(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// A parameter of the query, which may be absent.
    pub(super) fn with_query(self, name: &'static str, description: &'static str, schema: Value) -> Self {
        self.with_parameter(ParameterSpec { location: "query", name, description, required: false, schema })
    }

    /// A parameter of the query that must be given.
    pub(super) fn with_required_query(
        self,
        name: &'static str,
        description: &'static str,
        schema: Value,
    ) -> Self {
        self.with_parameter(ParameterSpec { location: "query", name, description, required: true, schema })
    }

    /// A parameter.
    pub(super) fn with_parameter(mut self, parameter: ParameterSpec) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// A JSON body.
    pub(super) fn with_json_body(mut self, name: &'static str, schema: Value, example: Value) -> Self {
        let media = &["application/json"];
        let examples = vec![("example", example)];
        self.body = Some(RequestBodySpec { media, required: true, schema: (name, schema), examples });
        self
    }

    /// A body of another kind.
    pub(super) fn with_body(mut self, body: RequestBodySpec) -> Self {
        self.body = Some(body);
        self
    }

    /// An answer of a type, as JSON.
    pub(super) fn with_json_response<T: JsonSchema>(
        self,
        status: u16,
        description: &'static str,
        example: Value,
    ) -> Self {
        let content = ContentSpec::Json("application/json", schema_fn::<T>());
        self.with_responses([ResponseSpec {
            status,
            description,
            content,
            example: Some(example),
            headers: &[],
        }])
    }

    /// An answer without a body.
    pub(super) fn with_empty_response(
        self,
        status: u16,
        description: &'static str,
        headers: &'static [&'static str],
    ) -> Self {
        self.with_responses([ResponseSpec {
            status,
            description,
            content: ContentSpec::Empty,
            example: None,
            headers,
        }])
    }

    /// Answers.
    pub(super) fn with_responses(mut self, answers: impl IntoIterator<Item = ResponseSpec>) -> Self {
        self.responses.extend(answers);
        self
    }
}

/// One of some words.
pub(super) fn string_enum<T: AsRef<str>>(words: impl IntoIterator<Item = T>) -> Value {
    let words: Vec<String> = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
    json!({"type": "string", "enum": words})
}
