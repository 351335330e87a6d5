//! The `audit` run: checks if the model is worth explaining, and which method is faithful to it.

mod model_checks;
mod page;
mod records;
mod steps;
mod timing;

use std::path::PathBuf;

use crate::data::{Dataset, write_atomically};
use crate::method::{self, Method};
use crate::report::Training;
use crate::run::request::settings;
use crate::run::state::{Fingerprint, Part, RunState};
use crate::run::{AuditRequest, FolderLock, Monitor, Request, RunError, RunOptions, check_apart, folder};
use crate::trust::audit::{Audit, AuditSettings, Auditor, Measurements, conclude};
use crate::trust::significance::{Untestable, Verdict};
use page::Shown;
use records::Records;
use steps::Work;

/// Default number of images on which the methods are measured.
const IMAGES: usize = 64;

/// Results of an audit.
#[derive(Debug)]
pub struct AuditOutcome {
    /// Folder with the results.
    pub out: PathBuf,
    /// Number of images selected for measuring the methods.
    pub chosen: usize,
    /// Number of images of the data set, on which the model is judged (at most 10,000 of them).
    pub images: usize,
    /// Number of images that could not be read: of the data set, or of the shard's own.
    pub broken: usize,
    /// The audit; `None` for a shard.
    pub audit: Option<Audit>,
    /// Number of images measured.
    pub measured: usize,
    /// Result on the training run's own evaluation, if these images cannot be used to judge the model.
    pub when_trained: Option<String>,
    /// Path of the report, if there is a map to show.
    pub page: Option<PathBuf>,
}

/// A validated audit; nothing has been written yet.
#[derive(Debug)]
pub struct AuditPlan {
    options: RunOptions,
    request: AuditRequest,
    auditor: Auditor,
    data: Box<dyn Dataset>,
    chosen: Vec<usize>,
    part: Part,
    state: RunState,
}

/// Audits a model according to a request.
///
/// # Errors
/// If the request does not fit the model or the images, or something cannot be read or written.
pub fn audit(
    request: &AuditRequest,
    options: &RunOptions,
    monitor: &dyn Monitor,
) -> Result<AuditOutcome, RunError> {
    AuditPlan::new(request, options, monitor)?.execute(monitor)
}

impl AuditPlan {
    /// Opens the model and the images and compiles the methods; writes nothing.
    ///
    /// # Errors
    /// If the request does not fit the model or the images.
    pub fn new(
        request: &AuditRequest,
        options: &RunOptions,
        monitor: &dyn Monitor,
    ) -> Result<Self, RunError> {
        Self::of_part(request, options, Part::of(options), monitor)
    }

    /// Plans a whole run, a shard or a merge.
    pub(super) fn of_part(
        request: &AuditRequest,
        options: &RunOptions,
        part: Part,
        monitor: &dyn Monitor,
    ) -> Result<Self, RunError> {
        // Errors in the options alone are reported before any file is opened.
        let settings = request.settings()?;
        check_apart(&options.out, part.inputs(&request.data))?;
        let fingerprint = Fingerprint::start(&request.model.path);
        let mut model = request.model.open()?;
        monitor.notes(&model.notes);
        let data = request.data.open(&mut model, monitor)?;
        let auditor = Auditor::new(&model, settings)?;
        monitor.notes(auditor.notes());
        let wanted = match (request.measured, request.full) {
            (Some(images), _) => images,
            (None, true) => data.len(),
            (None, false) => IMAGES,
        };
        let chosen = auditor.choose(data.len(), wanted);
        let asked = Request::Audit(Box::new(request.clone()));
        let state = RunState::new(asked, options, data.as_ref(), fingerprint)?;
        part.check(&state)?;
        let (options, request) = (options.clone(), request.clone());
        Ok(Self { options, request, auditor, data, chosen, part, state })
    }

    /// Runs the audit and writes the results.
    ///
    /// # Errors
    /// If the folder holds something else, something cannot be read or written, or the monitor requested a stop.
    pub fn execute(self, monitor: &dyn Monitor) -> Result<AuditOutcome, RunError> {
        let (records, _lock) = self.begin()?;
        let (auditor, data) = (&self.auditor, self.data.as_ref());
        let mut work = Work::new(auditor, data, &records, monitor);
        if let Part::Shard(shard) = self.part {
            let measured = work.shard(shard, &self.chosen)?;
            let broken = work.broken();
            return self.finish(AuditOutcome { measured, broken, ..self.outcome() });
        }
        if !matches!(self.part, Part::Merge(_)) {
            work.estimate(&self.chosen)?;
        }
        let judged = model_checks::judge(&work, &self.request)?;
        let randomization = work.randomization(&self.chosen)?;
        let measured = work.measure(&self.chosen)?;
        let mut audit = conclude(Measurements {
            model: judged,
            methods: &auditor.methods(),
            records: &measured,
            randomization: Some(&randomization),
            seed: self.request.seed,
            notes: auditor.notes().to_vec(),
        });
        audit.seconds = work.clock.seconds();
        let mut shown = Shown::explain(&self, &audit, monitor)?;
        if let Some(shown) = &mut shown {
            [audit.shortcuts, audit.always_looked_at] = shown.places(data, self.request.seed)?;
        }
        let path = self.options.out.join("audit.json");
        let text = format!("{:#}\n", audit.to_json());
        write_atomically(&path, text.as_bytes()).map_err(RunError::writing(&path))?;
        work.clock.write(&self.options.out.join("timing.json"))?;
        let (broken, measured) = (work.broken(), measured.len());
        let page = shown.map(|shown| shown.write(&self, &audit, monitor)).transpose()?;
        let when_trained = self.when_trained(&audit);
        self.finish(AuditOutcome {
            broken,
            measured,
            audit: Some(audit),
            when_trained,
            page,
            ..self.outcome()
        })
    }

    fn outcome(&self) -> AuditOutcome {
        AuditOutcome {
            out: self.options.out.clone(),
            chosen: self.chosen.len(),
            images: self.data.len(),
            broken: 0,
            audit: None,
            measured: 0,
            when_trained: None,
            page: None,
        }
    }

    /// Prepares the folder, and takes over existing records.
    fn begin(&self) -> Result<(Records<'_>, FolderLock), RunError> {
        let out = &self.options.out;
        let records = Records::new(out);
        if self.options.resume {
            let lock = self.state.resume(out)?;
            records.tidy()?;
            return Ok((records, lock));
        }
        let lock = folder::prepare(out, self.options.force)?;
        records.clear()?;
        self.state.write(out)?;
        if let Part::Merge(shards) = &self.part {
            records.gather(&shards.folders)?;
        }
        Ok((records, lock))
    }

    /// Marks the run as finished.
    fn finish(&self, outcome: AuditOutcome) -> Result<AuditOutcome, RunError> {
        RunState { finished: true, ..self.state.clone() }.write(&self.options.out)?;
        Ok(outcome)
    }

    /// Returns the evaluation made when the model was trained, if these images have no labels.
    fn when_trained(&self, audit: &Audit) -> Option<String> {
        let unlabelled = audit.model.judgement.verdict == Verdict::Unknown(Untestable::NoLabels);
        // A history that cannot be read is reported when the page is written.
        unlabelled.then(|| Training::beside(&self.request.model.path).ok().flatten()?.sentence).flatten()
    }
}

impl AuditRequest {
    fn settings(&self) -> Result<AuditSettings, RunError> {
        let methods: Vec<&'static Method> = match self.methods.as_slice() {
            [] if self.full => method::METHODS.to_vec(),
            [] => method::default_audit_methods(),
            names => super::methods(names)?,
        };
        let settings = settings(self.seed, &self.set, &self.placement)?;
        Ok(if self.full {
            AuditSettings::full(&methods, settings)
        } else {
            AuditSettings::quick(&methods, settings)
        })
    }
}
