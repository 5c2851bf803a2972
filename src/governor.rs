//! How fast: slots per token endpoint host, fair over namespaces. In: who asks, for which host, and
//! when its token expires. Out: a permit, or a place in the queue and later a wake-up.
//!
//! **Invariant:** it never waits and never asks: who gets no permit is told so at once. It knows no
//! Kubernetes object and no secret. A credential holds at most one slot, on whatever host.
//!
//! ```text
//!            admit, room              drop of the permit
//!  (nothing) ───────────> admitted ──────────────────────> (nothing)
//!      │                     ^
//!      │ admit, no room      │ admit within RESERVED_FOR
//!      v                     │
//!   waiting ──its turn──> woken ──not taken, withdrawn──> (nothing)
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;

/// How long a slot is kept for the one that was woken; then the next one is woken.
pub const RESERVED_FOR: Duration = Duration::from_secs(5);

/// Namespace and name of a credential.
type Key = (String, String);

/// One credential that wants to ask its token endpoint.
#[derive(Clone, Debug)]
pub struct Applicant {
    /// Namespace of the credential.
    pub namespace: String,
    /// Name of the credential.
    pub name: String,
    /// Host of the token endpoint, as the spec names it.
    pub host: String,
    /// When the token that is held expires; `None`, no token, counts as expired.
    pub expires_at: Option<Timestamp>,
}

/// The answer to an [`Applicant`].
#[derive(Debug)]
pub enum Admission {
    /// Ask now; the slot is free again when the permit is dropped.
    Admitted(Permit),
    /// Come back when woken; the place in the queue is kept.
    Queued,
}

/// A slot of one host. Dropping it, also by a panic or a cancelled task, hands the slot on.
pub struct Permit {
    shared: Arc<Shared>,
    key: Key,
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("credential", &self.key).finish_non_exhaustive()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.locked().release(&self.key, &self.shared);
    }
}

/// Decides who may ask which host now. Share it by [`Arc`].
pub struct Governor {
    shared: Arc<Shared>,
}

impl fmt::Debug for Governor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Governor").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

impl Governor {
    /// `slots_per_host` requests in flight per host, at least 1; `wake` is told whose turn it is.
    pub fn new(slots_per_host: usize, wake: UnboundedSender<(String, String)>) -> Self {
        let queues = Queues {
            slots: slots_per_host.max(1),
            wake,
            runtime: None,
            hosts: HashMap::new(),
            tickets: HashMap::new(),
            holders: HashMap::new(),
            arrivals: 0,
        };
        Self { shared: Arc::new(Shared { queues: Mutex::new(queues) }) }
    }

    /// Takes a free slot, or the one that was reserved by a wake-up; else keeps or takes a place.
    ///
    /// A second call of one that waits updates its expiry, and with another host moves it there.
    /// Must be called in a tokio runtime: the reservation of a wake-up is timed there.
    pub fn admit(&self, applicant: &Applicant) -> Admission {
        let mut queues = self.shared.locked();
        queues.runtime = Some(Handle::current());
        if queues.admit(applicant, &self.shared) {
            let key = (applicant.namespace.clone(), applicant.name.clone());
            return Admission::Admitted(Permit { shared: Arc::clone(&self.shared), key });
        }
        Admission::Queued
    }

    /// Gives up a place in the queue and a reserved slot: deleted, suspended, or no longer due.
    /// A permit that was taken stays until it is dropped.
    pub fn withdraw(&self, namespace: &str, name: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        self.shared.locked().withdraw(&key, &self.shared);
    }

    /// How many credentials wait for a permit, those that were woken and have not come yet included.
    pub fn waiting(&self) -> usize {
        self.shared.locked().tickets.len()
    }
}

struct Shared {
    queues: Mutex<Queues>,
}

impl Shared {
    /// No code under the lock can leave it half changed, so a poisoned lock is as good as any.
    fn locked(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Queues {
    slots: usize,
    wake: UnboundedSender<Key>,
    runtime: Option<Handle>,
    hosts: HashMap<String, Host>,
    /// Every credential that waits or was woken.
    tickets: HashMap<Key, Ticket>,
    /// Every credential that holds a permit, and of which host.
    holders: HashMap<Key, String>,
    arrivals: u64,
}

struct Ticket {
    host: String,
    expires_at: Option<Timestamp>,
    arrival: u64,
    /// The arrival number of its reservation, where it was woken.
    woken: Option<u64>,
}

/// One host: used slots, and per namespace its tickets by expiry (`None` sorts first), then arrival.
#[derive(Default)]
struct Host {
    in_flight: usize,
    reserved: usize,
    waiting: BTreeMap<String, BTreeSet<(Option<Timestamp>, u64, String)>>,
    /// The namespace that had its turn last; the next one in order comes next.
    served: String,
}

impl Host {
    fn enqueue(&mut self, key: &Key, ticket: &Ticket) {
        let place = (ticket.expires_at, ticket.arrival, key.1.clone());
        self.waiting.entry(key.0.clone()).or_default().insert(place);
    }

    fn dequeue(&mut self, key: &Key, ticket: &Ticket) {
        if let Some(places) = self.waiting.get_mut(&key.0) {
            places.remove(&(ticket.expires_at, ticket.arrival, key.1.clone()));
            if places.is_empty() {
                self.waiting.remove(&key.0);
            }
        }
    }

    /// Whose turn it is: the namespaces after the one served last, then from the first again.
    fn next(&self, holders: &HashMap<Key, String>) -> Option<Key> {
        let after = self.waiting.iter().filter(|(namespace, _)| **namespace > self.served);
        let again = self.waiting.iter().filter(|(namespace, _)| **namespace <= self.served);
        after.chain(again).find_map(|(namespace, places)| {
            let mut keys = places.iter().map(|place| (namespace.clone(), place.2.clone()));
            keys.find(|key| !holders.contains_key(key))
        })
    }
}

impl Queues {
    /// Whether the applicant may ask now. Afterwards no slot is free while somebody could use it.
    fn admit(&mut self, applicant: &Applicant, shared: &Arc<Shared>) -> bool {
        let key = (applicant.namespace.clone(), applicant.name.clone());
        let arrival = match self.tickets.get(&key) {
            Some(ticket) if ticket.host == applicant.host && ticket.woken.is_some() => {
                return self.take_reserved(&key);
            }
            Some(ticket) => {
                let arrival = ticket.arrival;
                self.withdraw(&key, shared);
                arrival
            }
            None => self.number(),
        };
        let host = self.hosts.entry(applicant.host.clone()).or_default();
        // Who could use a free slot was woken for it, so a free slot has no one before us.
        let room = host.in_flight + host.reserved < self.slots;
        if room && !self.holders.contains_key(&key) {
            host.in_flight += 1;
            host.served.clone_from(&key.0);
            self.holders.insert(key, applicant.host.clone());
            return true;
        }
        let ticket = Ticket {
            host: applicant.host.clone(),
            expires_at: applicant.expires_at,
            arrival,
            woken: None,
        };
        host.enqueue(&key, &ticket);
        self.tickets.insert(key, ticket);
        false
    }

    /// Turns a reservation into a permit.
    fn take_reserved(&mut self, key: &Key) -> bool {
        let Some(ticket) = self.tickets.remove(key) else {
            return false;
        };
        if let Some(host) = self.hosts.get_mut(&ticket.host) {
            host.reserved = host.reserved.saturating_sub(1);
            host.in_flight += 1;
        }
        self.holders.insert(key.clone(), ticket.host);
        true
    }

    fn withdraw(&mut self, key: &Key, shared: &Arc<Shared>) {
        let Some(ticket) = self.tickets.remove(key) else {
            return;
        };
        if let Some(host) = self.hosts.get_mut(&ticket.host) {
            match ticket.woken {
                Some(_) => host.reserved = host.reserved.saturating_sub(1),
                None => host.dequeue(key, &ticket),
            }
        }
        self.hand_on(&ticket.host, shared);
    }

    fn release(&mut self, key: &Key, shared: &Arc<Shared>) {
        let Some(name) = self.holders.remove(key) else {
            return;
        };
        if let Some(host) = self.hosts.get_mut(&name) {
            host.in_flight = host.in_flight.saturating_sub(1);
        }
        self.hand_on(&name, shared);
        // Its own ticket for another host was passed over for as long as it held this slot.
        if let Some(other) = self.tickets.get(key).map(|ticket| ticket.host.clone()) {
            self.hand_on(&other, shared);
        }
    }

    /// The wake-up with this number was not followed in time: the ticket goes, the next one is woken.
    fn lapse(&mut self, key: &Key, number: u64, shared: &Arc<Shared>) {
        if self.tickets.get(key).is_some_and(|ticket| ticket.woken == Some(number)) {
            self.withdraw(key, shared);
        }
    }

    /// Reserves every free slot of the host for the next in turn, and wakes it.
    fn hand_on(&mut self, name: &str, shared: &Arc<Shared>) {
        while let Some(host) = self.hosts.get_mut(name) {
            if host.in_flight == 0 && host.reserved == 0 && host.waiting.is_empty() {
                self.hosts.remove(name);
                return;
            }
            if host.in_flight + host.reserved >= self.slots {
                return;
            }
            let Some(key) = host.next(&self.holders) else {
                return;
            };
            let Some(ticket) = self.tickets.get_mut(&key) else {
                return;
            };
            host.dequeue(&key, ticket);
            host.reserved += 1;
            host.served.clone_from(&key.0);
            self.arrivals += 1;
            ticket.woken = Some(self.arrivals);
            self.wake(key, self.arrivals, shared);
        }
    }

    /// Nobody listens any more while the process ends; then nothing is left to be woken.
    fn wake(&self, key: Key, number: u64, shared: &Arc<Shared>) {
        let _ = self.wake.send(key.clone());
        let weak: Weak<Shared> = Arc::downgrade(shared);
        if let Some(runtime) = &self.runtime {
            runtime.spawn(async move {
                tokio::time::sleep(RESERVED_FOR).await;
                if let Some(shared) = weak.upgrade() {
                    shared.locked().lapse(&key, number, &shared);
                }
            });
        }
    }

    fn number(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
    use tokio::time::{Instant, advance, sleep};

    const HOST: &str = "idp.example.com";

    fn governor(slots: usize) -> (Governor, UnboundedReceiver<Key>) {
        let (wake, woken) = unbounded_channel();
        (Governor::new(slots, wake), woken)
    }

    fn applicant(namespace: &str, name: &str) -> Applicant {
        Applicant {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            host: HOST.to_owned(),
            expires_at: None,
        }
    }

    fn expiring(name: &str, second: i64) -> Applicant {
        let expires_at = Some(Timestamp::from_second(second).unwrap());
        Applicant { expires_at, ..applicant("shop", name) }
    }

    fn permit(governor: &Governor, applicant: &Applicant) -> Permit {
        match governor.admit(applicant) {
            Admission::Admitted(permit) => permit,
            Admission::Queued => panic!("{applicant:?} was queued"),
        }
    }

    fn queue(governor: &Governor, applicant: &Applicant) {
        assert!(matches!(governor.admit(applicant), Admission::Queued), "{applicant:?}");
    }

    /// Hands the slot from one to the next until nobody waits, and returns the order.
    fn drain(governor: &Governor, woken: &mut UnboundedReceiver<Key>, first: Permit) -> Vec<Key> {
        let mut order = Vec::new();
        let mut held = first;
        loop {
            drop(held);
            let Ok(key) = woken.try_recv() else {
                return order;
            };
            held = permit(governor, &applicant(&key.0, &key.1));
            order.push(key);
        }
    }

    fn names(order: &[Key]) -> Vec<&str> {
        order.iter().map(|key| key.1.as_str()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_namespace_waits_for_one_turn_of_a_large_one() {
        let (governor, mut woken) = governor(1);
        let first = permit(&governor, &applicant("zero", "first"));
        for index in 0..100 {
            queue(&governor, &applicant("large", &format!("l{index}")));
        }
        queue(&governor, &applicant("small", "s0"));
        queue(&governor, &applicant("small", "s1"));
        let order = drain(&governor, &mut woken, first);
        assert_eq!(names(&order)[..5], ["l0", "s0", "l1", "s1", "l2"]);
        assert_eq!((order.len(), governor.waiting()), (102, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn within_a_namespace_no_token_comes_first_then_the_nearest_expiry_then_arrival() {
        let (governor, mut woken) = governor(1);
        let first = permit(&governor, &applicant("shop", "first"));
        queue(&governor, &expiring("late", 900));
        queue(&governor, &expiring("soon-1", 100));
        queue(&governor, &expiring("soon-2", 100));
        queue(&governor, &applicant("shop", "none"));
        let order = drain(&governor, &mut woken, first);
        assert_eq!(names(&order), ["none", "soon-1", "soon-2", "late"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_call_keeps_the_place_and_takes_the_new_expiry() {
        let (governor, mut woken) = governor(1);
        let first = permit(&governor, &applicant("shop", "first"));
        for name in ["a", "b", "c"] {
            queue(&governor, &expiring(name, 100));
        }
        queue(&governor, &expiring("a", 100));
        queue(&governor, &expiring("c", 50));
        assert_eq!(governor.waiting(), 3);
        let order = drain(&governor, &mut woken, first);
        assert_eq!(names(&order), ["c", "a", "b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slot_that_is_not_taken_within_five_seconds_goes_to_the_next() {
        let (governor, mut woken) = governor(1);
        let first = permit(&governor, &applicant("shop", "first"));
        queue(&governor, &applicant("shop", "a"));
        queue(&governor, &applicant("shop", "b"));
        let start = Instant::now();
        drop(first);
        assert_eq!(woken.recv().await.unwrap().1, "a");
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(woken.recv().await.unwrap().1, "b");
        assert_eq!(start.elapsed(), RESERVED_FOR);
        assert_eq!(governor.waiting(), 1, "the ticket of the absent one went with its slot");
        let _held = permit(&governor, &applicant("shop", "b"));
        queue(&governor, &applicant("shop", "a"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reserved_slot_is_for_the_one_that_was_woken_alone() {
        let (governor, mut woken) = governor(1);
        let first = permit(&governor, &applicant("shop", "first"));
        queue(&governor, &applicant("shop", "a"));
        drop(first);
        queue(&governor, &applicant("shop", "intruder"));
        sleep(Duration::from_millis(4_999)).await;
        let held = permit(&governor, &applicant("shop", "a"));
        advance(Duration::from_secs(60)).await;
        assert_eq!(woken.recv().await.unwrap().1, "a");
        assert!(woken.try_recv().is_err(), "the old timer must not give the slot away");
        drop(held);
        assert_eq!(woken.recv().await.unwrap().1, "intruder");
    }

    #[tokio::test(start_paused = true)]
    async fn withdrawing_gives_up_the_ticket_and_the_reservation() {
        let (governor, mut woken) = governor(1);
        let first = permit(&governor, &applicant("shop", "first"));
        for name in ["a", "b", "c"] {
            queue(&governor, &applicant("shop", name));
        }
        governor.withdraw("shop", "b");
        governor.withdraw("shop", "unknown");
        drop(first);
        assert_eq!(woken.try_recv().unwrap().1, "a");
        governor.withdraw("shop", "a");
        assert_eq!(woken.try_recv().unwrap().1, "c");
        assert_eq!(governor.waiting(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn withdrawing_does_not_end_a_permit_that_was_taken() {
        let (governor, _woken) = governor(1);
        let _held = permit(&governor, &applicant("shop", "a"));
        governor.withdraw("shop", "a");
        queue(&governor, &applicant("shop", "b"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_and_a_cancelled_task_free_the_slot() {
        let (governor, mut woken) = governor(1);
        let held = permit(&governor, &applicant("shop", "panics"));
        queue(&governor, &applicant("shop", "next"));
        let task = tokio::spawn(async move {
            let _held = held;
            panic!("as a reconcile may");
        });
        assert!(task.await.unwrap_err().is_panic());
        assert_eq!(woken.recv().await.unwrap().1, "next");
        let held = permit(&governor, &applicant("shop", "next"));
        queue(&governor, &applicant("shop", "last"));
        let task = tokio::spawn(async move {
            let _held = held;
            sleep(Duration::from_secs(3600)).await;
        });
        tokio::task::yield_now().await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(woken.recv().await.unwrap().1, "last");
    }

    #[tokio::test(start_paused = true)]
    async fn a_hung_host_holds_no_other_host_back() {
        let (governor, _woken) = governor(2);
        let _held = [0, 1].map(|n| permit(&governor, &applicant("shop", &format!("hung-{n}"))));
        queue(&governor, &applicant("shop", "third"));
        let other = Applicant { host: "other.example.com".into(), ..applicant("shop", "fourth") };
        let _other = permit(&governor, &other);
    }

    #[tokio::test(start_paused = true)]
    async fn another_host_moves_the_ticket() {
        let (governor, mut woken) = governor(1);
        let first = permit(&governor, &applicant("shop", "first"));
        queue(&governor, &applicant("shop", "a"));
        let moved = Applicant { host: "other.example.com".into(), ..applicant("shop", "a") };
        let _held = permit(&governor, &moved);
        assert_eq!(governor.waiting(), 0);
        drop(first);
        assert!(woken.try_recv().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn one_credential_never_holds_two_slots() {
        let (governor, mut woken) = governor(8);
        let old = permit(&governor, &applicant("shop", "a"));
        queue(&governor, &applicant("shop", "a"));
        let moved = Applicant { host: "other.example.com".into(), ..applicant("shop", "a") };
        queue(&governor, &moved);
        let passed = Applicant { host: "other.example.com".into(), ..applicant("shop", "b") };
        let _passed = permit(&governor, &passed);
        assert!(woken.try_recv().is_err());
        drop(old);
        assert_eq!(woken.try_recv().unwrap().1, "a");
        let _new = permit(&governor, &moved);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_of_a_host_that_is_done() {
        let (governor, mut woken) = governor(1);
        let first = permit(&governor, &applicant("shop", "first"));
        queue(&governor, &applicant("shop", "a"));
        drain(&governor, &mut woken, first);
        let queues = governor.shared.locked();
        assert!(queues.hosts.is_empty() && queues.tickets.is_empty() && queues.holders.is_empty());
    }

    #[test]
    fn a_permit_may_be_dropped_after_its_runtime() {
        let (governor, mut woken) = governor(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let held = runtime.block_on(async {
            let held = permit(&governor, &applicant("shop", "a"));
            queue(&governor, &applicant("shop", "b"));
            held
        });
        drop(runtime);
        drop(held);
        assert_eq!(woken.try_recv().unwrap().1, "b");
    }
}
