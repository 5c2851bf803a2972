//! How somebody is met who keeps changing the managed Secret: repaired at a bounded rate, and never
//! answered with a stream of token requests. In: what was undone, and when. Out: when to undo again.
//!
//! **Invariant:** at most six grants in any hour replace a token that somebody removed or altered, and
//! nothing here delays what time alone makes due.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::schedule::{after, before};

/// So many lost tokens are replaced at once, within the minimum gap, before the waiting begins.
const QUICK_GRANTS: usize = 5;
/// Between two grants after those.
const GRANT_GAP: Duration = Duration::from_secs(30 * 60);
/// For so long a grant counts.
const HOUR: Duration = Duration::from_secs(3600);
/// So many repairs without a grant are made within [`REPAIR_SPAN`], so one in ten seconds in the end.
const QUICK_REPAIRS: usize = 50;
/// The span of those.
const REPAIR_SPAN: Duration = Duration::from_secs(500);
/// As many grants or repairs as are made at once are a fight, where they fell into this span.
const FIGHT_SPAN: Duration = Duration::from_secs(600);

/// What was undone of late.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contention {
    /// When a lost token was replaced, oldest first; six at most.
    grants: Vec<Timestamp>,
    /// When something else was repaired, oldest first; fifty at most.
    repairs: Vec<Timestamp>,
}

impl Contention {
    /// A token that somebody removed or altered was replaced.
    #[must_use]
    pub fn granted(mut self, at: Timestamp) -> Self {
        push(&mut self.grants, at, QUICK_GRANTS + 1);
        self
    }

    /// Something else that somebody changed was written again.
    #[must_use]
    pub fn repaired(mut self, at: Timestamp) -> Self {
        push(&mut self.repairs, at, QUICK_REPAIRS);
        self
    }

    /// When a lost token may be replaced.
    pub fn grant_allowed_at(&self) -> Timestamp {
        let Some(latest) = self.grants.last() else { return Timestamp::MIN };
        let hour_ago = before(*latest, HOUR);
        let counted = self.grants.iter().filter(|at| **at > hour_ago).count();
        if counted < QUICK_GRANTS { Timestamp::MIN } else { after(*latest, GRANT_GAP) }
    }

    /// When something else may be repaired.
    pub fn repair_allowed_at(&self) -> Timestamp {
        let counted = self.repairs.len().checked_sub(QUICK_REPAIRS);
        let oldest = counted.and_then(|oldest| self.repairs.get(oldest));
        oldest.map_or(Timestamp::MIN, |at| after(*at, REPAIR_SPAN))
    }

    /// Until when it counts as a fight; `None`: there was none.
    pub fn ends_at(&self) -> Option<Timestamp> {
        let fight = |all: &[Timestamp], many: usize| {
            let fights = all.windows(many).filter_map(|window| {
                let end = after(*window.first()?, FIGHT_SPAN);
                (end > *window.last()?).then_some(end)
            });
            fights.max()
        };
        fight(&self.grants, QUICK_GRANTS).max(fight(&self.repairs, QUICK_REPAIRS))
    }
}

fn push(all: &mut Vec<Timestamp>, at: Timestamp, most: usize) {
    all.push(at);
    if all.len() > most {
        all.remove(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn whoever_removes_the_token_each_second_for_a_day_gets_six_grants_in_any_hour() {
        let mut contention = Contention::default();
        let mut grants = Vec::new();
        for second in 0..24 * 3600 {
            if contention.grant_allowed_at() <= at(second) {
                contention = contention.granted(at(second));
                grants.push(second);
            }
        }
        let worst = grants.iter().map(|first| {
            grants.iter().filter(|grant| (*first..first + 3600).contains(*grant)).count()
        });
        assert_eq!(worst.max(), Some(6), "{grants:?}");
        assert!(grants.len() >= 24, "it is never given up: {grants:?}");
    }

    #[test]
    fn repairs_come_at_once_fifty_times_and_then_every_ten_seconds_on_average() {
        let mut contention = Contention::default();
        let mut repairs = Vec::new();
        for second in 0..2000 {
            if contention.repair_allowed_at() <= at(second) {
                contention = contention.repaired(at(second));
                repairs.push(second);
            }
        }
        assert_eq!(repairs.len(), 200);
        assert!(repairs.iter().take(50).eq(&(0..50).collect::<Vec<_>>()), "{repairs:?}");
    }

    #[test]
    fn as_many_changes_as_are_undone_at_once_are_a_fight_that_ends() {
        let granted = |seconds: &[i64]| {
            let all = seconds.iter();
            all.fold(Contention::default(), |before, second| before.granted(at(*second))).ends_at()
        };
        assert_eq!(granted(&[0, 1, 2, 3]), None);
        assert_eq!(granted(&[0, 1, 2, 3, 4]), Some(at(600)));
        assert_eq!(granted(&[0, 200, 400, 500, 601]), None, "spread over more than ten minutes");
        assert_eq!(granted(&[0, 1, 2, 3, 4, 100]), Some(at(601)));
        let repaired = |many: i64| {
            let all = 0..many;
            all.fold(Contention::default(), |before, second| before.repaired(at(second))).ends_at()
        };
        assert_eq!(repaired(49), None);
        assert_eq!(repaired(50), Some(at(600)));
    }
}
