//! The command `bowline openapi`, which prints the OpenAPI document of an API.

use super::terminal::print_line;
use crate::openapi::ApiDocument;
use crate::router::generate_document;

/// The arguments of `openapi`.
#[derive(clap::Args, Debug)]
pub(super) struct OpenapiArgs {
    /// API whose OpenAPI document is printed, as JSON
    #[arg(value_enum, value_name = "API")]
    api: ApiDocument,
}

pub(super) fn run(args: &OpenapiArgs) {
    print_line(format_args!("{:#}", generate_document(args.api)));
}
