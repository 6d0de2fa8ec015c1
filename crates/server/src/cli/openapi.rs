//! `bowline openapi`

use clap::ValueEnum;

use crate::openapi::Document;

/// Prints the OpenAPI 3.1 document of a face: what `/openapi/FACE.json` serves.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Which.
    #[arg(value_enum)]
    face: Face,
}

/// The faces that have a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Face {
    /// Authorization, data recipients, registrations, providers, connections.
    Flinks,
    /// The customer's data.
    Fdx,
}

pub(super) fn run(args: &Args) {
    let document = match args.face {
        Face::Flinks => Document::Flinks,
        Face::Fdx => Document::Fdx,
    };
    println!("{}", document.text());
}
