//! `heatlens train`: from labelled images to a model, and on request to its pictures.

mod next;
mod observer;
mod outlook;
mod settings;

use std::fs;
use std::path::{Path, PathBuf};

use heatlens::data::{
    Dataset, OpenOptions, SplitFolders, open_inputs, open_training, remove_unfinished, write_atomically,
};
use heatlens::gallery::{Job, Part, Save};
use heatlens::model::Model;
use heatlens::train::TrainingSet;
use heatlens::train::advice::Advice;
use heatlens::train::fit::{Ending, Settings, Trainer};
use heatlens::train::history::History;
use heatlens::train::recipe::{Choices, RECIPES, Recipe};
use heatlens::train::report::Report;

use crate::arguments::Train;
use crate::command::{again, explain, folder, open, verdict};
use crate::failure::Failure;
use crate::output;
pub(crate) use observer::EpochLines;

pub(crate) fn run(options: &Train) -> Result<(), Failure> {
    let (recipe, choices) = (settings::recipe(options)?, settings::choices(options)?);
    let (set, original) = read(options, recipe, &choices)?;
    let settings = recipe.settings(&choices, &set.class_counts(), set.validation.len())?;
    // Opened now: a wrong range must not come to light after hours of training.
    let to_explain =
        options.explain_rows.as_deref().map(|rows| open_rows(options, rows, &set)).transpose()?;
    // Wrong settings come to light here, before there is a folder in the way of the corrected command.
    let rehearsal = Trainer::new(settings.clone(), &set, &options.out)?;
    let out = &options.out;
    let (_, held_out) = recipe.split(&choices, &set.counts());
    let record = settings::as_json(options, &settings, held_out);
    if options.resume {
        settings::check_same(&out.join("run.json"), &record)?;
    } else {
        folder::prepare(out, options.force)?;
        clear(out)?;
        let text = format!("{record:#}\n");
        let path = out.join("run.json");
        write_atomically(&path, text.as_bytes())
            .map_err(|e| Failure::new(format!("cannot write {}: {e}", path.display())))?;
    }
    if !options.json {
        outlook::tell(&set, &settings, original, &rehearsal)?;
    }
    drop(rehearsal);
    remove_unfinished(out)?;
    let (report, history) = train(settings.clone(), &set, out, options.resume, options.json)?;
    if report.ending == Ending::Interrupted {
        return Err(Failure::interrupted(format!(
            "interrupted after epoch {}; go on with --resume",
            report.epochs
        )));
    }
    if let Some(data) = &to_explain {
        explain_rows(data.as_ref(), out, options.json)?;
    }
    if !options.json {
        let usual = RECIPES[0].settings(&Choices::default(), &set.class_counts(), set.validation.len())?;
        let advice = Advice::after(&report, &history, &set, &settings, &usual, original);
        advice.iter().for_each(|advice| next::tell(advice, out));
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
) -> Result<(Report, History), Failure> {
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
        return Ok((report, trainer.history().clone()));
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
    Ok((report, trainer.history().clone()))
}

/// Opens the data and holds some of them out. Returns too how large the first image is as a file.
fn read(
    options: &Train,
    recipe: &Recipe,
    choices: &Choices,
) -> Result<(TrainingSet, Option<[usize; 2]>), Failure> {
    let (path, validation) = parts(options)?;
    let data = open_training(&path, &open_options(options, recipe)?)?;
    data.notes().iter().for_each(output::note);
    let original = (0..data.len()).find_map(|item| data.original_size(item).ok());
    let set = match &validation {
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
        None => TrainingSet::split_by(data.as_ref(), |counts| recipe.split(choices, counts), choices.seed)?,
    };
    for (input, reason) in &set.broken {
        output::broken(input, reason);
    }
    Ok((set, original))
}

/// Where the images to train on and those to judge by lie: as the flags say, or in the parts of a folder that was
/// split by hand.
fn parts(options: &Train) -> Result<(PathBuf, Option<PathBuf>), Failure> {
    let given = options.validation.validation_data.clone();
    let Some(split) = SplitFolders::find(&options.data)? else { return Ok((options.data.clone(), given)) };
    let validation = given.or_else(|| split.validation.clone());
    if !options.json {
        let judged = match &validation {
            Some(path) => format!("judged by {}", path.display()),
            None => "judged by a part of it".to_owned(),
        };
        output::note(format!("trained on {}, {judged}", split.train.display()));
        if let Some(test) = &split.test {
            output::note(format!(
                "{test} is left alone; afterwards: heatlens audit {model} {test} --out audit",
                test = again::quoted(&test.display().to_string()),
                model = again::quoted(&options.out.join("model.onnx").display().to_string()),
            ));
        }
        for other in &split.others {
            output::note(format!("{} is left alone: it is not a part of the split", other.display()));
        }
    }
    Ok((split.train, validation))
}

fn open_options(options: &Train, recipe: &Recipe) -> Result<OpenOptions, Failure> {
    let network = &options.network;
    let resize = network.resize.parse().map_err(|e: String| Failure::usage(format!("--resize: {e}")))?;
    let size = network
        .size
        .as_deref()
        .map(|text| open::size("--size", text))
        .transpose()?
        .map(|size| (size, resize));
    let (numbers, max_pixels) = (open::numbers(network.scale.as_deref())?, recipe.max_pixels);
    Ok(OpenOptions {
        channels: network.channels,
        size,
        max_pixels,
        numbers,
        ..open::options(&options.input)?
    })
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
