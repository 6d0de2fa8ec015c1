//! The routes of the FDX API with their OpenAPI documentation.

use std::time::Duration;

use ::fdx::{
    Account, AccountContact, Accounts, AvailabilityList, Capability, CertificationMetrics, Customer,
    DOCUMENT_TYPES, ErrorBody, ErrorCode, PaymentNetworks, Statements, Transactions,
};
use domain::model::connection::EndCause;
use domain::rule::access::{DataAccessError, PauseReason};
use serde_json::{Value, json};

use super::dates::DATES_NOT_ACCEPTED;
use super::{DataError, http};
use crate::document_slots::NoDocumentSlot;
use crate::error::InternalError;
use crate::http::Route;
use crate::operation::{
    ContentSpec, OperationSpec, OperationTag, ParameterSpec, ResponseSpec, schema_fn, string_enum,
};
use crate::stats::OPERATIONS;
use crate::upstream::{ReadError, UpstreamError};

/// Returns all routes of the FDX API, each with its OpenAPI documentation.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::fdx(customer(), http::show_current_customer),
        Route::fdx(accounts(), http::list_accounts),
        Route::fdx(account(), http::show_account),
        Route::fdx(contact(), http::show_account_contact),
        Route::fdx(transactions(), http::list_transactions),
        Route::fdx(payment_networks(), http::list_payment_networks),
        Route::fdx(statements(), http::list_statements),
        Route::fdx(statement(), http::download_statement),
        Route::fdx(
            meta_operation::<AvailabilityList>(
                "/api/fdx/5/availability",
                "Get Availability",
                "With a connection's token: the availability of its data provider.",
                json!({"availability": [{"operationId": "getAccount", "status": "ALIVE", "description": "The operation is available"}]}),
            ),
            http::show_availability,
        ),
        Route::fdx(
            meta_operation::<Capability>(
                "/api/fdx/5/capability",
                "Get Capability",
                "",
                json!({
                    "fdxVersions": ["V5.2"], "messageFormat": "JSON",
                    "operations": [{"id": "getAccount", "fdxVersions": ["V5.2"]}],
                }),
            ),
            http::show_capability,
        ),
        Route::fdx(
            meta_operation::<CertificationMetrics>(
                "/api/fdx/5/certification-metrics",
                "Get Certification Metrics",
                "Measured by the responding node since its start: the average response time in \
                 milliseconds, and the percentage of successful responses. An operation that was not \
                 called is absent.",
                json!({"metrics": [{
                    "metricsName": "Responses of this node since it started", "operationIds": ["getAccount"],
                    "reportStartTimestamp": "2026-11-24T00:00:00Z", "reportEndTimestamp": "2026-11-24T12:00:00Z",
                    "reportTimestamp": "2026-11-24T12:00:00Z", "responseTimeAverage": 41.25, "averageUpTime": 99.98,
                }]}),
            ),
            http::show_certification_metrics,
        ),
    ]
}

/// Creates the documentation of an operation, with the operation id that the statistics and `/capability` use for the
/// path.
fn new_operation(path: &'static str, tag: &'static str, summary: &'static str) -> OperationSpec {
    let id = OPERATIONS.iter().find(|(known, _)| *known == path).map_or("", |(_, id)| *id);
    OperationTag(tag).get(path, id, summary)
}

fn customer() -> OperationSpec {
    new_operation("/api/fdx/5/customers/current", "Customer", "Get Current Customer")
        .with_description("Requires the cluster CUSTOMER_CONTACT or CUSTOMER_PERSONAL. Each adds its fields.")
        .with_json_response::<Customer>(
            200,
            "The customer",
            json!({"customerId": "cus-…", "name": {"first": "Avery", "last": "Tremblay"}, "email": ["avery@example.org"]}),
        )
        .with_data_errors([])
}

fn accounts() -> OperationSpec {
    new_operation("/api/fdx/5/accounts", "Accounts", "Get Accounts")
        .with_description(
            "Lists the accounts that the customer chose. `lightweight` requires ACCOUNT_BASIC, `details` \
             requires ACCOUNT_DETAILED.",
        )
        .with_query("resultType", "Level of detail of each account.", string_enum(["lightweight", "details"]))
        .with_query(
            "accountIds",
            "Comma-separated ids of at most 100 accounts. Accounts without consent are omitted.",
            json!({"type": "string"}),
        )
        .with_paging()
        .with_list_response::<Accounts>(
            "A page of accounts",
            json!({"page": {"totalElements": 1}, "links": {}, "accounts": [deposit_account_example()]}),
        )
        .with_data_errors([DataError::invalid("resultType must be lightweight or details")])
}

fn deposit_account_example() -> Value {
    json!({"depositAccount": {
        "accountId": "acc-…", "accountCategory": "DEPOSIT_ACCOUNT", "accountType": "CHECKING", "status": "OPEN",
        "accountNumberDisplay": "••••4321", "productName": "Everyday", "currency": {"currencyCode": "CAD"},
    }})
}

fn account() -> OperationSpec {
    new_operation("/api/fdx/5/accounts/{account_id}", "Accounts", "Get Account")
        .with_description(
            "Requires the cluster ACCOUNT_DETAILED. The account is the value of the member that names its \
             kind.",
        )
        .with_json_response::<Account>(200, "The account", deposit_account_example())
        .with_data_errors([])
        .with_account_errors([])
}

fn contact() -> OperationSpec {
    new_operation("/api/fdx/5/accounts/{account_id}/contact", "Accounts", "Get Account Contact")
        .with_description("Requires the cluster CUSTOMER_CONTACT.")
        .with_json_response::<AccountContact>(
            200,
            "The account holders and their contact details",
            json!({"holders": [{"relationship": "PRIMARY", "name": {"first": "Avery", "last": "Tremblay"}}]}),
        )
        .with_data_errors([])
        .with_account_errors([])
}

fn transactions() -> OperationSpec {
    new_operation("/api/fdx/5/accounts/{account_id}/transactions", "Accounts", "Get Account Transactions")
        .with_description(
            "Requires the cluster TRANSACTIONS. Without `startTime` the list begins with the oldest \
             available day; without `endTime` it ends today.",
        )
        .with_date_range()
        .with_paging()
        .with_list_response::<Transactions>(
            "A page of transactions",
            json!({"page": {}, "links": {}, "transactions": [{"depositTransaction": {
                "accountId": "acc-…", "transactionId": "t-1", "postedTimestamp": "2026-11-20T00:00:00Z",
                "description": "Groceries", "debitCreditMemo": "DEBIT", "amount": 41.97, "status": "POSTED",
            }}]}),
        )
        .with_data_errors([])
        .with_account_errors([])
}

fn payment_networks() -> OperationSpec {
    new_operation(
        "/api/fdx/5/accounts/{account_id}/payment-networks",
        "Accounts",
        "Get Account Payment Networks",
    )
    .with_description(
        "Requires the cluster ACCOUNT_PAYMENTS. For `CA_ACSS`, `bankId` is the institution number followed \
         by the transit number.",
    )
    .with_paging()
    .with_list_response::<PaymentNetworks>(
        "A page of payment networks of the account",
        json!({"page": {}, "links": {}, "paymentNetworks": [{
            "bankId": "00300102", "identifier": "1234567", "identifierType": "ACCOUNT_NUMBER",
            "type": "CA_ACSS", "transferIn": true, "transferOut": true,
        }]}),
    )
    .with_data_errors([])
    .with_account_errors([])
}

fn statements() -> OperationSpec {
    new_operation("/api/fdx/5/accounts/{account_id}/statements", "Accounts", "Get Statements")
        .with_description("Requires the cluster STATEMENTS. `startTime` and `endTime` must be given together \
             or not at all.")
        .with_date_range()
        .with_paging()
        .with_list_response::<Statements>(
            "A page of statements",
            json!({"page": {}, "links": {}, "statements": [{
                "accountId": "acc-…", "statementId": "stm-…", "statementDate": "2026-10-31", "status": "AVAILABLE",
            }]}),
        )
        .with_data_errors([
            DataError::invalid("startTime and endTime must have the form YYYY-MM-DD"),
            DataError::Fdx(ErrorCode::InvalidRange, "startTime and endTime must be given together"),
        ])
        .with_account_errors([])
}

fn statement() -> OperationSpec {
    let path = "/api/fdx/5/accounts/{account_id}/statements/{statement_id}";
    let accept = ParameterSpec {
        location: "header",
        name: "Accept",
        description: "The accepted document types, by quality (RFC 9110 §12.5.1). Without it, or with \
             `*/*`, the response is a PDF.",
        required: false,
        schema: json!({"type": "string", "examples": DOCUMENT_TYPES}),
    };
    let document = ResponseSpec {
        status: 200,
        description: "The document as sent by the data provider",
        content: ContentSpec::Document(&DOCUMENT_TYPES),
        example: None,
        headers: &[],
    };
    let fdx_error = |code, message| DataError::Fdx(code, message);
    new_operation(path, "Accounts", "Download Statement")
        .with_description(
            "Requires the cluster STATEMENTS. If the data provider redirects to the document, the hub \
             follows the redirect.",
        )
        .with_parameter(accept)
        .with_responses([document])
        .with_data_errors([
            fdx_error(ErrorCode::StatementProcessing, "The data provider is still preparing this statement"),
            fdx_error(ErrorCode::DataNotFound, "statementId is not a statement of this account"),
            fdx_error(
                ErrorCode::ContentType,
                "Accept must name application/pdf, image/gif, image/jpeg, image/tiff or image/png",
            ),
            fdx_error(ErrorCode::ContentType, "The data provider does not offer this statement in this type"),
            fdx_error(ErrorCode::TooLarge, "This statement exceeds the hub's size limit"),
            NoDocumentSlot::Total.into(),
        ])
        .with_account_errors([])
}

fn meta_operation<T: schemars::JsonSchema>(
    path: &'static str,
    summary: &'static str,
    description: &'static str,
    example: Value,
) -> OperationSpec {
    let operations = string_enum(OPERATIONS.map(|(_, id)| id));
    new_operation(path, "Meta", summary)
        .with_security(&["connectionToken", "clientToken"])
        .with_description(description)
        .with_query("operationId", "The operation; all operations if absent.", operations)
        .with_json_response::<T>(200, "The current state", example)
        .with_errors([
            DataError::InvalidToken,
            DataError::ConnectionEnded(None),
            DataError::ConnectionEnded(Some(EndCause::AccessTokenEnded)),
            DataError::invalid("operationId is not an operation of this API"),
            DataError::RateLimited(Duration::from_secs(1)),
        ])
        .with_internal_errors()
}

/// Builder methods for the documentation that operations of the FDX API have in common.
trait DataOperationExt: Sized {
    /// Adds the response with a page of a list.
    fn with_list_response<T: schemars::JsonSchema>(self, description: &'static str, example: Value) -> Self;
    fn with_paging(self) -> Self;
    fn with_date_range(self) -> Self;
    /// Adds the errors that every read of customer data may return, and those in `more`.
    fn with_data_errors(self, more: impl IntoIterator<Item = DataError>) -> Self;
    /// Adds the errors that every read of one account may return, and those in `more`.
    fn with_account_errors(self, more: impl IntoIterator<Item = DataError>) -> Self;
    /// Adds the errors that every operation may return: an internal error and temporary unavailability.
    fn with_internal_errors(self) -> Self;
    fn with_errors(self, errors: impl IntoIterator<Item = DataError>) -> Self;
}

impl DataOperationExt for OperationSpec {
    fn with_list_response<T: schemars::JsonSchema>(self, description: &'static str, example: Value) -> Self {
        self.with_responses([ResponseSpec {
            status: 200,
            description,
            content: ContentSpec::Json("application/json", schema_fn::<T>()),
            example: Some(example),
            headers: &["bowline-omitted"],
        }])
    }

    fn with_paging(self) -> Self {
        self.with_page_parameters().with_errors([
            DataError::invalid("limit must be a positive integer, given once"),
            DataError::invalid("offset is altered, expired or of another list"),
        ])
    }

    fn with_date_range(self) -> Self {
        let day = json!({"type": "string", "format": "date"});
        self.with_query("startTime", "The first day (UTC).", day.clone())
            .with_query("endTime", "The last day (UTC).", day)
            .with_errors([
                DataError::Fdx(
                    ErrorCode::InvalidDate,
                    "startTime and endTime must be calendar dates in the form YYYY-MM-DD",
                ),
                DataError::Fdx(ErrorCode::InvalidRange, "startTime must not be after endTime"),
                DataError::Fdx(ErrorCode::InvalidRange, DATES_NOT_ACCEPTED),
            ])
    }

    fn with_data_errors(self, more: impl IntoIterator<Item = DataError>) -> Self {
        let provider_error = |upstream| DataError::from(ReadError::Upstream(upstream));
        self.with_security(&["connectionToken"])
            .with_errors([
                DataError::InvalidToken,
                DataError::ClientToken,
                DataError::ConnectionEnded(None),
                DataError::ConnectionEnded(Some(EndCause::AccessTokenEnded)),
                DataAccessError::NotConsented.into(),
                provider_error(UpstreamError::TokenRefused),
                DataAccessError::Paused(PauseReason::RecipientSuspended).into(),
                DataAccessError::Paused(PauseReason::ProviderPaused).into(),
                provider_error(UpstreamError::FdxError(ErrorCode::CustomerNotFound)),
                provider_error(UpstreamError::FdxError(ErrorCode::SubsystemUnavailable)),
                provider_error(UpstreamError::FdxError(ErrorCode::AccountClosed)),
                provider_error(UpstreamError::FdxError(ErrorCode::AccountTypeNotSupported)),
                provider_error(UpstreamError::RateLimited(Duration::from_secs(30))),
                DataError::RateLimited(Duration::from_secs(1)),
                provider_error(UpstreamError::Failed),
                provider_error(UpstreamError::OtherFdxVersion),
                provider_error(UpstreamError::TlsFailed),
                provider_error(UpstreamError::NotConnected),
                provider_error(UpstreamError::NoResponse),
                provider_error(UpstreamError::GatewayFailed),
                provider_error(UpstreamError::CircuitOpen),
                provider_error(UpstreamError::RefreshRunning),
                provider_error(UpstreamError::TokenEndpointFailed),
                provider_error(UpstreamError::NotSent),
                provider_error(UpstreamError::ClientRejected),
                provider_error(UpstreamError::GrantUnconfirmed(Duration::from_secs(5))),
            ])
            .with_errors(more)
            .with_internal_errors()
    }

    fn with_account_errors(self, more: impl IntoIterator<Item = DataError>) -> Self {
        let unknown = ReadError::Upstream(UpstreamError::FdxError(ErrorCode::AccountNotFound));
        self.with_errors([unknown.into()]).with_errors(more)
    }

    fn with_internal_errors(self) -> Self {
        let busy = DataError::Fdx(ErrorCode::Maintenance, "The hub cannot answer now");
        self.with_errors([DataError::Internal(InternalError::new(""))])
            .with_responses([ResponseSpec { headers: &["retry-after"], ..error_response(&busy) }])
    }

    fn with_errors(self, errors: impl IntoIterator<Item = DataError>) -> Self {
        self.with_responses(errors.into_iter().map(|error| error_response(&error)))
    }
}

/// Describes the response for an error, with the error's body as the example.
fn error_response(error: &DataError) -> ResponseSpec {
    let status = error.status();
    let headers: &[&str] = match status {
        401 => &["www-authenticate"],
        405 => &["allow"],
        _ if error.retry_after().is_some() => &["retry-after"],
        _ => &[],
    };
    let description = match error.code() {
        None => "The access token is missing, invalid or expired; get a new one with the refresh token",
        Some(code) => code.message(),
    };
    ResponseSpec {
        status,
        description,
        content: ContentSpec::Json("application/json", schema_fn::<ErrorBody>()),
        example: serde_json::to_value(error.body()).ok(),
        headers,
    }
}
