//! An engine in this process with faults in front: the calls of a seed come in the same order on every run, and no
//! pause takes real time.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryPartition;
use axum::body::Bytes;
use axum::http::{Response, StatusCode};
use engine::{Engine, EngineError, Storage};
use futures::future::BoxFuture;
use store::Store;
use store::dynamodb::in_process::{EngineAnswer, EngineResult, InProcess, connect_in_process};

use super::answering::{Engines, Exchange, Replica, answer_with};
use super::time::yielded;
use super::{Call, Injector, Operation, SplitMix, VirtualTime, answers};

/// The time that a call takes.
const ROUND_TRIP: Duration = Duration::from_millis(4);

/// The maximum number of times that a call lets other tasks run before the call reaches the engine.
const MOST_TURNS: u64 = 4;

/// An engine, and a second engine that lags behind by some writes.
pub struct LaggingEngine {
    engine: Engine,
    late: Engine,
    /// Writes that the second engine still lacks, in order.
    writes: Mutex<VecDeque<(String, Vec<u8>)>>,
    /// The maximum number of writes that the second engine lacks.
    lag: Mutex<usize>,
    recorded: Mutex<Option<Vec<RecordedWrite>>>,
}

/// A write as its caller sent it: operation and JSON body.
pub type RecordedWrite = (String, String);

impl fmt::Debug for LaggingEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaggingEngine").finish_non_exhaustive()
    }
}

impl LaggingEngine {
    /// Opens two engines in memory.
    ///
    /// # Errors
    ///
    /// When an engine cannot be opened.
    pub fn open() -> Result<Arc<Self>, EngineError> {
        Ok(Arc::new(Self {
            engine: Engine::open(&Storage::Memory)?,
            late: Engine::open(&Storage::Memory)?,
            writes: Mutex::default(),
            lag: Mutex::default(),
            recorded: Mutex::default(),
        }))
    }

    /// Sets the maximum number of writes that the second engine lacks.
    pub fn set_lag(&self, writes: usize) {
        *self.lag.lock().unwrap_or_else(PoisonError::into_inner) = writes;
        self.catch_up();
    }

    /// Records all further writes.
    pub fn record(&self) {
        *self.recorded.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
    }

    /// Returns the writes since [`Self::record`], and stops recording.
    pub fn recorded(&self) -> Vec<RecordedWrite> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }

    /// Sends a recorded write to both engines, without faults.
    ///
    /// # Errors
    ///
    /// When an engine refuses the write.
    pub fn repeat(&self, operation: &str, body: &str) -> io::Result<()> {
        for engine in [&self.engine, &self.late] {
            let answer = engine.answer_here(operation, body.as_bytes());
            if answer.status != 200 {
                return Err(io::Error::other(answer.body));
            }
        }
        Ok(())
    }

    fn catch_up(&self) {
        let lag = *self.lag.lock().unwrap_or_else(PoisonError::into_inner);
        let mut writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        while writes.len() > lag
            && let Some((operation, body)) = writes.pop_front()
        {
            self.late.answer_here(&operation, &body);
        }
    }

    fn answer(&self, operation: &str, call: &Call, body: &[u8], replica: Replica) -> EngineAnswer {
        if replica == Replica::Late {
            return self.late.answer_here(operation, body);
        }
        if call.operation == Operation::DefineTable {
            self.late.answer_here(operation, body);
        }
        let answer = self.engine.answer_here(operation, body);
        if call.writes() && answer.status == 200 {
            if let Some(recorded) = &mut *self.recorded.lock().unwrap_or_else(PoisonError::into_inner) {
                recorded.push((operation.to_owned(), String::from_utf8_lossy(body).into_owned()));
            }
            self.writes.lock().unwrap_or_else(PoisonError::into_inner).push_back((operation.to_owned(), body.to_vec()));
            self.catch_up();
        }
        answer
    }
}

/// A process's way to the engine. Dereferences to the [`Injector`] of its calls.
#[derive(Clone, Debug)]
pub struct FaultyEngine(Arc<FaultyState>);

#[derive(Debug)]
struct FaultyState {
    engine: Arc<LaggingEngine>,
    injector: Injector,
    time: VirtualTime,
    turns: Mutex<SplitMix>,
}

impl Deref for FaultyEngine {
    type Target = Injector;

    fn deref(&self) -> &Injector {
        &self.0.injector
    }
}

impl FaultyEngine {
    /// Creates a way to the engine without faults. The seed decides how the calls of concurrent tasks interleave.
    pub fn new(engine: &Arc<LaggingEngine>, time: &VirtualTime, seed: u64) -> Self {
        Self(Arc::new(FaultyState {
            engine: engine.clone(),
            injector: Injector::default(),
            time: time.clone(),
            turns: Mutex::new(SplitMix::new(seed)),
        }))
    }

    /// Returns the table, reached this way, with pauses and timeouts in virtual time.
    pub async fn store(&self, table: &str) -> Store {
        let client = connect_in_process(Arc::new(self.clone()), None).await;
        // A retry budget of its own, so that no other process uses up the attempts.
        let partition = RetryPartition::new(format!("{:p}", Arc::as_ptr(&self.0)));
        let config = client.config().to_builder().sleep_impl(self.0.time.clone()).retry_partition(partition);
        Store::new(Client::from_conf(config.build()), table).with_time(Arc::new(self.0.time.clone()))
    }
}

impl InProcess for FaultyEngine {
    fn call(&self, operation: String, body: Vec<u8>) -> BoxFuture<'static, EngineResult> {
        let state = self.0.clone();
        Box::pin(async move {
            let turns = state.turns.lock().unwrap_or_else(PoisonError::into_inner).below(MOST_TURNS);
            for _ in 0..turns {
                yielded().await;
            }
            state.time.advance(ROUND_TRIP);
            let mut call =
                Call::new(Operation::of_target(&operation), serde_json::from_slice(&body).unwrap_or_default());
            let faults = state.injector.faults_of(&mut call);
            let exchange = Exchange { call: Arc::new(call), body: body.into(), replica: Replica::Current };
            let answer = answer_with(&LocalCall { state: &state, operation: &operation }, exchange, &faults).await;
            // A dead caller receives no answer.
            let answer = answer.filter(|_| !state.injector.is_dead());
            let answer = answer.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionReset))?;
            Ok(EngineAnswer {
                status: answer.status().as_u16(),
                body: String::from_utf8_lossy(answer.body()).into_owned(),
            })
        })
    }
}

/// A call from this process.
struct LocalCall<'a> {
    state: &'a FaultyState,
    operation: &'a str,
}

impl Engines for LocalCall<'_> {
    fn injector(&self) -> &Injector {
        &self.state.injector
    }

    fn lags(&self) -> bool {
        true
    }

    fn forward<'a>(&'a self, exchange: Exchange) -> BoxFuture<'a, Option<Response<Bytes>>> {
        let Exchange { call, body, replica } = exchange;
        let answer = self.state.engine.answer(self.operation, &call, &body, replica);
        let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Box::pin(std::future::ready(Some(answers::with_body(status, Bytes::from(answer.body)))))
    }
}
