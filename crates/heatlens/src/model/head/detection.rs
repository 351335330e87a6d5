//! Boxes with class scores: a single output (YOLO), or one output of scores and one of boxes (DETR, SSD).
//!
//! A single output may hold more numbers for each box behind the scores: the coefficients of its mask, key points, or
//! an angle. They are not classes.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Range;

use heatlens_graph::op::Kind;
use heatlens_graph::op::slice::Slice;
use heatlens_graph::op::softmax::Softmax;
use heatlens_graph::op::unary::UnaryFunction;
use heatlens_graph::{Builder, DType, Dim, Graph, GraphError, Shape, Tensor, ValueId};

use super::dense::{Dense, Region};
use super::kind::{HeadKind, Row};
use super::output_part::{Part, alone, along, before_sigmoid, narrow, same_axis};
use super::{Activation, Asked, Found, Head, box_format, log_odds, value_bounds};
use crate::model::ModelError;

pub(super) const ROW: Row = Row {
    kind: HeadKind::Detection,
    name: "detection",
    summary: "Boxes with scores of classes",
    about: "the score of the most confident box of a class (--detection and --region choose others)",
    quantity: false,
    refuses: |_, _| Some("the model gives one list of scores for the whole image".to_owned()),
    guess: |_, _| None,
    dense: Some(find),
};

/// Numbers per box.
const SIDES: usize = 4;

/// Boxes of a detection head.
#[derive(Clone, Debug)]
pub(crate) struct Boxes {
    /// Four numbers per place, N×4×P.
    pub(crate) value: ValueId,
    /// True for centre, width and height, false for corners, `None` if it has to be inferred from the numbers.
    pub(crate) centred: Option<bool>,
    /// Places of each level of a feature pyramid, with a value of the level's size; empty without a pyramid.
    pub(crate) levels: Vec<(Range<usize>, ValueId)>,
    /// Log odds that a box holds an object, N×1×P, if they are an output of their own.
    pub(crate) objectness: Option<ValueId>,
    /// True if the position of a side is explained instead of the class.
    pub(crate) side: bool,
}

/// Position of classes and boxes in the outputs.
#[derive(Clone, Copy, Debug)]
struct Layout {
    scores: ValueId,
    /// Axis of the classes, 1 or 2; the places are on the other one.
    axis: usize,
    /// Numbers before the classes.
    before: usize,
    boxes: ValueId,
    boxes_axis: usize,
    places: usize,
    classes: usize,
}

impl Layout {
    /// Returns how many numbers follow the scores of each box.
    fn rest(&self, graph: &Graph) -> Option<usize> {
        let width = graph.fact(self.scores).shape.0.get(self.axis)?.at(1);
        width.checked_sub(self.before + self.classes).filter(|&rest| rest > 0)
    }
}

/// Finds boxes and their class scores.
fn find(graph: &mut Graph, asked: &Asked<'_>) -> Result<Option<Found>, ModelError> {
    let outputs: Vec<(ValueId, [usize; 2])> = asked
        .outputs(graph)
        .into_iter()
        .filter(|&id| graph.fact(id).dtype == DType::F32)
        .filter_map(|id| match *graph.fact(id).shape.at(1).as_slice() {
            [_, a, b] => Some((id, [a, b])),
            _ => None,
        })
        .collect();
    let mut layouts = pairs(asked, &outputs);
    for &end in &outputs {
        layouts.extend(joined(graph, asked, end));
    }
    // Scores that go through a sigmoid or softmax settle the layout; others are taken as scores only if nothing does.
    for plain in [false, true] {
        for &layout in &layouts {
            if let Some(found) = build(graph, asked, layout, plain).map_err(ModelError::Graph)? {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

/// Finds pairs of an output of boxes, N×P×4 or N×4×P, and an output of scores, N×P×K or N×K×P. Pairs with as many
/// scores as the file has class names come first.
fn pairs(asked: &Asked<'_>, outputs: &[(ValueId, [usize; 2])]) -> Vec<Layout> {
    let both = |&(id, [a, b]): &(ValueId, [usize; 2])| [(id, 2, a, b), (id, 1, b, a)];
    let mut found = Vec::new();
    for (boxes, boxes_axis, places, sides) in outputs.iter().flat_map(both) {
        if sides != SIDES || places < 2 {
            continue;
        }
        let fits = |&(id, _, own, classes): &(ValueId, usize, usize, usize)| {
            id != boxes && own == places && classes > 0
        };
        for (scores, axis, _, classes) in outputs.iter().flat_map(both).filter(fits) {
            found.push(Layout { scores, axis, before: 0, boxes, boxes_axis, places, classes });
        }
    }
    let named =
        |layout: &Layout| asked.names.is_some_and(|names| (names..=names + 1).contains(&layout.classes));
    found.sort_by_key(|layout| !named(layout));
    found
}

/// Interprets one output as boxes and scores: N×(4+K)×P, or N×P×(5+K) with an objectness score; further numbers may
/// follow. The most likely interpretation comes first.
fn joined(graph: &Graph, asked: &Asked<'_>, (output, [a, b]): (ValueId, [usize; 2])) -> Vec<Layout> {
    let (axis, width, places) = if a <= b { (1, a, b) } else { (2, b, a) };
    let splits: Vec<(usize, usize)> = match asked.names {
        Some(names) if width == names + SIDES + 1 => vec![(SIDES + 1, names), (SIDES, names)],
        Some(names) if width >= names + SIDES => vec![(SIDES, names)],
        _ => {
            // Outputs that put the places first are from older models, which have an objectness score.
            let before = SIDES + usize::from(axis == 2);
            let mut end = 0;
            let parts = along(graph, output, axis).into_iter().map(|(_, len)| {
                end += len;
                end
            });
            let ends: Vec<usize> = parts.filter(|&end| end < width).collect();
            let inner = ends.into_iter().filter_map(|end| Some((SIDES, end.checked_sub(SIDES)?)));
            width.checked_sub(before).map(|classes| (before, classes)).into_iter().chain(inner).collect()
        }
    };
    let layout = |(before, classes)| Layout {
        scores: output,
        axis,
        before,
        boxes: output,
        boxes_axis: axis,
        places,
        classes,
    };
    splits.into_iter().filter(|&(_, classes)| classes > 0).map(layout).collect()
}

/// Appends the head of a layout; `None` if it does not fit. Scores without sigmoid or softmax fit only if `plain`.
fn build(
    graph: &mut Graph,
    asked: &Asked<'_>,
    layout: Layout,
    plain: bool,
) -> Result<Option<Found>, GraphError> {
    let Layout { scores: output, axis, before, places, classes, .. } = layout;
    let part = |start, len| Part { axis, start, len };
    let own = narrow(graph, output, part(before, classes))?;
    let mut notes = Vec::new();
    let softmax = softmax_over(graph, own, axis);
    let (scores, activation) = match (before_sigmoid(graph, own)?, softmax) {
        (Some(scores), _) => (scores, Activation::Sigmoid),
        (None, Some(scores)) => (scores, Activation::Softmax),
        (None, None) if !plain || layout.scores == layout.boxes && !asked.forced => return Ok(None),
        (None, None) => without_function(graph, asked, own, classes, &mut notes)?,
    };
    let boxes = Part { axis: layout.boxes_axis, start: 0, len: SIDES };
    let boxes = narrow(graph, layout.boxes, boxes)?;
    // If everything goes through sigmoids, these are not boxes.
    if layout.scores == layout.boxes && !asked.forced && before_sigmoid(graph, boxes)?.is_some() {
        return Ok(None);
    }
    notes.extend(layout.rest(graph).map(|rest| {
        format!("the {rest} numbers behind the scores of each box (a mask's coefficients, key points or an angle) are not explained")
    }));
    let levels = levels(graph, scores, 3 - axis, places)?;
    let scores = classes_first(graph, asked, scores, axis)?;
    let (scores, confidence, classes) = match activation {
        Activation::Softmax if nothing_is_first(graph, own, axis, classes) => {
            notes.push("class 0 of each box means no object: the file never returns it".to_owned());
            nothing_first(graph, scores, classes)?
        }
        Activation::Softmax => without_nothing(graph, scores, classes)?,
        _ => (scores, scores, classes),
    };
    let (scores, confidence, objectness) = match before {
        SIDES.. if before > SIDES => {
            let object = narrow(graph, output, part(SIDES, 1))?;
            let object = match before_sigmoid(graph, object)? {
                Some(object) => object,
                None => log_odds::log_odds(graph, &value_bounds::known(graph), object, 1.0)?,
            };
            let object = classes_first(graph, asked, object, axis)?;
            notes.push(
                "each box has an objectness score; the log odds of its product with the class's score are \
                 explained"
                    .to_owned(),
            );
            let both = both(graph, object, scores)?;
            (both, both, Some(object))
        }
        _ => (scores, confidence, None),
    };
    let computed = box_format::centred(graph, boxes, layout.boxes_axis);
    let value = classes_first(graph, asked, boxes, layout.boxes_axis)?;
    let centred = computed.or((layout.boxes == layout.scores).then_some(true));
    let boxes = Some(Boxes { value, centred, levels, objectness, side: false });
    let (region, kind) = (Region::Surest, HeadKind::Detection);
    let dense = Dense {
        scores,
        confidence,
        places,
        grid: None,
        boxes,
        exclusive: false,
        region,
        sum: true,
        background: None,
    };
    let logits = dense.surest(&mut Builder::new(graph, "detection"))?;
    let head = Head { logits, output, activation, outputs: classes, kind, unit: false, dense: Some(dense) };
    Ok(Some(Found { head, notes, question: None }))
}

/// Returns the input of a softmax over the classes.
fn softmax_over(graph: &Graph, value: ValueId, axis: usize) -> Option<ValueId> {
    let node = graph.node(graph.producer(value)?);
    let Kind::Softmax(softmax) = node.op.kind() else { return None };
    (!softmax.log && graph.fact(value).shape.axis(softmax.axis) == Some(axis)).then_some(())?;
    node.inputs.first().copied().flatten()
}

/// Interprets scores without sigmoid or softmax: probabilities computed in another way, or logits.
fn without_function(
    graph: &mut Graph,
    asked: &Asked<'_>,
    scores: ValueId,
    classes: usize,
    notes: &mut Vec<String>,
) -> Result<(ValueId, Activation), GraphError> {
    let known = value_bounds::known(graph);
    if known[scores.index()].lies_within(0.0, 1.0) {
        return Ok((log_odds::log_odds(graph, &known, scores, 1.0)?, Activation::LogOdds));
    }
    let softmax = asked.names.map_or(classes > 1, |names| names + 1 == classes);
    let meaning = match softmax {
        true => "of a softmax whose last class means no object (as in DETR)",
        false => "of one sigmoid for each class",
    };
    notes.push(format!(
        "the {classes} scores of each box are taken as the logits {meaning}; --labels with as \
        many names as classes decides it"
    ));
    Ok((scores, if softmax { Activation::Softmax } else { Activation::Sigmoid }))
}

/// Appends the value in the order N×K×P.
fn classes_first(
    graph: &mut Graph,
    asked: &Asked<'_>,
    value: ValueId,
    axis: usize,
) -> Result<ValueId, GraphError> {
    let mut b = Builder::new(graph, "detection");
    let value = if axis == 2 { b.transpose(value, &[0, 2, 1])? } else { value };
    let sizes = b.shape(value).at(1);
    b.reshape(value, Shape(vec![asked.samples, Dim::Fixed(sizes[1]), Dim::Fixed(sizes[2])]))
}

/// Appends the classes of a softmax without the last one ("no object"), and the log odds of their probabilities.
fn without_nothing(
    graph: &mut Graph,
    scores: ValueId,
    classes: usize,
) -> Result<(ValueId, ValueId, usize), GraphError> {
    let mut b = Builder::new(graph, "detection");
    let real = Slice { axis: 1, start: 0, len: classes - 1, step: 1 };
    let own = b.apply(real, &[scores])?;
    let p = b.apply(Softmax { axis: 1, log: false }, &[scores])?;
    let p = b.apply(real, &[p])?;
    let confidence = log_odds::log_odds(graph, &value_bounds::known(graph), p, 1.0)?;
    Ok((own, confidence, classes - 1))
}

/// True if the file selects among the last class of each box, but not among the first (torchvision's SSD): then the
/// first one means "no object".
fn nothing_is_first(graph: &Graph, scores: ValueId, axis: usize, classes: usize) -> bool {
    let mut open = vec![(scores, axis)];
    let mut read = BTreeSet::new();
    let uses = graph.uses();
    while let Some((value, axis)) = open.pop() {
        for node in uses.of(value).iter().map(|&id| graph.node(id)) {
            let Some(&output) = node.outputs.first() else { continue };
            match node.op.kind() {
                Kind::Slice(slice) if slice.axis == axis => {
                    read.extend((0..slice.len).map(|i| slice.start + i * slice.step));
                }
                Kind::Slice(_) => open.push((output, axis)),
                Kind::Gather(gather) => match gather.axis.cmp(&axis) {
                    Ordering::Equal => read.extend(gather.indices.iter().copied()),
                    Ordering::Less => {
                        open.extend((axis + gather.shape.len()).checked_sub(1).map(|at| (output, at)));
                    }
                    Ordering::Greater => open.push((output, axis)),
                },
                kind if kind.is_renaming() => {
                    let (from, to) = (&graph.fact(value).shape, &graph.fact(output).shape);
                    let same = (0..to.rank()).find(|&at| same_axis(from, to, at) == Some(axis));
                    open.extend(same.map(|at| (output, at)));
                }
                _ => {}
            }
        }
    }
    read.contains(&(classes - 1)) && !read.contains(&0)
}

/// Log odds of a class that is never detected.
const NEVER: f32 = -1e4;

/// Appends the log odds of the classes of a softmax whose first class means "no object" and is never detected. The
/// others keep their numbers.
fn nothing_first(
    graph: &mut Graph,
    scores: ValueId,
    classes: usize,
) -> Result<(ValueId, ValueId, usize), GraphError> {
    let p = Builder::new(graph, "detection").apply(Softmax { axis: 1, log: false }, &[scores])?;
    let confidence = log_odds::log_odds(graph, &value_bounds::known(graph), p, 1.0)?;
    let mut b = Builder::new(graph, "detection");
    let mut never = vec![0.0; classes];
    never[0] = NEVER;
    let never = b.constant(Tensor::f32(&[1, classes, 1], never));
    Ok((scores, b.add(confidence, never)?, classes))
}

/// Appends the log odds of the product of two probabilities, given their log odds: a − softplus(a − b + softplus(−a)).
fn both(graph: &mut Graph, a: ValueId, b: ValueId) -> Result<ValueId, GraphError> {
    let mut build = Builder::new(graph, "detection");
    let negative = build.neg(a)?;
    let bent = build.unary(UnaryFunction::Softplus, negative)?;
    let difference = build.sub(a, b)?;
    let sum = build.add(difference, bent)?;
    let lost = build.unary(UnaryFunction::Softplus, sum)?;
    build.sub(a, lost)
}

/// Returns the pyramid levels that the places are concatenated from.
fn levels(
    graph: &mut Graph,
    scores: ValueId,
    axis: usize,
    places: usize,
) -> Result<Vec<(Range<usize>, ValueId)>, GraphError> {
    let mut start = 0;
    let parts = along(graph, scores, axis).into_iter().map(|(value, len)| {
        start += len;
        (start - len..start, value)
    });
    let parts: Vec<_> = parts.collect();
    if parts.len() < 2 || start != places {
        return Ok(Vec::new());
    }
    // Levels that were joined and split again are taken from before that.
    parts.into_iter().map(|(range, value)| Ok((range, alone(graph, value)?))).collect()
}
