//! `bowline openapi`

use crate::openapi::ApiDocument;
use crate::router::generate_document;

/// Prints the OpenAPI 3.1 document of a face: what `/openapi/FACE.json` serves.
#[derive(clap::Args, Debug)]
pub(super) struct OpenapiArgs {
    /// Which.
    #[arg(value_enum, value_name = "FACE")]
    face: ApiDocument,
}

pub(super) fn run(args: &OpenapiArgs) {
    println!("{:#}", generate_document(args.face));
}
