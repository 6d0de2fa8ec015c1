//! Towards providers: authorization, tokens, data, and telling them of ends.

mod breaker;
mod callback;
mod connect;
mod fetch;
mod look;
mod own_client;
mod provider;
mod refresh;
mod registrar;
mod tell;

pub use breaker::Breaker;
pub use callback::{Answered, Callback, receive};
pub use connect::{
    ConsentPage, StepError, Stopped, approve, consent_page, deny, may_redirect, redirect_answer,
};
pub use fetch::{Document, ReadError, document, fetch};
pub(crate) use look::Look;
pub use look::{Check, look};
pub use own_client::{
    HubSecrets, SealedManagement, open_management, seal_client, seal_hub_secrets, seal_management,
};
pub(crate) use own_client::{OwnClient, read_secret};
pub use provider::{TokenReply, Upstream};
pub use registrar::{Registering, delete, register};
pub use tell::{Told, tell};
