//! Settings of Keras 1, which have other names.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::error::OpError;
use crate::keras::scope::Era;

/// Old and new names.
const RENAMED: [(&str, &str); 14] = [
    ("nb_filter", "filters"),
    ("output_dim", "units"),
    ("subsample", "strides"),
    ("subsample_length", "strides"),
    ("filter_length", "kernel_size"),
    ("border_mode", "padding"),
    ("bias", "use_bias"),
    ("dim_ordering", "data_format"),
    ("p", "rate"),
    ("pool_length", "pool_size"),
    ("stride", "strides"),
    ("concat_axis", "axis"),
    ("atrous_rate", "dilation_rate"),
    ("negative_slope", "negative_slope"),
];

/// Returns the settings with the names of Keras 2.
pub(in crate::keras) fn modern<'a>(
    class: &str,
    settings: &'a Map<String, Value>,
    era: Era,
) -> Result<Cow<'a, Map<String, Value>>, OpError> {
    if era != Era::Keras1 {
        return Ok(Cow::Borrowed(settings));
    }
    let mut new = Map::new();
    for (key, value) in settings {
        let renamed = RENAMED.iter().find(|(old, _)| old == key).map_or(key.as_str(), |(_, new)| new);
        new.insert(renamed.to_owned(), value.clone());
    }
    if let (Some(rows), Some(columns)) = (settings.get("nb_row"), settings.get("nb_col")) {
        new.insert("kernel_size".to_owned(), Value::Array(vec![rows.clone(), columns.clone()]));
        new.remove("nb_row");
        new.remove("nb_col");
    }
    if let Some(Value::String(format)) = new.get("data_format") {
        let format = match format.as_str() {
            "th" => "channels_first",
            "tf" => "channels_last",
            other => other,
        };
        new.insert("data_format".to_owned(), Value::from(format));
    }
    if class == "BatchNormalization" {
        match new.remove("mode").and_then(|mode| mode.as_i64()) {
            None | Some(0 | 2) => {}
            Some(mode) => {
                return Err(OpError::Unsupported(format!("mode {mode} (statistics of the batch at hand)")));
            }
        }
    }
    // Regularisers, constraints, and training settings.
    for key in [
        "W_regularizer",
        "b_regularizer",
        "W_constraint",
        "b_constraint",
        "gamma_regularizer",
        "W_learning_rate_multiplier",
        "b_learning_rate_multiplier",
        "create_input_layer",
        "arguments",
        "custom",
    ] {
        new.remove(key);
    }
    Ok(Cow::Owned(new))
}
