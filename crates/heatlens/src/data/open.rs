//! From the paths a person types to a data set.

use std::path::{Path, PathBuf};

use super::classes::assign;
use super::concat::Concat;
use super::sniff::{FileKind, sniff};
use super::walk::{below, left_out, list};
use super::{
    ArrayDataset, ArrayNumbers, DataError, Dataset, ImageFiles, Layout, Preprocessing, Resize, RowRange,
};

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
    /// Most pixels (height × width) of an image where neither `size` nor `preprocessing` is given. Picture files of
    /// different sizes are then brought to their median height and width, and what is larger is scaled down. `None`
    /// keeps the pictures' size, which must then be one.
    pub max_pixels: Option<usize>,
    /// The model's input; taken from the data if not given.
    pub preprocessing: Option<Preprocessing>,
    /// The model's classes; taken from the data if not given.
    pub class_names: Option<Vec<String>>,
    /// Whether these names are mere numbers for classes without names, which those of class folders may replace.
    pub names_assumed: bool,
    /// Which arrays hold pixels.
    pub numbers: ArrayNumbers,
}

impl OpenOptions {
    pub(super) fn channels(&self) -> Option<usize> {
        self.preprocessing.as_ref().map(|wanted| wanted.channels).or(self.channels)
    }
}

/// Opens data to train on, every item labelled and of at least two classes: a folder with one sub-folder for each
/// class, an `.npz` with `X` and `y`, or `X.npy` (or its folder) with `y.npy`.
pub fn open_training(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Box<dyn Dataset>, DataError> {
    let path = path.as_ref();
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
/// and for sub-folders called as `options.class_names`, up to case. Where these are mere numbers, the names of as many
/// class folders take their place. What is matched, guessed or left out is in the data set's notes.
pub fn open_inputs(paths: &[impl AsRef<Path>], options: &OpenOptions) -> Result<Box<dyn Dataset>, DataError> {
    let mut opening = Opening { options: options.clone(), ..Opening::default() };
    for path in paths.iter().map(AsRef::as_ref) {
        if path.is_dir() && !path.join("X.npy").is_file() {
            opening.folder(path)?;
        } else if path.is_dir()
            || !matches!(sniff(path), Ok(FileKind::Image(_)) | Err(DataError::UnknownFormat { .. }))
        {
            opening.flush()?;
            opening.parts.push(open_array(path, &opening.options)?);
        } else {
            // An unknown file is reported with its item: the others can still be done.
            opening.files.push((path.to_path_buf(), None));
        }
    }
    if opening.parts.is_empty() {
        let first = paths.first().map_or(Path::new("the input"), AsRef::as_ref);
        no_rows(first, options)?;
    }
    opening.flush()?;
    let mut parts = opening.parts;
    match parts.len() {
        0 => Err(DataError::NoImages { path: PathBuf::from("the input"), class: false }),
        1 => Ok(parts.remove(0)),
        _ => Ok(Box::new(Concat::new(parts)?)),
    }
}

/// Data sets opened so far, and files that are not yet part of one.
#[derive(Default)]
struct Opening {
    options: OpenOptions,
    parts: Vec<Box<dyn Dataset>>,
    files: Vec<(PathBuf, Option<usize>)>,
    notes: Vec<String>,
}

impl Opening {
    /// Turns the files gathered so far into a data set, so that the order of inputs is kept.
    fn flush(&mut self) -> Result<(), DataError> {
        if !self.files.is_empty() {
            let (files, notes) = (std::mem::take(&mut self.files), std::mem::take(&mut self.notes));
            let names = self.options.class_names.clone().unwrap_or_default();
            let part = ImageFiles::new(files, names, &self.options)?.with_notes(notes);
            self.parts.push(Box::new(part));
        }
        Ok(())
    }

    /// Adds the pictures of a folder: those of class folders with their class, all others without.
    fn folder(&mut self, folder: &Path) -> Result<(), DataError> {
        let listing = list(folder)?;
        let names = self.options.class_names.clone().unwrap_or_default();
        let classes = assign(folder, &listing.folders, &names, self.options.names_assumed)?;
        if let Some(names) = classes.names {
            self.options.class_names = Some(names);
            self.options.names_assumed = false;
        }
        let before = self.files.len();
        if classes.of.iter().any(Option::is_some) {
            let mut others = listing.others;
            for (class_folder, class) in listing.folders.iter().zip(classes.of) {
                let found = below(class_folder)?;
                self.files.extend(found.files.into_iter().map(|file| (file, class)));
                others.extend(found.others);
            }
            self.files.extend(listing.files.into_iter().map(|file| (file, None)));
            self.notes.extend(left_out(&others));
        } else {
            let found = below(folder)?;
            self.files.extend(found.files.into_iter().map(|file| (file, None)));
            self.notes.extend(left_out(&found.others));
        }
        self.notes.extend(classes.notes);
        if self.files.len() == before {
            return Err(DataError::NoImages { path: folder.to_path_buf(), class: false });
        }
        Ok(())
    }
}

fn open_array(path: &Path, options: &OpenOptions) -> Result<Box<dyn Dataset>, DataError> {
    let folder_array = path.join("X.npy");
    let path = if path.is_dir() { folder_array.as_path() } else { path };
    if let Some(([height, width], _)) = options.size {
        return Err(DataError::Preprocessing {
            key: "size".to_owned(),
            found: format!("{height} × {width} for the array {}", path.display()),
            expected: "no --size: arrays are not resized".to_owned(),
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
