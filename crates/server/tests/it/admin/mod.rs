//! What operators do, over their API.

mod audit;
mod connections;
mod jobs;
mod operators;
mod providers;
