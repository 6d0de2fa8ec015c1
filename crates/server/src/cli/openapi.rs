//! `bowline openapi`

use crate::openapi::Document;

/// Prints the OpenAPI 3.1 document of a face: what `/openapi/FACE.json` serves.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Which.
    #[arg(value_enum, value_name = "FACE")]
    face: Document,
}

pub(super) fn run(args: &Args) {
    println!("{}", args.face.text());
}
