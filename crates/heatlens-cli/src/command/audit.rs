//! `heatlens audit`: checks the model, and measures how faithful the methods are to it.

use heatlens::run::{self, AuditOutcome, AuditRequest};
use heatlens::trust::audit;

use crate::arguments::Audit;
use crate::command::{open, verdict};
use crate::failure::Failure;
use crate::output;
use crate::progress::Terminal;

pub(crate) fn run(options: &Audit) -> Result<(), Failure> {
    let terminal = Terminal::beside_json(options.json);
    let places = open::places(&options.out, options.part.shard, &options.part.folder);
    tell(&run::audit(&request(options), &places, &terminal)?, options.json)
}

fn request(options: &Audit) -> AuditRequest {
    AuditRequest {
        model: open::request(&options.model, Some(&options.pixels)),
        data: open::inputs(&options.data, &options.input),
        methods: options.method.clone(),
        measured: options.images,
        full: options.full,
        train_data: options.train_data.clone(),
        placement: options.settings.placement.clone(),
        set: options.settings.set.clone(),
        seed: options.seed,
    }
}

/// Prints the results and their location. Fails after everything else if images could not be read.
pub(crate) fn tell(outcome: &AuditOutcome, json: bool) -> Result<(), Failure> {
    match &outcome.audit {
        Some(audit) if json => output::line(format!("{:#}", audit.to_json())),
        Some(audit) => {
            print(audit, outcome.when_trained.as_deref());
            let path = outcome.out.join("audit.json");
            output::line(format!("\nthe numbers are in {}", path.display()));
            outcome.page.iter().for_each(|page| output::line(format!("the report is {}", page.display())));
        }
        None if json => {}
        None => output::line(format!(
            "{} of {} images measured: `heatlens merge` completes the audit",
            outcome.measured, outcome.chosen
        )),
    }
    let of = if outcome.audit.is_some() { outcome.images } else { outcome.measured };
    match outcome.broken {
        0 => Ok(()),
        n => Err(Failure::new(format!("{n} of {of} images could not be read"))),
    }
}

/// Prints the audit. `trained` is the result from training, if the audited images cannot be used to judge the model.
fn print(audit: &audit::Audit, trained: Option<&str>) {
    output::line("");
    verdict::print(&audit.model);
    trained.iter().for_each(|sentence| output::line(format!("When it was trained: {sentence}")));
    output::line(format!("\n{}", audit.to_text()));
    audit.findings_in_words().iter().for_each(output::line);
    audit.notes.iter().chain(&audit.regions_in_words()).for_each(output::note);
    audit.times_in_words().iter().for_each(output::line);
    let recommended =
        audit.best().map(|best| format!("{} ({}): {}", best.title, best.id, best.verdict.sentence()));
    output::line(format!("\nrecommended: {}", recommended.as_deref().unwrap_or("none")));
}
