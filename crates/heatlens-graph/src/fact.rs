//! Element type and shape of a value, known before anything runs.
//!
//! Every size is a number except the batch size, which stays the symbol `N` until a program runs. `N` is never treated
//! as a 1 that broadcasts, so a graph derived once works for any number of samples.

use std::fmt;

/// Element type of a value in a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DType {
    /// 32-bit floating point; half and double precision are converted to it on reading.
    F32,
    /// 64-bit integers: shapes, axes, indices.
    I64,
    /// Booleans.
    Bool,
}

/// Size of one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// A fixed size.
    Fixed(usize),
    /// A multiple of the batch size: `Batch(1)` is `N`, `Batch(4)` is `4N`.
    Batch(usize),
}

impl Dim {
    /// Returns the size for `n` samples.
    #[must_use]
    pub fn at(self, n: usize) -> usize {
        match self {
            Self::Fixed(d) => d,
            Self::Batch(k) => k * n,
        }
    }

    /// True if this is a literal 1, which broadcasts.
    #[must_use]
    pub fn is_one(self) -> bool {
        self == Self::Fixed(1)
    }

    /// True if the size grows with the number of samples.
    #[must_use]
    pub fn is_batch(self) -> bool {
        matches!(self, Self::Batch(_))
    }
}

impl From<usize> for Dim {
    fn from(d: usize) -> Self {
        Self::Fixed(d)
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(d) => write!(f, "{d}"),
            Self::Batch(1) => write!(f, "N"),
            Self::Batch(k) => write!(f, "{k}N"),
        }
    }
}

/// Sizes of a value's axes, outermost first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shape(pub Vec<Dim>);

impl Shape {
    /// Returns a shape without a batch axis.
    #[must_use]
    pub fn fixed(dims: &[usize]) -> Self {
        Self(dims.iter().map(|&d| Dim::Fixed(d)).collect())
    }

    /// Returns the shape `N` followed by `dims`.
    #[must_use]
    pub fn batched(dims: &[usize]) -> Self {
        let mut shape = Self::fixed(dims);
        shape.0.insert(0, Dim::Batch(1));
        shape
    }

    /// Returns the number of axes.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// Returns the sizes for `n` samples.
    #[must_use]
    pub fn at(&self, n: usize) -> Vec<usize> {
        self.0.iter().map(|d| d.at(n)).collect()
    }

    /// Returns the number of elements per sample, or `None` on overflow.
    #[must_use]
    pub fn len_per_sample(&self) -> Option<usize> {
        self.0.iter().try_fold(1usize, |n, d| n.checked_mul(d.at(1)))
    }

    /// True if any size grows with the number of samples.
    #[must_use]
    pub fn has_batch(&self) -> bool {
        self.0.iter().any(|d| d.is_batch())
    }

    /// Converts an axis in ONNX notation (negative values count from the back) to one counted from the front. `None` if
    /// out of range.
    #[must_use]
    pub fn axis(&self, axis: i64) -> Option<usize> {
        let rank = i64::try_from(self.rank()).ok()?;
        let axis = if axis < 0 { axis + rank } else { axis };
        (0..rank).contains(&axis).then(|| usize::try_from(axis).unwrap_or(0))
    }
}

impl<const K: usize> From<[Dim; K]> for Shape {
    fn from(dims: [Dim; K]) -> Self {
        Self(dims.to_vec())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return write!(f, "scalar");
        }
        for (i, d) in self.0.iter().enumerate() {
            write!(f, "{}{d}", if i == 0 { "" } else { "×" })?;
        }
        Ok(())
    }
}

/// Element type and shape of a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fact {
    /// Element type.
    pub dtype: DType,
    /// Sizes, outermost first.
    pub shape: Shape,
}

impl Fact {
    /// Returns the fact of an `f32` value of `shape`.
    #[must_use]
    pub fn f32(shape: Shape) -> Self {
        Self { dtype: DType::F32, shape }
    }
}
