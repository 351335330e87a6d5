//! Detection of preprocessing inside a graph.
//!
//! Some files divide by 255 themselves, some subtract means, and most expect both to be done beforehand. The arithmetic
//! with constants at the beginning of a graph is one affine function of each pixel; its magnitude indicates the
//! expected range of pixels.

use std::collections::{BTreeMap, BTreeSet};

use heatlens_graph::op::Kind;
use heatlens_graph::op::binary::BinaryFunction;
use heatlens_graph::{Graph, Node, Tensor, ValueId, reference};

use crate::model::Model;

/// Range of pixels expected by a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelRange {
    /// 0 to 1.
    Unit,
    /// 0 to 255.
    Bytes,
}

impl PixelRange {
    /// Returns the range as text.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unit => "0…1",
            Self::Bytes => "0…255",
        }
    }
}

/// Maximum factor on bytes; larger ones (above 1 ÷ 20 per step) would give values in the hundreds.
const BYTE_FACTOR: f64 = 0.05;
/// Minimum shift that implies bytes: no mean of pixels from 0 to 1 comes close to it, whatever the standard deviation.
const BYTE_SHIFT: f64 = 16.0;
/// Minimum pixel that implies bytes: no normalised pixel from 0 to 1 comes close to it.
const BYTE_PIXEL: f32 = 32.0;

/// Maximum number of pixels of an image whose range is determined: a file can declare any size, and the check is run
/// when the file is opened.
const MOST_PIXELS: usize = 1 << 24;

/// Returns the range expected by the arithmetic at the beginning of a graph, if there is any.
pub(super) fn own_scaling(graph: &Graph, image: ValueId) -> Option<PixelRange> {
    let Scaled { value, rearranged } = scaled_image(graph, image)?;
    let len = graph.fact(image).shape.len_per_sample().filter(|&len| len <= MOST_PIXELS)?;
    let shape = graph.fact(image).shape.at(1);
    let at = |pixel: f64| {
        let feed = Tensor::f64(&shape, vec![pixel; len]);
        reference::run(graph, &[feed], 1, &[value]).ok()?.pop().map(|t| t.to_f64())
    };
    let (zero, one) = (at(0.0)?, at(1.0)?);
    let largest = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0f64, |m, v| m.max(v.abs()));
    let shift = largest(&mut zero.iter().copied());
    let factor = largest(&mut zero.iter().zip(&one).map(|(a, b)| b - a));
    let finite = factor.is_finite() && shift.is_finite() && factor > 0.0;
    let range = if factor < BYTE_FACTOR || shift > BYTE_SHIFT { PixelRange::Bytes } else { PixelRange::Unit };
    // Individually rescaled channels may be normalised already, as with `transform_input` of torchvision's Inception.
    finite.then_some(range).filter(|range| *range == PixelRange::Bytes || !rearranged)
}

/// The image after the arithmetic at the beginning of a graph.
#[derive(Clone, Copy)]
struct Scaled {
    value: ValueId,
    /// True if its channels were split or reordered.
    rearranged: bool,
}

/// Operations between the image and a value.
#[derive(Clone, Copy, Default)]
struct Way {
    arithmetic: bool,
    rearranged: bool,
}

/// Returns the image after all initial arithmetic with constants, if there is any: the single value through which the
/// rest of the graph reads the image.
fn scaled_image(graph: &Graph, image: ValueId) -> Option<Scaled> {
    let mut ways = BTreeMap::from([(image, Way::default())]);
    let mut seen = BTreeSet::new();
    for node in graph.nodes() {
        let inputs = || node.inputs.iter().flatten();
        let from: Vec<Way> = inputs().filter_map(|id| ways.get(id).copied()).collect();
        if from.is_empty() {
            continue;
        }
        let kind = node.op.kind();
        let (arithmetic, rearranges) =
            (is_affine(graph, node), matches!(kind, Kind::Slice(_) | Kind::Gather(_) | Kind::Concat(_)));
        let passes = matches!(kind, Kind::Transpose(_) | Kind::Identity | Kind::Cast(_));
        let whole = inputs().all(|id| ways.contains_key(id) || graph.constant(*id).is_some());
        match node.outputs.first() {
            Some(&output) if whole && (arithmetic || rearranges || passes) => {
                let way = Way {
                    arithmetic: arithmetic || from.iter().any(|way| way.arithmetic),
                    rearranged: rearranges || from.iter().any(|way| way.rearranged),
                };
                ways.insert(output, way);
            }
            _ => seen.extend(inputs().filter(|id| ways.contains_key(id)).copied()),
        }
    }
    seen.extend(graph.outputs().iter().filter(|id| ways.contains_key(id)));
    let only = seen.first().filter(|_| seen.len() == 1)?;
    let way = ways.get(only)?;
    way.arithmetic.then_some(Scaled { value: *only, rearranged: way.rearranged })
}

/// True if a node computes its result from one value with constants only: c·x + d for each channel.
fn is_affine(graph: &Graph, node: &Node) -> bool {
    use BinaryFunction::{Add, Div, Mul, Sub};
    let constant =
        |i: usize| node.inputs.get(i).copied().flatten().is_some_and(|id| graph.constant(id).is_some());
    match node.op.kind() {
        Kind::BatchNormalization(_) => true,
        Kind::Binary(Add | Sub | Mul) => constant(0) || constant(1),
        Kind::Binary(Div) => constant(1),
        _ => false,
    }
}

impl Model {
    /// Returns a warning if pixels from `min` to `max` are clearly in the wrong range.
    #[must_use]
    pub fn range_problem(&self, min: f32, max: f32) -> Option<String> {
        let found = format!("the input's values go from {min} to {max}");
        let (bytes, unit) = (max > BYTE_PIXEL && min >= 0.0, max <= 2.0 && min >= -2.0 && max > min);
        match self.own_scaling {
            Some(PixelRange::Bytes) if unit => Some(format!(
                "{found}, but the model scales its input itself and expects 0…255: it would see almost black \
                 images; --scale 255 multiplies by 255"
            )),
            Some(PixelRange::Unit) if bytes => Some(format!(
                "{found}, but the model normalises its input itself and expects 0…1: divide by 255 first, or give --preset unit"
            )),
            None if bytes && !self.described && self.preprocessing.scale <= 1.0 => Some(format!(
                "{found}, and nothing in the model scales them; unless it was trained on such values, divide by 255 or normalise first, or give --preset"
            )),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use heatlens_graph::{Builder, Fact, Shape};

    use super::*;

    #[test]
    fn an_image_of_any_declared_size_costs_nothing() {
        let range = |side: usize| {
            let mut graph = Graph::new("scaled");
            let x = graph.add_input("x", Fact::f32(Shape::batched(&[3, side, side])));
            let y = Builder::new(&mut graph, "f").scale(x, 1.0 / 255.0).unwrap();
            graph.set_outputs(&[y]);
            own_scaling(&graph, x)
        };
        assert_eq!(range(8), Some(PixelRange::Bytes));
        assert_eq!(range(1 << 24), None);
    }
}
