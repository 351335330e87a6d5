//! Checkpoints for resuming a run: weights, optimizer state and history in one file, which is replaced atomically
//! after every epoch.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::data::write_atomically;
use crate::report::hexadecimal;
use crate::train::TrainError;
use crate::train::step::Arrays;

/// Named arrays, and all other state as JSON.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// Weights, statistics and optimizer moments, grouped by prefix.
    pub arrays: Arrays,
    /// Epoch, settings, history and counters.
    pub state: Value,
}

/// Metadata key of the checksum, a space, and the state as JSON.
const STATE: &str = "heatlens.state";

/// Returns the SHA-256 hash of a checkpoint's contents.
fn checksum(state: &str, arrays: &BTreeMap<&String, Vec<u8>>) -> String {
    let mut hash = Sha256::new();
    for (name, bytes) in arrays {
        hash.update(format!("{name}\0{}\0", bytes.len()));
        hash.update(bytes);
    }
    hash.update(state);
    hexadecimal(&hash.finalize())
}

impl Checkpoint {
    /// Writes the checkpoint atomically.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), TrainError> {
        let path = path.as_ref();
        let bytes: BTreeMap<&String, Vec<u8>> = self
            .arrays
            .iter()
            .map(|(name, v)| (name, v.iter().flat_map(|x| x.to_le_bytes()).collect()))
            .collect();
        let unusable = |reason: String| TrainError::Checkpoint { path: path.to_owned(), reason };
        let mut views = Vec::new();
        for (name, bytes) in &bytes {
            let view = TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes);
            views.push((name.as_str(), view.map_err(|e| unusable(e.to_string()))?));
        }
        let state = self.state.to_string();
        // A single entry, because several would be written in arbitrary order.
        let text = format!("{} {state}", checksum(&state, &bytes));
        let metadata = [(STATE.to_owned(), text)].into_iter().collect();
        let file = safetensors::serialize(views, Some(metadata)).map_err(|e| unusable(e.to_string()))?;
        write_atomically(path, &file).map_err(TrainError::writing(path))
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// If the file is missing, damaged, or not a checkpoint of heatlens.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, TrainError> {
        let path = path.as_ref();
        let unusable = |reason: String| TrainError::Checkpoint { path: path.to_owned(), reason };
        let bytes = fs::read(path).map_err(|e| unusable(format!("cannot read the checkpoint: {e}")))?;
        let damaged = |e: safetensors::SafeTensorError| unusable(format!("the checkpoint is damaged: {e}"));
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
        let text = header.metadata().as_ref().and_then(|m| m.get(STATE));
        let text = text.ok_or_else(|| unusable("not a checkpoint of heatlens".to_owned()))?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(damaged)?;
        let all = tensors.tensors();
        let contents = all.iter().map(|(name, view)| (name, view.data().to_vec())).collect();
        let known = text.split_once(' ').filter(|(sum, state)| *sum == checksum(state, &contents));
        let (_, state) =
            known.ok_or_else(|| unusable("the checkpoint is damaged: its checksum is wrong".to_owned()))?;
        let state =
            serde_json::from_str(state).map_err(|e| unusable(format!("the checkpoint is damaged: {e}")))?;
        let number = |b: &[u8]| b.try_into().map(f32::from_le_bytes).unwrap_or(f32::NAN);
        let array = |(name, view): (String, TensorView<'_>)| {
            (name, view.data().chunks_exact(4).map(number).collect())
        };
        Ok(Self { arrays: all.into_iter().map(array).collect(), state })
    }

    /// Adds arrays under a prefix.
    pub fn insert(&mut self, prefix: &str, arrays: &Arrays) {
        self.arrays.extend(arrays.iter().map(|(name, v)| (format!("{prefix}{name}"), v.clone())));
    }

    /// Returns the arrays under a prefix, with the prefix removed.
    #[must_use]
    pub fn group(&self, prefix: &str) -> Arrays {
        let own = |(name, v): (&String, &Vec<f32>)| Some((name.strip_prefix(prefix)?.to_owned(), v.clone()));
        self.arrays.iter().filter_map(own).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Checkpoint {
        let mut checkpoint = Checkpoint { state: serde_json::json!({"epoch": 3}), ..Checkpoint::default() };
        let odd = vec![f32::MIN_POSITIVE / 3.0, -0.0, 1.0e-38, std::f32::consts::PI];
        checkpoint.insert("weights/", &[("a".to_owned(), odd), ("b".to_owned(), Vec::new())].into());
        checkpoint.insert("moments/", &[("a".to_owned(), vec![1.0])].into());
        checkpoint
    }

    #[test]
    fn no_flipped_bit_is_believed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last.safetensors");
        sample().save(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 4;
            fs::write(&path, &bytes).unwrap();
            assert!(
                Checkpoint::load(&path).is_err_and(|e| e.to_string().contains("checkpoint")),
                "byte {at}"
            );
        }
    }

    #[test]
    fn every_bit_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last.safetensors");
        sample().save(&path).unwrap();
        let loaded = Checkpoint::load(&path).unwrap();
        assert_eq!(loaded, sample());
        assert!(loaded.group("weights/")["a"][1].is_sign_negative());
        assert_eq!(loaded.group("moments/").len(), 1);
    }

    #[test]
    fn damage_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last.safetensors");
        sample().save(&path).unwrap();
        let bytes = fs::read(&path).unwrap();
        for cut in [0, 7, 40, bytes.len() - 1] {
            fs::write(&path, &bytes[..cut]).unwrap();
            let error = Checkpoint::load(&path).unwrap_err().to_string();
            assert!(error.contains("last.safetensors"), "{error}");
        }
        assert!(Checkpoint::load(&folder.path().join("none")).is_err());
    }
}
