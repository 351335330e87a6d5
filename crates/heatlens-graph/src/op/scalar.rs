//! Floating-point parameter of an operator.

use std::fmt;
use std::hash::{Hash, Hasher};

/// An `f32` compared and hashed by its bits, so that operators with parameters can be compared and looked up. Every
/// value equals itself, including NaN; 0 and −0 differ.
#[derive(Clone, Copy)]
pub struct Scalar(f32);

impl Scalar {
    /// Creates a parameter.
    #[must_use]
    pub const fn new(value: f32) -> Self {
        Self(value)
    }

    /// Returns the value.
    #[must_use]
    pub const fn get(self) -> f32 {
        self.0
    }

    /// Returns the value in double precision, for the reference evaluator.
    pub(crate) fn wide(self) -> f64 {
        f64::from(self.0)
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Scalar {}

impl Hash for Scalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The shortest text that parses to the same number: equal text means equal parameters.
        write!(f, "{:?}", self.0)
    }
}

impl From<f32> for Scalar {
    fn from(value: f32) -> Self {
        Self(value)
    }
}
