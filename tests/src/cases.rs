//! The number of cases of tests that play one scene many times.
//!
//! With `CRM_ACCESS_TEST_CASES=all`, as in CI, these tests play all of their cases. Other runs leave out cases that
//! would take more than half of the time of all tests, and play the same part each time.

/// The number of the first calls of a process at each of which something happens. Short processes make fewer calls.
const FIRST: u64 = 5;
/// The step between two later calls at which something happens, unless all cases are played. A job makes four calls for
/// each page: with a step of nine, something happens at each of these four calls in turn.
const STEP: u64 = 9;

/// Returns whether tests play all of their cases.
pub fn are_all() -> bool {
    #[expect(clippy::disallowed_methods, reason = "the environment names the number of cases")]
    std::env::var("CRM_ACCESS_TEST_CASES").is_ok_and(|cases| cases == "all")
}

/// Returns the numbers of the calls at which something happens in a test. The first call has the number 1.
pub fn calls() -> impl Iterator<Item = u64> {
    (1..).filter(|number| are_all() || *number <= FIRST || number % STEP == 1)
}

/// Returns whether something happens at a call in the variant of a scene at this position: always, or in two variants in
/// turn.
pub fn is_turn(call: u64, position: usize) -> bool {
    are_all() || call.is_multiple_of(2) == position.is_multiple_of(2)
}

/// Returns how many random cases a test plays: all `cases` or a sixteenth.
pub fn random(cases: u32) -> u32 {
    if are_all() { cases } else { cases / 16 }
}

/// Returns the cases that a test plays: all, or the first of each `of`.
pub fn part<T>(cases: impl IntoIterator<Item = T>, of: usize) -> impl Iterator<Item = T> {
    cases.into_iter().step_by(if are_all() { 1 } else { of })
}

/// Returns whether a test plays the combination of the values at these positions: all, or one of `of`. Every value of a
/// list is played if another list has at least `of` values.
pub fn is_played(positions: &[usize], of: usize) -> bool {
    are_all() || positions.iter().sum::<usize>() % of == 0
}
