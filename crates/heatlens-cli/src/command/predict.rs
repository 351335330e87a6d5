//! `heatlens predict`: table of classes and probabilities.

use heatlens::data::{Dataset, write_file};
use heatlens::model::{HeadKind, Model};
use heatlens::predict::{Detections, Predictions};

use crate::arguments::Predict;
use crate::command::open;
use crate::failure::Failure;
use crate::output;
use crate::progress::Terminal;

/// Maximum number of classes for which the terminal shows all probabilities.
const MANY_CLASSES: usize = 10;
/// Number of most probable classes shown otherwise.
const TOP: usize = 5;

pub(crate) fn run(options: &Predict) -> Result<(), Failure> {
    let mut model = open::model(&options.model, &options.pixels)?;
    let data = open::data(&mut model, &options.inputs, &options.input)?;
    if model.head.kind == HeadKind::Detection {
        return detections(options, &model, data.as_ref());
    }
    let answers = Predictions::of(&model, data.as_ref(), &Terminal::default())?;
    let classes = model.class_names.len();
    let on_terminal = options.top.is_none() && options.out.is_none() && !options.json;
    let shortened = on_terminal && classes > MANY_CLASSES && !model.head.is_quantity();
    let top = options.top.or(shortened.then_some(TOP));
    let text = match options.json {
        true => format!("{:#}\n", answers.to_json(top)),
        false => answers.to_csv(top),
    };
    write(options, &text)?;
    if shortened {
        output::note(format!(
            "the {TOP} most likely of {classes} classes; --out FILE writes all, --top K shows K"
        ));
    }
    ended(answers.stopped, answers.broken.len(), data.len())
}

/// Writes boxes as a table, or as a COCO object with `--json` or to a file with the extension `.json`.
fn detections(options: &Predict, model: &Model, data: &dyn Dataset) -> Result<(), Failure> {
    let found = Detections::of(model, data, &Terminal::default())?;
    let coco =
        options.json || options.out.as_ref().is_some_and(|out| out.extension().is_some_and(|e| e == "json"));
    let text = if coco { format!("{:#}\n", found.to_coco()) } else { found.to_csv() };
    write(options, &text)?;
    ended(found.stopped, found.broken.len(), data.len())
}

fn write(options: &Predict, text: &str) -> Result<(), Failure> {
    match &options.out {
        Some(path) => write_file(path, text.as_bytes())?,
        None => output::line(text.trim_end()),
    }
    Ok(())
}

fn ended(stopped: bool, broken: usize, images: usize) -> Result<(), Failure> {
    match broken {
        _ if stopped => Err(Failure::interrupted("interrupted; the table ends at the last finished image")),
        0 => Ok(()),
        broken => Err(Failure::new(format!("{broken} of {images} images could not be read"))),
    }
}
