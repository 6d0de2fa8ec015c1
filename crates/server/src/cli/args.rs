//! What commands are given: ids, pages, filters, secrets.

use std::io::Read;

use domain::Secret;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::error::CliError;

/// Which page of a list.
#[derive(clap::Args, Debug)]
pub(super) struct PageArgs {
    /// At most so many.
    #[arg(long)]
    pub(super) limit: Option<String>,
    /// Where the former list ended.
    #[arg(long, value_name = "NEXT")]
    pub(super) after: Option<String>,
}

/// A provider by its id.
#[derive(clap::Args, Debug)]
pub(super) struct ProviderIdArgs {
    /// The provider's id.
    #[arg(value_name = "PROVIDER_ID", value_parser = clap::value_parser!(i64).range(1..))]
    pub(super) id: i64,
}

/// A client of the hub by its id.
#[derive(clap::Args, Debug)]
pub(super) struct ClientIdArgs {
    /// The client's id.
    #[arg(value_name = "CLIENT_ID", value_parser = parse_id)]
    pub(super) id: String,
}

/// A text that can be one segment of a path.
pub(super) fn parse_id(text: &str) -> Result<String, &'static str> {
    if matches!(text, "" | "." | "..") { Err("expected an id") } else { Ok(text.to_owned()) }
}

/// What is encoded in a segment: all but the unreserved characters (RFC 3986 §2.3).
const PATH_SEGMENT_ENCODE_SET: AsciiSet =
    NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A path of segments; whatever stands in one, it stays one.
pub(super) fn build_path(segments: &[&str]) -> String {
    let encoded = segments
        .iter()
        .flat_map(|segment| ["/"].into_iter().chain(utf8_percent_encode(segment, &PATH_SEGMENT_ENCODE_SET)));
    encoded.collect()
}

/// A path with the query of what was given.
pub(super) fn build_filtered_path(path: &str, given: &[(&str, &Option<String>)]) -> String {
    let pairs = given.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?)));
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// An object of the fields that have a value.
pub(super) fn build_object(given: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let known = given.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(known.map(|(name, value)| (name.to_owned(), value)).collect())
}

/// A text from a file, or by `-` from standard input.
pub(super) fn read_text_input(source: &str, flag: &str) -> Result<String, CliError> {
    let read = if source == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(source)
    };
    read.map_err(|error| CliError::Usage(format!("{flag}: {source}: {error}")))
}

/// A secret from a file, or by `-` from standard input, without the line ends that trail. It never stands on the
/// command line, where other users of the machine would see it.
pub(super) fn read_secret_input(source: &str, flag: &str) -> Result<Secret<String>, CliError> {
    let text = Secret::new(read_text_input(source, flag)?);
    match text.expose().trim_end_matches(['\r', '\n']) {
        "" => Err(CliError::Usage(format!("{flag}: {source}: expected a secret, it is empty"))),
        secret => Ok(Secret::from(secret)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn admin_path_segments_are_percent_encoded() {
        assert_eq!(build_path(&["recipients", "dc-1", "secret"]), "/recipients/dc-1/secret");
        assert_eq!(build_path(&["jobs", "a/../b?c#d"]), "/jobs/a%2F..%2Fb%3Fc%23d");
        assert!([parse_id(""), parse_id("."), parse_id("..")].iter().all(Result::is_err));
    }

    #[test]
    fn absent_filters_and_fields_are_omitted() {
        let given = [("state", &Some("a&b".to_owned())), ("limit", &None)];
        assert_eq!(build_filtered_path("/jobs", &given), "/jobs?state=a%26b");
        assert_eq!(build_filtered_path("/jobs", &[("limit", &None)]), "/jobs");
        assert_eq!(
            build_object([("name", json!("a")), ("country", json!(None::<&str>))]),
            json!({"name": "a"})
        );
    }

    #[test]
    fn secret_input_is_trimmed_and_must_not_be_empty() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let source = file.display().to_string();
        std::fs::write(&file, "hunter 2\r\n").unwrap();
        assert_eq!(read_secret_input(&source, "--file").unwrap().expose(), "hunter 2");
        std::fs::write(&file, "\n").unwrap();
        assert!(read_secret_input(&source, "--file").unwrap_err().to_string().starts_with("--file: "));
        let missing = read_secret_input(&format!("{source}-nowhere"), "--file").unwrap_err();
        assert!(matches!(missing, CliError::Usage(_)) && missing.to_string().contains("No such file"));
    }
}
