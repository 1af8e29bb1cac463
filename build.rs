//! Keeps `include/hysock.h` in step with `src/ffi`.
//!
//! Without the cargo feature `header` this does nothing: Rust users and distributions do not pay
//! for cbindgen. With it the header is rendered in memory, one chapter per file of `src/ffi`, and
//! compared with the committed one; the build fails when they differ. With `HYSOCK_WRITE_HEADER=1`
//! in the environment (`make header`) the header is written instead.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "header")]
    if let Err(message) = header::check() {
        // `cargo::error` would fail the build as well, but only after this program has returned.
        eprintln!("error: {message}");
        std::process::exit(1);
    }
}

#[cfg(feature = "header")]
mod header {
    use std::collections::BTreeSet;
    use std::fmt::Write as _;
    use std::path::{Path, PathBuf};
    use std::{env, fs};

    /// The chapters of the header, in the order in which they stand in it: each is a file of
    /// `src/ffi`. The text at the top of `src/ffi/mod.rs` is the header's first page.
    const CHAPTERS: &[&str] = &[
        "status",
        "error",
        "text",
        "version",
        "handle",
        "address",
        "runtime",
        "queue",
        "timer",
        "listener_config",
        "server_config",
        "server",
        "server_hooks",
        "server_stats",
        "listener",
        "exchange",
        "exchange_route",
        "peer",
        "exchange_userdata",
        "exchange_read",
        "exchange_write",
        "exchange_events",
        "exchange_file",
        "exchange_upgrade",
        "client_config",
        "client",
        "call",
        "call_request",
        "call_answer",
        "call_read",
        "call_upgrade",
        "call_write",
        "call_news",
        "receiver_config",
        "receiver",
        "receiver_listener",
        "batch",
        "receiver_stats",
        "producer_config",
        "producer",
        "producer_send",
        "headers",
        "queue_take",
    ];

    const HEADER: &str = "include/hysock.h";

    /// What cbindgen cannot render: it drops `usize::MAX` in silence, and knows no macros.
    const MACROS: &str = r#"
/**
 * As a length: the text ends with a NUL, measure it. For text only (address, target, header
 * value); for bodies and data it is refused, since it equals a failed `read()`.
 */
#define HYSOCK_NTS SIZE_MAX

/** As a time in milliseconds: no limit. */
#define HYSOCK_FOREVER UINT32_MAX

/** As a size or a count: no limit. */
#define HYSOCK_UNLIMITED UINT64_MAX

/** As the length of a body: not announced. */
#define HYSOCK_UNKNOWN UINT64_MAX

/**
 * A `hysock_str` as the two arguments of `%.*s`:
 * `printf("%.*s\n", HYSOCK_PRI(name));`
 * For texts of less than 2 GiB: C takes the length as an int.
 */
#define HYSOCK_PRI(s) ((int)(s).len), ((s).ptr)
"#;

    struct Chapter {
        title: String,
        text: String,
        opaque: Vec<String>,
        body: Vec<String>,
    }

    pub fn check() -> Result<(), String> {
        for path in ["src/ffi", "cbindgen.toml", "Cargo.toml", HEADER] {
            println!("cargo:rerun-if-changed={path}");
        }
        println!("cargo:rerun-if-env-changed=HYSOCK_WRITE_HEADER");

        let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("run by cargo only")?);
        let wanted = render(&root)?;
        let path = root.join(HEADER);
        let found = fs::read_to_string(&path).unwrap_or_default();
        if wanted == found {
            return Ok(());
        }
        if env::var("HYSOCK_WRITE_HEADER").is_ok_and(|value| value == "1") {
            fs::create_dir_all(root.join("include")).map_err(|e| format!("include: {e}"))?;
            return fs::write(&path, wanted).map_err(|e| format!("{HEADER}: {e}"));
        }
        let line = first_difference(&found, &wanted);
        Err(format!(
            "{HEADER} is not what src/ffi gives (first difference in line {line}): \
             run `make header` and commit the result"
        ))
    }

    fn first_difference(a: &str, b: &str) -> usize {
        let same = a.lines().zip(b.lines()).take_while(|(x, y)| x == y);
        same.count() + 1
    }

    fn render(root: &Path) -> Result<String, String> {
        let ffi = root.join("src/ffi");
        let config = cbindgen::Config::from_file(root.join("cbindgen.toml"))?;
        let mut chapters = Vec::new();
        for name in CHAPTERS {
            chapters.push(chapter(&ffi, name, &config)?);
        }
        hoist(&mut chapters);
        let front = module_text(&ffi.join("mod.rs"))?;

        let mut out = prologue(&front)?;
        out.push_str(&heading("Handles", ""));
        for opaque in chapters.iter().flat_map(|chapter| &chapter.opaque) {
            out.push('\n');
            out.push_str(opaque);
        }
        for chapter in &chapters {
            out.push_str(&heading(&chapter.title, &chapter.text));
            out.push('\n');
            out.push_str(&chapter.body.join("\n\n"));
            out.push('\n');
        }
        out.push_str(
            "\n#ifdef __cplusplus\n} /* extern \"C\" */\n#endif\n\n#endif /* HYSOCK_H */\n",
        );
        unique(&out)?;
        Ok(out)
    }

    fn prologue(front: &str) -> Result<String, String> {
        let version = env!("CARGO_PKG_VERSION");
        let [major, minor, patch] = [
            env!("CARGO_PKG_VERSION_MAJOR"),
            env!("CARGO_PKG_VERSION_MINOR"),
            env!("CARGO_PKG_VERSION_PATCH"),
        ];
        let number = format!(
            "0x{:02x}{:02x}{:02x}",
            byte(major)?,
            byte(minor)?,
            byte(patch)?
        );
        let mut out = comment("/*", &format!("hysock {version}\n\n{front}"));
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "\n/* Generated from src/ffi by `make header`: do not edit. */\n\
             #ifndef HYSOCK_H\n#define HYSOCK_H\n\n\
             #include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n\n\
             #if UINTPTR_MAX != UINT64_MAX\n#error \"hysock is for 64-bit systems only\"\n#endif\n\n\
             /** The version of this header. `hysock_version()` gives the library's. */\n\
             #define HYSOCK_VERSION \"{version}\"\n\
             #define HYSOCK_VERSION_MAJOR {major}\n\
             #define HYSOCK_VERSION_MINOR {minor}\n\
             #define HYSOCK_VERSION_PATCH {patch}\n\n\
             /**\n * `(major << 16) | (minor << 8) | patch`, for `#if`: \
             `hysock_version_number()` gives the library's.\n */\n\
             #define HYSOCK_VERSION_NUMBER {number}\n\
             {MACROS}\n\
             #ifdef __cplusplus\nextern \"C\" {{\n#endif\n"
        );
        Ok(out)
    }

    /// A part of the version, for the version number.
    fn byte(part: &str) -> Result<u8, String> {
        part.parse().map_err(|e| format!("version: {part}: {e}"))
    }

    /// One file of `src/ffi`, rendered.
    fn chapter(ffi: &Path, name: &str, config: &cbindgen::Config) -> Result<Chapter, String> {
        let path = ffi.join(format!("{name}.rs"));
        let text = module_text(&path)?;
        let mut config = config.clone();
        // cbindgen renders a type only when a function of the same file uses it.
        config.export.include = public_types(&path)?;
        config.export.exclude = ["HYSOCK_NTS", "HYSOCK_FOREVER", "HYSOCK_UNLIMITED"]
            .map(String::from)
            .to_vec();
        let bindings = cbindgen::Builder::new()
            .with_config(config)
            .with_src(&path)
            .generate()
            .map_err(|e| format!("{}: {e}", path.display()))?;
        let mut bytes = Vec::new();
        bindings.write(&mut bytes);
        let rendered = String::from_utf8(bytes).map_err(|e| format!("{}: {e}", path.display()))?;
        let (opaque, body) = arrange(&rendered);
        if opaque.is_empty() && body.is_empty() {
            return Err(format!("{}: nothing in it for the header", path.display()));
        }
        let title = name.replace('_', " ");
        Ok(Chapter {
            title,
            text,
            opaque,
            body,
        })
    }

    /// Takes the handle declarations out (C99 forbids a second one, and earlier chapters name later
    /// handles: they stand together in front), tags the plain structs, and puts negative constants
    /// into parentheses.
    fn arrange(rendered: &str) -> (Vec<String>, Vec<String>) {
        let mut opaque = Vec::new();
        let mut body = Vec::new();
        for block in rendered
            .split("\n\n")
            .map(str::trim)
            .filter(|b| !b.is_empty())
        {
            let block = compact(block);
            if is_handle(block.lines().last().unwrap_or_default()) {
                opaque.push(format!("{block}\n"));
            } else {
                body.push(parenthesize(&tag(&block)));
            }
        }
        (opaque, body)
    }

    /// Puts a callback type that an earlier chapter uses at the beginning of that chapter.
    fn hoist(chapters: &mut [Chapter]) {
        for from in 1..chapters.len() {
            for block in std::mem::take(&mut chapters[from].body) {
                let name = callback(&block).map(|name| format!("{name} "));
                let earlier = name.and_then(|name| {
                    let uses = |block: &String| declaration(block).contains(&name);
                    (0..from).find(|&to| chapters[to].body.iter().any(uses))
                });
                match earlier {
                    Some(to) => chapters[to].body.insert(0, block),
                    None => chapters[from].body.push(block),
                }
            }
        }
    }

    /// A block without its comment.
    fn declaration(block: &str) -> &str {
        block.rsplit_once("*/\n").map_or(block, |(_, end)| end)
    }

    /// NAME of `typedef RESULT (*NAME)(...);`
    fn callback(block: &str) -> Option<&str> {
        let (_, rest) = declaration(block)
            .strip_prefix("typedef ")?
            .split_once("(*")?;
        rest.split_once(')').map(|(name, _)| name)
    }

    /// Puts a comment of one line into one line.
    fn compact(block: &str) -> String {
        let mut out: Vec<String> = Vec::new();
        for line in block.lines() {
            if line.trim() == "*/"
                && let [.., open, text] = &out[..]
                && open.trim() == "/**"
                && let Some(text) = text.trim_start().strip_prefix('*')
                && open.len() + text.len() + 3 <= 100
            {
                let one = format!("{open}{text} */");
                out.truncate(out.len() - 2);
                out.push(one);
            } else {
                out.push(line.to_owned());
            }
        }
        out.join("\n")
    }

    /// `typedef struct NAME NAME;`
    fn is_handle(line: &str) -> bool {
        let words: Vec<&str> = line.trim_end_matches(';').split(' ').collect();
        matches!(words[..], ["typedef", "struct", a, b] if a == b)
    }

    /// `typedef struct { ... } NAME;` becomes `typedef struct NAME { ... } NAME;`, so that other
    /// headers can name the type without including this one. What cbindgen puts after it, constants
    /// of the type's `impl`, is for Rust only.
    fn tag(block: &str) -> String {
        let Some((head, tail)) = block.split_once("\n} ") else {
            return block.to_owned();
        };
        let name = tail.split(';').next().unwrap_or_default();
        let head = head.replace("typedef struct {", &format!("typedef struct {name} {{"));
        format!("{head}\n}} {name};")
    }

    fn parenthesize(block: &str) -> String {
        let line = |line: &str| match line
            .strip_prefix("#define ")
            .and_then(|l| l.split_once(" -"))
        {
            Some((name, value)) => format!("#define {name} (-{value})"),
            None => line.to_owned(),
        };
        block.lines().map(line).collect::<Vec<_>>().join("\n")
    }

    /// Names of the file's public types, found by their first line.
    fn public_types(path: &Path) -> Result<Vec<String>, String> {
        let mut names = Vec::new();
        for line in read(path)?.lines() {
            let rest = line
                .strip_prefix("pub struct ")
                .or(line.strip_prefix("pub type "));
            let name =
                rest.and_then(|r| r.split(|c: char| !c.is_alphanumeric() && c != '_').next());
            names.extend(name.filter(|n| n.starts_with("hysock_")).map(String::from));
        }
        Ok(names)
    }

    /// The `//!` text at the top of a file: the chapter's opening.
    fn module_text(path: &Path) -> Result<String, String> {
        let mut text = String::new();
        for line in read(path)?.lines() {
            match line.strip_prefix("//!") {
                Some(rest) => text.push_str(rest.strip_prefix(' ').unwrap_or(rest).trim_end()),
                None => break,
            }
            text.push('\n');
        }
        if text.trim().is_empty() {
            return Err(format!("{}: no `//!` text at the top", path.display()));
        }
        if text.contains("*/") {
            return Err(format!(
                "{}: the `//!` text would end the comment",
                path.display()
            ));
        }
        Ok(text)
    }

    fn heading(title: &str, text: &str) -> String {
        let rule = "=".repeat(95);
        let title = format!("{rule}\n{title}\n{rule}");
        let text = if text.is_empty() {
            title
        } else {
            format!("{title}\n\n{text}")
        };
        format!("\n{}", comment("/*", &text))
    }

    fn comment(open: &str, text: &str) -> String {
        let mut out = format!("{open}\n");
        for line in text.trim_end().lines() {
            let line = format!(" * {line}");
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out + " */\n"
    }

    /// C99 forbids to declare a type twice, and a macro twice with other text.
    fn unique(header: &str) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for line in header.lines() {
            let define = line
                .strip_prefix("#define ")
                .map(|l| l.split([' ', '(']).next());
            let handle = is_handle(line).then(|| line.split(' ').next_back());
            if let Some(name) = define.or(handle).flatten()
                && !seen.insert(name)
            {
                return Err(format!("{HEADER}: `{name}` would be declared twice"));
            }
            if define
                .flatten()
                .is_some_and(|name| !name.starts_with("HYSOCK_"))
            {
                return Err(format!(
                    "{HEADER}: `{line}`: add cbindgen:ignore to its doc"
                ));
            }
        }
        Ok(())
    }

    fn read(path: &Path) -> Result<String, String> {
        fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
    }
}
