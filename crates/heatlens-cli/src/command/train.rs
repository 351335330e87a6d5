//! `heatlens train`: trains a model on labelled images and, on request, explains it.

mod next;
mod observer;
mod settings;

use std::path::Path;

use heatlens::data::{Dataset, OpenOptions, SplitFolders, open_inputs};
use heatlens::model::Model;
use heatlens::run::{Save, numbers, prepare, rows, size, verdict as judged, write_explanations};
use heatlens::train::TrainingSet;
use heatlens::train::fit::{Ending, Trainer, TrainingSettings};
use heatlens::train::outlook::Concern;
use heatlens::train::run::{self, Finished, Source, TrainingPlan};

use crate::arguments::Train;
use crate::command::{again, open, summary, verdict};
use crate::failure::Failure;
use crate::output;
use crate::progress::Terminal;
use observer::EpochLines;

pub(crate) fn run(options: &Train) -> Result<(), Failure> {
    let (out, json) = (&options.output.out, options.output.json);
    let source = Source::find(&options.data, options.validation.validation_data.as_deref())?;
    if let Some(split) = source.split.as_ref().filter(|_| !json) {
        tell_split(split, &source, out);
    }
    let (open, choices) = (open_options(options)?, settings::choices(options));
    let plan = TrainingPlan::new(&source, &open, options.schedule.recipe, &choices, &Terminal::default())?;
    // Opened now, so that an invalid range is reported before hours of training.
    let to_explain =
        options.output.explain_rows.as_deref().map(|rows| open_rows(options, rows, &plan)).transpose()?;
    // Invalid settings are reported here, before a folder is created that would block the corrected command.
    let rehearsal = Trainer::new(plan.settings.clone(), &plan.set, out)?;
    let run = open::places(out, None, &options.folder);
    let _lock = plan.begin(&run, settings::given(options))?;
    if !json {
        tell_outlook(&plan, &rehearsal)?;
    }
    drop(rehearsal);
    let finished = train(plan.settings.clone(), &plan.set, out, options.folder.resume, json)?;
    if finished.report.ending == Ending::Interrupted {
        return Err(Failure::interrupted(format!(
            "interrupted after epoch {}; continue with --resume",
            finished.report.epochs
        )));
    }
    if let Some(data) = &to_explain {
        explain_rows(data.as_ref(), out, json)?;
    }
    if !json {
        plan.advice(&finished)?.iter().for_each(|advice| next::tell(advice, out));
    }
    match plan.set.broken.len() {
        0 => Ok(()),
        1 => Err(Failure::new("1 image could not be read and took no part in training")),
        n => Err(Failure::new(format!("{n} images could not be read and took no part in training"))),
    }
}

/// Trains, reports the metrics, and prints a verdict on the model.
pub(crate) fn train(
    settings: TrainingSettings,
    set: &TrainingSet,
    out: &Path,
    resume: bool,
    json: bool,
) -> Result<Finished, Failure> {
    let mut lines = EpochLines::new(settings.epochs, json);
    let outcome = run::train(settings, set, out, resume, &mut lines);
    lines.finish();
    let Some(finished) = outcome? else {
        return Err(Failure::interrupted("interrupted in the first epoch; --resume starts it again"));
    };
    let report = &finished.report;
    if json {
        output::line(format!("{:#}", report.to_json(&finished.history, set)));
        return Ok(finished);
    }
    if report.ending == Ending::EarlyStopped {
        output::line(format!("stopped early after epoch {}: no further improvement", report.epochs));
    }
    let (epoch, model) = (report.kept_epoch, out.join("model.onnx"));
    output::line(format!("the model has the weights of epoch {epoch}: {}", model.display()));
    verdict::print(&report.model);
    Ok(finished)
}

/// Prints how the parts of a split folder are used.
fn tell_split(split: &SplitFolders, source: &Source, out: &Path) {
    let judged = match &source.validation {
        Some(path) => format!("validated on {}", path.display()),
        None => "validated on a part of it".to_owned(),
    };
    output::note(format!("trained on {}, {judged}", source.train.display()));
    if let Some(test) = &split.test {
        output::note(format!(
            "{test} is not used; afterwards: heatlens audit {model} {test} --out audit",
            test = again::quoted(&test.display().to_string()),
            model = again::quoted(&out.join("model.onnx").display().to_string()),
        ));
    }
    for other in &split.others {
        output::note(format!("{} is not used: it is not a part of the split", other.display()));
    }
}

/// Prints the data, the settings and the expected duration of the training, and anything that could make it
/// inconclusive.
fn tell_outlook(plan: &TrainingPlan, trainer: &Trainer<'_>) -> Result<(), Failure> {
    output::line(plan.images_in_words());
    plan.reduction_in_words().iter().for_each(output::note);
    output::line(plan.work_in_words(trainer)?);
    Concern::all(&plan.set, &plan.settings).iter().for_each(|concern| output::note(concern.to_string()));
    Ok(())
}

fn open_options(options: &Train) -> Result<OpenOptions, Failure> {
    let network = &options.network;
    let wanted = network.size.as_deref().map(|text| size("size", text)).transpose()?;
    Ok(OpenOptions {
        channels: network.channels,
        size: wanted.map(|wanted| (wanted, network.resize)),
        numbers: numbers(network.scale.as_deref())?,
        ..open::options(&options.input)?
    })
}

/// Opens rows of the training data's array, preprocessed for the trained model.
fn open_rows(options: &Train, wanted: &str, plan: &TrainingPlan) -> Result<Box<dyn Dataset>, Failure> {
    let open = OpenOptions { rows: rows("explain-rows", Some(wanted))?, ..plan.open_options() };
    Ok(open_inputs(std::slice::from_ref(&options.data), &open)?)
}

/// Writes the five images for every row to `OUT/explain`.
fn explain_rows(data: &dyn Dataset, out: &Path, json: bool) -> Result<(), Failure> {
    let model = Model::open(&out.join("model.onnx"))?;
    let explainer = open::explainer(&model)?;
    let target = out.join("explain");
    let _lock = prepare(&target, true)?;
    let (save, terminal) = (Save::default(), Terminal::default());
    let summary = write_explanations(&explainer, data, &target, &save, None, Vec::new(), &terminal)?;
    if !json {
        verdict::tell_explained(&judged(&model, &summary));
    }
    summary::tell(&summary, data.len(), &target, json)
}
