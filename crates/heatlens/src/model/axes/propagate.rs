//! Propagation of the meaning of axes from the image through every node: one loop, with a function for each kind of
//! operator.

mod concat;
mod elementwise;
mod product;
mod select;
mod window;

use std::rc::Rc;

use heatlens_graph::op::Kind;
use heatlens_graph::op::reduce::Reduce;
use heatlens_graph::{Graph, Node, NodeId, Shape, ValueId};

use self::window::Sliding;
use super::axis::{Axis, Digit, Part, reshape, unknown};
use super::receptive_field::{Fields, Side};
use crate::model::placement::Cells;

/// Meaning of the axes in a graph.
#[derive(Debug)]
pub(crate) struct PropagatedAxes {
    /// Meaning of the axes of every value computed from the image.
    pub(crate) axes: Vec<Option<Rc<[Axis]>>>,
    /// Positions of their rows and columns in the image.
    pub(crate) fields: Fields,
    /// Nodes that mix places until none is left, in order.
    pub(crate) mixing: Vec<Mixing>,
    /// Nodes of unknown kind whose inputs have rows or columns, in order.
    pub(crate) undescribed: Vec<NodeId>,
}

/// A node whose result no longer depends on the position in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mixing {
    pub(crate) node: NodeId,
    /// Input of the node that still has places.
    pub(crate) value: ValueId,
    /// True for a product over places, as in attention, rather than a reduction.
    pub(crate) product: bool,
}

/// Propagates the axes of `image` (N×C×H×W) through the graph.
pub(crate) fn propagate(graph: &Graph, image: ValueId) -> PropagatedAxes {
    let axes = vec![None; graph.values().len()];
    let mut walk =
        Walk { graph, axes, fields: Fields::default(), mixing: Vec::new(), undescribed: Vec::new() };
    let shape = &graph.fact(image).shape;
    let mut axes = unknown(shape);
    if let [samples, _, rows, columns] = axes.as_mut_slice() {
        if let [Part::Other(batch)] = samples[..] {
            *samples = vec![Part::Samples(batch)];
        }
        let pixels = Some(Cells::PIXELS);
        *rows = walk.fresh(Side::Rows, shape.0[2].at(1), pixels);
        *columns = walk.fresh(Side::Columns, shape.0[3].at(1), pixels);
    }
    walk.axes[image.index()] = Some(axes.into());
    for id in graph.node_ids() {
        walk.visit(id);
    }
    PropagatedAxes {
        axes: walk.axes,
        fields: walk.fields,
        mixing: walk.mixing,
        undescribed: walk.undescribed,
    }
}

struct Walk<'g> {
    graph: &'g Graph,
    axes: Vec<Option<Rc<[Axis]>>>,
    fields: Fields,
    mixing: Vec<Mixing>,
    undescribed: Vec<NodeId>,
}

impl Walk<'_> {
    fn visit(&mut self, id: NodeId) {
        let node = self.graph.node(id);
        let known = |i: &Option<ValueId>| i.is_some_and(|i| self.axes[i.index()].is_some());
        if !node.inputs.iter().any(known) {
            return;
        }
        let graph = self.graph;
        for &output in &node.outputs {
            let shape = &graph.fact(output).shape;
            let axes = self.output(node, shape).filter(|axes| axes.len() == shape.rank());
            self.axes[output.index()] = Some(axes.unwrap_or_else(|| unknown(shape).into()));
        }
        match node.op.kind() {
            Kind::Other if (0..node.inputs.len()).any(|i| self.of(node, i).is_some_and(has_places)) => {
                self.undescribed.push(id);
            }
            _ => self.note_mixing(id, node),
        }
    }

    /// Returns the axes of an input that depends on the image.
    fn of(&self, node: &Node, index: usize) -> Option<&[Axis]> {
        self.axes[node.inputs.get(index).copied().flatten()?.index()].as_deref()
    }

    /// Creates an axis of new rows or columns that cover the whole image.
    fn fresh(&mut self, side: Side, size: usize, cells: Option<Cells>) -> Axis {
        let field = self.fields.add(cells);
        if size > 1 { vec![side.part(Digit::whole(field, size))] } else { Vec::new() }
    }

    /// Creates an axis of rows or columns that do not cover exactly the whole image.
    fn part(&mut self, side: Side, size: usize, cells: Option<Cells>) -> Axis {
        if cells.is_none() || size < 2 {
            return if size > 1 { vec![Part::Other(size)] } else { Vec::new() };
        }
        vec![side.part(Digit::part(self.fields.add(cells), size))]
    }

    fn output(&mut self, node: &Node, shape: &Shape) -> Option<Rc<[Axis]>> {
        let axes = match node.op.kind() {
            Kind::Conv(conv) => self.window(node, 0, shape, &Sliding::Over(&conv.window), true),
            Kind::ConvTranspose(conv) => self.window(node, 0, shape, &Sliding::Back(&conv.window), true),
            Kind::MaxPool(window) | Kind::AveragePool(window) => {
                self.window(node, 0, shape, &Sliding::Over(window), false)
            }
            Kind::MaxUnpool(window) => self.window(node, 1, shape, &Sliding::Back(window), false),
            Kind::Pad(pad) => Some(self.padded(node, pad, shape)),
            Kind::GlobalPool(_) => {
                let mut axes = self.of(node, 0)?.to_vec();
                axes.iter_mut().skip(2).for_each(Vec::clear);
                Some(axes)
            }
            Kind::Transpose(transpose) => {
                let axes = self.of(node, 0)?;
                transpose.perm.iter().map(|&p| axes.get(p).cloned()).collect()
            }
            Kind::Reshape => Some(reshape(self.of(node, 0)?, shape)),
            Kind::Reduce(reduce) => self.reduced(node, reduce),
            Kind::MatMul => self.product(node, shape),
            Kind::Gemm(gemm) => {
                let rows = self.of(node, 0)?.get(usize::from(gemm.trans_a)).cloned()?;
                Some(vec![rows, unknown(shape).pop()?])
            }
            Kind::Concat(concat) => self.joined(node, concat, shape),
            Kind::Slice(slice) => self.sliced(node, slice),
            Kind::Gather(gather) => self.gathered(node, gather, shape),
            Kind::Identity
            | Kind::Cast(_)
            | Kind::Expand
            | Kind::Unary(_)
            | Kind::Clip(_)
            | Kind::Binary(_)
            | Kind::Elementwise
            | Kind::Where
            | Kind::Softmax(_)
            | Kind::BatchNormalization(_)
            | Kind::LayerNormalization(_) => return Some(self.elementwise(node, shape)),
            Kind::Other => None,
        };
        axes.map(Rc::from)
    }

    /// Replaces the rows and columns by ones with other places mixed in.
    fn mix(&mut self, axis: &mut Axis) {
        each_digit(axis, |digit| digit.field = self.fields.mixed(digit.field));
    }

    fn reduced(&self, node: &Node, reduce: &Reduce) -> Option<Vec<Axis>> {
        let input = node.inputs.first().copied().flatten()?;
        let reduced = reduce.reduced(&self.graph.fact(input).shape).ok()?;
        let keep = |(axis, gone): (&Axis, bool)| match (gone, reduce.keep_dims) {
            (false, _) => Some(axis.clone()),
            (true, true) => Some(Vec::new()),
            (true, false) => None,
        };
        Some(self.of(node, 0)?.iter().zip(reduced).filter_map(keep).collect())
    }

    /// Records a node that sums over places or leaves none of them.
    fn note_mixing(&mut self, id: NodeId, node: &Node) {
        // Attention is a product of two values that depend on the image; a product with weights over places is a
        // reduction.
        let both = self.of(node, 0).is_some() && self.of(node, 1).is_some();
        let product = both && matches!(node.op.kind(), Kind::MatMul);
        let left = node.outputs.iter().any(|o| self.axes[o.index()].as_deref().is_some_and(has_places));
        for (i, back) in [(1, 2), (0, 1)] {
            let Some(axes) = self.of(node, i) else { continue };
            let summed = axes.len().checked_sub(back).and_then(|at| axes.get(at));
            let mixes = match product {
                true => summed.is_some_and(|axis| axis.iter().any(Part::is_place)),
                false => !left && node.op.kind().is_reduction() && has_places(axes),
            };
            if let (true, Some(Some(value))) = (mixes, node.inputs.get(i)) {
                self.mixing.push(Mixing { node: id, value: *value, product });
                return;
            }
        }
    }
}

/// True if one of the axes runs over rows or columns.
fn has_places(axes: &[Axis]) -> bool {
    axes.iter().flatten().any(Part::is_place)
}

/// Returns the rows or columns that an axis runs over, all of them or a part, if it runs over nothing else.
fn single(axis: &Axis) -> Option<(Side, Digit)> {
    let [part] = axis.as_slice() else { return None };
    let digit = part.digit().filter(|d| d.stride == 1 && (d.is_leading() || d.is_part()))?;
    Some((Side::of(part)?, digit))
}

/// Modifies the digits of row and column numbers in an axis.
fn each_digit(axis: &mut Axis, mut change: impl FnMut(&mut Digit)) {
    for part in axis {
        match part {
            Part::Rows(digit) | Part::Columns(digit) => change(digit),
            Part::Tokens { grid, .. } => grid.iter_mut().for_each(&mut change),
            Part::Samples(_) | Part::Other(_) => {}
        }
    }
}
