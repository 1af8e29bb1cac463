//! Names and values of a query or a pattern, decoded.

use percent_encoding::percent_decode;

/// Decoded pairs, in the order in which they were sent. A malformed escape stays as it is.
#[derive(Default)]
pub struct Pairs {
    bytes: Vec<u8>,
    /// Where each name ends in `bytes`, and where its value does; both stand one behind the other.
    ends: Vec<(usize, usize)>,
}

impl Pairs {
    /// Of `application/x-www-form-urlencoded` text, byte by byte: what is no text stays what it is.
    pub fn of_query(query: &[u8]) -> Pairs {
        let mut pairs = Pairs::default();
        for piece in query
            .split(|b| *b == b'&')
            .filter(|piece| !piece.is_empty())
        {
            let equals = piece.iter().position(|b| *b == b'=');
            let (name, value) = match equals {
                Some(at) => (&piece[..at], &piece[at + 1..]),
                None => (piece, &b""[..]),
            };
            pairs.push(form(name), form(value));
        }
        pairs
    }

    /// Of the parameters of a path: names as they are, values decoded.
    pub fn of_params<'a>(params: impl Iterator<Item = (&'a str, &'a str)>) -> Pairs {
        let mut pairs = Pairs::default();
        for (name, value) in params {
            pairs.push(name.bytes(), percent_decode(value.as_bytes()));
        }
        pairs
    }

    fn push(&mut self, name: impl Iterator<Item = u8>, value: impl Iterator<Item = u8>) {
        self.bytes.extend(name);
        let middle = self.bytes.len();
        self.bytes.extend(value);
        self.ends.push((middle, self.bytes.len()));
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn at(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let (middle, end) = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before].1);
        Some((&self.bytes[start..middle], &self.bytes[middle..end]))
    }

    /// The first value of a name.
    pub fn value(&self, name: &[u8]) -> Option<&[u8]> {
        (0..self.len())
            .filter_map(|index| self.at(index))
            .find_map(|(known, value)| (known == name).then_some(value))
    }
}

/// In forms a space is a plus.
fn form(text: &[u8]) -> impl Iterator<Item = u8> {
    let words = text.split(|b| *b == b'+').enumerate();
    words.flat_map(|(index, word)| {
        let space = (index > 0).then_some(b' ');
        space.into_iter().chain(percent_decode(word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Vec<(String, String)> {
        let pairs = Pairs::of_query(text.as_bytes());
        let shown = |bytes: &[u8]| bytes.escape_ascii().to_string();
        (0..pairs.len())
            .map(|index| pairs.at(index).unwrap())
            .map(|(name, value)| (shown(name), shown(value)))
            .collect()
    }

    #[test]
    fn queries_are_decoded_as_forms() {
        for (text, pairs) in [
            ("", &[][..]),
            ("&&", &[]),
            ("a=1&b=2", &[("a", "1"), ("b", "2")]),
            ("a", &[("a", "")]),
            ("=x&=", &[("", "x"), ("", "")]),
            ("a=b=c", &[("a", "b=c")]),
            ("a+b=c+%2B+&+=+", &[("a b", "c + "), (" ", " ")]),
            ("%61%3D=%26%3d%00", &[("a=", r"&=\x00")]),
            (
                "a=%&b=%2&c=%zz&d=%%41",
                &[("a", "%"), ("b", "%2"), ("c", "%zz"), ("d", "%A")],
            ),
            ("a=%ff%C3%A4", &[("a", r"\xff\xc3\xa4")]),
        ] {
            let expected: Vec<(String, String)> = pairs
                .iter()
                .map(|(n, v)| (n.to_string(), v.to_string()))
                .collect();
            assert_eq!(query(text), expected, "{text}");
        }
    }

    #[test]
    fn the_first_of_a_name_is_found() {
        let pairs = Pairs::of_query(b"a=1&b=2&%61=3&c");
        assert_eq!(pairs.value(b"a"), Some(&b"1"[..]));
        assert_eq!(pairs.value(b"c"), Some(&b""[..]));
        assert_eq!(pairs.value(b"A"), None);
        assert_eq!(pairs.at(4), None);
    }

    #[test]
    fn parameters_keep_their_pluses() {
        let pairs = Pairs::of_params([("id", "a%2Fb+c"), ("x", "%zz%00")].into_iter());
        assert_eq!(pairs.value(b"id"), Some(&b"a/b+c"[..]));
        assert_eq!(pairs.value(b"x"), Some(&b"%zz\0"[..]));
        assert_eq!(pairs.value(b"y"), None);
    }
}
