//! `bowline openapi`

use crate::openapi::ApiDocument;

/// Prints the OpenAPI 3.1 document of a face: what `/openapi/FACE.json` serves.
#[derive(clap::Args, Debug)]
pub(super) struct OpenapiArgs {
    /// Which.
    #[arg(value_enum, value_name = "FACE")]
    face: ApiDocument,
}

pub(super) fn run(args: &OpenapiArgs) {
    println!("{}", args.face.to_json_text());
}
