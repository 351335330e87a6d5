//! `report.html`, at the end of `explain`, `audit` and `demo`.

use std::path::Path;

use heatlens::data::Dataset;
use heatlens::dataset::{Findings, Observations};
use heatlens::explain::Explainer;
use heatlens::gallery::{Listener, Summary};
use heatlens::render::HeatStyle;
use heatlens::report::{
    AuditPart, Collector, DataSetPart, Fact, Headline, Report, Table, Training, facts, fingerprint,
};
use heatlens::trust::audit::{Audit, ModelVerdict};
use heatlens::trust::health::output_problems;
use heatlens::trust::literature;
use serde_json::Value;

use crate::command::again;
use crate::failure::Failure;
use crate::output;

/// What the page needs to know besides what was collected.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    /// The model's file.
    pub(crate) model: &'a Path,
    /// The command that makes the page.
    pub(crate) words: &'a [String],
    /// What was explained, in words.
    pub(crate) title: String,
    pub(crate) data: &'a dyn Dataset,
    /// Whether the model was certainly not trained on these images.
    pub(crate) unseen: bool,
    /// The verdict on the model.
    pub(crate) verdict: &'a ModelVerdict,
    pub(crate) explainer: &'a Explainer,
    pub(crate) summary: &'a Summary,
    pub(crate) seed: u64,
    pub(crate) audit: Option<&'a Audit>,
    pub(crate) tables: Vec<Table>,
}

/// What listens for the page while images are explained.
#[derive(Debug)]
pub(crate) struct Ears {
    images: Collector,
    style: HeatStyle,
    whole: Observations,
}

impl Ears {
    /// `style` is how heat is drawn.
    pub(crate) fn new(explainer: &Explainer, style: HeatStyle) -> Result<Self, Failure> {
        Ok(Self { images: Collector::new(explainer, style)?, style, whole: Observations::default() })
    }

    /// The places that give a class away, as `audit.json` holds them.
    pub(crate) fn shortcuts(&self, data: &dyn Dataset, seed: u64) -> Vec<Value> {
        let found = Findings::of(&self.whole, seed).shortcuts_json(|item| data.source(item));
        found.as_array().cloned().unwrap_or_default()
    }

    pub(crate) fn listeners(&mut self) -> [&mut dyn Listener; 2] {
        [&mut self.images, &mut self.whole]
    }
}

/// Writes the page and says where it is.
pub(crate) fn write(page: Page<'_>, heard: Ears, path: &Path, quiet: bool) -> Result<(), Failure> {
    let training = Training::beside(page.model).unwrap_or_else(|reason| {
        output::note(format!("the report shows no learning curve: {reason}"));
        None
    });
    let findings = Findings::of(&heard.whole, page.seed);
    let whole = DataSetPart::new(findings, &heard.whole, page.data, heard.style)?;
    let (gallery, answers) = heard.images.finish();
    let labelled = page.verdict.judgement.images > 0;
    let told = training.as_ref().and_then(Training::headline).filter(|_| !labelled);
    let name = page.model.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let headline = told.unwrap_or_else(|| Headline::of(page.verdict, page.unseen));
    let shortcuts: Vec<String> = whole.warnings().collect();
    let report = Report {
        title: format!("{name} on {}", page.title),
        headline: if shortcuts.is_empty() { headline } else { headline.doubted() },
        warnings: [shortcuts, warnings(&page)].concat(),
        verdict: page.verdict.clone(),
        answers,
        training,
        audit: page.audit.map(AuditPart::from),
        gallery,
        data_set: Some(whole).filter(|part| !part.findings.classes.is_empty()),
        provenance: provenance(&page)?,
        tables: page.tables,
    };
    report.write(path)?;
    if !quiet {
        output::line(format!("the report is {}", path.display()));
    }
    Ok(())
}

/// What must be known before a picture is believed.
fn warnings(page: &Page<'_>) -> Vec<String> {
    let outputs = page.summary.logits.first().map_or(1, Vec::len);
    let problems = output_problems(&page.summary.logits.concat(), outputs);
    let mut warnings: Vec<String> = problems.iter().map(ToString::to_string).collect();
    for (what, count) in &page.summary.empty_maps {
        warnings.push(format!("{count} of {} maps of {what}", page.summary.done));
    }
    for method in page.explainer.maps().iter().map(|map| map.method) {
        let warning = literature::sentence(method, page.audit);
        warnings.extend(warning.filter(|warning| !warnings.contains(warning)));
    }
    match page.summary.broken.len() {
        0 => {}
        n => warnings.push(format!("{n} images could not be read and are not on this page.")),
    }
    warnings
}

fn provenance(page: &Page<'_>) -> Result<Vec<Fact>, Failure> {
    let hash = fingerprint(page.model)
        .map_err(|e| Failure::new(format!("cannot read {}: {e}", page.model.display())))?;
    let mut all = vec![
        Fact { name: "model", value: page.model.display().to_string() },
        Fact { name: "SHA-256", value: hash },
        Fact { name: "images", value: page.title.clone() },
    ];
    all.extend(facts(page.explainer));
    all.push(Fact { name: "seed", value: page.seed.to_string() });
    all.push(Fact { name: "command", value: again::line(page.words) });
    Ok(all)
}
