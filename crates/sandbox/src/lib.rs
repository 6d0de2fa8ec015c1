//! The sandbox's banks: parties of their own, which speak HTTP with the hub and know nothing of it.

pub mod bank;
mod random;
