//! Building blocks for methods that append a formula to the graph.

use heatlens_graph::compose::resize::{Taps, interpolate};
use heatlens_graph::op::binary::BinaryFunction;
use heatlens_graph::op::r#where::Where;
use heatlens_graph::{
    Builder, DefaultRules, Graph, GraphError, Rules, Shape, Tensor, ValueId, differentiate,
};

use crate::bilinear::{Tap, as_matrix, between, over_image};
use crate::method::Chosen;
use crate::method::principal::principal_map;
use crate::model::{GapHead, Layer, Placement};
use crate::rule::{Composite, Network, Relevance};

/// A network's graph with a selected image, score and layer, to which a formula is appended.
#[derive(Debug)]
pub struct Formula<'a> {
    /// The graph being extended.
    pub graph: &'a mut Graph,
    /// Image, shape `n c h w`.
    pub image: ValueId,
    /// Explained scores, shape `n k`: logits unless probabilities were requested.
    pub scores: ValueId,
    /// Weight of each score, shape `n k`, or `1 k` if it is the same for every sample. One-hot for a class; −1 for
    /// class 0 of a single logit.
    pub seed: ValueId,
    /// The explained layer.
    pub layer: &'a Layer,
    /// All layers of the network.
    pub layers: &'a [Layer],
    /// The last layer of every spatial size up to the explained one, in order.
    pub stages: &'a [Layer],
    /// Global average pooling head, if the model has one.
    pub gap: Option<&'a GapHead>,
    /// True if channels are combined by their first principal component instead of their sum.
    pub eigen_smooth: bool,
    /// Settings of the method.
    pub chosen: Chosen<'a>,
}

type Built = Result<ValueId, GraphError>;

impl Formula<'_> {
    /// Returns a builder with the method's name as its scope.
    pub fn builder(&mut self, scope: &str) -> Builder<'_> {
        Builder::new(self.graph, scope)
    }

    /// Returns the network from image to scores, for propagation rules.
    #[must_use]
    pub fn network(&self) -> Network {
        Network::new(self.graph, self.image, self.scores)
    }

    /// Builds the target, Σₖ seedₖ · scoreₖ for each sample, shape `n 1`.
    ///
    /// # Errors
    /// If the shapes of seed and scores do not match.
    pub fn target(&mut self) -> Built {
        let (scores, seed) = (self.scores, self.seed);
        let mut b = self.builder("target");
        let weighted = b.mul(scores, seed)?;
        b.sum(weighted, &[1], true)
    }

    /// Builds the activations A of the layer, shape `n c h w`.
    ///
    /// # Errors
    /// If the layer belongs to another graph.
    pub fn activations(&mut self) -> Built {
        self.layer.as_planes(&mut Builder::new(self.graph, "activations"), self.layer.value)
    }

    /// Builds the gradient of the target with respect to the layer, G = ∂y/∂A, shape `n c h w`.
    ///
    /// # Errors
    /// If a node between the layer and the score has no derivative.
    pub fn layer_gradient(&mut self) -> Built {
        let gradient = self.gradient(self.layer.value, &DefaultRules)?;
        self.layer.as_planes(&mut Builder::new(self.graph, "gradient"), gradient)
    }

    /// Builds H·A, the derivative of Σ G ⊙ (A held constant) with respect to A, shape `n c h w`: the change of the
    /// gradient along the activations. `None` if the score is piecewise linear in the layer.
    ///
    /// # Errors
    /// If a node between the layer and the score has no second derivative.
    pub fn layer_curvature(&mut self) -> Result<Option<ValueId>, GraphError> {
        let at = self.layer.value;
        let gradient = self.gradient(at, &DefaultRules)?;
        let curvature = match differentiate(self.graph, "curvature", gradient, at, &[at], &DefaultRules) {
            Ok(found) => found,
            Err(GraphError::Unreachable { .. }) => return Ok(None),
            Err(reason) => return Err(reason),
        };
        let planes = |&value| self.layer.as_planes(&mut Builder::new(self.graph, "curvature"), value);
        curvature.first().map(planes).transpose()
    }

    /// Builds the gradient of the target with respect to the image under `rules`, shape `n c h w`.
    ///
    /// # Errors
    /// If a node has no derivative, or a rule rejects it.
    pub fn input_gradient(&mut self, rules: &dyn Rules) -> Built {
        self.gradient(self.image, rules)
    }

    /// Builds the relevance of each pixel, shape `n c h w`, propagated from the target by `composite`.
    ///
    /// # Errors
    /// If a node between the image and the score has no rule.
    pub fn input_relevance(&mut self, composite: Composite) -> Built {
        let (scores, seed) = (self.scores, self.seed);
        let start = self.builder("relevance").mul(scores, seed)?;
        self.relevance(self.image, composite, start)
    }

    /// Builds the relevance of the layer, shape `n c h w`, from that of the scores, `start` (`n k` or `1 k`).
    ///
    /// # Errors
    /// If a node between the layer and the score has no rule.
    pub fn layer_relevance(&mut self, composite: Composite, start: ValueId) -> Built {
        let relevance = self.relevance(self.layer.value, composite, start)?;
        self.layer.as_planes(&mut Builder::new(self.graph, "relevance"), relevance)
    }

    fn relevance(&mut self, at: ValueId, composite: Composite, start: ValueId) -> Built {
        let network = self.network();
        network.refuse_probability(self.graph, self.scores)?;
        let rules = Relevance::new(&network, self.graph, self.image, composite);
        self.walk("relevance", at, start, &rules)
    }

    fn gradient(&mut self, at: ValueId, rules: &dyn Rules) -> Built {
        self.walk("gradient", at, self.seed, rules)
    }

    fn walk(&mut self, scope: &str, at: ValueId, start: ValueId, rules: &dyn Rules) -> Built {
        let found = differentiate(self.graph, scope, self.scores, start, &[at], rules)?;
        found.first().copied().ok_or_else(|| GraphError::Malformed("no gradient".to_owned()))
    }

    /// Sums `x` (`n c h w`) over channels to `n h w`. With eigen-smoothing, projects it on the first principal
    /// component of the channels instead, which drops what the channels do not share.
    ///
    /// # Errors
    /// If `x` does not have rank 4.
    pub fn sum_channels(&mut self, x: ValueId) -> Built {
        if self.eigen_smooth {
            return principal_map(&mut self.builder("eigen_smooth"), x);
        }
        self.builder("sum_channels").sum(x, &[1], false)
    }

    /// Returns the height and width of the image.
    ///
    /// # Errors
    /// If the image does not have rank 4.
    pub fn image_size(&self) -> Result<[usize; 2], GraphError> {
        match self.graph.fact(self.image).shape.at(1).as_slice() {
            &[_, _, height, width] => Ok([height, width]),
            other => Err(GraphError::Malformed(format!("an image of rank {}", other.len()))),
        }
    }

    /// Returns the positions of a layer's cells on the image.
    ///
    /// # Errors
    /// If the image does not have rank 4.
    pub fn placement(&self, layer: &Layer) -> Result<Placement, GraphError> {
        Ok(Placement::new(layer.cells, self.image_size()?))
    }

    /// Upsamples a map of the layer from `n h w` to the size of the image, bilinearly between the positions of its
    /// cells, as two matrix products.
    ///
    /// # Errors
    /// If the map does not have rank 3.
    pub fn upsample_to_image(&mut self, map: ValueId) -> Built {
        let (size, placement) = (self.image_size()?, self.placement(self.layer)?);
        upsample(&mut self.builder("upsample"), map, &placement, size)
    }

    /// Reshapes a map from `n h w` to `n 1 h w`, for multiplication with an image.
    ///
    /// # Errors
    /// If the map does not have rank 3.
    pub fn as_plane(&mut self, map: ValueId) -> Built {
        let mut dims = self.graph.fact(map).shape.0.clone();
        dims.insert(1.min(dims.len()), 1.into());
        self.builder("as_plane").reshape(map, Shape(dims))
    }
}

/// Builds a ÷ b, with 0 where b is 0.
///
/// # Errors
/// If the shapes do not broadcast.
pub fn divide_or_zero(b: &mut Builder<'_>, numerator: ValueId, denominator: ValueId) -> Built {
    let (zero, one) = (b.scalar(0.0), b.scalar(1.0));
    let nothing = b.binary(BinaryFunction::Equal, denominator, zero)?;
    let divisor = b.apply(Where, &[nothing, one, denominator])?;
    let quotient = b.div(numerator, divisor)?;
    b.apply(Where, &[nothing, zero, quotient])
}

/// Maximum number of elements of an interpolation matrix; in larger ones, most elements are 0.
const MAX_PRODUCT: usize = 1 << 20;

/// Converts the interpolation weights to a sparse list.
fn listed(from: usize, taps: &[Tap]) -> Result<Taps, GraphError> {
    let row = |tap: &Tap| {
        let [left, right] = tap.weights();
        vec![(tap.left, left), (tap.right, right)]
    };
    Taps::new(from, &taps.iter().map(row).collect::<Vec<_>>())
}

/// Upsamples a map of shape `n h w` to an image of `size`; see [`Formula::upsample_to_image`].
///
/// # Errors
/// If the map does not have rank 3.
pub fn upsample(b: &mut Builder<'_>, map: ValueId, placement: &Placement, size: [usize; 2]) -> Built {
    let small = rows_and_columns(b, map)?;
    let taps = [0, 1].map(|axis| over_image(placement, axis, small[axis], size[axis]));
    interpolated(b, map, small, &taps)
}

/// Resamples a map of shape `n h w` from the cell positions `placement` to those of another grid.
///
/// # Errors
/// If the map does not have rank 3.
pub fn bring(
    b: &mut Builder<'_>,
    map: ValueId,
    placement: &Placement,
    (size, to): ([usize; 2], &Placement),
) -> Built {
    let small = rows_and_columns(b, map)?;
    let taps = [0, 1].map(|axis| between(axis, (small, placement), (size, to)));
    interpolated(b, map, small, &taps)
}

fn rows_and_columns(b: &Builder<'_>, map: ValueId) -> Result<[usize; 2], GraphError> {
    match b.shape(map).at(1).as_slice() {
        &[_, h, w] => Ok([h, w]),
        other => Err(GraphError::Malformed(format!("upsampling a value of rank {}", other.len()))),
    }
}

/// Interpolates the rows and columns of a map.
fn interpolated(
    b: &mut Builder<'_>,
    map: ValueId,
    [h, w]: [usize; 2],
    [rows, columns]: &[Vec<Tap>; 2],
) -> Built {
    let (height, width) = (rows.len(), columns.len());
    if height.saturating_mul(h).max(width.saturating_mul(w)) > MAX_PRODUCT {
        let wide = interpolate(b, map, 2, &listed(w, columns)?)?;
        return interpolate(b, wide, 1, &listed(h, rows)?);
    }
    let rows = b.constant(Tensor::f32(&[height, h], as_matrix(rows, h)));
    let columns = b.constant(Tensor::f32(&[width, w], as_matrix(columns, w)));
    let columns = b.transpose(columns, &[1, 0])?;
    let wide = b.matmul(map, columns)?;
    b.matmul(rows, wide)
}

#[cfg(test)]
mod tests {
    use heatlens_graph::{Fact, reference};

    use super::*;

    /// A row of 16,000 pixels would need a matrix of 128 million elements from half as many.
    #[test]
    fn long_rows_are_enlarged_without_a_matrix() {
        let (w, width) = (8_000, 16_000);
        let mut graph = Graph::new("map");
        let map = graph.add_input("map", Fact::f32(Shape::batched(&[2, w])));
        let large = upsample(&mut Builder::new(&mut graph, "up"), map, &Placement::EVEN, [3, width]).unwrap();
        let stored: usize = graph.value_ids().filter_map(|id| graph.constant(id)).map(Tensor::len).sum();
        assert!(stored < 5 * width, "{stored} numbers are stored");
        let plane: Vec<f32> = (0u16..16_000).map(|i| f32::from(i % 97)).collect();
        let feed = Tensor::f32(&[1, 2, w], plane.clone());
        let found = reference::run(&graph, &[feed], 1, &[large]).unwrap().remove(0).to_f64();
        let expected = crate::bilinear::resize(&plane, [2, w], [3, width]);
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - f64::from(expected)).abs() < 1e-4, "{found} {expected}");
        }
    }
}
