//! Table of the overlap between found regions and annotated objects.

use crate::localise::MeanLocalisationScore;
use crate::report::Table;

/// Returns the mean scores of each map, by title; `None` if no image is annotated.
#[must_use]
pub fn table(scores: &[(String, MeanLocalisationScore)]) -> Option<Table> {
    let known = scores.iter().any(|(_, score)| score.mask.is_some() || score.bounds.is_some());
    known.then(|| Table {
        title: "How well do the hot pixels cover the true objects?".to_owned(),
        lead: "IoU is the overlap over the union, from 0 to 1; each image is in iou.csv.".to_owned(),
        columns: ["map", "mean IoU of masks", "mean IoU of boxes", "boxes with IoU ≥ 0.5"]
            .map(str::to_owned)
            .to_vec(),
        rows: scores.iter().map(|(title, score)| row(title, score)).collect(),
    })
}

fn row(title: &str, score: &MeanLocalisationScore) -> Vec<String> {
    let mean = |mean: Option<(f64, usize)>| {
        mean.map_or("–".to_owned(), |(iou, n)| format!("{iou:.3} ({n} images)"))
    };
    let share = score.accuracy.map_or("–".to_owned(), |share| format!("{:.1} %", 100.0 * share));
    vec![title.to_owned(), mean(score.mask), mean(score.bounds), share]
}
