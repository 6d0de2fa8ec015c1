//! HTTP requests as bytes. They are built before a measurement, so that the time to build them is not measured.

use std::net::SocketAddr;

use bytes::Bytes;
use domain::Secret;

use crate::target::TargetRecipient;

/// Builds requests of one recipient to one hub.
pub(crate) struct RequestBuilder {
    host: String,
    recipient: TargetRecipient,
}

impl RequestBuilder {
    pub(crate) fn new(address: SocketAddr, recipient: TargetRecipient) -> Self {
        Self { host: address.to_string(), recipient }
    }

    /// Builds a request with a bearer token and without a body.
    pub(crate) fn with_bearer(&self, method: &str, path: &str, token: &Secret<String>) -> Bytes {
        let (host, token) = (&self.host, token.expose());
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n").into()
    }

    /// Builds a token request that authenticates in the body (RFC 6749 §2.3.1).
    pub(crate) fn token_request(&self, fields: &str) -> Bytes {
        let TargetRecipient { client_id, client_secret, .. } = self.recipient;
        let body = format!("client_id={client_id}&client_secret={client_secret}&{fields}");
        let (host, length) = (&self.host, body.len());
        format!(
            "POST /api/v1/token HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .into()
    }

    pub(crate) fn refresh_request(&self, refresh_token: &str) -> Bytes {
        self.token_request(&format!("grant_type=refresh_token&refresh_token={refresh_token}"))
    }

    /// Builds a token request that exchanges an authorization code.
    pub(crate) fn code_request(&self, code: &str) -> Bytes {
        let redirect_uri: String =
            form_urlencoded::byte_serialize(self.recipient.redirect_uri.as_bytes()).collect();
        self.token_request(&format!("grant_type=authorization_code&code={code}&redirect_uri={redirect_uri}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_complete_http_messages() {
        let recipient = TargetRecipient {
            client_id: "dc-1",
            client_secret: "hunter2",
            redirect_uri: "https://app.example.org/back",
            scope: "ACCOUNT_BASIC",
        };
        let requests = RequestBuilder::new(([127, 0, 0, 1], 8400).into(), recipient);

        let read = requests.with_bearer("GET", "/x", &Secret::from("t"));
        let exchange = requests.code_request("c");

        assert_eq!(&read[..], b"GET /x HTTP/1.1\r\nHost: 127.0.0.1:8400\r\nAuthorization: Bearer t\r\n\r\n");
        let exchange = String::from_utf8(exchange.to_vec()).unwrap();
        let (header, body) = exchange.split_once("\r\n\r\n").unwrap();
        assert!(header.ends_with(&format!("Content-Length: {}", body.len())), "{header}");
        assert!(body.ends_with("&code=c&redirect_uri=https%3A%2F%2Fapp.example.org%2Fback"), "{body}");
    }
}
