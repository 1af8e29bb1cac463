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
    /// The handler reads the body itself; it runs when the head is there.
    pub streaming: bool,
}

impl Route {
    pub fn new(handler: Handler) -> Route {
        Route {
            handler,
            pattern: None,
            allow: Allow::default(),
            streaming: false,
        }
    }

    pub fn streaming(self) -> Route {
        Route {
            streaming: true,
            ..self
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
mod tests;
