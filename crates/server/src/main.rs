//! `bowline`

use std::process::ExitCode;

/// Most of what a request allocates is small and short-lived; see `docs/decisions/0012`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    bowline::cli::run()
}
