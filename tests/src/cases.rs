//! The number of cases of tests that play one scene many times.
//!
//! With `CRM_ACCESS_TEST_CASES=all`, as in CI, these tests play all of their cases, which takes more than half of the
//! time of all tests. Otherwise these tests play the same part of their cases each time.

/// The step between two calls at which something happens, unless all cases are played. A job makes four calls for each
/// page: with a step of five, something happens at each of the four.
const STEP: usize = 5;

/// Returns whether tests play all of their cases.
pub fn are_all() -> bool {
    #[expect(clippy::disallowed_methods, reason = "the environment names the number of cases")]
    std::env::var("CRM_ACCESS_TEST_CASES").is_ok_and(|cases| cases == "all")
}

/// Returns the numbers of the calls at which something happens in a test. The first call has the number 1.
pub fn calls() -> impl Iterator<Item = u64> {
    (1..).step_by(if are_all() { 1 } else { STEP })
}

/// Returns how many random cases a test plays: all `cases` or a quarter.
pub fn random(cases: u32) -> u32 {
    if are_all() { cases } else { cases / 4 }
}

/// Returns whether a test plays the case at these positions in its lists of values: all cases or one of `of`. The cases
/// that are played hold every value. With a third list of at least `of` values, they hold every pair of values.
pub fn is_played(positions: &[usize], of: usize) -> bool {
    are_all() || positions.iter().sum::<usize>() % of == 0
}
