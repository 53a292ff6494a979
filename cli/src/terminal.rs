//! The program's output. Texts from files, arguments and the table are escaped, so that they cannot control a terminal.

use std::fmt::Display;
use std::io::{self, Write as _};

use models::values::printable::printable;

/// Prints one line.
///
/// # Errors
///
/// When standard output cannot be written.
pub(crate) fn say(line: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", printable(&line.to_string()))?;
    out.flush()
}

/// Prints several lines, each like [`say`].
///
/// # Errors
///
/// When standard output cannot be written.
pub(crate) fn say_lines(lines: &str) -> io::Result<()> {
    lines.lines().try_for_each(say)
}
