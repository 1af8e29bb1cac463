//! An answer's body: where it is in what has come (RFC 9112, sections 6 and 7).

use super::Broken;
use crate::limits::HEADERS_MAX;
use bytes::{Buf, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use httparse::{EMPTY_HEADER, Status};

/// Longest line of a chunk's size, with its extensions.
const SIZE_LINE_MAX: usize = 16 * 1024;
/// Trailers in all.
const TRAILERS_MAX: usize = 16 * 1024;

/// What of an answer is still to come.
#[derive(Debug)]
pub enum Down {
    /// Its head, and then all the rest.
    Head,
    /// So many bytes.
    Length(u64),
    Chunked(Chunk),
    /// All until the connection's end.
    Rest,
    /// Nothing.
    Over,
}

/// Where a body in chunks is.
#[derive(Debug)]
pub enum Chunk {
    Size,
    Data(u64),
    /// The end of the line behind a chunk.
    End,
    Trailers,
}

/// What there is of a body.
#[derive(Debug)]
pub enum Step {
    /// So many bytes at the beginning of the input; see [`Down::took`].
    Data(usize),
    Trailers(HeaderMap),
    End,
    /// It is still to come.
    More,
}

impl Down {
    pub fn length(length: u64) -> Down {
        match length {
            0 => Down::Over,
            length => Down::Length(length),
        }
    }

    /// Bytes until the end, or until the end of the chunk.
    pub fn left(&self) -> Option<usize> {
        match self {
            Down::Length(left) | Down::Chunked(Chunk::Data(left)) => {
                Some(usize::try_from(*left).unwrap_or(usize::MAX))
            }
            _ => None,
        }
    }

    /// Takes what surrounds the next bytes.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Step, Broken> {
        loop {
            let chunk = match self {
                Down::Over => return Ok(Step::End),
                Down::Head => return Ok(Step::More),
                Down::Chunked(chunk) => chunk,
                Down::Length(_) | Down::Rest => return Ok(data(input, self.left())),
            };
            match chunk {
                Chunk::Data(_) => return Ok(data(input, self.left())),
                Chunk::Size => match size(input)? {
                    None => return Ok(Step::More),
                    Some(0) => *chunk = Chunk::Trailers,
                    Some(size) => *chunk = Chunk::Data(size),
                },
                Chunk::End => {
                    let come = &input[..input.len().min(2)];
                    if !b"\r\n".starts_with(come) {
                        return Err(Broken::Body("a chunk is longer than its size"));
                    }
                    if come.len() < 2 {
                        return Ok(Step::More);
                    }
                    input.advance(2);
                    *chunk = Chunk::Size;
                }
                Chunk::Trailers => {
                    let Some(trailers) = trailers(input)? else {
                        return Ok(Step::More);
                    };
                    *self = Down::Over;
                    if !trailers.is_empty() {
                        return Ok(Step::Trailers(trailers));
                    }
                }
            }
        }
    }

    /// So many bytes of data were used.
    pub fn took(&mut self, n: usize) {
        match self {
            Down::Length(left) => {
                *left -= n as u64;
                if *left == 0 {
                    *self = Down::Over;
                }
            }
            Down::Chunked(chunk) => {
                if let Chunk::Data(left) = chunk {
                    *left -= n as u64;
                    if *left == 0 {
                        *chunk = Chunk::End;
                    }
                }
            }
            Down::Head | Down::Rest | Down::Over => {}
        }
    }

    /// The connection has ended.
    pub fn end(&mut self) -> Result<(), Broken> {
        match self {
            Down::Rest => {
                *self = Down::Over;
                Ok(())
            }
            _ => Err(Broken::Ended),
        }
    }
}

fn data(input: &BytesMut, left: Option<usize>) -> Step {
    match input.len().min(left.unwrap_or(usize::MAX)) {
        0 => Step::More,
        n => Step::Data(n),
    }
}

/// A chunk's size, when its line is there.
fn size(input: &mut BytesMut) -> Result<Option<u64>, Broken> {
    let Some(first) = input.first() else {
        return Ok(None);
    };
    let parsed = first
        .is_ascii_hexdigit()
        .then(|| httparse::parse_chunk_size(input));
    let line = match parsed {
        Some(Ok(Status::Complete((len, _)))) => &input[..len - 2],
        _ => &input[..],
    };
    match parsed {
        // An extension has none either: what it hides may be a chunk to others.
        Some(Ok(_)) if line.contains(&b'\n') => Err(Broken::Body("a chunk's size has a bare LF")),
        Some(Ok(Status::Complete((len, size)))) => {
            input.advance(len);
            Ok(Some(size))
        }
        Some(Ok(Status::Partial)) if input.len() <= SIZE_LINE_MAX => Ok(None),
        Some(Ok(Status::Partial)) => Err(Broken::Body("a chunk's size has no end")),
        Some(Err(_)) | None => Err(Broken::Body("a chunk's size is no number")),
    }
}

/// What follows the last chunk, when all of it is there.
fn trailers(input: &mut BytesMut) -> Result<Option<HeaderMap>, Broken> {
    let mut lines = [EMPTY_HEADER; HEADERS_MAX];
    let (len, lines) = match httparse::parse_headers(input, &mut lines) {
        Ok(Status::Complete(complete)) => complete,
        Ok(Status::Partial) if input.len() <= TRAILERS_MAX => return Ok(None),
        Ok(Status::Partial) => return Err(Broken::Body("the trailers have no end")),
        Err(_) => return Err(Broken::Body("a trailer")),
    };
    let mut trailers = HeaderMap::new();
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes());
        let value = HeaderValue::from_bytes(line.value);
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(Broken::Body("a trailer"));
        };
        trailers.append(name, value);
    }
    input.advance(len);
    Ok(Some(trailers))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of `text`, which arrives `n` bytes at a time, up to the end or an error; and what is left.
    fn decoded(
        mut down: Down,
        text: &str,
        n: usize,
    ) -> (Vec<u8>, HeaderMap, Result<bool, Broken>, usize) {
        let (mut input, mut body, mut all) = (BytesMut::new(), Vec::new(), HeaderMap::new());
        let mut coming = text.as_bytes().chunks(n);
        let end = loop {
            match down.decode(&mut input) {
                Ok(Step::Data(n)) => {
                    down.took(n);
                    body.extend_from_slice(&input.split_to(n));
                }
                Ok(Step::Trailers(trailers)) => all = trailers,
                Ok(Step::End) => break Ok(true),
                Ok(Step::More) => match coming.next() {
                    Some(piece) => input.extend_from_slice(piece),
                    None => break down.end().map(|()| false),
                },
                Err(error) => break Err(error),
            }
        };
        let left = input.len() + coming.map(<[u8]>::len).sum::<usize>();
        (body, all, end, left)
    }

    fn chunked(text: &str, n: usize) -> (Vec<u8>, HeaderMap, Result<bool, Broken>, usize) {
        decoded(Down::Chunked(Chunk::Size), text, n)
    }

    #[test]
    fn a_length_is_kept_to_and_a_rest_goes_to_the_end() {
        for n in 1..8 {
            let (body, _, end, left) = decoded(Down::length(5), "helloHTTP", n);
            assert_eq!((&body[..], end.unwrap(), left), (&b"hello"[..], true, 4));
            let (body, _, end, _) = decoded(Down::Rest, "hello", n);
            assert_eq!((&body[..], end.unwrap()), (&b"hello"[..], false));
            let (_, _, end, _) = decoded(Down::length(6), "hello", n);
            assert!(matches!(end, Err(Broken::Ended)));
        }
        let (body, _, end, left) = decoded(Down::length(0), "x", 1);
        assert_eq!((body.len(), end.unwrap(), left), (0, true, 1));
    }

    #[test]
    fn chunks_are_put_together_wherever_they_were_cut() {
        let text = "5;a=b\r\nhello\r\n00A \r\n, 123 5678\r\n0\r\nx-a: 1\r\nX-A:  2\r\n\r\nHTTP";
        for n in 1..text.len() {
            let (body, trailers, end, left) = chunked(text, n);
            assert_eq!(body, b"hello, 123 5678");
            let all: Vec<_> = trailers.get_all("x-a").iter().collect();
            assert_eq!(all, ["1", "2"]);
            assert_eq!((end.unwrap(), left), (true, 4));
        }
        let (body, trailers, end, left) = chunked("0\r\n\r\n", 1);
        assert_eq!(
            (body.len(), trailers.len(), end.unwrap(), left),
            (0, 0, true, 0)
        );
        for cut in 0..text.len() - 5 {
            let (_, _, end, _) = chunked(&text[..cut], 3);
            assert!(matches!(end, Err(Broken::Ended)), "{cut}");
        }
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for text in [
            "x",
            "\r\n",
            ";a",
            " 5\r\nhello",
            "-5\r\n",
            "0x5\r\n",
            "5\nhello",
            "5;a\nhello\r\n0\r\n\r\n",
            "5;a\n",
            "5\r\nhello!\r\n0\r\n\r\n",
            "11111111111111111\r\n",
            "0\r\na b: c\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello!",
        ] {
            for n in [1, 100] {
                let (_, _, end, _) = chunked(text, n);
                assert!(matches!(end, Err(Broken::Body(_))), "{text:?}: {end:?}");
            }
        }
        let line = format!("5;{}", "x".repeat(SIZE_LINE_MAX));
        assert!(matches!(chunked(&line, 999).2, Err(Broken::Body(_))));
        let trailer = format!("0\r\na: {}", "x".repeat(TRAILERS_MAX));
        assert!(matches!(chunked(&trailer, 999).2, Err(Broken::Body(_))));
        let many = format!("0\r\n{}\r\n", "a: b\r\n".repeat(HEADERS_MAX + 1));
        assert!(matches!(chunked(&many, 999).2, Err(Broken::Body(_))));
    }
}
