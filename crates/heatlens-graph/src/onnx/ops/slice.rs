//! Slicing, splitting, cropping and padding.

use super::Recipe;
use crate::builder::Builder;
use crate::error::{GraphError, OpError};
use crate::fact::{Dim, Shape};
use crate::graph::ValueId;
use crate::onnx::attributes::Attributes;
use crate::onnx::constant_folding::Size;
use crate::onnx::scope::{Outputs, Problem, Scope};
use crate::op::gather::Gather;
use crate::op::invalid;
use crate::op::pad::Pad;
use crate::op::slice::Slice;

/// Starts, ends, axes and steps as stored in the file.
struct Ranges {
    starts: Vec<i64>,
    ends: Vec<i64>,
    axes: Option<Vec<i64>>,
    steps: Option<Vec<i64>>,
}

/// Reads `Slice`: its parameters are attributes before operator set 10, inputs since.
pub(super) fn slice(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    if attributes.opset() >= 10 {
        return Ok(Box::new(|scope| {
            let need = |list: Option<Vec<i64>>, index| list.ok_or(OpError::MissingInput { index });
            let ends = scope.sizes(2, "ends")?.ok_or(OpError::MissingInput { index: 2 })?;
            let ranges = Ranges {
                starts: need(scope.ints(1, "starts")?, 1)?,
                // An end that depends on the batch size is the end of the batch axis; other cuts are rejected below.
                ends: ends.iter().map(|&end| if let Size::Number(n) = end { n } else { i64::MAX }).collect(),
                axes: scope.ints(3, "axes")?,
                steps: scope.ints(4, "steps")?,
            };
            apply(scope, &ranges)
        }));
    }
    let list = |ints: Option<&[i64]>| ints.map(<[i64]>::to_vec);
    let missing = || invalid("expected attributes \"starts\" and \"ends\"");
    let ranges = Ranges {
        starts: list(attributes.ints("starts")?).ok_or_else(missing)?,
        ends: list(attributes.ints("ends")?).ok_or_else(missing)?,
        axes: list(attributes.ints("axes")?),
        steps: None,
    };
    Ok(Box::new(move |scope| apply(scope, &ranges)))
}

/// Appends one node per sliced axis.
fn apply(scope: &mut Scope<'_>, ranges: &Ranges) -> Result<Outputs, Problem> {
    let x = scope.input(0)?;
    let cuts = ranges.resolve(&scope.fact(x).shape)?;
    scope.formula(|b| {
        cuts.into_iter().try_fold(x, |x, cut| match cut {
            Cut::Slice(slice) => b.apply(slice, &[x]),
            Cut::Gather(gather) => b.apply(gather, &[x]),
        })
    })
}

/// Part taken of an axis: a slice, or elements in another order.
#[derive(Debug)]
enum Cut {
    Slice(Slice),
    Gather(Gather),
}

/// Returns a gather of the elements of an axis at `indices`.
fn picked(axis: usize, indices: Vec<usize>) -> Gather {
    let shape = vec![indices.len()];
    Gather { axis, indices: indices.into(), shape }
}

impl Ranges {
    fn resolve(&self, shape: &Shape) -> Result<Vec<Cut>, OpError> {
        let n = self.starts.len();
        let axes = match &self.axes {
            Some(axes) => axes.clone(),
            None => (0i64..).take(n).collect(),
        };
        let steps = self.steps.clone().unwrap_or_else(|| vec![1; n]);
        if [self.ends.len(), axes.len(), steps.len()] != [n; 3] {
            return Err(invalid("expected as many starts as ends, axes and steps"));
        }
        let (mut cuts, mut seen) = (Vec::with_capacity(n), Vec::with_capacity(n));
        for (((&start, &end), &axis), &step) in self.starts.iter().zip(&self.ends).zip(&axes).zip(&steps) {
            let at = shape.axis(axis).ok_or_else(|| invalid(format!("axis {axis} of {shape}")))?;
            if seen.contains(&at) {
                return Err(invalid(format!("axis {axis} is cut twice")));
            }
            seen.push(at);
            match shape.0.get(at) {
                Some(Dim::Fixed(size)) => cuts.push(cut(at, *size, start, end, step)?),
                // All samples: not sliced.
                _ if start == 0 && step == 1 && end >= i64::from(i32::MAX) => {}
                _ => return Err(OpError::Unsupported("a part of the batch".to_owned())),
            }
        }
        Ok(cuts)
    }
}

/// Returns the elements `start..end` by `step` of an axis of `size`. Negative bounds count from the back, and bounds
/// outside are clamped. A negative step runs backwards.
fn cut(axis: usize, size: usize, start: i64, end: i64, step: i64) -> Result<Cut, OpError> {
    let whole = i64::try_from(size).map_err(|_| invalid("sizes overflow"))?;
    let from_front = |v: i64| if v < 0 { v.saturating_add(whole) } else { v };
    let (start, end) = (from_front(start), from_front(end));
    if step < 0 {
        let (start, end) = (start.min(whole - 1), end.max(-1));
        let distance = usize::try_from(step.unsigned_abs()).map_err(|_| invalid("sizes overflow"))?;
        let places = (0..size).rev().filter(|&i| i64::try_from(i).is_ok_and(|i| end < i && i <= start));
        return Ok(Cut::Gather(picked(axis, places.step_by(distance).collect())));
    }
    let step = usize::try_from(step).ok().filter(|&s| s > 0).ok_or_else(|| invalid("a step of 0"))?;
    let clamp = |v: i64| usize::try_from(v.clamp(0, whole)).unwrap_or(0);
    let (start, end) = (clamp(start), clamp(end));
    Ok(Cut::Slice(Slice { axis, start, len: end.saturating_sub(start).div_ceil(step), step }))
}

/// Reads `Split` into parts of given sizes, or into equal ones. The sizes are an attribute before operator set 13, an
/// input since.
pub(super) fn split(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let axis = attributes.int("axis")?.unwrap_or(0);
    let by_attribute = attributes.opset() < 13;
    let given = if by_attribute { attributes.sizes("split")? } else { None };
    let count = if attributes.opset() >= 18 { attributes.int("num_outputs")? } else { None };
    Ok(Box::new(move |scope| {
        let parts = if by_attribute { given } else { scope.ints(1, "sizes")?.map(to_sizes).transpose()? };
        let x = scope.input(0)?;
        let shape = scope.fact(x).shape.clone();
        let at = shape.axis(axis).ok_or_else(|| invalid(format!("axis {axis} of {shape}")))?;
        let Some(&Dim::Fixed(size)) = shape.0.get(at) else {
            return Err(OpError::Unsupported("splitting the batch".to_owned()).into());
        };
        let outputs = scope.node.output.len();
        let count = count.and_then(|c| usize::try_from(c).ok()).unwrap_or(outputs).max(1);
        // The last part is smaller if the axis is not divisible.
        let parts = parts.unwrap_or_else(|| {
            let whole = size.div_ceil(count);
            (0..count).map(|i| size.saturating_sub(i * whole).min(whole)).collect()
        });
        if parts.len() != outputs || parts.iter().try_fold(0usize, |n, &p| n.checked_add(p)) != Some(size) {
            return Err(invalid(format!("{outputs} outputs of sizes {parts:?} of an axis of {size}")).into());
        }
        let mut start = 0;
        let mut slots = Vec::with_capacity(outputs);
        for (i, &len) in parts.iter().enumerate() {
            slots.push(scope.finish_output(i, Slice { axis: at, start, len, step: 1 }, &[Some(x)])?);
            start += len;
        }
        Ok(slots)
    }))
}

fn to_sizes(sizes: Vec<i64>) -> Result<Vec<usize>, OpError> {
    let bad = || invalid(format!("expected sizes, found {sizes:?}"));
    sizes.iter().map(|&s| usize::try_from(s).map_err(|_| bad())).collect()
}

/// Reads `CenterCropPad`: each axis is cropped to its centre or padded with zeros on both sides; an odd remainder goes
/// to the end.
pub(super) fn center_crop_pad(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let axes = attributes.ints("axes")?.map(<[i64]>::to_vec);
    Ok(Box::new(move |scope| {
        let wanted = scope.ints(1, "a shape")?.ok_or(OpError::MissingInput { index: 1 })?;
        let wanted = to_sizes(wanted)?;
        let x = scope.input(0)?;
        let shape = scope.fact(x).shape.clone();
        let axes = axes.unwrap_or_else(|| (0i64..).take(shape.rank()).collect());
        if axes.len() != wanted.len() {
            return Err(invalid(format!("{} sizes for axes {axes:?}", wanted.len())).into());
        }
        let (mut cuts, mut begin, mut end) = (Vec::new(), vec![0; shape.rank()], vec![0; shape.rank()]);
        for (&axis, len) in axes.iter().zip(wanted) {
            let at = shape.axis(axis).ok_or_else(|| invalid(format!("axis {axis} of {shape}")))?;
            let Dim::Fixed(size) = shape.0[at] else {
                return Err(OpError::Unsupported("a part of the batch".to_owned()).into());
            };
            if len < size {
                cuts.push(Slice { axis: at, start: (size - len) / 2, len, step: 1 });
            }
            let missing = len.saturating_sub(size);
            (begin[at], end[at]) = (missing / 2, missing - missing / 2);
        }
        scope.formula(|b| {
            let x = cuts.into_iter().try_fold(x, |x, cut| b.apply(cut, &[x]))?;
            if begin.iter().chain(&end).all(|&pad| pad == 0) {
                return Ok(x);
            }
            b.apply(Pad { begin, end, value: 0.0 }, &[x])
        })
    }))
}

/// Contents of the padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Padding {
    Constant,
    /// Mirrored at the first and last element.
    Reflect,
    /// Copies of the first and last element.
    Edge,
    /// The axis repeated periodically.
    Wrap,
}

/// Reads `Pad`: its parameters are attributes before operator set 11, inputs since. Negative padding crops.
pub(super) fn pad(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let padding = match attributes.text("mode")? {
        None | Some("constant") => Padding::Constant,
        Some("reflect") => Padding::Reflect,
        Some("edge") => Padding::Edge,
        Some("wrap") => Padding::Wrap,
        Some(other) => return Err(OpError::Unsupported(format!("padding by {other:?}"))),
    };
    let old = attributes.opset() < 11;
    let (pads, value) = if old {
        (attributes.ints("pads")?.map(<[i64]>::to_vec), attributes.float("value")?)
    } else {
        (None, None)
    };
    Ok(Box::new(move |scope| {
        let (mut pads, mut value, mut axes) = (pads, value, None);
        if !old {
            pads = scope.ints(1, "padding")?;
            value = scope.number(2, "the padding's value")?;
            axes = scope.ints(3, "axes")?;
        }
        let pads = pads.ok_or_else(|| invalid("expected padding, found none"))?;
        let x = scope.input(0)?;
        let sides = sides(&scope.fact(x).shape, &pads, axes)?;
        scope.formula(|b| padded(b, x, &sides, padding, value.unwrap_or(0.0)))
    }))
}

/// Number of elements added before and after an axis; negative to crop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sides {
    axis: usize,
    size: usize,
    front: i64,
    back: i64,
}

/// Returns the padding of each axis that has any.
fn sides(shape: &Shape, pads: &[i64], axes: Option<Vec<i64>>) -> Result<Vec<Sides>, OpError> {
    let axes = axes.unwrap_or_else(|| (0i64..).take(shape.rank()).collect());
    let (front, back) = pads.split_at(pads.len() / 2);
    if front.len() != axes.len() || back.len() != axes.len() {
        return Err(invalid(format!(
            "expected two numbers of padding for each of {} axes, found {pads:?}",
            axes.len()
        )));
    }
    let mut sides = Vec::new();
    for ((&axis, &front), &back) in axes.iter().zip(front).zip(back) {
        let at = shape.axis(axis).ok_or_else(|| invalid(format!("axis {axis} of {shape}")))?;
        match shape.0[at] {
            _ if front == 0 && back == 0 => {}
            // Rejects sizes beyond any memory before lists of positions are created.
            Dim::Fixed(size) if front.max(back) < i64::from(i32::MAX) => {
                sides.push(Sides { axis: at, size, front, back });
            }
            _ => return Err(invalid(format!("padding {front} and {back} of axis {axis} of {shape}"))),
        }
    }
    Ok(sides)
}

fn padded(
    b: &mut Builder<'_>,
    mut x: ValueId,
    sides: &[Sides],
    padding: Padding,
    value: f32,
) -> Result<ValueId, GraphError> {
    let rank = b.shape(x).rank();
    let (mut begin, mut end) = (vec![0; rank], vec![0; rank]);
    for side in sides {
        let cut = |pad: i64| usize::try_from(pad.min(0).unsigned_abs()).unwrap_or(usize::MAX);
        let (first, last) = (cut(side.front), cut(side.back));
        let size = side.size.saturating_sub(first).saturating_sub(last);
        if first + last > 0 {
            x = b.apply(Slice { axis: side.axis, start: first.min(side.size), len: size, step: 1 }, &[x])?;
        }
        let [front, back] = [side.front, side.back].map(|pad| usize::try_from(pad).unwrap_or(0));
        if padding == Padding::Constant {
            (begin[side.axis], end[side.axis]) = (front, back);
        } else if front + back > 0 {
            x = b.apply(picked(side.axis, padding.places(size, front, back)), &[x])?;
        }
    }
    if begin.iter().chain(&end).all(|&pad| pad == 0) {
        return Ok(x);
    }
    b.apply(Pad { begin, end, value }, &[x])
}

impl Padding {
    /// Returns for each element of the padded axis its position in the axis of `size` elements.
    fn places(self, size: usize, front: usize, back: usize) -> Vec<usize> {
        let last = size.saturating_sub(1);
        let place = |i: usize| match self {
            Self::Edge | Self::Constant => i.saturating_sub(front).min(last),
            // Adding a period keeps the distance from the first element positive.
            Self::Wrap => (i + size.max(1) - front % size.max(1)) % size.max(1),
            Self::Reflect => {
                let period = (2 * last).max(1);
                let i = (i + period - front % period) % period;
                if i > last { period - i } else { i }
            }
        };
        (0..front + size + back).map(place).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_as_numpy_cuts_them() {
        for (start, end, step, expected) in [
            (0, i64::MAX, 1, (0, 10)),
            (-3, i64::MAX, 1, (7, 3)),
            (2, -2, 3, (2, 2)),
            (i64::MIN, 4, 1, (0, 4)),
            (8, 3, 1, (8, 0)),
            (99, 100, 1, (10, 0)),
        ] {
            let Cut::Slice(slice) = cut(0, 10, start, end, step).unwrap() else { panic!("{step}") };
            assert_eq!((slice.start, slice.len), expected, "{start}..{end} by {step}");
        }
        for (start, end, step, expected) in [
            (9, 0, -3, vec![9, 6, 3]),
            (-1, i64::MIN, -4, vec![9, 5, 1]),
            (20, -10, -1, vec![9, 8, 7, 6, 5, 4, 3, 2, 1]),
            (2, 5, -1, vec![]),
            (3, i64::MIN, i64::MIN, vec![3]),
        ] {
            let Cut::Gather(gather) = cut(0, 10, start, end, step).unwrap() else { panic!("{step}") };
            assert_eq!(*gather.indices, *expected, "{start}..{end} by {step}");
        }
        assert!(cut(0, 10, 9, 0, 0).is_err());
    }

    #[test]
    fn padding_may_name_its_axes() {
        let shape = Shape::batched(&[3, 8, 8]);
        let found = sides(&shape, &[1, 2, 3, -4], Some(vec![-2, -1])).unwrap();
        let side = |axis, front, back| Sides { axis, size: 8, front, back };
        assert_eq!(found, [side(2, 1, 3), side(3, 2, -4)]);
        assert!(sides(&shape, &[1, 2], None).is_err());
        assert!(sides(&shape, &[1, 0], Some(vec![0])).is_err());
        assert!(sides(&shape, &[i64::MAX, 0], Some(vec![2])).is_err());
    }

    #[test]
    fn padding_is_made_of_the_axis() {
        assert_eq!(Padding::Edge.places(3, 2, 1), [0, 0, 0, 1, 2, 2]);
        assert_eq!(Padding::Reflect.places(3, 2, 3), [2, 1, 0, 1, 2, 1, 0, 1]);
        assert_eq!(Padding::Wrap.places(3, 4, 1), [2, 0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(Padding::Reflect.places(1, 2, 1), [0; 4]);
        assert_eq!(Padding::Wrap.places(1, 2, 1), [0; 4]);
    }
}
