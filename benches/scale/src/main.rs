//! Prints the table of `docs/scale.md`, and fails if the model and the simulation differ by more than the tolerance.

use std::error::Error;
use std::io::{self, Write as _};

use scale::simulation::simulate;
use scale::{JOBS, MODEL_HEAD, Run, TABLES, tolerance};

/// Seed of the simulations. Another seed may be the first argument.
const SEED: u64 = 1;

fn main() -> Result<(), Box<dyn Error>> {
    let seed = std::env::args().nth(1).map_or(Ok(SEED), |seed| seed.parse())?;
    let mut out = io::stdout().lock();
    writeln!(out, "{MODEL_HEAD} simulated | sent in vain | others refused |\n|{}", " --- |".repeat(12))?;
    let mut faults = Vec::new();
    for contacts in JOBS {
        for table in TABLES {
            let run = Run::sized(contacts, table);
            let (predicted, report) = (run.predict().seconds, simulate(&run, seed));
            let simulated = report.outcome.seconds;
            let [in_vain, others] = [report.share_in_vain(), report.share_without_units()].map(|share| 100.0 * share);
            writeln!(out, "{} {} | {in_vain:.2} % | {others:.2} % |", run.row(), scale::time(simulated))?;
            if (simulated - predicted).abs() > tolerance(&run, &report) {
                faults
                    .push(format!("{contacts} contacts, {}: {predicted:.0} s, simulated {simulated:.0} s", table.name));
            }
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(format!("model and simulation differ: {}", faults.join("; ")).into()) }
}
