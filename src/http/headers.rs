//! Header names and values, checked before anything is sent (RFC 9110, section 5).

use crate::error::{Error, Result};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::fmt;

/// Headers that this library writes itself: the framing of a message is not the user's.
const OURS: [HeaderName; 2] = [
    http::header::CONTENT_LENGTH,
    http::header::TRANSFER_ENCODING,
];

/// Bytes of the user in a message: printable, bounded.
pub struct Shown<'a>(pub &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 64;
        let shown = &self.0[..self.0.len().min(MOST)];
        write!(f, "\"{}\"", shown.escape_ascii())?;
        if self.0.len() > MOST {
            write!(f, "... ({} bytes)", self.0.len())?;
        }
        Ok(())
    }
}

/// A header name as a user gives it.
pub fn name(name: &[u8]) -> Result<HeaderName> {
    let parsed = HeaderName::from_bytes(name).map_err(|_| {
        Error::argument(format!(
            "the header name {} is not a token: letters, digits and !#$%&'*+-.^_`|~ only",
            Shown(name)
        ))
    })?;
    if OURS.contains(&parsed) {
        return Err(Error::argument(format!(
            "the header {parsed} follows from the body and is written by the library"
        )));
    }
    Ok(parsed)
}

/// A header value as a user gives it. `of` names the header for the message.
pub fn value(of: &dyn fmt::Display, value: &[u8]) -> Result<HeaderValue> {
    HeaderValue::from_bytes(value).map_err(|_| {
        let what = match value.iter().find(|b| matches!(b, b'\r' | b'\n' | 0)) {
            Some(b'\r') => "a carriage return",
            Some(b'\n') => "a line feed",
            Some(_) => "a NUL byte",
            None => "a control character",
        };
        Error::argument(format!(
            "the value of the header {of} contains {what}: {}",
            Shown(value)
        ))
    })
}

/// A content type as a user gives it; the usual ones cost no allocation.
pub fn content_type(text: &[u8]) -> Result<HeaderValue> {
    Ok(match text {
        b"text/plain" => const { HeaderValue::from_static("text/plain") },
        b"text/html" => const { HeaderValue::from_static("text/html") },
        b"application/json" => const { HeaderValue::from_static("application/json") },
        b"application/octet-stream" => {
            const { HeaderValue::from_static("application/octet-stream") }
        }
        _ => return value(&http::header::CONTENT_TYPE, text),
    })
}

/// A method as a user gives it.
pub fn method(method: &[u8]) -> Result<Method> {
    Method::from_bytes(method).map_err(|_| {
        Error::argument(format!(
            "the method {} is not a token such as GET",
            Shown(method)
        ))
    })
}

/// One header of a message to be sent, in the user's order.
pub fn put(map: &mut HeaderMap, header: &[u8], text: &[u8], replace: bool) -> Result<()> {
    let header = name(header)?;
    let text = value(&header, text)?;
    let fits = if replace {
        map.try_insert(header, text).map(drop)
    } else {
        map.try_append(header, text).map(drop)
    };
    fits.map_err(|_| Error::argument("too many headers: no more than 32768 fit into one message"))
}

/// Takes a header out of a message to be sent.
pub fn remove(map: &mut HeaderMap, header: &[u8]) -> Result<()> {
    map.remove(name(header)?);
    Ok(())
}

/// Puts a map in the place of another, which is most often one without memory: there is nothing to drop then,
/// and its many fields need not be looked at for that.
pub fn replace(place: &mut HeaderMap, map: HeaderMap) {
    let before = std::mem::replace(place, map);
    if before.capacity() == 0 {
        std::mem::forget(before);
    }
}

/// Whether a header, which is a list of tokens, has this one, in any case.
pub fn lists(map: &HeaderMap, name: HeaderName, token: &[u8]) -> bool {
    let values = map.get_all(name).iter();
    let mut tokens = values.flat_map(tokens);
    tokens.any(|one| one.eq_ignore_ascii_case(token))
}

/// What a header lists, in its order (RFC 9110, section 5.6.1).
pub fn tokens(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    let parts = value.as_bytes().split(|byte| *byte == b',');
    parts.map(<[u8]>::trim_ascii)
}

/// The header at `index`, counting each value of a repeated name.
pub fn at(map: &HeaderMap, index: usize) -> Result<(&HeaderName, &HeaderValue)> {
    map.iter().nth(index).ok_or_else(|| {
        Error::argument(format!(
            "there is no header {index}: the message has {}",
            map.len()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_is_wrong() {
        let mut map = HeaderMap::new();
        let text = |r: Result<()>| r.unwrap_err().message.into_owned();
        assert!(text(put(&mut map, b"a b", b"x", true)).contains("\"a b\" is not a token"));
        assert!(text(put(&mut map, b"", b"x", true)).contains("not a token"));
        assert!(text(put(&mut map, b"a", b"x\r\ny: z", true)).contains("carriage return"));
        assert!(text(put(&mut map, b"a", b"x\ny", true)).contains("line feed"));
        assert!(text(put(&mut map, b"a", b"x\0", true)).contains("NUL"));
        assert!(
            text(put(&mut map, b"Content-Length", b"1", true)).contains("follows from the body")
        );
        assert!(map.is_empty());
        assert!(method(b"GE T").is_err());
        assert!(method(b"").is_err());
        assert_eq!(method(b"PURGE").unwrap().as_str(), "PURGE");
    }

    #[test]
    fn a_map_takes_the_place_of_an_empty_and_of_a_full_one() {
        let mut place = HeaderMap::new();
        for text in [b"1", b"2"] {
            let mut map = HeaderMap::new();
            put(&mut map, b"a", text, true).unwrap();
            replace(&mut place, map);
            assert_eq!(place["a"].as_bytes(), text);
            assert_eq!(place.len(), 1);
        }
    }

    #[test]
    fn set_replaces_and_add_appends() {
        let mut map = HeaderMap::new();
        put(&mut map, b"A", b"1", true).unwrap();
        put(&mut map, b"a", b"2", false).unwrap();
        put(&mut map, b"b", b"3", true).unwrap();
        assert_eq!(at(&map, 1).unwrap().1, "2");
        assert_eq!(at(&map, 2).unwrap().0, "b");
        put(&mut map, b"a", b"4", true).unwrap();
        assert_eq!(map.len(), 2);
        assert!(at(&map, 2).is_err());
        put(&mut map, b"a", b"5", false).unwrap();
        remove(&mut map, b"A").unwrap();
        remove(&mut map, b"c").unwrap();
        assert_eq!(map.len(), 1);
        assert!(remove(&mut map, b"a b").is_err());
        assert!(remove(&mut map, b"content-length").is_err());
    }
}
