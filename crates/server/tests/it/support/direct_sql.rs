//! Support for tests that read or change the hub's database directly, or start a second node on the same store.

use std::time::Duration;

use bowline::app::App;
use bowline::clock::Clock;
use bowline::server::{BoundListeners, Node};
use bowline::vault::{KeyFile, Vault};
use store::Location;
use tokio::net::TcpListener;

use super::TestHub;

/// Runs a statement on a hub's database and returns the rows, with columns joined by `|`. Literals that begin with the prefix of
/// an id are replaced by its stored form.
pub(crate) async fn sql(store: &str, statement: &str) -> Vec<String> {
    let location = Location::parse(store).unwrap();
    let statement = &encode_ids(statement, matches!(location, Location::Sqlite(_)));
    match location {
        Location::Sqlite(path) => {
            let database = rusqlite::Connection::open(path).unwrap();
            database.busy_timeout(Duration::from_secs(5)).unwrap();
            let mut statement = database.prepare(statement).unwrap();
            let columns = statement.column_count();
            let read = statement.query_map([], |row| {
                let text = |at| row.get::<_, rusqlite::types::Value>(at).map(render_value);
                Ok((0..columns).map(text).collect::<Result<Vec<_>, _>>()?.join("|"))
            });
            read.unwrap().map(Result::unwrap).collect()
        }
        Location::Postgres(settings) => {
            let (client, connection) =
                tokio_postgres::connect(settings.url.expose(), tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            let messages = client.simple_query(statement).await.unwrap();
            let rows = messages.iter().filter_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
                _ => None,
            });
            rows.map(|row| {
                let columns =
                    (0..row.len()).map(|at| row.get(at).map(render_postgres_value).unwrap_or_default());
                columns.collect::<Vec<_>>().join("|")
            })
            .collect()
        }
    }
}

/// A transaction of another program, which has run a statement and is not committed yet.
pub(crate) enum OpenTransaction {
    Sqlite(rusqlite::Connection),
    Postgres(tokio_postgres::Client),
}

impl OpenTransaction {
    async fn begin(store: &str, statement: &str) -> Self {
        let location = Location::parse(store).unwrap();
        let statement = encode_ids(statement, matches!(location, Location::Sqlite(_)));
        match location {
            Location::Sqlite(path) => {
                let database = rusqlite::Connection::open(path).unwrap();
                database.busy_timeout(Duration::from_secs(5)).unwrap();
                database.execute_batch(&format!("BEGIN IMMEDIATE; {statement}")).unwrap();
                Self::Sqlite(database)
            }
            Location::Postgres(settings) => {
                let (client, connection) =
                    tokio_postgres::connect(settings.url.expose(), tokio_postgres::NoTls).await.unwrap();
                tokio::spawn(connection);
                client.batch_execute(&format!("BEGIN; {statement}")).await.unwrap();
                Self::Postgres(client)
            }
        }
    }

    /// Waits until a command of the hub waits for this transaction.
    pub(crate) async fn wait_for_blocked_command(&self) {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        for tick in 0..100 {
            ticks.tick().await;
            let is_blocked = match self {
                // SQLite does not show which connections wait; they do so for up to two seconds.
                Self::Sqlite(_) => tick == 5,
                Self::Postgres(client) => {
                    let blocked = "SELECT 1 FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))";
                    !client.query(blocked, &[]).await.unwrap().is_empty()
                }
            };
            if is_blocked {
                return;
            }
        }
        panic!("no command waits for the transaction");
    }

    pub(crate) async fn commit(self) {
        match self {
            Self::Sqlite(database) => database.execute_batch("COMMIT").unwrap(),
            Self::Postgres(client) => client.batch_execute("COMMIT").await.unwrap(),
        }
    }
}

/// Returns an SQL expression for the stored form of the id that consists of `job_` and a text. The text is an SQL expression.
pub(crate) fn build_job_id(store: &str, text: &str) -> String {
    match Location::parse(store).unwrap() {
        Location::Sqlite(_) => format!("CAST('job' || '_' || {text} AS BLOB)"),
        Location::Postgres(_) => format!("convert_to('job' || '_' || {text}, 'UTF8')"),
    }
}

/// The prefixes of ids that the store keeps as bytes.
const ID_PREFIXES: [&str; 8] = ["con_", "cus_", "arq_", "job_", "aud_", "opr_", "dc-", "pt-"];

/// Replaces each literal that is an id by its stored form: the 16 bytes of a generated id, or the text of any other one.
pub(crate) fn encode_ids(statement: &str, is_sqlite: bool) -> String {
    // Every second part is between quotes.
    let parts = statement.split('\'').enumerate().map(|(at, part)| match at % 2 {
        0 => part.to_owned(),
        _ => encode_literal(part, is_sqlite),
    });
    parts.collect::<Vec<_>>().concat()
}

fn encode_literal(text: &str, is_sqlite: bool) -> String {
    let Some(prefix) = ID_PREFIXES.iter().find(|prefix| text.starts_with(**prefix)) else {
        return format!("'{text}'");
    };
    let digits = &text[prefix.len()..];
    let is_generated = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let bytes = if is_generated { digits.to_owned() } else { hex(text.as_bytes()) };
    if is_sqlite { format!("X'{bytes}'") } else { format!("'\\x{bytes}'::bytea") }
}

fn render_value(value: rusqlite::types::Value) -> String {
    use rusqlite::types::Value;
    match value {
        Value::Null => String::new(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => text,
        Value::Blob(bytes) => decode_id(&bytes).unwrap_or_else(|| hex(&bytes)),
    }
}

/// Returns the text of an id that is stored as text. Other values of bytes may be secrets, which tests search in hexadecimal form.
fn decode_id(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    ID_PREFIXES.iter().any(|prefix| text.starts_with(prefix)).then(|| text.to_owned())
}

/// Renders a value that PostgreSQL has sent as text; bytes begin with `\\x`.
fn render_postgres_value(value: &str) -> String {
    let Some(digits) = value.strip_prefix("\\x") else { return value.to_owned() };
    let pairs = (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok());
    let id = pairs.collect::<Option<Vec<_>>>().and_then(|bytes| decode_id(&bytes));
    id.unwrap_or_else(|| value.to_owned())
}

/// Formats bytes in the hexadecimal form that database dumps use.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

/// Another node with the store, keys and clock of the test hub.
pub(crate) struct OtherNode {
    pub(crate) app: App,
    pub(crate) url: String,
    node: Node,
}

impl OtherNode {
    /// Stops the node. It serves the requests in progress first.
    pub(crate) async fn stop(self) {
        self.node.stop().await;
    }
}

impl TestHub {
    /// Runs a statement on the test hub's database.
    pub(crate) async fn sql(&self, statement: &str) -> Vec<String> {
        sql(&self.app().config().store.url, statement).await
    }

    /// Begins a transaction on the test hub's database and runs a statement in it.
    pub(crate) async fn begin_sql(&self, statement: &str) -> OpenTransaction {
        OpenTransaction::begin(&self.app().config().store.url, statement).await
    }

    /// Calls [`build_job_id`] for the test hub's database.
    pub(crate) fn build_job_id(&self, text: &str) -> String {
        build_job_id(&self.app().config().store.url, text)
    }

    /// Builds another node of the hub, without listeners and with a clock of its own.
    pub(crate) async fn build_other_app(&self, clock: Clock) -> App {
        let config = self.app().config().clone();
        let vault = Vault::new(KeyFile::open(&config.keys.file).unwrap());
        App::build(config, vault, clock).await.unwrap()
    }

    /// Starts another node of the hub with listeners.
    pub(crate) async fn start_other_node(&self) -> OtherNode {
        let app = self.build_other_app(self.clock()).await;
        let bind = || TcpListener::bind("127.0.0.1:0");
        let listeners = BoundListeners {
            public: bind().await.unwrap(),
            admin: bind().await.unwrap(),
            local: None,
            probes: bind().await.unwrap(),
        };
        let node = Node::start(&app, listeners).unwrap();
        OtherNode { app, url: format!("http://{}", node.address), node }
    }
}
