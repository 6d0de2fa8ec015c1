//! Serves the requests of one connection.

use std::convert::Infallible;
use std::future::Future;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use http::{Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::Watcher;
use tokio::io::{AsyncRead, AsyncWrite};

use super::frame_allowance::FrameCredit;
use super::idle_timeout::IdleTimeoutStream;
use super::transfer::{ResponseBody, Transfer, TransferEnd, run_transfer};
use crate::app::App;
use crate::config::ServerSection;
use crate::http::{RemotePeer, RequestDispatcher};
use crate::rate_limit::Network;
use crate::response_guard::ResponseGuard;

/// The memory of a stream of HTTP/2, without its headers and its body.
const STREAM_BYTES: usize = 8 * 1024;
/// The memory of a header, without its name and value.
const HEADER_BYTES: usize = 64;

/// Serves a connection until it ends. It is closed if its client does not take the responses, or may not have them any more.
pub(super) async fn serve_connection<S>(
    stream: S,
    peer: RemotePeer,
    service: RequestDispatcher,
    section: &ServerSection,
    watcher: Watcher,
) where
    S: AsyncRead + AsyncWrite + AsFd + Unpin + Send + 'static,
{
    let app = service.app().clone();
    let connection = app.response_memory().open_connection(peer.address().map(Network::from_address));
    let send_timeout = section.send_timeout.duration();
    let executor = StreamExecutor { app: app.clone(), started: Arc::default(), send_timeout };
    let started = Arc::clone(&executor.started);
    let transfer = Arc::<Transfer>::default();
    let (memory, connection_transfer) = (Arc::clone(connection.memory()), Arc::clone(&transfer));
    let credit = Arc::<FrameCredit>::default();
    let request_credit = Arc::clone(&credit);
    let service = service_fn(move |request: Request<Incoming>| {
        request_credit.record_request();
        let stream_transfer = (request.version() == Version::HTTP_2).then(|| started.announce());
        let slot = memory.start_request(stream_transfer.as_ref().map_or(0, |_| measure_request(&request)));
        let (service, connection_transfer) = (service.clone(), Arc::clone(&connection_transfer));
        async move {
            let mut slot = slot;
            slot.wait_for_space().await;
            let mut response = service.handle_with_memory(request.map(Body::new), peer, &mut slot).await;
            let guard = response.extensions_mut().remove::<ResponseGuard>();
            Ok::<_, Infallible>(response.map(|body| {
                let body = match stream_transfer {
                    Some(transfer) => ResponseBody::on_stream(body, slot, transfer),
                    None => ResponseBody::on_connection(body, slot, connection_transfer),
                };
                body.guarded_by(guard)
            }))
        }
    });
    let stream =
        TokioIo::new(IdleTimeoutStream::new(stream, section, Arc::clone(&transfer), Arc::clone(&credit)));
    let builder = build_connection_builder(section, executor);
    let serving = watcher.watch(builder.serve_connection(stream, service).into_owned());
    tokio::select! {
        // Errors of the connection are aborted connections, which any client can cause: they are not worth a log line.
        served = run_transfer(serving, &transfer, send_timeout) => {
            if matches!(served, Err(TransferEnd::Stalled)) {
                app.telemetry().count_listener_rejection("send_timeout");
            } else if credit.is_exhausted() {
                app.telemetry().count_listener_rejection("empty_frames");
            }
        }
        () = connection.wait_for_eviction() => app.telemetry().count_listener_rejection("responses"),
    }
}

/// Returns the approximate memory of a request on a stream, which is needed until its response was taken.
fn measure_request(request: &Request<Incoming>) -> usize {
    let headers = request.headers().iter();
    let headers: usize = headers.map(|(name, value)| name.as_str().len() + value.len() + HEADER_BYTES).sum();
    STREAM_BYTES + headers + request.uri().path_and_query().map_or(0, |path| path.as_str().len())
}

fn build_connection_builder(section: &ServerSection, executor: StreamExecutor) -> Builder<StreamExecutor> {
    let mut builder = Builder::new(executor);
    // The bounds are far above real requests, and keep the memory of a connection small.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(section.header_timeout.duration())
        .max_buf_size(32 * 1024)
        .max_headers(64);
    // No keep-alive pings: the acknowledgements count as traffic and would defeat the idle timeout. The windows are for the
    // bodies of requests, of which the connection keeps as much as its window until they are read.
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(100)
        .max_header_list_size(16 * 1024)
        .max_send_buf_size(64 * 1024)
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(256 * 1024);
    builder
}

/// Runs the streams of one connection (HTTP/2) as tasks, and ends those whose client does not take the response.
#[derive(Clone)]
struct StreamExecutor {
    app: App,
    started: Arc<StartedStream>,
    send_timeout: Duration,
}

/// The transfer of the stream whose task starts next.
///
/// For each request, hyper calls the service and then immediately passes the task of the stream to the executor. A slot
/// for one transfer is therefore enough to connect them.
#[derive(Default)]
struct StartedStream(Mutex<Option<Arc<Transfer>>>);

impl StartedStream {
    fn announce(&self) -> Arc<Transfer> {
        let transfer = Arc::<Transfer>::default();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&transfer));
        transfer
    }

    fn take(&self) -> Option<Arc<Transfer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<F> hyper::rt::Executor<F> for StreamExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let Some(transfer) = self.started.take() else {
            tokio::spawn(stream);
            return;
        };
        let (app, send_timeout) = (self.app.clone(), self.send_timeout);
        tokio::spawn(async move {
            // A stream whose task is dropped is reset.
            if let Err(TransferEnd::Stalled) = run_transfer(stream, &transfer, send_timeout).await {
                app.telemetry().count_listener_rejection("send_timeout");
            }
        });
    }
}
