//! The head of a request: what was asked, and how. Parameters and query are decoded when the first of
//! them is asked for; all that is given out lives as long as the exchange.

use super::pairs::Pairs;
use super::pattern::Pattern;
use super::routes::Route;
use crate::error::{Error, Result};
use crate::http::headers;
use http::{HeaderMap, request};
use std::sync::{Arc, OnceLock};

pub struct Head {
    parts: request::Parts,
    /// Of the route that was found.
    pattern: Option<Arc<Pattern>>,
    params: OnceLock<Pairs>,
    query: OnceLock<Pairs>,
}

impl Head {
    pub fn new(parts: request::Parts, route: &Route) -> Head {
        Head {
            parts,
            pattern: route.pattern.clone(),
            params: OnceLock::new(),
            query: OnceLock::new(),
        }
    }

    /// Lets go of a request that has ended. Its header map is given away: whoever takes it leaves another.
    pub fn clear(&mut self) -> &mut HeaderMap {
        self.params = OnceLock::new();
        self.query = OnceLock::new();
        // What points into hyper's read buffer would keep it from being used again.
        self.parts.uri = http::Uri::default();
        &mut self.parts.headers
    }

    /// The next request, after [`Head::clear`].
    #[inline]
    pub fn renew(&mut self, parts: request::Parts, route: &Route) {
        let now = &mut self.parts;
        now.method = parts.method;
        now.uri = parts.uri;
        now.version = parts.version;
        headers::replace(&mut now.headers, parts.headers);
        now.extensions = parts.extensions;
        let is_same = match (&self.pattern, &route.pattern) {
            (Some(before), Some(now)) => Arc::ptr_eq(before, now),
            (before, now) => before.is_none() && now.is_none(),
        };
        // Nearly always the same: nothing to count then.
        if !is_same {
            self.pattern = route.pattern.clone();
        }
    }

    pub fn method(&self) -> &str {
        self.parts.method.as_str()
    }

    /// Path and query as received.
    pub fn target(&self) -> &[u8] {
        match self.parts.uri.path_and_query() {
            Some(target) => target.as_str().as_bytes(),
            None => self.path(),
        }
    }

    pub fn path(&self) -> &[u8] {
        self.parts.uri.path().as_bytes()
    }

    pub fn query(&self) -> Option<&[u8]> {
        self.parts.uri.query().map(str::as_bytes)
    }

    /// 10 or 11.
    pub fn version(&self) -> i32 {
        if self.parts.version == http::Version::HTTP_10 {
            10
        } else {
            11
        }
    }

    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// One of several headers with the same name.
    pub fn header_value_at(&self, name: &[u8], index: usize) -> Option<&[u8]> {
        let name = std::str::from_utf8(name).ok()?;
        let mut values = self.headers().get_all(name).iter();
        values.nth(index).map(|value| value.as_bytes())
    }

    /// The path of the route, as it was given; `None` for the fallback.
    pub fn pattern(&self) -> Option<&str> {
        self.pattern.as_ref().map(|pattern| pattern.as_str())
    }

    /// A parameter of the pattern.
    pub fn param(&self, name: &[u8]) -> Option<&[u8]> {
        let pattern = self.pattern.as_ref().filter(|it| it.has_params())?;
        let path = self.parts.uri.path();
        let params = self
            .params
            .get_or_init(|| Pairs::of_params(pattern.params(path)));
        params.value(name)
    }

    fn pairs(&self) -> &Pairs {
        self.query
            .get_or_init(|| Pairs::of_query(self.query().unwrap_or_default()))
    }

    /// The first value of a name in the query.
    pub fn query_value(&self, name: &[u8]) -> Option<&[u8]> {
        self.pairs().value(name)
    }

    pub fn query_count(&self) -> usize {
        self.pairs().len()
    }

    pub fn query_at(&self, index: usize) -> Result<(&[u8], &[u8])> {
        let pairs = self.pairs();
        pairs.at(index).ok_or_else(|| {
            Error::argument(format!(
                "there is no query value {index}: the request has {}",
                pairs.len()
            ))
        })
    }
}
