//! What paths a route takes: one, or all that fit a pattern with parameters.

use crate::error::{Error, Result};
use crate::http::headers::Shown;
use matchit::Router;
use std::fmt;

/// The path of a route, as it was given, checked. In `/items/{id}` the parameter `id` is what stands
/// there up to the next `/`, in `/files/{*rest}` `rest` is all that follows; neither is ever empty.
/// `{{` and `}}` are braces.
pub struct Pattern {
    text: Box<str>,
    names: Vec<Box<str>>,
    /// Knows this pattern only, and finds the parameters in a path; without parameters empty.
    alone: Router<()>,
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shown(self.text.as_bytes()).fmt(f)
    }
}

impl Pattern {
    pub fn new(text: &str) -> Result<Pattern> {
        let refuse = |why: &str| {
            let shown = Shown(text.as_bytes());
            Err(Error::argument(format!(
                "the path {shown} of a route {why}"
            )))
        };
        if text.is_empty() || !(text.starts_with('/') || text == "*") {
            return refuse("must start with /");
        }
        let never = |b: &u8| matches!(b, b'?' | b'#' | 0..=b' ' | 127);
        if let Some(bad) = text.bytes().find(never) {
            let bad = bad.escape_ascii();
            return refuse(&format!("contains \"{bad}\", which no request's path does"));
        }
        let names = match names(text) {
            Ok(names) => names,
            Err(why) => return refuse(why),
        };
        let mut alone = Router::new();
        if !names.is_empty()
            && let Err(error) = alone.insert(text, ())
        {
            return refuse(&format!("is no pattern: {error}"));
        }
        Ok(Pattern {
            text: text.into(),
            names: names.into_iter().map(Box::from).collect(),
            alone,
        })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn has_params(&self) -> bool {
        !self.names.is_empty()
    }

    /// The path that it takes when it has no parameters.
    pub fn exact_path(&self) -> Box<str> {
        self.text.replace("{{", "{").replace("}}", "}").into()
    }

    /// Names and values of the parameters in a path that fits, as they stand there.
    pub fn params<'a>(&'a self, path: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let fit = self.alone.at(path).ok();
        let value = move |name: &str| fit.as_ref().and_then(|fit| fit.params.get(name));
        self.names
            .iter()
            .filter_map(move |name| value(name).map(|value| (&**name, value)))
    }
}

/// The names of the parameters, or what is wrong with the braces.
fn names(text: &str) -> std::result::Result<Vec<&str>, &'static str> {
    let mut names: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (brace, after) = (&rest[at..at + 1], &rest[at + 1..]);
        if let Some(after) = after.strip_prefix(brace) {
            rest = after;
            continue;
        }
        if brace == "}" {
            return Err("has a } without its {: a brace in a path is written }}");
        }
        let Some((inside, after)) = after.split_once('}') else {
            return Err("has a { without its }: a brace in a path is written {{");
        };
        let name = inside.strip_prefix('*').unwrap_or(inside);
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if name.is_empty() || !name.bytes().all(fits) {
            return Err("has a parameter whose name is not of letters, digits, _ and -");
        }
        if inside.len() > name.len() && !after.is_empty() {
            return Err("has a {*parameter} that is not its end");
        }
        if after.starts_with('}') {
            return Err("has a parameter with a brace right behind it");
        }
        if names.contains(&name) {
            return Err("has two parameters of one name");
        }
        names.push(name);
        rest = after;
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let error = Pattern::new(text).err().expect(text);
        error.message.into_owned()
    }

    #[test]
    fn a_refusal_says_what_is_wrong() {
        for (text, why) in [
            ("", "must start with /"),
            ("items", "must start with /"),
            ("{id}", "must start with /"),
            ("/a b", "contains \" \""),
            ("/a?{id}", "contains \"?\""),
            ("/a/{id", "{ without its }"),
            ("/a/id}", "} without its {"),
            ("/a/{}", "letters, digits, _ and -"),
            ("/a/{*}", "letters, digits, _ and -"),
            ("/a/{rest...}", "letters, digits, _ and -"),
            ("/a/{id:[0-9]+}", "letters, digits, _ and -"),
            ("/a/{*rest}/b", "not its end"),
            ("/a/{id}/b/{id}", "two parameters of one name"),
            ("/a/{x}{y}", "Only one parameter"),
            ("/a/{x}}}", "brace right behind it"),
        ] {
            let message = refused(text);
            assert!(message.contains(why), "{text}: {message}");
        }
    }

    fn params<'a>(pattern: &'a Pattern, path: &'a str) -> Vec<(&'a str, &'a str)> {
        pattern.params(path).collect()
    }

    #[test]
    fn parameters_are_found_undecoded() {
        let items = Pattern::new("/items/{id}/parts/{part-no}").unwrap();
        assert!(items.has_params());
        let found = params(&items, "/items/a%2Fb/parts/7");
        assert_eq!(found, [("id", "a%2Fb"), ("part-no", "7")]);
        assert!(params(&items, "/items/a/b/parts/7").is_empty());
        let files = Pattern::new("/files/{*rest}").unwrap();
        assert_eq!(params(&files, "/files/a/b//c"), [("rest", "a/b//c")]);
        assert!(params(&files, "/files/").is_empty());
        let image = Pattern::new("/img-{n}.png").unwrap();
        assert_eq!(params(&image, "/img-1.2.png"), [("n", "1.2")]);
        let many = Pattern::new("/{a}/{b}/{c}/{d}/{e}").unwrap();
        assert_eq!(params(&many, "/1/2/3/4/5")[4], ("e", "5"));
    }

    #[test]
    fn doubled_braces_are_braces() {
        let plain = Pattern::new("/{{a}}").unwrap();
        assert!(!plain.has_params());
        assert_eq!(&*plain.exact_path(), "/{a}");
        assert_eq!(plain.as_str(), "/{{a}}");
        let mixed = Pattern::new("/{{{a}/}}x").unwrap();
        assert_eq!(params(&mixed, "/{1/}x"), [("a", "1")]);
    }
}
