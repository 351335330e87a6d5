//! Pointing game (Zhang et al. 2018): whether the hottest pixel is on the object or close to it.

use crate::metric::{Aspect, Better, Metric};

/// Tolerance as a share of the image's longer side: 15 pixels of 224.
const TOLERANCE: f64 = 15.0 / 224.0;

/// Registry entry.
pub(super) static POINTING_GAME: Metric = Metric {
    id: "pointing_game",
    title: "Pointing game",
    summary: "share of images whose hottest pixel lies on the object or within 15 pixels of it (for a side \
        of 224)",
    formula: "1 if the hottest pixel is within the tolerance of a pixel of the object, else 0",
    paper: "Zhang et al. 2018, Top-down Neural Attention by Excitation Backprop, IJCV, §4.1",
    better: Better::Higher,
    aspect: Aspect::Localisation,
    experiments: &[],
    needs_mask: true,
    read: |input| {
        let [h, w] = input.view.upsampled.size;
        let heat = &input.view.upsampled.heat;
        // The first of equally hot pixels in the map's random tie order.
        let hottest = input
            .view
            .order
            .iter()
            .copied()
            .reduce(|best, at| if heat[at as usize] > heat[best as usize] { at } else { best })?
            as usize;
        let mask = input.view.context.mask?;
        (heat[hottest] > 0.0).then(|| f64::from(u8::from(near(mask, [h, w], hottest))))
    },
};

#[allow(clippy::cast_precision_loss)]
fn near(mask: &[bool], [h, w]: [usize; 2], at: usize) -> bool {
    let reach = (TOLERANCE * h.max(w) as f64).powi(2);
    let squared = |i: usize| {
        let apart = |a: usize, b: usize| (a.abs_diff(b) as f64).powi(2);
        apart(i / w, at / w) + apart(i % w, at % w)
    };
    mask.iter().enumerate().any(|(i, m)| *m && squared(i) <= reach)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::tests::read;

    #[test]
    fn a_hit_a_near_miss_and_a_miss() {
        // 30 pixels wide: the tolerance is 2.
        let of = |hottest: usize| {
            let map: Vec<f32> = (0..30).map(|i| if i == hottest { 2.0 } else { 1.0 }).collect();
            let mask: Vec<bool> = (0..30).map(|i| i == 10).collect();
            read(&POINTING_GAME, [1, 30], &map, Some(&mask), 0.5, &[])
        };
        assert_eq!([of(10), of(12), of(13)], [Some(1.0), Some(1.0), Some(0.0)]);
        let nothing = read(&POINTING_GAME, [1, 2], &[0.0, -1.0], Some(&[true, true]), 0.5, &[]);
        assert_eq!(nothing, None, "no heat points nowhere");
        assert!(!near(&[false; 30], [1, 30], 3), "an empty mask is never hit");
    }
}
