//! `bowline openapi`

use crate::openapi::ApiDocument;

/// Arguments of `openapi`.
#[derive(clap::Args, Debug)]
pub(super) struct OpenapiArgs {
    /// API whose document is printed
    #[arg(value_enum, value_name = "API")]
    api: ApiDocument,
}

pub(super) fn run(args: &OpenapiArgs) {
    println!("{}", args.api.to_json_text());
}
