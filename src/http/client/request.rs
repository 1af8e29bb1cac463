//! What a call sends.

use super::open::Source;
use super::outgoing::Outgoing;
use super::redirect;
use crate::error::{Error, Result};
use crate::http::body::Whole;
use crate::http::headers::{self, Shown};
use crate::limits::TARGET_MAX;
use bytes::Bytes;
use http::header::{
    CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_TYPE, HOST,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version};

/// What a request is made from, once or, when it is sent again, twice.
pub struct Template {
    method: Method,
    target: Uri,
    pub headers: HeaderMap,
    body: Option<Bytes>,
    /// An empty map with the room of an earlier one.
    room: Option<HeaderMap>,
}

impl Template {
    pub fn new(method: &[u8], target: &[u8]) -> Result<Template> {
        let method = headers::method(method)?;
        if method == Method::CONNECT {
            return Err(Error::argument(
                "CONNECT is for proxies, which hysock does not speak to",
            ));
        }
        let target = parse_target(&method, target)?;
        Ok(Template {
            method,
            target,
            headers: HeaderMap::new(),
            body: None,
            room: None,
        })
    }

    /// Forgets what was set; the next request gets the room of `headers`.
    pub fn reset(&mut self, headers: Option<HeaderMap>) {
        if !self.headers.is_empty() {
            self.headers = HeaderMap::new();
        }
        self.body = None;
        self.room = headers;
        if let Some(room) = &mut self.room {
            room.clear();
        }
    }

    /// Makes one that was reset a new one; what was asked the last time needs no parsing.
    pub fn renew(&mut self, method: &[u8], target: &[u8]) -> Result<()> {
        if !self.asks(method, target) {
            let room = self.room.take();
            *self = Template::new(method, target)?;
            self.room = room;
        }
        Ok(())
    }

    fn asks(&self, method: &[u8], target: &[u8]) -> bool {
        let known = self.target.path_and_query();
        known.is_some_and(|known| known.as_str().as_bytes() == target)
            && self.method.as_str().as_bytes() == method
    }

    pub fn set_body(&mut self, content_type: Option<&[u8]>, body: Bytes) -> Result<()> {
        if let Some(text) = content_type {
            self.headers
                .insert(CONTENT_TYPE, headers::content_type(text)?);
        }
        self.body = Some(body);
        Ok(())
    }

    /// Makes it what a redirect with this status asks for (RFC 9110, section 15.4); an error says why it must
    /// not.
    pub fn redirect(
        &mut self,
        status: StatusCode,
        source: &Source,
        location: &[u8],
    ) -> std::result::Result<(), String> {
        let base = self
            .target
            .path_and_query()
            .map_or("/", |base| base.as_str());
        let host = self
            .headers
            .get(HOST)
            .map_or(&b"localhost"[..], HeaderValue::as_bytes);
        let target =
            redirect::target(base.as_bytes(), host, source, location).ok_or_else(|| {
                let status = status.as_u16();
                format!(
                    "the answer (HTTP status {status}) leads to {}, which is not on this socket",
                    Shown(location)
                )
            })?;
        let target = parse_target(&self.method, &target)
            .map_err(|error| format!("the answer leads nowhere: {}", error.message))?;
        self.target = target;
        let becomes_get = match status {
            StatusCode::SEE_OTHER => self.method != Method::HEAD,
            // Not what was meant once, but what everybody does.
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => self.method == Method::POST,
            _ => false,
        };
        if becomes_get {
            self.method = Method::GET;
            self.body = None;
            for name in [
                CONTENT_TYPE,
                CONTENT_ENCODING,
                CONTENT_LANGUAGE,
                CONTENT_LOCATION,
            ] {
                self.headers.remove(name);
            }
        }
        Ok(())
    }

    /// Whether doing it twice is doing it once (RFC 9110, section 9.2.2).
    pub fn is_idempotent(&self) -> bool {
        self.method.is_idempotent()
    }

    pub fn has_body(&self) -> bool {
        self.body.is_some()
    }

    /// The body in memory.
    pub fn body(&self) -> Option<&Bytes> {
        self.body.as_ref()
    }

    pub fn make(&mut self) -> Request<Outgoing> {
        let body = Whole::new(self.body.clone().unwrap_or_default(), ());
        let mut request = Request::new(Outgoing::Whole(body));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.target.clone();
        *request.version_mut() = Version::HTTP_11;
        let headers = request.headers_mut();
        if !self.headers.is_empty() {
            headers.clone_from(&self.headers);
        } else if let Some(room) = self.room.take() {
            *headers = room;
        }
        if !headers.contains_key(HOST) {
            headers.insert(HOST, const { HeaderValue::from_static("localhost") });
        }
        if self.body.as_ref().is_some_and(Bytes::is_empty) {
            // An empty body is not the same as none, and hyper writes nothing for it.
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        request
    }
}

fn parse_target(method: &Method, target: &[u8]) -> Result<Uri> {
    let bad = |why: &str| {
        Err(Error::argument(format!(
            "the target {} {why}",
            Shown(target)
        )))
    };
    if target.first() != Some(&b'/') && !(target == b"*" && method == Method::OPTIONS) {
        return bad("must start with /");
    }
    if target.len() > TARGET_MAX {
        return bad("is longer than 8192 bytes");
    }
    if target.contains(&b'#') {
        return bad("has a fragment, which is never sent");
    }
    match PathAndQuery::try_from(target) {
        Ok(target) => Ok(Uri::from(target)),
        Err(_) => bad("contains a byte that no target may have: encode it as %XX"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_and_methods_are_checked() {
        let refused = |method: &str, target: &str| {
            Template::new(method.as_bytes(), target.as_bytes())
                .err()
                .map(|e| e.message.into_owned())
        };
        assert_eq!(refused("GET", "/a?b=c%20d"), None);
        assert_eq!(refused("OPTIONS", "*"), None);
        assert!(refused("GET", "*").unwrap().contains("start with /"));
        assert!(refused("GET", "").unwrap().contains("start with /"));
        assert!(refused("GET", "/a b").unwrap().contains("%XX"));
        assert!(refused("GET", "/a#b").unwrap().contains("fragment"));
        assert!(
            refused("GET", &format!("/{}", "a".repeat(TARGET_MAX)))
                .unwrap()
                .contains("8192")
        );
        assert!(refused("CONNECT", "/").unwrap().contains("CONNECT"));
    }

    #[test]
    fn a_request_has_a_host_and_an_empty_body_its_length() {
        let mut template = Template::new(b"PUT", b"/").unwrap();
        assert_eq!(template.make().headers()[HOST], "localhost");
        assert!(!template.make().headers().contains_key(CONTENT_LENGTH));
        template
            .set_body(Some(b"text/plain"), Bytes::new())
            .unwrap();
        headers::put(&mut template.headers, b"host", b"there", true).unwrap();
        let request = template.make();
        assert_eq!(request.headers()[HOST], "there");
        assert_eq!(request.headers()[CONTENT_LENGTH], "0");
        assert_eq!(request.headers()[CONTENT_TYPE], "text/plain");
    }
}
