//! The images of an audit with their maps, and the page that shows all of it.

use std::path::PathBuf;

use serde_json::Value;

use crate::data::Dataset;
use crate::explain::{ExplainOptions, Explainer};
use crate::method::{self, Method, Work};
use crate::run::audit::AuditPlan;
use crate::run::request::settings;
use crate::run::{Monitor, Page, PageSinks, PictureStyle, RunError, Save, Summary, write_explanations};
use crate::trust::audit::Audit;

/// Methods whose maps are shown.
pub(super) const SHOWN: usize = 3;

/// The maps of all images by the best methods, and what they tell of the data set.
pub(super) struct Shown {
    explainer: Explainer,
    summary: Summary,
    collected: PageSinks,
}

impl Shown {
    /// Explains all images by the best methods that take one pass.
    pub(super) fn explain(
        plan: &AuditPlan,
        audit: &Audit,
        monitor: &dyn Monitor,
    ) -> Result<Option<Self>, RunError> {
        let methods = best(audit);
        if methods.is_empty() {
            return Ok(None);
        }
        let request = &plan.request;
        let settings = settings(request.seed, &request.set, &request.placement)?;
        let options = ExplainOptions { settings, ..ExplainOptions::new(&methods) };
        let explainer = Explainer::new(plan.auditor.model(), &options)?;
        let save = Save::nothing(PictureStyle::default());
        let mut collected = PageSinks::new(&explainer, save.style.heat())?;
        let (data, out) = (plan.data.as_ref(), &plan.options.out);
        let more = collected.sinks().into();
        let summary = write_explanations(&explainer, data, out, &save, None, more, monitor)?;
        if summary.stopped {
            return Err(RunError::Interrupted);
        }
        Ok(Some(Self { explainer, summary, collected }))
    }

    /// The places that give a class away.
    pub(super) fn shortcuts(&self, data: &dyn Dataset, seed: u64) -> Vec<Value> {
        self.collected.shortcuts(data, seed)
    }

    /// Writes `report.html`.
    pub(super) fn write(
        self,
        plan: &AuditPlan,
        audit: &Audit,
        monitor: &dyn Monitor,
    ) -> Result<PathBuf, RunError> {
        let page = Page {
            model: &plan.request.model.path,
            fingerprint: &plan.state.model,
            command: &plan.options.command,
            title: plan.request.data.title(),
            data: plan.data.as_ref(),
            unseen: true,
            verdict: &audit.model,
            explainer: &self.explainer,
            summary: &self.summary,
            seed: plan.request.seed,
            audit: Some(audit),
            tables: Vec::new(),
        };
        page.write(self.collected, plan.options.out.join("report.html"), monitor)
    }
}

/// The best methods that explain an image in one pass, best first: others would take as long again as the audit.
fn best(audit: &Audit) -> Vec<&'static Method> {
    let explanations = audit.methods.iter().filter(|m| !m.control);
    let found = explanations.filter_map(|m| method::find(&m.id).ok());
    found.filter(|m| matches!(m.work, Work::Graph(_))).take(SHOWN).collect()
}
