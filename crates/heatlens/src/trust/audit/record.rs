//! The measurements on one image as a line of a file, from which an interrupted audit resumes.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::metric::ImageMetrics;

/// The measurements on one image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageRecord {
    /// Index of the image in the data set.
    pub item: usize,
    /// Source of the image.
    pub source: String,
    /// Label, if known.
    pub label: Option<usize>,
    /// Checksum of the pixels; empty if nothing is stored on disk.
    pub pixels: String,
    /// The measurements.
    pub measured: ImageMetrics,
}

impl ImageRecord {
    /// Returns the record as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let m = &self.measured;
        json!({
            "item": self.item,
            "source": self.source,
            "label": self.label,
            "pixels": self.pixels,
            "logits": m.logits,
            "predicted": m.predicted,
            "values": m.values,
            "agreement": m.agreement,
        })
    }

    /// Parses a record; `None` if it is malformed.
    #[must_use]
    pub fn of_json(value: &Value) -> Option<Self> {
        let whole = |v: &Value| usize::try_from(v.as_u64()?).ok();
        // NaN and infinite values are written as null.
        let numbers =
            |v: &Value| Some(v.as_array()?.iter().map(|n| n.as_f64().unwrap_or(f64::NAN)).collect());
        let metrics = |map: &Map<String, Value>| -> BTreeMap<String, f64> {
            map.iter().filter_map(|(id, v)| Some((id.clone(), v.as_f64()?))).collect()
        };
        let values = value["values"].as_array()?.iter().map(|v| v.as_object().map(metrics));
        let logits: Vec<f64> = numbers(&value["logits"])?;
        Some(Self {
            item: whole(&value["item"])?,
            source: value["source"].as_str()?.to_owned(),
            label: whole(&value["label"]),
            pixels: value["pixels"].as_str()?.to_owned(),
            measured: ImageMetrics {
                #[allow(clippy::cast_possible_truncation)] // they were f32
                logits: logits.into_iter().map(|z| z as f32).collect(),
                predicted: whole(&value["predicted"])?,
                values: values.collect::<Option<_>>()?,
                agreement: numbers(&value["agreement"])?,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gives_back_every_bit() {
        let values = BTreeMap::from([("deletion".to_owned(), 0.1 + 0.2), ("adcc".to_owned(), 1.0 / 3.0)]);
        let measured = ImageMetrics {
            logits: vec![0.1, -3.4e-5],
            predicted: 1,
            values: vec![values],
            agreement: vec![1.0, 0.7],
        };
        let (source, pixels) = ("a \"b\".png".to_owned(), "0f".to_owned());
        let record = ImageRecord { item: 7, source, label: Some(1), pixels, measured };
        let line = record.to_json().to_string();
        assert!(!line.contains('\n'));
        assert_eq!(ImageRecord::of_json(&serde_json::from_str(&line).unwrap()), Some(record));
        assert_eq!(ImageRecord::of_json(&json!({})), None);
    }
}
