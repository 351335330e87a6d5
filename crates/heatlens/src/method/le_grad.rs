//! LeGrad.

use heatlens_graph::differentiate::depends_on;
use heatlens_graph::op::Kind;
use heatlens_graph::op::binary::BinaryFunction;
use heatlens_graph::rewrite::{needed_nodes, replay};
use heatlens_graph::{DefaultRules, ValueId, differentiate};

use crate::method::{Formula, MapKind, Method, MethodError, Work, attention};

/// Registry entry.
pub(super) static LE_GRAD: Method = Method {
    id: "le_grad",
    title: "LeGrad",
    summary: "the places that a transformer would have to attend to more for a higher score, over all layers",
    formula: "mean over layers l, heads and queries of ReLU(∂sₗ/∂Aₗ), sₗ the score that the head gives to layer l's own tokens",
    paper: "Bousselham et al. 2024, LeGrad: An Explainability Method for Vision Transformers via Feature Formation Sensitivity, ICCV 2025, arXiv:2404.03214",
    cost: "1 forward pass, and for each layer 1 backward pass through that layer",
    sanity: "not tested, as far as we know",
    kind: MapKind::Layer,
    uses_layer: true,
    caution: None,
    parameters: &[],
    work: Work::Graph(build),
};

fn build(f: &mut Formula<'_>) -> Result<ValueId, MethodError> {
    let (tokens, attentions) = attention::find(f, &LE_GRAD)?;
    let stream = residual_stream(f, tokens.all);
    let no_stream = || LE_GRAD.not_applicable("no residual stream of tokens was found behind the attention");
    let last = stream.last().ok_or_else(no_stream)?.1;
    let target = f.target()?;
    let mut total: Option<ValueId> = None;
    for (i, attention) in attentions.iter().enumerate() {
        // Tokens of this layer: the last residual sum before the next attention.
        let end = attentions.get(i + 1).map_or(usize::MAX, |next| next.node);
        let own = stream.iter().rev().find(|(node, _)| *node < end && *node > attention.node);
        let own = own.ok_or_else(no_stream)?.1;
        let score = replay(f.graph, last, own, target)?;
        let mut b = f.builder(LE_GRAD.id);
        let one = b.scalar(1.0);
        let seed = heatlens_graph::Shape(vec![1.into(), 1.into()]);
        let seed = b.reshape(one, seed)?;
        let wrt = [attention.value];
        let gradient = differentiate(f.graph, "gradient", score, seed, &wrt, &DefaultRules)?[0];
        let mut b = f.builder(LE_GRAD.id);
        let by_head = attention.by_head(&mut b, gradient)?;
        let positive = b.relu(by_head)?;
        let read = b.mean(positive, &[1, 2], false)?;
        total = Some(match total {
            Some(sum) => b.add(sum, read)?,
            None => read,
        });
    }
    let total = total.ok_or_else(no_stream)?;
    let mut b = f.builder(LE_GRAD.id);
    #[allow(clippy::cast_precision_loss)]
    let mean = b.scale(total, 1.0 / attentions.len() as f32)?;
    Ok(tokens.as_map(&mut b, mean)?)
}

/// Returns the sums of two values of shape `n t c` that both depend on the image: the residual connections.
fn residual_stream(f: &Formula<'_>, tokens: usize) -> Vec<(usize, ValueId)> {
    let from_image = depends_on(f.graph, &[f.image]);
    let needed = needed_nodes(f.graph, &[f.scores]);
    let is_sum = |(index, node): &(usize, &heatlens_graph::Node)| {
        let shape = f.graph.fact(node.outputs[0]).shape.at(1);
        needed[*index]
            && node.op.kind() == Kind::Binary(BinaryFunction::Add)
            && node.inputs.iter().flatten().all(|i| from_image[i.index()])
            && shape.len() == 3
            && shape[1] == tokens
    };
    let nodes = f.graph.nodes().iter().enumerate().filter(is_sum);
    nodes.map(|(index, node)| (index, node.outputs[0])).collect()
}
