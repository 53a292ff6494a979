//! Rows of a table of measurements, each with its bar and whether the bar is met.

use std::io::{self, Write as _};

use tests::WorldError;

/// The head of the table.
pub const HEAD: &str = "\n| what | measured | bar | |\n| --- | --- | --- | --- |";

/// A measurement with a bar.
#[derive(Clone, Debug)]
#[must_use]
pub struct Row {
    what: String,
    measured: String,
    bar: String,
    is_met: bool,
}

impl Row {
    /// Returns a row about `what`.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), measured: String::new(), bar: String::new(), is_met: false }
    }

    /// Sets the measured value.
    pub fn measured(self, measured: impl Into<String>) -> Self {
        Self { measured: measured.into(), ..self }
    }

    /// Sets the bar, and whether the measured value meets the bar.
    pub fn bar(self, bar: impl Into<String>, is_met: bool) -> Self {
        Self { bar: bar.into(), is_met, ..self }
    }

    /// Prints the row.
    ///
    /// # Errors
    ///
    /// When standard output is closed.
    pub fn print(&self) -> Result<(), WorldError> {
        let Self { what, measured, bar, is_met } = self;
        let verdict = if *is_met { "met" } else { "NOT MET" };
        Ok(writeln!(io::stdout(), "| {what} | {measured} | {bar} | {verdict} |")?)
    }
}
