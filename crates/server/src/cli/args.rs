//! Arguments that several commands share: ids, pages, filters and secrets.

use std::io::Read;

use domain::Secret;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::error::CliError;

/// Flags that select a page of a list.
#[derive(clap::Args, Debug)]
pub(super) struct PageArgs {
    /// Maximum number of results, limited by `page.max` of the hub's configuration [default: `page.size` of that
    /// configuration]
    #[arg(long)]
    pub(super) limit: Option<String>,
    /// Position to continue at: the value of `next` from the previous page of the same list with the same filters
    #[arg(long, value_name = "NEXT")]
    pub(super) after: Option<String>,
}

/// The argument with the id of a provider.
#[derive(clap::Args, Debug)]
pub(super) struct ProviderIdArgs {
    /// Id of the provider, as `provider list` prints it
    #[arg(value_name = "PROVIDER_ID", value_parser = clap::value_parser!(i64).range(1..))]
    pub(super) id: i64,
}

/// Parses an id. Rejects a text that cannot be a segment of a URL path.
pub(super) fn parse_id(text: &str) -> Result<String, &'static str> {
    // URLs are normalized before they are sent, and these segments would select another path (RFC 3986 §5.2.4).
    if matches!(text, "" | "." | "..") { Err("expected an id") } else { Ok(text.to_owned()) }
}

/// The characters that are percent-encoded in a path segment: all except the unreserved ones (RFC 3986 §2.3).
const PATH_SEGMENT_ENCODE_SET: AsciiSet =
    NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Builds a URL path from its segments. A `/` inside a segment is encoded, so that an id cannot select another path.
pub(super) fn build_path(segments: &[&str]) -> String {
    let encoded = segments
        .iter()
        .flat_map(|segment| ["/"].into_iter().chain(utf8_percent_encode(segment, &PATH_SEGMENT_ENCODE_SET)));
    encoded.collect()
}

/// Appends the filters that have a value to a path, as its query string.
pub(super) fn build_filtered_path(path: &str, filters: &[(&str, &Option<String>)]) -> String {
    let pairs = filters.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?)));
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// Builds a JSON object and omits the fields whose value is null.
pub(super) fn build_object(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let present = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(present.map(|(name, value)| (name.to_owned(), value)).collect())
}

/// Reads a text from a file, or from standard input if the source is `-`.
pub(super) fn read_text_input(source: &str, flag: &str) -> Result<String, CliError> {
    let text = if source == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(source)
    };
    text.map_err(|error| CliError::Usage(format!("{flag}: {source}: {error}")))
}

/// Reads a secret from a file, or from standard input if the source is `-`.
///
/// Secrets are not passed as flags, because other users of the machine can see the command line.
pub(super) fn read_secret_input(source: &str, flag: &str) -> Result<Secret<String>, CliError> {
    let text = Secret::new(read_text_input(source, flag)?);
    // Editors and `echo` append a line break, which is not part of the secret.
    match text.expose().trim_end_matches(['\r', '\n']) {
        "" => Err(CliError::Usage(format!("{flag}: {source}: expected a secret, but it is empty"))),
        secret => Ok(Secret::from(secret)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn admin_path_segments_are_percent_encoded() {
        assert_eq!(build_path(&["recipients", "dc-1", "secret"]), "/recipients/dc-1/secret");
        assert_eq!(build_path(&["jobs", "a/../b?c#d"]), "/jobs/a%2F..%2Fb%3Fc%23d");
        assert!([parse_id(""), parse_id("."), parse_id("..")].iter().all(Result::is_err));
    }

    #[test]
    fn absent_filters_and_fields_are_omitted() {
        let filters = [("state", &Some("a&b".to_owned())), ("limit", &None)];
        let fields = [("name", json!("a")), ("country", json!(None::<&str>))];

        assert_eq!(build_filtered_path("/jobs", &filters), "/jobs?state=a%26b");
        assert_eq!(build_filtered_path("/jobs", &[("limit", &None)]), "/jobs");
        assert_eq!(build_object(fields), json!({"name": "a"}));
    }

    #[test]
    fn secret_input_is_trimmed_and_must_not_be_empty() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let source = file.display().to_string();

        std::fs::write(&file, "hunter 2\r\n").unwrap();
        let trimmed = read_secret_input(&source, "--file").unwrap();
        std::fs::write(&file, "\n").unwrap();
        let empty = read_secret_input(&source, "--file").unwrap_err();
        let missing = read_secret_input(&format!("{source}-missing"), "--file").unwrap_err();

        assert_eq!(trimmed.expose(), "hunter 2");
        assert!(empty.to_string().starts_with("--file: "), "{empty}");
        assert!(matches!(missing, CliError::Usage(_)) && missing.to_string().contains("No such file"));
    }
}
