//! HTML pages for customers: plain forms without scripts, in English and French.

mod notice;
mod redirect;
mod render;
mod text;

pub(crate) mod http;

pub use notice::{NoticeKind, render_internal_error, render_notice};
pub use redirect::{redirect_found, redirect_see_other};
pub(crate) use render::render_flow_page;
pub use render::{serve_asset, serve_cached_page};
pub use text::PageTexts;
