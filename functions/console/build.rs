//! Embeds the files of `console/`: writes each file and its compressed forms to the folder of generated files, and a
//! list of the files as Rust code.
//!
//! All files but the page itself are served from a folder whose name is a digest of all names and contents, so that
//! browsers may keep them for ever. The page refers to this folder as `/console/HASH/`; modules name each other by
//! relative paths.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use brotli::enc::BrotliEncoderParams;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

/// The folder of the files, relative to this package.
const SOURCE: &str = "../../console";
/// The page, which a browser loads first.
const PAGE: &str = "index.html";
/// The folder of the other files as the page writes it.
const PLACEHOLDER: &str = "/console/HASH/";
/// The hexadecimal digits of a digest in an address or in an entity tag: 64 bits.
const DIGEST_CHARS: usize = 16;

/// The endings of the served files, with their media types.
const TYPES: [(&str, &str); 6] = [
    ("css", "text/css; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
];

/// The extensions of files that are not served. The empty text stands for files without an extension, such as licences.
const NOT_SERVED: [&str; 4] = ["", "json", "md", "ts"];

/// A served file.
struct File {
    /// The path in the folder, with `/` between its parts.
    name: String,
    content_type: &'static str,
    content: Vec<u8>,
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={SOURCE}");
    #[expect(clippy::disallowed_methods, reason = "cargo names the folder of generated files in the environment")]
    let target = std::env::var("OUT_DIR")?;
    let mut files = Vec::new();
    collect(Path::new(SOURCE), "", &mut files)?;
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let folder = digest(files.iter().flat_map(|file| [file.name.as_bytes(), &file.content]));
    let page = files.iter_mut().find(|file| file.name == PAGE);
    let page = page.ok_or_else(|| format!("{SOURCE} has no {PAGE}"))?;
    page.content = std::str::from_utf8(&page.content)?.replace(PLACEHOLDER, &format!("/console/{folder}/")).into();

    let mut code = format!(
        "/// The name of the folder of all files but the page.\nconst FOLDER: &str = \"{folder}\";\n\n/// The files, by \
         name.\nstatic FILES: &[File] = &[\n"
    );
    for (number, File { name, content_type, content }) in files.iter().enumerate() {
        let form = |ending: &str, bytes: &[u8]| -> io::Result<String> {
            let path = format!("{target}/{number}.{ending}");
            fs::write(&path, bytes)?;
            Ok(format!("include_bytes!({path:?})"))
        };
        let compressed = |ending, bytes: Vec<u8>| match bytes.len() < content.len() {
            true => form(ending, &bytes).map(|included| format!("Some({included})")),
            false => Ok("None".to_owned()),
        };
        writeln!(
            code,
            "    File {{ name: {name:?}, content_type: {content_type:?}, digest: \"{}\", plain: {}, gzip: {}, brotli: {} \
             }},",
            digest([&content[..]]),
            form("plain", content)?,
            compressed("gz", gzip(content)?)?,
            compressed("br", brotli(content)?)?,
        )?;
    }
    code += "];\n";
    Ok(fs::write(format!("{target}/files.rs"), code)?)
}

/// Collects the served files of a folder and of its subfolders.
fn collect(folder: &Path, prefix: &str, files: &mut Vec<File>) -> Result<(), Box<dyn Error>> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let own = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let name = format!("{prefix}{own}");
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if own.starts_with('.') {
            continue;
        }
        if own.is_empty() || !own.bytes().all(is_plain) {
            return Err(format!("{}: the name may hold only letters, digits, dots, _ and -", path.display()).into());
        }
        if path.is_dir() {
            collect(&path, &format!("{name}/"), files)?;
            continue;
        }
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        match TYPES.iter().find(|(known, _)| *known == ending) {
            Some((_, content_type)) => files.push(File { name, content_type, content: fs::read(&path)? }),
            None if NOT_SERVED.contains(&ending) => {}
            None => return Err(format!("{}: add the ending to TYPES or to NOT_SERVED", path.display()).into()),
        }
    }
    Ok(())
}

/// Returns a digest of several texts. Each text counts with its length, so that no two lists of texts are mixed up.
fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let mut text: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    text.truncate(DIGEST_CHARS);
    text
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

fn brotli(mut bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressed = Vec::new();
    let parameters = BrotliEncoderParams { size_hint: bytes.len(), ..BrotliEncoderParams::default() };
    brotli::BrotliCompress(&mut bytes, &mut compressed, &parameters)?;
    Ok(compressed)
}
