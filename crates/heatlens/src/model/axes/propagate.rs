//! Propagation of the meaning of axes from the image through every node.

use std::rc::Rc;

use heatlens_graph::op::Kind;
use heatlens_graph::op::concat::Concat;
use heatlens_graph::op::gather::Gather;
use heatlens_graph::op::pad::Pad;
use heatlens_graph::op::reduce::Reduce;
use heatlens_graph::op::slice::Slice;
use heatlens_graph::op::window::Window;
use heatlens_graph::{Dim, Graph, Node, NodeId, Shape, ValueId};

use super::axis::{Axis, Digit, Part, is_samples, reshape, tokens, unknown};
use super::elementwise::{Meeting, keeps};
use super::receptive_field::{Fields, Side};
use super::selection::{self, Picked};
use crate::model::placement::{Cells, Fit, Pick};

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

    /// Returns the axes after a sliding window over the input at `index`, with new rows and columns.
    fn window(
        &mut self,
        node: &Node,
        index: usize,
        shape: &Shape,
        by: &Sliding<'_>,
        new_channels: bool,
    ) -> Option<Vec<Axis>> {
        let old = self.of(node, index)?.to_vec();
        let mut axes = unknown(shape);
        let ([samples, channels, rows, columns], [s, c, h, w]) = (axes.as_mut_slice(), old.as_slice()) else {
            return Some(axes);
        };
        samples.clone_from(s);
        if !new_channels {
            channels.clone_from(c);
        }
        let input = &self.graph.fact(node.inputs.get(index).copied().flatten()?).shape;
        let strange = |axis: &Axis, side: Side| {
            let usual = |p: &Part| {
                Side::of(p) == Some(side)
                    || p.digit().is_some_and(|d| d.is_part())
                    || *p == Part::Other(p.size())
            };
            !axis.iter().all(usual)
        };
        let in_image = is_samples(s) && !strange(h, Side::Rows) && !strange(w, Side::Columns);
        for (axis, (new, old)) in [(rows, h), (columns, w)].into_iter().enumerate() {
            let side = if axis == 0 { Side::Rows } else { Side::Columns };
            let same = shape.0.get(2..) == input.0.get(2..);
            if in_image {
                let cells = self.fields.of_axis(old).filter(|(own, _)| *own == side);
                let cells = cells.map(|(_, cells)| by.cells(cells, axis));
                *new = self.fresh(side, shape.0.get(2 + axis)?.at(1), cells);
            } else if same {
                // Within windows, neighbours need not be neighbours in the image.
                new.clone_from(old);
                self.mix(new);
            }
        }
        Some(axes)
    }

    /// Returns the axes after padding, which no longer cover exactly the whole image.
    fn padded(&mut self, node: &Node, pad: &Pad, shape: &Shape) -> Vec<Axis> {
        let old = self.of(node, 0).map(<[Axis]>::to_vec).unwrap_or_default();
        let mut axes = unknown(shape);
        for (at, (new, old)) in axes.iter_mut().zip(&old).enumerate() {
            let [front, back] = [&pad.begin, &pad.end].map(|pads| pads.get(at).copied().unwrap_or(0));
            if front + back == 0 {
                new.clone_from(old);
            } else if let Some((side, cells)) = self.fields.of_axis(old) {
                *new = self.part(side, shape.0[at].at(1), Some(cells.behind(front)));
            }
        }
        axes
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

    /// Returns the axes of a matrix product: rows of the first factor, columns of the second, and leading axes as in
    /// element-wise operators.
    fn product(&mut self, node: &Node, shape: &Shape) -> Option<Vec<Axis>> {
        let mut axes = self.met(node, shape, &[]);
        let (rank, plain) = (shape.rank(), unknown(shape));
        for (input, back) in [(0, 2), (1, 1)] {
            let at = rank.checked_sub(back)?;
            let from = self.of(node, input).and_then(|own| own.get(own.len().checked_sub(back)?)).cloned();
            *axes.get_mut(at)? = match from {
                Some(axis) => axis,
                None => self.resized(node, input, shape).or_else(|| plain.get(at).cloned())?,
            };
        }
        if self.sums_over_places(node) {
            axes.iter_mut().for_each(|axis| self.mix(axis));
        }
        Some(axes)
    }

    /// True if a product of two values that depend on the image sums over places, as in attention.
    fn sums_over_places(&self, node: &Node) -> bool {
        let summed = |input: usize, back: usize| {
            let axes = self.of(node, input)?;
            axes.get(axes.len().checked_sub(back)?)
        };
        let of_places = |axis: &Axis| axis.iter().any(|p| p.digit().is_some() || p.is_place());
        let (Some(a), Some(b)) = (summed(0, 1), summed(1, 2)) else { return false };
        of_places(a) || of_places(b)
    }

    /// Returns the rows or columns that a constant matrix, the factor at `matrix`, computes from those of the other
    /// factor.
    fn resized(&mut self, node: &Node, matrix: usize, shape: &Shape) -> Option<Axis> {
        let (back, along) = if matrix == 0 { (2, 1) } else { (1, 0) };
        let other = self.of(node, 1 - matrix)?;
        let (part, digit) = selection::whole(other.get(other.len().checked_sub(back)?)?)?;
        let size = shape.0.get(shape.rank().checked_sub(back)?)?.at(1);
        let picks = selection::means(self.graph, node, matrix, along)?;
        let cells = self.picked(digit, &picks);
        Some(self.fresh(Side::of(&part)?, size, cells))
    }

    /// Returns the cells computed from those of a field.
    fn picked(&self, digit: Digit, picks: &[Pick]) -> Option<Cells> {
        Some(self.fields.of_digit(digit)?.picked(&Fit::new(picks, digit.size)?))
    }

    /// Returns the axes after a selection by constant indices. The new axes are unknown, unless they are windows of
    /// rows or columns.
    fn gathered(&mut self, node: &Node, gather: &Gather, shape: &Shape) -> Option<Vec<Axis>> {
        let mut axes = self.of(node, 0)?.to_vec();
        let mut middle = unknown(shape).get(gather.axis..gather.axis + gather.shape.len())?.to_vec();
        if let Some((part, digit)) = axes.get(gather.axis).and_then(selection::whole) {
            match selection::picked(gather, digit) {
                Some(Picked::Digits(digits)) => {
                    let side = Side::of(&part)?;
                    let of = |digit: Digit| side.part(digit);
                    middle = digits
                        .into_iter()
                        .map(|d| if d.size > 1 { vec![of(d)] } else { Vec::new() })
                        .collect();
                }
                Some(Picked::Fresh { at, step, centre, span }) => {
                    let between = [centre - span / 2.0, centre + span / 2.0];
                    let fit = Fit { scale: step as f64, shift: centre, between };
                    let cells = self.fields.of_digit(digit).map(|cells| cells.picked(&fit));
                    *middle.get_mut(at)? = self.fresh(Side::of(&part)?, *gather.shape.get(at)?, cells);
                }
                None => {}
            }
        }
        if let ([new], Some((side, digit))) = (middle.as_mut_slice(), axes.get(gather.axis).and_then(single))
            && new.iter().all(|p| matches!(p, Part::Other(_)))
        {
            let picks: Vec<Pick> = gather.indices.iter().map(|&i| Pick::one(i)).collect();
            let cells = self.picked(digit, &picks);
            *new = self.part(side, picks.len(), cells);
        }
        axes.splice(gather.axis..=gather.axis, middle);
        Some(axes)
    }

    fn joined(&mut self, node: &Node, concat: &Concat, shape: &Shape) -> Option<Vec<Axis>> {
        let at = shape.axis(concat.axis)?;
        let size = |input: &Option<ValueId>| {
            input.and_then(|i| self.graph.fact(i).shape.0.get(at)).map_or(0.0, |d| d.at(1) as f64)
        };
        let shares: Vec<f64> = node.inputs.iter().map(size).collect();
        let mut axes = self.met(node, shape, &shares);
        if let Some(axis) = self.surrounded(node, at, shape) {
            *axes.get_mut(at)? = axis;
            return Some(axes);
        }
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

    /// Returns an axis of rows or columns with constants around them.
    fn surrounded(&mut self, node: &Node, at: usize, shape: &Shape) -> Option<Axis> {
        let mut own = (0..node.inputs.len()).filter_map(|i| Some((i, self.of(node, i)?.get(at)?)));
        let ((input, axis), None) = (own.next()?, own.next()) else { return None };
        single(axis)?;
        let (side, cells) = self.fields.of_axis(axis)?;
        let before = node.inputs.iter().take(input).flatten();
        let front: usize = before.map(|&i| self.graph.fact(i).shape.0.get(at).map_or(0, |d| d.at(1))).sum();
        Some(self.part(side, shape.0.get(at)?.at(1), Some(cells.behind(front))))
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
            [_] => match (single(axis), self.fields.of_axis(axis)) {
                // Every other row is still a row; a part of the rows does not cover the image.
                (Some((side, digit)), cells) => {
                    let cells = cells.map(|(_, cells)| cells.every(slice.step, slice.start));
                    match covers(slice, digit) {
                        true => self.fresh(side, slice.len, cells),
                        false => self.part(side, slice.len, cells),
                    }
                }
                _ => vec![Part::Other(slice.len)],
            },
            _ => vec![Part::Other(slice.len)],
        };
        Some(axes)
    }

    /// Returns the axes of an element-wise result: each as in the input of equal size in which most is known about it,
    /// with the mean position of all inputs.
    fn elementwise(&mut self, node: &Node, shape: &Shape) -> Rc<[Axis]> {
        self.common(node, shape).unwrap_or_else(|| self.met(node, shape, &[]).into())
    }

    /// Returns the axes of the inputs if all that depend on the image have the same axes and the shape of the result, and
    /// more is known of each axis than its size.
    fn common(&self, node: &Node, shape: &Shape) -> Option<Rc<[Axis]>> {
        let mut depending =
            node.inputs.iter().flatten().filter_map(|i| Some((*i, self.axes[i.index()].as_ref()?)));
        let (first, axes) = depending.next()?;
        let fits = |value: ValueId| self.graph.fact(value).shape == *shape;
        let same = depending.all(|(value, other)| (Rc::ptr_eq(axes, other) || axes == other) && fits(value));
        let kept = |(axis, dim): (&Axis, &Dim)| keeps(axis, *dim);
        (same && fits(first) && axes.iter().zip(&shape.0).all(kept)).then(|| Rc::clone(axes))
    }

    /// Same as [`elementwise`](Self::elementwise), with weight `shares[i]` (default 1) for input i.
    fn met(&mut self, node: &Node, shape: &Shape, shares: &[f64]) -> Vec<Axis> {
        let rank = shape.rank();
        let mut meeting = Meeting::new(rank);
        for i in 0..node.inputs.len() {
            let (Some(own), Some(Some(input))) = (self.of(node, i), node.inputs.get(i)) else { continue };
            let input = &self.graph.fact(*input).shape;
            let Some(shift) = rank.checked_sub(own.len()) else { continue };
            let share = shares.get(i).copied().unwrap_or(1.0);
            let same = |at: usize| at >= shift && input.0.get(at - shift) == shape.0.get(at);
            meeting.add(share, |at| same(at).then(|| own[at - shift].clone()));
        }
        meeting.axes(unknown(shape), &mut self.fields)
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

/// Direction of a sliding window.
enum Sliding<'w> {
    /// A convolution or pooling.
    Over(&'w Window),
    /// A transposed convolution or the inverse of a pooling.
    Back(&'w Window),
}

impl Sliding<'_> {
    /// Returns the cells of the result along a spatial axis.
    fn cells(&self, cells: Cells, axis: usize) -> Cells {
        let (Self::Over(window) | Self::Back(window)) = self;
        let of = |list: &[usize], default| list.get(axis).copied().unwrap_or(default);
        let (kernel, stride) = (of(&window.kernel, 1), of(&window.strides, 1));
        let (dilation, pad) = (of(&window.dilations, 1), of(&window.pads_begin, 0));
        match self {
            Self::Over(_) => cells.windows(kernel, stride, dilation, pad),
            Self::Back(_) => cells.spread(kernel, stride, dilation, pad),
        }
    }
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

/// True if a strided slice covers all rows or columns.
fn covers(slice: &Slice, digit: Digit) -> bool {
    slice.step > 1
        && digit.is_leading()
        && slice.start < slice.step
        && slice.len == digit.size.div_ceil(slice.step)
}

/// Returns `axes` with the one at `at` replaced by that of `other`.
fn set(mut axes: Vec<Axis>, at: usize, other: &[Axis]) -> Vec<Axis> {
    if let (Some(axis), Some(new)) = (axes.get_mut(at), other.get(at)) {
        axis.clone_from(new);
    }
    axes
}
