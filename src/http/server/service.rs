//! hyper's service: from a request's head to the exchange, and from its answer to hyper's response.

use super::connection::{Link, Phase};
use super::exchange::{Answer, Exchange, Handler, Outcome};
use super::routes::Found;
use crate::http::body::{Collect, Collected, Uncollected, Whole};
use crate::limits::TARGET_MAX;
use crate::runtime::delivery::{Executor, Strand};
use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, request};
use hyper::body::{Body, Incoming};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use crate::limits::POOL_QUEUE;

pub struct Service(Rc<Link>);

/// Tells the link when hyper has let go of the answer's body.
pub struct Written(Rc<Link>);

impl Drop for Written {
    fn drop(&mut self) {
        self.0.answering.set(false);
    }
}

type Reply = Response<Whole<Written>>;

impl Service {
    pub fn new(link: Rc<Link>) -> Service {
        Service(link)
    }

    /// The handler of a request, or the answer that it gets instead.
    fn admit(&self, request: &Request<Incoming>) -> Result<Arc<Handler>, Refusal> {
        let shard = self.0.shard();
        let server = shard.server();
        check_host(request, server.config.strict_host)?;
        let uri = request.uri();
        if uri
            .path_and_query()
            .is_some_and(|target| target.as_str().len() > TARGET_MAX)
        {
            return Err(Refusal::text(
                StatusCode::URI_TOO_LONG,
                "the request target is too long\n",
            ));
        }
        let handler = match shard.routes.find(request.method(), uri.path()) {
            Found::Handler(handler) => handler.clone(),
            Found::Nothing => return Err(Refusal::text(StatusCode::NOT_FOUND, "404 not found\n")),
            Found::MethodNotAllowed(allow) => {
                let text = "405 method not allowed\n";
                let refusal = Refusal::text(StatusCode::METHOD_NOT_ALLOWED, text);
                return Err(refusal.with(ALLOW, allow));
            }
        };
        let full = match &shard.executor {
            Executor::Queue(queue) => queue.len() >= POOL_QUEUE,
            Executor::Inline(_) => false,
        };
        if full || server.requests.load(Ordering::Relaxed) >= server.config.max_requests {
            let text = "503 too many requests are waiting\n";
            let refusal = Refusal::text(StatusCode::SERVICE_UNAVAILABLE, text);
            return Err(refusal.with(RETRY_AFTER, HeaderValue::from_static("1")));
        }
        Ok(handler)
    }

    fn refuse(&self, refusal: Refusal, unread: bool) -> Answering {
        self.0.early.set(unread);
        Answering {
            link: self.0.clone(),
            step: Step::Refuse(Some((refusal, unread))),
            counted: false,
        }
    }
}

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Reply;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        let link = &self.0;
        let has_body = !request.body().is_end_stream();
        let handler = match self.admit(&request) {
            Ok(handler) => handler,
            Err(refusal) => return self.refuse(refusal, has_body),
        };
        let server = link.shard().server();
        let (head, body) = request.into_parts();
        server.requests.fetch_add(1, Ordering::Relaxed);
        let mut answering = Answering {
            link: link.clone(),
            step: Step::Done,
            counted: true,
        };
        if !has_body {
            let announced = head.headers.contains_key(CONTENT_LENGTH);
            let body = if announced {
                Collected::empty()
            } else {
                Collected::default()
            };
            answering.step = begin(link, head, body, handler);
            return answering;
        }
        link.set_phase(Phase::Body);
        match Collect::new(body, server.config.max_body) {
            Ok(collect) => {
                answering.step = Step::Collect(Some(Box::new((collect, head, handler))));
                answering
            }
            Err(error) => {
                drop(answering);
                self.refuse(Refusal::of(&error), true)
            }
        }
    }
}

/// Makes the exchange and runs or posts its handler.
fn begin(link: &Rc<Link>, head: request::Parts, body: Collected, handler: Arc<Handler>) -> Step {
    let shard = link.shard();
    link.set_phase(Phase::Handler);
    let exchange = Exchange::new(
        shard.server().clone(),
        shard.thread.clone(),
        Strand::new(shard.executor.clone()),
        head,
        body,
        handler,
        link.take_spare(),
    );
    link.set_exchange(exchange.clone());
    exchange.begin();
    Step::Wait(exchange)
}

/// The future of one answer.
pub struct Answering {
    link: Rc<Link>,
    step: Step,
    /// Counts among the requests in flight.
    counted: bool,
}

enum Step {
    Refuse(Option<(Refusal, bool)>),
    Collect(Option<Box<(Collect, request::Parts, Arc<Handler>)>>),
    Wait(Arc<Exchange>),
    Done,
}

impl Answering {
    fn poll_collect(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Step::Collect(slot) = &mut self.step else {
            return Poll::Ready(());
        };
        let (collect, ..) = &mut **slot.as_mut().expect("taken with the step");
        let collected = ready!(collect.poll(cx));
        let (_, head, handler) = *slot.take().expect("taken with the step");
        self.step = match collected {
            Ok(body) => begin(&self.link, head, body, handler),
            Err(error) => {
                self.link.early.set(true);
                Step::Refuse(Some((Refusal::of(&error), true)))
            }
        };
        Poll::Ready(())
    }

    /// Makes hyper's response of an answer.
    fn reply(&mut self, answer: Answer, close: bool) -> Reply {
        let link = &self.link;
        link.end_exchange();
        link.set_phase(Phase::Answer);
        link.answering.set(true);
        let mut reply = Response::new(Whole::new(answer.body, Written(link.clone())));
        *reply.status_mut() = answer.status;
        *reply.headers_mut() = answer.headers;
        if close || link.shard().is_draining() {
            reply
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        reply
    }
}

impl Future for Answering {
    type Output = Result<Reply, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let (answer, close) = match &mut this.step {
                Step::Collect(_) => {
                    ready!(this.poll_collect(cx));
                    continue;
                }
                Step::Refuse(refusal) => {
                    let (refusal, close) = refusal.take().expect("polled once to its end");
                    (refusal.into_answer(), close)
                }
                Step::Wait(exchange) => match ready!(exchange.poll_outcome(cx)) {
                    Outcome::Answer(answer) => (answer, false),
                    Outcome::Gone => (nobody(), false),
                },
                Step::Done => unreachable!("polled after its end"),
            };
            this.step = Step::Done;
            return Poll::Ready(Ok(this.reply(answer, close)));
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if self.counted {
            self.link
                .shard()
                .server()
                .requests
                .fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// An answer that the library gives by itself.
struct Refusal {
    status: StatusCode,
    text: &'static str,
    header: Option<(http::HeaderName, HeaderValue)>,
}

impl Refusal {
    fn text(status: StatusCode, text: &'static str) -> Refusal {
        Refusal {
            status,
            text,
            header: None,
        }
    }

    fn with(mut self, name: http::HeaderName, value: HeaderValue) -> Refusal {
        self.header = Some((name, value));
        self
    }

    fn of(error: &Uncollected) -> Refusal {
        match error {
            Uncollected::TooLarge => {
                Refusal::text(StatusCode::PAYLOAD_TOO_LARGE, "413 the body is too large\n")
            }
            Uncollected::Broken(_) => Refusal::text(
                StatusCode::BAD_REQUEST,
                "400 the body is malformed or ended early\n",
            ),
        }
    }

    fn into_answer(self) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        headers.extend(self.header);
        Answer {
            status: self.status,
            headers,
            body: Bytes::from_static(self.text.as_bytes()),
        }
    }
}

/// What hyper writes to a stream that nobody reads.
fn nobody() -> Answer {
    Answer {
        status: StatusCode::NO_CONTENT,
        headers: HeaderMap::new(),
        body: Bytes::new(),
    }
}

/// RFC 9112, section 3.2: one Host, and a sane one. Empty and odd values are let through unless `strict`:
/// clients on Unix sockets send them, and no name is resolved here.
fn check_host(request: &Request<Incoming>, strict: bool) -> Result<(), Refusal> {
    let bad = |text| Err(Refusal::text(StatusCode::BAD_REQUEST, text));
    let mut hosts = request.headers().get_all(HOST).iter();
    let Some(host) = hosts.next() else {
        if request.version() < Version::HTTP_11 {
            return Ok(());
        }
        return bad("400 the Host header is missing\n");
    };
    if hosts.next().is_some() {
        return bad("400 more than one Host header\n");
    }
    let host = host.as_bytes();
    if host
        .iter()
        .any(|b| matches!(b, 0..=b' ' | 127 | b',' | b'@' | b'/'))
    {
        return bad("400 the Host header is malformed\n");
    }
    if strict
        && std::str::from_utf8(host)
            .ok()
            .and_then(|h| h.parse::<http::uri::Authority>().ok())
            .is_none()
    {
        return bad("400 the Host header is not a host\n");
    }
    Ok(())
}
