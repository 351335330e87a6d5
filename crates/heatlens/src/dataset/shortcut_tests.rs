//! Tests of the shortcut rule on maps with known heat.

use super::*;
use crate::dataset::heat_grid::SIDE;
use crate::render::Map;

fn spot(row: usize, column: usize) -> HeatGrid {
    let heat = |i: usize| if (i / SIDE, i % SIDE) == (row, column) { 1.0 } else { 0.001 };
    HeatGrid::of(&Map::new(SIDE, SIDE, (0..SIDE * SIDE).map(heat).collect()).unwrap()).unwrap()
}

/// Applies the rule to a class whose first maps are the cluster.
fn rule(cluster: usize, class: &[HeatGrid], others: &[HeatGrid]) -> Option<Shortcut> {
    let all = |grids: &'static [HeatGrid]| grids.iter().map(Some).collect::<Vec<_>>();
    let (class, others): (&'static [HeatGrid], &'static [HeatGrid]) =
        (class.to_vec().leak(), others.to_vec().leak());
    let first: Vec<&HeatGrid> = class[..cluster].iter().collect();
    Evidence { cluster: &first, class: &all(class), others: &all(others), classes: 1 }.shortcut()
}

#[test]
fn a_corner_that_goes_with_the_class_is_found() {
    let class: Vec<HeatGrid> =
        (0..30).map(|i| if i < 15 { spot(1, 14) } else { spot(7, i % 9 + 4) }).collect();
    let others: Vec<HeatGrid> = (0..30).map(|i| spot(8, i % 9 + 4)).collect();
    let found = rule(15, &class, &others).unwrap();
    assert_eq!(found.place.to_string(), "the top right corner");
    assert_eq!((found.images, found.of, found.elsewhere, found.of_others), (15, 30, 0, 30));
    // By hand: all 15 on one of four sides, (1/4)^15; Fisher: C(30,15) / C(60,15); the larger, times 92 regions.
    let fisher: f64 = (0..15).map(|i| f64::from(30 - i) / f64::from(60 - i)).product();
    assert!((found.p_value / (fisher * 92.0) - 1.0).abs() < 1e-6, "{found:?}");
}

#[test]
fn what_other_classes_have_too_gives_nothing_away() {
    let class: Vec<HeatGrid> = (0..20).map(|_| spot(1, 14)).collect();
    assert!(rule(20, &class, &class).is_none());
    assert!(rule(20, &class, &[]).is_none(), "with one class there is nothing to give away");
}

#[test]
fn what_may_be_on_any_side_is_no_shortcut() {
    // Equally often in each corner; the cluster has those of one corner.
    let corners = [(1, 1), (1, 14), (14, 1), (14, 14)];
    let mut class: Vec<HeatGrid> = (0..40).map(|i| spot(corners[i / 10].0, corners[i / 10].1)).collect();
    let others: Vec<HeatGrid> = (0..40).map(|i| spot(8, i % 9 + 4)).collect();
    assert!(rule(10, &class, &others).is_none());
    class.truncate(11);
    assert!(rule(10, &class, &others).is_some(), "ten of eleven in one corner");
}

#[test]
fn the_middle_is_never_flagged() {
    let class: Vec<HeatGrid> = (0..40).map(|_| spot(7, 8)).collect();
    let others: Vec<HeatGrid> = (0..40).map(|i| spot(3, i % 9 + 4)).collect();
    assert!(rule(40, &class, &others).is_none());
}

#[test]
fn four_images_are_too_few() {
    let others: Vec<HeatGrid> = (0..400).map(|i| spot(8, i % 9 + 4)).collect();
    let class = |n: usize| (0..n).map(|_| spot(1, 14)).collect::<Vec<_>>();
    assert!(rule(4, &class(4), &others).is_none());
    // 8 of 8: (1/4)^8 · 92 = 0.0014.
    assert!(rule(8, &class(8), &others).is_some());
}
