//! `heatlens train`: from labelled images to a model, and on request to its pictures.

mod observer;
mod settings;

use std::fs;
use std::path::Path;

use heatlens::data::{Dataset, OpenOptions, open_inputs, open_training, remove_unfinished, write_atomically};
use heatlens::gallery::{Job, Part, Save};
use heatlens::model::Model;
use heatlens::train::TrainingSet;
use heatlens::train::fit::{Ending, Settings, Trainer};
use heatlens::train::report::Report;

use crate::arguments::Train;
use crate::command::{explain, folder, open, verdict};
use crate::failure::Failure;
use crate::output;
pub(crate) use observer::EpochLines;

pub(crate) fn run(options: &Train) -> Result<(), Failure> {
    let settings = settings::settings(options)?;
    let set = read(options)?;
    // Opened now: a wrong range must not come to light after hours of training.
    let to_explain =
        options.explain_rows.as_deref().map(|rows| open_rows(options, rows, &set)).transpose()?;
    tell_about(&set, options.json);
    let out = &options.out;
    let record = settings::as_json(options);
    if options.resume {
        settings::check_same(&out.join("run.json"), &record)?;
    } else {
        // Wrong settings come to light here, before there is a folder in the way of the corrected command.
        Trainer::new(settings.clone(), &set, out)?;
        folder::prepare(out, options.force)?;
        clear(out)?;
        let text = format!("{record:#}\n");
        let path = out.join("run.json");
        write_atomically(&path, text.as_bytes())
            .map_err(|e| Failure::new(format!("cannot write {}: {e}", path.display())))?;
    }
    remove_unfinished(out)?;
    let report = train(settings, &set, out, options.resume, options.json)?;
    if report.ending == Ending::Interrupted {
        return Err(Failure::interrupted(format!(
            "interrupted after epoch {}; go on with --resume",
            report.epochs
        )));
    }
    if let Some(data) = &to_explain {
        explain_rows(data.as_ref(), out, options.json)?;
    }
    match set.broken.len() {
        0 => Ok(()),
        n => Err(Failure::new(format!("{n} images could not be read and took no part in training"))),
    }
}

/// Trains, reports, and says in a sentence whether there is anything to see.
pub(crate) fn train(
    settings: Settings,
    set: &TrainingSet,
    out: &Path,
    resume: bool,
    json: bool,
) -> Result<Report, Failure> {
    let keep_best = settings.keep_best;
    let mut lines = EpochLines::new(&settings, out, resume, json)?;
    let mut trainer = match resume && out.join("checkpoint.safetensors").exists() {
        true => Trainer::resume(settings, set, out)?,
        false => Trainer::new(settings, set, out)?,
    };
    let ending = trainer.run(&mut lines)?;
    lines.finish();
    if ending == Ending::Interrupted && trainer.history().records.is_empty() {
        return Err(Failure::interrupted("interrupted in the first epoch; --resume begins it again"));
    }
    let report = Report::write(&trainer, set, ending, keep_best, out)?;
    if json {
        output::line(serde_json::to_string_pretty(&report.to_json(trainer.history(), set))?);
        return Ok(report);
    }
    if ending == Ending::EarlyStopped {
        output::line(format!("stopped early after epoch {}: no improvement any more", report.epochs));
    }
    output::line(format!(
        "the model has the weights of epoch {}: {}",
        report.kept_epoch,
        out.join("model.onnx").display()
    ));
    verdict::print(&report.model);
    Ok(report)
}

/// Opens the data and holds some of them out.
fn read(options: &Train) -> Result<TrainingSet, Failure> {
    let data = open_training(&options.data, &open_options(options)?)?;
    data.notes().iter().for_each(output::note);
    let set = match &options.validation.validation_data {
        Some(path) => {
            let like = OpenOptions {
                preprocessing: Some(data.preprocessing().clone()),
                class_names: Some(data.class_names().to_vec()),
                numbers: open::numbers(options.network.scale.as_deref())?,
                ..open::options(&options.input)?
            };
            let validation = open_training(path, &OpenOptions { rows: None, ..like })?;
            validation.notes().iter().for_each(output::note);
            TrainingSet::with_validation(data.as_ref(), validation.as_ref())?
        }
        None => {
            let split = settings::split(&options.validation.split)?;
            TrainingSet::new(data.as_ref(), split, options.validation.validation_split, options.network.seed)?
        }
    };
    for (input, reason) in &set.broken {
        output::broken(input, reason);
    }
    Ok(set)
}

fn open_options(options: &Train) -> Result<OpenOptions, Failure> {
    let network = &options.network;
    let resize = network.resize.parse().map_err(|e: String| Failure::usage(format!("--resize: {e}")))?;
    let size = network
        .size
        .as_deref()
        .map(|text| open::size("--size", text))
        .transpose()?
        .map(|size| (size, resize));
    let numbers = open::numbers(network.scale.as_deref())?;
    Ok(OpenOptions { channels: network.channels, size, numbers, ..open::options(&options.input)? })
}

fn tell_about(set: &TrainingSet, json: bool) {
    if json {
        return;
    }
    let [c, h, w] = set.preprocessing.shape();
    let counts: Vec<String> =
        set.class_names.iter().zip(set.class_counts()).map(|(name, n)| format!("{n} of {name}")).collect();
    output::line(format!(
        "{} images of {c}×{h}×{w} to train on ({}), {} to judge by",
        set.train.len(),
        counts.join(", "),
        set.validation.len()
    ));
}

/// Removes what an earlier run left, so that nothing of it mixes with the new one.
fn clear(out: &Path) -> Result<(), Failure> {
    for name in [
        "checkpoint.safetensors",
        "history.csv",
        "timing.csv",
        "model.onnx",
        "metrics.json",
        "learning_curve.png",
    ] {
        let path = out.join(name);
        if path.exists() {
            fs::remove_file(&path)
                .map_err(|e| Failure::new(format!("cannot remove {}: {e}", path.display())))?;
        }
    }
    Ok(())
}

/// Rows of the training data's array, as the trained model will take them.
fn open_rows(options: &Train, rows: &str, set: &TrainingSet) -> Result<Box<dyn Dataset>, Failure> {
    let open = OpenOptions {
        rows: open::rows("--explain-rows", Some(rows))?,
        preprocessing: Some(set.preprocessing.clone()),
        class_names: Some(set.class_names.clone()),
        numbers: open::numbers(options.network.scale.as_deref())?,
        ..open::options(&options.input)?
    };
    Ok(open_inputs(std::slice::from_ref(&options.data), &open)?)
}

/// The five pictures of every row, in `OUT/explain`.
fn explain_rows(data: &dyn Dataset, out: &Path, json: bool) -> Result<(), Failure> {
    let model = Model::open(&out.join("model.onnx"))?;
    let explainer = explain::by_default(&model)?;
    let target = out.join("explain");
    folder::prepare(&target, true)?;
    let (save, part) = (Save::default(), Part::Whole);
    let job = Job { explainer: &explainer, data, out: &target, save, part, kept: None };
    let summary = explain::explain_into(job, None, &mut [])?;
    if !json {
        verdict::tell_explained(&verdict::explained(&explainer, &summary));
    }
    explain::tell(&summary, data.len(), &target, json)
}
