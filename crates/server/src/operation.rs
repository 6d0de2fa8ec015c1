//! The documentation of API operations, from which the OpenAPI documents are built. Each route of an API contains its
//! own, see [`crate::http::Route`].

use http::Method;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

/// A function that generates the schema of a type. For a named type it returns a reference to a component.
pub(crate) type SchemaFn = fn(&mut SchemaGenerator) -> Schema;

/// Returns the function that generates the schema of a response type.
pub(crate) const fn schema_fn<T: JsonSchema>() -> SchemaFn {
    |generator| generator.subschema_for::<T>()
}

/// Returns the schema of a request body, without references to other components.
pub(crate) fn request_schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().for_deserialize().with(|settings| {
        // A type may have another schema when it is read than when it is written: the components of a document are the
        // schemas of responses, and must not be referred to from here.
        settings.inline_subschemas = true;
        // OpenAPI 3.1 defines the dialect of all schemas of a document.
        settings.meta_schema = None;
    });
    let settings = settings.with_transform(RemoveRustNames);
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// A transform that removes details of the Rust types from a schema: their names, and the widths of their integers.
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

/// The documentation of one method of one path.
pub(crate) struct OperationSpec {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) id: &'static str,
    pub(crate) tag: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) description: &'static str,
    /// The alternative security schemes. An empty list, or an empty name in the list, means that credentials are not
    /// required.
    pub(crate) security: &'static [&'static str],
    pub(crate) parameters: Vec<ParameterSpec>,
    pub(crate) body: Option<RequestBodySpec>,
    pub(crate) responses: Vec<ResponseSpec>,
}

/// A query parameter or a request header.
pub(crate) struct ParameterSpec {
    pub(crate) location: &'static str,
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) required: bool,
    pub(crate) schema: Value,
}

pub(crate) struct RequestBodySpec {
    pub(crate) media: &'static [&'static str],
    pub(crate) required: bool,
    /// The name of the schema in the components, and the function that generates it.
    // A function, because every start builds the table of routes, and only the documents need the schemas.
    pub(crate) schema: (&'static str, fn() -> Value),
    pub(crate) examples: Vec<(&'static str, Value)>,
}

/// A response with one status. Responses with the same status are merged in the document.
pub(crate) struct ResponseSpec {
    pub(crate) status: u16,
    pub(crate) description: &'static str,
    pub(crate) content: ContentSpec,
    pub(crate) example: Option<Value>,
    pub(crate) headers: &'static [&'static str],
}

pub(crate) enum ContentSpec {
    Empty,
    /// JSON with a media type and a schema.
    Json(&'static str, SchemaFn),
    /// A document in one of these media types.
    Document(&'static [&'static str]),
}

/// The tag of a group of operations. Its methods create the operations of the group.
pub(crate) struct OperationTag(pub(crate) &'static str);

impl OperationTag {
    pub(crate) const fn get(
        &self,
        path: &'static str,
        id: &'static str,
        summary: &'static str,
    ) -> OperationSpec {
        self.operation(Method::GET, path, id, summary)
    }

    pub(crate) const fn post(
        &self,
        path: &'static str,
        id: &'static str,
        summary: &'static str,
    ) -> OperationSpec {
        self.operation(Method::POST, path, id, summary)
    }

    pub(crate) const fn put(
        &self,
        path: &'static str,
        id: &'static str,
        summary: &'static str,
    ) -> OperationSpec {
        self.operation(Method::PUT, path, id, summary)
    }

    pub(crate) const fn delete(
        &self,
        path: &'static str,
        id: &'static str,
        summary: &'static str,
    ) -> OperationSpec {
        self.operation(Method::DELETE, path, id, summary)
    }

    const fn operation(
        &self,
        method: Method,
        path: &'static str,
        id: &'static str,
        summary: &'static str,
    ) -> OperationSpec {
        OperationSpec {
            method,
            path,
            id,
            tag: self.0,
            summary,
            description: "",
            security: &[],
            parameters: Vec::new(),
            body: None,
            responses: Vec::new(),
        }
    }
}

impl OperationSpec {
    /// Sets the security schemes, any one of which is sufficient.
    pub(crate) const fn with_security(mut self, security: &'static [&'static str]) -> Self {
        self.security = security;
        self
    }

    /// Adds the parameters `limit` and `offset` of FDX and Flinks lists.
    pub(crate) fn with_page_parameters(self) -> Self {
        let limit = json!({"type": "integer", "minimum": 1});
        self.with_query(
            "limit",
            "Maximum number of results. A larger value is treated as the maximum.",
            limit,
        )
        .with_query(
            "offset",
            "`page.nextOffset` of the previous page. Opaque, valid only for this list and for a \
                 limited time.",
            json!({"type": "string"}),
        )
    }

    pub(crate) const fn with_description(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// Documents a query parameter that may be absent.
    pub(crate) fn with_query(self, name: &'static str, description: &'static str, schema: Value) -> Self {
        self.with_parameter(ParameterSpec { location: "query", name, description, required: false, schema })
    }

    /// Documents a query parameter that must be present.
    pub(crate) fn with_required_query(
        self,
        name: &'static str,
        description: &'static str,
        schema: Value,
    ) -> Self {
        self.with_parameter(ParameterSpec { location: "query", name, description, required: true, schema })
    }

    pub(crate) fn with_parameter(mut self, parameter: ParameterSpec) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// Documents a JSON body that the request must have.
    pub(crate) fn with_json_body(
        mut self,
        name: &'static str,
        schema: fn() -> Value,
        example: Value,
    ) -> Self {
        let media = &["application/json"];
        let examples = vec![("example", example)];
        self.body = Some(RequestBodySpec { media, required: true, schema: (name, schema), examples });
        self
    }

    pub(crate) fn with_body(mut self, body: RequestBodySpec) -> Self {
        self.body = Some(body);
        self
    }

    /// Adds a JSON response with the schema of `T`.
    pub(crate) fn with_json_response<T: JsonSchema>(
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

    /// Adds a response without a body.
    pub(crate) fn with_empty_response(
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

    pub(crate) fn with_responses(mut self, responses: impl IntoIterator<Item = ResponseSpec>) -> Self {
        self.responses.extend(responses);
        self
    }
}

/// Returns the schema of a string with a fixed set of values.
pub(crate) fn string_enum<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> Value {
    let values: Vec<String> = values.into_iter().map(|value| value.as_ref().to_owned()).collect();
    json!({"type": "string", "enum": values})
}
