//! The images of a training run, in memory.

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::data::{Dataset, Preprocessing, Split};
use crate::report::hexadecimal;
use crate::train::TrainError;

/// Maximum memory of the images: 8 GiB.
const MAX_BYTES: usize = 8 << 30;

/// Images, labels and split.
#[derive(Clone, Debug)]
pub struct TrainingSet {
    /// Pixels of all images, shape `n c h w`.
    pub images: Vec<f32>,
    /// Label of each image.
    pub labels: Vec<usize>,
    /// Class names.
    pub class_names: Vec<String>,
    /// Preprocessing of image files.
    pub preprocessing: Preprocessing,
    /// Indices of the training images.
    pub train: Vec<usize>,
    /// Indices of the validation images.
    pub validation: Vec<usize>,
    /// Source and reason of each unreadable image; these are left out.
    pub broken: Vec<(String, String)>,
}

impl TrainingSet {
    /// Reads all of `data` and holds out a share of it.
    ///
    /// # Errors
    /// If the images need too much memory, or cannot be split.
    pub fn new(data: &dyn Dataset, split: Split, fraction: f64, seed: u64) -> Result<Self, TrainError> {
        Self::split_by(data, |_| (split, fraction), seed)
    }

    /// Like [`new`](Self::new), but with the split that `split` returns for the number of images per class.
    ///
    /// # Errors
    /// Like [`new`](Self::new).
    pub fn split_by(
        data: &dyn Dataset,
        split: impl FnOnce(&[usize]) -> (Split, f64),
        seed: u64,
    ) -> Result<Self, TrainError> {
        let mut set = Self::read(data)?;
        let (split, fraction) = split(&set.counts());
        if fraction != 0.0 {
            let split = split.apply(&set.labels, fraction, seed)?;
            set.train = split.train;
            set.validation = split.validation;
        }
        Ok(set)
    }

    /// Reads all of `data` for training and all of `validation` for validation.
    ///
    /// # Errors
    /// If the images need too much memory, or the two differ in shape or classes.
    pub fn with_validation(data: &dyn Dataset, validation: &dyn Dataset) -> Result<Self, TrainError> {
        if data.shape() != validation.shape() || data.class_names() != validation.class_names() {
            return Err(TrainError::Setting(format!(
                "the validation data are {:?} images of classes {}, the training data {:?} of {}",
                validation.shape(),
                validation.class_names().join(", "),
                data.shape(),
                data.class_names().join(", ")
            )));
        }
        let (mut set, other) = (Self::read(data)?, Self::read(validation)?);
        set.validation = (set.labels.len()..set.labels.len() + other.labels.len()).collect();
        set.images.extend(other.images);
        set.labels.extend(other.labels);
        set.broken.extend(other.broken);
        Ok(set)
    }

    /// Returns the number of values per image.
    #[must_use]
    pub fn image_len(&self) -> usize {
        self.preprocessing.shape().iter().product()
    }

    /// Returns the pixels of one image.
    #[must_use]
    pub fn image(&self, position: usize) -> &[f32] {
        let len = self.image_len();
        &self.images[position * len..(position + 1) * len]
    }

    /// Returns the number of training images per class.
    #[must_use]
    pub fn class_counts(&self) -> Vec<usize> {
        self.count(self.train.iter().map(|&i| self.labels[i]))
    }

    /// Returns the total number of images per class.
    #[must_use]
    pub fn counts(&self) -> Vec<usize> {
        self.count(self.labels.iter().copied())
    }

    fn count(&self, labels: impl Iterator<Item = usize>) -> Vec<usize> {
        let mut counts = vec![0; self.class_names.len()];
        labels.for_each(|label| counts[label] += 1);
        counts
    }

    /// Returns the SHA-256 hash of pixels, labels, class names and split, to identify data sets. It takes a second
    /// per one or two gigabytes.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for some in self.images.chunks(1 << 14) {
            hash.update(some.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
        }
        for list in [&self.labels, &self.train, &self.validation] {
            hash.update((list.len() as u64).to_le_bytes());
            list.iter().for_each(|&v| hash.update((v as u64).to_le_bytes()));
        }
        hash.update(self.class_names.join("\n"));
        hexadecimal(&hash.finalize())
    }

    fn read(data: &dyn Dataset) -> Result<Self, TrainError> {
        let len: usize = data.shape().iter().product();
        let bytes = data.len().checked_mul(len).and_then(|n| n.checked_mul(size_of::<f32>()));
        if bytes.is_none_or(|b| b > MAX_BYTES) {
            return Err(TrainError::Setting(format!(
                "{} images of {:?} need more than 8 GiB of memory; make them smaller with --size",
                data.len(),
                data.shape()
            )));
        }
        let loaded: Vec<_> = (0..data.len()).into_par_iter().map(|i| (i, data.load(i))).collect();
        let mut set = Self {
            images: Vec::with_capacity(data.len() * len),
            labels: Vec::new(),
            class_names: data.class_names().to_vec(),
            preprocessing: data.preprocessing().clone(),
            train: Vec::new(),
            validation: Vec::new(),
            broken: Vec::new(),
        };
        for (item, sample) in loaded {
            match (sample, data.label(item)) {
                (Ok(sample), Some(label)) => {
                    set.images.extend(sample.pixels);
                    set.labels.push(label);
                }
                (Ok(_), None) => set.broken.push((data.source(item), "has no label".to_owned())),
                (Err(reason), _) => set.broken.push((data.source(item), reason.to_string())),
            }
        }
        set.train = (0..set.labels.len()).collect();
        Ok(set)
    }
}
