//! Conversion of ONNX operators: one row per supported operator of the standard.
//!
//! A row holds the operator's name, the first supported operator set, the allowed number of inputs, and the function
//! that reads it. Reading has two steps: the attributes become a [`Recipe`], then the recipe processes the inputs. So
//! the attributes of every node are checked even after an unsupported node, and one error can list everything that is
//! wrong with a file.
//!
//! To add an operator, write its function in the file it belongs to and add its row below.

mod attention;
mod blocks;
mod constant;
mod elementwise;
mod gather;
mod gather_scatter;
mod grid;
mod gru;
mod index_ops;
mod lstm;
mod matrix;
mod normalization;
mod quantize;
mod reduce;
mod resize;
mod roi_align;
mod shape;
mod shape_values;
mod slice;
mod window;

use std::ops::RangeInclusive;

use super::attributes::Attributes;
use super::scope::{Outputs, Problem, Scope};
use crate::error::OpError;
use crate::op::Operator;

/// Oldest supported operator set, the first with NumPy broadcasting.
pub(super) const OLDEST: i64 = 7;
/// Newest operator set whose attributes and inputs were compared with the rows below (onnx 1.23).
pub(super) const NEWEST: i64 = 28;

/// Second step of reading a node, after its attributes.
pub(super) type Recipe = Box<dyn FnOnce(&mut Scope<'_>) -> Result<Outputs, Problem>>;

/// A supported operator.
pub(super) struct Row {
    /// Name of the operator.
    pub(super) name: &'static str,
    /// First operator set whose definition of it is supported.
    pub(super) since: i64,
    /// Allowed number of inputs, over all versions.
    pub(super) inputs: RangeInclusive<usize>,
    /// Reads its attributes.
    pub(super) read: fn(&mut Attributes<'_>) -> Result<Recipe, OpError>,
}

/// Returns the row of an operator.
pub(super) fn find(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}

/// Returns the recipe of an operator that is fully determined by its attributes.
fn plain(op: impl Operator) -> Result<Recipe, OpError> {
    Ok(Box::new(move |scope| {
        let inputs = scope.inputs()?;
        scope.finish(op, &inputs)
    }))
}

const fn row(
    name: &'static str,
    since: i64,
    inputs: RangeInclusive<usize>,
    read: fn(&mut Attributes<'_>) -> Result<Recipe, OpError>,
) -> Row {
    Row { name, since, inputs, read }
}

const ANY: usize = usize::MAX;

static ROWS: &[Row] = &[
    row("Abs", 6, 1..=1, elementwise::unary),
    row("Add", 7, 2..=2, elementwise::binary),
    row("AffineGrid", 20, 2..=2, grid::affine_grid),
    row("And", 7, 2..=2, elementwise::binary),
    row("ArgMax", 1, 1..=1, index_ops::arg),
    row("ArgMin", 1, 1..=1, index_ops::arg),
    row("Attention", 23, 3..=7, attention::attention),
    row("AveragePool", 7, 1..=1, window::average_pool),
    row("BatchNormalization", 7, 5..=5, normalization::batch_normalization),
    row("Cast", 6, 1..=1, elementwise::cast),
    row("CastLike", 15, 2..=2, elementwise::cast_like),
    row("Ceil", 6, 1..=1, elementwise::unary),
    row("Celu", 12, 1..=1, elementwise::activation),
    row("CenterCropPad", 18, 2..=2, slice::center_crop_pad),
    row("Clip", 6, 1..=3, elementwise::clip),
    row("Col2Im", 18, 3..=3, window::col2im),
    row("Concat", 4, 1..=ANY, shape::concat),
    row("Constant", 1, 0..=0, constant::constant),
    row("ConstantOfShape", 9, 1..=1, shape_values::constant_of_shape),
    row("Conv", 1, 2..=3, window::conv),
    row("ConvTranspose", 1, 2..=3, window::conv_transpose),
    row("Cos", 7, 1..=1, elementwise::unary),
    row("CumSum", 11, 2..=2, index_ops::cum_sum),
    row("DepthToSpace", 1, 1..=1, blocks::depth_to_space),
    row("DequantizeLinear", 10, 2..=3, quantize::dequantize),
    row("Div", 7, 2..=2, elementwise::binary),
    row("Dropout", 7, 1..=3, elementwise::dropout),
    row("Einsum", 12, 1..=ANY, matrix::einsum),
    row("Elu", 6, 1..=1, elementwise::activation),
    row("Equal", 7, 2..=2, elementwise::binary),
    row("Erf", 9, 1..=1, elementwise::unary),
    row("Exp", 6, 1..=1, elementwise::unary),
    row("Expand", 8, 2..=2, shape::expand),
    row("EyeLike", 9, 1..=1, index_ops::eye_like),
    row("Flatten", 1, 1..=1, shape::flatten),
    row("Floor", 6, 1..=1, elementwise::unary),
    row("GRU", 7, 3..=6, gru::gru),
    row("Gather", 1, 2..=2, gather::gather),
    row("GatherElements", 11, 2..=2, gather_scatter::gather_elements),
    row("GatherND", 11, 2..=2, gather_scatter::gather_nd),
    row("Gelu", 20, 1..=1, elementwise::gelu),
    row("Gemm", 7, 2..=3, matrix::gemm),
    row("GlobalAveragePool", 1, 1..=1, window::global_average_pool),
    row("GlobalLpPool", 2, 1..=1, window::global_lp_pool),
    row("GlobalMaxPool", 1, 1..=1, window::global_max_pool),
    row("Greater", 7, 2..=2, elementwise::binary),
    row("GreaterOrEqual", 12, 2..=2, elementwise::binary),
    row("GridSample", 16, 2..=2, grid::grid_sample),
    row("GroupNormalization", 18, 3..=3, normalization::group),
    row("HardSigmoid", 6, 1..=1, elementwise::activation),
    row("HardSwish", 14, 1..=1, elementwise::unary),
    row("Identity", 1, 1..=1, elementwise::identity),
    row("InstanceNormalization", 6, 3..=3, normalization::instance),
    row("IsInf", 10, 1..=1, elementwise::is_inf),
    row("IsNaN", 9, 1..=1, elementwise::is_nan),
    row("LRN", 1, 1..=1, normalization::lrn),
    row("LSTM", 7, 3..=8, lstm::lstm),
    row("LayerNormalization", 17, 2..=3, normalization::layer),
    row("LeakyRelu", 6, 1..=1, elementwise::activation),
    row("Less", 7, 2..=2, elementwise::binary),
    row("LessOrEqual", 12, 2..=2, elementwise::binary),
    row("Log", 6, 1..=1, elementwise::unary),
    row("LogSoftmax", 1, 1..=1, reduce::softmax),
    row("LpNormalization", 1, 1..=1, normalization::lp),
    row("LpPool", 2, 1..=1, window::lp_pool),
    row("MatMul", 1, 2..=2, matrix::matmul),
    row("Max", 6, 1..=ANY, elementwise::variadic),
    row("MaxPool", 1, 1..=1, window::max_pool),
    row("MaxUnpool", 9, 2..=3, window::max_unpool),
    row("Mean", 8, 1..=ANY, elementwise::mean),
    row("MeanVarianceNormalization", 9, 1..=1, normalization::mean_variance),
    row("Min", 6, 1..=ANY, elementwise::variadic),
    row("Mish", 18, 1..=1, elementwise::unary),
    row("Mod", 10, 2..=2, elementwise::modulo),
    row("Mul", 7, 2..=2, elementwise::binary),
    row("Neg", 6, 1..=1, elementwise::unary),
    row("NonZero", 9, 1..=1, index_ops::non_zero),
    row("Not", 1, 1..=1, elementwise::unary),
    row("OneHot", 9, 3..=3, index_ops::one_hot),
    row("Or", 7, 2..=2, elementwise::binary),
    row("PRelu", 7, 2..=2, elementwise::binary),
    row("Pad", 2, 1..=4, slice::pad),
    row("Pow", 7, 2..=2, elementwise::pow),
    row("QuantizeLinear", 10, 2..=3, quantize::quantize),
    row("RMSNormalization", 23, 2..=2, normalization::rms),
    row("RNN", 7, 3..=6, gru::rnn),
    row("Range", 11, 3..=3, shape_values::range),
    row("Reciprocal", 6, 1..=1, elementwise::unary),
    row("ReduceL1", 1, 1..=2, reduce::composed),
    row("ReduceL2", 1, 1..=2, reduce::composed),
    row("ReduceLogSum", 1, 1..=2, reduce::composed),
    row("ReduceLogSumExp", 1, 1..=2, reduce::composed),
    row("ReduceMax", 1, 1..=2, reduce::reduce),
    row("ReduceMean", 1, 1..=2, reduce::reduce),
    row("ReduceMin", 1, 1..=2, reduce::reduce),
    row("ReduceProd", 1, 1..=2, reduce::reduce),
    row("ReduceSum", 1, 1..=2, reduce::reduce),
    row("ReduceSumSquare", 1, 1..=2, reduce::composed),
    row("Relu", 6, 1..=1, elementwise::unary),
    row("Reshape", 5, 2..=2, shape::reshape),
    row("Resize", 10, 2..=4, resize::resize),
    row("RoiAlign", 10, 3..=3, roi_align::roi_align),
    row("Round", 11, 1..=1, elementwise::unary),
    row("Scatter", 9, 3..=3, gather_scatter::scatter_elements),
    row("ScatterElements", 11, 3..=3, gather_scatter::scatter_elements),
    row("ScatterND", 11, 3..=3, gather_scatter::scatter_nd),
    row("Selu", 6, 1..=1, elementwise::activation),
    row("Shape", 1, 1..=1, shape_values::shape),
    row("Shrink", 9, 1..=1, elementwise::shrink),
    row("Sigmoid", 6, 1..=1, elementwise::unary),
    row("Sign", 9, 1..=1, elementwise::unary),
    row("Sin", 7, 1..=1, elementwise::unary),
    row("Size", 1, 1..=1, shape_values::size),
    row("Slice", 1, 1..=5, slice::slice),
    row("Softmax", 1, 1..=1, reduce::softmax),
    row("Softplus", 1, 1..=1, elementwise::unary),
    row("Softsign", 1, 1..=1, elementwise::unary),
    row("SpaceToDepth", 1, 1..=1, blocks::space_to_depth),
    row("Split", 2, 1..=2, slice::split),
    row("Sqrt", 6, 1..=1, elementwise::unary),
    row("Squeeze", 1, 1..=2, shape::squeeze),
    row("Sub", 7, 2..=2, elementwise::binary),
    row("Sum", 6, 1..=ANY, elementwise::variadic),
    row("SwiGLU", 28, 2..=2, elementwise::swiglu),
    row("Swish", 24, 1..=1, elementwise::swish),
    row("Tanh", 6, 1..=1, elementwise::unary),
    row("ThresholdedRelu", 10, 1..=1, elementwise::activation),
    row("Tile", 6, 2..=2, blocks::tile),
    row("Transpose", 1, 1..=1, shape::transpose),
    row("Trilu", 14, 1..=2, index_ops::trilu),
    row("Unsqueeze", 1, 1..=2, shape::unsqueeze),
    row("Upsample", 7, 1..=2, resize::upsample),
    row("Where", 9, 3..=3, elementwise::choose),
    row("Xor", 7, 2..=2, elementwise::binary),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_unique() {
        assert!(ROWS.windows(2).all(|pair| pair[0].name < pair[1].name));
    }
}
