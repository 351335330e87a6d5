//! The configuration of a layer: typed access, and a record of the settings that were read.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::error::OpError;
use crate::op::invalid;

/// JSON object with a layer's settings.
#[derive(Debug)]
pub(super) struct Config<'a> {
    map: &'a Map<String, Value>,
    read: RefCell<BTreeSet<String>>,
}

/// Settings without effect on the output of a trained layer.
const IDLE: [&str; 26] = [
    "name",
    "trainable",
    "dtype",
    "batch_input_shape",
    "batch_shape",
    "input_shape",
    "input_dtype",
    "build_config",
    "momentum",
    "seed",
    "synchronized",
    "renorm",
    "renorm_clipping",
    "renorm_momentum",
    "fused",
    "virtual_batch_size",
    "adjustment",
    "quantization_config",
    "init",
    "input_dim",
    "sparse",
    "ragged",
    "data_format",
    "autocast",
    "implementation",
    "input_length",
];
/// Suffixes of further such settings.
const IDLE_ENDINGS: [&str; 3] = ["_initializer", "_regularizer", "_constraint"];

type Read<T> = Result<Option<T>, OpError>;

impl<'a> Config<'a> {
    pub(super) fn new(map: &'a Map<String, Value>) -> Self {
        Self { map, read: RefCell::default() }
    }

    /// Returns the raw value of a setting; `None` if it is missing or null.
    pub(super) fn json(&self, key: &str) -> Option<&'a Value> {
        self.read.borrow_mut().insert(key.to_owned());
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// Returns the first of several alternative settings that is present, with its key; versions of Keras use different
    /// keys.
    pub(super) fn any(&self, keys: &[&str]) -> Option<(String, &'a Value)> {
        let found: Vec<_> = keys.iter().filter_map(|k| self.json(k).map(|v| ((*k).to_owned(), v))).collect();
        found.into_iter().next()
    }

    /// Marks settings as read.
    pub(super) fn ignore(&self, keys: &[&str]) {
        self.read.borrow_mut().extend(keys.iter().map(|&k| k.to_owned()));
    }

    /// Marks all settings as read.
    pub(super) fn ignore_all(&self) {
        self.read.borrow_mut().extend(self.map.keys().cloned());
    }

    pub(super) fn float(&self, key: &str) -> Read<f32> {
        self.json(key).map(|v| float(key, v)).transpose()
    }

    pub(super) fn int(&self, key: &str) -> Read<i64> {
        self.json(key).map(|v| int(key, v)).transpose()
    }

    pub(super) fn size(&self, key: &str) -> Read<usize> {
        self.json(key).map(|v| size(key, v)).transpose()
    }

    pub(super) fn flag(&self, key: &str, default: bool) -> Result<bool, OpError> {
        match self.json(key) {
            None => Ok(default),
            Some(value) => value.as_bool().ok_or_else(|| misfit(key, "true or false", value)),
        }
    }

    pub(super) fn text(&self, key: &str) -> Read<&'a str> {
        self.json(key).map(|v| v.as_str().ok_or_else(|| misfit(key, "a text", v))).transpose()
    }

    /// Reads an integer or a list of integers.
    pub(super) fn ints(&self, key: &str) -> Read<Vec<i64>> {
        self.json(key).map(|v| ints(key, v)).transpose()
    }

    /// Reads `n` sizes; a single number is used for all.
    pub(super) fn sizes(&self, key: &str, n: usize) -> Read<Vec<usize>> {
        let Some(value) = self.json(key) else { return Ok(None) };
        let sizes = match value {
            Value::Array(values) => values.iter().map(|v| size(key, v)).collect::<Result<Vec<_>, _>>()?,
            one => vec![size(key, one)?; n],
        };
        if sizes.len() != n {
            return Err(misfit(key, &format!("{n} numbers"), value));
        }
        Ok(Some(sizes))
    }

    /// Returns the setting, or an error if it is missing.
    pub(super) fn need<T>(&self, key: &str, found: Option<T>) -> Result<T, OpError> {
        found.ok_or_else(|| invalid(format!("expected a setting {key:?}")))
    }

    /// Rejects settings that were not read and may have an effect.
    pub(super) fn finish(&self) -> Result<(), OpError> {
        let read = self.read.borrow();
        let idle = |key: &str| IDLE.contains(&key) || IDLE_ENDINGS.iter().any(|end| key.ends_with(end));
        let says_nothing = |value: &Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::Array(values) => values.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        let left =
            |(key, value): &(&String, &Value)| !read.contains(*key) && !idle(key) && !says_nothing(value);
        match self.map.iter().find(left) {
            Some((key, value)) => Err(OpError::Unsupported(format!("setting {key:?} ({})", brief(value)))),
            None => Ok(()),
        }
    }
}

/// Converts a number; some versions write `inf` and `nan` as strings.
pub(super) fn float(key: &str, value: &Value) -> Result<f32, OpError> {
    #[allow(clippy::cast_possible_truncation)] // all computation is in single precision
    let single = |x: f64| x as f32;
    value.as_f64().map(single).ok_or_else(|| misfit(key, "a number", value))
}

pub(super) fn int(key: &str, value: &Value) -> Result<i64, OpError> {
    #[allow(clippy::cast_possible_truncation)] // compared with the original value
    let whole = |x: f64| (x.fract() == 0.0 && x.abs() < 1e15).then_some(x as i64);
    let found = value.as_i64().or_else(|| value.as_f64().and_then(whole));
    found.ok_or_else(|| misfit(key, "a whole number", value))
}

pub(super) fn size(key: &str, value: &Value) -> Result<usize, OpError> {
    const LARGEST: i64 = 1 << 24;
    let found = int(key, value)?;
    usize::try_from(found).ok().filter(|_| found <= LARGEST).ok_or_else(|| misfit(key, "a size", value))
}

pub(super) fn ints(key: &str, value: &Value) -> Result<Vec<i64>, OpError> {
    match value {
        Value::Array(values) => values.iter().map(|v| int(key, v)).collect(),
        one => Ok(vec![int(key, one)?]),
    }
}

/// Flattens nested lists of numbers, in order.
pub(super) fn floats(key: &str, value: &Value) -> Result<Vec<f32>, OpError> {
    match value {
        Value::Array(values) => {
            let parts: Result<Vec<Vec<f32>>, _> = values.iter().map(|v| floats(key, v)).collect();
            Ok(parts?.concat())
        }
        one => Ok(vec![float(key, one)?]),
    }
}

pub(super) fn misfit(key: &str, expected: &str, found: &Value) -> OpError {
    invalid(format!("expected {expected} as setting {key:?}, found {}", brief(found)))
}

/// Formats JSON for an error message.
pub(super) fn brief(value: &Value) -> String {
    const LONGEST: usize = 80;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_nobody_reads_are_refused_unless_they_say_nothing() {
        let json =
            r#"{"name": "a", "units": 3, "kernel_initializer": {"x": 1}, "odd": null, "new": "twist"}"#;
        let map: Map<String, Value> = serde_json::from_str(json).unwrap();
        let config = Config::new(&map);
        assert_eq!(config.size("units"), Ok(Some(3)));
        let error = config.finish().unwrap_err().to_string();
        assert_eq!(error, "setting \"new\" (\"twist\") is not supported");
        assert_eq!(config.text("new"), Ok(Some("twist")));
        assert_eq!(config.finish(), Ok(()));
        assert!(config.sizes("units", 2).unwrap().is_some_and(|s| s == [3, 3]));
        assert!(config.flag("new", true).is_err());
        assert!(config.size("name").is_err());
    }
}
