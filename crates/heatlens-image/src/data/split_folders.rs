//! Folders of data sets that are split already: `train/`, `val/` and `test/`, each with one sub-folder per class.

use std::path::{Path, PathBuf};

use super::DataError;
use super::walk::{file_name, list};

const TRAIN: [&str; 2] = ["train", "training"];
const VALIDATION: [&str; 5] = ["val", "valid", "validation", "dev", "eval"];
const TEST: [&str; 2] = ["test", "testing"];

/// Parts of a data set that was split by its author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitFolders {
    /// Folder of the training images.
    pub train: PathBuf,
    /// Folder of the validation images, evaluated during training.
    pub validation: Option<PathBuf>,
    /// Folder of the test images, not used in training.
    pub test: Option<PathBuf>,
    /// Sub-folders with other names, which belong to none of the parts.
    pub others: Vec<PathBuf>,
}

impl SplitFolders {
    /// Returns the parts if `folder` has a sub-folder for training and one for validation or testing, ignoring the case
    /// of their names. Returns `None` for everything else: class folders, files, arrays.
    ///
    /// # Errors
    /// If the folder cannot be read, or if its parts hold images but no class folders: `train` and `val` would then be
    /// taken for two classes.
    pub fn find(folder: impl AsRef<Path>) -> Result<Option<Self>, DataError> {
        let folder = folder.as_ref();
        if !folder.is_dir() || folder.join("X.npy").is_file() {
            return Ok(None);
        }
        let (mut train, mut validation, mut test, mut others) = (None, None, None, Vec::new());
        for path in list(folder)?.folders {
            let name = file_name(&path).to_lowercase();
            let is = |names: &[&str]| names.contains(&name.as_str());
            match () {
                () if is(&TRAIN) && train.is_none() => train = Some(path),
                () if is(&VALIDATION) && validation.is_none() => validation = Some(path),
                () if is(&TEST) && test.is_none() => test = Some(path),
                () => others.push(path),
            }
        }
        let Some(train) = train.filter(|_| validation.is_some() || test.is_some()) else { return Ok(None) };
        if list(&train)?.folders.is_empty() {
            let beside = validation.as_deref().or(test.as_deref()).map(file_name).unwrap_or_default();
            let reason = format!(
                "{}/ and {beside}/ look like the parts of a split data set, but {}/ has no sub-folders; put one folder \
                 for each class into each part, or rename the folders if these are the two classes",
                file_name(&train),
                file_name(&train)
            );
            return Err(DataError::malformed(folder, reason));
        }
        Ok(Some(Self { train, validation, test, others }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn folder(parts: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for part in parts {
            fs::create_dir_all(folder.path().join(part)).unwrap();
        }
        folder
    }

    #[test]
    fn a_split_is_known_by_its_names() {
        let data = folder(&["Train/ok", "Train/defect", "valid/ok", "valid/defect", "test/ok", "raw"]);
        let found = SplitFolders::find(data.path()).unwrap().unwrap();
        assert_eq!(found.train, data.path().join("Train"));
        assert_eq!(found.validation, Some(data.path().join("valid")));
        assert_eq!(found.test, Some(data.path().join("test")));
        assert_eq!(found.others, [data.path().join("raw")]);
        let without = folder(&["training/a", "training/b", "testing/a"]);
        assert_eq!(SplitFolders::find(without.path()).unwrap().unwrap().validation, None);
    }

    #[test]
    fn class_folders_are_no_split() {
        for parts in
            [&["ok", "defect"][..], &["train", "bus", "car"], &["train/a", "bus/a"], &["val/a", "test/a"]]
        {
            let data = folder(parts);
            assert_eq!(SplitFolders::find(data.path()).unwrap(), None, "{parts:?}");
        }
    }

    #[test]
    fn parts_without_classes_are_refused() {
        let data = folder(&["train", "val"]);
        let message = SplitFolders::find(data.path()).unwrap_err().to_string();
        assert!(message.contains("one folder for each class"), "{message}");
    }
}
