//! The program's output. Texts from files, arguments and the table are escaped: a terminal must not obey them.

use std::fmt::Display;
use std::io::{self, Write as _};

use models::values::printable::printable;

/// Prints one line.
///
/// # Errors
///
/// When standard output takes no more.
pub(crate) fn say(line: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", printable(&line.to_string()))?;
    out.flush()
}

/// Prints lines of the program's own making, each like [`say`].
///
/// # Errors
///
/// When standard output takes no more.
pub(crate) fn say_lines(lines: &str) -> io::Result<()> {
    lines.lines().try_for_each(say)
}
