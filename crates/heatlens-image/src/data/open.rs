//! Opening of data sets from the user's paths.

use std::path::{Path, PathBuf};

use super::classes::assign;
use super::concat::Concat;
use super::sniff::{FileKind, sniff};
use super::walk::{below, left_out, list};
use super::{
    ArrayDataset, ArrayNumbers, DataError, Dataset, ImageFiles, Layout, Preprocessing, Resize, RowRange,
};

/// Options for opening data.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// Rows of an array to read; all if `None`.
    pub rows: Option<RowRange>,
    /// Axis order of an array; deduced if `None`.
    pub layout: Option<Layout>,
    /// Number of channels if `preprocessing` is `None`: images are converted, arrays must match.
    pub channels: Option<usize>,
    /// Target height and width of image files, and the resizing method, if `preprocessing` is `None`.
    pub size: Option<([usize; 2], Resize)>,
    /// Maximum number of pixels (height × width) of an image, if neither `size` nor `preprocessing` is given. Image
    /// files of different sizes are then resized to their median height and width, scaled down if necessary. `None`
    /// keeps the size of the images, which must be the same for all.
    pub max_pixels: Option<usize>,
    /// Preprocessing of the model; inferred from the data if `None`.
    pub preprocessing: Option<Preprocessing>,
    /// Class names of the model; taken from the data if `None`.
    pub class_names: Option<Vec<String>>,
    /// True if these names are placeholders of unnamed classes, to be replaced by those of class folders.
    pub names_assumed: bool,
    /// Arrays that are treated as pixels.
    pub numbers: ArrayNumbers,
}

impl OpenOptions {
    pub(super) fn channels(&self) -> Option<usize> {
        self.preprocessing.as_ref().map(|wanted| wanted.channels).or(self.channels)
    }
}

/// Opens training data, with a label for every item and at least two classes: a folder with one sub-folder per class,
/// an `.npz` with `X` and `y`, or `X.npy` (or its folder) with `y.npy`.
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

/// Opens files, folders and arrays for prediction or explanation, in the given order. Labels are known for arrays with
/// `y` and for sub-folders that match `options.class_names`, ignoring case. If these names are placeholders, they are
/// replaced by the names of as many class folders. Matched, guessed and omitted items are listed in the data set's
/// notes.
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
            // A file of unknown format is reported with its item, so that the others can still be processed.
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

/// Data sets opened so far, and files not yet part of one.
#[derive(Default)]
struct Opening {
    options: OpenOptions,
    parts: Vec<Box<dyn Dataset>>,
    files: Vec<(PathBuf, Option<usize>)>,
    notes: Vec<String>,
}

impl Opening {
    /// Turns the files collected so far into a data set, which preserves the order of inputs.
    fn flush(&mut self) -> Result<(), DataError> {
        if !self.files.is_empty() {
            let (files, notes) = (std::mem::take(&mut self.files), std::mem::take(&mut self.notes));
            let names = self.options.class_names.clone().unwrap_or_default();
            let part = ImageFiles::new(files, names, &self.options)?.with_notes(notes);
            self.parts.push(Box::new(part));
        }
        Ok(())
    }

    /// Adds the images of a folder, with their class if they are in class folders.
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
            reason: format!("rows can be picked from arrays only, and {} is not an array", path.display()),
        }),
    }
}
