//! Provenance of a page: the model file, the files beside it, and the settings of the run.

use std::fmt::Write as _;
use std::io::{self, Read};
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::explain::Explainer;
use crate::report::parts::{Headline, ProvenanceEntry, Tone, Training};
use crate::train::history::History;

/// Maximum number of class names listed.
const MOST_NAMES: usize = 20;

/// Returns the SHA-256 hash of a file in hexadecimal, as printed by `sha256sum`.
///
/// # Errors
/// If the file cannot be read.
pub fn fingerprint(path: impl AsRef<Path>) -> io::Result<String> {
    let path = path.as_ref();
    let mut file = heatlens_graph::open_regular(path)?;
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 16];
    loop {
        match file.read(&mut block)? {
            0 => break,
            n => hash.update(&block[..n]),
        }
    }
    Ok(hexadecimal(&hash.finalize()))
}

/// Formats each byte as two hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
    }
    text
}

impl Training {
    /// Reads the training history from the model's folder; `None` if there is none.
    ///
    /// # Errors
    /// If `history.csv` exists but was not written by `train`.
    pub fn beside(model: impl AsRef<Path>) -> Result<Option<Self>, crate::train::history::HistoryError> {
        let model = model.as_ref();
        let folder = model.parent().unwrap_or(Path::new(""));
        let path = folder.join("history.csv");
        if !path.is_file() {
            return Ok(None);
        }
        let history = History::read(&path)?;
        let metrics: Value = std::fs::read(folder.join("metrics.json"))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or(Value::Null);
        Ok(Some(Self {
            history,
            kept_epoch: metrics["kept_epoch"].as_u64(),
            verdict: metrics["verdict"].as_str().map(str::to_owned),
            title: metrics["title"].as_str().map(str::to_owned),
            sentence: metrics["sentence"].as_str().map(str::to_owned),
        }))
    }

    /// Returns the verdict at the end of training, for images without labels.
    #[must_use]
    pub fn headline(&self) -> Option<Headline> {
        let sentence = self.sentence.clone()?;
        let (tone, title) = match self.verdict.as_deref()? {
            "learned" => (Tone::Good, "Better than chance"),
            "chance" => (Tone::Bad, "No evidence that the model learned"),
            _ => (Tone::Unsure, "Inconclusive"),
        };
        let title = format!("In training: {}", self.title.as_deref().unwrap_or(title));
        let by = "The images below have no labels; this was found when the model was trained.".to_owned();
        Some(Headline { tone, title, sentences: vec![sentence, by] })
    }
}

/// Returns the input, classes, methods, layers and version behind the maps, as entries of the provenance section.
#[must_use]
pub fn facts(explainer: &Explainer) -> Vec<ProvenanceEntry> {
    let model = explainer.model();
    let mut layers: Vec<&str> = explainer
        .maps()
        .iter()
        .filter_map(|map| map.layer.as_ref())
        .map(|layer| layer.name.as_str())
        .collect();
    layers.dedup();
    let mut methods: Vec<&str> = explainer.maps().iter().map(|map| map.method.id).collect();
    methods.dedup();
    let [c, h, w] = model.shape();
    let pixels: Vec<String> =
        model.preprocessing.to_pairs().iter().map(|(k, v)| format!("{k}={v}")).collect();
    let names = &model.class_names;
    let more = if names.len() > MOST_NAMES {
        format!(" and {} more", names.len() - MOST_NAMES)
    } else {
        String::new()
    };
    let fact = |name, value| ProvenanceEntry { name, value };
    vec![
        fact("input", format!("{c}×{h}×{w} (channels × height × width); {}", pixels.join(", "))),
        fact(
            "classes",
            format!("{}{more}", names.iter().take(MOST_NAMES).cloned().collect::<Vec<_>>().join(", ")),
        ),
        fact("methods", methods.join(", ")),
        fact("layers", if layers.is_empty() { "none".to_owned() } else { layers.join(", ") }),
        fact(
            "computed by",
            format!("heatlens {}, {}", env!("CARGO_PKG_VERSION"), heatlens_cpu::instruction_set()),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_is_sha_256() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "abc").unwrap();
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(fingerprint(&path).unwrap(), expected);
        assert!(fingerprint(&folder.path().join("b")).is_err());
    }

    #[test]
    fn a_model_alone_was_not_trained_here_and_a_strange_history_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model.onnx");
        assert_eq!(Training::beside(&model).unwrap(), None);
        std::fs::write(folder.path().join("history.csv"), "a,b\n").unwrap();
        assert!(Training::beside(&model).is_err());
    }
}
