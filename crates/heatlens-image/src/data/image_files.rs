//! Data sets of image files: class folders, or files and folders without labels.

use std::path::{Path, PathBuf};

use super::classes::{by_name, listed};
use super::image_file::{ImageShape, image_shape, read_original, read_with_original, read_within};
use super::naming::names_of_files;
use super::survey::survey;
use super::walk::{below, file_name, left_out, list};
use super::{DataError, Dataset, OpenOptions, Original, Preprocessing, Raster, Sample};

/// Image files, decoded on demand.
#[derive(Debug)]
pub struct ImageFiles {
    files: Vec<(PathBuf, Option<usize>)>,
    names: Vec<String>,
    class_names: Vec<String>,
    preprocessing: Preprocessing,
    /// Notes on the selection of files.
    notes: Vec<String>,
}

impl ImageFiles {
    /// Opens a folder with one sub-folder per class; the sorted names of the sub-folders are the classes. Files next to
    /// the sub-folders belong to no class and are omitted.
    ///
    /// Without `options.preprocessing`, `options.size` or `options.max_pixels` all images must have the same size, and
    /// the model has one channel if all of them are grey. With `options.class_names` the sub-folders must be among
    /// these names, which then determine the class numbers.
    pub fn open_classes(folder: impl AsRef<Path>, options: &OpenOptions) -> Result<Self, DataError> {
        let folder = folder.as_ref();
        let listing = list(folder)?;
        let folders: Vec<String> = listing.folders.iter().map(|folder| file_name(folder)).collect();
        if folders.is_empty() {
            let found = if listing.files.is_empty() { "an empty folder" } else { "files but no sub-folder" };
            return Err(DataError::OneClass { path: folder.to_path_buf(), found: found.to_owned() });
        }
        let class_names = options.class_names.clone().unwrap_or_else(|| folders.clone());
        let (mut files, mut others) = (Vec::new(), listing.others);
        for (folder, class) in listing.folders.iter().zip(by_name(&folders, &class_names)) {
            if class.is_none() {
                let reason = format!("this folder is not one of the classes {}", listed(&class_names));
                return Err(DataError::malformed(folder, reason));
            }
            let found = below(folder)?;
            if found.files.is_empty() {
                return Err(DataError::NoImages { path: folder.clone(), class: true });
            }
            files.extend(found.files.into_iter().map(|file| (file, class)));
            others.extend(found.others);
        }
        let mut data = Self::new(files, class_names, options)?;
        if let Some(first) = listing.files.first() {
            let (count, first) = (listing.files.len(), first.display());
            data.notes.push(format!(
                "images beside the class folders belong to no class and are left out: {first} ({count} in all)"
            ));
        }
        data.notes.extend(left_out(&others));
        Ok(data)
    }

    /// Opens files in this order, with their classes if known.
    pub(super) fn new(
        files: Vec<(PathBuf, Option<usize>)>,
        class_names: Vec<String>,
        options: &OpenOptions,
    ) -> Result<Self, DataError> {
        let preprocessing = match &options.preprocessing {
            Some(preprocessing) => preprocessing.clone(),
            None => common_shape(&files, options)?,
        };
        preprocessing.validate()?;
        let names = names_of_files(&files.iter().map(|(path, _)| path.as_path()).collect::<Vec<_>>());
        Ok(Self { files, names, class_names, preprocessing, notes: Vec::new() })
    }

    /// Adds notes on the selection of files.
    pub(super) fn with_notes(mut self, notes: Vec<String>) -> Self {
        self.notes.extend(notes);
        self
    }

    fn file(&self, item: usize) -> Result<&Path, DataError> {
        let file = self.files.get(item).ok_or(DataError::NoSuchItem { item, len: self.len() })?;
        Ok(&file.0)
    }

    /// Converts a decoded image to model input.
    fn sample(&self, raster: Raster) -> Result<Sample, DataError> {
        let (seen, pixels) = self.preprocessing.apply(raster)?;
        Ok(Sample { pixels, shape: self.shape(), display: seen.to_picture(0.0, 1.0) })
    }
}

impl Dataset for ImageFiles {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn name(&self, item: usize) -> String {
        self.names.get(item).cloned().unwrap_or_default()
    }

    fn source(&self, item: usize) -> String {
        self.file(item).map_or_else(|_| String::new(), |path| path.display().to_string())
    }

    fn index(&self, item: usize) -> usize {
        item
    }

    fn label(&self, item: usize) -> Option<usize> {
        self.files.get(item)?.1
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    fn notes(&self) -> Vec<String> {
        let changes = survey(&self.files, &self.preprocessing);
        self.notes.iter().cloned().chain(changes).collect()
    }

    fn original_size(&self, item: usize) -> Result<[usize; 2], DataError> {
        image_shape(self.file(item)?).map(|shape| [shape.height, shape.width])
    }

    fn load(&self, item: usize) -> Result<Sample, DataError> {
        let (raster, _room) = read_within(self.file(item)?)?;
        self.sample(raster)
    }

    fn original(&self, item: usize) -> Result<Original, DataError> {
        read_original(self.file(item)?)
    }

    fn load_with_original(&self, item: usize) -> Result<(Sample, Original), DataError> {
        let (raster, original) = read_with_original(self.file(item)?)?;
        Ok((self.sample(raster)?, original))
    }
}

/// Returns the shape that all readable files share, or the common one requested by the options; it is never guessed if
/// sizes differ.
fn common_shape(
    files: &[(PathBuf, Option<usize>)],
    options: &OpenOptions,
) -> Result<Preprocessing, DataError> {
    let mut common: Option<(ImageShape, &Path)> = None;
    let mut first_error = None;
    let mut sizes = Vec::new();
    for (path, _) in files {
        let shape = match image_shape(path) {
            Ok(shape) => shape,
            // The error is reported again when the file is loaded; one broken file must not hide the others.
            Err(error) => {
                first_error.get_or_insert(error);
                continue;
            }
        };
        sizes.push([shape.height, shape.width]);
        let (known, first) = common.get_or_insert((shape, path));
        if options.size.is_none()
            && options.max_pixels.is_none()
            && (known.height, known.width) != (shape.height, shape.width)
        {
            let found = format!(
                "not given, and the pictures differ: {} is {} × {} (height × width), {} is {} × {}",
                first.display(),
                known.height,
                known.width,
                path.display(),
                shape.height,
                shape.width
            );
            let expected = "one size for all; choose it with --size, e.g. --size 224".to_owned();
            return Err(DataError::Preprocessing { key: "size".to_owned(), found, expected });
        }
        known.colour |= shape.colour;
    }
    let Some((shape, _)) = common else {
        return Err(first_error
            .unwrap_or_else(|| DataError::NoImages { path: PathBuf::from("the input"), class: false }));
    };
    let channels = options.channels.unwrap_or(if shape.colour { 3 } else { 1 });
    let native = Preprocessing::new([channels, shape.height, shape.width]);
    Ok(match (options.size, options.max_pixels) {
        (Some(([height, width], resize)), _) => Preprocessing { height, width, resize, ..native },
        (None, Some(most)) => {
            let [height, width] = fitted(&sizes, most);
            Preprocessing { height, width, ..native }
        }
        (None, None) => native,
    })
}

/// Returns the median height and width, scaled down to at most `most` pixels.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sides of pictures, at least 1")]
#[expect(clippy::cast_precision_loss, reason = "sides of pictures are small")]
fn fitted(sizes: &[[usize; 2]], most: usize) -> [usize; 2] {
    let [height, width] = [0, 1].map(|axis| {
        let mut sides: Vec<usize> = sizes.iter().map(|size| size[axis]).collect();
        sides.sort_unstable();
        sides.get(sides.len() / 2).copied().unwrap_or(1)
    });
    let factor = (most as f64 / (height as f64 * width as f64)).sqrt().min(1.0);
    [height, width].map(|side| ((side as f64 * factor).floor() as usize).max(1))
}

#[cfg(test)]
mod tests {
    use super::fitted;

    #[test]
    fn sizes_are_fitted() {
        assert_eq!(fitted(&[[96, 128]; 3], 1 << 14), [96, 128]);
        assert_eq!(fitted(&[[900, 1200]; 3], 1 << 14), [110, 147]);
        assert_eq!(fitted(&[[10, 30], [50, 20], [30, 90]], 1 << 14), [30, 30]);
        assert_eq!(fitted(&[[1, 100_000]], 1 << 14), [1, 40_477]);
    }
}
