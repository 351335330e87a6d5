//! Element-wise combination of several inputs: meaning and position of the result's axes.

use heatlens_graph::Dim;

use super::axis::{Axis, Digit, Part};
use super::receptive_field::Fields;
use crate::model::placement::Cells;

/// Inputs that depend on the image.
#[derive(Debug)]
pub(super) struct Meeting {
    rank: usize,
    inputs: Vec<Input>,
}

#[derive(Debug)]
struct Input {
    share: f64,
    /// For each axis of the result, that of the input if it has the same size.
    axes: Vec<Option<Axis>>,
}

impl Meeting {
    pub(super) fn new(rank: usize) -> Self {
        Self { rank, inputs: Vec::new() }
    }

    /// Adds an input with weight `share`.
    pub(super) fn add(&mut self, share: f64, axis: impl Fn(usize) -> Option<Axis>) {
        self.inputs.push(Input { share, axes: (0..self.rank).map(axis).collect() });
    }

    /// Returns the axes of the result: each as in the input in which most is known about it, or as in `plain`. Rows and
    /// columns are at the mean position of all inputs.
    pub(super) fn axes(&self, plain: Vec<Axis>, fields: &mut Fields) -> Vec<Axis> {
        let mut renamed = Vec::new();
        plain.into_iter().enumerate().map(|(at, plain)| self.axis(at, plain, fields, &mut renamed)).collect()
    }

    fn axis(&self, at: usize, plain: Axis, fields: &mut Fields, renamed: &mut Vec<(u32, u32)>) -> Axis {
        let own = |input: &Input| input.axes.get(at).cloned().flatten();
        let mut best = (known(&plain), None, plain);
        for (i, input) in self.inputs.iter().enumerate() {
            if let Some(axis) = own(input).filter(|axis| known(axis) > best.0) {
                best = (known(&axis), Some(i), axis);
            }
        }
        let (_, Some(chosen), mut axis) = best else { return best.2 };
        let others: Vec<(f64, Option<Axis>)> = self
            .inputs
            .iter()
            .enumerate()
            .filter(|(i, _)| *i != chosen)
            .map(|(_, input)| (input.share, own(input)))
            .collect();
        let original = axis.clone();
        for (index, part) in axis.iter_mut().enumerate() {
            let mut numbers: Vec<&mut Digit> = match part {
                Part::Rows(digit) | Part::Columns(digit) => vec![digit],
                Part::Tokens { grid: [rows, columns], .. } => vec![rows, columns],
                Part::Samples(_) | Part::Other(_) => Vec::new(),
            };
            for (side, digit) in numbers.iter_mut().enumerate() {
                let old = digit.field;
                if let Some((_, new)) = renamed.iter().find(|(known, _)| *known == old) {
                    digit.field = *new;
                    continue;
                }
                let found = others.iter().map(|(share, other)| {
                    let cells =
                        other.as_ref().and_then(|other| counterpart(fields, &original, other, index, side));
                    (*share, cells)
                });
                let own = fields.cells(old);
                let met = meet(self.inputs[chosen].share, own, found);
                if met != own {
                    digit.field = fields.add(met);
                    renamed.push((old, digit.field));
                }
            }
        }
        axis
    }
}

/// True if an element-wise result of size `dim` has the axis of an input, rather than one of which only the size is known.
pub(super) fn keeps(axis: &Axis, dim: Dim) -> bool {
    let plain = match dim {
        Dim::Fixed(size) => [0, 0, usize::from(size > 1)],
        Dim::Batch(size) => [0, 1, usize::from(size == 1)],
    };
    let equal = match (axis.as_slice(), dim) {
        ([], Dim::Fixed(1)) | ([Part::Samples(1)], Dim::Batch(1)) => true,
        (&[Part::Other(found)], Dim::Fixed(size)) => found == size,
        _ => false,
    };
    equal || known(axis) > plain
}

/// Rates the information about an axis: positions in the image count most, then factors that are more than a number of
/// elements, then an axis that is a single factor.
fn known(axis: &Axis) -> [usize; 3] {
    let places = axis.iter().filter(|p| p.is_place()).count();
    let named = axis.iter().filter(|p| !matches!(p, Part::Other(_))).count();
    [places, named, usize::from(axis.len() == 1)]
}

/// Returns the cells of the number in another input's axis that corresponds to digit number `side` in part `index` of
/// `axis`.
fn counterpart(fields: &Fields, axis: &Axis, other: &Axis, index: usize, side: usize) -> Option<Cells> {
    let (part, theirs) = (axis.get(index)?, other.get(index)?);
    let alike = |a: &Digit, b: &Digit| (a.size, a.stride, a.is_part()) == (b.size, b.stride, b.is_part());
    match (part, theirs) {
        (Part::Rows(a), Part::Rows(b)) | (Part::Columns(a), Part::Columns(b))
            if axis.len() == other.len() && alike(a, b) =>
        {
            fields.cells(b.field)
        }
        (Part::Tokens { grid: a, .. }, Part::Tokens { grid: b, .. }) if alike(&a[side], &b[side]) => {
            fields.cells(b[side].field)
        }
        // All rows against rows that are subdivided, or a whole against a part.
        (Part::Rows(a) | Part::Columns(a), _) if axis.len() == 1 && a.stride == 1 => {
            let (own, _) = fields.of_axis(axis)?;
            fields.of_axis(other).filter(|(theirs, _)| *theirs == own).map(|(_, cells)| cells)
        }
        _ => None,
    }
}

/// Combines the cells of several inputs. Inputs with unknown cells are marked as mixed in; contradictory cells give
/// `None`.
fn meet(
    mut share: f64,
    own: Option<Cells>,
    others: impl Iterator<Item = (f64, Option<Cells>)>,
) -> Option<Cells> {
    let (mut met, mut lost) = (own, own.is_none());
    for (theirs, cells) in others {
        match (met, cells) {
            (Some(known), Some(cells)) => {
                met = Some(known.merged(cells, [share, theirs])?);
                share += theirs;
            }
            (None, Some(cells)) => (met, share) = (Some(cells), theirs),
            (_, None) => lost = true,
        }
    }
    met.map(|cells| if lost { cells.mixed() } else { cells })
}
