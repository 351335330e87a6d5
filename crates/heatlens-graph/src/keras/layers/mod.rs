//! Conversion of Keras layers to nodes: one row per supported class.
//!
//! A row holds the class, the function that reads it, and its sublayers with arrays. Functions of `keras.ops` are used
//! like layers in models and have rows here too; a function and a layer with the same name have the same meaning.
//!
//! To add a layer, write its function in the file it belongs to and add its row below.

mod activation;
mod attention;
mod conv;
mod dense;
mod functions;
mod images;
mod keras1;
mod merge;
mod normalization;
mod pool;
mod preprocessing;
mod shape;
mod window;

pub(super) use keras1::modern;

use super::scope::{Made, Scope};

/// A supported class of layers.
pub(super) struct Row {
    /// Name of the class.
    pub(super) class: &'static str,
    /// Reads a call.
    pub(super) read: fn(&mut Scope<'_>) -> Made,
    /// Sublayers that have arrays, in the order in which they are stored.
    pub(super) parts: &'static [&'static str],
    /// True if the layer has arrays that are used.
    pub(super) arrays: bool,
}

/// Returns the row of a class.
pub(super) fn find(class: &str) -> Option<&'static Row> {
    ROWS.binary_search_by(|row| row.class.cmp(class)).ok().and_then(|i| ROWS.get(i))
}

/// Returns the reason why a class is not supported, with advice.
pub(super) fn hint(class: &str) -> String {
    match class {
        "Lambda" => {
            "Lambda (it holds Python code; use a layer or a function of `keras.ops` instead)".to_owned()
        }
        "LSTM" | "GRU" | "SimpleRNN" | "RNN" | "Bidirectional" | "ConvLSTM2D" => {
            "a recurrent layer".to_owned()
        }
        "TimeDistributed" => "TimeDistributed (call the layer on the images themselves)".to_owned(),
        _ => "this layer".to_owned(),
    }
}

const fn row(class: &'static str, read: fn(&mut Scope<'_>) -> Made) -> Row {
    Row { class, read, parts: &[], arrays: true }
}

/// Row of a layer that is the identity after training.
const fn idle(class: &'static str) -> Row {
    Row { class, read: preprocessing::identity, parts: &[], arrays: false }
}

const fn composed(
    class: &'static str,
    read: fn(&mut Scope<'_>) -> Made,
    parts: &'static [&'static str],
) -> Row {
    Row { class, read, parts, arrays: true }
}

const ATTENTION: &[&str] = &["query_dense", "key_dense", "value_dense", "output_dense"];

/// Supported classes, sorted by name.
static ROWS: &[Row] = &[
    row("Abs", functions::unary),
    row("Absolute", functions::unary),
    row("Activation", activation::layer),
    idle("ActivityRegularization"),
    row("Add", merge::merge),
    idle("AlphaDropout"),
    row("Amax", functions::reduce),
    row("Amin", functions::reduce),
    row("Attention", attention::attention),
    idle("AugMix"),
    idle("AutoContrast"),
    row("Average", merge::merge),
    row("AveragePooling1D", pool::pool),
    row("AveragePooling2D", pool::pool),
    row("BatchNormalization", normalization::batch),
    row("BroadcastTo", images::broadcast_to),
    row("Cast", functions::cast),
    row("Ceil", functions::unary),
    row("CenterCrop", preprocessing::center_crop),
    row("Clip", functions::clip),
    row("Concatenate", merge::concatenate),
    row("Conv1D", conv::conv),
    row("Conv1DTranspose", conv::transposed),
    row("Conv2D", conv::conv),
    row("Conv2DTranspose", conv::transposed),
    row("ConvertToTensor", images::unchanged),
    row("Convolution1D", conv::conv),
    row("Convolution2D", conv::conv),
    row("Cos", functions::unary),
    row("CropImages", images::margins),
    row("Cropping1D", shape::cropping),
    row("Cropping2D", shape::cropping),
    row("CustomScaleLayer", merge::scaled_sum),
    idle("CutMix"),
    row("Dense", dense::dense),
    row("DepthwiseConv1D", conv::depthwise),
    row("DepthwiseConv2D", conv::depthwise),
    row("Divide", functions::binary),
    row("Dot", merge::dot),
    idle("Dropout"),
    row("ELU", activation::elu),
    row("Elu", activation::function),
    row("Equal", images::compare),
    row("Erf", functions::unary),
    row("Exp", functions::unary),
    row("ExpandDims", functions::expand_dims),
    idle("FixedDropout"),
    row("Flatten", shape::flatten),
    row("Flip", images::flip),
    row("Floor", functions::unary),
    idle("GaussianDropout"),
    idle("GaussianNoise"),
    row("Gelu", activation::function),
    row("GetItem", functions::get_item),
    row("GlobalAveragePooling1D", pool::global),
    row("GlobalAveragePooling2D", pool::global),
    row("GlobalMaxPooling1D", pool::global),
    row("GlobalMaxPooling2D", pool::global),
    row("Greater", images::compare),
    row("GreaterEqual", images::compare),
    row("GroupNormalization", normalization::group),
    row("HardSigmoid", activation::function),
    row("HardSilu", activation::function),
    row("HardSwish", activation::function),
    idle("Identity"),
    idle("InputLayer"),
    row("LayerNormalization", normalization::layer),
    row("LayerScale", normalization::layer_scale),
    row("LeakyReLU", activation::leaky_relu),
    row("LeakyRelu", activation::function),
    row("Less", images::compare),
    row("LessEqual", images::compare),
    row("Log", functions::unary),
    row("Log1p", functions::unary),
    row("LogSoftmax", activation::function),
    row("LogicalAnd", images::compare),
    row("LogicalOr", images::compare),
    row("Matmul", functions::matmul),
    row("Max", functions::reduce),
    row("MaxPooling1D", pool::pool),
    row("MaxPooling2D", pool::pool),
    row("Maximum", merge::merge),
    row("Mean", functions::reduce),
    row("Merge", merge::keras1),
    row("Min", functions::reduce),
    row("Minimum", merge::merge),
    idle("MixUp"),
    row("Moveaxis", images::move_axis),
    composed("MultiHeadAttention", attention::multi_head, ATTENTION),
    row("Multiply", merge::merge),
    row("Negative", functions::unary),
    row("Normalization", preprocessing::normalization),
    row("Normalize", images::normalize),
    row("NotEqual", images::compare),
    row("PReLU", activation::prelu),
    row("Pad", images::pad),
    row("PadImages", images::margins),
    row("Permute", shape::permute),
    row("Power", functions::binary),
    row("RGBToGrayscale", images::rgb_to_grey),
    row("RMSNormalization", normalization::rms),
    idle("RandAugment"),
    idle("RandomApply"),
    idle("RandomBrightness"),
    idle("RandomChoice"),
    idle("RandomColorDegeneration"),
    idle("RandomColorJitter"),
    idle("RandomContrast"),
    row("RandomCrop", preprocessing::random_crop),
    idle("RandomElasticTransform"),
    idle("RandomErasing"),
    idle("RandomFlip"),
    idle("RandomGaussianBlur"),
    idle("RandomGrayscale"),
    idle("RandomHeight"),
    idle("RandomHue"),
    idle("RandomInvert"),
    idle("RandomPerspective"),
    idle("RandomPosterization"),
    idle("RandomRotation"),
    idle("RandomSaturation"),
    idle("RandomSharpness"),
    idle("RandomShear"),
    idle("RandomTranslation"),
    idle("RandomWidth"),
    idle("RandomZoom"),
    row("ReLU", activation::relu),
    row("Reciprocal", functions::unary),
    row("Relu", activation::function),
    row("Relu6", activation::function),
    row("Repeat", images::repeat),
    row("RepeatVector", shape::repeat_vector),
    row("Rescaling", preprocessing::rescaling),
    row("Reshape", shape::reshape),
    row("Resize", images::resize),
    row("Resizing", preprocessing::resizing),
    row("Roll", images::roll),
    row("Round", functions::unary),
    row("Rsqrt", functions::unary),
    row("Selu", activation::function),
    row("SeparableConv1D", conv::separable),
    row("SeparableConv2D", conv::separable),
    row("Sigmoid", activation::function),
    row("Sign", functions::unary),
    row("Silu", activation::function),
    row("Sin", functions::unary),
    row("SlicingOpLambda", functions::tensorflow),
    row("Softmax", activation::softmax),
    row("Softplus", activation::function),
    idle("Solarization"),
    idle("SpatialDropout1D"),
    idle("SpatialDropout2D"),
    row("Sqrt", functions::unary),
    row("Square", functions::unary),
    row("Squeeze", functions::squeeze),
    row("Stack", functions::stack),
    row("Std", images::spread),
    idle("StochasticDepth"),
    row("Subtract", merge::merge),
    row("Sum", functions::reduce),
    row("Swapaxes", functions::swap_axes),
    row("TFOpLambda", functions::tensorflow),
    row("Take", images::take),
    row("Tanh", activation::function),
    row("ThresholdedReLU", activation::thresholded_relu),
    row("Tile", images::tile),
    row("Transpose", functions::transpose),
    row("TrueDivide", functions::binary),
    row("UnitNormalization", normalization::unit),
    row("UpSampling1D", shape::up_sampling),
    row("UpSampling2D", shape::up_sampling),
    row("Var", images::spread),
    row("Where", images::choose),
    row("ZeroPadding1D", shape::zero_padding),
    row("ZeroPadding2D", shape::zero_padding),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_unique() {
        for pair in ROWS.windows(2) {
            assert!(pair[0].class < pair[1].class, "{} {}", pair[0].class, pair[1].class);
        }
    }
}
