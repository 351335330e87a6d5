//! `heatlens explain`: pictures of where a model looks.

use std::path::{Path, PathBuf};

use heatlens::bench::in_words;
use heatlens::data::Dataset;
use heatlens::explain::{Compat, ExplainOptions, Explainer, Fusion, Target};
use heatlens::gallery::{Job, Kept, Listener, Part, Save, Summary, Truth, write_gallery};
use heatlens::localise::Localiser;
use heatlens::method::{self, Method, Settings};
use heatlens::model::{Layer, Model, Placing};

use crate::arguments::{Explain, SaveName};
use crate::command::begun::Begun;
use crate::command::report::{self, Ears, Page};
use crate::command::shards::{Finished, Shards};
use crate::command::{again, folder, localise, open, verdict};
use crate::failure::Failure;
use crate::output;
use crate::progress::Bar;

/// Images that are tried for one that can be read.
const LOOK_AT: usize = 4;
/// Seconds from which the time is told beforehand.
const WORTH_TELLING: f64 = 10.0;

pub(crate) fn run(options: &Explain) -> Result<(), Failure> {
    explain(options, &again::words(), None)
}

/// Makes one run of the shards of many.
pub(crate) fn merge(options: &Explain, shards: &Shards) -> Result<(), Failure> {
    explain(options, &shards.words, Some(shards))
}

/// `words` are the command; what the shards found is not computed again.
fn explain(options: &Explain, words: &[String], shards: Option<&Shards>) -> Result<(), Failure> {
    if [SaveName::Npz, SaveName::Npz16].iter().all(|name| options.save.contains(name)) {
        return Err(Failure::usage("--save takes npz or npz16, not both: they are the same file"));
    }
    let mut model = open::model(&options.model, &options.ports, &options.pixels)?;
    // Class folders may give the model's classes their names, which --class is about.
    let data = open::data(&mut model, &options.inputs, &options.input)?;
    let explainer = Explainer::new(&model, &choices(options, &model)?)?;
    explainer.notes().iter().for_each(output::note);
    let localise = localise::options(options)?;
    let part = match (options.shard, shards) {
        (Some(shard), _) => Part::Shard(shard),
        (None, Some(_)) => Part::Merge,
        (None, None) => Part::Whole,
    };
    let mut kept = shards.map(|shards| shards.open(data.len())).transpose()?;
    let begun = Begun::new(&options.out, words, options.shard, &options.model, data.len())?;
    if options.resume {
        begun.check()?;
        kept = Kept::of_interrupted(&options.out, &explainer)?;
    } else {
        folder::prepare(&options.out, options.force)?;
        // What another run kept here is not this one's.
        Kept::discard(&options.out)?;
        // Merging is quick, and what it reads stays where it is.
        (part != Part::Merge).then(|| begun.write()).transpose()?;
    }
    let shard_file = Finished::clear(&options.out)?;
    let save = save(options);
    let job = Job { explainer: &explainer, data: data.as_ref(), out: &options.out, save, part, kept };
    if shards.is_none() && !options.resume {
        estimate(&explainer, data.as_ref(), job.items().len());
    }
    if let Some(shard) = options.shard {
        let total = job.items().len();
        let summary = explain_into(job, None, &mut [])?;
        if !summary.stopped {
            shard_file.write(shard, words, &options.model, data.len())?;
            begun.finish()?;
        }
        return tell_explained(&summary, total, &options.out);
    }
    let mut page = options.report.then(|| Ears::new(&explainer, save.style.heat())).transpose()?;
    let mut listeners: Vec<&mut dyn Listener> = Vec::new();
    listeners.extend(page.iter_mut().flat_map(Ears::listeners));
    let truth = localise.as_ref().and_then(|wanted| wanted.truth.clone());
    let mut localiser = localise.map(|wanted| Localiser::new(&options.out, wanted));
    listeners.extend(localiser.iter_mut().map(|localiser| localiser as &mut dyn Listener));
    let summary = {
        // A mask that cannot be read is an error of the comparison, which names it.
        let seen = |item| truth.as_ref()?.of_image(data.as_ref(), item).ok().flatten();
        let outlines = |item| seen(item).map(|mask| (mask.height, mask.width, mask.inside));
        explain_into(job, truth.is_some().then_some(&outlines as &Truth<'_>), &mut listeners)?
    };
    let model_verdict = verdict::explained(&explainer, &summary);
    let tables = localiser.map(localise::finish).transpose()?.into_iter().flatten().collect();
    if let Some(heard) = page {
        let page = Page {
            model: &options.model,
            words,
            title: inputs(&options.inputs),
            data: data.as_ref(),
            unseen: false,
            verdict: &model_verdict,
            explainer: &explainer,
            summary: &summary,
            seed: options.seed,
            audit: None,
            tables,
        };
        report::write(page, heard, &options.out.join("report.html"), false)?;
    }
    if !summary.stopped {
        // At last, so that a run that is stopped while the page is made goes on too.
        Kept::discard(&options.out)?;
        begun.finish()?;
    }
    verdict::tell_explained(&model_verdict);
    tell_explained(&summary, data.len(), &options.out)
}

/// Says how long methods of many passes will take, where it is long enough to ask oneself.
fn estimate(explainer: &Explainer, data: &dyn Dataset, images: usize) {
    let readable = || (0..data.len().min(LOOK_AT)).find_map(|item| data.load(item).ok());
    let Some(sample) = explainer.takes_passes().then(readable).flatten() else { return };
    // What goes wrong here goes wrong again where it is told.
    let Ok(one) = explainer.estimate(&sample.pixels) else { return };
    #[allow(clippy::cast_precision_loss)] // images
    let seconds = one.seconds * images as f64;
    if seconds > WORTH_TELLING {
        let passes = one.passes.forward + one.passes.back;
        let maps = explainer.maps().len();
        output::line(format!(
            "{images} images, {maps} maps and {passes} passes through the model for each image: about {}",
            in_words(seconds)
        ));
    }
}

/// What is written.
fn save(options: &Explain) -> Save {
    let wanted = |name| options.save.contains(&name);
    Save {
        png: wanted(SaveName::Png),
        npz: wanted(SaveName::Npz) || wanted(SaveName::Npz16),
        float16: wanted(SaveName::Npz16),
        heat: wanted(SaveName::Heat),
        tensors: wanted(SaveName::Tensors),
        style: options.pictures.style(),
        resumable: true,
        ..Save::default()
    }
}

/// What came of it, and how to go on.
fn tell_explained(summary: &Summary, total: usize, out: &Path) -> Result<(), Failure> {
    let told = tell(summary, total, out, false);
    if summary.stopped {
        let what = "interrupted; the finished images are complete: go on with --resume";
        return Err(Failure::interrupted(what));
    }
    told
}

/// What is explained, as a title.
pub(crate) fn inputs(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn choices(options: &Explain, model: &Model) -> Result<ExplainOptions, Failure> {
    let class = |text: &str| Target::parse(text, model).map_err(|e| Failure::usage(e.to_string()));
    let settings = settings(options.seed, &options.set)?.placed(placing(&options.placement)?);
    let mut choices = ExplainOptions {
        layers: layers(options, model)?,
        target: class(&options.class)?,
        against: options.against.as_deref().map(class).transpose()?,
        counterfactual: options.counterfactual,
        settings,
        fusion: named(options.fuse.as_deref(), "--fuse", &Fusion::ALL)?,
        augment: options.aug_smooth,
        eigen_smooth: options.eigen_smooth,
        compat: named(options.compat.as_deref(), "--compat", &Compat::ALL)?,
        score: options.score.into(),
        skip_inapplicable: options.method == ["all"],
        tensors: options.save.contains(&SaveName::Tensors),
        ..ExplainOptions::new(&methods(&options.method)?)
    };
    if options.method.is_empty() {
        choices.take_default_methods(model).iter().for_each(output::note);
    }
    let ignoring: Vec<&str> = choices.methods.iter().filter(|m| !m.uses_layer).map(|m| m.id).collect();
    if !(choices.layers.is_empty() || ignoring.is_empty() || options.method.is_empty()) {
        output::note(format!("--layer makes no difference to {}", ignoring.join(", ")));
    }
    Ok(choices)
}

/// An explainer for a model about which nobody said anything.
pub(crate) fn by_default(model: &Model) -> Result<Explainer, Failure> {
    let mut options = ExplainOptions::new(&[]);
    options.take_default_methods(model).iter().for_each(output::note);
    let explainer = Explainer::new(model, &options)?;
    explainer.notes().iter().for_each(output::note);
    Ok(explainer)
}

/// The methods that were named; `all` are all there are.
pub(crate) fn methods(names: &[String]) -> Result<Vec<&'static Method>, Failure> {
    if names == ["all"] {
        return Ok(method::METHODS.to_vec());
    }
    let found: Result<_, _> = names.iter().map(|id| method::find(id)).collect();
    found.map_err(|e| Failure::usage(e.to_string()))
}

/// How maps are laid over the image, by `--placement`.
pub(crate) fn placing(name: &str) -> Result<Placing, Failure> {
    Ok(named(Some(name), "--placement", &Placing::ALL)?.unwrap_or_default())
}

/// What is set on methods, by `--seed` and `--set`.
pub(crate) fn settings(seed: u64, assignments: &[String]) -> Result<Settings, Failure> {
    let mut settings = Settings::with_seed(seed);
    for assignment in assignments {
        settings.set(assignment).map_err(|e| Failure::usage(e.to_string()))?;
    }
    Ok(settings)
}

/// The layers that were named; `all` are those that `inspect` lists, less mere copies.
fn layers(options: &Explain, model: &Model) -> Result<Vec<Layer>, Failure> {
    if options.layer == ["all"] {
        let all = model.layers();
        let outline = model.outline(&all, model.default_layer().ok().as_ref());
        return Ok(outline.into_iter().filter(|layer| !layer.view).cloned().collect());
    }
    let found = options.layer.iter().map(|name| model.layer(name)).collect::<Result<Vec<_>, _>>();
    found.map_err(|e| Failure::usage(e.to_string()))
}

/// What a word stands for.
fn named<T: Copy>(word: Option<&str>, flag: &str, known: &[(&str, T)]) -> Result<Option<T>, Failure> {
    let Some(word) = word else { return Ok(None) };
    let found = known.iter().find(|(name, _)| *name == word);
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let wrong = || Failure::usage(format!("{flag} takes {}, found {word:?}", names.join(", ")));
    found.map(|(_, value)| Some(*value)).ok_or_else(wrong)
}

/// Explains a data set with a progress bar.
pub(crate) fn explain_into(
    job: Job<'_>,
    truth: Option<&Truth<'_>>,
    listeners: &mut [&mut dyn Listener],
) -> Result<Summary, Failure> {
    let bar = Bar::new(job.items().len(), "images");
    let summary = write_gallery(job, truth, listeners, &bar);
    bar.finish();
    Ok(summary?)
}

/// Says what came of it; broken images make the command fail after everything else is done.
/// `quiet` leaves standard output to somebody else's JSON.
pub(crate) fn tell(summary: &Summary, total: usize, out: &Path, quiet: bool) -> Result<(), Failure> {
    for (what, count) in &summary.empty_maps {
        output::note(format!("{count} of {} maps of {what}", summary.done));
    }
    for (input, reason) in &summary.broken {
        output::broken(input, reason);
    }
    if !quiet {
        output::line(format!("{} of {total} images explained in {}", summary.done, out.display()));
        summary.sheet.iter().for_each(|sheet| output::line(format!("look at {}", sheet.display())));
    }
    if summary.stopped {
        return Err(Failure::interrupted("interrupted; the finished images are complete"));
    }
    match summary.broken.len() {
        0 => Ok(()),
        n => Err(Failure::new(format!("{n} of {total} images could not be read"))),
    }
}
