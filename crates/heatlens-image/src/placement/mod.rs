//! Positions of a layer's cells in the image, derived from the graph.
//!
//! A window of k elements with dilation d and stride s, over an axis with p elements of padding at the beginning,
//! covers at cell i the elements s·i − p … s·i − p + d(k − 1), whose centre is s·i + d(k − 1)/2 − p. The composition of
//! these affine maps, one per operator, gives a cell's position in the image: pixel = step·i + offset (Dumoulin and
//! Visin 2016, arXiv:1603.07285; Araujo et al. 2019, Computing Receptive Fields of Convolutional Neural Networks,
//! Distill). Upsampling a map evenly over the image agrees with this for adjacent patches only; padding, and its
//! absence, shift the cells.

mod cells;
mod fit;
#[allow(clippy::module_inception)]
mod placement;

pub use cells::Cells;
pub use fit::{Fit, Pick};
pub use placement::{Placement, Placing};

/// Describes the positions of rows and columns: "8 px apart, first at 0.0, sees 47 px". If rows and columns differ,
/// both are given, rows first.
#[must_use]
pub fn describe(cells: &[Option<Cells>; 2]) -> String {
    let [Some(rows), Some(columns)] = cells else { return "at unknown places".to_owned() };
    let both = |number: fn(&Cells) -> f64| {
        let [a, b] = [number(rows), number(columns)].map(short);
        if a == b { a } else { format!("{a}×{b}") }
    };
    let first = |c: &Cells| (c.offset * 10.0).round() / 10.0;
    let (step, reach) = (both(|c| c.step), both(Cells::reach));
    let [top, left] = [first(rows), first(columns)].map(|v| format!("{v:.1}"));
    let first = if top == left { top } else { format!("{top}×{left}") };
    let mut text = format!("{step} px apart, first at {first}, sees {reach} px");
    let apart = rows.apart.max(columns.apart);
    if apart > 0.0 {
        text.push_str(&format!(", middle of branches {} px apart", short(apart)));
    }
    if rows.mixed || columns.mixed {
        text.push_str(", other places mixed in");
    }
    text
}

/// Formats a number with at most two decimals.
fn short(value: f64) -> String {
    ((value * 100.0).round() / 100.0).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_words() {
        let cells = Cells::PIXELS.windows(5, 4, 1, 2);
        assert_eq!(describe(&[Some(cells); 2]), "4 px apart, first at 0.0, sees 5 px");
        let other = cells.windows(3, 1, 1, 0).mixed();
        assert_eq!(
            describe(&[Some(cells), Some(other)]),
            "4 px apart, first at 0.0×4.0, sees 5×13 px, other places mixed in"
        );
        let met = cells.merged(Cells::PIXELS.windows(4, 4, 1, 1), [1.0, 1.0]);
        assert_eq!(
            describe(&[met; 2]),
            "4 px apart, first at 0.3, sees 5 px, middle of branches 0.5 px apart"
        );
        assert_eq!(describe(&[None, Some(cells)]), "at unknown places");
    }
}
