//! User's settings of a model's input and classes, and opening of data for a model.

use std::path::Path;

use crate::data::{ArrayNumbers, DataError, Dataset, OpenOptions, Preset, Resize, Scale, open_inputs};
use crate::model::{Model, ModelError};

/// Note for models whose preprocessing is unknown.
const ASSUMED: &str = "the file does not say how images are prepared: image files and arrays of integers go in as 0…1 (--preset changes that)";

/// User's settings for preprocessing that a model file lacks or states incorrectly. Settings that are not given keep
/// the values of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preparation {
    /// Resizing of images of another shape.
    pub resize: Option<Resize>,
    /// Height and width of the centre crop after the shorter side was resized. They must equal the model's input size.
    pub crop: Option<[usize; 2]>,
    /// Preset of scale, mean, standard deviation and channel order; the fields below override parts of it.
    pub preset: Option<Preset>,
    /// Factor on pixels from 0 to 1.
    pub scale: Option<Scale>,
    /// Values subtracted after scaling: none, one for all channels, or one per channel.
    pub mean: Vec<f32>,
    /// Divisors applied after subtracting the mean: none, one for all channels, or one per channel.
    pub std: Vec<f32>,
}

impl Preparation {
    /// True if the settings determine the range of pixels.
    fn sets_values(&self) -> bool {
        self.preset.is_some() || self.scale.is_some() || !self.mean.is_empty() || !self.std.is_empty()
    }
}

impl Model {
    /// Applies the user's settings. Adds a note if the preprocessing of the model is still unknown.
    ///
    /// # Errors
    /// If a preset, mean or standard deviation does not fit the number of channels or is invalid. The model is then
    /// unchanged.
    pub fn prepare(&mut self, wanted: &Preparation) -> Result<(), ModelError> {
        let mut settings = self.preprocessing.clone();
        if let Some(preset) = wanted.preset {
            preset.apply(&mut settings).map_err(ModelError::Preparation)?;
        }
        settings.resize = wanted.resize.unwrap_or(settings.resize);
        if let Some([height, width]) = wanted.crop.filter(|size| *size != [settings.height, settings.width]) {
            return Err(ModelError::Preparation(DataError::Preprocessing {
                key: "crop".to_owned(),
                found: format!("{height} × {width}"),
                expected: format!("the model's own size, {} × {}", settings.height, settings.width),
            }));
        }
        match wanted.scale {
            Some(Scale::Factor(factor)) => settings.scale = factor,
            Some(Scale::Raw) => settings.scale = 255.0,
            None => {}
        }
        for (given, target) in [(&wanted.mean, &mut settings.mean), (&wanted.std, &mut settings.std)] {
            match given.as_slice() {
                [] => {}
                &[value] => *target = vec![value; settings.channels],
                values => *target = values.to_vec(),
            }
        }
        settings.validate().map_err(ModelError::Preparation)?;
        self.preprocessing = settings;
        if wanted.sets_values() {
            self.arrays = ArrayNumbers::Pixels;
        }
        if wanted.scale == Some(Scale::Raw) {
            self.arrays = ArrayNumbers::Raw;
        }
        self.described |= wanted.sets_values() || wanted.resize.is_some();
        self.notes = self.notes();
        Ok(())
    }

    /// Returns the model with a preset's range, mean, standard deviation and channel order.
    ///
    /// # Errors
    /// If the preset does not fit the number of channels.
    pub fn with_preset(mut self, preset: Preset) -> Result<Self, ModelError> {
        self.prepare(&Preparation { preset: Some(preset), ..Preparation::default() })?;
        Ok(self)
    }

    /// Returns notes for the user on the interpretation of the file, including one on unknown preprocessing, if it is.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let known = self.notes.iter().filter(|note| *note != ASSUMED).cloned();
        known.chain(self.preprocessing_assumed().then(|| ASSUMED.to_owned())).collect()
    }

    /// True if range and mean of pixels are an assumption: they are not given by the file or the user, and do not
    /// follow from arithmetic at the beginning of the graph. A low accuracy may then be due to the assumption.
    #[must_use]
    pub fn preprocessing_assumed(&self) -> bool {
        self.arrays == ArrayNumbers::IntegerPixels && self.own_scaling.is_none()
    }

    /// Opens images for this model with further `options`, such as the rows of arrays. A model without class names
    /// takes those of as many class folders.
    ///
    /// # Errors
    /// As for [`open_inputs`].
    pub fn open_inputs(
        &mut self,
        paths: &[impl AsRef<Path>],
        options: &OpenOptions,
    ) -> Result<Box<dyn Dataset>, DataError> {
        let options = OpenOptions {
            preprocessing: Some(self.preprocessing.clone()),
            class_names: Some(self.class_names.clone()),
            names_assumed: !self.named,
            numbers: self.arrays,
            ..options.clone()
        };
        let data = open_inputs(paths, &options)?;
        if data.class_names().len() == self.class_names.len()
            && !self.head.is_quantity()
            && self.head.dense.is_none()
        {
            self.class_names = data.class_names().to_vec();
        }
        Ok(data)
    }
}
