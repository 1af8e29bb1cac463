//! hyper's service: from a request's head to the exchange, and from its answer to hyper's response.

use super::admission::Refused;
use super::answer::{Answer, Payload};
use super::clock::Phase;
use super::framing::{Framing, keeps_connection};
use super::link::Link;
use super::outgoing::{Beside, File, Outgoing, Stream, Written};
use super::routes::{Found, Route};
use super::sending::Aside;
use crate::http::body::{Collect, Collected, Uncollected, Whole};
use crate::http::headers;
use crate::limits::{FILE_PIECE, TARGET_MAX};
use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, request};
use hyper::body::{Body, Incoming};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

pub struct Service(Rc<Link>);

type Reply = Response<Outgoing>;

impl Service {
    pub fn new(link: Rc<Link>) -> Service {
        Service(link)
    }

    /// The route of a request, or the answer that it gets instead.
    fn admit(
        &self,
        request: &Request<Incoming>,
        framing: &Framing<'_>,
    ) -> Result<&Arc<Route>, Refusal> {
        let link = &self.0;
        let shard = link.shard();
        let server = shard.server();
        let config = shard.config();
        link.check_connection(&config, request)
            .map_err(|refused| Refusal::user(refused).closing())?;
        framing
            .check_host(request.version(), config.strict_host)
            .map_err(Refusal::framing)?;
        if request.headers().len() > config.max_headers {
            let text = "431 too many headers\n";
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Err(Refusal::text(status, text).closing());
        }
        let uri = request.uri();
        if !uri.path().starts_with('/') && uri.path() != "*" {
            let text = "400 the request target is not a path\n";
            return Err(Refusal::text(StatusCode::BAD_REQUEST, text));
        }
        if uri
            .path_and_query()
            .is_some_and(|target| target.as_str().len() > TARGET_MAX)
        {
            return Err(Refusal::text(
                StatusCode::URI_TOO_LONG,
                "the request target is too long\n",
            ));
        }
        framing
            .check_coding(request.version())
            .map_err(Refusal::framing)?;
        let route = match shard.routes.find(request.method(), uri.path()) {
            Found::Route(route) => route,
            Found::Options(allow) => return Err(Refusal::options(allow)),
            Found::Nothing => return Err(Refusal::text(StatusCode::NOT_FOUND, "404 not found\n")),
            Found::MethodNotAllowed(allow) => {
                let text = "405 method not allowed\n";
                let refusal = Refusal::text(StatusCode::METHOD_NOT_ALLOWED, text);
                return Err(refusal.with(ALLOW, allow));
            }
        };
        link.check_request(&config, route, request)
            .map_err(Refusal::user)?;
        if shard.is_full() || server.requests.load(Ordering::Relaxed) >= config.max_requests {
            return Err(Refusal::overload());
        }
        Ok(route)
    }

    fn refuse(&self, refusal: Refusal, unread: bool) -> Answering {
        self.0.early.set(unread);
        let refusal = if unread { refusal.closing() } else { refusal };
        Answering {
            link: self.0.clone(),
            step: Step::Refuse(Box::new(refusal)),
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
        link.count_request(&request);
        link.begin_request();
        let framing = Framing::of(request.headers());
        let route = match self.admit(&request, &framing) {
            Ok(route) => route,
            Err(refusal) => return self.refuse(refusal, has_body),
        };
        link.trace_route(route);
        let has_length = framing.has_length;
        let (head, body) = request.into_parts();
        if !has_body {
            let body = if has_length {
                Collected::empty()
            } else {
                Collected::default()
            };
            link.begin_exchange(head, body, route);
            return Answering {
                link: link.clone(),
                step: Step::Wait,
                counted: false,
            };
        }
        if route.streaming {
            link.begin_stream(body);
            link.begin_exchange(head, Collected::default(), route);
            return Answering {
                link: link.clone(),
                step: Step::Wait,
                counted: false,
            };
        }
        link.set_phase(Phase::Body);
        let max_body = link.shard().config().max_body;
        let room = link.shard().take_room(&body);
        match Collect::new(body, max_body, room) {
            Ok(collect) => {
                let route = route.clone();
                let collecting = Box::new(Collecting {
                    collect,
                    head,
                    route,
                });
                Answering {
                    link: link.clone(),
                    step: Step::Collect(collecting),
                    counted: false,
                }
            }
            Err(error) => self.refuse(Refusal::of(&error), true),
        }
    }
}

/// The future of one answer.
pub struct Answering {
    link: Rc<Link>,
    step: Step,
    /// It was not answered at once, so it is in flight.
    counted: bool,
}

/// Small, since hyper moves it about: what is rare is boxed.
enum Step {
    Refuse(Box<Refusal>),
    Collect(Box<Collecting>),
    /// For the link's exchange.
    Wait,
    Done,
}

struct Collecting {
    collect: Collect,
    head: request::Parts,
    route: Arc<Route>,
}

impl Answering {
    fn poll_collect(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Step::Collect(collecting) = &mut self.step else {
            return Poll::Ready(());
        };
        let collected = ready!(collecting.collect.poll(cx));
        let Step::Collect(collecting) = std::mem::replace(&mut self.step, Step::Wait) else {
            return Poll::Ready(());
        };
        match collected {
            // Others may have come while the body did.
            Ok(_) if self.link.shard().is_full() => {
                self.step = Step::Refuse(Box::new(Refusal::overload()));
            }
            Ok(body) => self
                .link
                .begin_exchange(collecting.head, body, &collecting.route),
            Err(error) => {
                self.link.early.set(true);
                self.step = Step::Refuse(Box::new(Refusal::of(&error).closing()));
            }
        }
        Poll::Ready(())
    }

    /// The answer, once it is there, put into an empty one.
    #[inline]
    fn poll_answer(&mut self, cx: &mut Context<'_>, to: &mut Answer) -> Poll<()> {
        if let Step::Collect(_) = self.step {
            ready!(self.poll_collect(cx));
        }
        let link = &self.link;
        if let Step::Wait = self.step {
            if ready!(link.poll_answer(cx, to)) {
                link.count_answer(to.status);
            } else {
                // For a stream that nobody reads.
                link.shard().stats.unanswered.add(1);
            }
            return Poll::Ready(());
        }
        match std::mem::replace(&mut self.step, Step::Done) {
            Step::Refuse(refusal) => {
                link.shard().stats.refusal(refusal.status);
                link.count_answer(refusal.status);
                *to = refusal.answer();
                Poll::Ready(())
            }
            _ => unreachable!("polled after its end"),
        }
    }

    /// Makes hyper's response.
    #[inline]
    fn reply(&mut self, answer: Answer) -> Reply {
        let link = &self.link;
        let mut closes = link.shard().is_draining();
        let mut version = Version::HTTP_11;
        let body = match answer.payload {
            Payload::Whole(body) => {
                link.begin_answer(body.len());
                if link.is_unread() && !link.stream.is_sink() {
                    // An answer that does not wait for the request's end: nothing can follow it.
                    link.early.set(true);
                    closes = true;
                }
                Outgoing::Whole(Whole::new(body, Written::new(link.clone())))
            }
            Payload::Stream(length) => {
                let exchange = link.streamed();
                if length.is_none() && exchange.head().version() == 10 {
                    // Ends with the connection, so it must not promise to stay.
                    version = Version::HTTP_10;
                }
                link.begin_stream_answer();
                // From here on until the stream's end.
                link.in_flight.count(link);
                self.counted = false;
                Outgoing::Stream(Stream::new(exchange, link.clone(), length))
            }
            // While a request's body is read, its bytes come through hyper, which stays.
            Payload::File(part) if part.len() > FILE_PIECE as u64 && !link.streams.is_reading() => {
                link.begin_stream_answer();
                let exchange = link.streamed();
                let keeps = !closes && keeps_connection(exchange.head(), &answer.headers);
                let aside = Aside { part: *part, keeps };
                Outgoing::Aside(Box::new(Beside::new(aside, link.clone())))
            }
            Payload::File(part) => {
                link.begin_stream_answer();
                link.note_bulk(part.len().try_into().unwrap_or(usize::MAX));
                Outgoing::File(Box::new(File::new(*part, link.clone())))
            }
            Payload::Upgrade => {
                link.begin_answer(0);
                link.streams.switching.set(true);
                closes = false;
                Outgoing::Whole(Whole::new(Bytes::new(), Written::new(link.clone())))
            }
        };
        if !link.is_streaming() {
            link.end_exchange();
        }
        self.step = Step::Done;
        let mut reply = Response::new(body);
        *reply.status_mut() = answer.status;
        headers::replace(reply.headers_mut(), answer.headers);
        *reply.version_mut() = version;
        if closes {
            let close = HeaderValue::from_static("close");
            reply.headers_mut().insert(CONNECTION, close);
        }
        reply
    }
}

impl Future for Answering {
    type Output = Result<Reply, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut answer = Answer::nothing();
        match self.poll_answer(cx, &mut answer) {
            Poll::Ready(()) => Poll::Ready(Ok(self.reply(answer))),
            Poll::Pending => {
                let this = &mut *self;
                if !std::mem::replace(&mut this.counted, true) {
                    this.link.in_flight.count(&this.link);
                }
                Poll::Pending
            }
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if !matches!(self.step, Step::Done) {
            self.link.shard().stats.unanswered.add(1);
        }
        if self.counted {
            drop(self.link.in_flight.take());
        }
    }
}

/// An answer that the library gives by itself.
struct Refusal {
    status: StatusCode,
    text: &'static str,
    headers: HeaderMap,
}

impl Refusal {
    fn overload() -> Refusal {
        let text = "503 too many requests are waiting\n";
        let refusal = Refusal::text(StatusCode::SERVICE_UNAVAILABLE, text);
        refusal.with(RETRY_AFTER, HeaderValue::from_static("1"))
    }

    fn text(status: StatusCode, text: &'static str) -> Refusal {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        Refusal {
            status,
            text,
            headers,
        }
    }

    /// For a message that cannot be what it says.
    fn framing((status, text): (StatusCode, &'static str)) -> Refusal {
        Refusal::text(status, text)
    }

    /// For one who may not come in, or not now.
    fn user(refused: Refused) -> Refusal {
        match refused {
            Refused::Forbidden => Refusal::text(StatusCode::FORBIDDEN, refused.text()),
            Refused::Connections | Refused::Requests => {
                let refusal = Refusal::text(StatusCode::SERVICE_UNAVAILABLE, refused.text());
                refusal.with(RETRY_AFTER, HeaderValue::from_static("1"))
            }
        }
    }

    /// What a path answers to, when no handler says it.
    fn options(allow: Option<HeaderValue>) -> Refusal {
        let headers = allow.map(|allow| (ALLOW, allow)).into_iter().collect();
        Refusal {
            status: StatusCode::NO_CONTENT,
            text: "",
            headers,
        }
    }

    fn with(mut self, name: http::HeaderName, value: HeaderValue) -> Refusal {
        self.headers.insert(name, value);
        self
    }

    /// The request was not read to its end: nothing can follow on this connection.
    fn closing(self) -> Refusal {
        self.with(CONNECTION, HeaderValue::from_static("close"))
    }

    fn answer(self) -> Answer {
        Answer {
            status: self.status,
            headers: self.headers,
            payload: Payload::Whole(Bytes::from_static(self.text.as_bytes())),
        }
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
}
