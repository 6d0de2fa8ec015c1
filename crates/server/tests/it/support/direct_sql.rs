//! Support for tests that read or change the hub's database directly, or start a second node on the same store.

use bowline::app::App;
use bowline::clock::Clock;
use bowline::server::{BoundListeners, Node};
use bowline::vault::{KeyFile, Vault};
use store::Location;
use tokio::net::TcpListener;

use super::TestHub;

/// Runs a statement on a hub's database and returns the rows, with columns joined by `|`.
pub(crate) async fn sql(store: &str, statement: &str) -> Vec<String> {
    match Location::parse(store).unwrap() {
        Location::Sqlite(path) => {
            let database = rusqlite::Connection::open(path).unwrap();
            database.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
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
                let columns = (0..row.len()).map(|at| row.get(at).unwrap_or_default());
                columns.collect::<Vec<_>>().join("|")
            })
            .collect()
        }
    }
}

fn render_value(value: rusqlite::types::Value) -> String {
    use rusqlite::types::Value;
    match value {
        Value::Null => String::new(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => text,
        Value::Blob(bytes) => hex(&bytes),
    }
}

/// Formats bytes in the hexadecimal form that database dumps use.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

/// A second node with the store, keys and clock of the test hub.
pub(crate) struct SecondNode {
    pub(crate) app: App,
    pub(crate) url: String,
    _node: Node,
}

impl TestHub {
    /// Runs a statement on the test hub's database.
    pub(crate) async fn sql(&self, statement: &str) -> Vec<String> {
        sql(&self.app().config().store.url, statement).await
    }

    /// Builds another node of the hub, without listeners and with a clock of its own.
    pub(crate) async fn build_other_app(&self, clock: Clock) -> App {
        let config = self.app().config().clone();
        let vault = Vault::new(KeyFile::open(&config.keys.file).unwrap());
        App::build(config, vault, clock).await.unwrap()
    }

    /// Starts a second node of the hub with listeners.
    pub(crate) async fn start_second_node(&self) -> SecondNode {
        let app = self.build_other_app(self.clock()).await;
        let bind = || TcpListener::bind("127.0.0.1:0");
        let listeners = BoundListeners {
            public: bind().await.unwrap(),
            admin: bind().await.unwrap(),
            local: None,
            probes: bind().await.unwrap(),
        };
        let node = Node::start(&app, listeners).unwrap();
        SecondNode { app, url: format!("http://{}", node.address), _node: node }
    }
}
