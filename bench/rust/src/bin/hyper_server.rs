//! server SOCKET: plain hyper, as hyperlocal's examples do it: tokio's listener, TokioIo, hyper's http1,
//! one task for each connection, one thread.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::UnixListener;

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let path = request.uri().path();
    let (status, text) = if path == "/" || path == "/upload" {
        (StatusCode::OK, &b"Hello, world!"[..])
    } else if let Some(ms) = path.strip_prefix("/slow/") {
        let pause = Duration::from_millis(ms.parse().unwrap_or(0));
        tokio::task::spawn_blocking(move || std::thread::sleep(pause)).await.unwrap();
        (StatusCode::OK, &b"Hello, world!"[..])
    } else {
        (StatusCode::NOT_FOUND, &b"not found\n"[..])
    };
    if request.method() == "POST" {
        let mut body = request.into_body();
        while let Some(frame) = body.frame().await {
            frame?;
        }
    }
    let mut response = Response::new(Full::new(Bytes::from_static(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

fn main() {
    let path = std::env::args().nth(1).expect("server SOCKET");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        let listener = UnixListener::bind(&path).unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service_fn(answer))
                    .await;
            });
        }
    });
}
