//! What operators do, over their API.

mod operators;
