//! The web page: its files in the repository, and the answers with these files.

use std::collections::BTreeSet;

use tests::{Reply, World};
use web_console::SITE;

use crate::house::read;

/// Maximum bytes of all files of the page, compressed with gzip. Browsers accept Brotli only over TLS.
const MAX_BYTES: usize = 100 * 1000;
/// Maximum requests of a first visit. On AWS each request is a call of a function.
const MAX_REQUESTS: usize = 12;
/// The folder of the page's files as the page in the repository writes it.
const FOLDER: &str = "/console/HASH/";

/// Returns the value of an attribute of an HTML tag.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    rest.split('"').next()
}

/// Returns the modules that a module imports before it runs, relative to the folder of all files.
fn imports(name: &str, script: &str) -> Vec<String> {
    let mut found = Vec::new();
    for quote in ['"', '\''] {
        // Text and quoted text take turns.
        let parts: Vec<&str> = script.split(quote).collect();
        for pair in parts.windows(2) {
            let (before, specifier) = (pair[0].trim_end(), pair[1]);
            let is_import = before.ends_with("from") || before.ends_with("import");
            if is_import && specifier.starts_with('.') && (specifier.ends_with(".js") || specifier.ends_with(".mjs")) {
                found.push(resolved(name, specifier));
            }
        }
    }
    found
}

/// Returns the file that a file of the same folder names by a relative path.
fn resolved(name: &str, relative: &str) -> String {
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    for part in relative.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Returns the files that a browser requests for a page at its first visit, or the fault of the page. The page must
/// name all modules: a browser then requests them at once, and not one after another.
fn first_visit(page: &str, read: &dyn Fn(&str) -> Option<String>) -> Result<BTreeSet<String>, String> {
    let mut files = BTreeSet::new();
    let (mut preloaded, mut entries) = (BTreeSet::new(), Vec::new());
    for tag in page.split('<').filter_map(|tag| tag.split('>').next()) {
        if tag.contains(" style=") || tag == "style" || tag == "script" || tag.starts_with("script type=\"importmap") {
            return Err(format!("the policy of the page forbids <{tag}>"));
        }
        let Some(address) = attribute(tag, "src").or_else(|| attribute(tag, "href")) else { continue };
        let Some(file) = address.strip_prefix(FOLDER) else { continue };
        files.insert(file.to_owned());
        match (tag.starts_with("script "), attribute(tag, "rel")) {
            (true, _) => entries.push(file.to_owned()),
            (_, Some("modulepreload")) => drop(preloaded.insert(file.to_owned())),
            _ => {}
        }
    }
    if !page.contains(" rel=\"icon\"") {
        files.insert("favicon.ico".into());
    }
    let mut modules: BTreeSet<String> = entries.iter().cloned().collect();
    while let Some(module) = entries.pop() {
        let script = read(&module).ok_or_else(|| format!("there is no {module}"))?;
        for import in imports(&module, &script) {
            if modules.insert(import.clone()) {
                entries.push(import);
            }
        }
    }
    if let Some(missing) = files.iter().find(|file| read(file).is_none()) {
        return Err(format!("there is no {missing}"));
    }
    let known: BTreeSet<String> = files.iter().filter(|file| file.ends_with("js")).cloned().collect();
    match modules.symmetric_difference(&known).next() {
        Some(module) if modules.contains(module) => Err(format!("{module} has no modulepreload")),
        Some(module) => Err(format!("{module} is not needed at the first visit")),
        None => Ok(files),
    }
}

#[test]
fn first_visit_needs_few_requests_and_few_bytes() {
    let folder = |name: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../console").join(name);
        std::fs::read(path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    let files = first_visit(&read("console/index.html"), &folder).unwrap();
    // The page itself is a request too.
    assert!(files.len() < MAX_REQUESTS, "{files:?}");
    for file in SITE.files.iter().filter(|file| file.name.ends_with(".css")) {
        let style = std::str::from_utf8(file.plain).unwrap();
        assert!(!style.contains("@import") && !style.contains("url("), "{} requests further files", file.name);
    }
    let bytes: usize = SITE.files.iter().map(|file| file.gzip.unwrap_or(file.plain).len()).sum();
    assert!(bytes < MAX_BYTES, "{bytes} bytes");
}

#[test]
fn faults_of_a_page_are_found() {
    let read = |name: &str| match name {
        "a.js" => Some("import {\n  b\n} from \"./b.js\";\nconst c = () => import(\"./c.js\");".to_owned()),
        "b.js" => Some("import*as d from'./v/d.mjs';export{e}from'./v/d.mjs'".to_owned()),
        "v/d.mjs" => Some("import '../a.js';".to_owned()),
        "i.svg" | "c.js" => Some(String::new()),
        _ => None,
    };
    let visit = |files: &[&str], scripts: &str| {
        let preloads: String =
            files.iter().map(|name| format!("<link rel=\"modulepreload\" href=\"{FOLDER}{name}\">")).collect();
        let page = format!("<link rel=\"icon\" href=\"{FOLDER}i.svg\">{preloads}{scripts}");
        first_visit(&page, &read)
    };
    let script = format!("<script type=\"module\" src=\"{FOLDER}a.js\"></script>");
    assert_eq!(visit(&["b.js", "v/d.mjs"], &script).unwrap().len(), 4);
    for (files, further, expected) in [
        (&["b.js"][..], "", "v/d.mjs has no modulepreload"),
        (&["b.js", "v/d.mjs", "c.js"], "", "c.js is not needed at the first visit"),
        (&["b.js", "v/d.mjs", "e.js"], "", "there is no e.js"),
        (&["b.js", "v/d.mjs"], "<p style=\"color:red\">", "the policy of the page forbids <p style=\"color:red\">"),
        (&["b.js", "v/d.mjs"], "<script>", "the policy of the page forbids <script>"),
    ] {
        assert_eq!(visit(files, &format!("{script}{further}")), Err(expected.to_owned()));
    }
}

async fn get(world: &World, path: &str, headers: &[(&str, &str)]) -> Reply {
    world.call("GET", path, "", headers, "").await.unwrap()
}

#[tokio::test]
async fn page_and_its_files_are_served_without_a_token() {
    let world = World::new().await.unwrap();
    for path in ["/", "/console", "/console/"] {
        let page = get(&world, path, &[]).await;
        assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/html; charset=utf-8"), "{path}");
        assert!(!page.text.contains(FOLDER) && page.text.contains(&format!("/console/{}/", SITE.folder)));
        let known = get(&world, path, &[("if-none-match", page.header("etag"))]).await;
        assert_eq!((known.status.as_u16(), known.text.as_str()), (304, ""));
    }
    let page = get(&world, "/console", &[]).await;
    let mut served = 0;
    for address in page.text.split('"').filter(|text| text.starts_with("/console/")) {
        let file = get(&world, address, &[]).await;
        assert_eq!(file.status, 200, "{address}");
        assert_eq!(file.header("cache-control"), "public, max-age=31536000, immutable");
        let outdated = address.replace(SITE.folder, "0123456789abcdef");
        let refused = get(&world, &outdated, &[]).await;
        assert_eq!((refused.status.as_u16(), refused.error_type().as_str()), (404, "endpoint-not-found"));
        assert_eq!(refused.header("cache-control"), "private, no-store");
        served += 1;
    }
    assert!(served >= 3, "{served} files");
    let head = world.call("HEAD", "/", "", &[], "").await.unwrap();
    assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
    assert_eq!(head.count("content-length"), Some(page.body.len() as u64));
    let refused = world.call("POST", "/console", "", &[], "").await.unwrap();
    assert_eq!((refused.status.as_u16(), refused.header("allow")), (405, "GET, HEAD"));
    let repeated = refused.headers.keys().find(|name| refused.headers.get_all(*name).iter().count() > 1);
    assert_eq!(repeated, None);
}

#[tokio::test]
async fn page_is_sent_compressed_and_complete() {
    use std::io::Read as _;

    let world = World::new().await.unwrap();
    let plain = get(&world, "/", &[]).await;
    let gzipped = get(&world, "/", &[("accept-encoding", "gzip, deflate")]).await;
    assert_eq!((gzipped.header("content-encoding"), gzipped.header("vary")), ("gzip", "Accept-Encoding"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(&gzipped.body[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text, plain.text);
    let brotli = get(&world, "/", &[("accept-encoding", "gzip, deflate, br, zstd")]).await;
    assert_eq!(brotli.header("content-encoding"), "br");
    assert!(brotli.body.len() < gzipped.body.len() && gzipped.body.len() < plain.body.len());
}

#[tokio::test]
async fn each_answer_with_the_page_has_the_strictest_policy() {
    let world = World::new().await.unwrap();
    for path in ["/", "/console/0123456789abcdef/app.js"] {
        let reply = get(&world, path, &[]).await;
        let policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";
        for (name, value) in [
            ("content-security-policy", policy),
            ("cross-origin-opener-policy", "same-origin"),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(reply.header(name), value, "{path}");
        }
        let permissions = reply.header("permissions-policy");
        assert!(permissions.split(", ").all(|feature| feature.ends_with("=()")), "{permissions}");
    }
}
