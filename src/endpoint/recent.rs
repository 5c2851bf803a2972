//! A few things by key, of which the one that was not asked for longest makes room.
//!
//! **Invariant:** it never holds more than its limit, so nobody can fill the memory with keys.

/// Things by key, the latest used last.
pub(super) struct Recent<K, V> {
    limit: usize,
    kept: Vec<(K, V)>,
}

impl<K: PartialEq, V: Clone> Recent<K, V> {
    pub(super) const fn new(limit: usize) -> Self {
        Self { limit, kept: Vec::new() }
    }

    /// What is kept under `key`, which counts as used by this.
    pub(super) fn get(&mut self, key: &K) -> Option<V> {
        let at = self.kept.iter().position(|(kept, _)| kept == key)?;
        let found = self.kept.remove(at);
        let value = found.1.clone();
        self.kept.push(found);
        Some(value)
    }

    /// Keeps `value`; the key must not be there yet.
    pub(super) fn keep(&mut self, key: K, value: V) {
        if self.kept.len() >= self.limit {
            self.kept.remove(0);
        }
        self.kept.push((key, value));
    }

    /// Lets go of what `wanted` does not want.
    pub(super) fn retain(&mut self, wanted: impl Fn(&V) -> bool) {
        self.kept.retain(|(_, value)| wanted(value));
    }

    /// Everything, the least used first.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.kept.iter().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_was_not_asked_for_longest_makes_room() {
        let mut recent = Recent::new(2);
        recent.keep("a", 1);
        recent.keep("b", 2);
        assert_eq!(recent.get(&"a"), Some(1));
        recent.keep("c", 3);
        assert_eq!(
            (recent.get(&"a"), recent.get(&"b"), recent.get(&"c")),
            (Some(1), None, Some(3))
        );
        assert_eq!(recent.values().count(), 2);
    }
}
