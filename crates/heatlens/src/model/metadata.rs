//! What our own model files say about themselves, as text by key.

use std::collections::BTreeMap;

use heatlens_graph::onnx::CLASS_LABELS;

use crate::data::Preprocessing;
use crate::model::{HeadKind, ModelError};

const CLASS_NAMES: &str = "heatlens.class_names";
const PREPROCESSING: &str = "heatlens.preprocessing.";
const HEAD: &str = "heatlens.head";

/// What the scores mean, if the file is ours.
pub(super) fn head(metadata: &BTreeMap<String, String>) -> Option<HeadKind> {
    metadata.get(HEAD)?.parse().ok()
}

/// The class names, if the file is ours or a node of it lists them.
pub(super) fn class_names(metadata: &BTreeMap<String, String>) -> Result<Option<Vec<String>>, ModelError> {
    let parse = |text: &String| {
        serde_json::from_str(text).map_err(|e| ModelError::Metadata(format!("{CLASS_NAMES}: {e}")))
    };
    let listed = || metadata.get(CLASS_LABELS).map(|text| text.lines().map(str::to_owned).collect());
    Ok(metadata.get(CLASS_NAMES).map(parse).transpose()?.or_else(listed))
}

/// The preprocessing, if the file is ours.
pub(super) fn preprocessing(
    metadata: &BTreeMap<String, String>,
) -> Result<Option<Preprocessing>, ModelError> {
    let strip =
        |(key, value): (&String, &String)| Some((key.strip_prefix(PREPROCESSING)?.to_owned(), value.clone()));
    let pairs: BTreeMap<String, String> = metadata.iter().filter_map(strip).collect();
    if pairs.is_empty() {
        return Ok(None);
    }
    Preprocessing::from_pairs(&pairs).map(Some).map_err(|e| ModelError::Metadata(e.to_string()))
}

/// Writes the class names, what the scores mean where that is no matter of course, and the preprocessing where it is known.
/// Similarity with a reference is a quantity like others once it is computed.
pub(super) fn store(
    metadata: &mut BTreeMap<String, String>,
    head: HeadKind,
    names: &[String],
    preprocessing: Option<&Preprocessing>,
) {
    match head {
        HeadKind::Classes => metadata.remove(HEAD),
        HeadKind::Similarity => metadata.insert(HEAD.to_owned(), HeadKind::Regression.name().to_owned()),
        kind => metadata.insert(HEAD.to_owned(), kind.name().to_owned()),
    };
    metadata.insert(CLASS_NAMES.to_owned(), serde_json::Value::from(names.to_vec()).to_string());
    for (key, value) in preprocessing.into_iter().flat_map(Preprocessing::to_pairs) {
        metadata.insert(format!("{PREPROCESSING}{key}"), value);
    }
}
