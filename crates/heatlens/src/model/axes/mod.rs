//! Meaning of a value's axes: samples, rows, columns, or anything else.
//!
//! A map requires knowing which elements of a layer correspond to which place of the image. In a convolutional network
//! this follows from the shape. In a transformer, places become tokens, which are preceded by a class token, split into
//! windows, shifted and merged. The meaning of the image's axes is therefore propagated through the graph, node by
//! node. Reshapes only split and merge axes: a row number is written as a sum of digits (for 7 windows of 8 rows, one
//! digit for the window and one for the row within it), and the rows are restored where the digits are merged again.

mod axis;
mod elementwise;
mod propagate;
mod receptive_field;
mod selection;

pub(crate) use axis::{Axis, Part};
pub(crate) use propagate::{Mixing, PropagatedAxes, propagate};
pub(crate) use receptive_field::Fields;

use heatlens_graph::Shape;

use crate::model::placement::Cells;

/// Layout of a value's elements over the places of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpatialLayout {
    /// N×C×h×w.
    Spatial,
    /// N×h×w×C.
    ChannelsLast,
    /// N×T×C: h·w tokens, row by row, with `before` other tokens (class or register tokens) before and `after` behind
    /// them.
    Tokens {
        /// Number of tokens without a place, before the grid.
        before: usize,
        /// Number of tokens without a place, after the grid.
        after: usize,
    },
}

/// Returns the grid of a value with the axes `axes`, and its shape `[c, h, w]`.
pub(crate) fn grid(axes: &[Axis], shape: &Shape) -> Option<(SpatialLayout, [usize; 3])> {
    let size = |axis: usize| shape.0.get(axis).map_or(0, |d| d.at(1));
    let (samples, axes) = axes.split_first()?;
    if !axis::is_samples(samples) {
        return None;
    }
    let (grid, c, h, w) = match axes {
        [c, h, w] if is_rows(h) && is_columns(w) && is_plain(c) => {
            (SpatialLayout::Spatial, size(1), size(2), size(3))
        }
        [h, w, c] if is_rows(h) && is_columns(w) && is_plain(c) => {
            (SpatialLayout::ChannelsLast, size(3), size(1), size(2))
        }
        [tokens, c] if is_plain(c) => {
            let (before, [rows, columns], after) = axis::tokens(tokens)?;
            (SpatialLayout::Tokens { before, after }, size(2), rows.size, columns.size)
        }
        _ => return None,
    };
    // Without channels there is no map, and the product of rows and columns may overflow.
    (c > 0 && h * w > 1).then_some((grid, [c, h, w]))
}

/// Returns the cells of the rows and columns of such a value.
pub(crate) fn cells(axes: &[Axis], fields: &Fields) -> [Option<Cells>; 2] {
    let digits = match axes {
        [_, _, h, w] | [_, h, w, _] if is_rows(h) && is_columns(w) => {
            [h, w].map(|axis| axis.first()?.digit())
        }
        [_, tokens, _] => match axis::tokens(tokens) {
            Some((_, grid, _)) => grid.map(Some),
            None => [None; 2],
        },
        _ => [None; 2],
    };
    digits.map(|digit| fields.of_digit(digit?))
}

fn is_rows(axis: &Axis) -> bool {
    match axis.as_slice() {
        [] => true,
        [Part::Rows(digit)] => digit.is_leading(),
        _ => false,
    }
}

fn is_columns(axis: &Axis) -> bool {
    match axis.as_slice() {
        [] => true,
        [Part::Columns(digit)] => digit.is_leading(),
        _ => false,
    }
}

/// True if an axis holds channels only, without positions in the image.
fn is_plain(axis: &Axis) -> bool {
    !axis.iter().any(|part| part.is_place() || matches!(part, Part::Samples(_)))
}
