//! Sliding windows and padding.

use heatlens_graph::op::pad::Pad;
use heatlens_graph::op::window::Window;
use heatlens_graph::{Node, Shape};

use super::super::axis::{Axis, Part, is_samples, unknown};
use super::super::receptive_field::Side;
use super::Walk;
use crate::model::placement::Cells;

impl Walk<'_> {
    /// Returns the axes after a sliding window over the input at `index`, with new rows and columns.
    pub(super) fn window(
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
    pub(super) fn padded(&mut self, node: &Node, pad: &Pad, shape: &Shape) -> Vec<Axis> {
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
}

/// Direction of a sliding window.
pub(super) enum Sliding<'w> {
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
