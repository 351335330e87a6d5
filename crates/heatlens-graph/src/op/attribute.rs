//! How an operator is written down: in ONNX files, in error messages, and as the key by which
//! equal computations are found.

use crate::tensor::Tensor;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Attribute {
    /// A whole number.
    Int(i64),
    /// Several whole numbers.
    Ints(Vec<i64>),
    /// A number.
    Float(f32),
    /// Text.
    Text(&'static str),
}

/// An operator as ONNX writes it (operator set 18).
#[derive(Clone, Debug, PartialEq)]
pub struct Spelling {
    /// The operator's name.
    pub name: &'static str,
    /// Its attributes, every one that differs from ONNX's default, sorted by no particular rule but always the same.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// Constants that ONNX passes as further inputs, after those of the node (`Reshape`'s shape, a reduction's axes).
    pub constants: Vec<Tensor>,
    /// Whether ONNX knows the operator.
    pub standard: bool,
}

impl Spelling {
    /// A standard operator without attributes.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name, attributes: Vec::new(), constants: Vec::new(), standard: true }
    }

    /// An operator of our own.
    #[must_use]
    pub fn internal(name: &'static str) -> Self {
        Self { standard: false, ..Self::new(name) }
    }

    /// With an attribute.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: Attribute) -> Self {
        self.attributes.push((name, value));
        self
    }

    /// With whole numbers given as sizes.
    #[must_use]
    pub fn with_sizes(self, name: &'static str, values: &[usize]) -> Self {
        self.with(name, Attribute::Ints(to_ints(values)))
    }

    /// With a constant passed as an input.
    #[must_use]
    pub fn with_constant(mut self, tensor: Tensor) -> Self {
        self.constants.push(tensor);
        self
    }
}

/// Sizes as ONNX stores them.
#[must_use]
pub(crate) fn to_ints(values: &[usize]) -> Vec<i64> {
    values.iter().map(|&v| i64::try_from(v).unwrap_or(i64::MAX)).collect()
}
