//! `heatlens predict`: a table of classes and probabilities.

use std::fmt::Write as _;

use heatlens::data::{Dataset, write_atomically};
use heatlens::model::Model;
use heatlens::predict::{Predictor, ranking};
use serde_json::{Value, json};

use crate::arguments::Predict;
use crate::command::open;
use crate::failure::Failure;
use crate::output;
use crate::progress::{Bar, interrupted};

const GROUP: usize = 64;

/// With more classes the terminal shows the likeliest ones.
const MANY_CLASSES: usize = 10;
/// So many of them.
const TOP: usize = 5;

pub(crate) fn run(options: &Predict) -> Result<(), Failure> {
    let mut model = open::model(&options.model, &options.ports, &options.pixels)?;
    let data = open::data(&mut model, &options.inputs, &options.input)?;
    let predictor = Predictor::new(&model)?;
    let top = match (options.top, &options.out, options.json) {
        _ if model.head.is_quantity() => None,
        (Some(top), ..) => Some(top.clamp(1, model.class_names.len())),
        (None, None, false) => Some(TOP).filter(|_| model.class_names.len() > MANY_CLASSES),
        _ => None,
    };
    let bar = Bar::new(data.len(), "images");
    let mut answers = Answers::new(&model, data.as_ref(), top, options.json);
    let mut broken = 0;
    for start in (0..data.len()).step_by(GROUP) {
        for item in start..data.len().min(start + GROUP) {
            match data.load(item) {
                Ok(sample) => answers.add(item, &predictor.logits(&sample.pixels, 1)?),
                Err(reason) => {
                    broken += 1;
                    output::broken(&data.source(item), &reason.to_string());
                }
            }
            bar.add(1);
        }
        if interrupted() {
            break;
        }
    }
    bar.finish();
    let text = answers.text()?;
    match &options.out {
        Some(path) => write_atomically(path, text.as_bytes())
            .map_err(|e| Failure::new(format!("cannot write {}: {e}", path.display())))?,
        None => output::line(text.trim_end()),
    }
    if let (None, None, Some(top), false) = (options.top, &options.out, top, options.json) {
        let classes = model.class_names.len();
        output::note(format!(
            "the {top} likeliest of {classes} classes; --out FILE writes all, --top K shows K"
        ));
    }
    match broken {
        _ if interrupted() => {
            Err(Failure::interrupted("interrupted; the table ends at the last finished image"))
        }
        0 => Ok(()),
        _ => Err(Failure::new(format!("{broken} of {} images could not be read", data.len()))),
    }
}

/// What is said of all images, as CSV or as JSON.
struct Answers<'a> {
    model: &'a Model,
    data: &'a dyn Dataset,
    /// How many classes are named for each image, the likeliest first; all in their own order if not given.
    top: Option<usize>,
    table: String,
    images: Option<Vec<Value>>,
}

impl<'a> Answers<'a> {
    fn new(model: &'a Model, data: &'a dyn Dataset, top: Option<usize>, json: bool) -> Self {
        Self { model, data, top, table: header(model, top), images: json.then(Vec::new) }
    }

    fn add(&mut self, item: usize, logits: &[f32]) {
        let entry = self.images.is_some().then(|| self.entry(item, logits));
        match (&mut self.images, entry) {
            (Some(images), Some(entry)) => images.push(entry),
            _ => self.row(item, logits),
        }
    }

    fn name(&self, class: usize) -> &str {
        self.model.class_names.get(class).map_or("", String::as_str)
    }

    fn row(&mut self, item: usize, logits: &[f32]) {
        if self.model.head.is_quantity() {
            let values: Vec<String> = logits.iter().map(f32::to_string).collect();
            let (input, index) = (quoted(&self.data.source(item)), self.data.index(item));
            // Writing to a String cannot fail.
            let _ = writeln!(self.table, "{input},{index},{}", values.join(","));
            return;
        }
        let quoted_name = |k: usize| quoted(self.name(k));
        let label = self.data.label(item).map_or_else(String::new, quoted_name);
        let predicted = quoted_name(self.model.head.predicted(logits));
        let (input, index) = (quoted(&self.data.source(item)), self.data.index(item));
        let probabilities = self.model.head.probabilities(logits);
        let mut row = format!("{input},{index},{label}");
        // Writing to a String cannot fail.
        if let Some(top) = self.top {
            for (class, p) in ranking(&probabilities).into_iter().take(top) {
                let _ = write!(row, ",{},{p:.7}", quoted_name(class));
            }
        } else {
            let _ = write!(row, ",{predicted}");
            for p in probabilities {
                let _ = write!(row, ",{p:.7}");
            }
        }
        self.table.push_str(&row);
        self.table.push('\n');
    }

    fn entry(&self, item: usize, logits: &[f32]) -> Value {
        if self.model.head.is_quantity() {
            return json!({"input": self.data.source(item), "index": self.data.index(item), "values": logits});
        }
        let probabilities = self.model.head.probabilities(logits);
        let predicted = self.model.head.predicted(logits);
        let mut entry = json!({
            "input": self.data.source(item),
            "index": self.data.index(item),
            "label": self.data.label(item).map(|class| self.name(class)),
            "predicted": self.name(predicted),
            "predicted_class": predicted,
            "logits": logits,
        });
        match self.top {
            None => entry["probabilities"] = probabilities.into(),
            Some(top) => {
                let named = |(class, p): (usize, f64)| json!({"class": class, "name": self.name(class), "probability": p});
                entry["top"] = ranking(&probabilities).into_iter().take(top).map(named).collect();
            }
        }
        entry
    }

    fn text(self) -> Result<String, Failure> {
        match self.images {
            None => Ok(self.table),
            Some(images) => {
                let all = json!({"classes": self.model.class_names, "images": images});
                Ok(serde_json::to_string_pretty(&all)? + "\n")
            }
        }
    }
}

/// Classes have a prediction and probabilities, quantities only values.
fn header(model: &Model, top: Option<usize>) -> String {
    if model.head.is_quantity() {
        let name = |n: &String| quoted(&format!("value({n})"));
        let columns: Vec<String> = match model.head.outputs {
            1 => vec!["value".to_owned()],
            _ => model.class_names.iter().map(name).collect(),
        };
        return format!("input,index,{}\n", columns.join(","));
    }
    let columns: Vec<String> = match top {
        Some(top) => (1..=top).map(|rank| format!("class {rank},p {rank}")).collect(),
        None => std::iter::once("predicted".to_owned())
            .chain(model.class_names.iter().map(|n| quoted(&format!("p({n})"))))
            .collect(),
    };
    format!("input,index,label,{}\n", columns.join(","))
}

/// A field of a table, in quotes where it needs them (RFC 4180).
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
