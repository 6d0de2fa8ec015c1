//! HTML pages for customers: plain forms without scripts, in English and French, each with a link to the other language.

mod frame;
mod login;
mod notice;
mod redirect;
mod render;
mod text;

pub(crate) mod http;

pub use frame::PageFrame;
pub use notice::{
    NoticeKind, render_internal_error, render_notice, render_rate_limit_error, render_unavailable,
};
pub use redirect::{redirect_found, redirect_see_other};
pub(crate) use render::render_flow_page;
pub use render::{serve_asset, serve_cached_page};
