//! From the paths a person types to a data set.

use std::path::{Path, PathBuf};

use super::concat::Concat;
use super::sniff::{FileKind, sniff};
use super::walk::{file_name, files_below, list};
use super::{ArrayDataset, DataError, Dataset, ImageFiles, Layout, Preprocessing, Resize, RowRange};

/// What is known before data are opened.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// Rows of an array to take; all if not given.
    pub rows: Option<RowRange>,
    /// The axes of an array; deduced if not given.
    pub layout: Option<Layout>,
    /// Channels wanted where `preprocessing` is not given: pictures are converted, arrays must have them.
    pub channels: Option<usize>,
    /// Height and width that picture files are brought to, and how, where `preprocessing` is not given.
    pub size: Option<([usize; 2], Resize)>,
    /// The model's input; taken from the data if not given.
    pub preprocessing: Option<Preprocessing>,
    /// The model's classes; taken from the data if not given.
    pub class_names: Option<Vec<String>>,
}

impl OpenOptions {
    pub(super) fn channels(&self) -> Option<usize> {
        self.preprocessing.as_ref().map(|wanted| wanted.channels).or(self.channels)
    }
}

/// Opens data to train on, every item labelled and of at least two classes: a folder with one sub-folder for each
/// class, an `.npz` with `X` and `y`, or `X.npy` (or its folder) with `y.npy`.
pub fn open_training(path: &Path, options: &OpenOptions) -> Result<Box<dyn Dataset>, DataError> {
    let data: Box<dyn Dataset> = if path.is_dir() && !path.join("X.npy").is_file() {
        no_rows(path, options)?;
        Box::new(ImageFiles::open_classes(path, options)?)
    } else {
        open_array(path, options)?
    };
    let mut present: Vec<usize> = (0..data.len()).filter_map(|item| data.label(item)).collect();
    if present.len() < data.len() {
        return Err(DataError::malformed(path, "no labels: expected y in the .npz, or y.npy beside X.npy"));
    }
    present.sort_unstable();
    present.dedup();
    match present[..] {
        [] => Err(DataError::NoImages { path: path.to_path_buf(), class: false }),
        [class] => {
            let name = data.class_names().get(class).cloned().unwrap_or_default();
            Err(DataError::OneClass { path: path.to_path_buf(), found: format!("only class \"{name}\"") })
        }
        _ => Ok(data),
    }
}

/// Opens files, folders and arrays to predict or explain, in the order given. Labels are known for arrays with `y`
/// and for folders whose sub-folders all have names of `options.class_names`.
pub fn open_inputs(paths: &[PathBuf], options: &OpenOptions) -> Result<Box<dyn Dataset>, DataError> {
    let mut parts: Vec<Box<dyn Dataset>> = Vec::new();
    let mut files: Vec<(PathBuf, Option<usize>)> = Vec::new();
    let names = options.class_names.clone().unwrap_or_default();
    for path in paths {
        if path.is_dir() && !path.join("X.npy").is_file() {
            files.extend(folder_files(path, &names)?);
        } else if path.is_dir()
            || !matches!(sniff(path), Ok(FileKind::Image(_)) | Err(DataError::UnknownFormat { .. }))
        {
            flush(&mut files, &mut parts, &names, options)?;
            parts.push(open_array(path, options)?);
        } else {
            // An unknown file is reported with its item: the others can still be done.
            files.push((path.clone(), None));
        }
    }
    if parts.is_empty() {
        let first = paths.first().map_or(Path::new("the input"), PathBuf::as_path);
        no_rows(first, options)?;
    }
    flush(&mut files, &mut parts, &names, options)?;
    match parts.len() {
        0 => Err(DataError::NoImages { path: PathBuf::from("the input"), class: false }),
        1 => Ok(parts.remove(0)),
        _ => Ok(Box::new(Concat::new(parts)?)),
    }
}

/// Turns the files gathered so far into a data set, so that the order of inputs is kept.
fn flush(
    files: &mut Vec<(PathBuf, Option<usize>)>,
    parts: &mut Vec<Box<dyn Dataset>>,
    names: &[String],
    options: &OpenOptions,
) -> Result<(), DataError> {
    if !files.is_empty() {
        parts.push(Box::new(ImageFiles::new(std::mem::take(files), names.to_vec(), options)?));
    }
    Ok(())
}

fn folder_files(folder: &Path, names: &[String]) -> Result<Vec<(PathBuf, Option<usize>)>, DataError> {
    let class_of = |folder: &PathBuf| names.iter().position(|name| *name == file_name(folder));
    let folders = list(folder)?.folders;
    let labelled = !folders.is_empty() && folders.iter().all(|folder| class_of(folder).is_some());
    let mut files = Vec::new();
    if labelled {
        for class_folder in &folders {
            files.extend(files_below(class_folder)?.into_iter().map(|file| (file, class_of(class_folder))));
        }
    } else {
        files.extend(files_below(folder)?.into_iter().map(|file| (file, None)));
    }
    if files.is_empty() {
        return Err(DataError::NoImages { path: folder.to_path_buf(), class: false });
    }
    Ok(files)
}

fn open_array(path: &Path, options: &OpenOptions) -> Result<Box<dyn Dataset>, DataError> {
    let folder_array = path.join("X.npy");
    let path = if path.is_dir() { folder_array.as_path() } else { path };
    if let Some(([height, width], _)) = options.size {
        return Err(DataError::Preprocessing {
            key: "size".to_owned(),
            found: format!("{height} × {width} for the array {}", path.display()),
            expected: "no --size: arrays go in as they are".to_owned(),
        });
    }
    match sniff(path)? {
        FileKind::Npy => Ok(Box::new(ArrayDataset::open_npy(path, options)?)),
        FileKind::Npz => Ok(Box::new(ArrayDataset::open_npz(path, options)?)),
        FileKind::Image(_) => Err(DataError::malformed(
            path,
            "a single picture cannot be trained on; expected a folder with one sub-folder for each class, an .npz or X.npy",
        )),
    }
}

fn no_rows(path: &Path, options: &OpenOptions) -> Result<(), DataError> {
    match options.rows {
        None => Ok(()),
        Some(rows) => Err(DataError::Rows {
            text: rows.to_string(),
            reason: format!("rows can be picked from arrays only, and {} is none", path.display()),
        }),
    }
}
