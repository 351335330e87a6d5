//! `Resize` and its predecessor `Upsample`.

use super::Recipe;
use crate::builder::Builder;
use crate::compose::resize::{self as formula, Coordinates, Mode, Resampling, Rounding};
use crate::error::{GraphError, OpError};
use crate::fact::{Dim, Shape};
use crate::graph::ValueId;
use crate::onnx::attributes::Attributes;
use crate::onnx::constant_folding::Size;
use crate::onnx::scope::{Outputs, Problem, Scope};
use crate::op::invalid;
use crate::tensor::Data;

/// Interpretation of `sizes` if they would change the aspect ratio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aspect {
    Stretch,
    NotLarger,
    NotSmaller,
}

/// Requested sizes or scales, one entry per axis.
enum Wanted {
    Scales(Vec<f32>),
    Sizes(Vec<Size>),
}

/// An axis to resize.
struct Axis {
    at: usize,
    output: usize,
    scale: f64,
}

/// Reads `Upsample` (operator sets 7 to 9): its scales are an attribute before 9, an input in 9.
pub(super) fn upsample(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    if attributes.opset() >= 10 {
        return Err(invalid("it was replaced by Resize in operator set 10"));
    }
    let resampling = simple(attributes)?;
    let given = if attributes.opset() < 9 { attributes.floats("scales")?.map(<[f32]>::to_vec) } else { None };
    Ok(Box::new(move |scope| {
        let scales = match given {
            Some(scales) => scales,
            None => floats(scope, 1, "scales")?.ok_or(OpError::MissingInput { index: 1 })?,
        };
        apply(scope, resampling, Wanted::Scales(scales), None, Aspect::Stretch)
    }))
}

/// Reads `Resize`; operator set 10 has two modes only.
pub(super) fn resize(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    if attributes.opset() < 11 {
        let resampling = simple(attributes)?;
        return Ok(Box::new(move |scope| {
            let scales = floats(scope, 1, "scales")?.ok_or(OpError::MissingInput { index: 1 })?;
            apply(scope, resampling, Wanted::Scales(scales), None, Aspect::Stretch)
        }));
    }
    let resampling = full(attributes)?;
    let newer = attributes.opset() >= 18;
    let axes = if newer { attributes.ints("axes")?.map(<[i64]>::to_vec) } else { None };
    let policy = if newer { attributes.text("keep_aspect_ratio_policy")? } else { None };
    let aspect = match policy {
        None | Some("stretch") => Aspect::Stretch,
        Some("not_larger") => Aspect::NotLarger,
        Some("not_smaller") => Aspect::NotSmaller,
        Some(other) => return Err(unknown("keep_aspect_ratio_policy", other)),
    };
    Ok(Box::new(move |scope| {
        // Exporters write an empty array for an omitted input.
        let scales = floats(scope, 2, "scales")?.filter(|s| !s.is_empty());
        let sizes = scope.sizes(3, "sizes")?.filter(|s| !s.is_empty());
        let wanted = match (scales, sizes) {
            (Some(scales), None) => Wanted::Scales(scales),
            (None, Some(sizes)) => Wanted::Sizes(sizes),
            _ => return Err(invalid("expected either scales or sizes").into()),
        };
        apply(scope, resampling, wanted, axes, aspect)
    }))
}

fn unknown(attribute: &str, value: &str) -> OpError {
    OpError::Unsupported(format!("{attribute} {value:?}"))
}

/// Reads the attributes of `Upsample` and of the first version of `Resize`.
fn simple(attributes: &mut Attributes<'_>) -> Result<Resampling, OpError> {
    let mode = match attributes.text("mode")? {
        None | Some("nearest") => Mode::Nearest(Rounding::Floor),
        Some("linear" | "bilinear") => Mode::Linear,
        Some(other) => return Err(unknown("mode", other)),
    };
    Ok(Resampling { mode, coordinates: Coordinates::Asymmetric, exclude_outside: false, antialias: false })
}

fn full(attributes: &mut Attributes<'_>) -> Result<Resampling, OpError> {
    let coordinates = match attributes.text("coordinate_transformation_mode")? {
        None | Some("half_pixel") => Coordinates::HalfPixel,
        Some("pytorch_half_pixel") => Coordinates::PytorchHalfPixel,
        Some("align_corners") => Coordinates::AlignCorners,
        Some("asymmetric") => Coordinates::Asymmetric,
        Some("half_pixel_symmetric") if attributes.opset() >= 19 => Coordinates::HalfPixelSymmetric,
        Some("tf_half_pixel_for_nn") if attributes.opset() < 13 => Coordinates::TfHalfPixelForNn,
        Some(other) => return Err(unknown("coordinate_transformation_mode", other)),
    };
    let rounding = match attributes.text("nearest_mode")? {
        None | Some("round_prefer_floor") => Rounding::PreferFloor,
        Some("round_prefer_ceil") => Rounding::PreferCeil,
        Some("floor") => Rounding::Floor,
        Some("ceil") => Rounding::Ceil,
        Some(other) => return Err(unknown("nearest_mode", other)),
    };
    let a = attributes.float("cubic_coeff_a")?.unwrap_or(-0.75);
    let mode = match attributes.text("mode")? {
        None | Some("nearest") => Mode::Nearest(rounding),
        Some("linear") => Mode::Linear,
        Some("cubic") => Mode::Cubic { a },
        Some(other) => return Err(unknown("mode", other)),
    };
    // Only cropping, which is not supported, extrapolates.
    attributes.ignore("extrapolation_value");
    let exclude_outside = attributes.flag("exclude_outside")?;
    let antialias = attributes.opset() >= 18 && attributes.flag("antialias")?;
    Ok(Resampling { mode, coordinates, exclude_outside, antialias })
}

/// Returns the input at `index` as a stored list of numbers.
fn floats(scope: &mut Scope<'_>, index: usize, what: &str) -> Result<Option<Vec<f32>>, Problem> {
    let Some(tensor) = scope.constant(index, what)? else { return Ok(None) };
    match tensor.data() {
        Data::F32(values) if tensor.shape().len() == 1 => Ok(Some(values.to_vec())),
        _ => Err(invalid(format!("expected a list of numbers as {what}")).into()),
    }
}

fn apply(
    scope: &mut Scope<'_>,
    resampling: Resampling,
    wanted: Wanted,
    axes: Option<Vec<i64>>,
    aspect: Aspect,
) -> Result<Outputs, Problem> {
    let x = scope.input(0)?;
    let axes = resolve(&scope.fact(x).shape, &wanted, axes, aspect)?;
    scope.formula(|b: &mut Builder<'_>| axes.iter().try_fold(x, |x, axis| axis.resize(b, x, &resampling)))
}

impl Axis {
    fn resize(&self, b: &mut Builder<'_>, x: ValueId, by: &Resampling) -> Result<ValueId, GraphError> {
        formula::resample(b, x, self.at, by, self.output, self.scale)
    }
}

/// Returns the axes that change in size or scale.
fn resolve(
    shape: &Shape,
    wanted: &Wanted,
    axes: Option<Vec<i64>>,
    aspect: Aspect,
) -> Result<Vec<Axis>, OpError> {
    let axes = axes.unwrap_or_else(|| (0i64..).take(shape.rank()).collect());
    let places: Option<Vec<usize>> = axes.iter().map(|&axis| shape.axis(axis)).collect();
    let places = places.ok_or_else(|| invalid(format!("axes {axes:?} of {shape}")))?;
    let found = match wanted {
        Wanted::Scales(scales) => scales.len(),
        Wanted::Sizes(sizes) => sizes.len(),
    };
    if found != places.len() || (1..places.len()).any(|i| places[..i].contains(&places[i])) {
        return Err(invalid(format!("{found} sizes or scales for the axes {axes:?} of {shape}")));
    }
    match wanted {
        Wanted::Scales(scales) => by_scales(shape, &places, scales),
        Wanted::Sizes(sizes) => by_sizes(shape, &places, sizes, aspect),
    }
}

#[allow(clippy::float_cmp)] // exporters write exactly 1 for an axis that is not resized
fn by_scales(shape: &Shape, places: &[usize], scales: &[f32]) -> Result<Vec<Axis>, OpError> {
    let mut resized = Vec::new();
    for (&at, &scale) in places.iter().zip(scales) {
        match shape.0.get(at) {
            _ if scale == 1.0 => {}
            Some(&Dim::Fixed(input)) if scale.is_finite() && scale > 0.0 => {
                // In single precision, as in the standard's shape inference: 10 by 0.7 is 7.
                #[allow(clippy::cast_precision_loss)]
                let output = (input as f32 * scale).floor();
                resized.push(Axis { at, output: size(f64::from(output))?, scale: f64::from(scale) });
            }
            _ => return Err(invalid(format!("axis {at} of {shape} by a scale of {scale}"))),
        }
    }
    Ok(resized)
}

#[allow(clippy::cast_precision_loss)] // sizes are far below 2^53
fn by_sizes(shape: &Shape, places: &[usize], sizes: &[Size], aspect: Aspect) -> Result<Vec<Axis>, OpError> {
    let bad = |at: usize, size: Size| invalid(format!("axis {at} of {shape} to a size of {size:?}"));
    let mut pairs = Vec::new();
    for (&at, &wanted) in places.iter().zip(sizes) {
        match (shape.0.get(at), wanted) {
            (Some(&Dim::Fixed(input)), Size::Number(wanted)) if wanted > 0 && input > 0 => {
                pairs.push((at, input, wanted as f64));
            }
            // The batch axis is not resized; exporters may have written the batch size of their example input.
            (Some(&Dim::Batch(own)), Size::PerSample(wanted)) if own == wanted => {}
            (Some(Dim::Batch(_)), Size::Number(1)) => {}
            _ => return Err(bad(at, wanted)),
        }
    }
    let ratios = pairs.iter().map(|(_, input, wanted)| wanted / *input as f64);
    let common = match aspect {
        Aspect::Stretch => None,
        Aspect::NotLarger => ratios.reduce(f64::min),
        Aspect::NotSmaller => ratios.reduce(f64::max),
    };
    let mut resized = Vec::new();
    for (at, input, wanted) in pairs {
        let output = size(common.map_or(wanted, |ratio| (ratio * input as f64 + 0.5).floor()))?;
        let scale = common.unwrap_or(output as f64 / input as f64);
        if output != input {
            resized.push(Axis { at, output, scale });
        }
    }
    Ok(resized)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn size(size: f64) -> Result<usize, OpError> {
    if (1.0..=1e7).contains(&size) { Ok(size as usize) } else { Err(invalid(format!("a size of {size}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(
        shape: &Shape,
        wanted: &Wanted,
        axes: Option<Vec<i64>>,
        aspect: Aspect,
    ) -> Vec<(usize, usize)> {
        resolve(shape, wanted, axes, aspect).unwrap().iter().map(|a| (a.at, a.output)).collect()
    }

    fn numbers(sizes: &[i64]) -> Wanted {
        Wanted::Sizes(sizes.iter().map(|&s| Size::Number(s)).collect())
    }

    #[test]
    fn sizes_follow_scales_and_policies() {
        let x = Shape::batched(&[3, 10, 20]);
        let scales = Wanted::Scales(vec![1.0, 1.0, 0.7, 1.0]);
        assert_eq!(outputs(&x, &scales, None, Aspect::Stretch), [(2, 7)]);
        let sizes = numbers(&[1, 3, 5, 5]);
        assert_eq!(outputs(&x, &sizes, None, Aspect::Stretch), [(2, 5), (3, 5)]);
        let sizes = || numbers(&[5, 5]);
        assert_eq!(outputs(&x, &sizes(), Some(vec![-1, 2]), Aspect::NotLarger), [(3, 5), (2, 3)]);
        assert_eq!(outputs(&x, &sizes(), Some(vec![2, 3]), Aspect::NotSmaller), [(2, 5), (3, 10)]);
        for wanted in [
            Wanted::Scales(vec![2.0, 1.0, 1.0, 1.0]),
            Wanted::Scales(vec![1.0, 1.0, -1.0, 1.0]),
            Wanted::Scales(vec![1.0, 1.0, f32::NAN, 1.0]),
            Wanted::Scales(vec![1.0, 1.0, 1e30, 1.0]),
            Wanted::Scales(vec![1.0, 1.0, 0.01, 1.0]),
            numbers(&[1, 3, 0, 4]),
            numbers(&[1, 3]),
        ] {
            assert!(resolve(&x, &wanted, None, Aspect::Stretch).is_err());
        }
        assert!(resolve(&x, &numbers(&[2, 2]), Some(vec![2, -2]), Aspect::Stretch).is_err());
    }
}
