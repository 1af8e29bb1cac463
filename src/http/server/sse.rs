//! Server-sent events: an answer of text lines that does not end
//! (https://html.spec.whatwg.org/multipage/server-sent-events.html).

use super::exchange::Exchange;
use crate::error::{Error, Result};
use crate::http::headers::Shown;
use std::sync::Arc;
use std::time::Duration;

/// One event; what is absent is left out.
#[derive(Debug, Clone, Copy, Default)]
pub struct SentEvent<'a> {
    pub event: Option<&'a [u8]>,
    pub id: Option<&'a [u8]>,
    pub data: Option<&'a [u8]>,
}

impl SentEvent<'_> {
    /// Its lines. With nothing in it it is a comment, which keeps a connection busy.
    fn lines(&self) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        for (field, value) in [("event", self.event), ("id", self.id)] {
            let Some(value) = value else { continue };
            if value.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
                let value = Shown(value);
                return Err(Error::argument(format!(
                    "{field} has more than one line: {value}"
                )));
            }
            put(&mut text, field, value);
        }
        match self.data {
            None if text.is_empty() => text.extend_from_slice(b":\n"),
            // Without a line of data a client passes the event over.
            data => each_line(data.unwrap_or_default(), |line| {
                put(&mut text, "data", line)
            }),
        }
        text.push(b'\n');
        Ok(text)
    }
}

fn put(text: &mut Vec<u8>, field: &str, value: &[u8]) {
    text.extend_from_slice(field.as_bytes());
    text.extend_from_slice(b": ");
    text.extend_from_slice(value);
    text.push(b'\n');
}

/// Lines end with CR LF, LF or CR.
fn each_line(mut text: &[u8], mut f: impl FnMut(&[u8])) {
    while let Some(end) = text.iter().position(|b| matches!(b, b'\r' | b'\n')) {
        f(&text[..end]);
        let skip = if text[end..].starts_with(b"\r\n") {
            2
        } else {
            1
        };
        text = &text[end + skip..];
    }
    f(text);
}

impl Exchange {
    /// Begins an answer of events.
    pub fn start_events(self: &Arc<Self>) -> Result<()> {
        self.set_header(b"cache-control", b"no-store")?;
        self.start_answer(200, Some(b"text/event-stream"), None)
    }

    /// Writes one event: all of it or nothing.
    pub fn write_event(&self, event: &SentEvent<'_>, timeout: Option<Duration>) -> Result<()> {
        self.write(&event.lines()?, timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(event: SentEvent<'_>) -> String {
        String::from_utf8(event.lines().unwrap()).unwrap()
    }

    #[test]
    fn each_line_of_data_is_a_line() {
        let data = |data: &'static str| {
            text(SentEvent {
                data: Some(data.as_bytes()),
                ..SentEvent::default()
            })
        };
        assert_eq!(data("one"), "data: one\n\n");
        assert_eq!(data(""), "data: \n\n");
        assert_eq!(
            data("a\nb\r\nc\rd"),
            "data: a\ndata: b\ndata: c\ndata: d\n\n"
        );
        assert_eq!(data("\n"), "data: \ndata: \n\n");
    }

    #[test]
    fn names_and_ids_stand_before_the_data() {
        let event = SentEvent {
            event: Some(b"tick"),
            id: Some(b"7"),
            data: None,
        };
        assert_eq!(text(event), "event: tick\nid: 7\ndata: \n\n");
        assert_eq!(text(SentEvent::default()), ":\n\n");
    }

    #[test]
    fn a_second_line_in_a_name_is_refused() {
        for bad in [&b"a\nb"[..], b"a\rb", b"a\0"] {
            let event = SentEvent {
                event: Some(bad),
                ..SentEvent::default()
            };
            let error = event.lines().unwrap_err().message;
            assert!(error.starts_with("event has more than one line"), "{error}");
        }
    }
}
