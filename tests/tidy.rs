//! Rules about the source text that keep the architecture what ARCHITECTURE.md says it is.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Longest file, in lines; beyond this a file has more than one concept.
const LINES_MAX: usize = 800;

/// A source file.
struct File {
    /// Relative to the root, with forward slashes.
    path: String,
    text: String,
}

impl File {
    /// The code: without comments, and without the text of literals.
    fn code(&self) -> String {
        code(&self.text)
    }

    /// The code without its test modules at the end.
    fn shipped(&self) -> String {
        let code = self.code();
        match code.find("#[cfg(test)]\nmod tests {") {
            Some(at) => code[..at].to_owned(),
            None => code,
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &str, extension: &str) -> Vec<File> {
    let mut found = Vec::new();
    walk(&root().join(folder), extension, &mut found);
    found.sort();
    assert!(!found.is_empty(), "no files in {folder}");
    found
        .into_iter()
        .map(|path| File {
            text: std::fs::read_to_string(&path).unwrap(),
            path: path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/"),
        })
        .collect()
}

fn walk(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, extension, found);
        } else if path.extension().is_some_and(|of| of == extension) {
            found.push(path);
        }
    }
}

/// Blanks out comments and the content of string literals; line numbers stay.
fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '/' if chars.peek() == Some(&'/') => {
                while chars.peek().is_some_and(|next| *next != '\n') {
                    chars.next();
                }
            }
            'r' if matches!(chars.peek(), Some('"' | '#'))
                && !out.ends_with(|of: char| of.is_alphanumeric() || of == '_') =>
            {
                let mut hashes = 0;
                while chars.peek() == Some(&'#') {
                    chars.next();
                    hashes += 1;
                }
                if chars.next() != Some('"') {
                    // A raw identifier such as `r#type`.
                    continue;
                }
                out.push('"');
                let end = format!("\"{}", "#".repeat(hashes));
                let mut tail = String::new();
                for c in chars.by_ref() {
                    tail.push(c);
                    if c == '\n' {
                        out.push('\n');
                    }
                    if tail.ends_with(&end) {
                        break;
                    }
                }
                out.push('"');
            }
            '"' => {
                out.push('"');
                while let Some(c) = chars.next() {
                    match c {
                        '\\' => {
                            chars.next();
                        }
                        '"' => break,
                        '\n' => out.push('\n'),
                        _ => {}
                    }
                }
                out.push('"');
            }
            '\'' => {
                // A character literal; a lifetime has no closing quote right behind it.
                let mut ahead = chars.clone();
                let escaped = ahead.next() == Some('\\');
                if escaped {
                    chars.next();
                    chars.next();
                    while chars.peek().is_some_and(|next| *next != '\'') {
                        chars.next();
                    }
                    chars.next();
                } else if ahead.next() == Some('\'') {
                    chars.next();
                    chars.next();
                } else {
                    out.push(c);
                }
            }
            c => out.push(c),
        }
    }
    out
}

/// Every line with one of `words` as a whole word, in files `of` accepts.
#[track_caller]
fn forbid(rule: &str, words: &[&str], files: &[File], text: impl Fn(&File) -> String) {
    let mut found = String::new();
    for file in files {
        for (number, line) in text(file).lines().enumerate() {
            for word in words {
                if has_word(line, word) {
                    writeln!(found, "  {}:{}: {}", file.path, number + 1, line.trim()).unwrap();
                }
            }
        }
    }
    assert!(found.is_empty(), "{rule}\n{found}");
}

fn has_word(line: &str, word: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let glued_before = before.is_some_and(inside) && word.starts_with(inside);
        let glued_after = after.is_some_and(inside) && word.ends_with(inside);
        !glued_before && !glued_after
    })
}

/// The folders and files of API areas, inbound ones too.
fn areas() -> Vec<File> {
    let is_area = |path: &str| {
        ["wallet", "p2p", "pay", "notification"].iter().any(|product| {
            path == format!("src/{product}.rs") || path.starts_with(&format!("src/{product}/"))
        })
    };
    files("src", "rs").into_iter().filter(|file| is_area(&file.path)).collect()
}

#[test]
fn the_http_client_the_limiter_and_the_cache_have_one_home_each() {
    for (library, homes) in [
        ("reqwest", &["src/upstream.rs", "src/upstream/"][..]),
        // Below QIWI's limits, and below what each caller may make of calls.
        ("governor", &["src/upstream.rs", "src/upstream/", "src/edge/quota.rs"]),
        (
            "moka",
            &[
                "src/cache.rs",
                "src/wallets.rs",
                "src/state/nats/log.rs",
                "src/upstream.rs",
                "src/upstream/",
            ],
        ),
        (
            "rustls",
            &[
                "src/upstream/",
                "src/server",
                "src/credentials/",
                "src/edge/",
                // The sandbox's acquiring listener asks for certificates, as QIWI's does.
                "src/sandbox/acquiring/tls.rs",
            ],
        ),
    ] {
        let elsewhere: Vec<_> = files("src", "rs")
            .into_iter()
            .filter(|file| !homes.iter().any(|home| file.path.starts_with(home)))
            // Tests of the sandbox call it as a client would.
            .filter(|file| !file.path.contains("/tests/"))
            .collect();
        let rule = format!("`{library}` is named under {homes:?} only");
        forbid(&rule, &[library], &elsewhere, File::shipped);
    }
}

#[test]
fn errors_become_statuses_in_one_place() {
    let makers = [
        "Status::new",
        "Status::with_details",
        "Status::with_metadata",
        "Status::with_details_and_metadata",
        "Status::with_error_details",
        "Status::with_error_details_and_metadata",
        "Status::cancelled",
        "Status::unknown",
        "Status::invalid_argument",
        "Status::deadline_exceeded",
        "Status::not_found",
        "Status::already_exists",
        "Status::permission_denied",
        "Status::resource_exhausted",
        "Status::failed_precondition",
        "Status::aborted",
        "Status::out_of_range",
        "Status::unimplemented",
        "Status::internal",
        "Status::unavailable",
        "Status::data_loss",
        "Status::unauthenticated",
    ];
    // A decoder of tonic's has to speak in statuses; the edge turns them into errors at once. The
    // tail is a client, which is told statuses.
    let homes = ["src/error.rs", "src/edge/frame.rs", "src/tail.rs"];
    let elsewhere: Vec<_> = files("src", "rs")
        .into_iter()
        .filter(|file| !homes.contains(&&*file.path) && !file.path.contains("/tests"))
        .collect();
    forbid("statuses are made in src/error.rs only", &makers, &elsewhere, File::shipped);
}

#[test]
fn area_files_do_no_io_and_read_no_clock() {
    let words = [
        "tokio",
        "reqwest",
        "hyper",
        "tonic",
        "std::fs",
        "std::net",
        "std::env",
        "std::process",
        "std::thread",
        "SystemTime",
        "Instant",
        "Timestamp::now",
        "Config",
        "tracing",
        "static mut",
        "Mutex",
        "OnceLock",
    ];
    let areas = areas();
    assert!(areas.len() >= 3);
    forbid("area files map, and nothing else", &words, &areas, File::shipped);
}

#[test]
fn money_and_rates_never_pass_through_binary_floating_point() {
    let mut exact = areas();
    exact.extend(files("src", "rs").into_iter().filter(|file| {
        ["src/money.rs", "src/time.rs", "src/operation.rs", "src/gateway.rs"].contains(&&*file.path)
            || file.path.starts_with("src/money/")
            || file.path.starts_with("src/sandbox/")
    }));
    forbid("no f32 or f64 near amounts", &["f32", "f64", "as_f64"], &exact, File::code);
}

#[test]
fn the_sandbox_shares_no_mapping_with_the_gateway() {
    let sandbox: Vec<_> = files("src", "rs")
        .into_iter()
        .filter(|file| file.path.starts_with("src/sandbox"))
        .collect();
    let words = [
        "crate::wallet",
        "crate::wallets",
        "crate::notification",
        "crate::p2p",
        "crate::pay",
        "crate::money",
        "crate::time",
        "crate::operation",
        "crate::pb",
        "crate::upstream",
        "crate::gateway",
        "crate::policy",
    ];
    forbid("a mistake must not hide behind its twin", &words, &sandbox, File::code);
}

#[test]
fn a_module_knows_the_ones_after_it_only() {
    // Of each pair the first must not name the second.
    for (module, later) in [
        ("src/wallet", &["crate::gateway", "crate::server", "crate::edge", "crate::upstream"][..]),
        ("src/p2p", &["crate::gateway", "crate::server", "crate::edge", "crate::upstream"]),
        (
            "src/notification",
            &["crate::gateway", "crate::server", "crate::edge", "crate::upstream", "crate::state"],
        ),
        (
            "src/operation.rs",
            &["crate::gateway", "crate::server", "crate::edge", "crate::upstream"],
        ),
        ("src/upstream", &["crate::gateway", "crate::server", "crate::edge", "crate::wallet"]),
        ("src/cache.rs", &["crate::gateway", "crate::server", "crate::edge", "crate::upstream"]),
        ("src/error", &["crate::gateway", "crate::server", "crate::edge", "crate::upstream"]),
        ("src/credentials", &["crate::gateway", "crate::server", "crate::edge", "crate::upstream"]),
        ("src/config", &["crate::gateway", "crate::server", "crate::edge", "crate::upstream"]),
        ("src/edge", &["crate::server", "crate::wallet", "crate::wallets"]),
    ] {
        let of: Vec<_> = files("src", "rs")
            .into_iter()
            .filter(|file| {
                let rest = file.path.strip_prefix(module);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '.']))
            })
            .collect();
        assert!(!of.is_empty(), "{module}");
        forbid(&format!("{module} knows {later:?}"), later, &of, File::shipped);
    }
}

#[test]
fn every_area_of_the_contract_has_its_twins() {
    let mut missing = Vec::new();
    for proto in files("proto", "proto") {
        // proto/qiwi/<product>/v1/<area>.proto
        let parts: Vec<_> = proto.path.split('/').collect();
        let [_, _, product, _, file] = parts[..] else { panic!("{}", proto.path) };
        let area = file.trim_end_matches(".proto");
        if !proto.text.contains("\nservice ") {
            continue;
        }
        let (source, test) = match product {
            "admin" => (
                vec![
                    format!("src/admin_api.rs"),
                    format!("src/admin_api/{area}.rs"),
                    format!("src/admin/{area}.rs"),
                ],
                None,
            ),
            _ => (
                vec![format!("src/{product}/{area}.rs"), format!("src/{product}/{area}/mod.rs")],
                Some(format!("tests/{product}/{area}.rs")),
            ),
        };
        if !source.iter().any(|path| root().join(path).exists()) {
            missing.push(source[0].clone());
        }
        // Tests of a mapping may stand in the area's own file; the wire has one here or there.
        let tested_inside = source.iter().any(|path| {
            std::fs::read_to_string(root().join(path))
                .is_ok_and(|text| text.contains("#[cfg(test)]"))
        });
        if let Some(test) = test
            && !root().join(&test).exists()
            && !tested_inside
        {
            missing.push(test);
        }
    }
    assert!(missing.is_empty(), "areas without a twin: {missing:#?}");
}

#[test]
fn every_rust_file_says_what_it_is_for() {
    for folder in ["src", "tests", "benches"] {
        for file in files(folder, "rs") {
            assert!(file.text.starts_with("//! "), "{} does not begin with `//!`", file.path);
        }
    }
}

#[test]
fn no_file_is_too_long_to_read() {
    for folder in ["src", "tests", "benches", "proto"] {
        for extension in ["rs", "proto"] {
            if extension == "proto" && folder != "proto" || extension == "rs" && folder == "proto" {
                continue;
            }
            for file in files(folder, extension) {
                let lines = file.text.lines().count();
                assert!(lines <= LINES_MAX, "{} has {lines} lines", file.path);
            }
        }
    }
}

#[test]
fn nothing_is_left_for_later() {
    // Put together, so that this file does not find itself.
    let words = ["to", "unimple", "FIX", "TO"].into_iter().zip(["do!", "mented!", "ME", "DO"]);
    let words: Vec<_> = words.map(|(start, end)| format!("{start}{end}")).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    for folder in ["src", "tests", "benches"] {
        forbid("say it or do it", &words, &files(folder, "rs"), |file| file.text.clone());
    }
    forbid("say it or do it", &words, &files("proto", "proto"), |file| file.text.clone());
}

#[test]
fn protos_have_no_floating_point() {
    let words = ["double", "float"];
    forbid("amounts are Money, rates are Decimal", &words, &files("proto", "proto"), |file| {
        file.text
            .lines()
            .map(|line| line.split("//").next().unwrap())
            .collect::<Vec<_>>()
            .join("\n")
    });
}

/// Callers name what is generated from these; buf asks only that the files of a package agree.
#[test]
fn generated_code_is_named_after_the_package_in_every_language() {
    let protos = files("proto", "proto");
    assert!(!protos.is_empty());
    for file in protos {
        let lines: Vec<_> = file.text.lines().collect();
        let package = lines.iter().find_map(|line| line.strip_prefix("package ")).unwrap();
        let package = package.trim_end_matches(';');
        let folder = package.replace('.', "/");
        assert!(file.path.contains(&format!("{folder}/")), "{} is of {package}", file.path);
        let pascal: Vec<_> = package
            .split('.')
            .map(|word| format!("{}{}", word[..1].to_ascii_uppercase(), &word[1..]))
            .collect();
        let short = package.split('.').skip(1).collect::<String>();
        let wanted = [
            format!("option csharp_namespace = \"{}\";", pascal.join(".")),
            format!("option go_package = \"qiwi-gateway/gen/go/{folder};{short}\";"),
            "option java_multiple_files = true;".to_owned(),
            format!("option java_package = \"{package}\";"),
        ];
        let options: Vec<_> = lines.iter().filter(|line| line.starts_with("option ")).collect();
        assert_eq!(options, wanted.iter().collect::<Vec<_>>(), "{}", file.path);
    }
}

#[test]
fn unsafe_code_is_nowhere() {
    for folder in ["src", "tests", "benches"] {
        forbid("forbidden in Cargo.toml, too", &["unsafe"], &files(folder, "rs"), File::code);
    }
}

#[test]
fn the_stripper_of_comments_and_texts_works() {
    let text = "let a = \"tokio // \\\" x\"; // reqwest\nlet b = r#\"tokio\"#; let c = '\"'; fn f<'a>() {}\n";
    assert_eq!(code(text), "let a = \"\"; \nlet b = \"\"; let c = ; fn f<'a>() {}\n");
    assert!(has_word("use tokio::x", "tokio") && !has_word("use tokio_util", "tokio"));
    assert!(has_word("a: f64,", "f64") && !has_word("self64", "f64"));
}
