//! `crm-access import`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal as _, Write as _};
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use models::import::{Line, parse_line};
use store::import::{ImportError, Importer, Options, Summary};
use store::{Store, StoreError};
use uuid::Uuid;

use crate::CommandError;
use crate::args::ImportArgs;
use crate::table::{Table, now};

pub(crate) async fn run(args: ImportArgs) -> Result<(), CommandError> {
    let table = Table::of_command(&args.table).await?;
    for file in &args.files {
        let summary = load_file(&table.store, file, args.overwrite_access).await;
        match summary {
            Ok(loaded) => writeln!(io::stdout(), "{}: {loaded}", file.display())?,
            Err(error) => {
                table.close().await?;
                return Err(error);
            }
        }
    }
    table.close().await
}

/// What was loaded of a file.
#[derive(Debug)]
pub(crate) struct Loaded {
    lines: u64,
    summary: Summary,
}

impl std::fmt::Display for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Summary { added, replaced, unchanged, deleted } = self.summary;
        write!(
            f,
            "{} lines loaded; contacts: {added} added, {replaced} replaced, {unchanged} unchanged, {deleted} deleted",
            self.lines
        )
    }
}

fn options(overwrite_access: bool) -> Options {
    Options { overwrite_access, revision: Uuid::now_v7().into(), now: now() }
}

/// Loads a file, or standard input when it is called `-`.
pub(crate) async fn load_file(store: &Store, file: &Path, overwrite_access: bool) -> Result<Loaded, CommandError> {
    let name = file.display().to_string();
    let (reader, bytes): (Box<dyn BufRead + Send>, u64) = if name == "-" {
        (Box::new(BufReader::new(io::stdin())), 0)
    } else {
        let file = File::open(file).map_err(|error| format!("{name} cannot be read: {error}"))?;
        let bytes = file.metadata().map_or(0, |metadata| metadata.len());
        (Box::new(BufReader::new(file)), bytes)
    };
    let progress =
        if io::stderr().is_terminal() && bytes > 0 { ProgressBar::new(bytes) } else { ProgressBar::hidden() };
    progress.set_style(ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {elapsed} (eta {eta})")?);

    let mut importer = Importer::new(store, options(overwrite_access));
    let mut lines = 0;
    for (index, line) in reader.split(b'\n').enumerate() {
        let number = index + 1;
        match take(&mut importer, line, &progress).await {
            Ok(taken) => lines += u64::from(taken),
            Err(ImportError::Line(reason)) => {
                progress.abandon();
                let stopped = format!("{name}, line {number}: {reason}");
                // What came before the bad line is loaded, as the message says.
                return match importer.finish().await {
                    Ok(_) => Err(format!("{stopped}. The {lines} lines before it were loaded").into()),
                    Err(error) => Err(interrupted(&stopped, error)),
                };
            }
            Err(ImportError::Store(error)) => {
                progress.abandon();
                return Err(interrupted(&format!("{name}, line {number}"), error));
            }
        }
    }
    progress.finish_and_clear();
    Ok(Loaded { lines, summary: importer.finish().await? })
}

/// An error of the table, after which it is open which of the last lines were loaded.
fn interrupted(where_it_stopped: &str, error: StoreError) -> CommandError {
    let causes = std::error::Error::source(&error).map(|cause| format!(" ({cause})")).unwrap_or_default();
    format!(
        "{where_it_stopped}: the table failed: {error}{causes}. Some of the lines before it are not loaded yet; run the \
         same import again, which changes nothing that is loaded"
    )
    .into()
}

/// Takes one line: whether it said something.
async fn take(
    importer: &mut Importer<'_>,
    line: io::Result<Vec<u8>>,
    progress: &ProgressBar,
) -> Result<bool, ImportError> {
    let line = line.map_err(|error| ImportError::Line(format!("the file cannot be read: {error}")))?;
    progress.inc(line.len() as u64 + 1);
    let text = std::str::from_utf8(&line).map_err(|_| ImportError::Line("the line is not UTF-8".into()))?;
    // A byte order mark is what some editors begin a file with.
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Ok(false);
    }
    let line = parse_line(text, &importer.time_zone()).map_err(ImportError::Line)?;
    importer.push(line).await?;
    Ok(true)
}

/// Loads lines that are already read.
pub(crate) async fn load_lines(store: &Store, lines: Vec<Line>) -> Result<Loaded, CommandError> {
    let mut importer = Importer::new(store, options(false));
    let count = lines.len() as u64;
    for line in lines {
        importer.push(line).await?;
    }
    Ok(Loaded { lines: count, summary: importer.finish().await? })
}
