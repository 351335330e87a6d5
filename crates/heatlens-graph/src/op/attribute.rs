//! Written form of an operator: used in ONNX files, in error messages, and as the key for finding equal computations.

use crate::tensor::Tensor;

/// Value of an attribute.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Attribute {
    /// An integer.
    Int(i64),
    /// A list of integers.
    Ints(Vec<i64>),
    /// A floating-point number.
    Float(f32),
    /// A string.
    Text(&'static str),
}

/// Written form of an operator in ONNX (operator set 18).
#[derive(Clone, Debug, PartialEq)]
pub struct OnnxForm {
    /// Name of the operator.
    pub name: &'static str,
    /// Attributes that differ from ONNX's defaults, in a fixed order.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// Constants that ONNX passes as inputs, after those of the node (`Reshape`'s shape, a reduction's axes).
    pub constants: Vec<Tensor>,
    /// True if the operator is in the ONNX standard.
    pub standard: bool,
}

impl OnnxForm {
    /// Returns a standard operator without attributes.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name, attributes: Vec::new(), constants: Vec::new(), standard: true }
    }

    /// Returns an operator that is not in the ONNX standard.
    #[must_use]
    pub fn internal(name: &'static str) -> Self {
        Self { standard: false, ..Self::new(name) }
    }

    /// Adds an attribute.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: Attribute) -> Self {
        self.attributes.push((name, value));
        self
    }

    /// Adds an attribute that holds a list of sizes.
    #[must_use]
    pub fn with_sizes(self, name: &'static str, values: &[usize]) -> Self {
        self.with(name, Attribute::Ints(to_ints(values)))
    }

    /// Adds a constant passed as an input.
    #[must_use]
    pub fn with_constant(mut self, tensor: Tensor) -> Self {
        self.constants.push(tensor);
        self
    }
}

/// Converts sizes to ONNX integers.
#[must_use]
pub(crate) fn to_ints(values: &[usize]) -> Vec<i64> {
    values.iter().map(|&v| i64::try_from(v).unwrap_or(i64::MAX)).collect()
}
