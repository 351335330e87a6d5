//! `report.html`, written at the end of a run.

use std::path::{Path, PathBuf};

use crate::data::Dataset;
use crate::dataset::{DatasetFindings, Observations, RegionTester};
use crate::explain::Explainer;
use crate::render::HeatStyle;
use crate::report::{Collector, DataSetPart, Headline, ProvenanceEntry, Report, Table, Training, facts};
use crate::run::{Monitor, RunError, Sink, Summary};
use crate::trust::audit::{Audit, ModelVerdict};
use crate::trust::literature;
use crate::trust::model_problems::output_problems;

/// Collector of the report's contents while images are explained.
#[derive(Debug)]
pub struct PageSinks {
    images: Collector,
    style: HeatStyle,
    whole: Observations,
    /// Further maps searched for shortcuts.
    others: Vec<Observations>,
    findings: Option<DatasetFindings>,
}

impl PageSinks {
    /// Prepares for the images of one run; `style` is used to draw heat.
    ///
    /// # Errors
    /// If the model cannot be compiled on its own.
    pub fn new(explainer: &Explainer, style: HeatStyle) -> Result<Self, RunError> {
        let images = Collector::new(explainer, style)?;
        Ok(Self { images, style, whole: Observations::default(), others: Vec::new(), findings: None })
    }

    /// Searches the first `maps` maps for shortcuts, and not only the main one.
    pub(super) fn search(&mut self, maps: usize) {
        self.others = (0..maps).map(|at| Observations { at: Some(at), ..Observations::default() }).collect();
    }

    /// Returns the findings on the data set. Suspicious regions are filled in to test if a class depends on them.
    pub(super) fn findings(
        &mut self,
        explainer: &Explainer,
        data: &dyn Dataset,
        seed: u64,
    ) -> Result<&DatasetFindings, RunError> {
        if self.findings.is_none() {
            let tester = RegionTester::new(explainer.model(), data)?;
            let mut found = DatasetFindings::of(&self.whole, seed);
            found.try_out(&self.whole, &tester)?;
            for seen in &self.others {
                let mut other = DatasetFindings::of(seen, seed);
                other.try_out(seen, &tester)?;
                found.take(other);
            }
            self.findings = Some(found);
        }
        Ok(self.findings.get_or_insert_default())
    }

    /// Returns the sinks: those for the images of the page, and those for the data set as a whole.
    pub fn sinks(&mut self) -> Vec<&mut dyn Sink> {
        let Self { images, whole, others, .. } = self;
        let mut all: Vec<&mut dyn Sink> = vec![images, whole];
        all.extend(others.iter_mut().map(|other| other as &mut dyn Sink));
        all
    }
}

/// Contents of the report that are not collected from the images.
#[derive(Debug)]
pub struct Page<'a> {
    /// Path of the model file.
    pub model: &'a Path,
    /// [SHA-256](crate::report::fingerprint) of the model file.
    pub fingerprint: &'a str,
    /// Command that repeats the run.
    pub command: &'a str,
    /// Description of the images.
    pub title: String,
    /// The images.
    pub data: &'a dyn Dataset,
    /// True if the model was certainly not trained on these images.
    pub unseen: bool,
    /// Verdict on the model.
    pub verdict: &'a ModelVerdict,
    /// Explainer that computed the maps.
    pub explainer: &'a Explainer,
    /// Summary of the run.
    pub summary: &'a Summary,
    /// Seed of the run.
    pub seed: u64,
    /// Measurements of the methods, for an audit.
    pub audit: Option<&'a Audit>,
    /// Further tables.
    pub tables: Vec<Table>,
}

impl Page<'_> {
    /// Writes the page atomically and returns its path.
    ///
    /// # Errors
    /// If an image that the page shows cannot be read, or the page cannot be written.
    pub fn write(
        self,
        mut collected: PageSinks,
        path: PathBuf,
        monitor: &dyn Monitor,
    ) -> Result<PathBuf, RunError> {
        let training = Training::beside(self.model).unwrap_or_else(|reason| {
            monitor.note(&format!("the report shows no learning curve: {reason}"));
            None
        });
        let findings = collected.findings(self.explainer, self.data, self.seed)?.clone();
        let whole = DataSetPart::new(findings, &collected.whole, self.data, collected.style)?;
        let (gallery, answers) = collected.images.finish();
        let labelled = self.verdict.judgement.images > 0;
        let told = training.as_ref().and_then(Training::headline).filter(|_| !labelled);
        let headline = told.unwrap_or_else(|| Headline::of(self.verdict, self.unseen));
        let shortcuts: Vec<String> = whole.warnings().collect();
        let name = self.model.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let report = Report {
            title: format!("{name} on {}", self.title),
            headline: if shortcuts.is_empty() { headline } else { headline.doubted() },
            warnings: [shortcuts, self.warnings()].concat(),
            verdict: self.verdict.clone(),
            answers,
            training,
            audit: self.audit.cloned(),
            gallery,
            data_set: Some(whole).filter(|part| !part.findings.classes.is_empty()),
            provenance: self.provenance(),
            tables: self.tables,
        };
        report.write(&path)?;
        Ok(path)
    }

    /// Returns the warnings to be read before the maps.
    fn warnings(&self) -> Vec<String> {
        let outputs = self.summary.logits.first().map_or(1, Vec::len);
        let problems = output_problems(&self.summary.logits.concat(), outputs);
        let mut warnings: Vec<String> = problems.iter().map(ToString::to_string).collect();
        for (what, count) in &self.summary.empty_maps {
            warnings.push(format!("{count} of {} maps of {what}", self.summary.done));
        }
        for method in self.explainer.maps().iter().map(|map| map.method) {
            let warning = literature::sentence(method, self.audit);
            warnings.extend(warning.filter(|warning| !warnings.contains(warning)));
        }
        match self.summary.broken.len() {
            0 => {}
            1 => warnings.push("1 image could not be read and is not on this page.".to_owned()),
            n => warnings.push(format!("{n} images could not be read and are not on this page.")),
        }
        warnings
    }

    fn provenance(&self) -> Vec<ProvenanceEntry> {
        let mut all = vec![
            ProvenanceEntry { name: "model", value: self.model.display().to_string() },
            ProvenanceEntry { name: "SHA-256", value: self.fingerprint.to_owned() },
            ProvenanceEntry { name: "images", value: self.title.clone() },
        ];
        all.extend(facts(self.explainer));
        all.push(ProvenanceEntry { name: "seed", value: self.seed.to_string() });
        all.push(ProvenanceEntry { name: "command", value: self.command.to_owned() });
        all
    }
}
