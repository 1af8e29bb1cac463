//! Header fields behind a body in chunks (RFC 9110, section 6.5).

use super::headers;
use crate::error::{Error, Result};
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, HOST,
    MAX_FORWARDS, SET_COOKIE, TE, TRAILER,
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Fields that must be known before the body: hyper leaves them out.
const NEVER: [HeaderName; 10] = [
    AUTHORIZATION,
    CACHE_CONTROL,
    CONTENT_ENCODING,
    CONTENT_RANGE,
    CONTENT_TYPE,
    HOST,
    MAX_FORWARDS,
    SET_COOKIE,
    TE,
    TRAILER,
];

/// The names that the header `Trailer` of an answer announces.
pub fn announced(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(TRAILER).iter();
    let names = values.flat_map(|value| value.as_bytes().split(|b| *b == b','));
    names
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect()
}

/// One trailer, when it may be one.
pub fn parse(name: &[u8], value: &[u8]) -> Result<(HeaderName, HeaderValue)> {
    let mut trailer = HeaderMap::new();
    headers::put(&mut trailer, name, value, true)?;
    let Some((Some(name), value)) = trailer.into_iter().next() else {
        return Err(Error::argument("a trailer needs a name"));
    };
    if NEVER.contains(&name) {
        return Err(Error::argument(format!(
            "{name} is no trailer: it must be known before the body"
        )));
    }
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn names_are_announced_in_one_line_or_several() {
        let mut headers = HeaderMap::new();
        assert!(announced(&headers).is_empty());
        headers.append(TRAILER, HeaderValue::from_static("Digest, x-two ,,b d"));
        headers.append(TRAILER, HeaderValue::from_static("X-Three"));
        assert_eq!(announced(&headers), ["digest", "x-two", "x-three"]);
    }
}
