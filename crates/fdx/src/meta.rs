//! What an implementation says of itself.

use crate::entity::entity;
use crate::{Amount, DateTime};

entity! {
    /// Whether an operation can be used.
    Availability { status: String, description: String, operation_id: String }
}
entity! {
    /// Whether each operation can be used.
    AvailabilityList { availability: Vec<Availability> }
}
entity! {
    /// What there is.
    Capability { fdx_versions: Vec<String>, message_format: String, operations: Vec<String> }
}
entity! {
    /// How an operation has done: milliseconds of an answer on average, and the percentage that was no failure.
    CertificationMetric {
        report_start_timestamp: DateTime, report_end_timestamp: DateTime, metrics_name: String,
        operation_ids: Vec<String>, response_time_average: Amount, average_up_time: Amount,
        report_timestamp: DateTime,
    }
}
entity! {
    /// How each operation has done.
    CertificationMetrics { metrics: Vec<CertificationMetric> }
}
