//! `crm-access import`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use models::import::{Line, MAX_LINE_BYTES, parse_line};
use store::import::{ImportError, Importer, Options, Summary};
use store::{Store, StoreError};

use crate::CommandError;
use crate::args::ImportArgs;
use crate::table::{Table, now};
use crate::terminal::say;

pub(crate) async fn run(args: ImportArgs) -> Result<(), CommandError> {
    // Open the files before the table, because the table creates a missing folder.
    let files = open_all(&args.files)?;
    let table = Table::of_loader(&args.table).await?;
    let existing = if args.overwrite_access { ExistingAccess::Overwrite } else { ExistingAccess::Keep };
    for file in files {
        let name = file.name.clone();
        match load_file(&table.store, file, existing).await {
            Ok(loaded) => say(format_args!("{name}: {loaded}"))?,
            Err(error) => {
                table.close();
                return Err(error);
            }
        }
    }
    table.close();
    Ok(())
}

/// The result of loading a file.
#[derive(Debug)]
pub(crate) struct Loaded {
    lines: u64,
    summary: Summary,
}

impl std::fmt::Display for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Summary { added, replaced, unchanged, deleted, users_removed, users_unknown } = self.summary;
        write!(
            f,
            "{} lines loaded; contacts: {added} added, {replaced} replaced, {unchanged} unchanged, {deleted} deleted",
            self.lines
        )?;
        // Most files remove no users, so their summary omits this part.
        if users_removed + users_unknown > 0 {
            write!(f, "; users: {users_removed} removed, {users_unknown} not known")?;
        }
        Ok(())
    }
}

/// The treatment of the access of existing contacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExistingAccess {
    /// The access stays.
    Keep,
    /// The access of the line replaces the stored access.
    Overwrite,
}

fn options(existing: ExistingAccess) -> Options {
    let overwrite_access = existing == ExistingAccess::Overwrite;
    Options { overwrite_access, clock: Arc::new(now) }
}

/// An open file to load.
pub(crate) struct OpenFile {
    pub(crate) name: String,
    reader: Box<dyn BufRead + Send>,
    /// Size of the file; 0 if the size is unknown.
    bytes: u64,
}

/// Opens files; the name `-` means standard input.
pub(crate) fn open_all(files: &[PathBuf]) -> Result<Vec<OpenFile>, CommandError> {
    files.iter().map(|file| open(file)).collect()
}

fn open(file: &Path) -> Result<OpenFile, CommandError> {
    let name = file.display().to_string();
    if name == "-" {
        return Ok(OpenFile { name, reader: Box::new(BufReader::new(io::stdin())), bytes: 0 });
    }
    let file = File::open(file).map_err(|error| format!("{name} cannot be read: {error}"))?;
    let bytes = file.metadata().map_or(0, |metadata| metadata.len());
    Ok(OpenFile { name, reader: Box::new(BufReader::new(file)), bytes })
}

/// Loads a file.
pub(crate) async fn load_file(store: &Store, file: OpenFile, existing: ExistingAccess) -> Result<Loaded, CommandError> {
    let OpenFile { name, reader, bytes } = file;
    let progress =
        if io::stderr().is_terminal() && bytes > 0 { ProgressBar::new(bytes) } else { ProgressBar::hidden() };
    progress.set_style(ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {elapsed} (eta {eta})")?);

    let loaded = load(store, &name, reader, existing, &progress).await;
    match &loaded {
        Ok(_) => progress.finish_and_clear(),
        Err(_) => progress.abandon(),
    }
    loaded
}

async fn load(
    store: &Store,
    name: &str,
    mut reader: impl BufRead,
    existing: ExistingAccess,
    progress: &ProgressBar,
) -> Result<Loaded, CommandError> {
    let mut importer = Importer::new(store, options(existing));
    let mut lines = 0;
    let mut line = Vec::new();
    for number in 1u64.. {
        let read = next_line(&mut reader, &mut line);
        if matches!(read, Ok(false)) {
            break;
        }
        progress.inc(line.len() as u64 + 1);
        importer.at_line(number);
        let (number, reason) = match import_line(&mut importer, read.map(|_| line.as_slice())).await {
            Ok(is_imported) => {
                lines += u64::from(is_imported);
                continue;
            }
            Err(ImportError::Store(error)) => return Err(interrupted(&format!("{name}, line {number}"), error)),
            Err(error @ ImportError::Resharding(_)) => {
                return Err(format!("{name}, line {number}: {error}. {SOME_NOT_LOADED}").into());
            }
            Err(ImportError::Line(reason)) => (number, reason),
            Err(ImportError::Late { number, reason }) => (number, reason),
        };
        let stopped = format!("{name}, line {number}: {reason}");
        // Finish the import, so that the lines before the invalid line are loaded.
        return match importer.finish().await {
            Ok(_) => Err(format!("{stopped}. Lines loaded before it: {lines}").into()),
            Err(ImportError::Store(error)) => Err(interrupted(&stopped, error)),
            Err(also) => Err(format!("{stopped}. The lines before it were loaded, but {also}").into()),
        };
    }
    match importer.finish().await {
        Ok(summary) => Ok(Loaded { lines, summary }),
        Err(ImportError::Store(error)) => Err(interrupted(&format!("{name}, at its end"), error)),
        Err(error) => Err(format!("{name}, {error}. Its other lines were loaded").into()),
    }
}

/// Reads a line into `line`, without its line feed. Reads at most a few bytes more than the maximum. Returns false at
/// the end of the input.
fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    // Allows for a byte order mark (3 bytes), a carriage return, a line feed, and one byte that shows that the line is
    // too long.
    const READ_BYTES: u64 = MAX_LINE_BYTES as u64 + 6;
    line.clear();
    if reader.by_ref().take(READ_BYTES).read_until(b'\n', line)? == 0 {
        return Ok(false);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(true)
}

/// The advice after an import that ended early.
const SOME_NOT_LOADED: &str = "Some of the lines before it may be missing; run the same import again, which does not \
                               change the lines that are loaded";

/// Describes a table error. Some of the last lines may not be loaded.
fn interrupted(where_it_stopped: &str, error: StoreError) -> CommandError {
    let causes = std::error::Error::source(&error).map(|cause| format!(" ({cause})")).unwrap_or_default();
    format!("{where_it_stopped}: the table failed: {error}{causes}. {SOME_NOT_LOADED}").into()
}

/// Imports one line. Returns false for an empty line.
async fn import_line(importer: &mut Importer<'_>, line: io::Result<&[u8]>) -> Result<bool, ImportError> {
    let line = line.map_err(|error| ImportError::Line(format!("the file cannot be read: {error}")))?;
    if line.len() > MAX_LINE_BYTES + "\u{feff}\r".len() {
        return Err(ImportError::Line(format!("the line is too long: a line has at most {MAX_LINE_BYTES} bytes")));
    }
    let text = std::str::from_utf8(line).map_err(|_| ImportError::Line("the line is not UTF-8".into()))?;
    // Some editors begin a file with a byte order mark.
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Ok(false);
    }
    let line = parse_line(text, &importer.time_zone()).map_err(ImportError::Line)?;
    importer.push(line).await?;
    Ok(true)
}

/// Loads lines that are already parsed.
pub(crate) async fn load_lines(store: &Store, lines: Vec<Line>) -> Result<Loaded, CommandError> {
    let mut importer = Importer::new(store, options(ExistingAccess::Keep));
    let count = lines.len() as u64;
    for line in lines {
        importer.push(line).await?;
    }
    Ok(Loaded { lines: count, summary: importer.finish().await? })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use engine::{Engine, Storage};
    use store::dynamodb::in_process::connect_in_process;

    use super::*;

    /// A reader that counts the bytes read.
    struct Counting<R>(R, u64);

    impl<R: Read> Read for Counting<R> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let read = self.0.read(buffer)?;
            self.1 += read as u64;
            Ok(read)
        }
    }

    const GIB: u64 = 1 << 30;

    #[tokio::test]
    async fn line_of_a_gibibyte_is_refused_with_its_number_and_not_read_completely() {
        let engine = Engine::open(&Storage::Memory).unwrap();
        let store = Store::new(connect_in_process(engine.in_process(), None).await, "table");
        store.ensure_table().await.unwrap();
        let progress = ProgressBar::hidden();
        let first = &b"\xef\xbb\xbf{\"portal\":{\"Id\":\"acme\"}}\r\n\r\n"[..];
        let mut file = Counting(first.chain(io::repeat(b'a').take(GIB)), 0);
        let error = load(&store, "big.ndjson", BufReader::new(&mut file), ExistingAccess::Keep, &progress)
            .await
            .unwrap_err()
            .to_string();
        let expected = format!(
            "big.ndjson, line 3: the line is too long: a line has at most {MAX_LINE_BYTES} bytes. Lines loaded before it: \
             1"
        );
        assert_eq!(error, expected);
        assert!(file.1 < 2 * MAX_LINE_BYTES as u64, "{} bytes were read", file.1);
    }

    #[test]
    fn overlong_line_needs_no_more_memory_than_the_longest_valid_line() {
        let mut reader = BufReader::new(io::repeat(b'a').take(GIB));
        let mut line = Vec::new();
        assert!(next_line(&mut reader, &mut line).unwrap());
        assert!(line.len() > MAX_LINE_BYTES && line.capacity() < 4 * MAX_LINE_BYTES, "{}", line.capacity());
        let longest = "a".repeat(MAX_LINE_BYTES);
        let text = format!("\u{feff}{longest}\r\n{longest}");
        let mut reader = text.as_bytes();
        let mut lengths = Vec::new();
        while next_line(&mut reader, &mut line).unwrap() {
            lengths.push(line.len());
        }
        assert_eq!(lengths, [MAX_LINE_BYTES + 4, MAX_LINE_BYTES]);
    }
}
