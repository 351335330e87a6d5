//! `manifest.jsonl`: one line for each image, written as soon as the image is done.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::data::Dataset;
use crate::explain::{Attribution, Explainer, Explanation};
use crate::gallery::GalleryError;
use crate::model::{Cells, Placement};

/// Its name.
pub(super) const FILE: &str = "manifest.jsonl";

/// The file while it grows.
#[derive(Debug)]
pub(super) struct Manifest {
    file: File,
    path: PathBuf,
    /// Lines that are not written yet.
    pending: String,
    /// Bytes of whole lines in the file.
    written: u64,
}

impl Manifest {
    /// Opens the file, empty, or to go on behind what is there.
    pub(super) fn open(path: &Path, go_on: bool) -> Result<Self, GalleryError> {
        let mut options = File::options();
        options.create(true).write(true).append(go_on).truncate(!go_on);
        let file = options.open(path).map_err(GalleryError::writing(path))?;
        let written = file.metadata().map_err(GalleryError::writing(path))?.len();
        Ok(Self { file, path: path.to_owned(), pending: String::new(), written })
    }

    pub(super) fn push(&mut self, line: &str) {
        self.pending.push_str(&format!("{line}\n"));
    }

    /// Writes the lines pushed so far: all of them or, on a full disk, none.
    pub(super) fn flush(&mut self) -> Result<(), GalleryError> {
        if let Err(reason) = self.file.write_all(self.pending.as_bytes()) {
            // The first error counts; if even this fails, half a line remains.
            let _ = self.file.set_len(self.written);
            return Err(GalleryError::writing(&self.path)(reason));
        }
        self.written += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }
}

/// What is known of one image and its maps.
pub(super) fn line(
    explainer: &Explainer,
    data: &dyn Dataset,
    item: usize,
    explanation: &Explanation,
    files: &[String],
) -> Value {
    let model = explainer.model();
    let names = &model.class_names;
    let maps: Vec<Value> = explanation.attributions.iter().map(|a| map(a, names)).collect();
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
}

fn map(attribution: &Attribution, names: &[String]) -> Value {
    json!({
        "method": attribution.method.id,
        "target": names.get(attribution.class),
        "layer": attribution.layer.as_ref().map(|l| &l.name),
        "placement": attribution.is_layer_map().then(|| placement(&attribution.placement)),
        "raw_min": attribution.raw_min,
        "raw_max": attribution.raw_max,
        "empty_because": attribution.zero.map(|z| z.to_string()),
    })
}

/// Where a layer's cells were placed, rows first, in pixels of the model's input.
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

/// What a person should know before believing the line.
fn warnings(explanation: &Explanation, quantity: bool) -> Vec<String> {
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
