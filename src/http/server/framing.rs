//! What a request's headers say about the message itself.

use super::head::Head;
use crate::http::headers::lists;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, StatusCode, Version};

/// What the client gets to read.
type Bad = (StatusCode, &'static str);

#[derive(Default)]
pub struct Framing<'a> {
    host: Option<&'a HeaderValue>,
    more_hosts: bool,
    coding: Option<&'a HeaderValue>,
    /// A Content-Length, whatever it says.
    pub has_length: bool,
}

impl<'a> Framing<'a> {
    /// In one walk: for the few headers of a request it costs less than a search for each.
    pub fn of(headers: &'a HeaderMap) -> Framing<'a> {
        let mut framing = Framing::default();
        for (name, value) in headers {
            if name == HOST {
                framing.more_hosts = framing.host.replace(value).is_some();
            } else if name == CONTENT_LENGTH {
                framing.has_length = true;
            } else if name == TRANSFER_ENCODING {
                framing.coding.get_or_insert(value);
            }
        }
        framing
    }

    /// RFC 9112, section 3.2: one Host, and a sane one. Empty and odd values are let through unless `strict`:
    /// clients on Unix sockets send them, and no name is resolved here.
    pub fn check_host(&self, version: Version, strict: bool) -> Result<(), Bad> {
        let bad = |text| Err((StatusCode::BAD_REQUEST, text));
        let Some(host) = self.host else {
            if version < Version::HTTP_11 {
                return Ok(());
            }
            return bad("400 the Host header is missing\n");
        };
        if self.more_hosts {
            return bad("400 more than one Host header\n");
        }
        let host = host.as_bytes();
        // What nearly all send on Unix sockets.
        if host == b"localhost" {
            return Ok(());
        }
        if host
            .iter()
            .any(|b| matches!(b, 0..=b' ' | 127 | b',' | b'@' | b'/'))
        {
            return bad("400 the Host header is malformed\n");
        }
        if strict && !is_authority(host) {
            return bad("400 the Host header is not a host\n");
        }
        Ok(())
    }

    /// RFC 9112, section 6.1: a coding other than chunked is not understood here.
    pub fn check_coding(&self, version: Version) -> Result<(), Bad> {
        let Some(coding) = self.coding else {
            return Ok(());
        };
        if version == Version::HTTP_11 && coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Ok(());
        }
        let text = "501 this transfer coding is not implemented\n";
        Err((StatusCode::NOT_IMPLEMENTED, text))
    }
}

/// Whether another request may follow on the connection, as hyper sees it: by what the client has asked for,
/// and what its answer says.
pub fn keeps_connection(head: &Head, answer: &HeaderMap) -> bool {
    let asked = |token| lists(head.headers(), CONNECTION, token);
    let closes = asked(b"close") || lists(answer, CONNECTION, b"close");
    !closes && (head.version() > 10 || asked(b"keep-alive"))
}

/// A host with an optional numeric port.
fn is_authority(host: &[u8]) -> bool {
    let parsed = Authority::try_from(host).ok();
    parsed.is_some_and(|a| a.as_str() == a.host() || a.port_u16().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in all {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    fn host(all: &[(&'static str, &'static str)], version: Version, strict: bool) -> Option<u16> {
        let headers = headers(all);
        let checked = Framing::of(&headers).check_host(version, strict);
        checked.err().map(|(status, _)| status.as_u16())
    }

    #[test]
    fn a_request_names_one_host() {
        let (old, new) = (Version::HTTP_10, Version::HTTP_11);
        assert_eq!(host(&[("host", "a")], new, true), None);
        assert_eq!(host(&[("x", "b"), ("host", "")], new, false), None);
        assert_eq!(host(&[], old, true), None);
        assert_eq!(host(&[("x", "b")], new, false), Some(400));
        let twice = [("host", "a"), ("x", "b"), ("host", "a")];
        assert_eq!(host(&twice, new, false), Some(400));
        assert_eq!(host(&twice, old, false), Some(400));
        assert_eq!(host(&[("host", "a b")], new, false), Some(400));
        assert_eq!(host(&[("host", "a:x")], new, false), None);
        assert_eq!(host(&[("host", "a:x")], new, true), Some(400));
        assert_eq!(host(&[("host", "a:80")], new, true), None);
    }

    #[test]
    fn the_first_coding_counts_and_is_chunked() {
        let coding = |all: &[_], version| {
            let headers = headers(all);
            let checked = Framing::of(&headers).check_coding(version);
            checked.err().map(|(status, _)| status.as_u16())
        };
        let name = "transfer-encoding";
        assert_eq!(coding(&[("host", "a")], Version::HTTP_11), None);
        assert_eq!(coding(&[(name, "Chunked")], Version::HTTP_11), None);
        assert_eq!(coding(&[(name, "chunked")], Version::HTTP_10), Some(501));
        assert_eq!(coding(&[(name, "gzip")], Version::HTTP_11), Some(501));
        let two = [(name, "gzip"), (name, "chunked")];
        assert_eq!(coding(&two, Version::HTTP_11), Some(501));
    }

    #[test]
    fn a_length_is_seen_whatever_it_says() {
        assert!(Framing::of(&headers(&[("host", "a"), ("content-length", "0")])).has_length);
        assert!(!Framing::of(&headers(&[("host", "a")])).has_length);
    }
}
