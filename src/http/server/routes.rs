//! Which handler a request goes to: exact method and path, then the fallback.

use super::exchange::Handler;
use crate::error::{Error, Result};
use crate::http::headers::{self, Shown};
use http::{HeaderValue, Method};
use std::sync::Arc;

/// The handlers of one path; `None` is any method.
type Methods = Vec<(Option<Method>, Arc<Route>)>;

/// What is known of the requests that one method and path take.
pub struct Route {
    pub handler: Handler,
}

impl Route {
    pub fn new(handler: Handler) -> Route {
        Route { handler }
    }
}

#[derive(Default)]
pub struct Routes {
    /// Sorted: the few paths of a server are found faster so than by a hash that resists attacks.
    paths: Vec<(Box<str>, Methods)>,
    fallback: Option<Arc<Route>>,
}

/// Where a request goes.
pub enum Found<'a> {
    Route(&'a Arc<Route>),
    /// The path exists, with other methods: the value of `Allow`.
    MethodNotAllowed(HeaderValue),
    Nothing,
}

impl Routes {
    /// `method` `None` is any method, `path` `None` every path that no other route has.
    pub fn add(&mut self, method: Option<&str>, path: Option<&str>, route: Route) -> Result<()> {
        let method = method.map(|m| headers::method(m.as_bytes())).transpose()?;
        let Some(path) = path else {
            if method.is_some() {
                return Err(Error::argument(
                    "a route without a path takes every method: give NULL as its method too",
                ));
            }
            if self.fallback.is_some() {
                return Err(Error::argument("there is a route without a path already"));
            }
            self.fallback = Some(Arc::new(route));
            return Ok(());
        };
        if path.is_empty() || !(path.starts_with('/') || path == "*") {
            return Err(Error::argument(format!(
                "the path {} of a route must start with /",
                Shown(path.as_bytes())
            )));
        }
        if let Some(bad) = path
            .bytes()
            .find(|b| matches!(b, b'?' | b'#' | 0..=b' ' | 127))
        {
            return Err(Error::argument(format!(
                "the path {} of a route contains \"{}\", which no request's path does",
                Shown(path.as_bytes()),
                bad.escape_ascii()
            )));
        }
        let index = self.index(path).unwrap_or_else(|index| {
            self.paths.insert(index, (path.into(), Methods::new()));
            index
        });
        let methods = &mut self.paths[index].1;
        if methods.iter().any(|(known, _)| *known == method) {
            let method = method.as_ref().map_or("any method", Method::as_str);
            return Err(Error::argument(format!(
                "there is a route for {method} {path} already"
            )));
        }
        methods.push((method, Arc::new(route)));
        Ok(())
    }

    fn index(&self, path: &str) -> std::result::Result<usize, usize> {
        self.paths
            .binary_search_by(|(known, _)| (**known).cmp(path))
    }

    pub fn is_empty(&self) -> bool {
        self.paths.is_empty() && self.fallback.is_none()
    }

    pub fn find(&self, method: &Method, path: &str) -> Found<'_> {
        let fallback = || self.fallback.as_ref().map_or(Found::Nothing, Found::Route);
        let Ok(index) = self.index(path) else {
            return fallback();
        };
        let methods = &self.paths[index].1;
        let of = |wanted: Option<&Method>| {
            methods
                .iter()
                .find(|(m, _)| m.as_ref() == wanted)
                .map(|(_, route)| route)
        };
        // HEAD is answered by GET's handler, hyper leaves its body out (RFC 9110, section 9.3.2).
        let get = (method == Method::HEAD)
            .then(|| of(Some(&Method::GET)))
            .flatten();
        match of(Some(method)).or(get).or_else(|| of(None)) {
            Some(route) => Found::Route(route),
            None => Found::MethodNotAllowed(allow(methods.iter().filter_map(|(m, _)| m.as_ref()))),
        }
    }
}

fn allow<'a>(methods: impl Iterator<Item = &'a Method>) -> HeaderValue {
    let mut names: Vec<&str> = methods.map(Method::as_str).collect();
    if names.contains(&"GET") && !names.contains(&"HEAD") {
        names.push("HEAD");
    }
    names.sort_unstable();
    HeaderValue::try_from(names.join(", ")).expect("methods are tokens")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route() -> Route {
        Route::new(Box::new(|_| {}))
    }

    #[test]
    fn exact_then_any_then_fallback() {
        let mut routes = Routes::default();
        routes.add(Some("GET"), Some("/a"), route()).unwrap();
        routes.add(Some("PUT"), Some("/a"), route()).unwrap();
        routes.add(None, Some("/b"), route()).unwrap();
        assert!(matches!(routes.find(&Method::GET, "/a"), Found::Route(_)));
        assert!(matches!(routes.find(&Method::HEAD, "/a"), Found::Route(_)));
        assert!(matches!(
            routes.find(&Method::DELETE, "/b"),
            Found::Route(_)
        ));
        assert!(matches!(routes.find(&Method::GET, "/c"), Found::Nothing));
        let Found::MethodNotAllowed(allow) = routes.find(&Method::POST, "/a") else {
            panic!()
        };
        assert_eq!(allow, "GET, HEAD, PUT");
        routes.add(None, None, route()).unwrap();
        assert!(matches!(routes.find(&Method::GET, "/c"), Found::Route(_)));
        assert!(matches!(
            routes.find(&Method::POST, "/a"),
            Found::MethodNotAllowed(_)
        ));
    }

    #[test]
    fn bad_routes_are_refused() {
        let mut routes = Routes::default();
        for path in ["", "a", "/a b", "/a?x", "/#"] {
            assert!(
                routes.add(Some("GET"), Some(path), route()).is_err(),
                "{path}"
            );
        }
        assert!(routes.add(Some("G T"), Some("/"), route()).is_err());
        assert!(routes.add(Some("GET"), None, route()).is_err());
        routes.add(Some("GET"), Some("/"), route()).unwrap();
        assert!(routes.add(Some("GET"), Some("/"), route()).is_err());
        routes.add(None, None, route()).unwrap();
        assert!(routes.add(None, None, route()).is_err());
    }
}
