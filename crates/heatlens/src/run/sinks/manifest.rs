//! `manifest.jsonl`: one line per image, written as soon as the image is done.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::data::open_growing;
use crate::explain::{Attribution, ImageAttributions};
use crate::model::{Cells, Placement};
use crate::run::{ExplainedImage, NewImage, RunError, Sink};

/// Name of the file.
pub(in crate::run) const FILE: &str = "manifest.jsonl";

/// Manifest file being written.
#[derive(Debug)]
pub(in crate::run) struct Manifest {
    file: File,
    path: PathBuf,
    /// Lines not written yet.
    pending: String,
    /// Length of the complete lines in the file, in bytes.
    written: u64,
}

impl Manifest {
    /// Opens the file in a folder, either empty or to append to the existing lines.
    pub(in crate::run) fn open(out: &Path, go_on: bool) -> Result<Self, RunError> {
        let path = out.join(FILE);
        let file = open_growing(&path, go_on).map_err(RunError::writing(&path))?;
        let written = file.metadata().map_err(RunError::writing(&path))?.len();
        Ok(Self { file, path, pending: String::new(), written })
    }
}

impl Sink for Manifest {
    fn write(&mut self, image: &ExplainedImage<'_>) -> Result<(), RunError> {
        if image.written {
            return Ok(());
        }
        self.pending.push_str(image.line);
        self.pending.push('\n');
        Ok(())
    }

    /// Writes the pending lines: all of them or, on a full disk, none.
    fn commit(&mut self) -> Result<(), RunError> {
        if let Err(reason) = self.file.write_all(self.pending.as_bytes()) {
            // The first error is reported; if truncating fails too, a partial line remains.
            let _ = self.file.set_len(self.written);
            return Err(RunError::writing(&self.path)(reason));
        }
        self.written += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }
}

/// Returns the manifest line of an image and its maps.
pub(in crate::run) fn line(image: &NewImage<'_>, files: &[String]) -> String {
    let NewImage { data, item, explanation, .. } = *image;
    let model = image.explainer.model();
    let (names, [_, h, w]) = (&model.class_names, model.shape());
    let maps: Vec<Value> = explanation.attributions.iter().map(|a| map(a, names, [h, w])).collect();
    json!({
        "input": data.source(item),
        "index": data.index(item),
        "label": data.label(item).and_then(|k| names.get(k)),
        "predicted": names.get(explanation.predicted),
        "logit": explanation.logits,
        "probability": (!model.head.is_quantity()).then_some(&explanation.probabilities),
        "maps": maps,
        "files": files,
        "preprocessing": model.preprocessing.to_pairs(),
        "computed_by": format!("heatlens {}, {}", env!("CARGO_PKG_VERSION"), heatlens_cpu::instruction_set()),
        "warnings": warnings(explanation, model.head.is_quantity()),
    })
    .to_string()
}

fn map(attribution: &Attribution, names: &[String], input: [usize; 2]) -> Value {
    let mut map = json!({
        "method": attribution.method.id,
        "target": names.get(attribution.class),
        "layer": attribution.layer.as_ref().map(|l| &l.name),
        "placement": attribution.is_layer_map().then(|| placement(&attribution.placement)),
        "raw_min": attribution.raw_min,
        "raw_max": attribution.raw_max,
        "empty_because": attribution.zero.map(|z| z.to_string()),
    });
    if let Some(bounds) = attribution.focus.as_ref().and_then(|focus| focus.bounds(input)) {
        map["box"] = json!(bounds);
    }
    map
}

/// Returns the placement of a layer's cells, rows first, in pixels of the model's input.
fn placement(placement: &Placement) -> Value {
    let kind = placement.placing().name();
    let Some(cells) = placement.cells() else { return json!({"kind": kind}) };
    let both = |number: fn(&Cells) -> f64| cells.each_ref().map(number);
    json!({
        "kind": kind,
        "step": both(|c| c.step),
        "offset": both(|c| c.offset),
        "reach": both(Cells::reach),
    })
}

/// Returns the warnings about an image's scores.
fn warnings(explanation: &ImageAttributions, quantity: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    if explanation.logits.iter().any(|z| !z.is_finite()) {
        warnings.push("the logits are not finite".to_owned());
    }
    #[allow(clippy::cast_possible_truncation)]
    let certain = !quantity && explanation.probabilities.iter().any(|&p| p as f32 == 1.0);
    if certain {
        warnings.push(
            "the output is saturated: its probability rounds to 1, so its own gradient is 0; the logit is explained instead"
                .to_owned(),
        );
    }
    warnings
}
