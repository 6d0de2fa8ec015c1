//! The command `bowline provider replay`, which shows how a saved response of a provider is read.

use std::io::Read;

use fdx::{ReplayCall, Version};
use serde_json::{Value, json};

use super::error::CliError;
use super::output::Output;

/// The arguments of `provider replay`.
#[derive(clap::Args, Debug)]
pub(super) struct ReplayArgs {
    /// File with the body of a response, or `-` for standard input
    file: String,
    /// Call that returned the response: accounts, account, transactions, payment-networks, statements, contact or customer
    #[arg(long, value_name = "CALL", value_parser = parse_call)]
    call: ReplayCall,
    /// FDX version of the provider: 5 or 6
    #[arg(long, value_name = "VERSION", default_value = "5", value_parser = parse_version)]
    fdx_version: Version,
}

fn parse_call(text: &str) -> Result<ReplayCall, String> {
    text.parse().map_err(|()| format!("expected one of {}", ReplayCall::ALL.map(|(name, _)| name).join(", ")))
}

fn parse_version(text: &str) -> Result<Version, &'static str> {
    match text {
        "5" => Ok(Version::V5),
        "6" => Ok(Version::V6),
        _ => Err("expected 5 or 6"),
    }
}

/// Reads the file as the hub reads a response, and prints what a recipient would get and what is left out. Ids are shown
/// as the provider sent them, and no consent is applied.
pub(super) fn run(output: &Output, args: &ReplayArgs) -> Result<(), CliError> {
    let body = read_input(&args.file)?;
    let replay = fdx::replay(args.call, args.fdx_version, &body).map_err(|error| {
        CliError::Failed(format!("the response cannot be read ({}): {error}", error.reason()))
    })?;
    let dropped = replay.report.fields().iter();
    let dropped: Vec<Value> = dropped
        .map(|field| json!({"path": field.path, "reason": field.reason.as_str(), "count": field.count}))
        .collect();
    output.print_object(&json!({
        "served": replay.served,
        "omitted": replay.omitted,
        "total": replay.total,
        "next": replay.next.map(|next| format!("{}={}", next.parameter.name(), next.value)),
        "dropped_total": replay.report.dropped(),
        "dropped": dropped,
    }));
    Ok(())
}

fn read_input(source: &str) -> Result<Vec<u8>, CliError> {
    let body = if source == "-" {
        let mut body = Vec::new();
        std::io::stdin().read_to_end(&mut body).map(|_| body)
    } else {
        std::fs::read(source)
    };
    body.map_err(|error| CliError::Usage(format!("FILE: {source}: {error}")))
}
