//! Selections by constant indices and slices.

use heatlens_graph::op::gather::Gather;
use heatlens_graph::op::slice::Slice;
use heatlens_graph::{Node, Shape};

use super::super::axis::{Axis, Digit, Part, unknown};
use super::super::receptive_field::Side;
use super::super::selection::{self, Picked};
use super::{Walk, single};
use crate::model::placement::{Cells, Fit, Pick};

impl Walk<'_> {
    /// Returns the axes after a selection by constant indices. The new axes are unknown, unless they are windows of
    /// rows or columns.
    pub(super) fn gathered(&mut self, node: &Node, gather: &Gather, shape: &Shape) -> Option<Vec<Axis>> {
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

    pub(super) fn sliced(&mut self, node: &Node, slice: &Slice) -> Option<Vec<Axis>> {
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

    /// Returns the cells computed from those of a field.
    pub(super) fn picked(&self, digit: Digit, picks: &[Pick]) -> Option<Cells> {
        Some(self.fields.of_digit(digit)?.picked(&Fit::new(picks, digit.size)?))
    }
}

/// True if a strided slice covers all rows or columns.
fn covers(slice: &Slice, digit: Digit) -> bool {
    slice.step > 1
        && digit.is_leading()
        && slice.start < slice.step
        && slice.len == digit.size.div_ceil(slice.step)
}
