//! `heatlens inspect`: contents of a model file and its available layers.

use heatlens::model::Description;

use crate::arguments::Inspect;
use crate::command::open;
use crate::failure::Failure;
use crate::output;

pub(crate) fn run(options: &Inspect) -> Result<(), Failure> {
    let model = open::file(&options.model)?;
    let description = Description::of(&model);
    if options.json {
        output::line(format!("{:#}", description.to_json()));
    } else {
        output::line(description.text(options.all));
        model.notes.iter().for_each(output::note);
    }
    Ok(())
}
