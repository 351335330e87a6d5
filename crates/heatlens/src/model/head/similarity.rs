//! Embeddings: a list of numbers that describes the image. Its similarity with another embedding is explained.
//!
//! A single element of an embedding has no meaning; the cosine similarity with the embedding of a reference does.

use heatlens_graph::op::Kind;
use heatlens_graph::op::binary::BinaryFunction;
use heatlens_graph::op::unary::UnaryFunction;
use heatlens_graph::{Builder, Dim, Graph, GraphError, Shape, Tensor, ValueId};

use super::kind::{Guess, HeadKind, Row};
use super::{Activation, End};

/// Number of scores from which a list without names and softmax may be an embedding.
const MANY: usize = 64;
/// Numbers of classes in well-known data sets (ImageNet-1k with and without background, ImageNet-21k and its subsets).
const CLASS_COUNTS: [usize; 6] = [1000, 1001, 10_450, 11_221, 21_841, 21_843];

pub(super) const ROW: Row = Row {
    kind: HeadKind::Similarity,
    name: "similarity",
    summary: "An embedding, compared with --reference",
    about: "the cosine with the embedding of a reference (--reference)",
    quantity: true,
    refuses: |outputs, scores| match (outputs, scores.activation) {
        (1, _) => Some("the output is a single number, but an embedding has many".to_owned()),
        (_, Activation::None) => None,
        (_, activation) => {
            Some(format!("the numbers go through a {}, an embedding does not", activation.name()))
        }
    },
    guess,
    dense: None,
};

fn guess(graph: &Graph, end: &End<'_>) -> Option<Guess> {
    if end.named || end.scores.activation != Activation::None || end.outputs == 1 {
        return None;
    }
    let outputs = end.outputs;
    let normalised = is_normalised(graph, end.output);
    let many = outputs >= MANY && !CLASS_COUNTS.contains(&outputs) && !says_classes(graph, end.output);
    let reason = match (normalised, says_embedding(graph, end.output), many) {
        (true, _, _) => "they are divided by their norm",
        (false, true, _) => "their name says so",
        (false, false, true) => "there is no softmax, and the file names no classes",
        (false, false, false) => return None,
    };
    let question = format!(
        "the {outputs} numbers of {:?} may be the scores of {outputs} classes or an embedding ({reason}): say which with \
         --head classes, --head multi-label, --head regression or --head similarity --reference IMAGE",
        graph.value(end.output).name
    );
    Some(Guess { kind: HeadKind::Classes, note: None, question: Some(question) })
}

/// True if the output's name suggests classes.
fn says_classes(graph: &Graph, output: ValueId) -> bool {
    let name = graph.value(output).name.to_lowercase();
    ["logit", "class", "prob"].iter().any(|word| name.contains(word))
}

/// True if the output's name suggests an embedding, such as CLIP's `image_embeds`.
fn says_embedding(graph: &Graph, output: ValueId) -> bool {
    graph.value(output).name.to_lowercase().contains("embed")
}

/// True if a value is divided by the root of a sum over itself.
fn is_normalised(graph: &Graph, output: ValueId) -> bool {
    let mut value = output;
    loop {
        let Some(node) = graph.producer(value).map(|id| graph.node(id)) else { return false };
        match (node.op.kind(), node.inputs.as_slice()) {
            (Kind::Binary(BinaryFunction::Div), &[Some(x), Some(length)]) => {
                return is_length(graph, length, x);
            }
            (kind, &[Some(input), ..]) if kind.is_renaming() => value = input,
            _ => return false,
        }
    }
}

/// True if a value is √(Σ x²), possibly clamped or with a small number added.
fn is_length(graph: &Graph, length: ValueId, x: ValueId) -> bool {
    let (mut at, mut root) = (length, false);
    for _ in 0..8 {
        let Some(node) = graph.producer(at).map(|id| graph.node(id)) else { return false };
        let kind = node.op.kind();
        root |= kind == Kind::Unary(UnaryFunction::Sqrt);
        if root && matches!(kind, Kind::Reduce(_)) {
            let squared = node.inputs.first().copied().flatten().and_then(|id| graph.producer(id));
            return squared.is_some_and(|id| graph.node(id).inputs.contains(&Some(x)));
        }
        match node.inputs.iter().flatten().find(|i| graph.constant(**i).is_none()) {
            Some(&next) => at = next,
            None => return false,
        }
    }
    false
}

/// Length below which an embedding has no direction.
const SHORTEST: f32 = 1e-12;

/// Appends the cosine similarity, N×1, of an embedding (N×D) with `reference`.
///
/// # Errors
/// If the embedding and the reference differ in length.
pub(super) fn cosine(
    graph: &mut Graph,
    embedding: ValueId,
    samples: Dim,
    reference: &[f32],
) -> Result<ValueId, GraphError> {
    let d = reference.len();
    let mut b = Builder::new(graph, "similarity");
    let e = b.reshape(embedding, Shape(vec![samples, Dim::Fixed(d)]))?;
    let length = reference.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
    #[allow(clippy::cast_possible_truncation)] // it came from single precision
    let unit = reference.iter().map(|&v| (f64::from(v) / length) as f32).collect();
    let unit = b.constant(Tensor::f32(&[d, 1], unit));
    let product = b.matmul(e, unit)?;
    let square = b.mul(e, e)?;
    let sum = b.sum(square, &[1], true)?;
    let shortest = b.scalar(SHORTEST * SHORTEST);
    let sum = b.binary(BinaryFunction::Max, sum, shortest)?;
    let own = b.unary(UnaryFunction::Sqrt, sum)?;
    b.div(product, own)
}
