//! Operators that only occur in written files, where derivatives of other operators need them in standard ONNX.
//!
//! [`Operator::lower`] creates them when a graph is written. They have no derivatives and no kernels; the reference
//! evaluator supports them, so that a lowered graph can be compared with the original.

use crate::builder::Builder;
use crate::differentiate::{Backward, InputGrads};
use crate::error::{GraphError, OpError};
use crate::fact::{DType, Dim, Fact, Shape};
use crate::graph::{Node, ValueId};
use crate::op::binary::BinaryFunction;
use crate::op::concat::Concat;
use crate::op::pool::{MaxPool, Planes};
use crate::op::window::Window;
use crate::op::{
    Attribute, Kind, OnnxForm, Operator, at, first_shape, float_result, invalid, require, to_axes,
};
use crate::tensor::{Data, Tensor};

type Grads = Result<Vec<Option<ValueId>>, GraphError>;

/// Returns the error for differentiating an operator of this file.
fn no_derivative(node: &Node) -> Grads {
    Err(at(node, OpError::NoDerivative { index: 0 }))
}

fn whole(shape: &[usize], values: Vec<i64>) -> Result<Vec<Tensor>, OpError> {
    let tensor = Tensor::new(shape.to_vec(), Data::I64(values.into()));
    tensor.map(|t| vec![t]).ok_or_else(|| invalid("the result does not fill its shape"))
}

fn to_int(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// Size of one axis of x as a list of one integer: ONNX's `Shape` of a single axis. Input: x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AxisSize {
    /// The axis.
    pub axis: usize,
}

/// [`super::expand::Expand`] to sizes computed in the file, for shapes that contain the batch size. Inputs: x, the
/// sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpandTo {
    /// The sizes that the second input holds.
    pub shape: Shape,
}

/// Max pooling that also returns the flat position of each maximum in the whole input. Input: x. Outputs: pooled
/// values, positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaxPoolIndices {
    /// The pooling.
    pub pool: MaxPool,
}

impl MaxPoolIndices {
    /// Appends the positions of the maxima of `x`.
    ///
    /// # Errors
    /// If the shape of `x` does not fit.
    pub(crate) fn append(pool: &MaxPool, b: &mut Builder<'_>, x: ValueId) -> Result<ValueId, GraphError> {
        let pooled = b.apply(Self { pool: pool.clone() }, &[x])?;
        let graph = b.graph();
        let places = graph.producer(pooled).and_then(|node| graph.node(node).outputs.get(1).copied());
        places.ok_or_else(|| GraphError::Malformed("a max pool without places".to_owned()))
    }
}

/// Values at flat positions in an array of zeros: ONNX's `MaxUnpool`. Inputs: the values, their positions, and the sizes
/// of the result where the window leaves them open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaxUnpoolTo {
    /// Window of the pooling.
    pub window: Window,
    /// Shape of the result.
    pub shape: Shape,
}

/// Adds updates to a list at given positions, which may repeat. Inputs: data, positions, updates, all of rank 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScatterAdd;

/// Reads elements of a list at given positions. Inputs: data, positions, both of rank 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Take;

impl Operator for AxisSize {
    fn kind(&self) -> Kind<'_> {
        Kind::Other
    }

    fn onnx_form(&self) -> OnnxForm {
        OnnxForm::new("Shape")
            .with("start", Attribute::Int(to_int(self.axis)))
            .with("end", Attribute::Int(to_int(self.axis).saturating_add(1)))
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let x = require(inputs, 0)?;
        if self.axis >= x.shape.rank() {
            return Err(invalid(format!("the size of axis {} of {}", self.axis, x.shape)));
        }
        Ok(vec![Fact { dtype: DType::I64, shape: Shape::fixed(&[1]) }])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let size = require(inputs, 0)?.shape().get(self.axis).copied();
        whole(first_shape(shapes)?, size.map(to_int).into_iter().collect())
    }

    fn vjp(&self, _: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        no_derivative(back.node)
    }
}

impl Operator for ExpandTo {
    fn kind(&self) -> Kind<'_> {
        Kind::Other
    }

    fn onnx_form(&self) -> OnnxForm {
        OnnxForm::new("Expand")
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let (x, sizes) = (require(inputs, 0)?, require(inputs, 1)?);
        let wanted = Fact { dtype: DType::I64, shape: Shape::fixed(&[self.shape.rank()]) };
        if *sizes != wanted {
            return Err(invalid(format!("sizes of {} for {}", sizes.shape, self.shape)));
        }
        Ok(vec![Fact { dtype: x.dtype, shape: self.shape.clone() }])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let (sizes, shape) = (require(inputs, 1)?, first_shape(shapes)?);
        if sizes.as_i64() != Some(to_axes(shape).as_slice()) {
            return Err(invalid(format!("sizes {:?} instead of {shape:?}", sizes.data())));
        }
        super::expand::Expand { shape: Shape::fixed(shape) }.eval(inputs, shapes)
    }

    fn vjp(&self, _: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        no_derivative(back.node)
    }
}

impl Operator for MaxPoolIndices {
    fn kind(&self) -> Kind<'_> {
        Kind::Other
    }

    fn onnx_form(&self) -> OnnxForm {
        self.pool.onnx_form()
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let mut facts = self.pool.infer(inputs)?;
        let shape = facts.first().map(|f| f.shape.clone()).unwrap_or_default();
        facts.push(Fact { dtype: DType::I64, shape });
        Ok(facts)
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let (x, shape) = (require(inputs, 0)?, first_shape(shapes)?);
        let planes = Planes::new(x.shape(), shape);
        let best = self.pool.argmax(&x.to_f64(), &planes);
        let (area, out) = (planes.in_area(), planes.out_area());
        let places = best.iter().enumerate().map(|(i, s)| to_int(i / out * area + s)).collect();
        let mut results = self.pool.eval(inputs, shapes)?;
        results.extend(whole(shape, places)?);
        Ok(results)
    }

    fn vjp(&self, _: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        no_derivative(back.node)
    }
}

impl Operator for MaxUnpoolTo {
    fn kind(&self) -> Kind<'_> {
        Kind::Other
    }

    fn onnx_form(&self) -> OnnxForm {
        // The standard's window has no dilations.
        let dilations = vec![1; self.window.rank()];
        Window { dilations, ..self.window.clone() }.onnx_form(OnnxForm::new("MaxUnpool"))
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let (values, places) = (require(inputs, 0)?, require(inputs, 1)?);
        if values.shape != places.shape || places.dtype != DType::I64 {
            return Err(invalid(format!("{} to positions {}", values.shape, places.shape)));
        }
        Ok(vec![Fact::f32(self.shape.clone())])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let shape = first_shape(shapes)?;
        let mut whole = vec![0.0; shape.iter().product()];
        let places = places(require(inputs, 1)?, whole.len())?;
        for (place, value) in places.into_iter().zip(require(inputs, 0)?.to_f64()) {
            whole[place] = value;
        }
        float_result(shape, whole)
    }

    fn vjp(&self, _: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        no_derivative(back.node)
    }
}

/// Converts positions in a list of `len` elements, checking that they are in range.
fn places(tensor: &Tensor, len: usize) -> Result<Vec<usize>, OpError> {
    let inside = |&i: &i64| usize::try_from(i).ok().filter(|&i| i < len);
    let all = tensor.as_i64().and_then(|v| v.iter().map(inside).collect());
    all.ok_or_else(|| invalid(format!("places outside a list of {len}")))
}

impl Operator for ScatterAdd {
    fn kind(&self) -> Kind<'_> {
        Kind::Other
    }

    fn onnx_form(&self) -> OnnxForm {
        OnnxForm::new("ScatterElements").with("reduction", Attribute::Text("add"))
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let (data, places, updates) = (require(inputs, 0)?, require(inputs, 1)?, require(inputs, 2)?);
        let fits = data.shape.rank() == 1 && places.shape.rank() == 1 && places.shape == updates.shape;
        if !fits || places.dtype != DType::I64 || data.dtype != updates.dtype {
            return Err(invalid(format!("adding {} at {} to {}", updates.shape, places.shape, data.shape)));
        }
        Ok(vec![data.clone()])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let mut sum = require(inputs, 0)?.to_f64();
        let places = places(require(inputs, 1)?, sum.len())?;
        for (place, update) in places.into_iter().zip(require(inputs, 2)?.to_f64()) {
            sum[place] += update;
        }
        float_result(first_shape(shapes)?, sum)
    }

    fn vjp(&self, _: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        no_derivative(back.node)
    }
}

impl Operator for Take {
    fn kind(&self) -> Kind<'_> {
        Kind::Other
    }

    fn onnx_form(&self) -> OnnxForm {
        OnnxForm::new("GatherElements")
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let (data, places) = (require(inputs, 0)?, require(inputs, 1)?);
        if data.shape.rank() != 1 || places.shape.rank() != 1 || places.dtype != DType::I64 {
            return Err(invalid(format!("taking {} from {}", places.shape, data.shape)));
        }
        Ok(vec![Fact { dtype: data.dtype, shape: places.shape.clone() }])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let data = require(inputs, 0)?.to_f64();
        let places = places(require(inputs, 1)?, data.len())?;
        float_result(first_shape(shapes)?, places.into_iter().map(|i| data[i]).collect())
    }

    fn vjp(&self, _: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        no_derivative(back.node)
    }
}

/// Appends nodes that compute the sizes of `shape`; the batch size is read from an input's shape.
///
/// # Errors
/// If no input has the batch size as an axis.
pub(crate) fn sizes(b: &mut Builder<'_>, shape: &Shape) -> Result<ValueId, GraphError> {
    let mut parts = Vec::new();
    for dim in &shape.0 {
        parts.push(match *dim {
            Dim::Fixed(d) => b.constant(Tensor::i64(&[to_int(d)])),
            Dim::Batch(k) => {
                let n = batch(b)?;
                let k = b.constant(Tensor::i64(&[to_int(k)]));
                b.binary(BinaryFunction::Mul, n, k)?
            }
        });
    }
    b.apply(Concat { axis: 0 }, &parts)
}

/// Appends a node that computes the number of samples.
fn batch(b: &mut Builder<'_>) -> Result<ValueId, GraphError> {
    let graph = b.graph();
    let place =
        |&x: &ValueId| graph.fact(x).shape.0.iter().position(|&d| d == Dim::Batch(1)).map(|axis| (x, axis));
    let found = graph.inputs().iter().find_map(place);
    let (x, axis) = found.ok_or_else(|| {
        GraphError::Malformed("no input has the batch as a size, so it cannot be written".to_owned())
    })?;
    b.apply(AxisSize { axis }, &[x])
}

/// Flattens `x` to rank 1.
///
/// # Errors
/// If several axes contain the batch size.
pub(crate) fn flat(b: &mut Builder<'_>, x: ValueId) -> Result<ValueId, GraphError> {
    let shape = b.shape(x);
    let dim = joined(&shape.0).ok_or_else(|| {
        GraphError::Malformed(format!("a value of shape {shape} cannot be written as a list"))
    })?;
    b.reshape(x, Shape(vec![dim]))
}

/// Merges axes into one; `None` if more than one of them contains the batch size, or on overflow.
pub(crate) fn joined(dims: &[Dim]) -> Option<Dim> {
    let size = dims.iter().try_fold(1usize, |n, d| n.checked_mul(d.at(1)))?;
    match dims.iter().filter(|d| d.is_batch()).count() {
        0 => Some(Dim::Fixed(size)),
        1 => Some(Dim::Batch(size)),
        _ => None,
    }
}

/// Appends zeros of `shape`.
///
/// # Errors
/// Never for the shape of an existing value.
pub(crate) fn zeros(b: &mut Builder<'_>, shape: Shape) -> Result<ValueId, GraphError> {
    let zero = b.scalar(0.0);
    b.expand(zero, shape)
}
