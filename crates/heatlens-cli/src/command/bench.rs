//! `heatlens bench`: speed of a model and its explanations on this machine.

use std::time::Instant;

use heatlens::bench::measure;
use heatlens::explain::ExplainOptions;

use crate::arguments::Bench;
use crate::command::open;
use crate::failure::Failure;
use crate::output;

pub(crate) fn run(options: &Bench) -> Result<(), Failure> {
    let start = Instant::now();
    let model = open::file(&options.model)?;
    let opened = start.elapsed().as_secs_f64() * 1e3;
    let mut asked = ExplainOptions {
        skip_inapplicable: options.method == ["all"],
        ..ExplainOptions::new(&heatlens::run::methods(&options.method)?)
    };
    if options.method.is_empty() {
        asked.take_default_methods(&model).iter().for_each(output::note);
        asked.methods.truncate(1);
        asked.skip_inapplicable = false;
    }
    let report = measure(&model, &asked, options.batch_size, options.repeat)?;
    let path = options.model.path.display();
    if options.json {
        let mut json = report.to_json();
        (json["model"], json["opened_ms"]) = (path.to_string().into(), opened.into());
        output::line(format!("{json:#}"));
    } else {
        output::line(format!("model    {path}, opened in {opened:.0} ms\n{}", report.text()));
    }
    Ok(())
}
