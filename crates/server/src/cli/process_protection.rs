//! Keeps debuggers and crash reports from reading the memory of this process, which contains the keys of the hub.

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};

/// Disables core dumps of this process. On Linux, other processes of the same user can then not attach a debugger either.
pub(super) fn protect_memory() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    // The limit does not apply if the kernel passes core dumps to a program, as most distributions configure it.
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}
