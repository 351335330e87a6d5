//! What is known of a value before anything runs: element type and shape.
//!
//! Every size is a number except the batch, which stays the symbol `N` until a program runs. `N`
//! is never taken for a 1 that broadcasts, so a graph derived once serves any number of samples.

use std::fmt;

/// Element type of a value in a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DType {
    /// 32-bit floating point; half and double precision are read into it.
    F32,
    /// 64-bit integers: shapes, axes, indices.
    I64,
    /// Truth values.
    Bool,
}

/// One size of a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// A plain number.
    Fixed(usize),
    /// So many for each sample: `Batch(1)` is `N`, `Batch(4)` is `4N`.
    Batch(usize),
}

impl Dim {
    /// The size when there are `n` samples.
    #[must_use]
    pub fn at(self, n: usize) -> usize {
        match self {
            Self::Fixed(d) => d,
            Self::Batch(k) => k * n,
        }
    }

    /// Whether this is a literal 1, which broadcasts.
    #[must_use]
    pub fn is_one(self) -> bool {
        self == Self::Fixed(1)
    }

    /// Whether the size grows with the number of samples.
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

/// The sizes of a value, outermost first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shape(pub Vec<Dim>);

impl Shape {
    /// A shape without a batch.
    #[must_use]
    pub fn fixed(dims: &[usize]) -> Self {
        Self(dims.iter().map(|&d| Dim::Fixed(d)).collect())
    }

    /// `N` followed by `dims`.
    #[must_use]
    pub fn batched(dims: &[usize]) -> Self {
        let mut shape = Self::fixed(dims);
        shape.0.insert(0, Dim::Batch(1));
        shape
    }

    /// Number of axes.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The sizes when there are `n` samples.
    #[must_use]
    pub fn at(&self, n: usize) -> Vec<usize> {
        self.0.iter().map(|d| d.at(n)).collect()
    }

    /// Elements for one sample; `None` where that overflows.
    #[must_use]
    pub fn len_per_sample(&self) -> Option<usize> {
        self.0.iter().try_fold(1usize, |n, d| n.checked_mul(d.at(1)))
    }

    /// Whether any size grows with the number of samples.
    #[must_use]
    pub fn has_batch(&self) -> bool {
        self.0.iter().any(|d| d.is_batch())
    }

    /// `axis` counted from the front, where negative values count from the back as ONNX has it.
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
    /// An `f32` value of `shape`.
    #[must_use]
    pub fn f32(shape: Shape) -> Self {
        Self { dtype: DType::F32, shape }
    }
}
