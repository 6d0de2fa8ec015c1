//! The entities that describe an FDX implementation: its capabilities, availability and metrics.

use crate::entity::entity;
use crate::scalar::{Amount, DateTime};

entity! {
    /// The availability of one operation of the API.
    Availability { status: String, description: String, operation_id: String }
}
entity! {
    /// The availability of all operations of the API.
    AvailabilityList { availability: Vec<Availability> }
}
entity! {
    /// An operation of the API that an implementation supports, with the FDX versions in which it does.
    Operation { id: String, fdx_versions: Vec<String> }
}
entity! {
    /// The versions, the format and the operations that an implementation supports.
    Capability { fdx_versions: Vec<String>, message_format: String, operations: Vec<Operation> }
}
entity! {
    /// The metrics of one or more operations: the average response time in milliseconds and the percentage of
    /// successful calls.
    CertificationMetric {
        report_start_timestamp: DateTime, report_end_timestamp: DateTime, metrics_name: String,
        operation_ids: Vec<String>, response_time_average: Amount, average_up_time: Amount,
        report_timestamp: DateTime,
    }
}
entity! {
    /// The metrics of all operations of the API.
    CertificationMetrics { metrics: Vec<CertificationMetric> }
}
