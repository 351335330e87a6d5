//! The images of an audit with their maps, and the page that shows all of it.

use heatlens::data::Dataset;
use heatlens::explain::{ExplainOptions, Explainer};
use heatlens::gallery::{Job, Part, Save, Summary};
use heatlens::method::{self, Method, Work};
use heatlens::model::Model;
use heatlens::trust::audit::Audit;

use crate::arguments;
use crate::command::audit::method_settings;
use crate::command::audit::stopped;
use crate::command::explain::{explain_into, inputs};
use crate::command::report::{self, Ears, Page};
use crate::failure::Failure;

/// Methods whose maps are shown.
pub(super) const SHOWN: usize = 3;

/// The maps of all images by the best methods, and what they tell of the data set.
pub(super) struct Gallery {
    explainer: Explainer,
    summary: Summary,
    heard: Ears,
}

impl Gallery {
    /// Explains all images by the best methods that take one pass.
    pub(super) fn explain(
        model: &Model,
        data: &dyn Dataset,
        audit: &Audit,
        options: &arguments::Audit,
    ) -> Result<Option<Self>, Failure> {
        let shown = shown(audit);
        if shown.is_empty() {
            return Ok(None);
        }
        let settings = method_settings(options)?;
        let explainer = Explainer::new(model, &ExplainOptions { settings, ..ExplainOptions::new(&shown) })?;
        let nothing = Save { png: false, npz: false, tensors: false, ..Save::default() };
        let (save, part) = (nothing, Part::Whole);
        let mut heard = Ears::new(&explainer, save.style.heat())?;
        let job = Job { explainer: &explainer, data, out: &options.out, save, part, kept: None };
        let summary = explain_into(job, None, &mut heard.listeners())?;
        if summary.stopped {
            return Err(stopped());
        }
        Ok(Some(Self { explainer, summary, heard }))
    }

    /// The places that give a class away.
    pub(super) fn shortcuts(&self, data: &dyn Dataset, seed: u64) -> Vec<serde_json::Value> {
        self.heard.shortcuts(data, seed)
    }

    /// Writes `report.html`.
    pub(super) fn write(
        self,
        data: &dyn Dataset,
        audit: &Audit,
        options: &arguments::Audit,
        words: &[String],
    ) -> Result<(), Failure> {
        let page = Page {
            model: &options.model,
            words,
            title: inputs(&options.data),
            data,
            unseen: true,
            verdict: &audit.model,
            explainer: &self.explainer,
            summary: &self.summary,
            seed: options.seed,
            audit: Some(audit),
            tables: Vec::new(),
        };
        report::write(page, self.heard, &options.out.join("report.html"), options.json)
    }
}

/// The best methods that explain an image in one pass, best first: others would take as long again as the audit.
fn shown(audit: &Audit) -> Vec<&'static Method> {
    let explanations = audit.methods.iter().filter(|m| !m.control);
    let found = explanations.filter_map(|m| method::find(&m.id).ok());
    found.filter(|m| matches!(m.work, Work::Graph(_))).take(SHOWN).collect()
}
