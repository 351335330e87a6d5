//! What came out for an image: its maps, and what must be known to read them.

use std::fmt;

use heatlens_graph::op::reduce::ReduceFunction;
use heatlens_graph::op::unary::UnaryFunction;
use heatlens_graph::{Builder, DefaultRules, Graph, GraphError, ValueId, differentiate};

use crate::explain::{MapSpec, Tensors};
use crate::method::{MapKind, Method};
use crate::model::Layer;

/// One method's result for one image.
#[derive(Clone, Debug)]
pub struct Attribution {
    /// The method.
    pub method: &'static Method,
    /// The layer, for methods that use one.
    pub layer: Option<Layer>,
    /// The class whose score is explained.
    pub class: usize,
    /// `[h, w]` or `[c, h, w]`.
    pub shape: Vec<usize>,
    /// The raw signed formula.
    pub values: Vec<f32>,
    /// The smallest value.
    pub raw_min: f32,
    /// The largest value.
    pub raw_max: f32,
    /// Why there is nothing to draw, if there is nothing.
    pub zero: Option<ZeroMap>,
}

/// What came out for one image.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The logits, as in the file before its sigmoid or softmax.
    pub logits: Vec<f32>,
    /// The probability of each class.
    pub probabilities: Vec<f64>,
    /// The class with the highest score.
    pub predicted: usize,
    /// One map for each method, layer and class, in the order of [`Explainer::maps`](crate::explain::Explainer::maps).
    pub attributions: Vec<Attribution>,
    /// The tensors behind the maps, where they were asked for.
    pub tensors: Option<Tensors>,
}

/// Why a map has no positive part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZeroMap {
    /// Every activation of the layer is zero.
    DeadLayer,
    /// The score does not react to the layer at all.
    ZeroGradient,
    /// Activations and gradients exist but never meet: every product is zero.
    NoOverlap,
    /// All evidence of the layer speaks against the class.
    AllAgainst,
    /// The values are not finite.
    NotFinite,
}

impl fmt::Display for ZeroMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DeadLayer => "every activation of the layer is zero on this image: look at an earlier layer, or check how the image is scaled",
            Self::ZeroGradient => "the score does not react to this layer at all: explain the logit instead of the probability, or look at a later layer",
            Self::NoOverlap => "the layer is active only where the score does not depend on it: look at another layer",
            Self::AllAgainst => "all evidence in this image speaks against the class: look at the signed map, or explain the other class",
            Self::NotFinite => "the map holds values that are no numbers: check the image's pixels and the model's weights",
        })
    }
}

impl Attribution {
    /// Reads a map; `probes` are max |A| and max |∂y/∂A|.
    pub(super) fn new(spec: &MapSpec, class: usize, values: Vec<f32>, probes: Option<[f32; 2]>) -> Self {
        let raw_min = values.iter().copied().fold(f32::INFINITY, f32::min);
        let raw_max = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let zero = if values.iter().any(|v| !v.is_finite()) {
            Some(ZeroMap::NotFinite)
        } else {
            why_zero(spec.method.kind, raw_min, raw_max, probes)
        };
        let (method, layer, shape) = (spec.method, spec.layer.clone(), spec.shape.clone());
        Self { method, layer, class, shape, values, raw_min, raw_max, zero }
    }

    /// Other numbers for the same map: an average, a fusion.
    pub(super) fn replace(&mut self, shape: Vec<usize>, values: Vec<f32>) {
        self.raw_min = values.iter().copied().fold(f32::INFINITY, f32::min);
        self.raw_max = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let finite = values.iter().all(|v| v.is_finite());
        self.zero = match (finite, self.raw_max > 0.0) {
            (false, _) => Some(ZeroMap::NotFinite),
            (true, true) => None,
            (true, false) => self.zero.or(Some(ZeroMap::AllAgainst)),
        };
        (self.shape, self.values) = (shape, values);
    }

    /// Whether larger is more evidence for the class and smaller more against it.
    #[must_use]
    pub fn is_layer_map(&self) -> bool {
        self.method.kind == MapKind::Layer
    }
}

fn why_zero(kind: MapKind, min: f32, max: f32, probes: Option<[f32; 2]>) -> Option<ZeroMap> {
    let nothing = match kind {
        MapKind::Layer | MapKind::Concepts => max <= 0.0,
        MapKind::Input => min == 0.0 && max == 0.0,
    };
    if !nothing {
        return None;
    }
    Some(match probes {
        Some([0.0, _]) => ZeroMap::DeadLayer,
        Some([_, 0.0]) => ZeroMap::ZeroGradient,
        _ if min < 0.0 => ZeroMap::AllAgainst,
        Some(_) => ZeroMap::NoOverlap,
        None => ZeroMap::ZeroGradient,
    })
}

/// Appends max |A| and max |∂y/∂A| of a layer, N×1 each.
pub(super) fn probes(
    graph: &mut Graph,
    layer: &Layer,
    scores: ValueId,
    seed: ValueId,
) -> Result<[ValueId; 2], GraphError> {
    let gradient = differentiate(graph, "gradient", scores, seed, &[layer.value], &DefaultRules)?;
    let mut b = Builder::new(graph, "probe");
    let mut largest = |x: ValueId| {
        let x = layer.as_planes(&mut b, x)?;
        let size = b.unary(UnaryFunction::Abs, x)?;
        b.reduce(ReduceFunction::Max, size, &[1, 2, 3], false)
    };
    Ok([largest(layer.value)?, largest(gradient[0])?])
}
