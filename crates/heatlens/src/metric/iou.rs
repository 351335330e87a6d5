//! Intersection over union of the object and the hot part of the map, thresholded at a share of the largest heat.

use crate::metric::{Aspect, Better, Metric, MetricInput};

macro_rules! row {
    ($name:ident, $id:literal, $percent:literal, $paper:literal) => {
        /// Registry entry.
        pub(super) static $name: Metric = Metric {
            id: $id,
            title: concat!("IoU at ", $percent, " %"),
            summary: concat!(
                "how well the pixels above ",
                $percent,
                " % of the largest heat cover the object"
            ),
            formula: "|hot ∩ object| ÷ |hot ∪ object|",
            paper: $paper,
            better: Better::Higher,
            aspect: Aspect::Localisation,
            experiments: &[],
            needs_mask: true,
            read: |input| iou(input, $percent as f32 / 100.0),
        };
    };
}

row!(IOU_15, "iou_15", 15, "Selvaraju et al. 2017, Grad-CAM, ICCV, §4.1, for its threshold");
row!(
    IOU_25,
    "iou_25",
    25,
    "Zhou et al. 2016, Learning Deep Features for Discriminative Localization, CVPR, §3.2, with 20 %"
);
row!(IOU_50, "iou_50", 50, "the same at half of the largest heat");

#[allow(clippy::cast_precision_loss)]
fn iou(input: &MetricInput<'_>, threshold: f32) -> Option<f64> {
    let (heat, mask) = (&input.view.upsampled.heat, input.view.context.mask?);
    let largest = heat.iter().copied().fold(0.0, f32::max);
    let pairs = || heat.iter().map(|v| *v > threshold * largest).zip(mask.iter().copied());
    let both = pairs().filter(|&(hot, object)| hot && object).count();
    let either = pairs().filter(|&(hot, object)| hot || object).count();
    (largest > 0.0 && either > 0).then(|| both as f64 / either as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::tests::read;

    #[test]
    fn overlaps_by_hand() {
        let of = |metric, mask: [bool; 4]| read(metric, [1, 4], &[1.0, 0.4, 0.2, 0.0], Some(&mask), 0.5, &[]);
        assert_eq!(of(&IOU_15, [true, false, false, false]), Some(1.0 / 3.0));
        assert_eq!(of(&IOU_25, [true, true, false, false]), Some(1.0));
        assert_eq!(of(&IOU_50, [false, false, false, true]), Some(0.0));
    }
}
