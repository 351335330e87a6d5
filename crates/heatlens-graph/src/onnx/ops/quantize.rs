//! `QuantizeLinear` and `DequantizeLinear`, in models quantised by placing them around each operator (QDQ format).
//!
//! Everything is computed in single precision; integers between the two are represented as floats of the same value.
//! Rounding and clamping follow the file, and gradients pass straight through within the range.

use super::Recipe;
use super::gather_scatter::stored;
use crate::builder::Builder;
use crate::error::{GraphError, OpError};
use crate::fact::{DType, Dim, Shape};
use crate::graph::ValueId;
use crate::onnx::attributes::Attributes;
use crate::onnx::proto::tensor_proto::DataType;
use crate::onnx::scope::{Problem, Scope, Slot};
use crate::op::cast::Cast;
use crate::op::invalid;
use crate::op::quantize::FakeQuantize;
use crate::tensor::Tensor;

const NOTE: &str = "quantised model: it is computed in single precision with the rounding of its integers, \
                    and gradients pass straight through the rounding";

/// Returns the axis of the scales, for versions that have the attribute.
fn axis(attributes: &mut Attributes<'_>) -> Result<i64, OpError> {
    // Only 8-bit floats saturate, and all computation is in single precision.
    for name in ["saturate", "precision"] {
        attributes.ignore(name);
    }
    if attributes.opset() >= 21 && attributes.int("block_size")?.unwrap_or(0) != 0 {
        return Err(OpError::Unsupported("a scale for each block (\"block_size\")".to_owned()));
    }
    Ok(if attributes.opset() >= 13 { attributes.int("axis")?.unwrap_or(1) } else { 1 })
}

/// Returns the smallest and largest value of an element type.
fn range(code: i32) -> Result<(f32, f32), OpError> {
    match DataType::try_from(code) {
        Ok(DataType::Uint8) => Ok((0.0, 255.0)),
        Ok(DataType::Int8) => Ok((-128.0, 127.0)),
        Ok(DataType::Uint16) => Ok((0.0, 65_535.0)),
        Ok(DataType::Int16) => Ok((-32_768.0, 32_767.0)),
        Ok(other) => Err(OpError::Unsupported(format!("quantising to {}", other.as_str_name()))),
        Err(_) => Err(invalid(format!("unknown element type {code}"))),
    }
}

/// Scale and zero point: one number each, or one per position along an axis.
struct Parameters {
    scale: Tensor,
    zero: Tensor,
    axis: usize,
}

/// Reads the second and third inputs, for an array of `shape`.
fn parameters(scope: &mut Scope<'_>, shape: &Shape, axis: i64) -> Result<Parameters, Problem> {
    let scale = scope.constant(1, "a scale")?.ok_or(OpError::MissingInput { index: 1 })?;
    let zero = scope.constant(2, "a zero point")?;
    let count = scale.len();
    let single = scale.shape().len() <= 1 && count == 1;
    let axis = if single {
        0
    } else {
        shape.axis(axis).ok_or_else(|| invalid(format!("axis {axis} of {shape}")))?
    };
    let fits = single || scale.shape().len() == 1 && shape.0.get(axis) == Some(&Dim::Fixed(count));
    let zero = zero.map_or_else(|| vec![0.0; count], |zero| zero.to_f64());
    if !fits || zero.len() != count || scale.dtype() != DType::F32 {
        let found = scale.shape();
        return Err(invalid(format!("scales of {found:?} and {} zero points for {shape}", zero.len())).into());
    }
    let list = |values: Vec<f64>| {
        #[allow(clippy::cast_possible_truncation)] // back to the original precision
        let values = values.into_iter().map(|v| v as f32).collect();
        Tensor::f32(if single { &[] } else { std::slice::from_ref(&count) }, values)
    };
    Ok(Parameters { scale: list(scale.to_f64()), zero: list(zero), axis })
}

impl Parameters {
    /// Returns scale and zero point of each element of an array, in order.
    fn each(&self, shape: &[usize]) -> impl Iterator<Item = (f32, f32)> + use<> {
        let [scale, zero] = [&self.scale, &self.zero].map(|t| t.as_f32().unwrap_or_default().to_vec());
        let inner: usize = shape.iter().skip(self.axis + 1).product();
        let count = scale.len().max(1);
        (0..).map(move |i: usize| {
            let place = i / inner.max(1) % count;
            (scale[place], zero[place])
        })
    }

    /// Appends scale and zero point as values that broadcast to an array of the given rank.
    fn values(&self, b: &mut Builder<'_>, rank: usize) -> Result<[ValueId; 2], GraphError> {
        let mut shape = vec![Dim::Fixed(1); if self.scale.shape().is_empty() { 0 } else { rank - self.axis }];
        if let Some(first) = shape.first_mut() {
            *first = Dim::Fixed(self.scale.len());
        }
        let (scale, zero) = (b.constant(self.scale.clone()), b.constant(self.zero.clone()));
        Ok([b.reshape(scale, Shape(shape.clone()))?, b.reshape(zero, Shape(shape))?])
    }
}

fn note(scope: &mut Scope<'_>) {
    scope.reading.warn(NOTE.to_owned());
}

/// The first input, as a constant or a value.
enum Source {
    Stored(Tensor),
    Value(ValueId),
}

fn source(scope: &mut Scope<'_>) -> Result<(Source, Shape), Problem> {
    if let Some(tensor) = stored(scope, 0) {
        let shape = Shape::fixed(tensor.shape());
        return Ok((Source::Stored(tensor), shape));
    }
    let x = scope.input(0)?;
    let shape = scope.fact(x).shape.clone();
    Ok((Source::Value(x), shape))
}

pub(super) fn quantize(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let axis = axis(attributes)?;
    let wanted =
        if attributes.opset() >= 21 { attributes.int("output_dtype")?.filter(|&d| d != 0) } else { None };
    let wanted = wanted.map(|code| i32::try_from(code).unwrap_or(-1));
    Ok(Box::new(move |scope| {
        note(scope);
        let given = scope.node.input.get(2).filter(|name| !name.is_empty());
        let code = match given {
            None => wanted.unwrap_or(DataType::Uint8 as i32),
            Some(name) => *scope.reading.types.get(name).ok_or_else(|| {
                OpError::Unsupported(format!("a zero point ({name:?}) whose element type is computed"))
            })?,
        };
        let (low, high) = range(code)?;
        let (source, shape) = source(scope)?;
        let parameters = parameters(scope, &shape, axis)?;
        match source {
            Source::Stored(x) => {
                let rounded = |x: f64, (scale, zero): (f32, f32)| {
                    // In single precision, as at run time.
                    #[allow(clippy::cast_possible_truncation)]
                    let ratio = x as f32 / scale;
                    (ratio.round_ties_even() + zero).clamp(low, high)
                };
                let values = x.to_f64().into_iter().zip(parameters.each(x.shape()));
                let values = values.map(|(x, parameters)| rounded(x, parameters)).collect();
                Ok(vec![Slot::Stored(Tensor::f32(x.shape(), values))])
            }
            Source::Value(x) => {
                let op = FakeQuantize { axis: parameters.axis, low, high };
                let (scale, zero) = (scope.store(parameters.scale), scope.store(parameters.zero));
                scope.finish(op, &[Some(x), Some(scale), Some(zero)])
            }
        }
    }))
}

/// Reads `DequantizeLinear`: (x − zero point) · scale, computed while reading for stored weights.
pub(super) fn dequantize(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let axis = axis(attributes)?;
    attributes.ignore("output_dtype"); // a floating-point type; single is always used
    Ok(Box::new(move |scope| {
        note(scope);
        let (source, shape) = source(scope)?;
        let parameters = parameters(scope, &shape, axis)?;
        match source {
            Source::Stored(x) => {
                #[allow(clippy::cast_possible_truncation)] // small integers
                let value = |(x, (scale, zero)): (f64, (f32, f32))| (x - f64::from(zero)) as f32 * scale;
                let values = x.to_f64().into_iter().zip(parameters.each(x.shape())).map(value).collect();
                Ok(vec![Slot::Stored(Tensor::f32(x.shape(), values))])
            }
            Source::Value(mut x) => {
                if scope.fact(x).dtype != DType::F32 {
                    x = scope.step(Cast { to: DType::F32 }, &[x])?;
                }
                scope.formula(|b| {
                    let [scale, zero] = parameters.values(b, shape.rank())?;
                    let centred = b.sub(x, zero)?;
                    b.mul(centred, scale)
                })
            }
        }
    }))
}
