//! Description of layers in a file: class, settings and inputs.

use serde_json::{Map, Value};

use super::KerasError;
use super::config::brief;

/// A layer or a nested model.
#[derive(Debug)]
pub(super) struct LayerSpec<'a> {
    /// Class, without the package that registered it.
    pub(super) class: &'a str,
    /// Name given by the author.
    pub(super) name: String,
    /// True if it is a function (`keras.ops`), not a layer.
    pub(super) is_function: bool,
    /// Settings; for a Keras 1 `Sequential` the bare list of layers.
    pub(super) config: &'a Value,
    /// Arguments of each call.
    pub(super) calls: Vec<Call<'a>>,
}

/// Arguments of one call of a layer.
#[derive(Debug, Default)]
pub(super) struct Call<'a> {
    pub(super) args: Vec<Argument<'a>>,
    pub(super) kwargs: Vec<(&'a str, Argument<'a>)>,
}

/// An argument.
#[derive(Clone, Debug)]
pub(super) enum Argument<'a> {
    /// Output of another layer.
    Output(Source<'a>),
    /// List of arguments.
    List(Vec<Argument<'a>>),
    /// Constant.
    Json(&'a Value),
}

/// Reference to an output: layer, number of its call, and number of the output of that call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) layer: &'a str,
    pub(super) call: usize,
    pub(super) output: usize,
}

fn malformed(what: impl Into<String>) -> KerasError {
    KerasError::Malformed(what.into())
}

impl<'a> LayerSpec<'a> {
    /// Reads `{"class_name": …, "config": …, "inbound_nodes": …}`.
    pub(super) fn read(value: &'a Value) -> Result<Self, KerasError> {
        let class = value.get("class_name").and_then(Value::as_str);
        let class = class.ok_or_else(|| malformed(format!("expected a layer, found {}", brief(value))))?;
        let config = value.get("config").unwrap_or(&Value::Null);
        let name = [value.get("name"), config.get("name")].into_iter().flatten().find_map(Value::as_str);
        let module = value.get("module").and_then(Value::as_str).unwrap_or_default();
        let nodes = value.get("inbound_nodes").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        Ok(Self {
            class: class.rsplit('>').next().unwrap_or(class),
            name: name.unwrap_or(class).to_owned(),
            is_function: module.contains(".ops"),
            config,
            calls: nodes.iter().map(call).collect::<Result<_, _>>()?,
        })
    }

    /// True if it contains layers.
    pub(super) fn is_model(&self) -> bool {
        matches!(self.class, "Functional" | "Model" | "Sequential") && self.layers().is_some()
    }

    /// Returns the layers of a model.
    pub(super) fn layers(&self) -> Option<&'a [Value]> {
        let list = if self.config.is_array() { Some(self.config) } else { self.config.get("layers") };
        list.and_then(Value::as_array).map(Vec::as_slice)
    }

    /// Returns the settings.
    pub(super) fn settings(&self) -> Result<&'a Map<String, Value>, KerasError> {
        self.config.as_object().ok_or_else(|| malformed(format!("layer {:?} has no settings", self.name)))
    }

    /// Returns the declared input shape, including the batch axis.
    pub(super) fn input_shape(&self) -> Option<&'a Value> {
        let shape = ["batch_shape", "batch_input_shape", "build_input_shape"];
        shape.iter().find_map(|key| self.config.get(key).filter(|v| v.is_array()))
    }
}

/// Returns the input or output references of a model.
pub(super) fn sources<'a>(config: &'a Value, key: &str) -> Result<Vec<Source<'a>>, KerasError> {
    let bad = || malformed(format!("expected layers as {key:?}"));
    let value = config.get(key).ok_or_else(bad)?;
    if let Some(one) = source(value) {
        return Ok(vec![one]);
    }
    match value {
        Value::Array(values) => values.iter().map(|v| source(v).ok_or_else(bad)).collect(),
        Value::Object(map) => map.values().map(|v| source(v).ok_or_else(bad)).collect(),
        _ => Err(bad()),
    }
}

/// Reads `["name", call, output]`, which all versions write; old ones append arguments.
fn source(value: &Value) -> Option<Source<'_>> {
    let [layer, call, output, ..] = value.as_array()?.as_slice() else { return None };
    let index = |v: &Value| v.as_u64().and_then(|v| usize::try_from(v).ok());
    Some(Source { layer: layer.as_str()?, call: index(call)?, output: index(output)? })
}

/// Reads a call, as an object in Keras 3 (`{"args": …, "kwargs": …}`), as a list in older versions.
fn call(value: &Value) -> Result<Call<'_>, KerasError> {
    let object = |value: &Value| value.get("args").is_some() || value.get("kwargs").is_some();
    if object(value) {
        let args = value.get("args").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let kwargs = value.get("kwargs").and_then(Value::as_object);
        return Ok(Call {
            args: args.iter().map(argument).collect(),
            kwargs: kwargs.into_iter().flatten().map(|(k, v)| (k.as_str(), argument(v))).collect(),
        });
    }
    old_call(value).ok_or_else(|| malformed(format!("a layer is called with {}", brief(value))))
}

fn argument(value: &Value) -> Argument<'_> {
    if value.get("class_name").and_then(Value::as_str) == Some("__keras_tensor__") {
        let history = value.get("config").and_then(|c| c.get("keras_history")).and_then(source);
        return history.map_or(Argument::Json(value), Argument::Output);
    }
    match value {
        Value::Array(values) if !values.is_empty() => Argument::List(values.iter().map(argument).collect()),
        other => Argument::Json(other),
    }
}

/// Reads `[["a", 0, 0, {…}], ["b", 0, 0, {…}]]`, or `["a", 0, 0, {…}]` alone.
fn old_call(value: &Value) -> Option<Call<'_>> {
    let values = value.as_array()?;
    let alone = values.first().is_some_and(Value::is_string);
    let parts: Vec<&Value> = if alone { vec![value] } else { values.iter().collect() };
    let args: Option<Vec<Argument<'_>>> = parts.iter().map(|part| old_argument(part)).collect();
    let kwargs = parts.first().and_then(|part| part.get(3)).and_then(Value::as_object);
    let kwargs = kwargs.into_iter().flatten().map(|(k, v)| (k.as_str(), old_keyword(v))).collect();
    Some(Call { args: args?, kwargs })
}

fn old_argument(value: &Value) -> Option<Argument<'_>> {
    match value.as_array()?.as_slice() {
        [Value::String(name), _, constant, ..] if name == "_CONSTANT_VALUE" => Some(Argument::Json(constant)),
        _ => source(value).map(Argument::Output),
    }
}

/// Reads a keyword argument, in which an output of a layer is a list of a string and two numbers.
fn old_keyword(value: &Value) -> Argument<'_> {
    match old_argument(value) {
        Some(found) if value.as_array().is_some_and(|v| v.len() <= 4) => found,
        _ => match value {
            Value::Array(values) if !values.is_empty() => {
                Argument::List(values.iter().map(old_keyword).collect())
            }
            other => Argument::Json(other),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(argument: &Argument<'_>) -> String {
        match argument {
            Argument::Output(s) => format!("{}.{}.{}", s.layer, s.call, s.output),
            Argument::List(list) => format!("[{}]", list.iter().map(outputs).collect::<Vec<_>>().join(" ")),
            Argument::Json(value) => value.to_string(),
        }
    }

    fn show(json: &str) -> String {
        let value: Value = serde_json::from_str(json).unwrap();
        let call = call(&value).unwrap();
        let args: Vec<String> = call.args.iter().map(outputs).collect();
        let kwargs: Vec<String> = call.kwargs.iter().map(|(k, v)| format!("{k}={}", outputs(v))).collect();
        [args, kwargs].concat().join(", ")
    }

    #[test]
    fn calls_of_every_version_are_read() {
        let tensor = |name: &str| {
            let config = format!(r#"{{"shape": [null], "keras_history": ["{name}", 1, 2]}}"#);
            format!(r#"{{"class_name": "__keras_tensor__", "config": {config}}}"#)
        };
        let new =
            format!(r#"{{"args": [[{}, {}], 2.0], "kwargs": {{"mask": null}}}}"#, tensor("a"), tensor("b"));
        assert_eq!(show(&new), "[a.1.2 b.1.2], 2.0, mask=null");
        assert_eq!(show(r#"[["a", 0, 0, {}], ["b", 1, 0, {}]]"#), "a.0.0, b.1.0");
        assert_eq!(show(r#"["a", 0, 0, {"y": ["b", 0, 0], "axis": [1, 2]}]"#), "a.0.0, axis=[1 2], y=b.0.0");
        assert_eq!(show(r#"["_CONSTANT_VALUE", -1, 1.5, {"y": ["b", 0, 0]}]"#), "1.5, y=b.0.0");
        assert_eq!(show(r#"[["a", 0, 0]]"#), "a.0.0");
    }
}
