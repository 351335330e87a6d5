//! What a graph does to pixels before it looks at them.
//!
//! Some files divide by 255 themselves, some subtract means, most expect that to be done. The
//! arithmetic with constants at the start of a graph is one affine function of each pixel; its size
//! tells in which range the pixels are meant to come.

use std::collections::{BTreeMap, BTreeSet};

use heatlens_graph::op::batch_normalization::BatchNormalization;
use heatlens_graph::op::binary::{Binary, BinaryFunction};
use heatlens_graph::op::cast::Cast;
use heatlens_graph::op::concat::Concat;
use heatlens_graph::op::gather::Gather;
use heatlens_graph::op::identity::Identity;
use heatlens_graph::op::slice::Slice;
use heatlens_graph::op::transpose::Transpose;
use heatlens_graph::{Graph, Node, Tensor, ValueId, reference};

use crate::model::Model;

/// The range in which a graph wants its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelRange {
    /// From 0 to 1.
    Unit,
    /// From 0 to 255.
    Bytes,
}

impl PixelRange {
    /// The range in figures.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unit => "0…1",
            Self::Bytes => "0…255",
        }
    }
}

/// More than 1 ÷ 20 for each step makes hundreds of a byte: such a factor is not for bytes.
const BYTE_FACTOR: f64 = 0.05;
/// No mean of pixels from 0 to 1 comes near this, whatever they were divided by.
const BYTE_SHIFT: f64 = 16.0;
/// No pixel from 0 to 1 comes near this, however it was normalised.
const BYTE_PIXEL: f32 = 32.0;

/// Of larger images the range stays unknown: a file can declare any size, and this is computed when it is opened.
const MOST_PIXELS: usize = 1 << 24;

/// The range that the arithmetic at the start of a graph is made for, if there is any.
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
    // Channels that are rescaled one by one may come normalised already: `transform_input` of torchvision's Inception.
    finite.then_some(range).filter(|range| *range == PixelRange::Bytes || !rearranged)
}

/// The image behind the arithmetic at the start of a graph.
#[derive(Clone, Copy)]
struct Scaled {
    value: ValueId,
    /// Whether its channels were taken apart or put in another order on the way.
    rearranged: bool,
}

/// How a value comes from the image.
#[derive(Clone, Copy, Default)]
struct Way {
    arithmetic: bool,
    rearranged: bool,
}

/// The image after all arithmetic with constants that comes before anything else, if there is any: the one value through
/// which everything else sees the image.
fn scaled_image(graph: &Graph, image: ValueId) -> Option<Scaled> {
    let mut ways = BTreeMap::from([(image, Way::default())]);
    let mut seen = BTreeSet::new();
    for node in graph.nodes() {
        let inputs = || node.inputs.iter().flatten();
        let from: Vec<Way> = inputs().filter_map(|id| ways.get(id).copied()).collect();
        if from.is_empty() {
            continue;
        }
        let (arithmetic, rearranges) = (is_affine(graph, node), is_rearranging(node));
        let whole = inputs().all(|id| ways.contains_key(id) || graph.constant(*id).is_some());
        match node.outputs.first() {
            Some(&output) if whole && (arithmetic || rearranges || is_passing(node)) => {
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

fn is_rearranging(node: &Node) -> bool {
    node.op.downcast_ref::<Slice>().is_some()
        || node.op.downcast_ref::<Gather>().is_some()
        || node.op.downcast_ref::<Concat>().is_some()
}

fn is_affine(graph: &Graph, node: &Node) -> bool {
    use BinaryFunction::{Add, Div, Mul, Sub};
    if node.op.downcast_ref::<BatchNormalization>().is_some() {
        return true;
    }
    let constant =
        |i: usize| node.inputs.get(i).copied().flatten().is_some_and(|id| graph.constant(id).is_some());
    match node.op.downcast_ref::<Binary>() {
        Some(Binary(Add | Sub | Mul)) => constant(0) || constant(1),
        Some(Binary(Div)) => constant(1),
        _ => false,
    }
}

fn is_passing(node: &Node) -> bool {
    node.op.downcast_ref::<Transpose>().is_some()
        || node.op.downcast_ref::<Identity>().is_some()
        || node.op.downcast_ref::<Cast>().is_some()
}

impl Model {
    /// What is plainly wrong with pixels from `min` to `max`, if anything is.
    #[must_use]
    pub fn range_problem(&self, min: f32, max: f32) -> Option<String> {
        let found = format!("the input's values go from {min} to {max}");
        let (bytes, unit) = (max > BYTE_PIXEL && min >= 0.0, max <= 2.0 && min >= -2.0 && max > min);
        match self.own_scaling {
            Some(PixelRange::Bytes) if unit => Some(format!(
                "{found}, but the model scales its input itself and expects 0…255: to it, this is all but black; --scale 255 multiplies by 255"
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
