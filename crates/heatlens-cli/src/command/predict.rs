//! `heatlens predict`: a table of classes and probabilities.

use heatlens::data::write_file;
use heatlens::predict::Predictions;

use crate::arguments::Predict;
use crate::command::open;
use crate::failure::Failure;
use crate::output;
use crate::progress::Terminal;

/// With more classes the terminal shows the likeliest ones.
const MANY_CLASSES: usize = 10;
/// So many of them.
const TOP: usize = 5;

pub(crate) fn run(options: &Predict) -> Result<(), Failure> {
    let mut model = open::model(&options.model, &options.ports, &options.pixels)?;
    let data = open::data(&mut model, &options.inputs, &options.input)?;
    let answers = Predictions::of(&model, data.as_ref(), &Terminal::default())?;
    let classes = model.class_names.len();
    let on_terminal = options.top.is_none() && options.out.is_none() && !options.json;
    let shortened = on_terminal && classes > MANY_CLASSES && !model.head.is_quantity();
    let top = options.top.or(shortened.then_some(TOP));
    let text = match options.json {
        true => format!("{:#}\n", answers.to_json(top)),
        false => answers.to_csv(top),
    };
    match &options.out {
        Some(path) => write_file(path, text.as_bytes())?,
        None => output::line(text.trim_end()),
    }
    if shortened {
        output::note(format!(
            "the {TOP} likeliest of {classes} classes; --out FILE writes all, --top K shows K"
        ));
    }
    match answers.broken.len() {
        _ if answers.stopped => {
            Err(Failure::interrupted("interrupted; the table ends at the last finished image"))
        }
        0 => Ok(()),
        broken => Err(Failure::new(format!("{broken} of {} images could not be read", data.len()))),
    }
}
