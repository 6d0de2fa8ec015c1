//! Towards providers: authorization, tokens, data, and telling them of ends.

mod breaker;
mod callback;
mod connect;
mod fetch;
mod look;
mod own_client;
mod provider;
mod refresh;
mod tell;

pub use breaker::Breaker;
pub use callback::{Answered, Callback, receive};
pub use connect::{
    ConsentPage, StepError, Stopped, approve, consent_page, deny, may_redirect, redirect_answer,
};
pub use fetch::{Document, ReadError, document, fetch};
pub(crate) use look::Look;
pub use look::{Check, look};
pub(crate) use own_client::{OwnClient, read_secret};
pub use own_client::{seal_client, seal_hub_secret};
pub use provider::{TokenReply, Upstream};
pub use tell::{Told, tell};
