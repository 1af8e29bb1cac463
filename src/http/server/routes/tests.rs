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
