//! Concatenation of data sets.

use std::collections::BTreeMap;

use super::{DataError, Dataset, Original, Preprocessing, Sample};

/// Items of several data sets of the same shape, in sequence.
#[derive(Debug)]
pub(super) struct Concat {
    parts: Vec<Box<dyn Dataset>>,
    /// Item names, unique across all parts.
    names: Vec<String>,
    preprocessing: Preprocessing,
    class_names: Vec<String>,
}

impl Concat {
    /// Concatenates at least one data set.
    pub(super) fn new(parts: Vec<Box<dyn Dataset>>) -> Result<Self, DataError> {
        let Some(first) = parts.first() else { return Err(DataError::NoSuchItem { item: 0, len: 0 }) };
        let (preprocessing, shape) = (first.preprocessing().clone(), first.shape());
        if let Some(part) = parts.iter().find(|part| part.shape() != shape) {
            return Err(DataError::Preprocessing {
                key: "size".to_owned(),
                found: format!("{:?} in {} and {shape:?} before", part.shape(), part.source(0)),
                expected: "one [channels, height, width] for all inputs".to_owned(),
            });
        }
        let mut seen = BTreeMap::<String, usize>::new();
        let mut names = Vec::new();
        for part in &parts {
            for name in (0..part.len()).map(|item| part.name(item)) {
                let count = seen.entry(name.clone()).or_default();
                *count += 1;
                // No stem contains "~", so the new name is unique.
                names.push(if *count == 1 { name } else { format!("{name}~{count}") });
            }
        }
        let class_names = parts.iter().map(|part| part.class_names()).max_by_key(|names| names.len());
        let class_names = class_names.unwrap_or_default().to_vec();
        Ok(Self { parts, names, preprocessing, class_names })
    }

    fn locate(&self, item: usize) -> Option<(&dyn Dataset, usize)> {
        let mut item = item;
        for part in &self.parts {
            if item < part.len() {
                return Some((part.as_ref(), item));
            }
            item -= part.len();
        }
        None
    }
}

impl Dataset for Concat {
    fn len(&self) -> usize {
        self.names.len()
    }

    fn name(&self, item: usize) -> String {
        self.names.get(item).cloned().unwrap_or_default()
    }

    fn source(&self, item: usize) -> String {
        self.locate(item).map(|(part, item)| part.source(item)).unwrap_or_default()
    }

    fn index(&self, item: usize) -> usize {
        self.locate(item).map_or(item, |(part, item)| part.index(item))
    }

    fn label(&self, item: usize) -> Option<usize> {
        self.locate(item).and_then(|(part, item)| part.label(item))
    }

    fn mask(&self, item: usize) -> Option<&[bool]> {
        self.locate(item).and_then(|(part, item)| part.mask(item))
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = Vec::new();
        for note in self.parts.iter().flat_map(|part| part.notes()) {
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
        notes
    }

    fn original_size(&self, item: usize) -> Result<[usize; 2], DataError> {
        let (part, item) = self.locate(item).ok_or(DataError::NoSuchItem { item, len: self.len() })?;
        part.original_size(item)
    }

    fn load(&self, item: usize) -> Result<Sample, DataError> {
        let (part, item) = self.locate(item).ok_or(DataError::NoSuchItem { item, len: self.len() })?;
        part.load(item)
    }

    fn original(&self, item: usize) -> Result<Original, DataError> {
        let (part, item) = self.locate(item).ok_or(DataError::NoSuchItem { item, len: self.len() })?;
        part.original(item)
    }

    fn load_with_original(&self, item: usize) -> Result<(Sample, Original), DataError> {
        let (part, item) = self.locate(item).ok_or(DataError::NoSuchItem { item, len: self.len() })?;
        part.load_with_original(item)
    }
}
