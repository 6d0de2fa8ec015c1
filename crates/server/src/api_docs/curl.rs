//! Renders an operation as a `curl` command. Values that the reader must supply are shell variables.

use std::fmt::Write;

use serde_json::Value;

use super::schema::Schemas;

/// A placeholder for the dollar sign of a shell variable. The escaping for the shell does not change the placeholder;
/// it is replaced with `$` afterwards.
const VARIABLE: char = '\u{E000}';

/// The parts of an OpenAPI document from which a command is rendered.
pub(super) struct CurlCommand<'a> {
    pub(super) schemas: Schemas<'a>,
    pub(super) base: &'a str,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) operation: &'a Value,
    pub(super) parameters: &'a [&'a Value],
}

impl CurlCommand<'_> {
    /// Renders the command, with one option per line.
    pub(super) fn render(&self) -> String {
        let mut parts = vec![self.render_first_line()];
        let scheme = self.security_scheme();
        let basic = scheme.is_some_and(|scheme| scheme["scheme"] == "basic");
        if basic {
            parts.push("-u \"$CLIENT_ID:$CLIENT_SECRET\"".into());
        } else if let Some(scheme) = scheme {
            parts.push(match scheme["name"].as_str() {
                Some(name) => format!("-H \"{name}: $TOKEN\""),
                None => "-H \"Authorization: Bearer $TOKEN\"".into(),
            });
        }
        for parameter in self.required_parameters("header") {
            parts.push(format!(
                "-H \"{}: {}\"",
                string_member(parameter, "name"),
                self.parameter_value(parameter)
            ));
        }
        let body = self.schemas.resolve(&self.operation["requestBody"]);
        if let Some(content) = body["content"].as_object() {
            parts.extend(body_options(content, basic));
        }
        parts.join(" \\\n  ")
    }

    /// Renders the first line of the command: `curl` with the method, the URL and the query parameters.
    fn render_first_line(&self) -> String {
        let mut line = String::from("curl");
        if self.success_response().is_some_and(|response| response.get("content").is_none()) {
            // The response has no body, so `curl` would print nothing without `-i`.
            line.push_str(" -i");
        }
        if self.method != "GET" {
            let _ = write!(line, " -X {}", self.method);
        }
        let kind =
            self.success_response().and_then(|response| response["content"].as_object()?.keys().next());
        if kind.is_some_and(|kind| !kind.contains("json") && !kind.starts_with("text/")) {
            // Binary data would garble the terminal.
            line.push_str(" -o document");
        }
        let path: Vec<String> = self.path.split('/').map(render_segment).collect();
        let mut query = self.required_parameters("query").peekable();
        if query.peek().is_some() {
            line.push_str(" -G");
        }
        let _ = write!(line, " \"{}{}\"", self.base_url(), path.join("/"));
        for parameter in query {
            let _ = write!(
                line,
                " \\\n  --data-urlencode \"{}={}\"",
                string_member(parameter, "name"),
                self.parameter_value(parameter)
            );
        }
        line
    }

    /// Returns the base URL of the server. A server variable becomes a shell variable; a relative URL becomes `$HUB`.
    fn base_url(&self) -> String {
        match self.base {
            base if base.starts_with('{') => render_segment(base),
            base if base.contains("://") => base.trim_end_matches('/').to_owned(),
            _ => "$HUB".to_owned(),
        }
    }

    /// Returns the operation's first response whose status is not an error.
    fn success_response(&self) -> Option<&Value> {
        let responses = self.operation["responses"].as_object()?;
        let (_, response) = responses.iter().find(|(status, _)| status.as_str() < "400")?;
        Some(self.schemas.resolve(response))
    }

    /// Returns the first security scheme that the operation accepts.
    fn security_scheme(&self) -> Option<&Value> {
        let requirements = self.operation.get("security").unwrap_or(&self.schemas.0["security"]);
        let (name, _) = requirements.as_array()?.iter().find_map(|one| one.as_object()?.iter().next())?;
        Some(&self.schemas.0["components"]["securitySchemes"][name])
    }

    fn required_parameters(&self, place: &str) -> impl Iterator<Item = &Value> {
        self.parameters.iter().copied().filter(move |p| p["in"] == place && p["required"] == true)
    }

    /// Returns a valid value of a parameter (its constant, first allowed value or example), or else a shell variable.
    fn parameter_value(&self, parameter: &Value) -> String {
        let schema = self.schemas.resolve(&parameter["schema"]);
        let known =
            schema.get("const").or_else(|| schema["enum"].get(0)).or_else(|| parameter.get("example"));
        match known.and_then(Value::as_str) {
            Some(known) => escape_quoted(known),
            None => format!("${}", shell_variable(string_member(parameter, "name"))),
        }
    }
}

fn string_member<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

/// Renders a path segment. A path parameter becomes a shell variable.
fn render_segment(segment: &str) -> String {
    let name = segment.strip_prefix('{').and_then(|inner| inner.strip_suffix('}'));
    name.map_or_else(|| segment.to_owned(), |name| format!("${}", shell_variable(name)))
}

/// Converts a parameter name to the name of a shell variable, such as `ACCOUNT_ID`.
pub(super) fn shell_variable(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

/// Returns the options that send a body, as JSON if the operation accepts it, otherwise as a form.
fn body_options(content: &serde_json::Map<String, Value>, basic: bool) -> Vec<String> {
    let json = content.iter().find(|(media, _)| media.contains("json"));
    let Some((media, media_object)) = json.or_else(|| content.iter().next()) else { return Vec::new() };
    let first = media_object["examples"].as_object().and_then(|examples| examples.values().next());
    let example = first.map(|example| &example["value"]).or_else(|| media_object.get("example"));
    let mut example = example.cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    if let Some(members) = example.as_object_mut().filter(|_| basic) {
        // RFC 6749 §2.3 forbids more than one authentication method per request, and the command already has `-u`.
        members.retain(|name, _| name != "client_id" && name != "client_secret");
    }
    fill_placeholders(&mut example, "value");
    if json.is_none() {
        let members = example.as_object().into_iter().flatten();
        let field = |(name, value): (&String, &Value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            format!("--data-urlencode \"{name}={}\"", escape_quoted(&value))
        };
        return members.map(field).collect();
    }
    // In a here-document the shell expands variables, and quotes of JSON need no escaping.
    let here = format!("-d @- <<END\n{}\nEND", escape_heredoc(&format!("{example:#}")));
    vec![format!("-H \"Content-Type: {media}\""), here]
}

/// Replaces each text with an ellipsis in an example by a shell variable with the name of its member.
fn fill_placeholders(value: &mut Value, name: &str) {
    match value {
        Value::Object(members) => members.iter_mut().for_each(|(name, value)| fill_placeholders(value, name)),
        Value::Array(items) => items.iter_mut().for_each(|item| fill_placeholders(item, name)),
        Value::String(text) if text.contains('…') => *text = format!("{VARIABLE}{}", shell_variable(name)),
        _ => {}
    }
}

/// Escapes a text that is enclosed in double quotes in the shell.
fn escape_quoted(text: &str) -> String {
    escape_heredoc(text).replace('"', "\\\"")
}

/// Escapes a text for a here-document in which the shell expands variables. Placeholders become `$`.
fn escape_heredoc(text: &str) -> String {
    let text = ['\\', '$', '`'].iter().fold(text.to_owned(), |text, c| text.replace(*c, &format!("\\{c}")));
    text.replace(VARIABLE, "$")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render_curl(method: &str, path: &str, operation: &Value, base: &str) -> String {
        let document = json!({"components": {"securitySchemes": {
            "own": {"type": "http", "scheme": "bearer"}, "basic": {"type": "http", "scheme": "basic"},
            "key": {"type": "apiKey", "in": "header", "name": "X-Key"},
        }}});
        let parameters: Vec<&Value> = operation["parameters"].as_array().into_iter().flatten().collect();
        let schemas = Schemas(&document);
        CurlCommand { schemas, base, method, path, operation, parameters: &parameters }.render()
    }

    #[test]
    fn curl_read_uses_variables_for_required_parameters() {
        let operation = json!({
            "security": [{"own": []}],
            "parameters": [
                {"in": "query", "name": "response_type", "required": true, "schema": {"enum": ["a b"]}},
                {"in": "query", "name": "state", "required": true, "schema": {}},
                {"in": "query", "name": "limit", "required": false, "schema": {}},
                {"in": "header", "name": "X-Way", "required": true, "schema": {"const": "in"}},
            ],
            "responses": {"200": {"content": {"application/json": {}}}},
        });
        assert_eq!(
            render_curl("GET", "/a/{b_id}", &operation, "/"),
            "curl -G \"$HUB/a/$B_ID\" \\\n  --data-urlencode \"response_type=a b\" \\\n  --data-urlencode \"state=$STATE\" \\\n  -H \"Authorization: Bearer $TOKEN\" \\\n  -H \"X-Way: in\""
        );
    }

    #[test]
    fn curl_shows_headers_of_empty_response_and_saves_document() {
        let nothing = json!({"responses": {"204": {}, "400": {"content": {}}}, "security": [{"key": []}]});
        assert_eq!(
            render_curl("DELETE", "/a", &nothing, "https://hub.example.org/"),
            "curl -i -X DELETE \"https://hub.example.org/a\" \\\n  -H \"X-Key: $TOKEN\""
        );
        let document = json!({"responses": {"200": {"content": {"application/pdf": {}}}}});
        assert_eq!(render_curl("GET", "/a", &document, "/"), "curl -o document \"$HUB/a\"");
        assert_eq!(render_curl("GET", "/a", &document, "{admin}"), "curl -o document \"$ADMIN/a\"");
    }

    #[test]
    fn curl_sends_basic_credentials_once_and_escapes_body() {
        let body = json!({"client_id": "dc-…", "client_secret": "…", "code": "…", "price": "5$ `x` \\", "many": ["…"]});
        let media = json!({"examples": {"one": {"value": body}}});
        let operation = json!({
            "security": [{"basic": []}, {}],
            "requestBody": {"content": {"application/json": media, "application/x-www-form-urlencoded": media}},
            "responses": {"200": {"content": {"application/json": {}}}},
        });
        let command = render_curl("POST", "/t", &operation, "/");
        let head = "curl -X POST \"$HUB/t\" \\\n  -u \"$CLIENT_ID:$CLIENT_SECRET\" \\\n  -H \"Content-Type: application/json\" \\\n  -d @- <<END\n";
        let body = command.strip_prefix(head).unwrap().strip_suffix("\nEND").unwrap();
        assert_eq!(
            body,
            "{\n  \"code\": \"$CODE\",\n  \"many\": [\n    \"$MANY\"\n  ],\n  \"price\": \"5\\$ \\`x\\` \\\\\\\\\"\n}"
        );
        assert!(!command.contains("client_secret"), "{command}");
        let form = json!({"requestBody": {"content": {"application/x-www-form-urlencoded": media}}});
        let command = render_curl("POST", "/t", &form, "/");
        assert!(command.contains("--data-urlencode \"client_secret=$CLIENT_SECRET\""), "{command}");
    }
}
