//! Tests of clients that open many connections, do not take their responses, or send empty frames: memory, connections, transfers
//! and processor time are limited.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::{ResponseFuture, SendRequest};
use http::{Method, Request, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{HubProcess, RunningHub, TestHub, wait_until};
use bowline::cli::BrowserRequest;

/// A large response that needs no token. Its JSON text has more than 200 KiB.
const LARGE: &str = "/openapi/admin.json";
/// A response of less than 1 KiB.
const SMALL: &str = "/static/bowline.svg";
const MIB: usize = 1 << 20;

type Connection = Pin<Box<dyn Future<Output = Result<(), h2::Error>> + Send>>;

/// An HTTP/2 client that takes only what the test reads.
struct Http2Client {
    requests: SendRequest<Bytes>,
    address: SocketAddr,
}

impl Http2Client {
    /// Connects from an address of this machine. Each stream may receive as many bytes as `window` before they are released.
    async fn connect(address: SocketAddr, source: &str, window: u32) -> (Self, Connection) {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(window).initial_connection_window_size(1 << 30).enable_push(false);
        let stream = connect_from(source, address).await.unwrap();
        let (requests, connection) = builder.handshake(stream).await.unwrap();
        (Self { requests, address }, Box::pin(connection))
    }

    /// Connects with a task that sends and receives in the background.
    async fn start(address: SocketAddr, window: u32) -> Self {
        let (client, connection) = Self::connect(address, "127.0.0.1", window).await;
        tokio::spawn(connection);
        client
    }

    async fn send(&mut self, path: &str, headers: &[(&str, &str)]) -> Result<ResponseFuture, h2::Error> {
        let mut request = Request::get(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut ready = self.requests.clone().ready().await?;
        ready.send_request(request.body(()).unwrap(), true).map(|(response, _)| response)
    }

    async fn get(&mut self, path: &str) -> (StatusCode, RecvStream) {
        let response = self.send(path, &[]).await.unwrap().await.unwrap();
        (response.status(), response.into_body())
    }
}

/// Reads a response completely, and returns its length.
async fn read_all(body: &mut RecvStream) -> Result<usize, h2::Error> {
    let mut received = 0;
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        received += chunk.len();
        body.flow_control().release_capacity(chunk.len())?;
    }
    Ok(received)
}

async fn connect_from(source: &str, address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(format!("{source}:0").parse().unwrap())?;
    socket.connect(address).await
}

/// Sends a request on a connection of its own and returns whether the hub responds.
async fn is_served(address: SocketAddr, source: &str) -> bool {
    let Ok(mut stream) = connect_from(source, address).await else { return false };
    let request = format!("GET {SMALL} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    if stream.write_all(request.as_bytes()).await.is_err() {
        return false;
    }
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response).await;
    response.starts_with(b"HTTP/1.1 200")
}

/// Returns the value of a counter, which is named with its labels.
async fn read_counter(kit: &TestHub, name: &str) -> u64 {
    let url = format!("http://{}/metrics", kit.world.node.probes);
    let metrics = kit.send(BrowserRequest::new(Method::GET, &url)).await.body;
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(0, |number| number.parse().unwrap())
}

/// Returns how often something was refused or ended for a reason.
async fn count_rejections(kit: &TestHub, reason: &str) -> u64 {
    read_counter(kit, &format!("bowline_listener_rejections_total{{reason=\"{reason}\"}}")).await
}

/// Returns the resident memory of the hub's process in bytes.
fn read_resident_bytes(hub: &RunningHub) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", hub.0.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// A connection that stays open, with its responses. The task of a client that does not read its socket is not run.
type StalledConnection = (Http2Client, Vec<ResponseFuture>, Option<Connection>);

/// Opens connections whose clients send many requests and read nothing.
async fn open_stalled_connections(address: SocketAddr, number: usize) -> Vec<StalledConnection> {
    let cookie = "c".repeat(12_000);
    let mut open = Vec::new();
    for index in 0..number {
        let source = format!("127.0.{}.1", 1 + index % 200);
        // Every other client offers a window for everything, but does not read its socket.
        let reads_socket = index % 2 == 0;
        let window = if reads_socket { 1 } else { 1 << 24 };
        let (mut client, mut connection) = Http2Client::connect(address, &source, window).await;
        let mut responses = Vec::new();
        let send_all = async {
            for stream in 0..120 {
                let path = [LARGE, "/docs/nothing", "/"][stream % 3];
                let Ok(response) = client.send(path, &[("cookie", &cookie)]).await else { break };
                responses.push(response);
            }
            std::future::pending::<()>().await;
        };
        let _ = tokio::time::timeout(Duration::from_millis(300), async {
            tokio::select! {
                _ = &mut connection => {}
                () = send_all => {}
            }
        })
        .await;
        let unread = if reads_socket {
            tokio::spawn(connection);
            None
        } else {
            Some(connection)
        };
        open.push((client, responses, unread));
    }
    open
}

#[tokio::test]
async fn clients_that_never_read_use_bounded_memory() {
    const RESPONSES: usize = 24 * MIB;
    let site = HubProcess::new(None).await;
    let settings = [
        ("BOWLINE_SERVER__RESPONSES", "24MiB"),
        ("BOWLINE_SERVER__CONNECTION_RESPONSES", "1MiB"),
        ("BOWLINE_SERVER__SEND_TIMEOUT", "1h"),
        ("BOWLINE_SERVER__IDLE_TIMEOUT", "1h"),
    ];
    let hub = site.serve_with(&settings, std::process::Stdio::null()).await;
    let address: SocketAddr = site.hub_url.trim_start_matches("http://").parse().unwrap();
    for path in [LARGE, "/", "/docs/nothing"] {
        site.browser
            .send(BrowserRequest::new(Method::GET, &format!("{}{path}", site.hub_url)))
            .await
            .unwrap();
    }
    let before = read_resident_bytes(&hub);

    let mut largest = 0;
    let mut open = Vec::new();
    for _ in 0..10 {
        open.extend(open_stalled_connections(address, 12).await);
        let grown = read_resident_bytes(&hub).saturating_sub(before);
        largest = largest.max(grown);
        println!("{} connections: {} KiB", open.len(), grown / 1024);
    }

    assert!(is_served(address, "127.0.250.1").await, "another client is served");
    // The rest is what 120 connections need themselves, and memory that the allocator keeps after it was freed.
    assert!(largest < RESPONSES + 24 * MIB, "the memory grew by {} MiB", largest / MIB);
}

#[tokio::test]
async fn http1_response_that_is_not_taken_frees_its_connection() {
    let kit = TestHub::with_settings(&[("server.send_timeout", "1s"), ("server.connections", "2")]).await;
    let address = kit.world.node.address;
    let mut stalled = Vec::new();
    for _ in 0..2 {
        let mut stream = connect_from("127.0.0.1", address).await.unwrap();
        let request = format!("GET {LARGE} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        // More than the buffers of the kernel on both sides.
        stream.write_all(request.repeat(20).as_bytes()).await.unwrap();
        stalled.push(stream);
    }

    assert!(is_served(address, "127.0.0.1").await, "the slots of the stalled connections are free");

    wait_until("both connections are ended", async || count_rejections(&kit, "send_timeout").await == 2)
        .await;
}

#[tokio::test]
async fn http2_response_that_is_not_taken_is_reset() {
    let kit = TestHub::with_settings(&[("server.send_timeout", "1s")]).await;
    let mut client = Http2Client::start(kit.world.node.address, 1000).await;
    let (_, mut unread) = client.get(LARGE).await;
    let (_, mut trickled) = client.get(LARGE).await;

    // A client that takes a little from time to time does not take the response in time.
    let trickling = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        loop {
            ticks.tick().await;
            if let Some(Err(error)) = trickled.data().await {
                return error.reason();
            }
            let _ = trickled.flow_control().release_capacity(10);
        }
    };
    let reason = tokio::time::timeout(Duration::from_secs(20), trickling).await;
    assert_eq!(reason.ok().flatten(), Some(h2::Reason::CANCEL), "the trickled response is reset");
    assert_eq!(read_all(&mut unread).await.unwrap_err().reason(), Some(h2::Reason::CANCEL));

    let (status, mut small) = client.get(SMALL).await;
    assert_eq!(status, StatusCode::OK, "the other streams of the connection go on");
    assert!(read_all(&mut small).await.is_ok());
    assert_eq!(count_rejections(&kit, "send_timeout").await, 2);
}

#[tokio::test]
async fn slow_reader_receives_complete_response() {
    let kit = TestHub::with_settings(&[("server.send_timeout", "1s")]).await;
    let mut client = Http2Client::start(kit.world.node.address, 30_000).await;
    let (_, mut body) = client.get(LARGE).await;
    let started = tokio::time::Instant::now();

    let (mut received, mut unreleased) = (0, 0);
    let mut ticks = tokio::time::interval(Duration::from_millis(250));
    while let Some(chunk) = body.data().await {
        received += chunk.as_ref().unwrap().len();
        unreleased += chunk.unwrap().len();
        if unreleased >= 30_000 {
            ticks.tick().await;
            body.flow_control().release_capacity(unreleased).unwrap();
            unreleased = 0;
        }
    }

    assert!(started.elapsed() > Duration::from_secs(3), "the test must take longer than the timeout");
    assert!(received > 500_000, "{received}");
    assert_eq!(count_rejections(&kit, "send_timeout").await, 0);
}

#[tokio::test]
async fn responses_of_one_connection_are_limited() {
    let kit = TestHub::with_settings(&[("server.connection_responses", "1MiB")]).await;
    let mut client = Http2Client::start(kit.world.node.address, 10_000).await;
    let mut first = Vec::new();
    for _ in 0..8 {
        first.push(client.send(LARGE, &[]).await.unwrap());
    }
    let mut bodies = Vec::new();
    let mut refused = 0;
    for response in first {
        // Requests that wait are not answered before earlier responses are taken.
        let Ok(response) = tokio::time::timeout(Duration::from_secs(2), response).await else { continue };
        let response = response.unwrap();
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            assert!(response.headers().contains_key("retry-after"));
            refused += 1;
        } else {
            bodies.push(response.into_body());
        }
    }

    assert_eq!(bodies.len(), 1, "only one response of this size is kept");
    assert!(is_served(kit.world.node.address, "127.0.0.1").await, "another connection is not affected");
    assert!(read_all(&mut bodies[0]).await.unwrap() > 500_000);
    assert_eq!(count_rejections(&kit, "connection_responses").await, refused);
    let (status, mut again) = client.get(LARGE).await;
    assert_eq!(status, StatusCode::OK);
    assert!(read_all(&mut again).await.is_ok(), "the connection continues when its client reads");
}

/// Returns the processor time that the hub's process has used.
fn read_processor_time(hub: &RunningHub) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", hub.0.id())).unwrap();
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    // The times in user mode and in the kernel, in hundredths of a second.
    let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// Sends HTTP/2 frames that ask for nothing, until the hub closes the connection. Returns the number of bytes that it and the
/// buffers of the kernel have taken.
async fn send_empty_frames(address: SocketAddr, frame: &[u8], max_bytes: usize) -> usize {
    let mut stream = connect_from("127.0.0.1", address).await.unwrap();
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    stream.write_all(&[&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings].concat()).await.unwrap();
    let frames = frame.repeat(1_000);
    let mut sent = 0;
    while sent < max_bytes && stream.write_all(&frames).await.is_ok() {
        sent += frames.len();
    }
    sent
}

#[tokio::test]
async fn connection_that_sends_empty_frames_is_closed() {
    const MAX_BYTES: usize = 32 * MIB;
    let site = HubProcess::new(None).await;
    let hub = site.serve(&[]).await;
    let address: SocketAddr = site.hub_url.trim_start_matches("http://").parse().unwrap();
    assert!(is_served(address, "127.0.0.1").await);
    let window_update: &[u8] = &[0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let priority: &[u8] = &[0, 0, 5, 2, 0, 0, 0, 0, 1, 0, 0, 0, 3, 16];
    let unknown: &[u8] = &[0, 0, 0, 0x77, 0, 0, 0, 0, 1];

    for (name, frame) in [("WINDOW_UPDATE", window_update), ("PRIORITY", priority), ("unknown", unknown)] {
        let before = read_processor_time(&hub);
        let sent = send_empty_frames(address, frame, MAX_BYTES).await;
        let used = read_processor_time(&hub).saturating_sub(before);
        println!("{name}: {sent} bytes, {used:?}");

        assert!(sent < MAX_BYTES, "{name}: the connection is still open");
        assert!(used < Duration::from_secs(1), "{name}: {used:?} of the processor");
    }
    assert!(is_served(address, "127.0.0.1").await, "other connections are served");
}

#[tokio::test]
async fn client_with_many_window_updates_is_served() {
    let kit = TestHub::new().await;
    let mut client = Http2Client::start(kit.world.node.address, 512).await;

    // The client sends a frame for each 256 bytes of a response: more frames than the allowance of a new connection.
    let mut received = 0;
    while received < 5 * MIB {
        let (status, mut body) = client.get(LARGE).await;
        assert_eq!(status, StatusCode::OK);
        received += read_all(&mut body).await.unwrap();
    }

    assert_eq!(count_rejections(&kit, "empty_frames").await, 0);
}

#[tokio::test]
async fn connections_are_limited_per_network() {
    let kit = TestHub::with_settings(&[("server.network_connections", "3")]).await;
    let address = kit.world.node.address;
    let mut open = Vec::new();
    for host in 1..=3 {
        open.push(connect_from(&format!("127.0.7.{host}"), address).await.unwrap());
    }

    wait_until("the fourth connection is closed", async || !is_served(address, "127.0.7.4").await).await;
    assert!(is_served(address, "127.0.8.4").await, "another network is not affected");
    assert!(count_rejections(&kit, "network_connections").await > 0);
    open.pop();
    wait_until("a closed connection does not count", async || is_served(address, "127.0.7.4").await).await;
}

#[tokio::test]
async fn connections_of_trusted_proxies_are_not_limited() {
    let settings = [("server.network_connections", "3"), ("server.trusted_proxies", "1")];
    let kit = TestHub::with_settings(&settings).await;
    let mut open = Vec::new();
    for _ in 0..9 {
        open.push(connect_from("127.0.7.1", kit.world.node.address).await.unwrap());
    }

    assert!(is_served(kit.world.node.address, "127.0.7.1").await);
    assert_eq!(count_rejections(&kit, "network_connections").await, 0);
}

#[tokio::test]
async fn pipelined_requests_wait_until_responses_are_read() {
    // The responses to HEAD are only headers.
    const REQUESTS: usize = 20_000;
    let kit = TestHub::new().await;
    let stream = connect_from("127.0.0.1", kit.world.node.address).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let sending = tokio::spawn(async move {
        let request = format!("HEAD {SMALL} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        writer.write_all(request.repeat(REQUESTS - 1).as_bytes()).await.unwrap();
        let last = format!("HEAD {SMALL} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        writer.write_all(last.as_bytes()).await.unwrap();
        writer
    });

    let mut served = 0;
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let before = std::mem::replace(&mut served, count_served(&kit).await);
        if served > 0 && served == before {
            break;
        }
    }

    assert!(served < 10_000, "{served} requests were served although no response was read");
    let mut responses = Vec::new();
    reader.read_to_end(&mut responses).await.unwrap();
    let status_line = b"HTTP/1.1 200 OK";
    let received = responses.windows(status_line.len()).filter(|text| text == status_line).count();
    assert_eq!(received, REQUESTS, "every request has a response");
    drop(sending.await.unwrap());
}

/// Returns how many requests for the small response were served.
async fn count_served(kit: &TestHub) -> u64 {
    let labels = format!("{{api=\"page\",route=\"{SMALL}\",status=\"200\"}}");
    read_counter(kit, &format!("bowline_http_requests_total{labels}")).await
}
