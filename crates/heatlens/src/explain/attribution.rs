//! Results for one image: maps, and the context needed to interpret them.

use std::fmt;

use heatlens_graph::op::reduce::ReduceFunction;
use heatlens_graph::op::unary::UnaryFunction;
use heatlens_graph::{Builder, DefaultRules, Graph, GraphError, ValueId, differentiate};

use crate::explain::{Focus, MapSpec, Tensors};
use crate::extremes::extremes;
use crate::method::{MapKind, Method};
use crate::model::{Layer, Placement};
use crate::target::Score;

/// Map of one method for one image.
#[derive(Clone, Debug)]
pub struct Attribution {
    /// Method that computed the map.
    pub method: &'static Method,
    /// Layer of the map, for methods that use one.
    pub layer: Option<Layer>,
    /// Class whose score is explained.
    pub class: usize,
    /// Shape of the map: `[h, w]` or `[c, h, w]`.
    pub shape: Vec<usize>,
    /// Raw, signed values of the formula.
    pub values: Vec<f32>,
    /// Placement of a layer map's cells in the image; the cells of a map of the image's size are its pixels.
    pub placement: Placement,
    /// Smallest value.
    pub raw_min: f32,
    /// Largest value.
    pub raw_max: f32,
    /// Reason why there is nothing to draw, if so.
    pub zero: Option<ZeroMap>,
    /// The box or the pixels whose score is explained, where the model has scores at many places.
    pub focus: Option<Focus>,
}

/// Results for one image.
#[derive(Clone, Debug)]
pub struct ImageAttributions {
    /// Logits, before the sigmoid or softmax of the file.
    pub logits: Vec<f32>,
    /// Probability of each class.
    pub probabilities: Vec<f64>,
    /// Class with the highest score.
    pub predicted: usize,
    /// One map per method, layer and class, in the order of [`Explainer::maps`](crate::explain::Explainer::maps).
    pub attributions: Vec<Attribution>,
    /// Intermediate tensors, if requested.
    pub tensors: Option<Tensors>,
}

/// Reason why a map has no positive part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZeroMap {
    /// Every activation of the layer is zero.
    DeadLayer,
    /// The logit does not depend on the layer: its gradient is zero.
    ZeroGradient,
    /// The gradient of the explained probability is zero.
    Saturated,
    /// Activations and gradients are non-zero, but every product of the two is zero.
    NoOverlap,
    /// All evidence in the layer is against the class.
    AllAgainst,
    /// All evidence in the layer is for the class, in a counterfactual explanation.
    AllFor,
    /// There is evidence for the class, but the method's formula removes it.
    NothingLeft,
    /// Guided Grad-CAM: Grad-CAM is not positive anywhere, so nothing of guided back-propagation is kept.
    NoPositiveCam,
    /// Nothing is propagated back to the pixels.
    NoPixel,
    /// The score does not change under any of the method's perturbations.
    Unmoved,
    /// The map contains NaN or infinite values.
    NotFinite,
    /// No place counts for the class.
    NoPlace,
    /// The class is less probable than was asked for.
    BelowThreshold,
}

impl ZeroMap {
    /// All reasons, in the order of their stored numbers; new ones are added at the end.
    pub(crate) const ALL: [Self; 13] = [
        Self::DeadLayer,
        Self::ZeroGradient,
        Self::NoOverlap,
        Self::AllAgainst,
        Self::NotFinite,
        Self::Saturated,
        Self::AllFor,
        Self::NothingLeft,
        Self::NoPositiveCam,
        Self::NoPixel,
        Self::Unmoved,
        Self::NoPlace,
        Self::BelowThreshold,
    ];

    /// True if there is nothing to explain, as where an image has fewer detections than another.
    #[must_use]
    pub fn is_absent(self) -> bool {
        matches!(self, Self::NoPlace | Self::BelowThreshold)
    }
}

impl fmt::Display for ZeroMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DeadLayer => "every activation of the layer is zero on this image: look at an earlier layer, or check how the image is scaled",
            Self::ZeroGradient => "the score does not react to this layer at all on this image (clipped, saturated or dead behind it): look at a later layer",
            Self::Saturated => "the probability does not react: it is so near 0 or 1 that its derivative vanishes; explain the logit instead",
            Self::NoOverlap => "the layer is active only where the score does not depend on it: look at another layer",
            Self::AllAgainst => "all evidence in this image speaks against the class: look at the signed map of grad_cam or hires_cam, or explain the other class",
            Self::AllFor => "all evidence in this image speaks for the class: nothing in it lowers the score",
            Self::NothingLeft => "there is evidence for the class, but this method's formula leaves nothing \
                of it: use grad_cam or hires_cam",
            Self::NoPositiveCam => "Grad-CAM is positive nowhere (the evidence speaks against the class), so \
                it leaves nothing of guided back-propagation: use guided_backprop, or explain the other \
                class",
            Self::NoPixel => "this method passes nothing of the score back to the pixels: every path is cut \
                off on this image",
            Self::Unmoved => "the score stays the same whatever the method hides or changes: check how the image is scaled",
            Self::NoPlace => "nothing in this image is predicted as the class (no pixel, or no box of this \
                rank), so there is no score to explain: choose another class, or --region",
            Self::BelowThreshold => "the class's probability in this image is below the requested threshold",
            Self::NotFinite => "the map contains NaN or infinite values: check the image's pixels and the \
                model's weights",
        })
    }
}

impl Attribution {
    /// Creates the attribution of a map from its values and its [`probes`].
    pub(super) fn new(spec: &MapSpec, class: usize, values: Vec<f32>, probes: Option<Probes<f32>>) -> Self {
        let [raw_min, raw_max] = extremes(&values);
        let zero = if values.iter().any(|v| !v.is_finite()) {
            Some(ZeroMap::NotFinite)
        } else {
            why_zero(spec, raw_min, raw_max, probes)
        };
        let (method, layer, shape) = (spec.method, spec.layer.clone(), spec.shape.clone());
        let placement = spec.placement;
        Self { method, layer, class, shape, values, placement, raw_min, raw_max, zero, focus: None }
    }

    /// Replaces the values of the map, for example by an average or a fusion.
    pub(super) fn replace(&mut self, shape: Vec<usize>, values: Vec<f32>) {
        [self.raw_min, self.raw_max] = extremes(&values);
        let finite = values.iter().all(|v| v.is_finite());
        self.zero = match (finite, self.raw_max > 0.0) {
            (false, _) => Some(ZeroMap::NotFinite),
            (true, true) => None,
            (true, false) => self.zero.or(Some(ZeroMap::AllAgainst)),
        };
        (self.shape, self.values) = (shape, values);
    }

    /// True if the map is that of a layer, with signed evidence for (positive) and against (negative) the class.
    #[must_use]
    pub fn is_layer_map(&self) -> bool {
        self.method.kind == MapKind::Layer
    }
}

fn why_zero(spec: &MapSpec, min: f32, max: f32, probes: Option<Probes<f32>>) -> Option<ZeroMap> {
    let kind = spec.method.kind;
    let nothing = match kind {
        MapKind::Layer | MapKind::Concepts => max <= 0.0,
        MapKind::Input => min == 0.0 && max == 0.0,
    };
    if !nothing {
        return None;
    }
    let saturated = spec.goal.score == Score::Probability;
    let unmoved = |reason: ZeroMap| if saturated { ZeroMap::Saturated } else { reason };
    let against = if spec.goal.counterfactual { ZeroMap::AllFor } else { ZeroMap::AllAgainst };
    let Some(probes) = probes else {
        return Some(match kind {
            MapKind::Input => unmoved(ZeroMap::NoPixel),
            _ if min < 0.0 => against,
            _ if spec.method.uses_layer => unmoved(ZeroMap::ZeroGradient),
            _ => unmoved(ZeroMap::Unmoved),
        });
    };
    Some(match (kind, probes) {
        (_, Probes { activation: 0.0, .. }) => ZeroMap::DeadLayer,
        (_, Probes { gradient: 0.0, .. }) => unmoved(ZeroMap::ZeroGradient),
        (MapKind::Input, Probes { best, .. }) if best <= 0.0 => ZeroMap::NoPositiveCam,
        (MapKind::Input, _) => ZeroMap::NoPixel,
        _ if min < 0.0 => against,
        (_, Probes { largest: 0.0, .. }) => ZeroMap::NoOverlap,
        (_, Probes { best, .. }) if best <= 0.0 => against,
        _ => ZeroMap::NothingLeft,
    })
}

/// Statistics from which the reason for an empty map is derived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probes<T> {
    /// Maximum of |A|.
    activation: T,
    /// Maximum of |G|, with G = ∂y/∂A.
    gradient: T,
    /// Largest magnitude of the evidence at a place: max |A ⊙ G|, or max |Grad-CAM| for pixel maps, which are weighted
    /// by Grad-CAM.
    largest: T,
    /// Largest evidence for the class: the same maximum without the absolute value.
    best: T,
}

impl<T> Probes<T> {
    pub(super) fn map<U>(self, mut f: impl FnMut(T) -> U) -> Probes<U> {
        Probes {
            activation: f(self.activation),
            gradient: f(self.gradient),
            largest: f(self.largest),
            best: f(self.best),
        }
    }
}

/// Appends the probes of a layer for a kind of map, N×1 each.
pub(super) fn probes(
    graph: &mut Graph,
    kind: MapKind,
    layer: &Layer,
    scores: ValueId,
    seed: ValueId,
) -> Result<Probes<ValueId>, GraphError> {
    let gradient = differentiate(graph, "gradient", scores, seed, &[layer.value], &DefaultRules)?;
    let mut b = Builder::new(graph, "probe");
    let activation = layer.as_planes(&mut b, layer.value)?;
    let gradient = layer.as_planes(&mut b, gradient[0])?;
    let evidence = match kind {
        MapKind::Input => {
            let weights = b.reduce(ReduceFunction::Mean, gradient, &[2, 3], true)?;
            let weighted = b.mul(weights, activation)?;
            b.sum(weighted, &[1], true)?
        }
        MapKind::Layer | MapKind::Concepts => b.mul(gradient, activation)?,
    };
    let largest = |b: &mut Builder<'_>, x: ValueId| b.reduce(ReduceFunction::Max, x, &[1, 2, 3], false);
    let size = |b: &mut Builder<'_>, x: ValueId| {
        let size = b.unary(UnaryFunction::Abs, x)?;
        largest(b, size)
    };
    Ok(Probes {
        activation: size(&mut b, activation)?,
        gradient: size(&mut b, gradient)?,
        largest: size(&mut b, evidence)?,
        best: largest(&mut b, evidence)?,
    })
}
