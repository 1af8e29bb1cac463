//! What a call sends.

use super::open::Source;
use super::redirect;
use super::wire::Body;
use crate::error::{Error, Result};
use crate::http::headers::{self, Shown};
use crate::limits::TARGET_MAX;
use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_TYPE,
    HOST, TRANSFER_ENCODING,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};

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

    /// Empty headers with the room of earlier ones.
    pub fn take_room(&mut self) -> HeaderMap {
        self.room.take().unwrap_or_default()
    }

    /// The answer to it has no body.
    pub fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }

    /// Whether the connection may be used again, as far as the request says.
    pub fn lasts(&self) -> bool {
        self.headers.is_empty() || !headers::lists(&self.headers, CONNECTION, b"close")
    }

    /// Writes the head, without what belongs to the body, and the empty line.
    pub fn write(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(self.method.as_str().as_bytes());
        to.push(b' ');
        let target = self.target.path_and_query();
        to.extend_from_slice(target.map_or("/", PathAndQuery::as_str).as_bytes());
        to.extend_from_slice(b" HTTP/1.1\r\n");
        if self.headers.is_empty() {
            return to.extend_from_slice(b"host: localhost\r\n");
        }
        if !self.headers.contains_key(HOST) {
            write_header(to, &HOST, "localhost");
        }
        for (name, value) in &self.headers {
            write_header(to, name, value);
        }
    }
}

pub fn write_header(to: &mut Vec<u8>, name: &HeaderName, value: impl AsRef<[u8]>) {
    to.extend_from_slice(name.as_str().as_bytes());
    to.extend_from_slice(b": ");
    to.extend_from_slice(value.as_ref());
    to.extend_from_slice(b"\r\n");
}

/// What a head says of the body behind it; `None` is a body in chunks.
pub fn write_framing(to: &mut Vec<u8>, length: Option<u64>) {
    match length {
        None => write_header(to, &TRANSFER_ENCODING, "chunked"),
        Some(length) => write_header(to, &CONTENT_LENGTH, length.to_string()),
    }
}

impl Body {
    /// A body in memory, or none.
    pub fn of(whole: Option<Bytes>, head: &mut Vec<u8>) -> Body {
        let Some(bytes) = whole else {
            return Body::Nothing;
        };
        // An empty body is not the same as none.
        write_framing(head, Some(bytes.len() as u64));
        Body::Whole(bytes)
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
        let written = |template: &Template| {
            let mut head = Vec::new();
            template.write(&mut head);
            Body::of(template.body.clone(), &mut head);
            String::from_utf8(head).unwrap()
        };
        let mut template = Template::new(b"PUT", b"/a?b").unwrap();
        let bare = "PUT /a?b HTTP/1.1\r\nhost: localhost\r\n";
        assert_eq!(written(&template), bare);
        template
            .set_body(Some(b"text/plain"), Bytes::new())
            .unwrap();
        let with_type = format!("{bare}content-type: text/plain\r\ncontent-length: 0\r\n");
        assert_eq!(written(&template), with_type);
        assert!(template.lasts());
        headers::put(&mut template.headers, b"host", b"there", true).unwrap();
        headers::put(&mut template.headers, b"connection", b"x, close", true).unwrap();
        assert_eq!(written(&template).matches("host: ").count(), 1);
        assert!(written(&template).contains("host: there\r\n"));
        assert!(!template.lasts());
    }
}
