//! Bounded polling: the one way in which tests wait for something.
//!
//! In: a question asked again and again. Out: its answer, or an error that says what was waited
//! for, how long, and what was seen last.
//! **Invariant:** it never waits longer than its bound, not even for one hanging answer.

use std::{
    fmt::Display,
    future::Future,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// What one look at the awaited thing gives: there, or not yet and possibly why.
pub trait Look {
    /// What the wait returns in the end.
    type Found;

    /// The thing itself, or a description of the state seen instead.
    fn found(self) -> Result<Self::Found, Option<String>>;
}

impl Look for bool {
    type Found = ();

    fn found(self) -> Result<(), Option<String>> {
        if self { Ok(()) } else { Err(None) }
    }
}

impl<T> Look for Option<T> {
    type Found = T;

    fn found(self) -> Result<T, Option<String>> {
        self.ok_or(None)
    }
}

impl<T, E: Display> Look for Result<T, E> {
    type Found = T;

    fn found(self) -> Result<T, Option<String>> {
        self.map_err(|state| Some(format!("{state:#}")))
    }
}

/// Asks `look` until it finds `what`, at most for `bound`.
///
/// `look` gives a `bool`, an `Option` or a `Result`; an `Err` is "not yet" and describes the state
/// for the error's text. Pauses grow from 25 ms to 200 ms.
pub async fn wait_for<L, F, A>(what: &str, bound: Duration, mut look: F) -> anyhow::Result<L::Found>
where
    L: Look,
    F: FnMut() -> A,
    A: Future<Output = L>,
{
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut last_state = None;
    loop {
        let left = bound.saturating_sub(started.elapsed());
        match tokio::time::timeout(left, look()).await {
            Ok(answer) => match answer.found() {
                Ok(found) => return Ok(found),
                Err(Some(state)) => last_state = Some(state),
                Err(None) => {}
            },
            Err(_) if left > Duration::ZERO => {
                last_state = Some(format!(
                    "no answer to the last look within {left:.1?}; before: {}",
                    last_state.as_deref().unwrap_or("nothing")
                ));
            }
            Err(_) => {}
        }
        if started.elapsed() + pause > bound {
            let state = last_state.as_deref().unwrap_or("not there");
            bail!("waited {:.1?} for {what}; last state: {state}", started.elapsed());
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Asks `look` again and again for as long as `span`: it must never fail.
pub async fn holds_for<F, A>(what: &str, span: Duration, mut look: F) -> anyhow::Result<()>
where
    F: FnMut() -> A,
    A: Future<Output = anyhow::Result<()>>,
{
    let started = Instant::now();
    let bound = span * 2 + Duration::from_secs(10);
    let end = format!("the end of {span:.1?} in which {what}");
    let held = wait_for(&end, bound, || {
        let answer = look();
        async {
            match answer.await {
                Err(broken) => Ok(Err(broken)),
                Ok(()) if started.elapsed() >= span => Ok(Ok(())),
                Ok(()) => Err("it holds so far"),
            }
        }
    });
    held.await?
        .with_context(|| format!("after {:.1?} it was not so that {what}", started.elapsed()))
}
