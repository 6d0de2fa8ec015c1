//! The data face.

use std::time::Duration;

use ::fdx::{
    Account, AccountContact, Accounts, AvailabilityList, Capability, CertificationMetrics, Customer,
    DOCUMENT_TYPES, ErrorBody, ErrorCode, PaymentNetworks, Statements, Transactions,
};
use domain::rule::access::{DataRefusal, Hold};
use http::Method;
use serde_json::{Value, json};

use super::document::{self, About};
use super::operation::{Answer, Content, Operation, Parameter, one_of, shape};
use crate::fault::Fault;
use crate::gateway::{DataError, OPERATIONS};
use crate::hub::{ReadError, Upstream};

pub(super) fn document() -> Value {
    let about = About {
        title: "Bowline: data access (FDX 5)",
        description: "The customer's data, as far as the consent goes, in the form of FDX 5.x whatever the bank \
            speaks. The bearer is the access token of a connection. Fields differ by data provider: what it does \
            not say is absent. Amounts are JSON numbers of any precision. A parameter that is not known is \
            ignored, one that is known is given once. Every answer carries `ob-correlation-id` and `ob-trace-id`.",
        server: json!({"url": "/"}),
        tags: &[
            ("Customer", "Who the customer is."),
            ("Accounts", "Accounts, and what belongs to them."),
            ("Meta", "What there is, whether it can be used, and how it has done."),
        ],
        security: json!({
            "connectionToken": {
                "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                "description": "The access token of a connection, from `/api/v1/token`.",
            },
            "clientToken": {
                "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                "description": "An access token of a client itself (`client_credentials`).",
            },
        }),
        path_parameter,
    };
    document::document(&about, operations())
}

fn path_parameter(name: &str) -> (&'static str, Value) {
    let id = json!({"type": "string", "minLength": 1});
    match name {
        "account_id" => {
            ("The id of an account, as this consent knows it: another consent has other ids.", id)
        }
        _ => ("The id of a statement of this account.", id),
    }
}

/// An operation of the table of those that are measured, so that all name it alike.
fn operation(path: &'static str, tag: &'static str, summary: &'static str) -> Operation {
    let id = OPERATIONS.iter().find(|(known, _)| *known == path).map_or("", |(_, id)| *id);
    Operation::new(Method::GET, path, id, summary).below(tag)
}

fn operations() -> Vec<Operation> {
    vec![
        customer(),
        accounts(),
        account(),
        contact(),
        transactions(),
        payment_networks(),
        statements(),
        statement(),
        meta::<AvailabilityList>(
            "/api/fdx/5/availability",
            "Get Availability",
            "With a connection's token: whether its data provider can be asked at present.",
            json!({"availability": [{"operationId": "getAccount", "status": "ALIVE", "description": "It can be used"}]}),
        ),
        meta::<Capability>(
            "/api/fdx/5/capability",
            "Get Capability",
            "",
            json!({"fdxVersions": ["V5.2"], "messageFormat": "JSON", "operations": ["getAccount"]}),
        ),
        meta::<CertificationMetrics>(
            "/api/fdx/5/certification-metrics",
            "Get Certification Metrics",
            "Measured on the node that answers, since it began: milliseconds on average, and the percentage of \
             answers that were no failure. An operation that nobody asked for is absent.",
            json!({"metrics": [{
                "metricsName": "Answers of this node since it began", "operationIds": ["getAccount"],
                "reportStartTimestamp": "2026-11-24T00:00:00Z", "reportEndTimestamp": "2026-11-24T12:00:00Z",
                "reportTimestamp": "2026-11-24T12:00:00Z", "responseTimeAverage": 41.25, "averageUpTime": 99.98,
            }]}),
        ),
    ]
}

fn customer() -> Operation {
    operation("/api/fdx/5/customers/current", "Customer", "Get Current Customer")
        .says("Needs the cluster CUSTOMER_CONTACT or CUSTOMER_PERSONAL, and shows what each covers.")
        .gives::<Customer>(
            200,
            "The customer",
            json!({"customerId": "cus-…", "name": {"first": "Avery", "last": "Tremblay"}, "email": ["avery@example.org"]}),
        )
        .of_customers([])
}

fn accounts() -> Operation {
    operation("/api/fdx/5/accounts", "Accounts", "Get Accounts")
        .says(
            "The accounts that the customer chose. `lightweight` needs ACCOUNT_BASIC, `details` needs \
             ACCOUNT_DETAILED.",
        )
        .query("resultType", "How much of each account.", one_of(["lightweight", "details"]))
        .query(
            "accountIds",
            "The ids of at most 100 accounts, with commas between. What this consent does not cover is not there.",
            json!({"type": "string"}),
        )
        .paged()
        .gives::<Accounts>(200, "A page of accounts", json!({"page": {"totalElements": 1}, "links": {}, "accounts": [deposit()]}))
        .of_customers([DataError::invalid("resultType must be lightweight or details")])
}

fn deposit() -> Value {
    json!({"depositAccount": {
        "accountId": "acc-…", "accountCategory": "DEPOSIT_ACCOUNT", "accountType": "CHECKING", "status": "OPEN",
        "accountNumberDisplay": "••••4321", "productName": "Everyday", "currency": {"currencyCode": "CAD"},
    }})
}

fn account() -> Operation {
    operation("/api/fdx/5/accounts/{account_id}", "Accounts", "Get Account")
        .says("Needs ACCOUNT_DETAILED. The account stands below the key that names its kind.")
        .gives::<Account>(200, "The account", deposit())
        .of_customers([])
        .of_accounts([])
}

fn contact() -> Operation {
    operation("/api/fdx/5/accounts/{account_id}/contact", "Accounts", "Get Account Contact")
        .says("Needs the cluster CUSTOMER_CONTACT.")
        .gives::<AccountContact>(
            200,
            "Who holds the account, and how they are reached",
            json!({"holders": [{"relationship": "PRIMARY", "name": {"first": "Avery", "last": "Tremblay"}}]}),
        )
        .of_customers([])
        .of_accounts([])
}

fn transactions() -> Operation {
    operation("/api/fdx/5/accounts/{account_id}/transactions", "Accounts", "Get Account Transactions")
        .says("Needs the cluster TRANSACTIONS. Without `startTime`, from the first day of the history that is served; \
             without `endTime`, to today.")
        .days()
        .paged()
        .gives::<Transactions>(
            200,
            "A page of transactions",
            json!({"page": {}, "links": {}, "transactions": [{"depositTransaction": {
                "accountId": "acc-…", "transactionId": "t-1", "postedTimestamp": "2026-11-20T00:00:00Z",
                "description": "Groceries", "debitCreditMemo": "DEBIT", "amount": 41.97, "status": "POSTED",
            }}]}),
        )
        .of_customers([])
        .of_accounts([])
}

fn payment_networks() -> Operation {
    operation("/api/fdx/5/accounts/{account_id}/payment-networks", "Accounts", "Get Account Payment Networks")
        .says("Needs the cluster ACCOUNT_PAYMENTS. For `CA_ACSS`, `bankId` is institution and transit.")
        .paged()
        .gives::<PaymentNetworks>(
            200,
            "A page of the networks that the account can be paid by",
            json!({"page": {}, "links": {}, "paymentNetworks": [{
                "bankId": "00300102", "identifier": "1234567", "identifierType": "ACCOUNT_NUMBER",
                "type": "CA_ACSS", "transferIn": true, "transferOut": true,
            }]}),
        )
        .of_customers([])
        .of_accounts([])
}

fn statements() -> Operation {
    operation("/api/fdx/5/accounts/{account_id}/statements", "Accounts", "Get Statements")
        .says("Needs the cluster STATEMENTS. Both days or neither.")
        .days()
        .paged()
        .gives::<Statements>(
            200,
            "A page of statements",
            json!({"page": {}, "links": {}, "statements": [{
                "accountId": "acc-…", "statementId": "stm-…", "statementDate": "2026-10-31", "status": "AVAILABLE",
            }]}),
        )
        .of_customers([
            DataError::invalid("startTime and endTime must be written YYYY-MM-DD"),
            DataError::Fdx(ErrorCode::InvalidRange, "startTime and endTime must be given together"),
        ])
        .of_accounts([])
}

fn statement() -> Operation {
    let path = "/api/fdx/5/accounts/{account_id}/statements/{statement_id}";
    let accept = Parameter {
        place: "header",
        name: "Accept",
        description: "The first of these that is named is served; none, or `*/*`, is PDF.",
        required: false,
        schema: json!({"type": "string", "examples": DOCUMENT_TYPES}),
    };
    let document = Answer {
        status: 200,
        description: "The document, as it comes from the data provider",
        content: Content::Document(&DOCUMENT_TYPES),
        example: None,
        headers: &[],
    };
    let said = |code, told| DataError::Fdx(code, told);
    operation(path, "Accounts", "Download Statement")
        .says("Needs the cluster STATEMENTS. Where the data provider keeps it elsewhere, the hub fetches it.")
        .parameter(accept)
        .answers([document])
        .of_customers([
            said(ErrorCode::StatementProcessing, "The data provider is still making this statement"),
            said(ErrorCode::DataNotFound, "statementId names no statement of this account"),
            said(
                ErrorCode::ContentType,
                "Accept must name application/pdf, image/gif, image/jpeg, image/tiff or image/png",
            ),
            said(ErrorCode::ContentType, "The data provider has no such type of this statement"),
            said(ErrorCode::TooLarge, "This statement is larger than the hub passes on"),
        ])
        .of_accounts([])
}

fn meta<T: schemars::JsonSchema>(
    path: &'static str,
    summary: &'static str,
    says: &'static str,
    example: Value,
) -> Operation {
    let operations = one_of(OPERATIONS.map(|(_, id)| id));
    operation(path, "Meta", summary)
        .secured(&["connectionToken", "clientToken"])
        .says(says)
        .query("operationId", "One operation; without it, all.", operations)
        .gives::<T>(200, "As it stands", example)
        .refuses([
            DataError::BadToken,
            DataError::Ended,
            DataError::invalid("operationId names no operation of this API"),
            DataError::TooMany(Duration::from_secs(1)),
        ])
        .troubled()
}

/// What operations of this face have in common.
trait OfData: Sized {
    fn paged(self) -> Self;
    fn days(self) -> Self;
    /// What every read of a customer's data may be told, and more.
    fn of_customers(self, more: impl IntoIterator<Item = DataError>) -> Self;
    /// What a read of one account may be told, and more.
    fn of_accounts(self, more: impl IntoIterator<Item = DataError>) -> Self;
    /// Our own trouble.
    fn troubled(self) -> Self;
    fn refuses(self, errors: impl IntoIterator<Item = DataError>) -> Self;
}

impl OfData for Operation {
    fn paged(self) -> Self {
        self.page_by_page().refuses([
            DataError::invalid("limit must be a positive integer, given once"),
            DataError::invalid("offset is altered, expired or of another list"),
        ])
    }

    fn days(self) -> Self {
        let day = json!({"type": "string", "format": "date"});
        self.query("startTime", "The first day, in UTC.", day.clone())
            .query("endTime", "The last day, in UTC.", day)
            .refuses([
                DataError::Fdx(
                    ErrorCode::InvalidDate,
                    "startTime and endTime must be dates of the calendar: YYYY-MM-DD",
                ),
                DataError::Fdx(ErrorCode::InvalidRange, "startTime must not be after endTime"),
            ])
    }

    fn of_customers(self, more: impl IntoIterator<Item = DataError>) -> Self {
        let bank = |upstream| DataError::from(ReadError::Upstream(upstream));
        self.secured(&["connectionToken"])
            .refuses([
                DataError::BadToken,
                DataError::Ended,
                DataRefusal::NotConsented.into(),
                bank(Upstream::TokenRefused),
                DataRefusal::Held(Hold::Recipient).into(),
                DataRefusal::Held(Hold::Provider).into(),
                bank(Upstream::Said(ErrorCode::CustomerNotFound)),
                bank(Upstream::Said(ErrorCode::SubsystemUnavailable)),
                bank(Upstream::Said(ErrorCode::AccountClosed)),
                bank(Upstream::Said(ErrorCode::AccountTypeNotSupported)),
                bank(Upstream::RateLimited(Duration::from_secs(30))),
                DataError::TooMany(Duration::from_secs(1)),
                bank(Upstream::Failed),
            ])
            .refuses(more)
            .troubled()
    }

    fn of_accounts(self, more: impl IntoIterator<Item = DataError>) -> Self {
        let unknown = ReadError::Upstream(Upstream::Said(ErrorCode::AccountNotFound));
        self.refuses([unknown.into()]).refuses(more)
    }

    fn troubled(self) -> Self {
        let busy = DataError::Fdx(ErrorCode::Maintenance, "The hub cannot answer now");
        self.refuses([DataError::Fault(Fault::new(""))])
            .answers([Answer { headers: &["retry-after"], ..refusal(&busy) }])
    }

    fn refuses(self, errors: impl IntoIterator<Item = DataError>) -> Self {
        self.answers(errors.into_iter().map(|error| refusal(&error)))
    }
}

/// A refusal as the face renders it.
fn refusal(error: &DataError) -> Answer {
    let status = error.code().map_or(401, ErrorCode::status);
    let headers: &[&str] = match status {
        401 => &["www-authenticate"],
        405 => &["allow"],
        _ if error.retry_after().is_some() => &["retry-after"],
        _ => &[],
    };
    let description = match error.code() {
        None => "The access token is of no use: get another with the refresh token",
        Some(code) => code.message(),
    };
    Answer {
        status,
        description,
        content: Content::Json("application/json", shape::<ErrorBody>()),
        example: serde_json::to_value(error.body()).ok(),
        headers,
    }
}
