//! The forms of an address, told apart by how they start.

use super::{Address, empty, printable};
use crate::error::{Error, Result};

type Parsed = (Address, Option<Vec<u8>>);

/// See [`Address::parse_url`].
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed> {
    let Some((scheme, rest)) = split_scheme(bytes) else {
        return Ok((plain(bytes)?, None));
    };
    if scheme.eq_ignore_ascii_case(b"unix") {
        unix(bytes, rest)
    } else if scheme.eq_ignore_ascii_case(b"http+unix") {
        http_unix(bytes, rest)
    } else {
        Err(other_scheme(bytes, scheme))
    }
}

/// What stands before and after a `:` in the first segment; a path has none there.
fn split_scheme(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    if matches!(bytes.first(), None | Some(b'/' | b'.' | b'@' | 0)) {
        return None;
    }
    let at = bytes.iter().position(|byte| matches!(byte, b':' | b'/'))?;
    (bytes[at] == b':').then(|| (&bytes[..at], &bytes[at + 1..]))
}

/// `@name`, NUL + name, or a path.
fn plain(bytes: &[u8]) -> Result<Address> {
    match bytes {
        [] => Err(empty()),
        [0, name @ ..] => Address::from_abstract(name),
        [b'@', name @ ..] => {
            if name.contains(&0) {
                return Err(Error::argument(format!(
                    "the abstract name \"{}\" has a NUL byte: check the length given, \
                     or start the name with a NUL in place of the @",
                    printable(bytes)
                )));
            }
            Address::from_abstract(name)
        }
        path => Address::from_path(path),
    }
}

/// `unix:path`, `unix:@name`, `unix:///path`, `unix://@name`, `unix://<hex>:0/target`.
fn unix(whole: &[u8], rest: &[u8]) -> Result<Parsed> {
    let Some(body) = rest.strip_prefix(b"//") else {
        if rest.is_empty() {
            return Err(lacks_path(whole));
        }
        return Ok((plain(rest)?, None));
    };
    match body.first() {
        None => Err(lacks_path(whole)),
        Some(b'/' | b'@' | 0) => Ok((plain(body)?, None)),
        Some(_) => hex_form(whole, body),
    }
}

/// hyperlocal's form: the path in hexadecimal digits, then `:0`.
fn hex_form(whole: &[u8], body: &[u8]) -> Result<Parsed> {
    let (authority, target) = split_target(body);
    let digits = authority.strip_suffix(b":0").ok_or_else(|| {
        Error::argument(format!(
            "the address \"{}\" has a host where the path should start: write unix:///absolute/path \
             (three slashes) or unix:relative/path (none)",
            printable(whole)
        ))
    })?;
    let path = from_hex(digits).ok_or_else(|| {
        Error::argument(format!(
            "the host of \"{}\" is not the path in hexadecimal digits",
            printable(whole)
        ))
    })?;
    Ok((plain(&path)?, target))
}

/// `http+unix://%2Frun%2Fx.sock/target`.
fn http_unix(whole: &[u8], rest: &[u8]) -> Result<Parsed> {
    let (authority, target) = split_target(rest.strip_prefix(b"//").unwrap_or_default());
    if authority.is_empty() {
        return Err(Error::argument(format!(
            "the address \"{}\" has no socket path as its host: percent-encode the path, \
             as in http+unix://%2Frun%2Fapp.sock/target",
            printable(whole)
        )));
    }
    let path = percent_decoded(authority).ok_or_else(|| {
        Error::argument(format!(
            "the host of \"{}\" has a % that two hexadecimal digits do not follow",
            printable(whole)
        ))
    })?;
    Ok((plain(&path)?, target))
}

/// Authority and request target; a fragment never goes on the wire.
fn split_target(body: &[u8]) -> (&[u8], Option<Vec<u8>>) {
    let body = body.split(|&byte| byte == b'#').next().unwrap_or_default();
    let Some(at) = body.iter().position(|byte| matches!(byte, b'/' | b'?')) else {
        return (body, None);
    };
    let (authority, rest) = body.split_at(at);
    let target = if rest[0] == b'/' {
        rest.to_vec()
    } else {
        [b"/", rest].concat()
    };
    (authority, Some(target))
}

fn hex_digit(byte: u8) -> Option<u8> {
    // The value of a hexadecimal digit fits.
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

fn hex_pair(high: u8, low: u8) -> Option<u8> {
    Some(hex_digit(high)? << 4 | hex_digit(low)?)
}

fn from_hex(digits: &[u8]) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits
        .chunks_exact(2)
        .map(|pair| hex_pair(pair[0], pair[1]))
        .collect()
}

fn percent_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return Some(decoded),
            [b'%', high, low, tail @ ..] => {
                decoded.push(hex_pair(*high, *low)?);
                tail
            }
            [b'%', ..] => return None,
            [byte, tail @ ..] => {
                decoded.push(*byte);
                tail
            }
        };
    }
}

fn lacks_path(whole: &[u8]) -> Error {
    Error::argument(format!(
        "the address \"{}\" has no path: write unix:///run/app.sock",
        printable(whole)
    ))
}

fn other_scheme(whole: &[u8], scheme: &[u8]) -> Error {
    Error::argument(format!(
        "the address \"{}\" is of scheme \"{}\", and hysock speaks Unix sockets only: give a path, \
         or write ./ before a file name with a colon",
        printable(whole),
        printable(scheme)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;

    fn parsed(text: &str) -> (String, Option<String>) {
        let (address, target) = Address::parse_url(text.as_bytes()).unwrap();
        (
            address.display(),
            target.map(|bytes| String::from_utf8(bytes).unwrap()),
        )
    }

    fn with_target(address: &str, target: &str) -> (String, Option<String>) {
        (address.to_owned(), Some(target.to_owned()))
    }

    fn refused(text: &str) -> String {
        let error = Address::parse_url(text.as_bytes()).unwrap_err();
        assert_eq!(error.status, Status::InvalidArgument, "{text}: {error}");
        error.to_string()
    }

    #[test]
    fn unix_forms() {
        let here = std::env::current_dir().unwrap().display().to_string();
        let here = here.trim_end_matches('/');
        for (given, address) in [
            ("unix:/run/x.sock", "/run/x.sock"),
            ("unix:///run/x.sock", "/run/x.sock"),
            ("UNIX:///run/x.sock", "/run/x.sock"),
            ("unix:///run/100%25?#.sock", "/run/100%25?#.sock"),
            ("unix:@name", "@name"),
            ("unix://@name", "@name"),
            ("unix:run/x.sock", &format!("{here}/run/x.sock")),
            ("unix:./@x", &format!("{here}/@x")),
        ] {
            assert_eq!(parsed(given), (address.to_owned(), None), "{given}");
        }
        assert!(refused("unix:").contains("has no path"));
        assert!(refused("unix://").contains("has no path"));
        assert!(refused("unix://run/x.sock").contains("three slashes"));
        assert!(refused("unix:///run/").contains("names a directory"));
    }

    #[test]
    fn other_schemes_are_told_what_this_speaks() {
        for given in [
            "http://localhost/",
            "https://x",
            "tcp://1.2.3.4:80",
            "localhost:80",
            "1.2.3.4:80",
            "ssh:x",
            "https+unix://%2Fx/",
            ":x",
        ] {
            let message = refused(given);
            assert!(
                message.contains("Unix sockets only") && message.contains(given),
                "{message}"
            );
        }
    }

    #[test]
    fn percent_encoded_sockets_carry_a_target() {
        assert_eq!(
            parsed("http+unix://%2Frun%2fx.sock/a/b?c=%2F"),
            with_target("/run/x.sock", "/a/b?c=%2F")
        );
        assert_eq!(parsed("http+unix://%2Fx"), ("/x".to_owned(), None));
        assert_eq!(parsed("HTTP+UNIX://%2Fx/"), with_target("/x", "/"));
        assert_eq!(
            parsed("http+unix://%2Fx?q=1#top"),
            with_target("/x", "/?q=1")
        );
        assert_eq!(
            parsed("http+unix://%40name/v1"),
            with_target("@name", "/v1")
        );
        assert_eq!(
            parsed("http+unix://%00name/v1"),
            with_target("@name", "/v1")
        );
        assert!(refused("http+unix:///run/x.sock/").contains("percent-encode"));
        assert!(refused("http+unix:/run/x.sock").contains("percent-encode"));
        assert!(refused("http+unix://%2Frun%2/").contains("hexadecimal"));
        assert!(refused("http+unix://%2Frun%zz/").contains("hexadecimal"));
        assert!(refused("http+unix://%2Frun%2/").contains("%2Frun%2/"));
        assert!(refused("http+unix://%2Fa%00b/").contains("NUL byte"));
    }

    #[test]
    fn hex_encoded_sockets_carry_a_target() {
        assert_eq!(
            parsed("unix://2f72756e2F78:0/a?b"),
            with_target("/run/x", "/a?b")
        );
        assert_eq!(parsed("unix://2f78:0"), ("/x".to_owned(), None));
        // What hyperlocal's own tests expect of it.
        let here = std::env::current_dir().unwrap().join("foo.sock");
        assert_eq!(
            parsed("unix://666f6f2e736f636b:0/"),
            with_target(here.to_str().unwrap(), "/")
        );
        assert!(refused("unix://2f7:0/a").contains("hexadecimal"));
        assert!(refused("unix://run:0/a").contains("hexadecimal"));
        assert!(refused("unix://2f78/a").contains("three slashes"));
        assert!(refused("unix://:0/a").contains("empty"));
    }

    #[test]
    fn where_only_a_socket_is_meant_a_target_is_refused() {
        assert!(Address::parse(b"http+unix://%2Fx").is_ok());
        assert!(Address::parse(b"http+unix://%2Fx/").is_ok());
        let error = Address::parse(b"http+unix://%2Fx/version").unwrap_err();
        assert!(error.message.contains("\"/version\""), "{error}");
    }
}
