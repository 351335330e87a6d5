//! A model's predictions for many images, as a table.

use serde_json::{Value, json};

use super::{ImageResults, Predictor, ranking};
use crate::data::Dataset;
use crate::explain::ExplainError;
use crate::model::{HeadKind, Model};
use crate::run::Monitor;

/// A model's predictions for the images of a data set, in the order of the images.
///
/// In tables, `top` is the number of classes per image, the most probable first; `None` lists all classes in their own
/// order. A model of quantities has values instead of classes and probabilities.
#[derive(Clone, Debug)]
pub struct Predictions<'m> {
    model: &'m Model,
    rows: Vec<Row>,
    /// Images that could not be read, each with its source and the reason. They have no row.
    pub broken: Vec<(String, String)>,
    /// True if the monitor requested a stop; the rows end there.
    pub stopped: bool,
}

#[derive(Clone, Debug)]
struct Row {
    input: String,
    index: usize,
    label: Option<usize>,
    logits: Vec<f32>,
}

impl<'m> Predictions<'m> {
    /// Runs the model on every image of `data`. Unreadable images are reported to `monitor` immediately.
    ///
    /// # Errors
    /// If an operator has no kernel, or the images do not have the model's input size.
    pub fn of(model: &'m Model, data: &dyn Dataset, monitor: &dyn Monitor) -> Result<Self, ExplainError> {
        let ImageResults { images, broken, stopped } = Predictor::new(model)?.of_images(data, monitor)?;
        let row = |(item, logits)| {
            let (input, index, label) = (data.source(item), data.index(item), data.label(item));
            Row { input, index, label, logits }
        };
        Ok(Self { model, rows: images.into_iter().map(row).collect(), broken, stopped })
    }

    /// Returns the table as CSV (RFC 4180), with a header.
    #[must_use]
    pub fn to_csv(&self, top: Option<usize>) -> String {
        let top = self.shown(top);
        let rows = std::iter::once(self.header(top)).chain(self.rows.iter().map(|row| self.fields(row, top)));
        let line =
            |row: Vec<String>| row.iter().map(|field| quoted(field)).collect::<Vec<_>>().join(",") + "\n";
        rows.map(line).collect()
    }

    /// Returns the table as a JSON object of `classes` and `images`, with logits.
    #[must_use]
    pub fn to_json(&self, top: Option<usize>) -> Value {
        let top = self.shown(top);
        let images: Vec<Value> = self.rows.iter().map(|row| self.entry(row, top)).collect();
        json!({"classes": self.model.class_names, "images": images})
    }

    fn shown(&self, top: Option<usize>) -> Option<usize> {
        top.map(|top| top.clamp(1, self.model.class_names.len().max(1)))
    }

    fn name(&self, class: usize) -> &str {
        self.model.class_names.get(class).map_or("", String::as_str)
    }

    fn header(&self, top: Option<usize>) -> Vec<String> {
        let (names, head) = (&self.model.class_names, &self.model.head);
        let mut header = vec!["input".to_owned(), "index".to_owned()];
        if head.is_quantity() {
            match head.outputs {
                1 => header.push("value".to_owned()),
                _ => header.extend(names.iter().map(|name| format!("value({name})"))),
            }
            return header;
        }
        header.push("label".to_owned());
        match top {
            Some(top) => header.extend((1..=top).flat_map(|n| [format!("class {n}"), format!("p {n}")])),
            None => {
                header.push("predicted".to_owned());
                // For a segmentation the value is the share of pixels.
                let value = if head.kind == HeadKind::Segmentation { "share" } else { "p" };
                header.extend(names.iter().map(|name| format!("{value}({name})")));
            }
        }
        header
    }

    fn fields(&self, row: &Row, top: Option<usize>) -> Vec<String> {
        let head = &self.model.head;
        let mut fields = vec![row.input.clone(), row.index.to_string()];
        if head.is_quantity() {
            fields.extend(row.logits.iter().map(f32::to_string));
            return fields;
        }
        let name = |class: usize| self.name(class).to_owned();
        let probabilities = head.probabilities(&row.logits);
        fields.push(row.label.map_or_else(String::new, name));
        match top {
            Some(top) => {
                let first = ranking(&probabilities).into_iter().take(top);
                fields.extend(first.flat_map(|(class, p)| [name(class), format!("{p:.7}")]));
            }
            None => {
                fields.push(name(head.predicted(&row.logits)));
                fields.extend(probabilities.iter().map(|p| format!("{p:.7}")));
            }
        }
        fields
    }

    fn entry(&self, row: &Row, top: Option<usize>) -> Value {
        let Row { input, index, label, logits } = row;
        let head = &self.model.head;
        if head.is_quantity() {
            return json!({"input": input, "index": index, "values": logits});
        }
        let (probabilities, predicted) = (head.probabilities(logits), head.predicted(logits));
        let mut entry = json!({
            "input": input,
            "index": index,
            "label": label.map(|class| self.name(class)),
            "predicted": self.name(predicted),
            "predicted_class": predicted,
            "logits": logits,
        });
        match top {
            None => entry["probabilities"] = probabilities.into(),
            Some(top) => {
                let named = |(class, p): (usize, f64)| json!({"class": class, "name": self.name(class), "probability": p});
                entry["top"] = ranking(&probabilities).into_iter().take(top).map(named).collect();
            }
        }
        entry
    }
}

/// Quotes a field of a table, if necessary.
pub(super) fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        assert_eq!(["a b", "a,b", "a\"b"].map(quoted), ["a b", "\"a,b\"", "\"a\"\"b\""]);
    }
}
