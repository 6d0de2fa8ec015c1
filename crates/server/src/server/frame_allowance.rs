//! The number of empty HTTP/2 frames that a client may send.
//!
//! A `WINDOW_UPDATE`, `PRIORITY`, `PING` or `SETTINGS` frame, and one of a few bytes of a body, costs the hub as much work as a
//! large frame, and the HTTP library accepts any number of them. Each connection therefore has an allowance for such frames.
//! Requests, responses and time refill it, so that a client that uses its connection never exhausts it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The allowance of a new connection, and its maximum. Such a number of frames takes a few milliseconds.
const MAX_FRAMES: u32 = 10_000;
/// The number of frames that each request adds.
const FRAMES_PER_REQUEST: u32 = 32;
/// The number of bytes of a response that add one frame. Clients send about two frames for each 16 KiB that they receive.
const RESPONSE_BYTES_PER_FRAME: usize = 32;
/// The time that adds one frame, for the keep-alive frames of a client without requests.
const TIME_PER_FRAME: Duration = Duration::from_millis(100);
/// The length from which a payload is no longer small.
const SMALL_PAYLOAD_BYTES: u32 = 256;

/// The bytes with which a client begins HTTP/2 (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The length of the header of a frame (RFC 9113 §4.1).
const FRAME_HEADER_LEN: usize = 9;
/// The types of frames that contain the headers of a request. The HTTP library limits them itself.
const HEADERS: u8 = 0x1;
const CONTINUATION: u8 = 0x9;

/// Error for a client that has sent more empty frames than its allowance.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client sends too many empty frames")]
pub(super) struct TooManyEmptyFrames;

/// The additions of requests to the allowance of a connection, and whether it was exhausted.
#[derive(Default)]
pub(super) struct FrameCredit {
    requests: AtomicU32,
    is_exhausted: AtomicBool,
}

impl FrameCredit {
    /// Adds to the allowance, because a request has begun.
    pub(super) fn record_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns whether the client has sent too many empty frames.
    pub(super) fn is_exhausted(&self) -> bool {
        self.is_exhausted.load(Ordering::Relaxed)
    }
}

/// The allowance of one connection for empty frames.
pub(super) struct FrameAllowance {
    scanner: FrameScanner,
    frames: u32,
    refilled_at: Instant,
    /// The bytes that were sent and have not added a frame yet.
    sent_bytes: usize,
    credit: Arc<FrameCredit>,
}

impl FrameAllowance {
    /// Creates the allowance of a new connection.
    pub(super) fn new(credit: Arc<FrameCredit>, now: Instant) -> Self {
        let scanner = FrameScanner::Preface { matched: 0 };
        Self { scanner, frames: MAX_FRAMES, refilled_at: now, sent_bytes: 0, credit }
    }

    /// Counts the empty frames among received bytes.
    pub(super) fn receive(&mut self, bytes: &[u8], now: Instant) -> Result<(), TooManyEmptyFrames> {
        let empty_frames = self.scanner.count_empty_frames(bytes);
        if empty_frames == 0 {
            return Ok(());
        }
        self.refill(now);
        self.frames = self.frames.checked_sub(empty_frames).ok_or_else(|| {
            self.credit.is_exhausted.store(true, Ordering::Relaxed);
            TooManyEmptyFrames
        })?;
        Ok(())
    }

    /// Records bytes that the client has taken.
    pub(super) const fn record_sent(&mut self, bytes: usize) {
        self.sent_bytes = self.sent_bytes.saturating_add(bytes);
    }

    fn refill(&mut self, now: Instant) {
        let periods =
            now.saturating_duration_since(self.refilled_at).as_millis() / TIME_PER_FRAME.as_millis();
        let by_time = u32::try_from(periods).unwrap_or(u32::MAX).min(MAX_FRAMES);
        if by_time == MAX_FRAMES {
            self.refilled_at = now;
        } else {
            // The rest of the time counts at the next refill.
            self.refilled_at += TIME_PER_FRAME * by_time;
        }
        let by_requests = self.credit.requests.swap(0, Ordering::Relaxed).saturating_mul(FRAMES_PER_REQUEST);
        let by_responses = u32::try_from(self.sent_bytes / RESPONSE_BYTES_PER_FRAME).unwrap_or(u32::MAX);
        self.sent_bytes %= RESPONSE_BYTES_PER_FRAME;
        let earned = by_time.saturating_add(by_requests).saturating_add(by_responses);
        self.frames = self.frames.saturating_add(earned).min(MAX_FRAMES);
    }
}

/// Finds the frames in the bytes that a client sends, which arrive in parts of any length.
enum FrameScanner {
    /// The beginning of a connection, of which this number of bytes equals the preface of HTTP/2.
    Preface { matched: usize },
    /// A connection with another version of HTTP, which has no frames.
    NoFrames,
    /// The header of a frame, of which some bytes have arrived.
    Header { bytes: [u8; FRAME_HEADER_LEN], filled: usize },
    /// The payload of a frame, of which some bytes are missing.
    Payload { missing: usize },
}

impl FrameScanner {
    const FRAME_START: Self = Self::Header { bytes: [0; FRAME_HEADER_LEN], filled: 0 };

    /// Returns the number of frames that begin in these bytes and have no headers of a request, and a small payload or none.
    fn count_empty_frames(&mut self, mut input: &[u8]) -> u32 {
        let mut empty_frames = 0;
        while !input.is_empty() {
            let used = match self {
                Self::NoFrames => return empty_frames,
                Self::Preface { matched } => {
                    let length = input.len().min(PREFACE.len() - *matched);
                    if input[..length] != PREFACE[*matched..*matched + length] {
                        *self = Self::NoFrames;
                        return empty_frames;
                    }
                    *matched += length;
                    if *matched == PREFACE.len() {
                        *self = Self::FRAME_START;
                    }
                    length
                }
                Self::Header { bytes, filled } => {
                    let length = input.len().min(FRAME_HEADER_LEN - *filled);
                    bytes[*filled..*filled + length].copy_from_slice(&input[..length]);
                    *filled += length;
                    if *filled == FRAME_HEADER_LEN {
                        let [high, middle, low, kind, ..] = *bytes;
                        let payload = u32::from_be_bytes([0, high, middle, low]);
                        let has_headers = matches!(kind, HEADERS | CONTINUATION);
                        empty_frames += u32::from(!has_headers && payload < SMALL_PAYLOAD_BYTES);
                        *self = Self::after_header(payload as usize);
                    }
                    length
                }
                Self::Payload { missing } => {
                    let length = input.len().min(*missing);
                    *missing -= length;
                    if *missing == 0 {
                        *self = Self::FRAME_START;
                    }
                    length
                }
            };
            input = &input[used..];
        }
        empty_frames
    }

    const fn after_header(payload: usize) -> Self {
        if payload == 0 { Self::FRAME_START } else { Self::Payload { missing: payload } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW_UPDATE: u8 = 0x8;
    const DATA: u8 = 0x0;

    fn frame(kind: u8, payload: u32) -> Vec<u8> {
        let [_, high, middle, low] = payload.to_be_bytes();
        let mut bytes = vec![high, middle, low, kind, 0, 0, 0, 0, 1];
        bytes.resize(FRAME_HEADER_LEN + payload as usize, 0xff);
        bytes
    }

    fn open_connection() -> (FrameAllowance, Arc<FrameCredit>, Instant) {
        let (credit, now) = (Arc::<FrameCredit>::default(), Instant::now());
        let mut allowance = FrameAllowance::new(Arc::clone(&credit), now);
        allowance.receive(PREFACE, now).unwrap();
        (allowance, credit, now)
    }

    fn send_empty_frames(
        allowance: &mut FrameAllowance,
        number: u32,
        now: Instant,
    ) -> Result<(), TooManyEmptyFrames> {
        allowance.receive(&frame(WINDOW_UPDATE, 4).repeat(number as usize), now)
    }

    #[test]
    fn empty_frames_are_counted_in_any_division() {
        let connection = [
            PREFACE.to_vec(),
            frame(HEADERS, 100),
            frame(WINDOW_UPDATE, 4),
            frame(DATA, 0),
            frame(DATA, SMALL_PAYLOAD_BYTES - 1),
            frame(DATA, SMALL_PAYLOAD_BYTES),
            frame(CONTINUATION, 0),
            frame(DATA, 70_000),
            frame(0x2, 5),
        ]
        .concat();

        for length in 1..300 {
            let mut scanner = FrameScanner::Preface { matched: 0 };
            let empty: u32 = connection.chunks(length).map(|part| scanner.count_empty_frames(part)).sum();
            assert_eq!(empty, 4, "in parts of {length} bytes");
        }
    }

    #[test]
    fn bytes_of_http1_are_no_frames() {
        for text in ["GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n", "P"] {
            let mut scanner = FrameScanner::Preface { matched: 0 };
            let input = [text.as_bytes(), &[0; 1000]].concat();
            assert_eq!(scanner.count_empty_frames(&input), 0, "{text}");
        }
    }

    #[test]
    fn empty_frames_above_allowance_are_rejected() {
        let (mut allowance, credit, now) = open_connection();

        assert_eq!(send_empty_frames(&mut allowance, MAX_FRAMES, now), Ok(()));
        assert!(!credit.is_exhausted());
        assert_eq!(send_empty_frames(&mut allowance, 1, now), Err(TooManyEmptyFrames));
        assert!(credit.is_exhausted());
    }

    #[test]
    fn requests_responses_and_time_refill_allowance() {
        let (mut allowance, credit, now) = open_connection();
        send_empty_frames(&mut allowance, MAX_FRAMES, now).unwrap();

        credit.record_request();
        assert_eq!(send_empty_frames(&mut allowance, FRAMES_PER_REQUEST, now), Ok(()));
        allowance.record_sent(RESPONSE_BYTES_PER_FRAME - 1);
        allowance.record_sent(RESPONSE_BYTES_PER_FRAME + 1);
        assert_eq!(send_empty_frames(&mut allowance, 2, now), Ok(()));
        let later = now + TIME_PER_FRAME * 3 / 2;
        assert_eq!(send_empty_frames(&mut allowance, 1, later), Ok(()));
        assert_eq!(send_empty_frames(&mut allowance, 1, now + TIME_PER_FRAME * 2), Ok(()));
        assert_eq!(send_empty_frames(&mut allowance, 1, now + TIME_PER_FRAME * 2), Err(TooManyEmptyFrames));
    }

    #[test]
    fn allowance_never_exceeds_its_maximum() {
        let (mut allowance, credit, now) = open_connection();
        for _ in 0..MAX_FRAMES {
            credit.record_request();
        }
        allowance.record_sent(usize::MAX);
        let later = now + Duration::from_hours(24 * 365);

        assert_eq!(send_empty_frames(&mut allowance, MAX_FRAMES, later), Ok(()));
        assert_eq!(send_empty_frames(&mut allowance, 1, later), Err(TooManyEmptyFrames));
    }
}
