//! What a client knows already, and which part it wants: conditional requests and ranges (RFC 9110,
//! sections 13 and 14).

use http::header::{
    IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};
use http::{HeaderMap, HeaderName};
use std::ops::Range;
use std::time::{Duration, SystemTime};

/// What identifies the state of something that is sent.
#[derive(Debug, Clone, Copy)]
pub struct Validators<'a> {
    /// In its quotes; weak when it begins with `W/`.
    pub etag: &'a [u8],
    /// In whole seconds; `None` when it is not told.
    pub modified: Option<SystemTime>,
}

/// What a GET or HEAD is to be answered with.
#[derive(Debug, PartialEq, Eq)]
pub enum Wanted {
    Whole,
    Part(Range<u64>),
    NotModified,
    PreconditionFailed,
    Unsatisfiable,
}

/// The order is that of section 13.2.2.
pub fn evaluate(
    headers: &HeaderMap,
    is_get: bool,
    validators: Validators<'_>,
    len: u64,
    now: SystemTime,
) -> Wanted {
    let date = |name| date(headers, name).zip(validators.modified);
    if headers.contains_key(IF_MATCH) {
        if !lists(headers, IF_MATCH, |tag| strong(tag, validators.etag)) {
            return Wanted::PreconditionFailed;
        }
    } else if date(IF_UNMODIFIED_SINCE).is_some_and(|(since, modified)| modified > since) {
        return Wanted::PreconditionFailed;
    }
    if headers.contains_key(IF_NONE_MATCH) {
        if lists(headers, IF_NONE_MATCH, |tag| weak(tag, validators.etag)) {
            return Wanted::NotModified;
        }
    } else if date(IF_MODIFIED_SINCE).is_some_and(|(since, modified)| modified <= since) {
        return Wanted::NotModified;
    }
    if !is_get || !is_same(headers, validators, now) {
        return Wanted::Whole;
    }
    range(headers, len)
}

/// Whether a range is of what the client has a part of already (`If-Range`).
fn is_same(headers: &HeaderMap, validators: Validators<'_>, now: SystemTime) -> bool {
    let Some(condition) = headers.get(IF_RANGE) else {
        return true;
    };
    let condition = condition.as_bytes().trim_ascii();
    if condition.starts_with(b"\"") || condition.starts_with(b"W/") {
        return strong(condition, validators.etag);
    }
    // A date is as good as a tag only when nothing can have changed within its second.
    let settled = |modified: SystemTime| {
        now.duration_since(modified)
            .is_ok_and(|age| age >= Duration::from_secs(1))
    };
    let date = date(headers, IF_RANGE);
    date.is_some() && date == validators.modified && date.is_some_and(settled)
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    let text = headers.get(name)?.to_str().ok()?;
    httpdate::parse_http_date(text.trim()).ok()
}

fn strong(one: &[u8], other: &[u8]) -> bool {
    one == other && !one.starts_with(b"W/")
}

fn weak(one: &[u8], other: &[u8]) -> bool {
    let opaque = |tag: &[u8]| tag.strip_prefix(b"W/").unwrap_or(tag).to_vec();
    opaque(one) == opaque(other)
}

/// Whether one tag of a list fits; `*` always does. Commas inside the quotes of a tag divide nothing.
fn lists(headers: &HeaderMap, name: HeaderName, fits: impl Fn(&[u8]) -> bool) -> bool {
    let mut values = headers.get_all(name).iter().map(|v| v.as_bytes());
    values.any(|value| {
        let mut quoted = false;
        let mut tags = value.split(|byte| {
            quoted ^= *byte == b'"';
            *byte == b',' && !quoted
        });
        tags.any(|tag| {
            let tag = tag.trim_ascii();
            tag == b"*" || fits(tag)
        })
    })
}

/// One range of bytes. Several, other units and what is no range at all are passed over.
fn range(headers: &HeaderMap, len: u64) -> Wanted {
    let mut values = headers.get_all(RANGE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Wanted::Whole;
    };
    let Some((unit, set)) = value.to_str().ok().and_then(|text| text.split_once('=')) else {
        return Wanted::Whole;
    };
    let Some((first, last)) = set.trim().split_once('-') else {
        return Wanted::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::Whole;
    }
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first > last => Wanted::Whole,
        (Some(first), _) if first >= len && (last.is_empty() || number(last).is_some()) => {
            Wanted::Unsatisfiable
        }
        (Some(first), Some(last)) => Wanted::Part(first..last.saturating_add(1).min(len)),
        (Some(first), None) if last.is_empty() => Wanted::Part(first..len),
        (None, Some(0)) if first.is_empty() => Wanted::Unsatisfiable,
        // Of nothing, "the last bytes" are all that there is.
        (None, Some(count)) if first.is_empty() && len > 0 => {
            Wanted::Part(len.saturating_sub(count)..len)
        }
        _ => Wanted::Whole,
    }
}

/// Digits alone; more than any file has stay a large number.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const TAG: &[u8] = b"\"1-2,3\"";
    const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn ask(pairs: &[(HeaderName, &str)]) -> Wanted {
        ask_as(true, 100, pairs)
    }

    fn ask_as(is_get: bool, len: u64, pairs: &[(HeaderName, &str)]) -> Wanted {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        let validators = Validators {
            etag: TAG,
            modified: Some(httpdate::parse_http_date(MODIFIED).unwrap()),
        };
        evaluate(&headers, is_get, validators, len, SystemTime::now())
    }

    #[test]
    fn one_range() {
        let range = |text| ask(&[(RANGE, text)]);
        assert_eq!(range("bytes=0-0"), Wanted::Part(0..1));
        assert_eq!(range("bytes=10-19"), Wanted::Part(10..20));
        assert_eq!(range("Bytes= 10-19 "), Wanted::Part(10..20));
        assert_eq!(range("bytes=90-"), Wanted::Part(90..100));
        assert_eq!(range("bytes=90-200"), Wanted::Part(90..100));
        assert_eq!(range("bytes=0-18446744073709551615"), Wanted::Part(0..100));
        assert_eq!(
            range("bytes=99-99999999999999999999999"),
            Wanted::Part(99..100)
        );
        assert_eq!(range("bytes=-1"), Wanted::Part(99..100));
        assert_eq!(range("bytes=-500"), Wanted::Part(0..100));
    }

    #[test]
    fn no_range_that_can_be_given() {
        let range = |text| ask(&[(RANGE, text)]);
        for beyond in [
            "bytes=100-",
            "bytes=100-200",
            "bytes=-0",
            "bytes=99999999999999999999999-",
        ] {
            assert_eq!(range(beyond), Wanted::Unsatisfiable, "{beyond}");
        }
        assert_eq!(
            ask_as(true, 0, &[(RANGE, "bytes=0-")]),
            Wanted::Unsatisfiable
        );
        assert_eq!(ask_as(true, 0, &[(RANGE, "bytes=-5")]), Wanted::Whole);
    }

    #[test]
    fn what_is_passed_over() {
        for text in [
            "bytes=0-1,5-6",
            "bytes=5-4",
            "bytes=",
            "bytes=-",
            "bytes=a-5",
            "bytes=0-b",
            "bytes=100-b",
            "bytes=+1-2",
            "lines=0-1",
            "bytes",
            "",
        ] {
            assert_eq!(ask(&[(RANGE, text)]), Wanted::Whole, "{text}");
        }
        let twice = [(RANGE, "bytes=0-1"), (RANGE, "bytes=0-1")];
        assert_eq!(ask(&twice), Wanted::Whole);
        assert_eq!(ask_as(false, 100, &[(RANGE, "bytes=0-1")]), Wanted::Whole);
    }

    #[test]
    fn tags() {
        let none = |text| ask(&[(IF_NONE_MATCH, text)]);
        for text in [
            "\"1-2,3\"",
            "W/\"1-2,3\"",
            "*",
            "\"a\", \"1-2,3\"",
            "\"a\",W/\"1-2,3\"",
        ] {
            assert_eq!(none(text), Wanted::NotModified, "{text}");
        }
        assert_eq!(none("\"1-2\""), Wanted::Whole);
        assert_eq!(none("1-2,3"), Wanted::Whole);
        let with = |text| ask(&[(IF_MATCH, text)]);
        assert_eq!(with("\"1-2,3\""), Wanted::Whole);
        assert_eq!(with("*"), Wanted::Whole);
        assert_eq!(with("\"x\", \"1-2,3\""), Wanted::Whole);
        assert_eq!(with("W/\"1-2,3\""), Wanted::PreconditionFailed);
        assert_eq!(with("\"x\""), Wanted::PreconditionFailed);
    }

    #[test]
    fn dates() {
        let since = |text| ask(&[(IF_MODIFIED_SINCE, text)]);
        assert_eq!(since(MODIFIED), Wanted::NotModified);
        assert_eq!(since(LATER), Wanted::NotModified);
        assert_eq!(since(EARLIER), Wanted::Whole);
        assert_eq!(since("yesterday"), Wanted::Whole);
        let unmodified = |text| ask(&[(IF_UNMODIFIED_SINCE, text)]);
        assert_eq!(unmodified(EARLIER), Wanted::PreconditionFailed);
        assert_eq!(unmodified(MODIFIED), Wanted::Whole);
        // A tag is worth more than a date.
        let both = [(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, LATER)];
        assert_eq!(ask(&both), Wanted::Whole);
        let both = [(IF_MATCH, "*"), (IF_UNMODIFIED_SINCE, EARLIER)];
        assert_eq!(ask(&both), Wanted::Whole);
    }

    #[test]
    fn the_rest_of_what_one_has_already() {
        let rest = |condition| ask(&[(RANGE, "bytes=50-"), (IF_RANGE, condition)]);
        assert_eq!(rest("\"1-2,3\""), Wanted::Part(50..100));
        assert_eq!(rest(MODIFIED), Wanted::Part(50..100));
        for other in ["\"x\"", "W/\"1-2,3\"", EARLIER, LATER, "x"] {
            assert_eq!(rest(other), Wanted::Whole, "{other}");
        }
        let known = [(RANGE, "bytes=50-"), (IF_NONE_MATCH, "*")];
        assert_eq!(ask(&known), Wanted::NotModified);
    }
}
