//! Positions of rows and columns in the image.

use std::collections::BTreeMap;

use super::axis::{Axis, Digit, Part};
use crate::model::placement::Cells;

/// The cells of every field of rows or columns; `None` if they are unknown.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    cells: Vec<Option<Cells>>,
    /// Fields derived from others by mixing in other places. There is at most one per field, so that the digits of a
    /// number still belong together.
    mixed: BTreeMap<u32, u32>,
}

/// Spatial axis of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Rows,
    Columns,
}

impl Side {
    /// Returns a factor for this axis.
    pub(crate) fn part(self, digit: Digit) -> Part {
        match self {
            Self::Rows => Part::Rows(digit),
            Self::Columns => Part::Columns(digit),
        }
    }

    /// Returns the axis that a factor belongs to.
    pub(crate) fn of(part: &Part) -> Option<Self> {
        match part {
            Part::Rows(_) => Some(Self::Rows),
            Part::Columns(_) => Some(Self::Columns),
            Part::Samples(_) | Part::Tokens { .. } | Part::Other(_) => None,
        }
    }
}

impl Fields {
    /// Adds a field and returns its number.
    pub(crate) fn add(&mut self, cells: Option<Cells>) -> u32 {
        self.cells.push(cells);
        u32::try_from(self.cells.len() - 1).unwrap_or(u32::MAX)
    }

    /// Returns the cells of a field.
    pub(crate) fn cells(&self, field: u32) -> Option<Cells> {
        self.cells.get(field as usize).copied().flatten()
    }

    /// Returns the cells of a digit: one for each of its values, covering the range of the less significant digits.
    pub(crate) fn of_digit(&self, digit: Digit) -> Option<Cells> {
        (digit.is_leading() || digit.is_part())
            .then(|| self.cells(digit.field))
            .flatten()
            .map(|cells| if digit.stride > 1 { cells.joined(digit.stride) } else { cells })
    }

    /// Returns the cells of an axis that runs over rows or columns, possibly subdivided, and nothing else.
    pub(crate) fn of_axis(&self, axis: &Axis) -> Option<(Side, Cells)> {
        match *axis.as_slice() {
            [part] => Some((Side::of(&part)?, self.of_digit(part.digit()?)?)),
            [part, Part::Other(parts)] => Some((Side::of(&part)?, self.of_digit(part.digit()?)?.cut(parts))),
            _ => None,
        }
    }

    /// Returns the field of the same rows or columns with other places mixed in.
    pub(crate) fn mixed(&mut self, field: u32) -> u32 {
        let Some(cells) = self.cells(field).filter(|cells| !cells.mixed) else { return field };
        if let Some(known) = self.mixed.get(&field) {
            return *known;
        }
        let new = self.add(Some(cells.mixed()));
        self.mixed.insert(field, new);
        new
    }
}
