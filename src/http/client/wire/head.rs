//! The head of an answer (RFC 9112, sections 4 to 6 and 9.3).

use super::Broken;
use crate::http::headers::tokens;
use crate::limits::HEADERS_MAX;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use httparse::{ParserConfig, Response, Status};
use std::mem::MaybeUninit;

/// Status line and headers.
#[derive(Debug)]
pub struct Head {
    pub status: StatusCode,
    pub version: Version,
    pub headers: HeaderMap,
}

/// What a head says of what follows it.
#[derive(Debug, Default)]
pub struct Framing {
    length: Option<u64>,
    has_coding: bool,
    /// The last coding, as chunks are nothing else.
    pub is_chunked: bool,
    /// The connection is good for another request.
    pub lasts: bool,
}

impl Head {
    /// The answer is still to come.
    pub fn is_interim(&self) -> bool {
        self.status.is_informational() && self.status != StatusCode::SWITCHING_PROTOCOLS
    }

    /// No body follows, whatever it says of one.
    pub fn is_bodiless(&self) -> bool {
        matches!(self.status.as_u16(), 101 | 204 | 304)
    }
}

impl Framing {
    /// The body's length, if it is known.
    pub fn length(&self) -> Result<Option<u64>, Broken> {
        if self.has_coding && self.length.is_some() {
            // Two answers in one, and only one of both was meant (RFC 9112, section 6.3).
            return Err(Broken::Head("both Transfer-Encoding and Content-Length"));
        }
        Ok(self.length)
    }

    fn note(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<(), Broken> {
        if *name == CONTENT_LENGTH {
            for part in tokens(value) {
                let length = number(part);
                if length.is_none() || self.length.is_some_and(|known| Some(known) != length) {
                    return Err(Broken::Head("Content-Length is not one number"));
                }
                self.length = length;
            }
        } else if *name == TRANSFER_ENCODING {
            let last = tokens(value).last().unwrap_or_default();
            self.has_coding = true;
            self.is_chunked = last.eq_ignore_ascii_case(b"chunked");
        } else if *name == CONNECTION {
            self.lasts &= !tokens(value).any(|token| token.eq_ignore_ascii_case(b"close"));
        }
        Ok(())
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok()
}

/// Bytes of the empty lines before a head: some servers have one too many behind the last answer.
pub fn empty(input: &[u8]) -> usize {
    let empty = |byte: &&u8| matches!(**byte, b'\r' | b'\n');
    input.iter().take_while(empty).count()
}

/// Where the first head of `input` ends, whose first `searched` bytes were looked at before.
pub fn end(input: &[u8], searched: usize) -> Option<usize> {
    // What was the end of the input may be the middle of the end.
    let from = searched.saturating_sub(2);
    memchr::memchr_iter(b'\n', &input[from..]).find_map(|at| {
        let next = from + at + 1;
        match input[next..] {
            [b'\n', ..] => Some(next + 1),
            [b'\r', b'\n', ..] => Some(next + 2),
            _ => None,
        }
    })
}

/// An error when this cannot become a head.
pub fn check(input: &[u8]) -> Result<(), Broken> {
    read(input, |_, _| Ok(())).map(drop)
}

/// A whole head; its headers in the memory of `room`.
pub fn parse(bytes: &Bytes, room: &mut HeaderMap) -> Result<(Head, Framing), Broken> {
    let mut headers = std::mem::take(room);
    let mut framing = Framing {
        lasts: true,
        ..Framing::default()
    };
    let read = read(bytes, |name, value| {
        let name = HeaderName::from_bytes(name).map_err(|_| Broken::Head("a header's name"))?;
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(value))
            .map_err(|_| Broken::Head("a header's value"))?;
        framing.note(&name, &value)?;
        let fits = headers.try_append(name, value);
        fits.map(drop).map_err(|_| Broken::HeadTooLarge)
    })?;
    let Some((version, status)) = read else {
        return Err(Broken::Head("it is incomplete"));
    };
    if version == Version::HTTP_10 {
        if framing.has_coding {
            return Err(Broken::Head("HTTP/1.0 has no Transfer-Encoding"));
        }
        framing.lasts = false;
    }
    let head = Head {
        status,
        version,
        headers,
    };
    Ok((head, framing))
}

/// Gives each header of a whole head to `put`; `None` when there is more to come.
fn read(
    input: &[u8],
    mut put: impl FnMut(&[u8], &[u8]) -> Result<(), Broken>,
) -> Result<Option<(Version, StatusCode)>, Broken> {
    let mut lines = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut response = Response::new(&mut []);
    let config = ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut response, input, &mut lines) {
        Ok(Status::Complete(_)) => {}
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Broken::HeadTooLarge),
        Err(error) => return Err(Broken::Head(explain(error))),
    }
    let status = StatusCode::from_u16(response.code.unwrap_or_default());
    let status = status.map_err(|_| Broken::Head("the status is no HTTP status"))?;
    for header in &*response.headers {
        put(header.name.as_bytes(), header.value)?;
    }
    let version = match response.version {
        Some(0) => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    Ok(Some((version, status)))
}

fn explain(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::HeaderName => "a header's name",
        httparse::Error::HeaderValue => "a header's value",
        httparse::Error::NewLine => "the end of a line",
        httparse::Error::Status => "the status",
        httparse::Error::Version => "the version of HTTP",
        _ => "a byte that does not belong there",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<(Head, Framing), Broken> {
        parse(
            &Bytes::copy_from_slice(text.as_bytes()),
            &mut HeaderMap::new(),
        )
    }

    fn framing(headers: &str) -> Result<(Option<u64>, bool, bool), &'static str> {
        let why = |error| match error {
            Broken::Head(why) => why,
            other => panic!("{other}"),
        };
        let (_, framing) = parsed(&format!("HTTP/1.1 200 OK\r\n{headers}\r\n")).map_err(why)?;
        let length = framing.length().map_err(why)?;
        Ok((length, framing.is_chunked, framing.lasts))
    }

    #[test]
    fn the_end_of_a_head_is_found_wherever_it_was_cut() {
        for (text, len) in [("a\r\nb\r\n\r\nc", 8), ("a\nb\n\nc", 5), ("a\n\r\n", 4)] {
            let text = text.as_bytes();
            for searched in 0..len {
                assert_eq!(end(&text[..searched], 0), None);
                assert_eq!(end(text, searched), Some(len), "{searched}");
            }
        }
        assert_eq!(empty(b"\r\n\n\r\nHTTP/1.1 200 OK\r\n\r\n"), 5);
        assert_eq!((empty(b"\r\n"), empty(b"H\r\n"), empty(b"")), (2, 0, 0));
    }

    #[test]
    fn a_head_is_read_into_the_memory_of_another() {
        let mut room = HeaderMap::with_capacity(32);
        let capacity = room.capacity();
        let text = "HTTP/1.0 404 Not There\nA: 1\nb:  2 \na: 3\n\n";
        let (head, framing) = parse(&Bytes::from(text), &mut room).unwrap();
        assert_eq!(
            (head.status.as_u16(), head.version),
            (404, Version::HTTP_10)
        );
        let all: Vec<_> = head.headers.get_all("a").iter().collect();
        assert_eq!(all, ["1", "3"]);
        assert_eq!(head.headers["b"], "2");
        assert_eq!(head.headers.capacity(), capacity);
        assert!(!framing.lasts, "HTTP/1.0 ends behind an answer");
    }

    #[test]
    fn what_is_no_head_is_refused_as_soon_as_it_can_be() {
        for text in [
            "SSH-2.0-x\r\n",
            "HTTP/2.0 200",
            "HTTP/1.1 2x0",
            "HTTP/1.1 200 OK\r\na b: c\r\n",
        ] {
            assert!(
                matches!(check(text.as_bytes()), Err(Broken::Head(_))),
                "{text}"
            );
        }
        check(b"HTTP/1.1 200 OK\r\na: b\r\n").unwrap();
        assert!(parsed("HTTP/1.1 099 No\r\n\r\n").is_err());
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(101));
        assert!(matches!(parsed(&many), Err(Broken::HeadTooLarge)));
    }

    #[test]
    fn the_length_of_a_body_is_said_once_or_always_the_same() {
        assert_eq!(framing(""), Ok((None, false, true)));
        assert_eq!(framing("content-length: 5\r\n"), Ok((Some(5), false, true)));
        assert_eq!(
            framing("content-length: 5, 5\r\ncontent-length: 5\r\n"),
            Ok((Some(5), false, true))
        );
        for bad in [
            "5, 6",
            "5\r\ncontent-length: 6",
            "",
            "-1",
            "+1",
            "5x",
            "18446744073709551616",
            "5,",
        ] {
            framing(&format!("content-length: {bad}\r\n")).unwrap_err();
        }
        assert_eq!(
            framing("transfer-encoding: Chunked\r\n"),
            Ok((None, true, true))
        );
        assert_eq!(
            framing("transfer-encoding: gzip, chunked\r\n"),
            Ok((None, true, true))
        );
        assert_eq!(
            framing("transfer-encoding: chunked, gzip\r\n"),
            Ok((None, false, true))
        );
        let both = framing("transfer-encoding: chunked\r\ncontent-length: 5\r\n");
        assert!(both.unwrap_err().contains("both"));
        assert!(parsed("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }

    #[test]
    fn a_connection_lasts_unless_it_is_said_to_end() {
        assert_eq!(
            framing("connection: keep-alive\r\n"),
            Ok((None, false, true))
        );
        assert_eq!(
            framing("connection: x, Close\r\n"),
            Ok((None, false, false))
        );
        let status = |status: u16| {
            let (head, _) = parsed(&format!("HTTP/1.1 {status} x\r\n\r\n")).unwrap();
            (head.is_interim(), head.is_bodiless())
        };
        assert_eq!(status(100), (true, false));
        assert_eq!(status(103), (true, false));
        assert_eq!(status(101), (false, true));
        assert_eq!(status(200), (false, false));
        assert_eq!(status(204), (false, true));
        assert_eq!(status(304), (false, true));
    }
}
