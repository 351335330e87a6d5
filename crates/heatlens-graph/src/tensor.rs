//! Concrete arrays: weights, constants, and the values of the reference evaluator.

use std::sync::Arc;

use crate::error::OpError;
use crate::fact::DType;

/// Elements of a [`Tensor`], row-major.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Data {
    /// Weights and other floating-point constants.
    F32(Arc<[f32]>),
    /// Values of the reference evaluator; never stored in a file.
    F64(Arc<[f64]>),
    /// Shapes, axes and indices.
    I64(Arc<[i64]>),
    /// Masks.
    Bool(Arc<[bool]>),
}

/// A dense row-major array. Cloning shares the elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Data,
}

impl Tensor {
    /// Returns an array of `shape` over `data`, or `None` if the number of elements differs.
    #[must_use]
    pub fn new(shape: Vec<usize>, data: Data) -> Option<Self> {
        let wanted = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
        let found = match &data {
            Data::F32(v) => v.len(),
            Data::F64(v) => v.len(),
            Data::I64(v) => v.len(),
            Data::Bool(v) => v.len(),
        };
        (wanted == found).then_some(Self { shape, data })
    }

    /// Returns an `f32` array.
    ///
    /// # Panics
    /// If `values` does not hold exactly the elements of `shape`.
    #[must_use]
    pub fn f32(shape: &[usize], values: Vec<f32>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "elements of {shape:?}");
        Self { shape: shape.to_vec(), data: Data::F32(values.into()) }
    }

    /// Returns an `f64` array, for the reference evaluator.
    ///
    /// # Panics
    /// If `values` does not hold exactly the elements of `shape`.
    #[must_use]
    pub fn f64(shape: &[usize], values: Vec<f64>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "elements of {shape:?}");
        Self { shape: shape.to_vec(), data: Data::F64(values.into()) }
    }

    /// Returns an `i64` array of rank one.
    #[must_use]
    pub fn i64(values: &[i64]) -> Self {
        Self { shape: vec![values.len()], data: Data::I64(values.into()) }
    }

    /// Returns an `f32` array of rank 0.
    #[must_use]
    pub fn scalar(value: f32) -> Self {
        Self { shape: Vec::new(), data: Data::F32([value].into()) }
    }

    /// Returns the sizes, outermost first.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Returns the elements.
    #[must_use]
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Returns the number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// True if the array has no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the element type as used in a graph. `F64` counts as `F32`: it is the same value at higher precision.
    #[must_use]
    pub fn dtype(&self) -> DType {
        match self.data {
            Data::F32(_) | Data::F64(_) => DType::F32,
            Data::I64(_) => DType::I64,
            Data::Bool(_) => DType::Bool,
        }
    }

    /// Returns the elements if they are stored as `f32`.
    #[must_use]
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &self.data {
            Data::F32(v) => Some(v),
            _ => None,
        }
    }

    /// Returns the elements if they are stored as `i64`.
    #[must_use]
    pub fn as_i64(&self) -> Option<&[i64]> {
        match &self.data {
            Data::I64(v) => Some(v),
            _ => None,
        }
    }

    /// Returns the elements if they are stored as booleans.
    #[must_use]
    pub fn as_bool(&self) -> Option<&[bool]> {
        match &self.data {
            Data::Bool(v) => Some(v),
            _ => None,
        }
    }

    /// Returns every element as `f64`; `true` is 1.
    #[must_use]
    pub fn to_f64(&self) -> Vec<f64> {
        match &self.data {
            Data::F32(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Data::F64(v) => v.to_vec(),
            #[allow(clippy::cast_precision_loss)] // indices are far below 2^53
            Data::I64(v) => v.iter().map(|&x| x as f64).collect(),
            Data::Bool(v) => v.iter().map(|&x| f64::from(u8::from(x))).collect(),
        }
    }

    /// Returns the same elements with another shape, or `None` if the number of elements differs.
    #[must_use]
    pub fn reshaped(&self, shape: Vec<usize>) -> Option<Self> {
        Self::new(shape, self.data.clone())
    }
}

impl Tensor {
    /// Builds a tensor from elements of `sources` (all of one type) in a new order: `walk` calls its argument with a
    /// source and a position in it, once per element of `shape`. Integers and booleans are copied exactly.
    pub(crate) fn assemble(
        sources: &[&Self],
        shape: &[usize],
        walk: impl FnOnce(&mut dyn FnMut(usize, usize)),
    ) -> Result<Vec<Self>, OpError> {
        fn collect<T: Copy>(
            parts: &[&[T]],
            len: usize,
            walk: impl FnOnce(&mut dyn FnMut(usize, usize)),
        ) -> Arc<[T]> {
            let mut elements = Vec::with_capacity(len);
            walk(&mut |source, place| elements.push(parts[source][place]));
            elements.into()
        }
        let len = shape.iter().product();
        let data = if let Some(parts) = parts(sources, Self::as_i64) {
            Data::I64(collect(&parts, len, walk))
        } else if let Some(parts) = parts(sources, Self::as_bool) {
            Data::Bool(collect(&parts, len, walk))
        } else if let Some(parts) = parts(sources, Self::as_f32) {
            Data::F32(collect(&parts, len, walk))
        } else {
            let wide: Vec<Vec<f64>> = sources.iter().map(|s| s.to_f64()).collect();
            let parts: Vec<&[f64]> = wide.iter().map(Vec::as_slice).collect();
            Data::F64(collect(&parts, len, walk))
        };
        let result = Self::new(shape.to_vec(), data);
        Ok(vec![result.ok_or_else(|| OpError::Invalid("the result does not fill its shape".to_owned()))?])
    }
}

/// Returns the elements of every source, if `of` succeeds for all of them.
fn parts<'a, T>(sources: &[&'a Tensor], of: fn(&'a Tensor) -> Option<&'a [T]>) -> Option<Vec<&'a [T]>> {
    sources.iter().map(|s| of(s)).collect()
}
