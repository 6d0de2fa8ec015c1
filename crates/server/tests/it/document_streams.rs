//! Tests of documents while they are sent: an end of the connection stops them, incomplete ones are noticed, and their number
//! and memory are limited.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use http::{Request, Uri};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::support::{
    ConnectionTokens, HubProcess, RunningHub, TestClient, TestHub, create_database, on_both, wait_until,
};

on_both!(suspended_recipient_stops_document, document_continues_after_expiry_of_token);

const SCOPE: &str = "ACCOUNT_BASIC STATEMENTS";
/// More than the hub reads before it responds.
const FIRST_CHUNK: usize = 300 * 1024;

/// The way in which the stub sends a document after its first chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// Nothing more is sent.
    Silent,
    /// A small chunk every 20 ms.
    Steady,
    /// Chunks of 64 KiB without a pause.
    Fast,
    /// The last chunk is sent, and the document ends.
    Finish,
}

/// A provider whose documents end only when the test says so.
#[derive(Clone)]
struct DocumentStub {
    url: String,
    pace: Arc<watch::Sender<Pace>>,
    open: Arc<AtomicUsize>,
    sent: Arc<AtomicU64>,
    /// The time at which the hub closed the last document.
    closed_at: Arc<Mutex<Instant>>,
}

impl DocumentStub {
    async fn start(pace: Pace) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let pace = Arc::new(watch::Sender::new(pace));
        let closed_at = Arc::new(Mutex::new(Instant::now()));
        let stub = Self { url, pace, open: Arc::default(), sent: Arc::default(), closed_at };
        let router = axum::Router::new().fallback(respond).with_state(stub.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        stub
    }

    fn open_documents(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Waits until the stub can send nothing more, because the hub does not read.
    async fn wait_until_blocked(&self) {
        let mut ticks = tokio::time::interval(Duration::from_millis(300));
        let mut sent = 0;
        while self.sent.load(Ordering::SeqCst) != sent {
            sent = self.sent.load(Ordering::SeqCst);
            assert!(sent < 64 << 20, "the hub reads on although its recipient does not");
            ticks.tick().await;
        }
    }

    async fn wait_until_closed(&self) {
        wait_until("the hub closes the document", async || self.open_documents() == 0).await;
    }
}

/// A document that the stub is sending.
struct OpenDocument(DocumentStub);

impl Drop for OpenDocument {
    fn drop(&mut self) {
        *self.0.closed_at.lock().unwrap() = Instant::now();
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn respond(State(stub): State<DocumentStub>, uri: Uri) -> Response {
    if uri.path().ends_with("/accounts") {
        let account = json!({"depositAccount": {"accountId": "mt-alice-chequing"}});
        return axum::Json(json!({"accounts": [account]})).into_response();
    }
    if uri.path().ends_with("/statements") {
        return axum::Json(json!({"statements": [{"statementId": "s"}]})).into_response();
    }
    stub.open.fetch_add(1, Ordering::SeqCst);
    let open = OpenDocument(stub.clone());
    let mut first = b"%PDF-1.7 ".to_vec();
    first.resize(FIRST_CHUNK, b'x');
    let first = stream::once(async move { Bytes::from(first) });
    let sent = Arc::clone(&stub.sent);
    let chunks = first.chain(rest_of_document(stub.pace.subscribe(), open)).map(move |chunk| {
        sent.fetch_add(chunk.len() as u64, Ordering::SeqCst);
        Ok::<_, Infallible>(chunk)
    });
    ([("content-type", "application/pdf")], Body::from_stream(chunks)).into_response()
}

fn rest_of_document(pace: watch::Receiver<Pace>, open: OpenDocument) -> impl Stream<Item = Bytes> {
    let ticks = tokio::time::interval(Duration::from_millis(20));
    stream::unfold(Some((pace, ticks, open)), async |state| {
        let (mut pace, mut ticks, open) = state?;
        pace.wait_for(|pace| *pace != Pace::Silent).await.unwrap();
        let now = *pace.borrow();
        match now {
            Pace::Finish => Some((Bytes::from_static(b"%%EOF"), None)),
            Pace::Fast => Some((Bytes::from(vec![b'x'; 1 << 16]), Some((pace, ticks, open)))),
            Pace::Silent | Pace::Steady => {
                ticks.tick().await;
                Some((Bytes::from_static(b"xxxx"), Some((pace, ticks, open))))
            }
        }
    })
}

/// Returns the URL of the statement of alice's account.
async fn find_document_url(base: &str, access: &str) -> String {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = async |path: &str| {
        let url = format!("{base}/api/fdx/5{path}");
        let text = client.get(url).bearer_auth(access).send().await.unwrap().text().await.unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    let accounts = get("/accounts").await;
    let account = accounts["accounts"][0]["depositAccount"]["accountId"].as_str().unwrap();
    let statements = get(&format!("/accounts/{account}/statements")).await;
    let statement = statements["statements"][0]["statementId"].as_str().unwrap();
    format!("{base}/api/fdx/5/accounts/{account}/statements/{statement}")
}

async fn open_document(url: &str, access: &str) -> reqwest::Response {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    client.get(url).bearer_auth(access).send().await.unwrap()
}

/// Connects alice to a hub whose provider is the stub, and returns the URL of her statement.
async fn connect_to_stub(kit: &TestHub, stub: &DocumentStub) -> (ConnectionTokens, String) {
    let tokens = kit.connect_at(1000, &kit.acme(), "alice", &[], SCOPE).await;
    kit.update_provider_settings(1000, |settings| stub.url.clone_into(&mut settings.fdx.base_url)).await;
    let url = find_document_url(&kit.url(""), &tokens.access).await;
    (tokens, url)
}

/// Starts the built program with the stub as its provider, and registers a recipient.
async fn serve_with_stub(site: &HubProcess, stub: &DocumentStub) -> (TestClient, RunningHub) {
    let file = site.path("bowline.toml");
    let known = std::fs::read_to_string(&file).unwrap();
    let (before, after) = known.split_once("fdx = { base_url = \"").unwrap();
    let after = after.split_once('"').unwrap().1;
    let changed = format!("{before}fdx = {{ base_url = \"{}\"{after}", stub.url);
    let scopes = "STATEMENTS = \"fdx:statements:read\", TRANSACTIONS = ";
    let changed = changed.replacen("TRANSACTIONS = ", scopes, 1);
    // A document that is not stopped would go on for longer than the test waits.
    std::fs::write(&file, changed.replacen("[upstream]\n", "[upstream]\nstatement_timeout = \"1h\"\n", 1))
        .unwrap();
    site.initialize().await;
    let app = site.add_recipient_with_scope("App", SCOPE);
    let hub = site.serve(&[]).await;
    (app, hub)
}

/// Runs the built program: the end of a connection stops its document, whether or not the provider sends anything.
async fn connection_end_stops_document(store: Option<&str>) {
    let site = HubProcess::new(store).await;
    let stub = DocumentStub::start(Pace::Silent).await;
    let (app, hub) = serve_with_stub(&site, &stub).await;
    for pace in [Pace::Silent, Pace::Steady] {
        stub.pace.send_replace(pace);
        let code = site.obtain_code_with_scope(&app, "alice", SCOPE).await;
        let tokens = ConnectionTokens::from_response(&site.api().redeem(&app, &code).await, code);
        let url = find_document_url(&site.hub_url, &tokens.access).await;
        let mut document = open_document(&url, &tokens.access).await;
        assert_eq!(document.status(), 200);
        assert!(document.chunk().await.unwrap().is_some_and(|chunk| !chunk.is_empty()));
        assert_eq!(stub.open_documents(), 1);

        assert_eq!(site.api().revoke(&tokens.access).await.status, 204);
        // A recipient that reads continuously notices the end itself.
        let rest = tokio::spawn(document.bytes());
        stub.wait_until_closed().await;

        assert!(rest.await.unwrap().is_err(), "{pace:?}: the end of the body is missing");
    }
    hub.stop();
}

#[tokio::test]
async fn connection_end_stops_document_sqlite() {
    connection_end_stops_document(None).await;
}

#[tokio::test]
async fn connection_end_stops_document_postgres() {
    connection_end_stops_document(Some(&create_database().await)).await;
}

/// The most that a client receives after the end of its connection: what was in the kernel's buffer for it, which is small
/// here. Without the reset, about 300 KiB would follow.
const MAX_RECEIVED_AFTER_END: usize = 64 * 1024;

/// Authorizes alice's app at the built program.
async fn obtain_tokens(site: &HubProcess, app: &TestClient) -> ConnectionTokens {
    let code = site.obtain_code_with_scope(app, "alice", SCOPE).await;
    ConnectionTokens::from_response(&site.api().redeem(app, &code).await, code)
}

/// Requests a document over HTTP/1, and reads only its beginning.
async fn open_document_slowly(site: &HubProcess, tokens: &ConnectionTokens) -> TcpStream {
    let uri: Uri = find_document_url(&site.hub_url, &tokens.access).await.parse().unwrap();
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let authority = uri.authority().unwrap();
    let mut reader = socket.connect(authority.as_str().parse().unwrap()).await.unwrap();
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Bearer {}\r\n\r\n",
        uri.path(),
        tokens.access
    );
    reader.write_all(request.as_bytes()).await.unwrap();
    let mut beginning = [0; 1024];
    reader.read_exact(&mut beginning).await.unwrap();
    assert!(beginning.starts_with(b"HTTP/1.1 200"));
    reader
}

#[tokio::test]
async fn slow_reader_is_reset_when_connection_ends() {
    let site = HubProcess::new(None).await;
    let stub = DocumentStub::start(Pace::Fast).await;
    let (app, hub) = serve_with_stub(&site, &stub).await;
    let tokens = obtain_tokens(&site, &app).await;
    let mut reader = open_document_slowly(&site, &tokens).await;
    stub.wait_until_blocked().await;

    assert_eq!(site.api().revoke(&tokens.access).await.status, 204);
    stub.wait_until_closed().await;
    let mut rest = Vec::new();
    let end = reader.read_to_end(&mut rest).await;

    assert!(rest.len() < MAX_RECEIVED_AFTER_END, "{} bytes after the end", rest.len());
    assert_eq!(end.map_err(|error| error.kind()), Err(std::io::ErrorKind::ConnectionReset));
    hub.stop();
}

/// Measures the time from the response to `revoke` until a document stops. The median of three rounds counts, because the machine
/// may be busy with other tests.
#[tokio::test]
async fn document_stops_within_a_second_of_the_end() {
    const LIMIT: Duration = Duration::from_secs(1);
    let site = HubProcess::new(None).await;
    let stub = DocumentStub::start(Pace::Fast).await;
    let (app, hub) = serve_with_stub(&site, &stub).await;
    for pace in [Pace::Fast, Pace::Silent] {
        stub.pace.send_replace(pace);
        let mut delays = Vec::new();
        for _ in 0..3 {
            let tokens = obtain_tokens(&site, &app).await;
            let reader = open_document_slowly(&site, &tokens).await;
            stub.wait_until_blocked().await;

            assert_eq!(site.api().revoke(&tokens.access).await.status, 204);
            let ended_at = Instant::now();
            stub.wait_until_closed().await;
            delays.push(stub.closed_at.lock().unwrap().saturating_duration_since(ended_at));
            drop(reader);
        }

        delays.sort_unstable();
        assert!(delays[1] < LIMIT, "{pace:?}: {delays:?}");
    }
    hub.stop();
}

async fn suspended_recipient_stops_document(kit: TestHub) {
    let stub = DocumentStub::start(Pace::Steady).await;
    let (tokens, url) = connect_to_stub(&kit, &stub).await;
    let document = open_document(&url, &tokens.access).await;
    let rest = tokio::spawn(document.bytes());

    let suspended = kit.send_admin_request(http::Method::POST, "/recipients/dc-sandbox/suspend").await;
    stub.wait_until_closed().await;

    assert!(matches!(suspended.status, 200 | 204), "{}", suspended.body);
    assert!(rest.await.unwrap().is_err());
}

async fn document_continues_after_expiry_of_token(kit: TestHub) {
    let stub = DocumentStub::start(Pace::Steady).await;
    let (tokens, url) = connect_to_stub(&kit, &stub).await;
    let mut document = open_document(&url, &tokens.access).await;

    kit.advance(Duration::from_mins(10));
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 401, "the token has expired");
    // More than one check takes place while these chunks arrive.
    let mut received = 0;
    while received < FIRST_CHUNK + 4 * 40 {
        received += document.chunk().await.unwrap().unwrap().len();
    }
    stub.pace.send_replace(Pace::Finish);

    assert!(
        document.bytes().await.unwrap().ends_with(b"%%EOF"),
        "the token was valid when the request began"
    );
}

/// Requests a document over HTTP/2, of which `window` bytes may be sent before the test reads.
async fn open_http2_document(url: &str, access: &str, window: u32) -> http::Response<hyper::body::Incoming> {
    let uri: Uri = url.parse().unwrap();
    let stream = TcpStream::connect(uri.authority().unwrap().as_str()).await.unwrap();
    let mut builder = hyper::client::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
    builder.initial_stream_window_size(window);
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = builder.handshake(io).await.unwrap();
    tokio::spawn(connection);
    let bearer = format!("Bearer {access}");
    let request = Request::get(uri).header("authorization", bearer).body(Body::empty()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    response
}

#[tokio::test]
async fn stopped_document_resets_its_http2_stream() {
    let kit = TestHub::new().await;
    let stub = DocumentStub::start(Pace::Silent).await;
    let (tokens, url) = connect_to_stub(&kit, &stub).await;
    let response = open_http2_document(&url, &tokens.access, 1 << 20).await;
    let body = tokio::spawn(axum::body::to_bytes(Body::new(response.into_body()), usize::MAX));

    assert_eq!(kit.revoke(&tokens.access).await.status, 204);
    stub.wait_until_closed().await;

    assert!(body.await.unwrap().is_err(), "the stream must not end cleanly");
}

#[tokio::test]
async fn slow_http2_reader_is_reset_when_connection_ends() {
    let kit = TestHub::new().await;
    let stub = DocumentStub::start(Pace::Fast).await;
    let (tokens, url) = connect_to_stub(&kit, &stub).await;
    let response = open_http2_document(&url, &tokens.access, 20_000).await;
    stub.wait_until_blocked().await;

    assert_eq!(kit.revoke(&tokens.access).await.status, 204);
    stub.wait_until_closed().await;

    let body = axum::body::to_bytes(Body::new(response.into_body()), usize::MAX).await;
    assert!(body.is_err(), "the stream must not end cleanly");
}

#[tokio::test]
async fn documents_are_limited_per_recipient_and_in_total() {
    let settings = [("limit.documents", "3"), ("limit.recipient_documents", "2")];
    let kit = TestHub::with_settings(&settings).await;
    let stub = DocumentStub::start(Pace::Silent).await;
    let (tokens, url) = connect_to_stub(&kit, &stub).await;
    let other = kit.register_recipient(&[1000], SCOPE, false).await;
    kit.update_provider_settings(1000, |settings| settings.fdx.base_url = stub.url.clone()).await;
    let others = kit.connect_at(1000, &other, "alice", &[], SCOPE).await;
    let others_url = find_document_url(&kit.url(""), &others.access).await;
    let code_of = async |response: reqwest::Response| {
        let status = response.status().as_u16();
        assert!(response.headers().contains_key("retry-after"));
        let body: serde_json::Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        (status, body["code"].as_u64().unwrap())
    };

    let first = [open_document(&url, &tokens.access).await, open_document(&url, &tokens.access).await];
    let third = code_of(open_document(&url, &tokens.access).await).await;
    let foreign = open_document(&others_url, &others.access).await;
    let full = code_of(open_document(&others_url, &others.access).await).await;
    assert_eq!(
        (first[0].status(), first[1].status(), foreign.status()),
        (http::StatusCode::OK, http::StatusCode::OK, http::StatusCode::OK)
    );
    drop((first, foreign));
    stub.wait_until_closed().await;
    let again = open_document(&url, &tokens.access).await;

    assert_eq!((third, full), ((429, 1207), (503, 500)));
    assert_eq!(again.status(), 200, "a document that was closed does not count");
}

#[tokio::test]
async fn document_that_is_not_taken_is_not_read_from_provider() {
    let kit = TestHub::with_settings(&[("upstream.max_statement", "1024MiB")]).await;
    let stub = DocumentStub::start(Pace::Fast).await;
    let (tokens, url) = connect_to_stub(&kit, &stub).await;

    let document = open_document(&url, &tokens.access).await;
    stub.wait_until_blocked().await;
    drop(document);

    stub.wait_until_closed().await;
}
