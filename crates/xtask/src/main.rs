//! The project's own checks and generators: `cargo xtask test`, `tidy`, `fuzz`, `openapi`, `dist`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for developers, who read its output")]

mod dist;
mod fuzz;
mod mutants;
mod openapi;
mod steps;
mod stopwatch;
mod test_environment;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Checks and generators of the project.
#[derive(Parser)]
#[command(name = "xtask")]
struct XtaskCli {
    #[command(subcommand)]
    command: XtaskCommand,
}

#[derive(Subcommand)]
enum XtaskCommand {
    /// Check format, tidy, clippy, tests, seeded bugs and documentation; install and start what the tests need.
    Test {
        /// Also run 200 crashes, 10,000 races, every seeded bug, and the release builds.
        #[arg(long)]
        full: bool,
    },
    /// Check only that tests catch the seeded bugs.
    Mutants {
        /// Check every seeded bug, not only those of every run.
        #[arg(long)]
        full: bool,
        /// Check instead that the unit tests of `domain` and `fdx` notice the mutants of cargo-mutants; takes hours.
        #[arg(long, conflicts_with = "full")]
        rules: bool,
        /// Check only a part of the mutants of the rules: part K of N, from 0/N.
        #[arg(long, requires = "rules", value_name = "K/N")]
        shard: Option<String>,
    },
    /// Run each fuzz target: untrusted input is parsed or rejected, and nothing panics.
    Fuzz {
        /// The number of seconds for which each target runs.
        #[arg(default_value_t = 30)]
        seconds: u32,
    },
    /// Build the program for distribution, with its debug information in a separate file, and check its size.
    Dist,
    /// Generate the OpenAPI documents in `openapi/` from the code.
    Openapi,
    /// Check the project's own rules for the sources.
    Tidy,
    /// Install the programs that the tests need.
    Prepare {
        /// Print the plan for a machine without any of them, and install nothing.
        #[arg(long)]
        pretend_missing: bool,
    },
}

fn main() -> ExitCode {
    let result = match XtaskCli::parse().command {
        XtaskCommand::Test { full } => steps::run_tests(full),
        XtaskCommand::Mutants { rules: true, shard, .. } => {
            mutants::rules::run(&tidy::root(), shard.as_deref())
        }
        XtaskCommand::Mutants { full, .. } => steps::run_mutants(full),
        XtaskCommand::Fuzz { seconds } => fuzz::run(seconds),
        XtaskCommand::Dist => dist::build_program(),
        XtaskCommand::Openapi => openapi::write_documents(),
        XtaskCommand::Tidy => tidy::run(),
        XtaskCommand::Prepare { pretend_missing: true } => {
            test_environment::print_plan();
            Ok(())
        }
        XtaskCommand::Prepare { pretend_missing: false } => {
            test_environment::TestEnvironment::prepare().map(drop)
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
