//! The project's own checks and generators: `cargo xtask test`, `tidy`, `fuzz`, `openapi`.

mod fuzz;
mod mutants;
mod openapi;
mod steps;
mod test_environment;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Checks of the project.
#[derive(Parser)]
#[command(name = "xtask")]
struct XtaskCli {
    #[command(subcommand)]
    command: XtaskCommand,
}

#[derive(Subcommand)]
enum XtaskCommand {
    /// Format, tidy, clippy, docs, and every test; installs and starts what it needs.
    Test {
        /// Longer loops as well: 200 crashes, 2,000 races, every broken build, and the tour in release.
        #[arg(long)]
        full: bool,
    },
    /// The deliberately broken builds alone: those of every run, or all.
    Mutants {
        /// Every one.
        #[arg(long)]
        full: bool,
    },
    /// Each fuzz target for a while: what a stranger writes is read or refused.
    Fuzz {
        /// Seconds for each.
        #[arg(default_value_t = 30)]
        seconds: u32,
    },
    /// Write `openapi/`: what the code makes of it.
    Openapi,
    /// Our own rules over the sources.
    Tidy,
    /// Say what the machine lacks for the tests, and install it.
    Prepare {
        /// Decide as if nothing was there, and print the plan without doing it.
        #[arg(long)]
        pretend_missing: bool,
    },
}

fn main() -> ExitCode {
    let result = match XtaskCli::parse().command {
        XtaskCommand::Test { full } => steps::run_tests(full),
        XtaskCommand::Mutants { full } => steps::run_mutants(full),
        XtaskCommand::Fuzz { seconds } => fuzz::run(seconds),
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
