//! `heatlens predict`: a table of classes and probabilities.

use std::fmt::Write as _;

use heatlens::data::{Dataset, open_inputs, write_atomically};
use heatlens::model::Model;
use heatlens::predict::Predictor;

use crate::arguments::Predict;
use crate::command::open;
use crate::failure::Failure;
use crate::output;
use crate::progress::{Bar, interrupted};

const GROUP: usize = 64;

pub(crate) fn run(options: &Predict) -> Result<(), Failure> {
    let model = open::model(&options.model, &options.ports, &options.pixels)?;
    let data = open_inputs(&options.inputs, &open::options_for(&model, &options.input)?)?;
    open::check_range(&model, data.as_ref());
    let predictor = Predictor::new(&model)?;
    let bar = Bar::new(data.len(), "images");
    let mut table = header(&model);
    let mut broken = 0;
    for start in (0..data.len()).step_by(GROUP) {
        for item in start..data.len().min(start + GROUP) {
            match data.load(item) {
                Ok(sample) => {
                    row(&mut table, &model, data.as_ref(), item, &predictor.logits(&sample.pixels, 1)?);
                }
                Err(reason) => {
                    broken += 1;
                    output::error(reason.to_string());
                }
            }
            bar.add(1);
        }
        if interrupted() {
            break;
        }
    }
    bar.finish();
    match &options.out {
        Some(path) => write_atomically(path, table.as_bytes())
            .map_err(|e| Failure::new(format!("cannot write {}: {e}", path.display())))?,
        None => output::line(table.trim_end()),
    }
    match broken {
        _ if interrupted() => {
            Err(Failure::interrupted("interrupted; the table ends at the last finished image"))
        }
        0 => Ok(()),
        _ => Err(Failure::new(format!("{broken} of {} images could not be read", data.len()))),
    }
}

fn header(model: &Model) -> String {
    let probabilities: Vec<String> = model.class_names.iter().map(|n| quoted(&format!("p({n})"))).collect();
    format!("input,index,label,predicted,{}\n", probabilities.join(","))
}

fn row(table: &mut String, model: &Model, data: &dyn Dataset, item: usize, logits: &[f32]) {
    let name = |k: usize| quoted(model.class_names.get(k).map_or("", String::as_str));
    let label = data.label(item).map_or_else(String::new, name);
    let predicted = name(model.head.predicted(logits));
    let _ = write!(table, "{},{},{label},{predicted}", quoted(&data.source(item)), data.index(item));
    for p in model.head.probabilities(logits) {
        let _ = write!(table, ",{p:.7}");
    }
    table.push('\n');
}

/// A field of a table, in quotes where it needs them (RFC 4180).
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
