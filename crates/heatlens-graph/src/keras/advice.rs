//! Advice for Keras files that cannot be read: Python code that exports the model, with its own input size.

use serde_json::Value as Json;

/// Substitute for a size that the file leaves open.
const OPEN_SIZE: u64 = 224;

/// Returns the Python lines that export a model to ONNX. They call the model once, because a loaded model has never
/// been called, and Keras does not export such models.
pub(super) fn export(model: &Json) -> String {
    let unsafe_load = if holds_code(model) { ", safe_mode=False" } else { "" };
    format!(
        "import keras, numpy as np\n    \
         model = keras.saving.load_model(\"model.keras\"{unsafe_load})  # your file's name\n    \
         model({})  # once, on an empty image: Keras exports only what was called\n    \
         model.export(\"model.onnx\", format=\"onnx\")",
        empty_images(model)
    )
}

/// Returns the argument of that call: an array of zeros for the model's input, or a list of arrays for several inputs.
fn empty_images(model: &Json) -> String {
    let zeros: Vec<String> = input_shapes(model).iter().map(|sizes| array(sizes)).collect();
    match zeros.as_slice() {
        [] => array(&[None, None, Some(3)]),
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    }
}

fn array(sizes: &[Option<u64>]) -> String {
    let sizes: Vec<String> = sizes.iter().map(|size| size.unwrap_or(OPEN_SIZE).to_string()).collect();
    format!("np.zeros((1, {}), \"float32\")", sizes.join(", "))
}

/// Returns the sizes of the model's inputs without the batch; empty if the file does not contain them.
fn input_shapes(model: &Json) -> Vec<Vec<Option<u64>>> {
    let config = &model["config"];
    let layers = config["layers"].as_array().or_else(|| config.as_array());
    let of_layer = |layer: &Json| {
        let config = &layer["config"];
        sizes(&config["batch_shape"]).or_else(|| sizes(&config["batch_input_shape"]))
    };
    let declared: Vec<_> = layers.into_iter().flatten().filter_map(of_layer).collect();
    if !declared.is_empty() {
        return declared;
    }
    let built = sizes(&model["build_config"]["input_shape"]);
    built.or_else(|| sizes(&config["build_input_shape"])).into_iter().collect()
}

/// Returns a shape without its first axis, the batch.
fn sizes(shape: &Json) -> Option<Vec<Option<u64>>> {
    let (_, rest) = shape.as_array()?.split_first()?;
    rest.iter().map(|size| if size.is_null() { Some(None) } else { size.as_u64().map(Some) }).collect()
}

/// True if the model contains Python code, which Keras runs only when told to.
fn holds_code(value: &Json) -> bool {
    match value {
        Json::Object(entries) => {
            entries.get("class_name").is_some_and(|class| class == "Lambda" || class == "__lambda__")
                || entries.values().any(holds_code)
        }
        Json::Array(values) => values.iter().any(holds_code),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn call(model: &Json) -> String {
        let lines = export(model);
        lines.lines().map(str::trim).find(|line| line.starts_with("model(")).unwrap().to_owned()
    }

    #[test]
    fn the_call_has_the_models_own_size() {
        let input = |shape: Json| json!({"class_name": "InputLayer", "config": {"batch_shape": shape}});
        let one = json!({"config": {"layers": [input(json!([null, 40, 56, 3])), {"class_name": "Lambda"}]}});
        assert!(call(&one).starts_with("model(np.zeros((1, 40, 56, 3), \"float32\"))"), "{}", call(&one));
        assert!(export(&one).contains("safe_mode=False"));
        let old =
            json!({"config": [{"class_name": "Conv2D", "config": {"batch_input_shape": [null, 8, 8, 1]}}]});
        assert!(call(&old).contains("(1, 8, 8, 1)") && !export(&old).contains("safe_mode"));
        let two =
            json!({"config": {"layers": [input(json!([null, null, null, 3])), input(json!([null, 7]))]}});
        assert!(
            call(&two).contains("[np.zeros((1, 224, 224, 3), \"float32\"), np.zeros((1, 7), \"float32\")]")
        );
        let own_class =
            json!({"class_name": "MyModel", "config": {}, "build_config": {"input_shape": [null, 9, 9, 3]}});
        assert!(call(&own_class).contains("(1, 9, 9, 3)"));
        assert!(call(&json!({})).contains("(1, 224, 224, 3)"));
    }
}
