//! Where a redirect leads, and whether that is on the same socket (RFC 9110, section 15.4; RFC 3986, section
//! 5.2).

use super::Call;
use super::open::Source;
use super::wire::Head;
use crate::error::{Error, Operation, Result, Status};
use crate::socket::address::Address;
use http::StatusCode;
use http::header::LOCATION;

impl Call {
    /// Makes the request what a redirect asks for; `false` when the answer is none.
    pub(super) fn redirect(&self, head: &Head) -> bool {
        let status = head.status;
        let Some(location) = head.headers.get(LOCATION) else {
            return false;
        };
        if !leads_on(status) {
            return false;
        }
        let mut state = self.state();
        if state.upload().is_some() {
            // A body that is given once cannot be sent again.
            return false;
        }
        let limit = self.client.config.max_redirects;
        state.hops += 1;
        let result = if state.hops > limit {
            let what = format!(
                "more than the {limit} redirects of hysock_client_config_set_max_redirects"
            );
            Err((Status::TooLarge, what))
        } else {
            let request = &mut state.request;
            request
                .redirect(status, &self.client.source, location.as_bytes())
                .map_err(|what| (Status::Protocol, what))
        };
        state.redirect = Some(result.map_err(|(status, what)| {
            let message = format!("{}: {what}", self.client.source);
            Error::new(status, Operation::Receive, message)
        }));
        true
    }

    /// After an answer: whether the request is to be sent again, to where a redirect leads.
    pub fn is_redirected(&self) -> Result<bool> {
        if self.client.config.max_redirects == 0 {
            return Ok(false);
        }
        match self.state().redirect.take() {
            Some(result) => result.map(|()| true),
            None => Ok(false),
        }
    }
}

/// Whether an answer of this status sends the client elsewhere.
fn leads_on(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The target that `location` means, seen from `base` (path and query of what was asked, of `host`);
/// `None` when it is not on this socket.
pub fn target(base: &[u8], host: &[u8], source: &Source, location: &[u8]) -> Option<Vec<u8>> {
    let location = before(location, b"#");
    if let Some(scheme) = scheme(location) {
        let rest = &location[scheme.len() + 1..];
        if scheme.eq_ignore_ascii_case(b"http") {
            return on_host(rest.strip_prefix(b"//")?, host);
        }
        return on_socket(location, source);
    }
    if let Some(rest) = location.strip_prefix(b"//") {
        return on_host(rest, host);
    }
    let path = before(base, b"?");
    Some(match location.first() {
        None => base.to_vec(),
        Some(b'/') => normal(location),
        Some(b'?') => [path, location].concat(),
        Some(_) => {
            let slash = path.iter().rposition(|&byte| byte == b'/');
            let folder = slash.map_or(&b"/"[..], |at| &path[..=at]);
            normal(&[folder, location].concat())
        }
    })
}

/// What stands before the first of `ends`, or all of it.
fn before<'a>(text: &'a [u8], ends: &[u8]) -> &'a [u8] {
    let end = text.iter().position(|byte| ends.contains(byte));
    &text[..end.unwrap_or(text.len())]
}

fn scheme(location: &[u8]) -> Option<&[u8]> {
    let scheme = before(location, b":/?");
    let is_scheme = location.get(scheme.len()) == Some(&b':')
        && scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte));
    is_scheme.then_some(scheme)
}

/// `host/path`: this server knows itself as what we have called it, or as localhost.
fn on_host(rest: &[u8], host: &[u8]) -> Option<Vec<u8>> {
    let authority = before(rest, b"/?");
    if !authority.eq_ignore_ascii_case(b"localhost") && !authority.eq_ignore_ascii_case(host) {
        return None;
    }
    let rest = &rest[authority.len()..];
    Some(match rest.first() {
        Some(b'/') => normal(rest),
        _ => [b"/", rest].concat(),
    })
}

/// A URL with a socket in it, which must be this one.
fn on_socket(location: &[u8], source: &Source) -> Option<Vec<u8>> {
    let (address, target) = Address::parse_url(location).ok()?;
    match source {
        Source::Address(own) if *own == address => {
            Some(target.map_or_else(|| b"/".to_vec(), |target| normal(&target)))
        }
        _ => None,
    }
}

/// Without `.` and `..`; the query stays as it is.
fn normal(target: &[u8]) -> Vec<u8> {
    let path = before(target, b"?");
    let mut out: Vec<&[u8]> = Vec::new();
    let mut segments = path.split(|&byte| byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            b"." | b".." => {
                if segment == b".." {
                    out.pop();
                }
                if last {
                    out.push(b"");
                }
            }
            segment => out.push(segment),
        }
    }
    let mut normal = Vec::with_capacity(target.len());
    for segment in out {
        normal.push(b'/');
        normal.extend_from_slice(segment);
    }
    if normal.is_empty() {
        normal.push(b'/');
    }
    normal.extend_from_slice(&target[path.len()..]);
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn led(base: &str, location: &str) -> Option<String> {
        let source = Source::Address(Address::parse(b"/run/x.sock").unwrap());
        target(base.as_bytes(), b"docker", &source, location.as_bytes())
            .map(|target| String::from_utf8(target).unwrap())
    }

    #[test]
    fn relative_and_absolute_paths() {
        for (location, expected) in [
            // RFC 3986, section 5.4, as far as it is about paths.
            ("g", "/b/c/g"),
            ("./g", "/b/c/g"),
            ("g/", "/b/c/g/"),
            ("/g", "/g"),
            ("?y", "/b/c/d;p?y"),
            ("g?y", "/b/c/g?y"),
            ("g#s", "/b/c/g"),
            ("", "/b/c/d;p?q"),
            (".", "/b/c/"),
            ("..", "/b/"),
            ("../g", "/b/g"),
            ("../..", "/"),
            ("../../g", "/g"),
            ("../../../g", "/g"),
            ("/./g", "/g"),
            ("/../g", "/g"),
            ("g.", "/b/c/g."),
            ("..g", "/b/c/..g"),
            ("./../g", "/b/g"),
            ("g/./h", "/b/c/g/h"),
            ("g/../h", "/b/c/h"),
            ("g?y/../x", "/b/c/g?y/../x"),
            ("a//b", "/b/c/a//b"),
            ("1:2/x", "/b/c/1:2/x"),
        ] {
            assert_eq!(
                led("/b/c/d;p?q", location).as_deref(),
                Some(expected),
                "{location}"
            );
        }
    }

    #[test]
    fn urls_of_this_socket_and_of_others() {
        for (location, expected) in [
            ("http://localhost/a?b", Some("/a?b")),
            ("HTTP://LOCALHOST", Some("/")),
            ("http://docker?q", Some("/?q")),
            ("//docker/v1/../x", Some("/x")),
            ("http+unix://%2Frun%2Fx.sock/v2", Some("/v2")),
            ("http+unix://%2Frun%2Fx.sock", Some("/")),
            ("unix:///run/x.sock", Some("/")),
            ("http+unix://%2Frun%2Fy.sock/v2", None),
            ("http://example.org/a", None),
            ("//example.org/a", None),
            ("http://localhost@example.org/", None),
            ("https://localhost/a", None),
            ("http:/a", None),
            ("ftp:x", None),
        ] {
            assert_eq!(led("/", location).as_deref(), expected, "{location}");
        }
    }

    #[test]
    fn which_answers_lead_on() {
        let leading: Vec<u16> = (100..600)
            .filter(|&code| leads_on(StatusCode::from_u16(code).unwrap()))
            .collect();
        assert_eq!(leading, [301, 302, 303, 307, 308]);
    }
}
