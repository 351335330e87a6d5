//! FullGrad.

use heatlens_graph::differentiate::depends_on;
use heatlens_graph::op::Kind;
use heatlens_graph::op::binary::BinaryFunction;
use heatlens_graph::op::reduce::ReduceFunction;
use heatlens_graph::op::unary::UnaryFunction;
use heatlens_graph::rewrite::needed_nodes;
use heatlens_graph::{Builder, DefaultRules, GraphError, Node, Shape, ValueId, differentiate};

use crate::method::formula::{divide_or_zero, upsample};
use crate::method::{Formula, MapKind, Method, MethodError, Work};
use crate::model::Placement;

/// Registry entry.
pub(super) static FULL_GRAD: Method = Method {
    id: "full_grad",
    title: "FullGrad",
    summary: "the gradient of the image and of every bias in the network, added up: fine and coarse together",
    formula: "ψ(∂y/∂x ⊙ x) + Σ over layers Σ over channels ψ(∂y/∂z ⊙ b), ψ: size, rescaled to 0…1, enlarged",
    paper: "Srinivas and Fleuret 2019, Full-Gradient Representation for Neural Network Visualization, NeurIPS",
    cost: "1 forward pass, 1 backward pass",
    sanity: "randomisation: not tested, as far as we know; does well in its authors' pixel perturbation and remove-and-retrain (Srinivas and Fleuret 2019)",
    kind: MapKind::Layer,
    uses_layer: false,
    caution: Some("unsigned: it does not tell evidence for the class from evidence against it"),
    parameters: &[],
    work: Work::Graph(build),
};

/// Builds the map. ψ normalizes all contributions of a layer together, as in the authors' code. (pytorch-grad-cam
/// normalizes every channel separately, so that silent channels count as much as strong ones.)
fn build(f: &mut Formula<'_>) -> Result<ValueId, MethodError> {
    let biases = biases(f)?;
    let wrt: Vec<ValueId> = [f.image].into_iter().chain(biases.iter().map(|&(at, _)| at)).collect();
    let gradients = differentiate(f.graph, "gradient", f.scores, f.seed, &wrt, &DefaultRules)?;
    let &[_, _, height, width] = f.graph.fact(f.image).shape.at(1).as_slice() else {
        return Err(FULL_GRAD.not_applicable("the image has no rows and columns"));
    };
    let image = f.image;
    let placements: Vec<Placement> = wrt
        .iter()
        .map(|&at| {
            let layer = f.layers.iter().find(|layer| layer.value == at);
            Placement::new(layer.map_or([None; 2], |layer| layer.cells), [height, width])
        })
        .collect();
    let mut b = f.builder(FULL_GRAD.id);
    let factors = [image].into_iter().chain(biases.into_iter().map(|(_, bias)| bias));
    let mut total = None;
    for ((gradient, factor), placement) in gradients.into_iter().zip(factors).zip(placements) {
        let product = b.mul(gradient, factor)?;
        let part = rescaled(&mut b, product)?;
        let plane = b.sum(part, &[1], false)?;
        let large = upsample(&mut b, plane, &placement, [height, width])?;
        total = Some(match total {
            Some(sum) => b.add(sum, large)?,
            None => large,
        });
    }
    total.ok_or_else(|| FULL_GRAD.not_applicable("there is nothing to add up"))
}

/// Normalizes |x| to the range 0 to 1 for each image.
fn rescaled(b: &mut Builder<'_>, x: ValueId) -> Result<ValueId, GraphError> {
    let size = b.unary(UnaryFunction::Abs, x)?;
    let low = b.reduce(ReduceFunction::Min, size, &[1, 2, 3], true)?;
    let above = b.sub(size, low)?;
    let high = b.reduce(ReduceFunction::Max, above, &[1, 2, 3], true)?;
    divide_or_zero(b, above, high)
}

/// Returns every spatial value to which a bias was added, with the bias reshaped to `1 c 1 1`.
fn biases(f: &mut Formula<'_>) -> Result<Vec<(ValueId, ValueId)>, MethodError> {
    let from_image = depends_on(f.graph, &[f.image]);
    let needed = needed_nodes(f.graph, &[f.scores]);
    let nodes: Vec<Node> = f.graph.nodes().iter().zip(needed).filter(|n| n.1).map(|n| n.0.clone()).collect();
    let mut found = Vec::new();
    for node in nodes {
        let at = node.outputs[0];
        let shape = f.graph.fact(at).shape.at(1);
        if !from_image[at.index()] || shape.len() != 4 || shape[2] * shape[3] < 2 {
            continue;
        }
        if let Some(bias) = bias_of(&mut f.builder(FULL_GRAD.id), &node, shape[1])? {
            found.push((at, bias));
        }
    }
    Ok(found)
}

/// Returns the constant that a node adds to each channel, if there is one.
fn bias_of(b: &mut Builder<'_>, node: &Node, channels: usize) -> Result<Option<ValueId>, GraphError> {
    let input = |i: usize| node.inputs.get(i).copied().flatten();
    let wide = Shape::fixed(&[1, channels, 1, 1]);
    let kind = node.op.kind();
    if matches!(kind, Kind::Conv(_)) {
        return input(2).map(|bias| b.reshape(bias, wide)).transpose();
    }
    if let (Kind::BatchNormalization(op), Some(scale), Some(bias), Some(mean), Some(variance)) =
        (kind, input(1), input(2), input(3), input(4))
    {
        // bias − mean · scale ÷ √(variance + ε)
        let epsilon = b.scalar(op.epsilon);
        let sum = b.add(variance, epsilon)?;
        let deviation = b.unary(UnaryFunction::Sqrt, sum)?;
        let factor = b.div(scale, deviation)?;
        let shift = b.mul(mean, factor)?;
        let implicit = b.sub(bias, shift)?;
        return Ok(Some(b.reshape(implicit, wide)?));
    }
    if kind == Kind::Binary(BinaryFunction::Add) {
        let stored = |id: &ValueId| b.graph().constant(*id).is_some() && b.shape(*id) == wide;
        return Ok([input(0), input(1)].into_iter().flatten().find(stored));
    }
    Ok(None)
}
