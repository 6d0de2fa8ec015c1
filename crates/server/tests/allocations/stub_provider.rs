//! A data provider that responds to every request with the same two accounts. It runs on a thread of its own.

use std::io::{Read, Write};
use std::net::TcpListener;

const ACCOUNTS: &str = r#"{"page":{"totalElements":2},"links":{},"accounts":[
{"depositAccount":{"accountId":"a1","accountCategory":"DEPOSIT_ACCOUNT","accountType":"CHECKING","accountNumberDisplay":"****1234","productName":"Everyday","nickname":"Everyday","status":"OPEN","currency":{"currencyCode":"CAD"}}},
{"locAccount":{"accountId":"a2","accountCategory":"LOC_ACCOUNT","accountType":"CREDITCARD","accountNumberDisplay":"****9876","productName":"Card","nickname":"Card","status":"OPEN","currency":{"currencyCode":"CAD"}}}]}"#;

/// Starts the provider and returns its origin. It serves until the process ends.
pub(crate) fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let response = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{ACCOUNTS}",
        ACCOUNTS.len()
    );
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut received = Vec::new();
            let mut buffer = [0; 4096];
            // A request has no body, so it ends with an empty line.
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                received.extend_from_slice(&buffer[..length]);
                if received.ends_with(b"\r\n\r\n") {
                    received.clear();
                    stream.write_all(response.as_bytes()).unwrap();
                }
            }
        }
    });
    origin
}
