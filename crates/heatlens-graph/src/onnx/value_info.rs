//! Declared types and shapes of inputs and outputs, and detection of the batch axis.

use super::error::OnnxError;
use super::proto::tensor_shape_proto::{Dimension, dimension};
use super::proto::type_proto;
use super::proto::{TensorShapeProto, TypeProto, ValueInfoProto, tensor_proto::DataType};
use super::tensor;
use crate::fact::{DType, Dim, Fact, Shape};

/// Name of the batch axis in written files.
const BATCH: &str = "N";

/// Distinguishes the batch size from other sizes. The first axis of an input is the batch axis if its size is not a
/// number; if it has a name, all axes with that name have the batch size.
#[derive(Debug, Default)]
pub(super) struct Batch {
    name: Option<String>,
}

/// An input of the model; `other_precision` is true if its declared precision is not single.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) fact: Fact,
    pub(super) other_precision: bool,
}

impl Batch {
    /// Returns the type and shape of an input.
    ///
    /// # Errors
    /// If it is not a tensor, its element type is not supported, or it has an open size other than the batch that
    /// `sizes` does not specify.
    pub(super) fn input(
        &mut self,
        info: &ValueInfoProto,
        sizes: &[Option<usize>],
    ) -> Result<Input, OnnxError> {
        let bad = |what: String| OnnxError::Malformed(format!("input {:?}: {what}", info.name()));
        let Some(type_proto::Value::TensorType(declared)) =
            info.r#type.as_ref().and_then(|t| t.value.as_ref())
        else {
            return Err(bad("expected a tensor, found another or no type".to_owned()));
        };
        let dtype = tensor::dtype(declared.elem_type()).map_err(|e| bad(e.to_string()))?;
        let shape = declared.shape.as_ref().ok_or_else(|| bad("expected a shape, found none".to_owned()))?;
        let dims: Result<Vec<Dim>, String> =
            shape.dim.iter().enumerate().map(|(axis, dim)| self.dim(axis, dim, sizes)).collect();
        let shape = Shape(dims.map_err(bad)?);
        if shape.len_per_sample().is_none() {
            return Err(bad(format!("sizes {shape} overflow")));
        }
        let other_precision = dtype == DType::F32 && declared.elem_type() != DataType::Float as i32;
        Ok(Input { fact: Fact { dtype, shape }, other_precision })
    }

    fn dim(&mut self, axis: usize, dim: &Dimension, sizes: &[Option<usize>]) -> Result<Dim, String> {
        let name = match &dim.value {
            Some(dimension::Value::DimValue(size)) if *size > 0 => {
                return usize::try_from(*size).map(Dim::Fixed).map_err(|_| format!("size {size} overflows"));
            }
            // Some exporters write 0 or −1 for an unknown size.
            Some(dimension::Value::DimValue(_)) | None => None,
            Some(dimension::Value::DimParam(name)) => Some(name.as_str()).filter(|name| !name.is_empty()),
        };
        if let Some(&Some(size)) = sizes.get(axis).filter(|_| axis > 0) {
            return Ok(Dim::Fixed(size));
        }
        match (axis, name, self.name.as_deref()) {
            (_, Some(name), Some(batch)) if name == batch => Ok(Dim::Batch(1)),
            (0, Some(name), None) => {
                self.name = Some(name.to_owned());
                Ok(Dim::Batch(1))
            }
            (0, None, _) => Ok(Dim::Batch(1)),
            (0, Some(name), Some(batch)) => {
                Err(format!("two open sizes, {batch:?} and {name:?}; only the batch may be open"))
            }
            (_, name, _) => {
                let name = name.map_or(String::new(), |n| format!(" ({n:?})"));
                Err(format!("the size of axis {axis} is open{name}; export the model for a fixed image size"))
            }
        }
    }
}

/// Returns the declaration of an input or output.
pub(super) fn write(name: &str, fact: &Fact) -> ValueInfoProto {
    let dim = |d: &Dim| match d {
        Dim::Fixed(d) => dimension::Value::DimValue(i64::try_from(*d).unwrap_or(i64::MAX)),
        Dim::Batch(1) => dimension::Value::DimParam(BATCH.to_owned()),
        Dim::Batch(k) => dimension::Value::DimParam(format!("{k}*{BATCH}")),
    };
    let dim = fact.shape.0.iter().map(|d| Dimension { value: Some(dim(d)), denotation: None }).collect();
    let declared = type_proto::Tensor {
        elem_type: Some(tensor::data_type(fact.dtype).into()),
        shape: Some(TensorShapeProto { dim }),
    };
    let r#type = TypeProto { denotation: None, value: Some(type_proto::Value::TensorType(declared)) };
    ValueInfoProto { name: Some(name.to_owned()), r#type: Some(r#type), ..ValueInfoProto::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(dims: &[Option<dimension::Value>]) -> ValueInfoProto {
        let mut info = write("x", &Fact::f32(Shape::default()));
        if let Some(type_proto::Value::TensorType(t)) = &mut info.r#type.as_mut().unwrap().value {
            let dim = |d: &Option<_>| Dimension { value: d.clone(), denotation: None };
            t.shape.as_mut().unwrap().dim = dims.iter().map(dim).collect();
        }
        info
    }

    fn number(n: i64) -> Option<dimension::Value> {
        Some(dimension::Value::DimValue(n))
    }

    fn symbol(name: &str) -> Option<dimension::Value> {
        Some(dimension::Value::DimParam(name.to_owned()))
    }

    #[test]
    fn an_open_first_axis_is_the_batch() {
        for first in [symbol("batch_size"), symbol(""), None, number(-1), number(0)] {
            let fact = Batch::default().input(&info(&[first, number(3), number(8)]), &[]).unwrap().fact;
            assert_eq!(fact.shape, Shape::batched(&[3, 8]));
        }
        let fixed = Batch::default().input(&info(&[number(1), number(3)]), &[]).unwrap().fact;
        assert_eq!(fixed.shape, Shape::fixed(&[1, 3]), "a fixed batch stays fixed");
    }

    #[test]
    fn other_open_sizes_are_refused_by_name() {
        let error =
            Batch::default().input(&info(&[symbol("N"), number(3), symbol("height")]), &[]).unwrap_err();
        assert!(error.to_string().contains("axis 2 is open (\"height\")"), "{error}");
        let mut batch = Batch::default();
        batch.input(&info(&[symbol("N")]), &[]).unwrap();
        assert_eq!(
            batch.input(&info(&[number(2), symbol("N")]), &[]).unwrap().fact.shape.0[1],
            Dim::Batch(1)
        );
        assert!(batch.input(&info(&[symbol("M")]), &[]).is_err());
    }
}
