//! Data sets of picture files: class folders, or files and folders without labels.

use std::path::{Path, PathBuf};

use super::image_file::{ImageShape, image_shape};
use super::walk::{file_name, files_below, list};
use super::{DataError, Dataset, OpenOptions, Preprocessing, Sample, read_image, safe_stem};

/// Picture files, decoded when asked for.
#[derive(Debug)]
pub struct ImageFiles {
    files: Vec<(PathBuf, Option<usize>)>,
    class_names: Vec<String>,
    preprocessing: Preprocessing,
}

impl ImageFiles {
    /// Opens a folder with one sub-folder for each class; the sub-folders' sorted names are the classes. Files
    /// beside the sub-folders belong to no class and are ignored.
    ///
    /// Without `options.preprocessing` or `options.size` the pictures must have one size, and a model of one channel is meant if all
    /// are grey. With `options.class_names` the sub-folders must be among these, in whose order they are numbered.
    pub fn open_classes(folder: &Path, options: &OpenOptions) -> Result<Self, DataError> {
        let listing = list(folder)?;
        let class_names: Vec<String> = listing.folders.iter().map(|folder| file_name(folder)).collect();
        if class_names.is_empty() {
            let found = if listing.files.is_empty() { "an empty folder" } else { "files but no sub-folder" };
            return Err(DataError::OneClass { path: folder.to_path_buf(), found: found.to_owned() });
        }
        let class_names = options.class_names.clone().unwrap_or(class_names);
        let mut files = Vec::new();
        for folder in &listing.folders {
            let name = file_name(folder);
            let class = class_names.iter().position(|class| *class == name);
            if class.is_none() {
                let reason = format!("this folder is none of the classes {}", class_names.join(", "));
                return Err(DataError::malformed(folder, reason));
            }
            let found = files_below(folder)?;
            if found.is_empty() {
                return Err(DataError::NoImages { path: folder.clone(), class: true });
            }
            files.extend(found.into_iter().map(|file| (file, class)));
        }
        Self::new(files, class_names, options)
    }

    /// Opens files with their classes where known, in this order.
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
        Ok(Self { files, class_names, preprocessing })
    }

    fn file(&self, item: usize) -> Option<&Path> {
        self.files.get(item).map(|(path, _)| path.as_path())
    }
}

impl Dataset for ImageFiles {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn name(&self, item: usize) -> String {
        format!("{}_{item}", safe_stem(self.file(item).unwrap_or(Path::new(""))))
    }

    fn source(&self, item: usize) -> String {
        self.file(item).map(|path| path.display().to_string()).unwrap_or_default()
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

    fn original_size(&self, item: usize) -> Result<[usize; 2], DataError> {
        let path = self.file(item).ok_or(DataError::NoSuchItem { item, len: self.len() })?;
        image_shape(path).map(|shape| [shape.height, shape.width])
    }

    fn load(&self, item: usize) -> Result<Sample, DataError> {
        let path = self.file(item).ok_or(DataError::NoSuchItem { item, len: self.len() })?;
        let (seen, pixels) = self.preprocessing.apply(read_image(path)?)?;
        Ok(Sample { pixels, shape: self.shape(), display: seen.to_picture(0.0, 1.0) })
    }
}

/// The shape that all readable files share: never a guess among several.
fn common_shape(
    files: &[(PathBuf, Option<usize>)],
    options: &OpenOptions,
) -> Result<Preprocessing, DataError> {
    let mut common: Option<(ImageShape, &Path)> = None;
    let mut first_error = None;
    for (path, _) in files {
        let shape = match image_shape(path) {
            Ok(shape) => shape,
            // Told again when the file is loaded; one broken file must not hide the others.
            Err(error) => {
                first_error.get_or_insert(error);
                continue;
            }
        };
        let (known, first) = common.get_or_insert((shape, path));
        if options.size.is_none() && (known.height, known.width) != (shape.height, shape.width) {
            let found = format!(
                "not given, and the pictures differ: {} is {} × {} (height × width), {} is {} × {}",
                first.display(),
                known.height,
                known.width,
                path.display(),
                shape.height,
                shape.width
            );
            let expected = "one size for all; say it with --size, e.g. --size 224".to_owned();
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
    Ok(match options.size {
        Some(([height, width], resize)) => Preprocessing { height, width, resize, ..native },
        None => native,
    })
}
