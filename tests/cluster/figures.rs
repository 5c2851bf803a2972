//! Measured times, printed as a median and a maximum.
//!
//! **Invariant:** it prints and judges nothing; the tests hold what was measured against a bound.

use std::time::Duration;

/// Times of the same thing, measured several times.
pub struct Figures {
    what: &'static str,
    times: Vec<Duration>,
}

impl Figures {
    /// No times yet of `what`.
    pub fn of(what: &'static str) -> Self {
        Self { what, times: Vec::new() }
    }

    /// One more.
    pub fn add(&mut self, time: Duration) {
        self.times.push(time);
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        self.times.iter().max().copied().unwrap_or_default()
    }

    /// The one in the middle.
    pub fn median(&self) -> Duration {
        let mut sorted = self.times.clone();
        sorted.sort();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    /// One line for the reader of the test's output.
    pub fn print(&self) {
        let Self { what, times } = self;
        #[expect(clippy::print_stdout, reason = "measured figures are what the test is read for")]
        {
            let (median, max) = (self.median(), self.max());
            println!("{what}: median {median:.3?}, max {max:.3?} of {}", times.len());
        }
    }
}
