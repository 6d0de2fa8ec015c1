//! Support for tests that send raw requests, which no HTTP client would send.

use std::net::SocketAddr;
use std::time::Duration;

use bowline::app::App;
use bowline::cli::{BrowserResponse, find_hidden_field};
use bowline::config::ServerSection;
use bowline::http::{HostPolicy, Route};
use bowline::router::build_service;
use bowline::server::serve;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{TestHub, assert_documented};

/// A request whose target, headers and body are sent unchanged.
#[derive(Clone, Debug)]
pub(crate) struct RawRequest {
    method: String,
    target: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl RawRequest {
    pub(crate) fn new(method: &str, target: impl Into<Vec<u8>>) -> Self {
        Self { method: method.to_owned(), target: target.into(), headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn get(target: impl Into<Vec<u8>>) -> Self {
        Self::new("GET", target)
    }

    pub(crate) fn post(target: impl Into<Vec<u8>>, media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let post = Self::new("POST", target).header("content-type", media_type);
        Self { body: body.into(), ..post }
    }

    /// Replaces the method of the request.
    pub(crate) fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// Sends the request over a new connection and reads the response. Status 0 means no response.
    pub(crate) async fn send_to(&self, address: SocketAddr) -> BrowserResponse {
        self.send_over(TcpStream::connect(address).await.unwrap()).await
    }

    /// Sends the request over a stream, such as a socket, and reads the response.
    pub(crate) async fn send_over(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> BrowserResponse {
        // A request that is rejected early is not read completely.
        let _ = stream.write_all(&self.to_bytes()).await;
        let mut received = Vec::new();
        let _ = stream.read_to_end(&mut received).await;
        let answer = parse_response(&received);
        assert_documented(&self.method, &String::from_utf8_lossy(&self.target), &answer);
        answer
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = [self.method.as_bytes(), b" ", &self.target, b" HTTP/1.1\r\n"].concat();
        bytes.extend(b"connection: close\r\n");
        if !self.headers.iter().any(|(name, _)| name == "host") {
            bytes.extend(b"host: localhost\r\n");
        }
        for (name, value) in &self.headers {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        let chunked = self.headers.iter().any(|(name, _)| name == "transfer-encoding");
        if !chunked && (self.method == "POST" || !self.body.is_empty()) {
            bytes.extend(format!("content-length: {}\r\n", self.body.len()).bytes());
        }
        bytes.extend(b"\r\n");
        bytes.extend(&self.body);
        bytes
    }
}

/// Starts a listener for a table of routes for the duration of the test, and returns its address.
pub(crate) async fn spawn_listener(app: &App, table: Vec<Route>, section: &ServerSection) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (service, section) = (build_service(app, table, HostPolicy::Any), section.clone());
    tokio::spawn(async move { serve(listener, service, &section, std::future::pending()).await });
    address
}

impl TestHub {
    /// Sends a request to the public or the admin listener, depending on its target.
    pub(crate) async fn send_raw(&self, raw: &RawRequest) -> BrowserResponse {
        let node = &self.world.node;
        raw.send_to(if raw.target.starts_with(b"/admin/") { node.admin } else { node.address }).await
    }

    /// Opens an authorization request and consents on the hub's page; returns the response to the consent and the cookie.
    pub(crate) async fn approve_consent_raw(&self, url: &str) -> (BrowserResponse, String) {
        let began = self.send_raw(&RawRequest::get(url)).await;
        let (at, cookie) = (began.location.clone().unwrap(), read_set_cookie(&began));
        let page = self.send_raw(&RawRequest::get(at.clone()).header("cookie", cookie.clone())).await;
        let token = find_hidden_field(&page.body, "csrf_token").unwrap();
        let consent = RawRequest::post(
            at,
            "application/x-www-form-urlencoded",
            format!("csrf_token={token}&decision=approve"),
        );
        (self.send_raw(&consent.header("cookie", cookie.clone())).await, cookie)
    }
}

/// Returns the name and value of the cookie that a response sets.
pub(crate) fn read_set_cookie(answer: &BrowserResponse) -> String {
    answer.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned()
}

fn parse_response(received: &[u8]) -> BrowserResponse {
    let end = received.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(received.len());
    let all = received[..end].split(|b| *b == b'\n').map(<[u8]>::trim_ascii);
    let mut lines = all.filter(|line| !line.is_empty());
    let first = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let status = first.split(' ').nth(1).map_or(0, |status| status.parse().unwrap());
    let mut headers = HeaderMap::new();
    for line in lines {
        let colon = line.iter().position(|b| *b == b':').unwrap();
        let name = HeaderName::from_bytes(&line[..colon]).unwrap();
        headers.append(name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).unwrap());
    }
    assert!(!headers.contains_key("transfer-encoding"), "responses have a length: {headers:?}");
    let location = headers.get("location").map(|value| value.to_str().unwrap().to_owned());
    let body = String::from_utf8_lossy(received.get(end + 4..).unwrap_or_default()).into_owned();
    BrowserResponse { status, location, body, elapsed: Duration::ZERO, headers }
}
