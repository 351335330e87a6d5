//! Preprocessing layers, and layers that are active in training only.

use super::merge::{elementwise, stored};
use super::shape::slice;
use crate::compose::resize::{self, Coordinates, Mode, Resampling, Rounding};
use crate::error::OpError;
use crate::graph::ValueId;
use crate::keras::config::floats;
use crate::keras::scope::{Arg, Era, Format, Made, Problem, Scope, Symbol};
use crate::op::binary::BinaryFunction;
use crate::op::invalid;
use crate::op::window::spatial_sizes;
use crate::tensor::Tensor;

/// Returns the first input unchanged.
pub(super) fn identity(scope: &mut Scope<'_>) -> Made {
    scope.config.ignore_all();
    Ok(scope.values().first().copied().ok_or_else(|| invalid("expected an input"))?)
}

/// x · scale + offset, where each is a number or one number per channel.
pub(super) fn rescaling(scope: &mut Scope<'_>) -> Made {
    let x = scope.input()?;
    let scale = scope.config.need("scale", scope.config.json("scale"))?.clone();
    let offset = scope.config.json("offset").cloned();
    let mut y = elementwise(scope, BinaryFunction::Mul, &[Arg::Value(x), Arg::Json(scale)])?;
    if let Some(offset) = offset.filter(|o| o.as_f64() != Some(0.0)) {
        y = elementwise(scope, BinaryFunction::Add, &[Arg::Value(y), Arg::Json(offset)])?;
    }
    Ok(y)
}

/// (x − mean) ÷ deviation, or its inverse.
pub(super) fn normalization(scope: &mut Scope<'_>) -> Made {
    // Lower bound of the divisor in Keras.
    const LEAST: f32 = 1e-7;
    let x = scope.input()?;
    let axes = scope.config.ints("axis")?;
    let invert = scope.config.flag("invert", false)?;
    let (mean, variance) = (scope.config.json("mean").cloned(), scope.config.json("variance").cloned());
    let deviation = |v: f32| v.sqrt().max(LEAST);
    let broadcast = broadcast_shape(scope, x, axes.as_deref().unwrap_or_default())?;
    let count: usize = broadcast.iter().product();
    let (mean, deviation) = match (mean, variance) {
        (Some(mean), Some(variance)) => {
            let mut put = |values: Vec<f32>| match values.len() {
                1 => stored(scope, &[], values),
                n if n == count => stored(scope, &broadcast, values),
                n => Err(invalid(format!("{n} numbers for {count} channels")).into()),
            };
            let variance = floats("variance", &variance)?.into_iter().map(deviation).collect();
            let mean = put(floats("mean", &mean)?)?;
            scope.taken = scope.arrays.len();
            let mut put = |values: Vec<f32>| match values.len() {
                1 => stored(scope, &[], values),
                n if n == count => stored(scope, &broadcast, values),
                n => Err(Problem::from(invalid(format!("{n} numbers for {count} channels")))),
            };
            (mean, put(variance)?)
        }
        _ => {
            let sizes: Vec<usize> = broadcast.iter().copied().filter(|&d| d != 1 || count == 1).collect();
            let sizes =
                if axes.as_ref().is_none_or(Vec::is_empty) { Vec::new() } else { trimmed(sizes, count) };
            let shaped = |t: Tensor| {
                t.reshaped(broadcast.clone()).ok_or_else(|| invalid("the array does not fit its axis"))
            };
            let mean = scope.array("mean", &sizes, shaped)?;
            let deviation = scope.array("variance", &sizes, |t| {
                let values = t.as_f32().unwrap_or_default().iter().map(|&v| deviation(v)).collect();
                shaped(Tensor::f32(t.shape(), values))
            })?;
            // The third array is the number of images used for the statistics.
            scope.taken = scope.arrays.len();
            (mean, deviation)
        }
    };
    let mut b = scope.build();
    let id = if invert {
        let spread = b.mul(x.id, deviation)?;
        b.add(spread, mean)?
    } else {
        let centred = b.sub(x.id, mean)?;
        b.div(centred, deviation)?
    };
    Ok(Symbol { id, ..x })
}

/// Returns the stored shape of statistics: those of a single channel have shape [1].
fn trimmed(sizes: Vec<usize>, count: usize) -> Vec<usize> {
    if count == 1 { vec![1] } else { sizes }
}

/// Returns the sizes along the axes of the statistics and 1 elsewhere, in the order of the graph.
fn broadcast_shape(scope: &Scope<'_>, x: Symbol, axes: &[i64]) -> Result<Vec<usize>, OpError> {
    let shape = scope.shape(x.id);
    let mut broadcast = vec![1; shape.rank()];
    if axes.len() > 1 {
        return Err(OpError::Unsupported(format!("statistics over axes {axes:?}")));
    }
    for &axis in axes {
        let axis = scope.axis(x, axis)?;
        broadcast[axis] = shape.0[axis].at(1);
    }
    Ok(broadcast)
}

/// Returns the image as N×C×H×W, its format, the requested height and width, and the actual ones.
fn image(scope: &mut Scope<'_>) -> Result<(ValueId, Format, [usize; 2], [usize; 2]), Problem> {
    let format = scope.format()?;
    let height = scope.config.need("height", scope.config.size("height")?)?;
    let width = scope.config.need("width", scope.config.size("width")?)?;
    let x = scope.input()?;
    let x = scope.spatial(x, format)?;
    match spatial_sizes(scope.reading.graph.fact(x))?.as_slice() {
        &[h, w] => Ok((x, format, [height, width], [h, w])),
        other => Err(invalid(format!("expected images, found {} spatial axes", other.len())).into()),
    }
}

pub(super) fn resizing(scope: &mut Scope<'_>) -> Made {
    let (x, format, wanted, found) = image(scope)?;
    let interpolation = scope.config.text("interpolation")?.unwrap_or("bilinear");
    let kept = wanted == found;
    scope.config.ignore(&["fill_mode", "fill_value"]);
    if kept {
        scope.config.ignore(&["crop_to_aspect_ratio", "pad_to_aspect_ratio", "antialias"]);
        return Ok(Scope::spatial_result(x, format));
    }
    let interpolation = Interpolation::parse(interpolation)?;
    let crop = scope.config.flag("crop_to_aspect_ratio", false)?;
    let y = resized(scope, x, wanted, interpolation, crop)?;
    Ok(Scope::spatial_result(y, format))
}

/// Interpolation method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interpolation {
    Nearest,
    Bilinear,
    Bicubic,
}

impl Interpolation {
    pub(super) fn parse(name: &str) -> Result<Self, OpError> {
        match name {
            "nearest" => Ok(Self::Nearest),
            "bilinear" => Ok(Self::Bilinear),
            "bicubic" => Ok(Self::Bicubic),
            other => Err(OpError::Unsupported(format!("interpolation {other:?}"))),
        }
    }

    /// Returns TensorFlow's resampling: half-pixel centres, no antialiasing; bicubic weights outside the image are 0.
    fn resampling(self) -> Resampling {
        let (mode, coordinates, exclude_outside) = match self {
            Self::Nearest => (Mode::Nearest(Rounding::Floor), Coordinates::TfHalfPixelForNn, false),
            Self::Bilinear => (Mode::Linear, Coordinates::HalfPixel, false),
            Self::Bicubic => (Mode::Cubic { a: -0.5 }, Coordinates::HalfPixel, true),
        };
        Resampling { mode, coordinates, exclude_outside, antialias: false }
    }
}

/// Resizes an image (N×C×H×W). With `crop`, first crops the largest centred part with the requested aspect ratio.
pub(super) fn resized(
    scope: &mut Scope<'_>,
    mut x: ValueId,
    wanted: [usize; 2],
    interpolation: Interpolation,
    crop: bool,
) -> Result<ValueId, Problem> {
    if crop {
        let sizes = spatial_sizes(scope.reading.graph.fact(x))?;
        let &[h, w] = sizes.as_slice() else { return Err(invalid("expected images").into()) };
        let [height, width] = wanted;
        let rows = (w.saturating_mul(height) / width).clamp(1, h);
        let columns = (h.saturating_mul(width) / height).clamp(1, w);
        x = slice(scope, x, 2, (h - rows) / 2, rows)?;
        x = slice(scope, x, 3, (w - columns) / 2, columns)?;
    }
    resample(scope, x, &wanted, &interpolation.resampling())
}

/// Reads `RandomCrop` after training: Keras 2 crops the centre and resizes it, Keras 3 leaves the image unchanged.
pub(super) fn random_crop(scope: &mut Scope<'_>) -> Made {
    let (x, format, wanted, found) = image(scope)?;
    scope.config.ignore_all();
    if wanted == found {
        return Ok(Scope::spatial_result(x, format));
    }
    if scope.reading.era == Era::Keras3 {
        scope.warn("crops in training only; in inference Keras 3 passes images on unchanged");
        return Ok(Scope::spatial_result(x, format));
    }
    let y = resized(scope, x, wanted, Interpolation::Bilinear, true)?;
    Ok(Scope::spatial_result(y, format))
}

pub(super) fn center_crop(scope: &mut Scope<'_>) -> Made {
    let (mut x, format, wanted, found) = image(scope)?;
    for (i, (want, have)) in wanted.into_iter().zip(found).enumerate() {
        let rest = have.checked_sub(want).ok_or_else(|| {
            OpError::Unsupported(format!("a crop of {want} from {have} pixels (it would enlarge the image)"))
        })?;
        x = slice(scope, x, i + 2, rest / 2, want)?;
    }
    Ok(Scope::spatial_result(x, format))
}

/// Resizes the spatial axes bilinearly, with half-pixel centres and without antialiasing.
pub(super) fn resize_bilinear(
    scope: &mut Scope<'_>,
    x: ValueId,
    target: &[usize],
) -> Result<ValueId, Problem> {
    resample(scope, x, target, &Interpolation::Bilinear.resampling())
}

fn resample(
    scope: &mut Scope<'_>,
    x: ValueId,
    target: &[usize],
    resampling: &Resampling,
) -> Result<ValueId, Problem> {
    let sizes = spatial_sizes(scope.reading.graph.fact(x))?;
    let mut y = x;
    for (i, (&from, &to)) in sizes.iter().zip(target).enumerate() {
        if from != to {
            #[allow(clippy::cast_precision_loss)] // image sizes
            let scale = to as f64 / from as f64;
            y = resize::resample(&mut scope.build(), y, i + 2, resampling, to, scale)?;
        }
    }
    Ok(y)
}
