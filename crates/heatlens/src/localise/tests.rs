//! Tests of localization on the demo images, whose objects are known.

use super::*;
use crate::data::Resize;
use crate::demo_data::{DemoImage, SIDE};

/// A perfect map: heat exactly on the ring, at the size of the image.
fn perfect(image: &DemoImage) -> Map {
    Map::new(SIDE, SIDE, image.mask.iter().map(|&m| f32::from(u8::from(m))).collect()).unwrap()
}

fn truth(image: &DemoImage) -> Object {
    let mask = Mask::new(SIDE, SIDE, image.mask.clone()).unwrap();
    Object { category: "ring".to_owned(), bounds: mask.bounds(), shape: ObjectShape::Mask(mask) }
}

#[test]
fn a_perfect_map_finds_the_planted_ring() {
    for image in crate::demo_data::generate(40, 5).iter().filter(|image| image.label == 1) {
        let view = CropTransform::new([SIDE, SIDE], [SIDE, SIDE], Resize::Squash);
        let parts = locate(&perfect(image), [SIDE, SIDE], &view, Threshold::OfMax(0.5), Components::Largest);
        let score = LocalisationScore::of(&parts, [SIDE, SIDE], &[truth(image)]);
        assert_eq!((score.mask, score.bounds), (Some(1.0), Some(1.0)));
        // The brightness of the image finds all objects, the ring among them.
        let bright = Map::new(SIDE, SIDE, image.to_f32()).unwrap();
        let parts = locate(&bright, [SIDE, SIDE], &view, Threshold::Otsu, Components::All);
        let score = LocalisationScore::of(&parts, [SIDE, SIDE], &[truth(image)]);
        assert!(score.mask.unwrap() > 0.0 && score.mask.unwrap() < 0.5, "{score:?}");
    }
}

#[test]
fn boxes_are_in_pixels_of_the_original() {
    // A map of 4 × 4 on an original of 40 × 80: the hot cell covers 10 × 20 pixels.
    let mut values = vec![0.0; 16];
    values[4 + 2] = 1.0;
    let view = CropTransform::new([40, 80], [16, 16], Resize::Squash);
    let parts =
        locate(&Map::new(4, 4, values).unwrap(), [16, 16], &view, Threshold::OfMax(0.5), Components::Largest);
    // At the size of the input, the largest value is 0.875², so the threshold is 0.383. Heat falls to 0 over a
    // cell's width on either side of the cell's centre, column 50 and row 15. In the adjacent row (0.95 of the
    // heat), columns are hot up to a distance of 20 · (1 − 0.383 ÷ 0.95) = 11.9; in the adjacent column (0.975),
    // rows up to 6.1.
    assert_eq!(parts[0].bounds(), Some(PixelBox { x: 38, y: 9, width: 24, height: 12 }));
}

#[test]
fn no_heat_no_boxes() {
    let view = CropTransform::new([8, 8], [8, 8], Resize::Squash);
    let none = Map::new(2, 2, vec![0.0; 4]).unwrap();
    for threshold in [Threshold::OfMax(0.2), Threshold::Otsu, Threshold::Quantile(0.0)] {
        assert!(locate(&none, [8, 8], &view, threshold, Components::All).is_empty());
    }
    let missed = LocalisationScore::of(
        &[],
        [8, 8],
        &[Object {
            category: String::new(),
            bounds: Some(PixelBox { x: 1, y: 1, width: 2, height: 2 }),
            shape: ObjectShape::Unknown,
        }],
    );
    assert_eq!(missed, LocalisationScore { mask: None, bounds: Some(0.0) });
}

#[test]
fn all_components_or_the_largest() {
    let mut values = vec![0.0; 100];
    for at in [0, 1, 10, 55, 99] {
        values[at] = 1.0;
    }
    let heat = Map::new(10, 10, values).unwrap();
    let view = CropTransform::new([10, 10], [10, 10], Resize::Squash);
    let parts = |keep| {
        locate(&heat, [10, 10], &view, Threshold::OfMax(0.9), keep).iter().map(Mask::area).collect::<Vec<_>>()
    };
    assert_eq!(parts(Components::Largest), [3]);
    assert_eq!(parts(Components::All), [3, 1, 1]);
}

#[test]
fn means_count_only_what_is_known() {
    let scores = [
        LocalisationScore { mask: Some(0.2), bounds: Some(0.5) },
        LocalisationScore { mask: None, bounds: Some(0.1) },
        LocalisationScore::default(),
    ];
    let mean = MeanLocalisationScore::of(scores.iter());
    assert_eq!((mean.mask, mean.accuracy), (Some((0.2, 1)), Some(0.5)));
    assert!((mean.bounds.unwrap().0 - 0.3).abs() < 1e-12);
    assert_eq!(MeanLocalisationScore::of([].iter()), MeanLocalisationScore::default());
}
