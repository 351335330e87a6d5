//! What our own model files say about themselves, as text by key.

use std::collections::BTreeMap;

use crate::data::Preprocessing;
use crate::model::ModelError;

const CLASS_NAMES: &str = "heatlens.class_names";
const PREPROCESSING: &str = "heatlens.preprocessing.";

/// The class names, if the file is ours.
pub(super) fn class_names(metadata: &BTreeMap<String, String>) -> Result<Option<Vec<String>>, ModelError> {
    let parse = |text: &String| {
        serde_json::from_str(text).map_err(|e| ModelError::Metadata(format!("{CLASS_NAMES}: {e}")))
    };
    metadata.get(CLASS_NAMES).map(parse).transpose()
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

/// Writes the class names, and the preprocessing where it is known.
pub(super) fn store(
    metadata: &mut BTreeMap<String, String>,
    names: &[String],
    preprocessing: Option<&Preprocessing>,
) {
    metadata.insert(CLASS_NAMES.to_owned(), serde_json::Value::from(names.to_vec()).to_string());
    for (key, value) in preprocessing.into_iter().flat_map(Preprocessing::to_pairs) {
        metadata.insert(format!("{PREPROCESSING}{key}"), value);
    }
}
