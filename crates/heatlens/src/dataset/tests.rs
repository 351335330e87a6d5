//! Error rates of the shortcut rule on synthetic data sets with and without a shortcut.

use super::*;
use crate::dataset::heat_grid::SIDE;
use crate::random::Rng;
use crate::render::Map;

/// Location of the heat in a synthetic image.
#[derive(Clone, Copy, PartialEq)]
enum Heat {
    /// A spot at any position.
    Anywhere,
    /// Spread over the whole image.
    Spread,
    /// Around the middle, as for objects in photographs.
    Middle,
    /// A mark in the bottom right corner.
    Corner,
    /// A ruler along the left side.
    Ruler,
}

fn draw(kind: Heat, rng: &mut Rng) -> HeatGrid {
    let place = |rng: &mut Rng| match kind {
        Heat::Middle => (8.0 + 1.5 * rng.normal(), 8.0 + 1.5 * rng.normal()),
        Heat::Corner => (13.5 + 0.4 * rng.normal(), 13.5 + 0.4 * rng.normal()),
        _ => (rng.between(0.0, 15.0), rng.between(0.0, 15.0)),
    };
    let (row, column) = place(rng);
    let heat = |i: usize| {
        let (y, x) = ((i / SIDE) as f64, (i % SIDE) as f64);
        let noise = rng.uniform_f64();
        let value = match kind {
            Heat::Spread => noise,
            Heat::Ruler => f64::from(u8::from(x < 2.0)) * noise + 0.01 * noise,
            _ => (-((y - row).powi(2) + (x - column).powi(2)) / 3.0).exp() + 0.01 * noise,
        };
        value as f32
    };
    HeatGrid::of(&Map::new(SIDE, SIDE, (0..SIDE * SIDE).map(heat).collect()).unwrap()).unwrap()
}

/// Creates a data set of two classes; a share of class 1 has its heat at the shortcut.
fn data_set(seed: u64, n: usize, kinds: [Heat; 2], shortcut: Option<(Heat, f64)>) -> Observations {
    let mut rng = Key::new(seed, Use::DemoData).at(n as u64).rng();
    let row = |item: usize| {
        let class = item % 2;
        let cheats = class == 1 && shortcut.is_some_and(|(_, share)| rng.uniform_f64() < share);
        let kind = if cheats { shortcut.map_or(kinds[class], |s| s.0) } else { kinds[class] };
        Observation { item, label: Some(class), predicted: class, grid: Some(draw(kind, &mut rng)) }
    };
    let class_names = vec!["plain".to_owned(), "marked".to_owned()];
    Observations {
        at: None,
        map: "test".to_owned(),
        class_names,
        rows: (0..n).map(row).collect(),
        left_out: 0,
    }
}

/// Returns the number of data sets, out of `sets`, that are flagged for class 1 and for class 0.
fn flagged(sets: u64, n: usize, kinds: [Heat; 2], shortcut: Option<(Heat, f64)>) -> [usize; 2] {
    let mut counts = [0, 0];
    for seed in 0..sets {
        let seen = data_set(seed, n, kinds, shortcut);
        let found = DatasetFindings::of(&seen, seed);
        for (class, count) in counts.iter_mut().enumerate() {
            *count += usize::from(found.shortcuts().any(|(c, ..)| c.class == class));
        }
    }
    counts
}

#[test]
fn marks_and_rulers_are_found() {
    let kinds = [Heat::Spread, Heat::Anywhere];
    for (heat, share) in [(Heat::Corner, 1.0), (Heat::Corner, 0.5), (Heat::Ruler, 1.0), (Heat::Ruler, 0.5)] {
        assert_eq!(flagged(6, 80, kinds, Some((heat, share))), [0, 6], "share {share}");
    }
}

#[test]
fn clean_data_are_not_flagged() {
    for kinds in [
        [Heat::Anywhere, Heat::Anywhere],
        [Heat::Spread, Heat::Anywhere],
        [Heat::Middle, Heat::Middle],
        [Heat::Spread, Heat::Middle],
    ] {
        assert_eq!(flagged(6, 80, kinds, None), [0, 0]);
    }
}

#[test]
fn what_both_classes_have_is_no_giveaway() {
    assert_eq!(flagged(3, 80, [Heat::Corner, Heat::Corner], None), [0, 0]);
}

#[test]
fn the_place_and_its_images_are_named() {
    let seen = data_set(3, 80, [Heat::Spread, Heat::Anywhere], Some((Heat::Corner, 0.5)));
    let found = DatasetFindings::of(&seen, 0);
    let (class, cluster, shortcut) = found.shortcuts().next().unwrap();
    assert_eq!(
        (class.name.as_str(), shortcut.place.to_string().as_str()),
        ("marked", "the bottom right corner")
    );
    for &item in &cluster.exemplars {
        assert!(shortcut.place.is_hot(seen.rows[item].grid.as_ref().unwrap()), "{item}");
    }
    assert!(shortcut.images >= 12 && shortcut.images <= 28 && shortcut.of == 40, "{shortcut:?}");
    let json = found.shortcuts_json(|item| format!("image {item}"));
    assert_eq!(json[0]["place"], "the bottom right corner");
    assert!(json[0]["exemplars"][0].as_str().unwrap().starts_with("image "));
    let again = DatasetFindings::of(&seen, 0).shortcuts_json(|item| format!("image {item}"));
    assert_eq!(json, again);
}

#[test]
fn outcomes_are_counted_by_class() {
    let mut seen = data_set(1, 10, [Heat::Spread, Heat::Anywhere], None);
    seen.rows[1].predicted = 0; // a false negative of class 1
    seen.rows[2].label = None;
    seen.rows[4].grid = None;
    let found = DatasetFindings::of(&seen, 0);
    assert_eq!((found.images, found.without_heat, found.classes.len()), (10, 1, 2));
    let counts = |class: usize| {
        let class = found.classes.iter().find(|c| c.class == class).unwrap();
        class.outcomes.iter().map(|o| (o.outcome.id(), o.images)).collect::<Vec<_>>()
    };
    assert_eq!(counts(1), [("TP", 4), ("FN", 1), ("TN", 4)]);
    assert_eq!(counts(0), [("TP", 4), ("FP", 1), ("TN", 4), ("said", 1)]);
}

#[test]
fn nothing_observed_is_nothing_found() {
    let found = DatasetFindings::of(&Observations::default(), 0);
    assert!(found.classes.is_empty() && found.shortcuts().next().is_none());
}
