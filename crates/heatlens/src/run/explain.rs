//! The `explain` run: attribution maps of images.

use std::path::PathBuf;

use crate::bench::in_words;
use crate::data::{Dataset, Shard};
use crate::explain::{Compat, ExplainOptions, Explainer, Fusion, Score, Target};
use crate::localise::{self, GroundTruth, Localiser};
use crate::method::Method;
use crate::model::{Layer, Model};
use crate::report::Table;
use crate::run::cache::{CacheReader, CacheWriter};
use crate::run::choose_target::{ChosenTarget, choose_target};
use crate::run::outputs::Outputs;
use crate::run::pipeline::{Pipeline, TrueMask};
use crate::run::request::{methods, named, parsed, settings};
use crate::run::state::{Fingerprint, Part, RunState};
use crate::run::{
    ExplainRequest, FolderLock, Monitor, Page, PageSinks, Request, RunError, RunOptions, Save, Sink, Summary,
    check_apart, folder,
};
use crate::trust::audit::{Judged, ModelVerdict, Purpose, judge};

/// Number of images tried to find a readable one for the estimate.
const LOOK_AT: usize = 4;
/// Estimated seconds from which the duration is announced in advance.
const WORTH_TELLING: f64 = 10.0;

/// Results of an `explain` run.
#[derive(Debug)]
pub struct ExplainOutcome {
    /// Folder with the results.
    pub out: PathBuf,
    /// Number of images to explain.
    pub total: usize,
    /// Shard computed by this run, if it is one.
    pub shard: Option<Shard>,
    /// Summary in numbers.
    pub summary: Summary,
    /// Verdict on the model, based on the explained images.
    pub verdict: ModelVerdict,
    /// Overlap of boxes and masks with the ground truth, if it is known.
    pub overlap: Option<Table>,
    /// Path of the report, if requested.
    pub page: Option<PathBuf>,
}

/// A validated `explain` run; nothing has been written yet.
#[derive(Debug)]
pub struct ExplainPlan {
    options: RunOptions,
    explainer: Explainer,
    data: Box<dyn Dataset>,
    save: Save,
    localise: localise::LocaliserOptions,
    part: Part,
    state: RunState,
    request: ExplainRequest,
}

/// Explains images according to a request.
///
/// # Errors
/// If the request does not fit the model or the images, or something cannot be read or written.
pub fn explain(
    request: &ExplainRequest,
    options: &RunOptions,
    monitor: &dyn Monitor,
) -> Result<ExplainOutcome, RunError> {
    ExplainPlan::new(request, options, monitor)?.execute(monitor)
}

impl ExplainPlan {
    /// Opens the model and the images and compiles the methods; writes nothing.
    ///
    /// # Errors
    /// If the request does not fit the model or the images.
    pub fn new(
        request: &ExplainRequest,
        options: &RunOptions,
        monitor: &dyn Monitor,
    ) -> Result<Self, RunError> {
        Self::of_part(request, options, Part::of(options), monitor)
    }

    /// Plans a whole run, a shard or a merge.
    pub(super) fn of_part(
        request: &ExplainRequest,
        options: &RunOptions,
        part: Part,
        monitor: &dyn Monitor,
    ) -> Result<Self, RunError> {
        // Errors in the options alone are reported before any file is opened.
        let save = Save::parse(&request.save, request.pictures)?;
        let localise = request.localise(&save)?;
        let methods = methods(&request.methods)?;
        check_apart(&options.out, part.inputs(&request.data))?;
        let fingerprint = Fingerprint::start(&request.model.path);
        let mut model = request.model.open()?;
        monitor.notes(&model.notes);
        let data = request.data.open(&mut model, monitor)?;
        let explainer =
            Explainer::new(&model, &request.choices(&model, &methods, &save, data.as_ref(), monitor)?)?;
        monitor.notes(explainer.notes());
        let asked = Request::Explain(Box::new(request.clone()));
        let state = RunState::new(asked, options, data.as_ref(), fingerprint)?;
        part.check(&state)?;
        let (options, request) = (options.clone(), request.clone());
        Ok(Self { options, explainer, data, save, localise, part, state, request })
    }

    /// Returns the numbers of the images explained by this run.
    #[must_use]
    pub fn items(&self) -> Vec<usize> {
        let all = 0..self.data.len();
        match &self.part {
            Part::Shard(shard) => all.filter(|&item| shard.holds(item)).collect(),
            Part::Whole | Part::Merge(_) => all.collect(),
        }
    }

    /// Explains the images and writes the results.
    ///
    /// # Errors
    /// If the folder holds something else, or something cannot be read or written. Images that cannot be read are not
    /// an error; the summary lists them.
    pub fn execute(self, monitor: &dyn Monitor) -> Result<ExplainOutcome, RunError> {
        let (cache, _lock) = self.begin()?;
        let go_on = cache.is_some() && !matches!(self.part, Part::Merge(_));
        if !(matches!(self.part, Part::Merge(_)) || self.options.resume) {
            self.tell_time(monitor);
        }
        let (explainer, data, out) = (&self.explainer, self.data.as_ref(), self.options.out.as_path());
        let spans_all = !matches!(self.part, Part::Shard(_));
        let save = if spans_all { self.save.clone() } else { self.save.of_a_shard() };
        let mut outputs = Outputs::create(explainer, out, &save, go_on)?;
        let mut page = (self.request.report && spans_all)
            .then(|| PageSinks::new(explainer, save.style.heat()))
            .transpose()?;
        let localises = spans_all && self.localise.is_wanted();
        let mut localiser = localises.then(|| Localiser::new(out, self.localise.clone()));
        let keeps = !matches!(self.part, Part::Merge(_));
        let mut keeper = keeps.then(|| CacheWriter::open(out, go_on)).transpose()?;
        let mut more: Vec<&mut dyn Sink> = Vec::new();
        more.extend(page.iter_mut().flat_map(PageSinks::sinks));
        more.extend(localiser.iter_mut().map(|sink| sink as &mut dyn Sink));
        more.extend(keeper.iter_mut().map(|sink| sink as &mut dyn Sink));
        // A mask that cannot be read is reported, with its name, by the comparison.
        let truth = |item| self.localise.truth.as_ref()?.of_image(data, item).ok().flatten();
        let items = self.items();
        let total = items.len();
        let truth = localises.then_some(&truth as &TrueMask<'_>);
        let pipeline = Pipeline { explainer, data, items, out, truth, cache };
        let mut summary = pipeline.run(&mut outputs.with(more), monitor)?;
        outputs.finish(explainer, out, total, &mut summary)?;
        let verdict = verdict(explainer.model(), &summary);
        let overlap = self.overlap(localiser, monitor)?;
        let page = page.map(|page| self.write_page(page, &summary, &verdict, overlap.clone(), monitor));
        let page = page.transpose()?;
        if !summary.stopped {
            self.finish()?;
        }
        let (out, shard) = (self.options.out, self.options.shard);
        Ok(ExplainOutcome { out, total, shard, summary, verdict, overlap, page })
    }

    /// Prepares the folder, and opens the cache if there is one.
    fn begin(&self) -> Result<(Option<CacheReader>, FolderLock), RunError> {
        let out = &self.options.out;
        if self.options.resume {
            let lock = self.state.resume(out)?;
            return Ok((CacheReader::of_stopped(out, &self.explainer)?, lock));
        }
        let lock = folder::prepare(out, self.options.force)?;
        // Discard the cache of an earlier run.
        CacheReader::discard(out)?;
        self.state.write(out)?;
        let cache = match &self.part {
            Part::Merge(shards) => Some(CacheReader::of_shards(&shards.folders)?),
            Part::Whole | Part::Shard(_) => None,
        };
        Ok((cache, lock))
    }

    /// Marks the run as finished. The cache of a shard is kept for the merge.
    fn finish(&self) -> Result<(), RunError> {
        if !matches!(self.part, Part::Shard(_)) {
            CacheReader::discard(&self.options.out)?;
        }
        RunState { finished: true, ..self.state.clone() }.write(&self.options.out)
    }

    /// Announces the expected duration of methods with many passes, if it is long.
    fn tell_time(&self, monitor: &dyn Monitor) {
        let (explainer, data, images) = (&self.explainer, &self.data, self.items().len());
        let readable = || (0..data.len().min(LOOK_AT)).find_map(|item| data.load(item).ok());
        let Some(sample) = explainer.takes_passes().then(readable).flatten() else { return };
        // Errors are ignored here: the run itself will report them.
        let Ok(one) = explainer.estimate(&sample.pixels) else { return };
        #[allow(clippy::cast_precision_loss)] // images
        let seconds = one.seconds * images as f64;
        if seconds > WORTH_TELLING {
            let passes = one.passes.forward + one.passes.back;
            let maps = explainer.maps().len();
            monitor.line(&format!(
                "{images} images, {maps} maps and {passes} passes through the model for each image: about {}",
                in_words(seconds)
            ));
        }
    }

    /// Writes boxes and scores, and returns a table of the scores.
    fn overlap(
        &self,
        localiser: Option<Localiser>,
        monitor: &dyn Monitor,
    ) -> Result<Option<Table>, RunError> {
        let scores = localiser.map(Localiser::finish).transpose()?.unwrap_or_default();
        if !scores.is_empty()
            && scores.iter().all(|(_, score)| score.mask.is_none() && score.bounds.is_none())
        {
            monitor.note(
                "--truth names none of these images, so IoU is unknown (files are matched by their names)",
            );
        }
        Ok(localise::table(&scores))
    }

    fn write_page(
        &self,
        collected: PageSinks,
        summary: &Summary,
        verdict: &ModelVerdict,
        overlap: Option<Table>,
        monitor: &dyn Monitor,
    ) -> Result<PathBuf, RunError> {
        let page = Page {
            model: &self.request.model.path,
            fingerprint: &self.state.model,
            command: &self.options.command,
            title: self.request.data.title(),
            data: self.data.as_ref(),
            unseen: false,
            verdict,
            explainer: &self.explainer,
            summary,
            seed: self.request.seed,
            audit: None,
            tables: overlap.into_iter().collect(),
        };
        page.write(collected, self.options.out.join("report.html"), monitor)
    }
}

/// Returns the verdict on a model based on the explained images, as in `audit`. It uses their scores only: checks that
/// need further passes (dead channels) or all images (duplicates) are left to `audit`.
#[must_use]
pub fn verdict(model: &Model, summary: &Summary) -> ModelVerdict {
    judge(Judged {
        model,
        logits: &summary.logits.concat(),
        labels: &summary.labels,
        purpose: Purpose::Given,
        selected_among: 1,
        seed: 0,
    })
}

impl ExplainRequest {
    /// Returns a request to explain these inputs with this model, with the command line's defaults for everything else.
    #[must_use]
    pub fn new(model: impl Into<PathBuf>, inputs: Vec<PathBuf>) -> Self {
        Self {
            model: super::ModelRequest { path: model.into(), ..Default::default() },
            data: super::DataRequest { paths: inputs, ..Default::default() },
            methods: Vec::new(),
            layers: Vec::new(),
            fuse: None,
            aug_smooth: false,
            eigen_smooth: false,
            compat: None,
            placement: "receptive-field".to_owned(),
            class: "predicted".to_owned(),
            detection: None,
            against: None,
            counterfactual: false,
            set: Vec::new(),
            seed: 0,
            score: "logit".to_owned(),
            save: vec!["png".to_owned()],
            pictures: super::PictureStyle::default(),
            threshold: "0.2".to_owned(),
            components: "largest".to_owned(),
            truth: None,
            report: false,
        }
    }

    fn localise(&self, save: &Save) -> Result<localise::LocaliserOptions, RunError> {
        Ok(localise::LocaliserOptions {
            boxes: save.boxes,
            masks: save.masks,
            threshold: parsed("threshold", Some(&self.threshold))?.unwrap_or_default(),
            components: parsed("components", Some(&self.components))?.unwrap_or_default(),
            truth: self.truth.as_deref().map(GroundTruth::open).transpose()?,
        })
    }

    fn choices(
        &self,
        model: &Model,
        methods: &[&'static Method],
        save: &Save,
        data: &dyn Dataset,
        monitor: &dyn Monitor,
    ) -> Result<ExplainOptions, RunError> {
        let ChosenTarget { target, at_least } =
            choose_target(&self.class, self.detection.as_deref(), model, data, monitor)?;
        let class = |text: &str| Target::parse(text, model).map_err(|e| RunError::Request(e.to_string()));
        let mut choices = ExplainOptions {
            layers: self.layers(model)?,
            target,
            at_least,
            against: self.against.as_deref().map(class).transpose()?,
            counterfactual: self.counterfactual,
            settings: settings(self.seed, &self.set, &self.placement)?,
            fusion: named("fuse", self.fuse.as_deref(), &Fusion::ALL)?,
            augment: self.aug_smooth,
            eigen_smooth: self.eigen_smooth,
            compat: named("compat", self.compat.as_deref(), &Compat::ALL)?,
            score: named("score", Some(&self.score), &Score::ALL)?.unwrap_or(Score::Logit),
            skip_inapplicable: self.methods == ["all"],
            tensors: save.tensors,
            ..ExplainOptions::new(methods)
        };
        if self.methods.is_empty() {
            monitor.notes(&choices.take_default_methods(model));
        }
        let ignoring: Vec<&str> = choices.methods.iter().filter(|m| !m.uses_layer).map(|m| m.id).collect();
        if !(choices.layers.is_empty() || ignoring.is_empty() || self.methods.is_empty()) {
            monitor.note(&format!("--layer has no effect on {}", ignoring.join(", ")));
        }
        Ok(choices)
    }

    /// Returns the named layers; `all` selects those that `inspect` lists, without mere copies.
    fn layers(&self, model: &Model) -> Result<Vec<Layer>, RunError> {
        if self.layers == ["all"] {
            let found = model.find_layers();
            let default = model.choose_layer(&found).ok().map(|choice| choice.layer);
            let outline = model.outline(&found.all, default.as_ref());
            return Ok(outline.into_iter().filter(|layer| !layer.view).cloned().collect());
        }
        let found = self.layers.iter().map(|name| model.layer(name)).collect::<Result<Vec<_>, _>>();
        found.map_err(|e| RunError::Request(e.to_string()))
    }
}
