//! Class scores at every pixel.

use heatlens_graph::op::Kind;
use heatlens_graph::op::concat::Concat;
use heatlens_graph::op::unary::UnaryFunction;
use heatlens_graph::{Builder, DType, Dim, Graph, GraphError, Shape, ValueId};

use super::dense::{Dense, Region};
use super::kind::{HeadKind, Row};
use super::{Activation, Asked, Found, Head, decomposed_softmax, log_odds, sequence, value_bounds};
use crate::model::ModelError;
use crate::model::axes::{self, SpatialLayout};

pub(super) const ROW: Row = Row {
    kind: HeadKind::Segmentation,
    name: "segmentation",
    summary: "Scores of classes at every pixel",
    about: "the score of a class at the pixels predicted as it (--region chooses others)",
    quantity: false,
    refuses: |_, _| Some("the model gives one list of scores for the whole image".to_owned()),
    guess: |_, _| None,
    dense: Some(find),
};

/// Maximum number of classes; feature maps have more channels.
const MOST_CLASSES: usize = 1024;
/// Maximum factor by which a mask is smaller than the image; feature maps are smaller still.
const SMALLEST: usize = 8;

/// Finds an output that holds scores at every pixel.
fn find(graph: &mut Graph, asked: &Asked<'_>) -> Result<Option<Found>, ModelError> {
    let propagated = axes::propagate(graph, asked.image);
    let fits = |&(output, grid): &(ValueId, Layout)| {
        let [h, w] = asked.size(graph);
        let [c, rows, columns] = grid.shape;
        let masks = rows * SMALLEST >= h && columns * SMALLEST >= w && c <= MOST_CLASSES;
        let f32s = graph.fact(output).dtype == DType::F32;
        f32s && (masks || asked.forced)
    };
    let layout = |output| {
        let axes = propagated.axes[ValueId::index(output)].as_deref();
        let shape = &graph.fact(output).shape;
        let found = axes.and_then(|axes| axes::grid(axes, shape));
        Some((output, Layout::new(found).or_else(|| asked.by_size(graph, output))?))
    };
    let Some((output, layout)) = asked.outputs(graph).into_iter().filter_map(layout).find(fits) else {
        return sequence::find(graph, asked);
    };
    build(graph, asked, output, layout).map(Some).map_err(ModelError::Graph)
}

/// Layout of the scores in an output; `last` is true if the channels come last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    last: bool,
    /// Shape, `[c, h, w]`.
    shape: [usize; 3],
}

impl Layout {
    fn new(found: Option<(SpatialLayout, [usize; 3])>) -> Option<Self> {
        match found? {
            (SpatialLayout::Spatial, shape) => Some(Self { last: false, shape }),
            (SpatialLayout::ChannelsLast, shape) => Some(Self { last: true, shape }),
            (SpatialLayout::Tokens { .. }, _) => None,
        }
    }
}

impl Asked<'_> {
    /// Returns the layout of an output with the same height and width as the image.
    fn by_size(&self, graph: &Graph, output: ValueId) -> Option<Layout> {
        let size = self.size(graph);
        match *graph.fact(output).shape.at(1).get(1..)? {
            [c, h, w] if [h, w] == size => Some(Layout { last: false, shape: [c, h, w] }),
            [h, w, c] if [h, w] == size => Some(Layout { last: true, shape: [c, h, w] }),
            _ => None,
        }
    }
}

fn build(
    graph: &mut Graph,
    asked: &Asked<'_>,
    output: ValueId,
    Layout { last, shape: [c, rows, columns] }: Layout,
) -> Result<Found, GraphError> {
    let mut notes = Vec::new();
    let (scores, activation) = match behind(graph, output, if last { 3 } else { 1 })? {
        Some(found) => found,
        None => {
            let known = value_bounds::known(graph);
            match known[output.index()].lies_within(0.0, 1.0) {
                true => (log_odds::log_odds(graph, &known, output, 1.0)?, Activation::LogOdds),
                false => (output, Activation::None),
            }
        }
    };
    if activation == Activation::None {
        notes.push(match c {
            1 => "the single number at each pixel has no sigmoid; it is taken as the logit of the \
                foreground, not as a quantity such as a depth"
                .to_owned(),
            _ => format!("the {c} numbers at each pixel have no softmax; they are taken as the logits of classes that exclude each other"),
        });
    }
    let mut b = Builder::new(graph, "segmentation");
    let scores = if last { b.transpose(scores, &[0, 3, 1, 2])? } else { scores };
    finish(graph, asked, output, Numbers { scores, classes: c, grid: [rows, columns], activation }, notes)
}

/// Scores of all positions in the order N×K×(rows×columns).
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    pub(super) scores: ValueId,
    pub(super) classes: usize,
    /// Rows and columns.
    pub(super) grid: [usize; 2],
    pub(super) activation: Activation,
}

/// Appends the head.
pub(super) fn finish(
    graph: &mut Graph,
    asked: &Asked<'_>,
    output: ValueId,
    numbers: Numbers,
    notes: Vec<String>,
) -> Result<Found, GraphError> {
    let Numbers { scores, classes: c, grid: [rows, columns], activation } = numbers;
    let mut b = Builder::new(graph, "segmentation");
    let places = rows * columns;
    let scores = b.reshape(scores, Shape(vec![asked.samples, Dim::Fixed(c), Dim::Fixed(places)]))?;
    let scores = match c {
        1 => {
            let background = b.neg(scores)?;
            b.apply(Concat { axis: 1 }, &[background, scores])?
        }
        _ => scores,
    };
    let exclusive =
        c > 1 && matches!(activation, Activation::Softmax | Activation::LogSoftmax | Activation::None);
    let background = (c == 1).then_some(0);
    let dense = Dense {
        scores,
        confidence: scores,
        places,
        grid: Some([rows, columns]),
        boxes: None,
        exclusive,
        region: Region::Predicted,
        sum: false,
        background,
    };
    let logits = dense.shares(&mut b)?;
    let kind = HeadKind::Segmentation;
    let outputs = c.max(2);
    let head = Head { logits, output, activation, outputs, kind, unit: false, dense: Some(dense) };
    Ok(Found { head, notes, question: None })
}

/// Returns the input of a softmax over `axis` or of a sigmoid, in the arrangement of `value`.
pub(super) fn behind(
    graph: &mut Graph,
    value: ValueId,
    axis: usize,
) -> Result<Option<(ValueId, Activation)>, GraphError> {
    if let Some(found) = decomposed_softmax::activation(graph, value) {
        return Ok(Some(found));
    }
    let Some(node) = graph.producer(value).map(|id| graph.node(id).clone()) else { return Ok(None) };
    let Some(input) = node.inputs.first().copied().flatten() else { return Ok(None) };
    match node.op.kind() {
        Kind::Softmax(softmax) => {
            let over = graph.fact(value).shape.axis(softmax.axis);
            let activation = if softmax.log { Activation::LogSoftmax } else { Activation::Softmax };
            Ok((over == Some(axis)).then_some((input, activation)))
        }
        Kind::Unary(UnaryFunction::Sigmoid) => Ok(Some((input, Activation::Sigmoid))),
        Kind::Transpose(transpose) => {
            let Some(&axis) = transpose.perm.get(axis) else { return Ok(None) };
            let Some((scores, activation)) = behind(graph, input, axis)? else { return Ok(None) };
            let scores = Builder::new(graph, "segmentation").transpose(scores, &transpose.perm)?;
            Ok(Some((scores, activation)))
        }
        Kind::Identity | Kind::Cast(DType::F32) => behind(graph, input, axis),
        _ => Ok(None),
    }
}
