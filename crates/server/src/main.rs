//! The entry point of the program `bowline`, which runs the command line.

use std::process::ExitCode;

// Most allocations of a request are small and short-lived; the benefit was measured in `docs/decisions/0012`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    bowline::cli::run()
}
