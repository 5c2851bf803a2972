//! The one type that secret values live in: client secrets, tokens and what holds them on the way.
//!
//! **Invariant:** it has no `Display`, `Serialize` or `PartialEq`, so a secret can neither be
//! formatted into a message nor compared in variable time; only [`Redacted::expose`] gives it out.

use std::fmt;

use zeroize::Zeroize;

/// A secret value; `Debug` prints `[redacted]`, and dropping it overwrites its memory.
///
/// Overwriting is best effort: copies that the HTTP and Kubernetes clients make are out of reach.
#[derive(Clone, Default)]
pub struct Redacted<T: Zeroize>(T);

impl<T: Zeroize> Redacted<T> {
    /// Wraps a secret value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself; each call site is a place where it may leave the process.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<T: Zeroize> Drop for Redacted<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_prints_the_value() {
        assert_eq!(format!("{:?}", Redacted::new(String::from("s3cr3t"))), "[redacted]");
    }
}
