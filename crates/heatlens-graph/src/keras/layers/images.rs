//! Functions of `tf.image` and `keras.ops` used for preprocessing: greyscale conversion, resizing, flipping, padding,
//! standardisation.

use serde_json::Value as Json;

use super::functions::subject;
use super::merge::{aligned, elementwise, operands};
use super::preprocessing::{Interpolation, resized};
use super::shape::slice;
use crate::error::OpError;
use crate::fact::Dim;
use crate::graph::ValueId;
use crate::keras::config::{brief, float, floats, ints};
use crate::keras::limits::MAX_ELEMENTS;
use crate::keras::scope::{Arg, Layout, Made, Problem, Scope, Symbol};
use crate::op::binary::BinaryFunction;
use crate::op::gather::Gather;
use crate::op::invalid;
use crate::op::pad::Pad;
use crate::op::unary::UnaryFunction;
use crate::op::r#where::Where;

/// Weights of red, green and blue in greyscale (ITU-R BT.601, as rounded by TensorFlow).
const LUMA: [f32; 3] = [0.2989, 0.5870, 0.1140];

/// Gathers elements of an axis of the graph by position.
pub(super) fn pick(
    scope: &mut Scope<'_>,
    id: ValueId,
    axis: usize,
    indices: Vec<usize>,
) -> Result<ValueId, Problem> {
    let shape = vec![indices.len()];
    scope.apply(Gather { axis, indices: indices.into(), shape }, &[id])
}

/// Returns the size of an axis other than the batch axis.
fn size_of(scope: &Scope<'_>, id: ValueId, axis: usize) -> Result<usize, OpError> {
    match scope.shape(id).0.get(axis) {
        Some(&Dim::Fixed(size)) if axis > 0 => Ok(size),
        _ => Err(OpError::Unsupported("this function along the batch".to_owned())),
    }
}

/// Returns `times` · `size`, if within the limit for elements.
fn product(size: usize, times: usize) -> Result<usize, OpError> {
    size.checked_mul(times).filter(|&n| n > 0 && n <= MAX_ELEMENTS).ok_or_else(|| invalid("sizes overflow"))
}

/// Reads an integer parameter of a function.
fn one(scope: &Scope<'_>, index: usize, names: &[&str]) -> Result<Option<i64>, OpError> {
    Ok(scope.int_arguments(index, names)?.and_then(|v| v.first().copied()))
}

/// Repeats every element of an axis consecutively.
pub(super) fn repeat(scope: &mut Scope<'_>) -> Made {
    let x = subject(scope)?;
    let repeats =
        scope.int_arguments(1, &["repeats"])?.ok_or_else(|| invalid("expected a number of repeats"))?;
    let axis = one(scope, 2, &["axis"])?;
    let axis = axis
        .ok_or_else(|| OpError::Unsupported("repeated without an axis, which joins all images".to_owned()))?;
    let axis = scope.axis(x, axis)?;
    let size = size_of(scope, x.id, axis)?;
    let count = |i: usize| -> Result<usize, OpError> {
        let count = if repeats.len() == 1 { repeats.first() } else { repeats.get(i) };
        let count = count.and_then(|&n| usize::try_from(n).ok());
        count.ok_or_else(|| invalid(format!("{repeats:?} repeats of {size} elements")))
    };
    let mut indices = Vec::new();
    for i in 0..size {
        let n = count(i)?;
        product(indices.len() + n, 1)?;
        indices.extend(std::iter::repeat_n(i, n));
    }
    Ok(Symbol { id: pick(scope, x.id, axis, indices)?, ..x })
}

/// Repeats the whole value along its axes.
pub(super) fn tile(scope: &mut Scope<'_>) -> Made {
    let mut x = subject(scope)?;
    let times =
        scope.int_arguments(1, &["repeats", "multiples"])?.ok_or_else(|| invalid("expected repeats"))?;
    let rank = scope.shape(x.id).rank();
    let missing = rank.checked_sub(times.len());
    let missing = missing.ok_or_else(|| OpError::Unsupported("new axes in front of the batch".to_owned()))?;
    for (i, &n) in times.iter().enumerate().filter(|(_, n)| **n != 1) {
        let axis = scope.axis(x, i64::try_from(i + missing).unwrap_or(i64::MAX))?;
        let size = size_of(scope, x.id, axis)?;
        let n = usize::try_from(n).map_err(|_| invalid(format!("{n} copies")))?;
        let indices = (0..product(size, n)?).map(|k| k % size).collect();
        x.id = pick(scope, x.id, axis, indices)?;
    }
    Ok(x)
}

/// Broadcasts axes of size 1 to a shape. The batch size is kept.
pub(super) fn broadcast_to(scope: &mut Scope<'_>) -> Made {
    let mut x = subject(scope)?;
    let wanted = scope.int_arguments(1, &["shape"])?.ok_or_else(|| invalid("expected a shape"))?;
    if wanted.len() != scope.shape(x.id).rank() {
        return Err(OpError::Unsupported(format!("a value broadcast to new axes {wanted:?}")).into());
    }
    for (i, &n) in wanted.iter().enumerate().skip(1) {
        let axis = scope.axis(x, i64::try_from(i).unwrap_or(i64::MAX))?;
        let size = size_of(scope, x.id, axis)?;
        let n = usize::try_from(n).map_err(|_| invalid(format!("size {n}")))?;
        if n == size {
            continue;
        }
        if size != 1 {
            return Err(invalid(format!("{size} elements broadcast to {n}")).into());
        }
        x.id = pick(scope, x.id, axis, vec![0; product(n, 1)?])?;
    }
    Ok(x)
}

/// Reverses axes.
pub(super) fn flip(scope: &mut Scope<'_>) -> Made {
    let x = subject(scope)?;
    let axes = scope.int_arguments(1, &["axis"])?;
    let axes =
        axes.ok_or_else(|| OpError::Unsupported("all axes reversed, including the batch".to_owned()))?;
    flip_axes(scope, x, &axes)
}

pub(super) fn flip_axes(scope: &mut Scope<'_>, mut x: Symbol, axes: &[i64]) -> Made {
    for &axis in axes {
        let axis = scope.axis(x, axis)?;
        let size = size_of(scope, x.id, axis)?;
        x.id = pick(scope, x.id, axis, (0..size).rev().collect())?;
    }
    Ok(x)
}

/// Shifts the elements of an axis cyclically.
pub(super) fn roll(scope: &mut Scope<'_>) -> Made {
    let mut x = subject(scope)?;
    let shifts = scope.int_arguments(1, &["shift"])?.ok_or_else(|| invalid("expected a shift"))?;
    let axes = scope.int_arguments(2, &["axis"])?;
    let axes =
        axes.ok_or_else(|| OpError::Unsupported("a shift over all axes, including the batch".to_owned()))?;
    if axes.len() != shifts.len() {
        return Err(invalid(format!("shifts {shifts:?} along axes {axes:?}")).into());
    }
    for (&axis, &shift) in axes.iter().zip(&shifts) {
        let axis = scope.axis(x, axis)?;
        let size = size_of(scope, x.id, axis)?;
        let whole = i64::try_from(size).map_err(|_| invalid("sizes overflow"))?.max(1);
        let start = usize::try_from((-shift).rem_euclid(whole)).unwrap_or(0);
        x.id = pick(scope, x.id, axis, (0..size).map(|i| (i + start) % size).collect())?;
    }
    Ok(x)
}

/// Gathers elements of an axis by constant indices.
pub(super) fn take(scope: &mut Scope<'_>) -> Made {
    let x = subject(scope)?;
    let places = scope.int_arguments(1, &["indices"])?.ok_or_else(|| invalid("expected constant indices"))?;
    let axis = one(scope, 2, &["axis"])?.ok_or_else(|| invalid("expected an axis"))?;
    let axis = scope.axis(x, axis)?;
    let size = size_of(scope, x.id, axis)?;
    let whole = i64::try_from(size).map_err(|_| invalid("sizes overflow"))?;
    let place =
        |&at: &i64| usize::try_from(if at < 0 { at + whole } else { at }).ok().filter(|&at| at < size);
    let indices: Option<Vec<usize>> = places.iter().map(place).collect();
    let indices =
        indices.filter(|i| !i.is_empty()).ok_or_else(|| invalid(format!("{places:?} of {size}")))?;
    Ok(Symbol { id: pick(scope, x.id, axis, indices)?, ..x })
}

/// Pads with zeros, another constant, or by mirroring.
pub(super) fn pad(scope: &mut Scope<'_>) -> Made {
    let x = subject(scope)?;
    let margins = scope.constant_argument(1, &["pad_width", "paddings"])?;
    let margins = margins.ok_or_else(|| invalid("expected how much to pad"))?;
    let rank = scope.shape(x.id).rank();
    let margins = pairs(&margins, rank)?;
    let mode = scope.constant_argument(2, &["mode"])?;
    let mode = mode.as_ref().and_then(Json::as_str).unwrap_or("constant").to_lowercase();
    let value = scope.constant_argument(3, &["constant_values"])?;
    let value = value.map(|v| float("constant_values", &v)).transpose()?.unwrap_or(0.0);
    let (mut begin, mut end) = (vec![0; rank], vec![0; rank]);
    for (i, pair) in margins.into_iter().enumerate() {
        let axis = scope.axis(x, i64::try_from(i).unwrap_or(i64::MAX))?;
        (begin[axis], end[axis]) = pair;
    }
    if begin[0] + end[0] > 0 {
        return Err(OpError::Unsupported("padding of the batch".to_owned()).into());
    }
    let edge = match mode.as_str() {
        "constant" => return Ok(Symbol { id: scope.apply(Pad { begin, end, value }, &[x.id])?, ..x }),
        "reflect" => 1,
        "symmetric" => 0,
        other => return Err(OpError::Unsupported(format!("padding {other:?}")).into()),
    };
    let mut id = x.id;
    for axis in 1..rank {
        let (front, back) = (begin[axis], end[axis]);
        let size = size_of(scope, id, axis)?;
        if front + back == 0 {
            continue;
        }
        if front.max(back) + edge > size {
            return Err(invalid(format!("{front} and {back} mirrored elements of {size}")).into());
        }
        let before = (0..front).rev().map(|i| i + edge);
        let after = (0..back).map(|i| size - 1 - edge - i);
        id = pick(scope, id, axis, before.chain(0..size).chain(after).collect())?;
    }
    Ok(Symbol { id, ..x })
}

/// Reads a pair of margins per axis, given as `[[a, b], …]`, `[a, b]` or `a`.
fn pairs(value: &Json, rank: usize) -> Result<Vec<(usize, usize)>, OpError> {
    let bad = || invalid(format!("a pair of sizes for each of {rank} axes, found {}", brief(value)));
    let pair = |value: &Json| -> Result<(usize, usize), OpError> {
        let sizes = ints("pad_width", value)?;
        let size = |i: usize| sizes.get(i).and_then(|&v| usize::try_from(v).ok()).ok_or_else(bad);
        let both = (size(0)?, size(sizes.len().min(2) - 1)?);
        if sizes.len() > 2 || both.0.max(both.1) > MAX_ELEMENTS { Err(bad()) } else { Ok(both) }
    };
    match value.as_array() {
        Some(list) if list.first().is_some_and(Json::is_array) => {
            let found: Vec<_> = list.iter().map(pair).collect::<Result<_, _>>()?;
            if found.len() == rank { Ok(found) } else { Err(bad()) }
        }
        Some(list) if list.is_empty() => Err(bad()),
        _ => Ok(vec![pair(value)?; rank]),
    }
}

/// Selects between two values elementwise.
pub(super) fn choose(scope: &mut Scope<'_>) -> Made {
    let mut operands = operands(scope);
    // Keyword arguments of `tf.where` follow the condition.
    let named = |name: &str| scope.kwargs.iter().find(|(key, _)| key == name).map(|(_, arg)| arg.clone());
    if operands.len() == 1 {
        operands.extend(["x", "y"].into_iter().filter_map(named));
    }
    if operands.len() != 3 {
        return Err(invalid(format!("expected a condition and two values, found {}", operands.len())).into());
    }
    let (ids, layout) = aligned(scope, &operands)?;
    Ok(Symbol { id: scope.apply(Where, &ids)?, layout })
}

/// Compares two values; the result is a mask.
pub(super) fn compare(scope: &mut Scope<'_>) -> Made {
    let name = scope.class.to_lowercase().replace('_', "");
    compare_named(scope, &name)
}

pub(super) fn compare_named(scope: &mut Scope<'_>, name: &str) -> Made {
    let function = match name {
        "greater" => BinaryFunction::Greater,
        "greaterequal" => BinaryFunction::GreaterOrEqual,
        "less" => BinaryFunction::Less,
        "lessequal" => BinaryFunction::LessOrEqual,
        "equal" | "notequal" => BinaryFunction::Equal,
        "logicaland" => BinaryFunction::And,
        "logicalor" => BinaryFunction::Or,
        other => return Err(OpError::Unsupported(format!("the comparison {other:?}")).into()),
    };
    let operands = operands(scope);
    if operands.len() != 2 {
        return Err(invalid(format!("expected two operands, found {}", operands.len())).into());
    }
    let mask = elementwise(scope, function, &operands)?;
    if name != "notequal" {
        return Ok(mask);
    }
    Ok(Symbol { id: scope.build().unary(UnaryFunction::Not, mask.id)?, ..mask })
}

/// x ÷ max(‖x‖₂, ε) along axes.
pub(super) fn normalize(scope: &mut Scope<'_>) -> Made {
    let order = scope.constant_argument(2, &["order"])?;
    if order.as_ref().is_some_and(|o| o.as_f64() != Some(2.0)) {
        return Err(
            OpError::Unsupported(format!("a norm of order {}", brief(&order.unwrap_or_default()))).into()
        );
    }
    let x = subject(scope)?;
    let axes = scope.int_arguments(1, &["axis"])?.unwrap_or_else(|| vec![-1]);
    let axes: Vec<usize> = axes.iter().map(|&a| scope.axis(x, a)).collect::<Result<_, _>>()?;
    let least = scope.constant_argument(3, &["epsilon"])?.map(|e| float("epsilon", &e)).transpose()?;
    // TensorFlow's epsilon applies to the squared norm.
    let squared = scope.class == "TFOpLambda";
    let least = least.map_or(1e-12, |e| if squared { e } else { e * e }).max(f32::MIN_POSITIVE);
    let mut b = scope.build();
    let square = b.mul(x.id, x.id)?;
    let sum = b.sum(square, &axes, true)?;
    let least = b.scalar(least);
    let sum = b.binary(BinaryFunction::Max, sum, least)?;
    let length = b.unary(UnaryFunction::Sqrt, sum)?;
    Ok(Symbol { id: b.div(x.id, length)?, ..x })
}

/// Variance over axes, or its square root.
pub(super) fn spread(scope: &mut Scope<'_>) -> Made {
    let root =
        matches!(scope.class, "Std") || scope.config.text("function")?.is_some_and(|f| f.ends_with("std"));
    let x = subject(scope)?;
    let axes = scope.int_arguments(1, &["axis"])?;
    let keep = scope.flag_argument(2, &["keepdims"])?;
    let axes = axes.ok_or_else(|| OpError::Unsupported("a reduction over the batch".to_owned()))?;
    let axes: Vec<usize> = axes.iter().map(|&a| scope.axis(x, a)).collect::<Result<_, _>>()?;
    if axes.contains(&0) || axes.is_empty() {
        return Err(OpError::Unsupported("a reduction over the batch".to_owned()).into());
    }
    let mut b = scope.build();
    let mean = b.mean(x.id, &axes, true)?;
    let centred = b.sub(x.id, mean)?;
    let square = b.mul(centred, centred)?;
    let mut id = b.mean(square, &axes, keep)?;
    if root {
        id = b.unary(UnaryFunction::Sqrt, id)?;
    }
    let rank = scope.shape(id).rank();
    let lost = !keep && (axes.contains(&1) || rank < 3);
    Ok(Symbol { id, layout: if lost { Layout::Plain } else { x.layout } })
}

/// Subtracts the mean of the image and divides by its standard deviation, or by 1 ÷ √elements if that is larger.
pub(super) fn standardize(scope: &mut Scope<'_>) -> Made {
    let x = subject(scope)?;
    let rank = scope.shape(x.id).rank();
    let axes: Vec<usize> = (1..rank).collect();
    let count: usize = (1..rank).map(|axis| size_of(scope, x.id, axis)).product::<Result<_, _>>()?;
    let mut b = scope.build();
    let mean = b.mean(x.id, &axes, true)?;
    let centred = b.sub(x.id, mean)?;
    let square = b.mul(centred, centred)?;
    let variance = b.mean(square, &axes, true)?;
    let deviation = b.unary(UnaryFunction::Sqrt, variance)?;
    #[allow(clippy::cast_precision_loss)] // number of pixels
    let least = b.scalar(1.0 / (count as f32).sqrt());
    let deviation = b.binary(BinaryFunction::Max, deviation, least)?;
    Ok(Symbol { id: b.div(centred, deviation)?, ..x })
}

/// Repeats the last axis, of size 1, three times.
pub(super) fn grey_to_rgb(scope: &mut Scope<'_>) -> Made {
    let x = subject(scope)?;
    let axis = scope.axis(x, -1)?;
    let size = size_of(scope, x.id, axis)?;
    if size != 1 {
        return Err(invalid(format!("expected one channel, found {size}")).into());
    }
    Ok(Symbol { id: pick(scope, x.id, axis, vec![0; 3])?, ..x })
}

/// Converts red, green and blue to greyscale.
pub(super) fn rgb_to_grey(scope: &mut Scope<'_>) -> Made {
    let x = subject(scope)?;
    let axis = channels(scope, x)?;
    let size = size_of(scope, x.id, axis)?;
    if size != LUMA.len() {
        return Err(invalid(format!("expected three channels, found {size}")).into());
    }
    let mut shape = vec![1; scope.shape(x.id).rank()];
    shape[axis] = LUMA.len();
    let weights = super::merge::stored(scope, &shape, LUMA.to_vec())?;
    let mut b = scope.build();
    let weighted = b.mul(x.id, weights)?;
    Ok(Symbol { id: b.sum(weighted, &[axis], true)?, ..x })
}

/// Returns the graph's axis of the channels, according to the settings.
fn channels(scope: &Scope<'_>, x: Symbol) -> Result<usize, OpError> {
    let first = scope.config.text("data_format")? == Some("channels_first");
    scope.axis(x, if first { 1 } else { -1 })
}

/// Resizes an image: `keras.ops.image.resize` and `tf.image.resize`.
pub(super) fn resize(scope: &mut Scope<'_>) -> Made {
    let x = subject(scope)?;
    let size = scope.int_arguments(1, &["size"])?.ok_or_else(|| invalid("expected a constant size"))?;
    let size: Option<Vec<usize>> = size.iter().map(|&v| usize::try_from(v).ok().filter(|&v| v > 0)).collect();
    let Some(&[height, width]) = size.as_deref() else {
        return Err(invalid("expected height and width").into());
    };
    product(height, width)?;
    let text = |index: usize, names: &[&str]| -> Result<Option<String>, OpError> {
        Ok(scope.constant_argument(index, names)?.and_then(|v| v.as_str().map(str::to_owned)))
    };
    let name = text(2, &["interpolation", "method"])?.unwrap_or_else(|| "bilinear".to_owned());
    let format = text(7, &["data_format"])?;
    for flag in ["antialias", "preserve_aspect_ratio", "pad_to_aspect_ratio"] {
        if scope.flag_argument(usize::MAX, &[flag])? {
            return Err(OpError::Unsupported(format!("setting {flag:?}")).into());
        }
    }
    let crop = scope.flag_argument(usize::MAX, &["crop_to_aspect_ratio"])?;
    scope.config.ignore(&["fill_mode", "fill_value"]);
    let first = format.as_deref() == Some("channels_first");
    let (id, format) = if first {
        (scope.plain(x)?, crate::keras::scope::Format::First)
    } else {
        (scope.channels_first(x)?, crate::keras::scope::Format::Last)
    };
    let interpolation = Interpolation::parse(&name)?;
    let y = resized(scope, id, [height, width], interpolation, crop)?;
    Ok(Scope::spatial_result(y, format))
}

/// Crops an image to a fraction of each side, at its centre.
pub(super) fn central_crop(scope: &mut Scope<'_>) -> Made {
    let mut x = subject(scope)?;
    let fraction = scope.constant_argument(1, &["central_fraction"])?;
    let fraction = fraction.map(|f| float("central_fraction", &f)).transpose()?;
    let fraction =
        fraction.filter(|f| *f > 0.0 && *f <= 1.0).ok_or_else(|| invalid("expected a fraction"))?;
    for axis in [-3, -2] {
        let axis = scope.axis(x, axis)?;
        let size = size_of(scope, x.id, axis)?;
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let start = ((size as f64 - size as f64 * f64::from(fraction)) / 2.0) as usize;
        x.id = slice(scope, x.id, axis, start, size - 2 * start)?;
    }
    Ok(x)
}

/// Crops rows and columns, or pads them with zeros.
pub(super) fn margins(scope: &mut Scope<'_>) -> Made {
    let cut = scope.class == "CropImages";
    let word = if cut { "cropping" } else { "padding" };
    let x = subject(scope)?;
    let mut sides = [0usize; 4];
    for (side, name) in sides.iter_mut().zip(["top", "bottom", "left", "right"]) {
        let found = scope.config.size(&format!("{name}_{word}"))?;
        *side = found.ok_or_else(|| OpError::Unsupported(format!("{word} towards a target size")))?;
        product(*side + 1, 1)?;
    }
    for target in ["target_height", "target_width"] {
        if scope.config.json(target).is_some_and(|t| !t.is_null()) {
            return Err(OpError::Unsupported(format!("setting {target:?}")).into());
        }
    }
    let format = scope.format()?;
    let mut id = scope.spatial(x, format)?;
    let [top, bottom, left, right] = sides;
    if !cut {
        let pad = Pad { begin: vec![0, 0, top, left], end: vec![0, 0, bottom, right], value: 0.0 };
        id = scope.apply(pad, &[id])?;
        return Ok(Scope::spatial_result(id, format));
    }
    for (axis, begin, end) in [(2, top, bottom), (3, left, right)] {
        let size = size_of(scope, id, axis)?;
        let len = size.checked_sub(begin + end).filter(|&len| len > 0);
        let len = len.ok_or_else(|| invalid(format!("{begin} and {end} of {size} elements")))?;
        id = slice(scope, id, axis, begin, len)?;
    }
    Ok(Scope::spatial_result(id, format))
}

/// Adds a constant per channel: `tf.nn.bias_add`.
pub(super) fn bias_add(scope: &mut Scope<'_>) -> Made {
    let x = subject(scope)?;
    let bias = scope.constant_argument(1, &["bias", "value"])?;
    let bias = bias.ok_or_else(|| OpError::Unsupported("a computed bias".to_owned()))?;
    let values = floats("bias", &bias)?;
    let format = scope.constant_argument(2, &["data_format"])?;
    let first = format.as_ref().and_then(Json::as_str).is_some_and(|f| f.starts_with("NC"));
    let axis = scope.axis(x, if first { 1 } else { -1 })?;
    if size_of(scope, x.id, axis)? != values.len() {
        return Err(invalid(format!("a bias of {} numbers", values.len())).into());
    }
    let mut shape = vec![1; scope.shape(x.id).rank()];
    shape[axis] = values.len();
    let bias = super::merge::stored(scope, &shape, values)?;
    Ok(Symbol { id: scope.build().add(x.id, bias)?, ..x })
}

/// Returns the value unchanged; a constant alone is not supported.
pub(super) fn unchanged(scope: &mut Scope<'_>) -> Made {
    scope.config.ignore_all();
    match scope.argument(0, &["x", "inputs", "image", "value"]) {
        Some(Arg::Value(symbol)) => Ok(symbol),
        _ => Err(OpError::Unsupported("a function of a constant".to_owned()).into()),
    }
}

/// Moves an axis to another position.
pub(super) fn move_axis(scope: &mut Scope<'_>) -> Made {
    let x = subject(scope)?;
    let shape = scope.shape(x.id);
    let axis = |index: usize, name: &str| -> Result<usize, OpError> {
        let found = scope.int_arguments(index, &[name])?;
        match found.as_deref() {
            Some(&[axis]) => shape.axis(axis).ok_or_else(|| invalid(format!("axis {axis} as {name:?}"))),
            _ => Err(OpError::Unsupported("several axes moved at once".to_owned())),
        }
    };
    let (from, to) = (axis(1, "source")?, axis(2, "destination")?);
    let mut perm: Vec<i64> = (0..shape.rank()).filter_map(|a| i64::try_from(a).ok()).collect();
    let moved = perm.remove(from);
    perm.insert(to, moved);
    super::shape::permute_by(scope, x, &perm)
}
