//! Additional data sets: images in memory, and a selection of another data set.

use std::sync::Arc;

use heatlens::Model;
use heatlens::data::{DataError, Dataset, Original, Preprocessing, Raster, Sample, changes_to};

/// Images in memory, preprocessed like image files.
#[derive(Debug)]
pub(crate) struct Pictures {
    images: Vec<Raster>,
    class_names: Vec<String>,
    preprocessing: Preprocessing,
}

impl Pictures {
    pub(crate) fn new(images: Vec<Raster>, model: &Model) -> Self {
        let (class_names, preprocessing) = (model.class_names.clone(), model.preprocessing.clone());
        Self { images, class_names, preprocessing }
    }

    fn image(&self, item: usize) -> Result<&Raster, DataError> {
        self.images.get(item).ok_or(DataError::NoSuchItem { item, len: self.images.len() })
    }
}

impl Dataset for Pictures {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn name(&self, item: usize) -> String {
        format!("x_{item:04}")
    }

    fn source(&self, item: usize) -> String {
        format!("x[{item}]")
    }

    fn index(&self, item: usize) -> usize {
        item
    }

    fn label(&self, _: usize) -> Option<usize> {
        None
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// Returns notes on the preprocessing of the images, without duplicates.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for note in self.images.iter().flat_map(|image| changes_to(image, &self.preprocessing)) {
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
        notes
    }

    fn original_size(&self, item: usize) -> Result<[usize; 2], DataError> {
        self.image(item).map(|image| [image.height, image.width])
    }

    fn load(&self, item: usize) -> Result<Sample, DataError> {
        let (seen, pixels) = self.preprocessing.apply(self.image(item)?.clone())?;
        Ok(Sample { pixels, shape: self.shape(), display: seen.to_picture(0.0, 1.0) })
    }

    fn original(&self, item: usize) -> Result<Original, DataError> {
        Ok(Original { picture: self.image(item)?.to_picture(0.0, 1.0), lossy: false, room: None })
    }
}

/// Selected images of a data set.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) of: Arc<dyn Dataset>,
    pub(crate) items: Vec<usize>,
}

impl Chosen {
    /// Returns the index in the whole data set; an invalid index remains invalid.
    fn at(&self, item: usize) -> usize {
        self.items.get(item).copied().unwrap_or(usize::MAX)
    }
}

impl Dataset for Chosen {
    fn len(&self) -> usize {
        self.items.len()
    }

    fn name(&self, item: usize) -> String {
        self.of.name(self.at(item))
    }

    fn source(&self, item: usize) -> String {
        self.of.source(self.at(item))
    }

    fn index(&self, item: usize) -> usize {
        self.of.index(self.at(item))
    }

    fn label(&self, item: usize) -> Option<usize> {
        self.of.label(self.at(item))
    }

    fn class_names(&self) -> &[String] {
        self.of.class_names()
    }

    fn preprocessing(&self) -> &Preprocessing {
        self.of.preprocessing()
    }

    fn notes(&self) -> Vec<String> {
        self.of.notes()
    }

    fn original_size(&self, item: usize) -> Result<[usize; 2], DataError> {
        self.of.original_size(self.at(item))
    }

    fn load(&self, item: usize) -> Result<Sample, DataError> {
        self.of.load(self.at(item))
    }

    fn original(&self, item: usize) -> Result<Original, DataError> {
        self.of.original(self.at(item))
    }

    fn load_with_original(&self, item: usize) -> Result<(Sample, Original), DataError> {
        self.of.load_with_original(self.at(item))
    }
}
