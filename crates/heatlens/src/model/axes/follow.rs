//! The meaning of axes, followed from the image through every node.

use heatlens_graph::op::concat::Concat;
use heatlens_graph::op::conv::Conv;
use heatlens_graph::op::gather::Gather;
use heatlens_graph::op::gemm::Gemm;
use heatlens_graph::op::global_pool::GlobalPool;
use heatlens_graph::op::matmul::MatMul;
use heatlens_graph::op::pool::{AveragePool, MaxPool};
use heatlens_graph::op::reduce::Reduce;
use heatlens_graph::op::reshape::{Flatten, Reshape, Squeeze, Unsqueeze};
use heatlens_graph::op::slice::Slice;
use heatlens_graph::op::transpose::Transpose;
use heatlens_graph::{Graph, Node, NodeId, Shape, ValueId};

use super::choose::{self, Picked};
use super::digits::{Axis, Digit, Part, reshape, tokens, unknown};

/// What is known of a graph's axes.
#[derive(Debug)]
pub(crate) struct Followed {
    /// For every value computed from the image, the meaning of its axes.
    pub(crate) axes: Vec<Option<Vec<Axis>>>,
    /// The nodes that mix places until none is left, in order.
    pub(crate) mixing: Vec<Mixing>,
}

/// A node whose result no longer says where in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mixing {
    pub(crate) node: NodeId,
    /// What it reads that still did.
    pub(crate) value: ValueId,
    /// Whether it is a product over places, as in attention, rather than a reduction.
    pub(crate) product: bool,
}

/// Follows the axes of `image` (N×C×H×W) through the graph.
pub(crate) fn follow(graph: &Graph, image: ValueId) -> Followed {
    let mut walk = Walk { graph, axes: vec![None; graph.values().len()], fields: 0, mixing: Vec::new() };
    let shape = &graph.fact(image).shape;
    let mut axes = unknown(shape);
    if let [samples, _, rows, columns] = axes.as_mut_slice() {
        if let [Part::Other(batch)] = samples[..] {
            *samples = vec![Part::Samples(batch)];
        }
        (*rows, *columns) = walk.fresh(shape.0[2].at(1), shape.0[3].at(1));
    }
    walk.axes[image.index()] = Some(axes);
    for id in graph.node_ids() {
        walk.visit(id);
    }
    Followed { axes: walk.axes, mixing: walk.mixing }
}

struct Walk<'g> {
    graph: &'g Graph,
    axes: Vec<Option<Vec<Axis>>>,
    fields: u32,
    mixing: Vec<Mixing>,
}

impl Walk<'_> {
    fn visit(&mut self, id: NodeId) {
        let node = self.graph.node(id);
        let known = |i: &Option<ValueId>| i.is_some_and(|i| self.axes[i.index()].is_some());
        if !node.inputs.iter().any(known) {
            return;
        }
        for &output in &node.outputs {
            let shape = self.graph.fact(output).shape.clone();
            let axes = self.output(node, &shape).filter(|axes| axes.len() == shape.rank());
            self.axes[output.index()] = Some(axes.unwrap_or_else(|| unknown(&shape)));
        }
        self.note_mixing(id, node);
    }

    /// The axes of an input that depends on the image.
    fn of(&self, node: &Node, index: usize) -> Option<&[Axis]> {
        self.axes[node.inputs.get(index).copied().flatten()?.index()].as_deref()
    }

    fn fresh(&mut self, rows: usize, columns: usize) -> (Axis, Axis) {
        let mut axis = |part: fn(Digit) -> Part, size| {
            self.fields += 1;
            if size > 1 { vec![part(Digit::whole(self.fields, size))] } else { Vec::new() }
        };
        (axis(Part::Rows, rows), axis(Part::Columns, columns))
    }

    fn output(&mut self, node: &Node, shape: &Shape) -> Option<Vec<Axis>> {
        let op = &node.op;
        if op.downcast_ref::<Conv>().is_some() {
            return self.window(node, shape, true);
        }
        if op.downcast_ref::<MaxPool>().is_some() || op.downcast_ref::<AveragePool>().is_some() {
            return self.window(node, shape, false);
        }
        if op.downcast_ref::<GlobalPool>().is_some() {
            let mut axes = self.of(node, 0)?.to_vec();
            axes.iter_mut().skip(2).for_each(Vec::clear);
            return Some(axes);
        }
        if let Some(transpose) = op.downcast_ref::<Transpose>() {
            let axes = self.of(node, 0)?;
            return transpose.perm.iter().map(|&p| axes.get(p).cloned()).collect();
        }
        if is_reshape(node) {
            return Some(reshape(self.of(node, 0)?, shape));
        }
        if let Some(reduce) = op.downcast_ref::<Reduce>() {
            return self.reduced(node, reduce);
        }
        if op.downcast_ref::<MatMul>().is_some() {
            return self.product(node, shape);
        }
        if let Some(gemm) = op.downcast_ref::<Gemm>() {
            let rows = self.of(node, 0)?.get(usize::from(gemm.trans_a)).cloned()?;
            return Some(vec![rows, unknown(shape).pop()?]);
        }
        if let Some(concat) = op.downcast_ref::<Concat>() {
            return self.joined(node, concat, shape);
        }
        if let Some(slice) = op.downcast_ref::<Slice>() {
            return self.sliced(node, slice);
        }
        match op.spelling().name {
            "ConvInputGrad" | "Resize" | "Upsample" => self.window(node, shape, true),
            "Gather" => self.gathered(node, shape),
            _ => Some(self.elementwise(node, shape)),
        }
    }

    /// A window that slides over rows and columns makes new ones, unless there are as many as before.
    fn window(&mut self, node: &Node, shape: &Shape, new_channels: bool) -> Option<Vec<Axis>> {
        let old = self.of(node, 0)?.to_vec();
        let mut axes = unknown(shape);
        let ([samples, channels, rows, columns], [s, c, h, w]) = (axes.as_mut_slice(), old.as_slice()) else {
            return Some(axes);
        };
        samples.clone_from(s);
        if !new_channels {
            channels.clone_from(c);
        }
        let input = &self.graph.fact(node.inputs.first().copied().flatten()?).shape;
        if shape.0.get(2..) == input.0.get(2..) {
            (*rows, *columns) = (h.clone(), w.clone());
        }
        let strange =
            |axis: &Axis, own: fn(&Part) -> bool| axis.iter().any(|p| !own(p) && *p != Part::Other(p.size()));
        let in_image = super::digits::is_samples(s)
            && !strange(h, |p| matches!(p, Part::Rows(_)))
            && !strange(w, |p| matches!(p, Part::Columns(_)));
        let unsure = |axis: &Axis, size: usize| size > 1 && !axis.iter().any(Part::is_place);
        let (height, width) = (shape.0.get(2)?.at(1), shape.0.get(3)?.at(1));
        if in_image && (unsure(rows, height) || unsure(columns, width)) {
            (*rows, *columns) = self.fresh(height, width);
        }
        Some(axes)
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

    /// Rows of the first factor, columns of the second; the axes before them as in element-wise functions.
    fn product(&mut self, node: &Node, shape: &Shape) -> Option<Vec<Axis>> {
        let mut axes = self.elementwise(node, shape);
        let (rank, plain) = (shape.rank(), unknown(shape));
        for (input, back) in [(0, 2), (1, 1)] {
            let at = rank.checked_sub(back)?;
            let from = self.of(node, input).and_then(|own| own.get(own.len().checked_sub(back)?)).cloned();
            *axes.get_mut(at)? = match from {
                Some(axis) => axis,
                None => self.resized(node, input, shape).or_else(|| plain.get(at).cloned())?,
            };
        }
        Some(axes)
    }

    /// The rows or columns that a constant matrix, the factor at `matrix`, makes of those of the other factor.
    fn resized(&mut self, node: &Node, matrix: usize, shape: &Shape) -> Option<Axis> {
        let (back, along) = if matrix == 0 { (2, 1) } else { (1, 0) };
        let other = self.of(node, 1 - matrix)?;
        let (part, _) = choose::whole(other.get(other.len().checked_sub(back)?)?)?;
        let size = shape.0.get(shape.rank().checked_sub(back)?)?.at(1);
        choose::interpolates(self.graph, node, matrix, along).then(|| self.anew(part, size))
    }

    /// New rows or columns in the place of old ones.
    fn anew(&mut self, old: Part, size: usize) -> Axis {
        match old {
            Part::Columns(_) => self.fresh(1, size).1,
            _ => self.fresh(size, 1).0,
        }
    }

    /// Picked by constant indices: whatever takes the place of the axis is unknown, unless it is windows of rows or columns.
    fn gathered(&mut self, node: &Node, shape: &Shape) -> Option<Vec<Axis>> {
        let gather = node.op.downcast_ref::<Gather>()?;
        let mut axes = self.of(node, 0)?.to_vec();
        let mut middle = unknown(shape).get(gather.axis..gather.axis + gather.shape.len())?.to_vec();
        if let Some((part, digit)) = axes.get(gather.axis).and_then(choose::whole) {
            match choose::picked(gather, digit) {
                Some(Picked::Digits(digits)) => {
                    let of = |digit: Digit| {
                        if matches!(part, Part::Rows(_)) { Part::Rows(digit) } else { Part::Columns(digit) }
                    };
                    middle = digits
                        .into_iter()
                        .map(|d| if d.size > 1 { vec![of(d)] } else { Vec::new() })
                        .collect();
                }
                Some(Picked::Fresh(at)) => *middle.get_mut(at)? = self.anew(part, *gather.shape.get(at)?),
                None => {}
            }
        }
        axes.splice(gather.axis..=gather.axis, middle);
        Some(axes)
    }

    fn joined(&self, node: &Node, concat: &Concat, shape: &Shape) -> Option<Vec<Axis>> {
        let at = shape.axis(concat.axis)?;
        let mut axes = self.elementwise(node, shape);
        let mut joined: Option<(usize, [Digit; 2], usize)> = None;
        let mut before = 0;
        for (i, input) in node.inputs.iter().enumerate() {
            let size = self.graph.fact((*input)?).shape.0.get(at)?.at(1);
            let own = self.of(node, i).and_then(|axes| tokens(axes.get(at)?));
            match (own, &mut joined) {
                (Some((front, grid, back)), None) => joined = Some((before + front, grid, back)),
                (None, Some((_, _, after))) => *after += size,
                (None, None) => before += size,
                (Some(_), Some(_)) => return Some(set(axes, at, &unknown(shape))),
            }
        }
        match joined {
            Some((before, grid, after)) => *axes.get_mut(at)? = vec![Part::Tokens { before, grid, after }],
            None => return Some(set(axes, at, &unknown(shape))),
        }
        Some(axes)
    }

    fn sliced(&mut self, node: &Node, slice: &Slice) -> Option<Vec<Axis>> {
        let mut axes = self.of(node, 0)?.to_vec();
        let axis = axes.get_mut(slice.axis)?;
        let whole = |size: usize| slice.step == 1 && slice.start == 0 && slice.len == size;
        let end = slice.start + slice.len;
        *axis = match *axis.as_slice() {
            _ if slice.len == 1 => Vec::new(),
            [part] if whole(part.size()) => vec![part],
            [Part::Tokens { before, grid: [rows, columns], .. }] if slice.step == 1 => {
                let (first, last) = (before, before + rows.size * columns.size);
                match (
                    slice.start <= first && end >= last,
                    before - slice.start.min(before),
                    end.saturating_sub(last),
                ) {
                    (true, 0, 0) => vec![Part::Rows(rows), Part::Columns(columns)],
                    (true, before, after) => vec![Part::Tokens { before, grid: [rows, columns], after }],
                    _ => vec![Part::Other(slice.len)],
                }
            }
            // Every other row is a row; a part of the rows is not the image.
            [Part::Rows(digit)] if covers(slice, digit) => self.fresh(slice.len, 1).0,
            [Part::Columns(digit)] if covers(slice, digit) => self.fresh(1, slice.len).1,
            _ => vec![Part::Other(slice.len)],
        };
        Some(axes)
    }

    /// Axes as in the inputs of the same size, in the one of which most is known.
    fn elementwise(&self, node: &Node, shape: &Shape) -> Vec<Axis> {
        let mut axes = unknown(shape);
        let rank = shape.rank();
        let known = |axis: &Axis| axis.iter().filter(|p| !matches!(p, Part::Other(_))).count();
        for i in 0..node.inputs.len() {
            let (Some(own), Some(Some(input))) = (self.of(node, i), node.inputs.get(i)) else { continue };
            let input = &self.graph.fact(*input).shape;
            let Some(shift) = rank.checked_sub(own.len()) else { continue };
            for (at, axis) in own.iter().enumerate() {
                let same = input.0.get(at) == shape.0.get(at + shift);
                if same && axes.get(at + shift).is_some_and(|found| known(axis) > known(found)) {
                    axes[at + shift].clone_from(axis);
                }
            }
        }
        axes
    }

    /// Remembers a node behind which no place of the image is left, or which sums over places.
    fn note_mixing(&mut self, id: NodeId, node: &Node) {
        // Attention is a product of two things that depend on the image; weights over places are a reduction.
        let both = self.of(node, 0).is_some() && self.of(node, 1).is_some();
        let product = both && node.op.downcast_ref::<MatMul>().is_some();
        let has_places = |axes: &[Axis]| axes.iter().flatten().any(Part::is_place);
        let left = node.outputs.iter().any(|o| self.axes[o.index()].as_deref().is_some_and(has_places));
        for (i, back) in [(1, 2), (0, 1)] {
            let Some(axes) = self.of(node, i) else { continue };
            let summed = axes.len().checked_sub(back).and_then(|at| axes.get(at));
            let mixes = match product {
                true => summed.is_some_and(|axis| axis.iter().any(Part::is_place)),
                false => !left && reduces(node) && has_places(axes),
            };
            if let (true, Some(Some(value))) = (mixes, node.inputs.get(i)) {
                self.mixing.push(Mixing { node: id, value: *value, product });
                return;
            }
        }
    }
}

/// Whether a node only gives its elements another shape.
fn is_reshape(node: &Node) -> bool {
    let op = &node.op;
    op.downcast_ref::<Reshape>().is_some()
        || op.downcast_ref::<Flatten>().is_some()
        || op.downcast_ref::<Squeeze>().is_some()
        || op.downcast_ref::<Unsqueeze>().is_some()
}

/// Whether a node adds up (or takes the largest of) what lies at several places.
fn reduces(node: &Node) -> bool {
    let op = &node.op;
    op.downcast_ref::<Reduce>().is_some()
        || op.downcast_ref::<GlobalPool>().is_some()
        || op.downcast_ref::<MaxPool>().is_some()
        || op.downcast_ref::<AveragePool>().is_some()
        || op.downcast_ref::<Conv>().is_some()
        || op.downcast_ref::<Gemm>().is_some()
        || op.downcast_ref::<MatMul>().is_some()
}

/// Whether a slice with steps goes over all rows or columns.
fn covers(slice: &Slice, digit: Digit) -> bool {
    slice.step > 1
        && digit.is_leading()
        && slice.start < slice.step
        && slice.len == digit.size.div_ceil(slice.step)
}

/// `axes` with the one at `at` taken from `other`.
fn set(mut axes: Vec<Axis>, at: usize, other: &[Axis]) -> Vec<Axis> {
    if let (Some(axis), Some(new)) = (axes.get_mut(at), other.get(at)) {
        axis.clone_from(new);
    }
    axes
}
