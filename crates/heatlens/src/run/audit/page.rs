//! Maps of an audit's images, and the report page that shows them.

use std::path::PathBuf;

use serde_json::Value;

use crate::data::Dataset;
use crate::explain::{ExplainOptions, Explainer};
use crate::method::{self, Method, Work};
use crate::run::audit::AuditPlan;
use crate::run::request::settings;
use crate::run::{Monitor, Page, PageSinks, PictureStyle, RunError, Save, Summary, write_explanations};
use crate::trust::audit::{Audit, MethodAudit, MethodVerdict};

/// Maximum number of methods whose maps are shown.
pub(super) const SHOWN: usize = 3;

/// Maps of all images by the best methods, and their analysis over the data set.
pub(super) struct Shown {
    explainer: Explainer,
    summary: Summary,
    collected: PageSinks,
}

impl Shown {
    /// Explains all images by the best single-pass methods, and by Grad-CAM, which is always searched for shortcuts.
    pub(super) fn explain(
        plan: &AuditPlan,
        audit: &Audit,
        monitor: &dyn Monitor,
    ) -> Result<Option<Self>, RunError> {
        let mut methods = best(audit);
        if methods.is_empty() {
            return Ok(None);
        }
        let searched = Method::GRAD_CAM;
        if !methods.iter().any(|method| method.id == searched.id) && !ignored(audit, searched) {
            methods.push(searched);
        }
        let request = &plan.request;
        let settings = settings(request.seed, &request.set, &request.placement)?;
        let options = ExplainOptions { settings, skip_inapplicable: true, ..ExplainOptions::new(&methods) };
        let explainer = Explainer::new(plan.auditor.model(), &options)?;
        let save = Save::nothing(PictureStyle::default());
        let mut collected = PageSinks::new(&explainer, save.style.heat())?;
        collected.search(explainer.maps().len());
        let (data, out) = (plan.data.as_ref(), &plan.options.out);
        let more = collected.sinks();
        let summary = write_explanations(&explainer, data, out, &save, None, more, monitor)?;
        if summary.stopped {
            return Err(RunError::Interrupted);
        }
        Ok(Some(Self { explainer, summary, collected }))
    }

    /// Returns the regions on which a class depends, and the regions that are merely always highlighted.
    pub(super) fn places(&mut self, data: &dyn Dataset, seed: u64) -> Result<[Vec<Value>; 2], RunError> {
        let found = self.collected.findings(&self.explainer, data, seed)?;
        let source = |item| data.source(item);
        let list = |found: Value| found.as_array().cloned().unwrap_or_default();
        Ok([list(found.shortcuts_json(source)), list(found.habits_json(source))])
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

/// True if a method was found to ignore the model.
fn ignored(audit: &Audit, method: &Method) -> bool {
    let is = |m: &MethodAudit| m.id == method.id && m.verdict == MethodVerdict::IgnoresModel;
    audit.methods.iter().any(is)
}

/// Returns the best single-pass methods that depend on the model, best first; other methods would take as long again as
/// the audit. If all of them ignore the model, returns the best of those.
fn best(audit: &Audit) -> Vec<&'static Method> {
    let explanations =
        || audit.methods.iter().filter(|m| !m.control).filter_map(|m| method::find(&m.id).ok());
    let one_pass = |m: &&'static Method| matches!(m.work, Work::Graph(_));
    let found: Vec<_> = explanations().filter(one_pass).filter(|m| !ignored(audit, m)).take(SHOWN).collect();
    if found.is_empty() { explanations().filter(one_pass).take(SHOWN).collect() } else { found }
}
