use super::scratch::Scratch;
use super::*;

fn path_of(text: &str) -> String {
    let address = Address::parse(text.as_bytes()).unwrap();
    address.path().unwrap().to_str().unwrap().to_owned()
}

fn refused(bytes: &[u8]) -> String {
    let error = Address::parse(bytes).unwrap_err();
    assert_eq!(error.status, Status::InvalidArgument, "{error}");
    assert_eq!(error.operation, Operation::Argument);
    error.to_string()
}

#[test]
fn paths_are_taken_as_they_are() {
    assert_eq!(path_of("/run/x.sock"), "/run/x.sock");
    assert_eq!(path_of("/run/a:b/@c"), "/run/a:b/@c");
    assert_eq!(path_of("/run/../x"), "/run/../x");
    let odd = Address::parse(b"/run/\xff\n.sock").unwrap();
    assert_eq!(
        odd.path().unwrap().as_os_str().as_bytes(),
        b"/run/\xff\n.sock"
    );
    assert_eq!(odd.display(), "/run/\u{fffd}\\x0a.sock");
    assert!(!odd.is_abstract());
}

#[test]
fn relative_paths_become_absolute_and_escape_other_forms() {
    let current = std::env::current_dir()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    for (given, name) in [
        ("x.sock", "x.sock"),
        ("./x.sock", "x.sock"),
        (".//./x.sock", "x.sock"),
        ("../x.sock", "../x.sock"),
        ("a/b:c", "a/b:c"),
        ("./@x", "@x"),
        ("./unix:x", "unix:x"),
        ("./http://x", "http://x"),
    ] {
        assert_eq!(
            path_of(given),
            format!("{}/{name}", current.trim_end_matches('/'))
        );
    }
    assert_eq!(Address::parse(b"x"), Address::parse(b"./x"));
}

#[test]
fn abstract_names_have_two_spellings() {
    let at = Address::parse(b"@name").unwrap();
    assert_eq!(at, Address::parse(b"\0name").unwrap());
    assert!(at.is_abstract());
    assert_eq!(at.path(), None);
    assert_eq!(at.display(), "@name");
    assert_eq!(Address::parse(b"\0a\0b").unwrap().display(), "@a\\x00b");
    assert!(Address::parse(&[b'x'; 108].map(|_| b'@')).is_ok());
    assert!(refused(&[b'@'; 109]).contains("108 bytes, more than the 107"));
    assert!(refused(b"@").contains("empty"));
    assert!(refused(b"\0").contains("empty"));
    assert!(refused(b"@name\0").contains("NUL byte"));
}

#[test]
fn what_cannot_name_a_socket_is_refused_and_shown() {
    assert!(refused(b"").contains("empty"));
    let nul = refused(b"/run/a\0b");
    assert!(
        nul.contains("/run/a\\x00b") && nul.contains("offset 6"),
        "{nul}"
    );
    for directory in ["/", "/run/", "/run/.", "/run/..", ".", "..", "x/"] {
        assert!(
            refused(directory.as_bytes()).contains("names a directory"),
            "{directory}"
        );
    }
    let long = format!("/{}/x", "d".repeat(PATH_MAX - 2));
    let message = refused(long.as_bytes());
    assert!(
        message.contains("4096 bytes") && message.contains("PATH_MAX"),
        "{message}"
    );
    assert!(message.len() < 400, "{}", message.len());
    assert!(
        Address::parse(&long.as_bytes()[1..]).is_err(),
        "made absolute it is longer"
    );
    assert!(Address::parse(format!("/{}/x", "d".repeat(PATH_MAX - 3)).as_bytes()).is_ok());
}

#[test]
fn a_long_file_name_needs_a_short_path() {
    assert!(Address::parse(format!("/{}", "n".repeat(106)).as_bytes()).is_ok());
    let name = "n".repeat(NAME_MAX);
    assert!(Address::parse(format!("/{}/{name}", "d".repeat(100)).as_bytes()).is_ok());
    let message = refused(format!("/{}/{name}n", "d".repeat(100)).as_bytes());
    assert!(message.contains("can have 82"), "{message}");
}

#[test]
fn the_kernel_gets_a_name_that_fits() {
    let seen = |address: &Address| {
        address.with_sockaddr(|name| {
            let bytes = name.path_bytes().unwrap();
            // At full length rustix counts the NUL in.
            Ok(bytes.strip_suffix(b"\0").unwrap_or(bytes).to_vec())
        })
    };
    let exact = format!("/{}", "n".repeat(106));
    let address = Address::parse(exact.as_bytes()).unwrap();
    assert_eq!(seen(&address).unwrap(), exact.as_bytes());

    let absent = Address::parse(format!("/{}/x", "d".repeat(110)).as_bytes()).unwrap();
    assert_eq!(seen(&absent).unwrap_err(), Errno::NOENT);

    let scratch = Scratch::new();
    let deep = scratch.path().join("d".repeat(120));
    std::fs::create_dir(&deep).unwrap();
    std::fs::write(deep.join("x"), "here").unwrap();
    let address = Address::parse(deep.join("x").as_os_str().as_bytes()).unwrap();
    let read = |name: &SocketAddrUnix| {
        let short = name.path_bytes().unwrap().to_vec();
        assert!(short.len() <= DIRECT_MAX);
        Ok(std::fs::read(OsStr::from_bytes(&short)).unwrap())
    };
    assert_eq!(address.with_sockaddr(read).unwrap(), b"here");
    assert!(!address.lacks_proc());

    let name = Address::parse(b"@name").unwrap();
    let read = |name: &SocketAddrUnix| Ok(name.abstract_name().unwrap().to_vec());
    assert_eq!(name.with_sockaddr(read).unwrap(), b"name");
}

#[test]
fn long_values_are_shown_by_their_ends() {
    let text = printable(&[&[b'a'; 300][..], b"\x1b[31m"].concat());
    assert!(text.starts_with("aaaa") && text.ends_with("\\x1b[31m") && text.contains("..."));
}

#[test]
fn the_plain_form_is_an_address_again() {
    for given in [
        &b"/run/x"[..],
        b"@name",
        b"\0name",
        b"http+unix://%2Fx%ff",
        b"unix:x",
    ] {
        let (address, _) = Address::parse_url(given).unwrap();
        let plain = address.plain().unwrap();
        assert!(matches!(plain[0], b'/' | b'@'));
        assert_eq!(Address::parse(&plain).unwrap(), address);
    }
    let error = Address::parse(b"\0a\0b").unwrap().plain().unwrap_err();
    assert!(error.message.contains("NUL byte"), "{error}");
}
