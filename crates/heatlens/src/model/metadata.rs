//! Metadata of model files written by heatlens, as key-value pairs.

use std::collections::BTreeMap;

use heatlens_graph::onnx::CLASS_LABELS;

use crate::data::Preprocessing;
use crate::model::{HeadKind, ModelError};

const CLASS_NAMES: &str = "heatlens.class_names";
const PREPROCESSING: &str = "heatlens.preprocessing.";
const HEAD: &str = "heatlens.head";

/// Returns the kind of head, if heatlens wrote the file.
pub(super) fn head(metadata: &BTreeMap<String, String>) -> Option<HeadKind> {
    metadata.get(HEAD)?.parse().ok()
}

/// Returns the class names, if heatlens wrote the file or a node lists them.
pub(super) fn class_names(metadata: &BTreeMap<String, String>) -> Result<Option<Vec<String>>, ModelError> {
    let parse = |text: &String| {
        serde_json::from_str(text).map_err(|e| ModelError::Metadata(format!("{CLASS_NAMES}: {e}")))
    };
    let listed = || metadata.get(CLASS_LABELS).map(|text| text.lines().map(str::to_owned).collect());
    Ok(metadata.get(CLASS_NAMES).map(parse).transpose()?.or_else(listed))
}

/// Returns the preprocessing, if heatlens wrote the file.
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

/// Stores the class names, the kind of head unless it is the default, and the preprocessing if it is known. Once
/// computed, the similarity with a reference is stored as a quantity.
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
