//! The sandbox's other parties, banks and a demo app: they speak HTTP with the hub and know nothing else of it.

pub mod bank;
mod browser;
pub mod demo;
mod format;
mod random;
mod text;
