//! Class names in common file formats: text, CSV, JSON and Python dictionaries, distinguished by content.
//!
//! Sources of the formats: `imagenet_class_index.json` (Keras), `index_to_name.json` (TorchServe), `config.json` with
//! `id2label` (Hugging Face), `synset_words.txt` (Caffe), `names` in the metadata of Ultralytics' ONNX files, which is
//! a Python dictionary, and `character` in PaddleOCR's, one name per line.

mod python;
mod text;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde_json::Value;

use crate::model::{Model, ModelError};

/// Keys for class names in files and metadata; the first one with names is used.
const KEYS: [&str; 9] = [
    "id2label",
    "names",
    "class_names",
    "classes",
    "labels",
    "categories",
    "label2id",
    "character",
    "class_to_idx",
];

/// Reason why a text is not usable as class names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// The number of names differs from the number of classes.
    Count { found: Vec<String>, expected: usize },
    /// The text has an unknown format.
    Form(String),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let forms = "expected one name per line in the order of the model's outputs, CSV of numbers and names, or \
             JSON";
        match self {
            Self::Count { found, expected } => {
                let ends = match found.as_slice() {
                    [] => String::new(),
                    [only] => format!(" ({only})"),
                    [first, .., last] => format!(" ({first} … {last})"),
                };
                write!(f, "found {} names{ends}, but the model has {expected} classes", found.len())?;
                if found.len() == expected + 1 {
                    f.write_str("; the first line may be a heading, or a class for the background")?;
                }
                write!(f, "; {forms}")
            }
            Self::Form(what) => write!(f, "{what}; {forms}"),
        }
    }
}

/// Parses the names in the bytes of a file, for a model with `expected` classes.
pub(super) fn parse_bytes(bytes: &[u8], expected: usize) -> Result<Vec<String>, Unfit> {
    parse(&text::decode(bytes).map_err(Unfit::Form)?, expected)
}

/// Parses the names in a text.
pub(super) fn parse(text: &str, expected: usize) -> Result<Vec<String>, Unfit> {
    let text = text.trim();
    let structured = if text.starts_with(['{', '[']) { Some(structured(text)) } else { None };
    let names = match structured {
        Some(value) => from_json(&value.map_err(Unfit::Form)?).ok_or_else(|| {
            Unfit::Form(
                "JSON without class names: expected a list, {\"0\": name}, {name: 0} or id2label".to_owned(),
            )
        })?,
        None => text::lines(text, expected),
    };
    match names.len() {
        count if count == expected => Ok(names),
        _ => Err(Unfit::Count { found: names, expected }),
    }
}

/// Parses JSON or a Python literal.
fn structured(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).or_else(|error| {
        python::parse(text).ok_or_else(|| {
            format!(
                "damaged JSON, or JSON that does not list class names: \
            {error}"
            )
        })
    })
}

fn from_json(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(items) => items.iter().map(name_in).collect(),
        Value::Object(entries) => {
            let known = KEYS.iter().find_map(|key| from_json(entries.get(*key)?));
            known.or_else(|| {
                let by_number = entries.iter().map(|(key, value)| Some((number(key)?, name_in(value)?)));
                let by_name = entries.iter().map(|(key, value)| Some((value.as_u64()?, key.clone())));
                in_order(by_number).or_else(|| in_order(by_name))
            })
        }
        _ => None,
    }
}

fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    text.parse().ok().or_else(|| text.strip_prefix("LABEL_")?.parse().ok())
}

/// Returns the name in an entry: a string, the last string of a list (`["n01440764", "tench"]`), or an object's `name`.
fn name_in(value: &Value) -> Option<String> {
    match value {
        Value::String(name) => Some(name.trim().to_owned()),
        Value::Array(parts) => parts.last().and_then(name_in),
        Value::Object(parts) => {
            ["name", "label", "class"].iter().find_map(|key| parts.get(*key).and_then(name_in))
        }
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Returns the names ordered by number, if each number from 0 (or 1) on occurs once.
fn in_order(pairs: impl Iterator<Item = Option<(u64, String)>>) -> Option<Vec<String>> {
    let mut names = BTreeMap::new();
    for pair in pairs {
        let (number, name) = pair?;
        if names.insert(number, name).is_some() {
            return None;
        }
    }
    let (first, last) = (*names.keys().next()?, *names.keys().next_back()?);
    let complete = first <= 1 && last - first + 1 == names.len() as u64;
    complete.then(|| names.into_values().collect())
}

/// Returns the class names in a file's metadata, and a note if there are names but not as many as classes.
pub(super) fn in_metadata(
    metadata: &BTreeMap<String, String>,
    expected: usize,
) -> (Option<Vec<String>>, Option<String>) {
    let mut note = None;
    for key in KEYS {
        let Some(text) = metadata.get(key) else { continue };
        match parse(text, expected) {
            Ok(names) => return (Some(names), None),
            Err(Unfit::Count { found, .. }) if found.len() > 1 => {
                note.get_or_insert(format!(
                    "the file's \"{key}\" holds {} names for {expected} classes: they are ignored",
                    found.len()
                ));
            }
            Err(_) => {}
        }
    }
    (None, note)
}

/// Returns the number of class names in a file's metadata.
pub(super) fn listed(metadata: &BTreeMap<String, String>) -> Option<usize> {
    KEYS.iter().find_map(|key| match parse(metadata.get(*key)?, usize::MAX) {
        Err(Unfit::Count { found, .. }) => Some(found.len()),
        _ => None,
    })
}

impl Model {
    /// Reads the class names from a file: text, CSV or JSON in common formats.
    ///
    /// # Errors
    /// If the file cannot be read or parsed, or if the number of names differs from the number of classes.
    pub fn read_class_names(&mut self, path: impl AsRef<Path>) -> Result<(), ModelError> {
        let path = path.as_ref();
        let wrong = |reason: String| ModelError::Labels { path: path.to_owned(), reason };
        let bytes = heatlens_graph::read_regular(path, 1 << 26)
            .map_err(|e| wrong(format!("cannot be read: {}", crate::data::reason(&e))))?;
        let expected = self.head.names();
        let names = parse_bytes(&bytes, expected).map_err(|e| wrong(e.to_string()))?;
        self.class_names = self.head.all_names(names);
        self.named = true;
        self.head.name_classes(&self.class_names, true);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["tench", "great white shark", "crane, bird"];

    fn read(text: &str) -> Vec<String> {
        parse(text, 3).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn every_form_gives_the_same_names() {
        for text in [
            "tench\r\ngreat white shark\r\ncrane, bird\r\n",
            "\n tench\n\ngreat white shark \ncrane, bird",
            "0: tench\n1: great white shark\n2: crane, bird",
            "2,\"crane, bird\"\n0,tench\n1,great white shark",
            "1 tench\n2 great white shark\n3 crane, bird",
            "n01440764 tench\nn01484850 great white shark\nn02012849 crane, bird",
            "n01440764,tench\nn01484850,great white shark\nn02012849,\"crane, bird\"",
            "id,name\n0,tench\n1,great white shark\n2,\"crane, bird\"",
            "0,n01440764,tench\n1,n01484850,great white shark\n2,n02012849,\"crane, bird\"",
            "index\tlabel\n0\ttench\n1\tgreat white shark\n2\tcrane, bird",
            r#"["tench", "great white shark", "crane, bird"]"#,
            r#"{"0": "tench", "2": "crane, bird", "1": "great white shark"}"#,
            r#"{"0": ["n0", "tench"], "1": ["n1", "great white shark"], "2": ["n2", "crane, bird"]}"#,
            r#"{"tench": 0, "crane, bird": 2, "great white shark": 1}"#,
            r#"{"model_type": "vit", "id2label": {"0": "tench", "1": "great white shark", "2": "crane, bird"}}"#,
            r#"{"names": ["tench", "great white shark", "crane, bird"], "nc": 3}"#,
            r#"[{"id": 0, "name": "tench"}, {"id": 1, "name": "great white shark"}, {"id": 2, "name": "crane, bird"}]"#,
            "{0: 'tench', 1: 'great white shark', 2: 'crane, bird'}",
            "{0: 'tench',\n 1: \"great white shark\",\n 2: 'crane, bird',}",
            "['tench', 'great white shark', 'crane, bird']",
        ] {
            assert_eq!(read(text), NAMES, "{text}");
        }
        for names in ["0\n1\n10", "class 0\nclass 1\nclass 2", "0 rings\n1 rings\n2 rings"] {
            assert_eq!(read(names), names.lines().collect::<Vec<_>>(), "numbers that are part of the names");
        }
        assert_eq!(
            read("tench, Tinca tinca\ncrane, bird\nhen, Gallus"),
            ["tench, Tinca tinca", "crane, bird", "hen, Gallus"]
        );
        assert_eq!(read("{0: 'it\\'s', 1: \"b\", 2: 'ü'}"), ["it's", "b", "ü"]);
    }

    #[test]
    fn every_encoding_is_read_or_refused_with_advice() {
        let utf16 = |big: bool| -> Vec<u8> {
            let units = "\u{feff}käse\nb\nc".encode_utf16();
            units.flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
        };
        let expected = ["käse", "b", "c"];
        assert_eq!(parse_bytes("\u{feff}käse\nb\nc".as_bytes(), 3).unwrap(), expected);
        assert_eq!(parse_bytes(&utf16(false), 3).unwrap(), expected);
        assert_eq!(parse_bytes(&utf16(true), 3).unwrap(), expected);
        assert_eq!(parse_bytes(&utf16(true)[2..], 3).unwrap(), expected, "without a mark");
        let latin = parse_bytes(b"k\xe4se\nb\nc", 3).unwrap_err().to_string();
        assert!(latin.contains("UTF-8") && latin.contains("Latin-1"), "{latin}");
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let said = |text: &str| parse(text, 3).unwrap_err().to_string();
        assert!(
            said("a\nb").contains("found 2 names (a … b), but the model has 3 classes"),
            "{}",
            said("a\nb")
        );
        assert!(said("h\na\nb\nc").contains("heading"), "{}", said("h\na\nb\nc"));
        assert!(said("").contains("found 0 names, but the model"), "{}", said(""));
        assert!(said("{\"a\": ").contains("damaged JSON"), "{}", said("{\"a\": "));
        assert!(said("{\"a\": {\"b\": true}}").contains("id2label"), "{}", said("{\"a\": {\"b\": true}}"));
        assert!(said(r#"{"0": "a", "5": "b", "9": "c"}"#).contains("JSON without class names"));
    }

    #[test]
    fn metadata_of_other_programs() {
        let metadata = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>()
        };
        let ultralytics = metadata(&[("names", "{0: 'a', 1: 'b'}"), ("task", "classify")]);
        assert_eq!(in_metadata(&ultralytics, 2), (Some(vec!["a".to_owned(), "b".to_owned()]), None));
        let (names, note) = in_metadata(&ultralytics, 3);
        assert!(names.is_none() && note.unwrap().contains("\"names\" holds 2 names for 3 classes"));
        let paddle = metadata(&[("character", "0\n180")]);
        assert_eq!(in_metadata(&paddle, 2).0, Some(vec!["0".to_owned(), "180".to_owned()]));
        assert_eq!(in_metadata(&metadata(&[("labels", "none")]), 2), (None, None));
    }
}
