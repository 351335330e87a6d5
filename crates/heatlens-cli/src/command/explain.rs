//! `heatlens explain`: explanations of a model's predictions as images.

use heatlens::run::{self, ExplainOutcome, ExplainRequest};

use crate::arguments::Explain;
use crate::command::{open, summary, verdict};
use crate::failure::Failure;
use crate::output;
use crate::progress::Terminal;

pub(crate) fn run(options: &Explain) -> Result<(), Failure> {
    let places = open::places(&options.output.out, options.part.shard, &options.part.folder);
    tell(&run::explain(&request(options), &places, &Terminal::default())?)
}

fn request(options: &Explain) -> ExplainRequest {
    let Explain { how, target, output, regions, .. } = options;
    ExplainRequest {
        model: open::request(&options.model, Some(&options.pixels)),
        data: open::inputs(&options.inputs, &options.input),
        methods: how.method.clone(),
        layers: how.layer.clone(),
        fuse: how.fuse.clone(),
        aug_smooth: how.aug_smooth,
        eigen_smooth: how.eigen_smooth,
        compat: how.compat.clone(),
        placement: how.settings.placement.clone(),
        class: target.class.clone(),
        detection: target.detection.clone(),
        against: target.against.clone(),
        counterfactual: target.counterfactual,
        set: how.settings.set.clone(),
        seed: how.seed,
        score: target.score.clone(),
        save: output.save.clone(),
        pictures: options.pictures.style(),
        threshold: regions.threshold.clone(),
        components: regions.components.clone(),
        truth: regions.truth.clone(),
        report: output.report,
    }
}

/// Prints the results and their location.
pub(crate) fn tell(outcome: &ExplainOutcome) -> Result<(), Failure> {
    for row in outcome.overlap.iter().flat_map(|table| &table.rows) {
        output::line(format!(
            "{}: mean IoU of masks {}, of boxes {}, boxes at 0.5 or more {}",
            row[0], row[1], row[2], row[3]
        ));
    }
    if let Some(page) = &outcome.page {
        output::line(format!("the report is {}", page.display()));
    }
    if outcome.shard.is_none() {
        verdict::tell_explained(&outcome.verdict);
    }
    let told = summary::tell(&outcome.summary, outcome.total, &outcome.out, false);
    if outcome.summary.stopped {
        return Err(Failure::interrupted(
            "interrupted; the finished images are complete: continue with --resume",
        ));
    }
    told
}
