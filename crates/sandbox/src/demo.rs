//! A recipient as one would write it.
