//! `bowline openapi`

use super::terminal::print_line;
use crate::openapi::ApiDocument;
use crate::router::generate_document;

/// Arguments of `openapi`.
#[derive(clap::Args, Debug)]
pub(super) struct OpenapiArgs {
    /// API whose document is printed
    #[arg(value_enum, value_name = "API")]
    api: ApiDocument,
}

pub(super) fn run(args: &OpenapiArgs) {
    print_line(format_args!("{:#}", generate_document(args.api)));
}
