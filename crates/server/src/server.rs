//! Runs the hub as a server process: listeners, workers, probes, and a graceful shutdown.

mod connection;
mod frame_allowance;
mod idle_timeout;
mod listener;
mod network_connections;
mod node;
mod probes;
mod readiness;
mod transfer;
mod unix_socket;

pub use listener::{Listener, ShutdownOutcome, serve};
pub use node::{BoundListeners, Node};
pub use probes::routes;
pub use readiness::{KEYS_METADATA_NAME, Readiness};
pub use unix_socket::{BindSocketError, LocalSocket};
