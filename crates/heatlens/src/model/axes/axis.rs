//! Splitting and merging of axes.

use std::collections::VecDeque;

use heatlens_graph::{Dim, Shape};

/// Factors of an axis, outermost first. An axis of size 1 has none.
pub(crate) type Axis = Vec<Part>;

/// A factor of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Samples: the batch size if the file fixes it, 1 if it is open.
    Samples(usize),
    /// Rows of the image, or one digit of the row number.
    Rows(Digit),
    /// Columns of the image, or one digit of the column number.
    Columns(Digit),
    /// Tokens for the places of a grid, row by row, with other tokens before and after them.
    Tokens { before: usize, grid: [Digit; 2], after: usize },
    /// Anything else.
    Other(usize),
}

/// One digit of a row or column number: the number is the sum of digit × stride.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digit {
    /// Identifies the set of rows or columns; convolutions and pooling create a new one.
    pub(crate) field: u32,
    pub(crate) size: usize,
    pub(crate) stride: usize,
    /// Number of rows or columns of the field; [`PART`] if they do not cover the whole image.
    pub(crate) extent: usize,
}

/// Extent of a field that differs from the whole image: cropped or padded.
const PART: usize = usize::MAX;

impl Digit {
    pub(crate) fn whole(field: u32, extent: usize) -> Self {
        Self { field, size: extent, stride: 1, extent }
    }

    pub(crate) fn part(field: u32, size: usize) -> Self {
        Self { field, size, stride: 1, extent: PART }
    }

    /// True if the rows or columns do not cover exactly the whole image.
    pub(crate) fn is_part(&self) -> bool {
        self.extent == PART
    }

    /// True if the digit is the most significant one: the whole number, or the row of patches.
    pub(crate) fn is_leading(&self) -> bool {
        !self.is_part() && self.size * self.stride == self.extent
    }

    fn split(self, outer: usize) -> (Self, Self) {
        let inner = self.size / outer.max(1);
        (Self { size: outer, stride: self.stride * inner, ..self }, Self { size: inner, ..self })
    }

    fn join(self, inner: Self) -> Option<Self> {
        let fits = self.field == inner.field && self.stride == inner.stride * inner.size;
        fits.then_some(Self { size: self.size * inner.size, stride: inner.stride, ..self })
    }
}

impl Part {
    pub(crate) fn size(&self) -> usize {
        match *self {
            Self::Samples(size) | Self::Other(size) => size,
            Self::Rows(digit) | Self::Columns(digit) => digit.size,
            Self::Tokens { before, grid: [rows, columns], after } => {
                before + rows.size * columns.size + after
            }
        }
    }

    /// True if the factor determines the position in the image, at least roughly.
    pub(crate) fn is_place(&self) -> bool {
        match self {
            Self::Rows(digit) | Self::Columns(digit) => digit.is_leading() && digit.size > 1,
            Self::Tokens { .. } => true,
            Self::Samples(_) | Self::Other(_) => false,
        }
    }

    /// Returns the digit of a row or column number.
    pub(crate) fn digit(&self) -> Option<Digit> {
        match *self {
            Self::Rows(digit) | Self::Columns(digit) => Some(digit),
            Self::Samples(_) | Self::Tokens { .. } | Self::Other(_) => None,
        }
    }

    fn split(self, outer: usize) -> Option<(Self, Self)> {
        match self {
            Self::Other(size) => Some((Self::Other(outer), Self::Other(size / outer.max(1)))),
            Self::Rows(digit) => {
                let (a, b) = digit.split(outer);
                Some((Self::Rows(a), Self::Rows(b)))
            }
            Self::Columns(digit) => {
                let (a, b) = digit.split(outer);
                Some((Self::Columns(a), Self::Columns(b)))
            }
            Self::Samples(_) | Self::Tokens { .. } => None,
        }
    }

    fn join(self, inner: Self) -> Option<Self> {
        match (self, inner) {
            (Self::Other(a), Self::Other(b)) => Some(Self::Other(a * b)),
            (Self::Rows(a), Self::Rows(b)) => a.join(b).map(Self::Rows),
            (Self::Columns(a), Self::Columns(b)) => a.join(b).map(Self::Columns),
            _ => None,
        }
    }
}

/// True if an axis holds the batch and nothing else (a fixed batch of one is an axis of size 1).
pub(crate) fn is_samples(axis: &Axis) -> bool {
    matches!(axis.as_slice(), [] | [Part::Samples(_)])
}

/// Interprets an axis as tokens: the number of tokens before the grid, its rows and columns, and the number of tokens
/// after it.
pub(crate) fn tokens(axis: &Axis) -> Option<(usize, [Digit; 2], usize)> {
    match *axis.as_slice() {
        [Part::Rows(rows), Part::Columns(columns)] if rows.is_leading() && columns.is_leading() => {
            Some((0, [rows, columns], 0))
        }
        [Part::Tokens { before, grid, after }] => Some((before, grid, after)),
        _ => None,
    }
}

/// Returns the axes of a value of which only the shape is known.
pub(crate) fn unknown(shape: &Shape) -> Vec<Axis> {
    let axis = |dim: &Dim| match *dim {
        Dim::Fixed(1) => Vec::new(),
        Dim::Fixed(size) => vec![Part::Other(size)],
        Dim::Batch(1) => vec![Part::Samples(1)],
        Dim::Batch(k) => vec![Part::Samples(1), Part::Other(k)],
    };
    shape.0.iter().map(axis).collect()
}

/// Returns the axes after a reshape to `shape`.
pub(crate) fn reshape(axes: &[Axis], shape: &Shape) -> Vec<Axis> {
    let is_there = |part: &&Part| part.size() != 1 || matches!(part, Part::Samples(_));
    let mut queue: VecDeque<Part> = axes.iter().flatten().filter(is_there).copied().collect();
    let axes: Option<Vec<Axis>> = shape.0.iter().map(|dim| take(&mut queue, *dim)).collect();
    axes.unwrap_or_else(|| unknown(shape))
}

/// Takes the factors of one axis from the front of the queue.
fn take(queue: &mut VecDeque<Part>, dim: Dim) -> Option<Axis> {
    let mut missing = dim.at(1);
    let mut samples = dim.is_batch();
    let mut axis: Axis = Vec::new();
    while missing > 1 || samples {
        let part = queue.pop_front()?;
        let size = part.size();
        let part = match part {
            Part::Samples(1) if samples => {
                samples = false;
                part
            }
            Part::Samples(1) => return None,
            _ if missing <= 1 || size == 0 => return None,
            _ if missing.is_multiple_of(size) => {
                missing /= size;
                part
            }
            _ if size.is_multiple_of(missing) => {
                let (outer, inner) = part.split(missing)?;
                queue.push_front(inner);
                missing = 1;
                outer
            }
            _ => return None,
        };
        match axis.pop() {
            None => axis.push(part),
            Some(last) => match last.join(part) {
                Some(joined) => axis.push(joined),
                None => axis.extend([last, part]),
            },
        }
    }
    Some(axis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Vec<Axis> {
        let (rows, columns) = (Digit::whole(0, 56), Digit::whole(1, 56));
        vec![
            vec![Part::Samples(1)],
            vec![Part::Rows(rows)],
            vec![Part::Columns(columns)],
            vec![Part::Other(96)],
        ]
    }

    fn shape(batch: usize, rest: &[usize]) -> Shape {
        let mut shape = Shape::batched(rest);
        shape.0[0] = Dim::Batch(batch);
        shape
    }

    #[test]
    fn windows_come_together_again() {
        let cut = reshape(&image(), &shape(1, &[8, 7, 8, 7, 96]));
        assert!(matches!(cut[1][..], [Part::Rows(Digit { size: 8, stride: 7, .. })]), "{cut:?}");
        assert!(matches!(cut[2][..], [Part::Rows(Digit { size: 7, stride: 1, .. })]), "{cut:?}");
        let windows: Vec<Axis> = [0, 1, 3, 2, 4, 5].map(|i: usize| cut[i].clone()).to_vec();
        let windows = reshape(&windows, &shape(64, &[49, 96]));
        assert_eq!(windows[0].len(), 3);
        let back = reshape(&windows, &shape(1, &[8, 8, 7, 7, 96]));
        let back: Vec<Axis> = [0, 1, 3, 2, 4, 5].map(|i: usize| back[i].clone()).to_vec();
        assert_eq!(reshape(&back, &shape(1, &[56, 56, 96])), image());
    }

    #[test]
    fn what_does_not_divide_is_unknown() {
        let odd = shape(1, &[64, 49, 96]);
        assert_eq!(reshape(&image(), &odd), unknown(&odd));
        let mixed = shape(1, &[96, 56, 56]);
        assert_eq!(reshape(&image(), &mixed), unknown(&mixed));
        let samples_last = Shape(vec![Dim::Fixed(3), Dim::Batch(1)]);
        assert_eq!(
            reshape(&[vec![Part::Samples(1)], vec![Part::Other(3)]], &samples_last),
            unknown(&samples_last)
        );
    }
}
