//! Benchmarks of three processes: the embedded engine, in memory; a process whose memory is measured; and a driver that
//! loads the portal and starts the measured process.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use engine::{Engine, Storage};
use local::dynamodb_port::{Callers, DynamoDbPort};
use tests::WorldError;

/// Creates a runtime with several threads.
///
/// # Errors
///
/// When the operating system cannot create threads.
pub fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// Returns the command that runs this program with other arguments.
///
/// # Errors
///
/// When the program's own path is unknown.
pub fn this_program(args: &[&str]) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(args);
    Ok(command)
}

/// A child process that is killed when the value is dropped.
#[derive(Debug)]
pub struct ChildProcess(pub Child);

impl Drop for ChildProcess {
    fn drop(&mut self) {
        // A process that has already exited needs no kill.
        match self.0.kill().and_then(|()| self.0.wait()) {
            Ok(_) | Err(_) => {}
        }
    }
}

/// Starts an engine, which is this program with the argument `engine`, and runs this program with `args`.
///
/// # Errors
///
/// When a process does not start, or the measuring process fails.
pub fn run_with_engine(args: &[&str]) -> Result<(), WorldError> {
    let mut engine = ChildProcess(this_program(&["engine"])?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?);
    let mut url = String::new();
    BufReader::new(engine.0.stdout.take().ok_or("no output of the engine")?).read_line(&mut url)?;
    let measured = this_program(args)?.env("CRM_ACCESS_TEST_DYNAMODB", url.trim()).status()?;
    if measured.success() { Ok(()) } else { Err("the measurement failed or exceeded a bar".into()) }
}

/// Runs the engine until its standard input is closed.
///
/// # Errors
///
/// When the engine does not start.
pub async fn engine() -> Result<(), WorldError> {
    let port = DynamoDbPort::open(&Engine::open(&Storage::Memory)?, 0, Callers::Anyone).await?;
    writeln!(io::stdout(), "{}", port.endpoint().url)?;
    io::stdout().flush()?;
    tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}

/// Reads the peak resident memory of this process in KB.
///
/// # Errors
///
/// When the operating system does not report the peak.
pub fn peak_kb() -> Result<u64, WorldError> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}

/// Reads the processor time of this process's threads. The time of ended threads is missing.
///
/// # Errors
///
/// When the operating system does not report the time.
pub fn processor_time() -> Result<Duration, WorldError> {
    let mut nanos = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
        nanos += text.split(' ').next().ok_or("no time in schedstat")?.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanos))
}
