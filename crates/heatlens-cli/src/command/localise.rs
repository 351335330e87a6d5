//! Boxes and masks, from the flags of `explain` to what is said of them.

use heatlens::localise::{Localiser, MeanScore, Options, Truth};
use heatlens::report::Table;

use crate::arguments::{Explain, SaveName};
use crate::failure::Failure;
use crate::output;

/// What the flags ask for; nothing unless boxes, masks or a comparison are wanted.
pub(crate) fn options(options: &Explain) -> Result<Option<Options>, Failure> {
    let wanted = |name| options.save.contains(&name);
    let usage = |flag: &str, reason: String| Failure::usage(format!("{flag}: {reason}"));
    let found = Options {
        boxes: wanted(SaveName::Boxes),
        masks: wanted(SaveName::Masks),
        threshold: options.threshold.parse().map_err(|e| usage("--threshold", e))?,
        components: options.components.parse().map_err(|e| usage("--components", e))?,
        truth: options.truth.as_deref().map(Truth::open).transpose()?,
    };
    Ok((found.boxes || found.masks || found.truth.is_some()).then_some(found))
}

/// Writes what spans all images, says how well the truth is met, and gives the same as a table.
pub(crate) fn finish(localiser: Localiser) -> Result<Option<Table>, Failure> {
    let scores = localiser.finish()?;
    if scores.is_empty() {
        return Ok(None);
    }
    if scores.iter().all(|(_, score)| score.mask.is_none() && score.bounds.is_none()) {
        output::note(
            "--truth names none of these images: IoU is not known (files are matched by their names)",
        );
        return Ok(None);
    }
    let rows: Vec<Vec<String>> = scores.iter().map(|(title, score)| row(title, score)).collect();
    for row in &rows {
        output::line(format!(
            "{}: mean IoU of masks {}, of boxes {}, boxes at 0.5 or more {}",
            row[0], row[1], row[2], row[3]
        ));
    }
    Ok(Some(Table {
        title: "How well does what is hot cover the true objects?".to_owned(),
        lead: "IoU is the overlap over the union, from 0 to 1; each image is in iou.csv.".to_owned(),
        columns: ["map", "mean IoU of masks", "mean IoU of boxes", "boxes with IoU ≥ 0.5"]
            .map(str::to_owned)
            .to_vec(),
        rows,
    }))
}

fn row(title: &str, score: &MeanScore) -> Vec<String> {
    let mean = |mean: Option<(f64, usize)>| {
        mean.map_or("–".to_owned(), |(iou, n)| format!("{iou:.3} ({n} images)"))
    };
    let share = score.accuracy.map_or("–".to_owned(), |share| format!("{:.1} %", 100.0 * share));
    vec![title.to_owned(), mean(score.mask), mean(score.bounds), share]
}
