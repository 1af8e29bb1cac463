//! calls SOCKET N C [latency]: N times GET / with C in flight through hyperlocal (hyper-util's pooled client), on one
//! thread. C = 1 is the blocking program: one call after the other. download SOCKET TARGET: one answer, piece by piece.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use hyperlocal::{UnixConnector, Uri};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

async fn get(client: &Client<UnixConnector, Empty<Bytes>>, uri: hyper::Uri) -> bool {
    match client.get(uri).await {
        Ok(answer) => {
            answer.status() == 200
                && answer.into_body().collect().await.is_ok_and(|body| body.to_bytes().len() == 13)
        }
        Err(_) => false,
    }
}

async fn download(path: &str, target: &str) -> u64 {
    let client: Client<UnixConnector, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(UnixConnector);
    let answer = client.get(Uri::new(path, target).into()).await.unwrap();
    assert_eq!(answer.status(), 200);
    let (mut body, mut bytes) = (answer.into_body(), 0);
    while let Some(frame) = body.frame().await {
        bytes += frame.unwrap().data_ref().map_or(0, |data| data.len() as u64);
    }
    bytes
}

fn main() {
    let mut args = std::env::args().skip(1);
    let path = args.next().expect("calls SOCKET N C");
    let n = args.next().expect("N or TARGET");
    if n.starts_with('/') {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        println!("{} bytes", runtime.block_on(download(&path, &n)));
        return;
    }
    let n: u64 = n.parse().expect("N");
    let c: u64 = args.next().expect("C").parse().expect("C");
    let timed = args.next().is_some();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let local = tokio::task::LocalSet::new();
    let laps = Rc::new(RefCell::new(Vec::new()));
    let errors = local.block_on(&runtime, async {
        let client: Client<UnixConnector, Empty<Bytes>> =
            Client::builder(TokioExecutor::new()).pool_max_idle_per_host(c as usize).build(UnixConnector);
        let uri: hyper::Uri = Uri::new(&path, "/").into();
        let (left, errors) = (Rc::new(Cell::new(n)), Rc::new(Cell::new(0u64)));
        let tasks: Vec<_> = (0..c)
            .map(|_| {
                let (client, uri) = (client.clone(), uri.clone());
                let (left, errors, laps) = (left.clone(), errors.clone(), laps.clone());
                tokio::task::spawn_local(async move {
                    while left.get() > 0 {
                        left.set(left.get() - 1);
                        let begin = timed.then(Instant::now);
                        if !get(&client, uri.clone()).await {
                            errors.set(errors.get() + 1);
                        }
                        if let Some(begin) = begin {
                            laps.borrow_mut().push(begin.elapsed());
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        errors.get()
    });
    let mut laps = laps.take();
    laps.sort();
    if !laps.is_empty() {
        let us = |part: usize| laps[laps.len() * part / 1000].as_nanos() as f64 / 1e3;
        println!("latency {:.2} {:.2} {:.2}", us(500), us(990), us(999));
    }
    println!("{} answers, {errors} errors", n - errors);
    std::process::exit((errors > 0) as i32);
}
