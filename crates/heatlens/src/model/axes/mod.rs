//! What the axes of a value run over: samples, rows, columns, or anything else.
//!
//! A map needs to know which numbers of a layer stand for which place of the image. In a
//! convolutional network the shape says so; in a transformer places become tokens, get a class
//! token in front, are cut into windows, shifted and merged. So the meaning of the image's axes is
//! followed through the graph, node by node. Reshapes only cut and join axes: a row number is
//! written in digits (7 windows of 8 rows: one digit for the window, one for the row within it),
//! and where the digits come together again, the rows are there again.

mod choose;
mod digits;
mod fields;
mod follow;
mod meet;

pub(crate) use digits::{Axis, Part};
pub(crate) use fields::Fields;
pub(crate) use follow::{Followed, Mixing, follow};

use heatlens_graph::Shape;

use crate::model::placement::Cells;

/// How a value's numbers are laid out over places of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grid {
    /// N×C×h×w.
    Spatial,
    /// N×h×w×C.
    ChannelsLast,
    /// N×T×C: h·w tokens, row by row, with `before` others (class or register tokens) in front of them
    /// and `after` behind.
    Tokens {
        /// Tokens that stand for no place, in front.
        before: usize,
        /// Tokens that stand for no place, behind.
        after: usize,
    },
}

/// The grid of a value whose axes mean `axes`, and its `[c, h, w]`.
pub(crate) fn grid(axes: &[Axis], shape: &Shape) -> Option<(Grid, [usize; 3])> {
    let size = |axis: usize| shape.0.get(axis).map_or(0, |d| d.at(1));
    let (samples, axes) = axes.split_first()?;
    if !digits::is_samples(samples) {
        return None;
    }
    let (grid, c, h, w) = match axes {
        [c, h, w] if is_rows(h) && is_columns(w) && is_plain(c) => (Grid::Spatial, size(1), size(2), size(3)),
        [h, w, c] if is_rows(h) && is_columns(w) && is_plain(c) => {
            (Grid::ChannelsLast, size(3), size(1), size(2))
        }
        [tokens, c] if is_plain(c) => {
            let (before, [rows, columns], after) = digits::tokens(tokens)?;
            (Grid::Tokens { before, after }, size(2), rows.size, columns.size)
        }
        _ => return None,
    };
    // Without channels there is nothing to see, and rows times columns need not be a number.
    (c > 0 && h * w > 1).then_some((grid, [c, h, w]))
}

/// Where the rows and columns of such a value stand in the image.
pub(crate) fn cells(axes: &[Axis], fields: &Fields) -> [Option<Cells>; 2] {
    let digits = match axes {
        [_, _, h, w] | [_, h, w, _] if is_rows(h) && is_columns(w) => {
            [h, w].map(|axis| axis.first()?.digit())
        }
        [_, tokens, _] => match digits::tokens(tokens) {
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

/// Whether an axis holds channels: nothing that says where in the image.
fn is_plain(axis: &Axis) -> bool {
    !axis.iter().any(|part| part.is_place() || matches!(part, Part::Samples(_)))
}
