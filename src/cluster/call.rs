//! One short call to the Kubernetes API: a deadline, at most three tries, a bound on calls in flight.
//!
//! **Invariant:** a call never outlives its deadline times three, and a try is only repeated where
//! nothing or "later" was answered.

use std::future::Future;
use std::time::Duration;

use kube::Error;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

const TRIES: usize = 3;
const LONGEST_RETRY_AFTER_SECONDS: u32 = 60;

/// How calls are made.
#[derive(Debug)]
pub struct Calls {
    in_flight: Semaphore,
    deadline: Duration,
}

impl Calls {
    /// At most `concurrency` calls at once, each try within `deadline`.
    pub fn new(concurrency: usize, deadline: Duration) -> Self {
        Self { in_flight: Semaphore::new(concurrency), deadline }
    }

    /// The answer of `call`, tried again after 1 s where there was none and after what `Retry-After`
    /// asks (1 s to 60 s) where the API server is busy.
    pub async fn make<T, F, Answer>(&self, call: F) -> Result<T, Error>
    where
        F: Fn() -> Answer,
        Answer: Future<Output = Result<T, Error>>,
    {
        let mut tries = 1;
        loop {
            let error = {
                // The semaphore is never closed; without a permit the call would only be unbounded.
                let _permit = self.in_flight.acquire().await.ok();
                match timeout(self.deadline, call()).await {
                    Ok(Ok(answer)) => return Ok(answer),
                    Ok(Err(error)) => error,
                    Err(late) => Error::Service(late.into()),
                }
            };
            let Some(wait) = retry_after(&error).filter(|_| tries < TRIES) else {
                return Err(error);
            };
            tries += 1;
            sleep(wait).await;
        }
    }
}

fn retry_after(error: &Error) -> Option<Duration> {
    if matches!(error, Error::Service(_) | Error::HyperError(_)) {
        return Some(Duration::from_secs(1));
    }
    let Error::Api(status) = error else { return None };
    if !matches!(status.code, 429 | 503 | 504) {
        return None;
    }
    let asked = status.details.as_ref().map_or(1, |details| details.retry_after_seconds);
    Some(Duration::from_secs(asked.clamp(1, LONGEST_RETRY_AFTER_SECONDS).into()))
}

/// The HTTP status of a refusal; 0 where nothing was answered.
pub(crate) fn code(error: &Error) -> u16 {
    if let Error::Api(status) = error { status.code } else { 0 }
}
