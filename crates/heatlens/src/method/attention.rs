//! The attention of a transformer, located in its graph; used by attention rollout and LeGrad.

use heatlens_graph::op::Kind;
use heatlens_graph::op::slice::Slice;
use heatlens_graph::rewrite::needed_nodes;
use heatlens_graph::{Builder, Dim, GraphError, Shape, ValueId};

use crate::method::{Formula, Method, MethodError};
use crate::model::SpatialLayout;

/// Tokens of the layer: number before the grid, size of the grid, and total number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tokens {
    pub(super) before: usize,
    pub(super) grid: [usize; 2],
    pub(super) all: usize,
}

/// An attention over all tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attention {
    /// Index of its node in the graph.
    pub(super) node: usize,
    /// Probabilities, shape `n heads t t`, or with heads and samples in one axis.
    pub(super) value: ValueId,
    heads: usize,
    tokens: usize,
}

/// Returns every attention over the tokens of the layer that the score depends on, in graph order.
///
/// # Errors
/// If the layer is not a token layer, or no attention covers all of its tokens.
pub(super) fn find(
    f: &Formula<'_>,
    method: &'static Method,
) -> Result<(Tokens, Vec<Attention>), MethodError> {
    let SpatialLayout::Tokens { before, after } = f.layer.grid else {
        let what = format!(
            "it needs a layer of tokens, and {:?} has none; it is for vision transformers",
            f.layer.name
        );
        return Err(method.not_applicable(what));
    };
    let [_, h, w] = f.layer.shape;
    let tokens = Tokens { before, grid: [h, w], all: before + h * w + after };
    let needed = needed_nodes(f.graph, &[f.scores]);
    let mut found = Vec::new();
    for (node, (op, _)) in f.graph.nodes().iter().zip(needed).enumerate().filter(|(_, (_, needed))| *needed) {
        let value = op.outputs[0];
        let shape = &f.graph.fact(value).shape;
        let over_keys = matches!(
            op.op.kind(),
            Kind::Softmax(s) if !s.log && s.axis_of(shape).is_ok_and(|axis| axis + 1 == shape.rank())
        );
        let heads = match *shape.at(1).as_slice() {
            [_, heads, q, k] | [heads, q, k] if over_keys && q == tokens.all && k == tokens.all => heads,
            _ => continue,
        };
        found.push(Attention { node, value, heads, tokens: tokens.all });
    }
    if found.is_empty() {
        let what = format!(
            "no attention over all {} tokens of {:?} was found (attention in windows has no rollout)",
            tokens.all, f.layer.name
        );
        return Err(method.not_applicable(what));
    }
    Ok((tokens, found))
}

impl Attention {
    /// Reshapes a value with the layout of the probabilities (these themselves, or their gradient) to `n heads t
    /// t`.
    pub(super) fn by_head(self, b: &mut Builder<'_>, value: ValueId) -> Result<ValueId, GraphError> {
        let first = match b.shape(value).0.first() {
            Some(Dim::Batch(_)) => Dim::Batch(1),
            Some(&Dim::Fixed(d)) if b.shape(value).rank() == 3 => Dim::Fixed(d / self.heads.max(1)),
            first => first.copied().unwrap_or(Dim::Batch(1)),
        };
        let sizes = [self.heads, self.tokens, self.tokens].map(Dim::Fixed);
        b.reshape(value, Shape([first].into_iter().chain(sizes).collect()))
    }
}

impl Tokens {
    /// Extracts the grid from one value per token (`n t`), as `n h w`.
    pub(super) fn as_map(self, b: &mut Builder<'_>, tokens: ValueId) -> Result<ValueId, GraphError> {
        let [h, w] = self.grid;
        let grid = b.apply(Slice { axis: 1, start: self.before, len: h * w, step: 1 }, &[tokens])?;
        let first = b.shape(grid).0.first().copied().unwrap_or(Dim::Batch(1));
        b.reshape(grid, Shape(vec![first, h.into(), w.into()]))
    }
}
