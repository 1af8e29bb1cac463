//! Which handler a request goes to: its exact path, then the pattern that fits best, then the
//! fallback. What a path decides stays decided: the methods of another one are not looked at.

use super::exchange::Handler;
use super::hooks::Hooks;
use super::pattern::Pattern;
use crate::error::{Error, Result};
use crate::http::headers;
use crate::socket::policy::{Allow, Rule};
use http::{HeaderValue, Method};
use matchit::{InsertError, Router};
use std::sync::{Arc, Weak};

/// What is known of the requests that one method and path take.
pub struct Route {
    pub handler: Handler,
    /// `None` for the fallback.
    pub pattern: Option<Arc<Pattern>>,
    /// Whose requests it takes.
    pub allow: Allow,
}

impl Route {
    pub fn new(handler: Handler) -> Route {
        Route {
            handler,
            pattern: None,
            allow: Allow::default(),
        }
    }
}

/// The routes of one path; `None` is any method.
type Methods = Vec<(Option<Method>, Arc<Route>)>;

#[derive(Default)]
pub struct Routes {
    /// Sorted: the few paths of a server are found faster so than by a hash that resists attacks.
    paths: Vec<(Box<str>, Methods)>,
    patterns: Vec<(Arc<Pattern>, Methods)>,
    /// From a path to an index of `patterns`.
    router: Router<usize>,
    fallback: Option<Arc<Route>>,
    pub hooks: Option<Arc<Hooks>>,
}

/// Where a request goes.
pub enum Found<'a> {
    Route(&'a Arc<Route>),
    /// The path exists, with other methods: the value of `Allow`.
    MethodNotAllowed(HeaderValue),
    /// OPTIONS, which no handler takes: the value of `Allow`, if there is a path.
    Options(Option<HeaderValue>),
    Nothing,
}

impl Routes {
    /// `method` `None` is any method, `path` `None` every path that no other route has.
    pub fn add(
        &mut self,
        method: Option<&str>,
        path: Option<&str>,
        mut route: Route,
    ) -> Result<()> {
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
        let pattern = Arc::new(Pattern::new(path)?);
        let methods = if pattern.has_params() {
            self.methods_of_pattern(&pattern)?
        } else {
            self.methods_of_path(pattern.exact_path())
        };
        if methods.iter().any(|(known, _)| *known == method) {
            let method = method.as_ref().map_or("any method", Method::as_str);
            return Err(Error::argument(format!(
                "there is a route for {method} {path} already"
            )));
        }
        route.pattern = Some(pattern);
        methods.push((method, Arc::new(route)));
        Ok(())
    }

    fn methods_of_path(&mut self, path: Box<str>) -> &mut Methods {
        let index = self.index(&path).unwrap_or_else(|index| {
            self.paths.insert(index, (path, Methods::new()));
            index
        });
        &mut self.paths[index].1
    }

    fn methods_of_pattern(&mut self, pattern: &Arc<Pattern>) -> Result<&mut Methods> {
        let known = |(known, _): &(Arc<Pattern>, _)| known.as_str() == pattern.as_str();
        let index = match self.patterns.iter().position(known) {
            Some(index) => index,
            None => {
                let index = self.patterns.len();
                let inserted = self.router.insert(pattern.as_str(), index);
                inserted.map_err(|error| refused(pattern, &error))?;
                self.patterns.push((pattern.clone(), Methods::new()));
                index
            }
        };
        Ok(&mut self.patterns[index].1)
    }

    /// One more rule for a route that is there.
    pub fn allow(&mut self, method: Option<&str>, path: Option<&str>, rule: Rule) -> Result<()> {
        let wanted = method.map(|m| headers::method(m.as_bytes())).transpose()?;
        let route = match path {
            None if wanted.is_some() => None,
            None => self.fallback.as_mut(),
            Some(path) => {
                let methods = self.methods_at(&Pattern::new(path)?);
                let mut methods = methods.into_iter().flatten();
                methods.find_map(|(method, route)| (*method == wanted).then_some(route))
            }
        };
        let Some(route) = route else {
            return Err(Error::argument(format!(
                "there is no route for {} {} to allow somebody: add the route first",
                method.unwrap_or("any method"),
                path.unwrap_or("any path"),
            )));
        };
        Arc::get_mut(route)
            .expect("shared from the start on only")
            .allow
            .add(rule);
        Ok(())
    }

    /// The routes that were added with this pattern.
    fn methods_at(&mut self, pattern: &Pattern) -> Option<&mut Methods> {
        if pattern.has_params() {
            let mut patterns = self.patterns.iter_mut();
            return patterns
                .find_map(|(known, of)| (known.as_str() == pattern.as_str()).then_some(of));
        }
        let index = self.index(&pattern.exact_path()).ok()?;
        Some(&mut self.paths[index].1)
    }

    fn index(&self, path: &str) -> std::result::Result<usize, usize> {
        self.paths
            .binary_search_by(|(known, _)| (**known).cmp(path))
    }

    /// For an exchange.
    pub fn weak_hooks(&self) -> Weak<Hooks> {
        self.hooks.as_ref().map_or_else(Weak::new, Arc::downgrade)
    }

    pub fn is_empty(&self) -> bool {
        self.paths.is_empty() && self.patterns.is_empty() && self.fallback.is_none()
    }

    pub fn find(&self, method: &Method, path: &str) -> Found<'_> {
        let methods = match self.index(path) {
            Ok(index) => &self.paths[index].1,
            Err(_) => match self.fitting(path) {
                Some(methods) => methods,
                None => return self.elsewhere(method, path),
            },
        };
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
            None if method == Method::OPTIONS => Found::Options(Some(allow(methods))),
            None => Found::MethodNotAllowed(allow(methods)),
        }
    }

    /// The routes of the pattern that fits best.
    fn fitting(&self, path: &str) -> Option<&Methods> {
        if self.patterns.is_empty() {
            return None;
        }
        let found = self.router.at(path).ok()?;
        Some(&self.patterns[*found.value].1)
    }

    /// For a path that no route has.
    fn elsewhere(&self, method: &Method, path: &str) -> Found<'_> {
        match &self.fallback {
            Some(route) => Found::Route(route),
            None if path == "*" && method == Method::OPTIONS => Found::Options(None),
            None => Found::Nothing,
        }
    }
}

fn refused(pattern: &Pattern, error: &InsertError) -> Error {
    Error::argument(match error {
        InsertError::Conflict { with } => format!(
            "the path {pattern} of a route takes the same paths as {with:?}, which is there already: \
             one parameter in one place has one name, and stands beside no {{*rest}}"
        ),
        error => format!("the path {pattern} of a route is no pattern: {error}"),
    })
}

/// What the path answers to; OPTIONS is answered where no handler takes it.
fn allow(methods: &Methods) -> HeaderValue {
    let known = methods.iter().filter_map(|(method, _)| method.as_ref());
    let mut names: Vec<&str> = known.map(Method::as_str).collect();
    names.push("OPTIONS");
    if names.contains(&"GET") {
        names.push("HEAD");
    }
    names.sort_unstable();
    names.dedup();
    HeaderValue::try_from(names.join(", ")).expect("methods are tokens")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route() -> Route {
        Route::new(Box::new(|_| {}))
    }

    /// `METHOD PATH` for each route that there is.
    fn routes(all: &[&str]) -> Routes {
        let mut routes = Routes::default();
        for one in all {
            add(&mut routes, one).unwrap();
        }
        routes
    }

    fn add(routes: &mut Routes, one: &str) -> Result<()> {
        let (method, path) = one.split_once(' ').unwrap();
        let method = (method != "ANY").then_some(method);
        routes.add(method, Some(path), route())
    }

    /// The pattern that a request goes to, or the status and `Allow` that it gets.
    fn find(routes: &Routes, request: &str) -> String {
        let (method, path) = request.split_once(' ').unwrap();
        let text = |allow: &HeaderValue| allow.to_str().unwrap().to_owned();
        match routes.find(&method.parse().unwrap(), path) {
            Found::Route(route) => match &route.pattern {
                Some(pattern) => pattern.as_str().into(),
                None => "fallback".into(),
            },
            Found::MethodNotAllowed(allow) => format!("405 {}", text(&allow)),
            Found::Options(allow) => {
                format!("204 {}", allow.as_ref().map(text).unwrap_or_default())
            }
            Found::Nothing => "404".into(),
        }
    }

    #[test]
    fn exact_then_any_then_fallback() {
        let mut routes = routes(&["GET /a", "PUT /a", "ANY /b"]);
        for (request, found) in [
            ("GET /a", "/a"),
            ("HEAD /a", "/a"),
            ("DELETE /b", "/b"),
            ("OPTIONS /b", "/b"),
            ("GET /c", "404"),
            ("OPTIONS /c", "404"),
            ("POST /a", "405 GET, HEAD, OPTIONS, PUT"),
            ("OPTIONS /a", "204 GET, HEAD, OPTIONS, PUT"),
            ("OPTIONS *", "204 "),
            ("GET *", "404"),
        ] {
            assert_eq!(find(&routes, request), found, "{request}");
        }
        routes.add(None, None, route()).unwrap();
        assert_eq!(find(&routes, "GET /c"), "fallback");
        assert_eq!(find(&routes, "OPTIONS *"), "fallback");
        assert_eq!(find(&routes, "POST /a"), "405 GET, HEAD, OPTIONS, PUT");
    }

    #[test]
    fn exact_paths_win_then_the_closest_pattern() {
        let routes = routes(&[
            "GET /items/{id}",
            "DELETE /items/{id}",
            "GET /items/new",
            "GET /items/{id}/parts",
            "GET /{*rest}",
            "POST /items/v{n}",
            "HEAD /both/{x}",
            "GET /both/{x}",
            "OPTIONS /own/{x}",
            "GET /{{x}}/y",
        ]);
        for (request, found) in [
            ("GET /items/7", "/items/{id}"),
            ("HEAD /items/7", "/items/{id}"),
            ("DELETE /items/7", "/items/{id}"),
            ("GET /items/new", "/items/new"),
            ("DELETE /items/new", "405 GET, HEAD, OPTIONS"),
            ("POST /items/v2", "/items/v{n}"),
            ("GET /items/v2", "405 OPTIONS, POST"),
            ("PUT /items/7", "405 DELETE, GET, HEAD, OPTIONS"),
            ("OPTIONS /items/7", "204 DELETE, GET, HEAD, OPTIONS"),
            ("OPTIONS /own/7", "/own/{x}"),
            ("GET /own/7", "405 OPTIONS"),
            ("GET /items/7/parts", "/items/{id}/parts"),
            ("GET /items/7/other", "/{*rest}"),
            ("GET /items/a%2Fb", "/items/{id}"),
            ("GET /items/", "/{*rest}"),
            ("GET /items", "/{*rest}"),
            ("GET /", "404"),
            ("GET /{x}/y", "/{{x}}/y"),
            ("OPTIONS *", "204 "),
        ] {
            assert_eq!(find(&routes, request), found, "{request}");
        }
    }

    #[test]
    fn rules_belong_to_one_route() {
        let mut routes = routes(&["GET /a", "ANY /a", "GET /items/{id}", "GET /{{x}}"]);
        routes.add(None, None, route()).unwrap();
        let open = |routes: &Routes, request: &str| {
            let (method, path) = request.split_once(' ').unwrap();
            let Found::Route(route) = routes.find(&method.parse().unwrap(), path) else {
                panic!("no route")
            };
            route.allow.is_empty()
        };
        let everywhere = ["GET /a", "PUT /a", "GET /items/7", "GET /{x}", "GET /b"];
        for (method, path, closed) in [
            (Some("GET"), Some("/a"), "GET /a"),
            (Some("GET"), Some("/items/{id}"), "GET /items/7"),
            (Some("GET"), Some("/{{x}}"), "GET /{x}"),
            (None, Some("/a"), "PUT /a"),
            (None, None, "GET /b"),
        ] {
            let before = everywhere.map(|request| open(&routes, request));
            routes.allow(method, path, Rule::Root).unwrap();
            for (request, before) in everywhere.iter().zip(before) {
                assert_eq!(open(&routes, request), before && *request != closed);
            }
        }
        assert!(!open(&routes, "HEAD /a"), "it is GET's route");
        for (method, path) in [
            (Some("PUT"), Some("/a")),
            (Some("GET"), None),
            (None, Some("/b")),
            (Some("GET"), Some("/items/7")),
            (Some("GET"), Some("/items/{name}")),
            (Some("G T"), Some("/a")),
        ] {
            assert!(routes.allow(method, path, Rule::Root).is_err(), "{path:?}");
        }
    }

    #[test]
    fn bad_routes_are_refused() {
        let mut routes = Routes::default();
        for path in ["", "a", "/a b", "/a?x", "/#", "/{", "/{*a}/b"] {
            let added = routes.add(Some("GET"), Some(path), route());
            assert!(added.is_err(), "{path}");
        }
        assert!(routes.add(Some("G T"), Some("/"), route()).is_err());
        assert!(routes.add(Some("GET"), None, route()).is_err());
        assert!(routes.is_empty());
        routes.add(Some("GET"), Some("/"), route()).unwrap();
        assert!(routes.add(Some("GET"), Some("/"), route()).is_err());
        routes.add(None, None, route()).unwrap();
        assert!(routes.add(None, None, route()).is_err());
    }

    #[test]
    fn a_conflict_names_both_patterns() {
        for (first, second) in [
            ("/items/{id}", "/items/{name}"),
            ("/items/{id}/parts", "/items/{name}/parts"),
            ("/files/{*rest}", "/files/{name}"),
            ("/files/{name}", "/files/{*rest}"),
            ("/a{x}b", "/a{y}"),
        ] {
            let mut routes = routes(&[&format!("GET {first}")]);
            let error = add(&mut routes, &format!("POST {second}")).unwrap_err();
            let message = &error.message;
            let both = [first, second].map(|path| message.contains(&format!("\"{path}\"")));
            assert_eq!(both, [true, true], "{message}");
            // The one before is as it was.
            assert_eq!(routes.patterns.len(), 1);
        }
        let mut routes = routes(&["GET /items/{id}", "POST /items/{id}"]);
        let error = add(&mut routes, "POST /items/{id}").unwrap_err();
        let message = "there is a route for POST /items/{id} already";
        assert_eq!(error.message, message);
    }
}
