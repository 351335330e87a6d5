//! What a person says of a model's input and classes, and how data are opened for a model.

use std::path::Path;

use crate::data::{ArrayNumbers, DataError, Dataset, OpenOptions, Preset, Resize, Scale, open_inputs};
use crate::model::{Model, ModelError};

/// What is said where it stays unknown how the model's images are prepared.
const ASSUMED: &str = "the file does not say how images are prepared: image files and arrays of integers go in as 0…1 (--preset changes that)";

/// What a person says of a model where its file says nothing, or says it wrong. What is not set stays as the file has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preparation {
    /// How images of another shape are brought to the model's.
    pub resize: Option<Resize>,
    /// Height and width of the middle that is cut out after the shorter side was resized. The model's own size decides; another one
    /// is an error.
    pub crop: Option<[usize; 2]>,
    /// Scale, mean, standard deviation and order of colours by a common name; the fields below override its parts.
    pub preset: Option<Preset>,
    /// The factor on pixels from 0 to 1.
    pub scale: Option<Scale>,
    /// Subtracted after scaling: none, one for all channels, or one for each.
    pub mean: Vec<f32>,
    /// Divided by at last: none, one for all channels, or one for each.
    pub std: Vec<f32>,
}

impl Preparation {
    /// Whether it says in which range pixels go in.
    fn sets_values(&self) -> bool {
        self.preset.is_some() || self.scale.is_some() || !self.mean.is_empty() || !self.std.is_empty()
    }
}

impl Model {
    /// Takes over what a person says. A note is added if it stays unknown how the model's images are prepared.
    ///
    /// # Errors
    /// If a preset, mean or standard deviation does not fit the number of channels, or is no usable number. The model is as
    /// it was then.
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

    /// The model with a preset's range, mean, standard deviation and order of colours.
    ///
    /// # Errors
    /// If the preset does not fit the number of channels.
    pub fn with_preset(mut self, preset: Preset) -> Result<Self, ModelError> {
        self.prepare(&Preparation { preset: Some(preset), ..Preparation::default() })?;
        Ok(self)
    }

    /// What a person should know about how the file was understood, and that it is unknown how the model's images are
    /// prepared where it is.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let known = self.notes.iter().filter(|note| *note != ASSUMED).cloned();
        known.chain(self.preprocessing_assumed().then(|| ASSUMED.to_owned())).collect()
    }

    /// Whether it is an assumption in which range, and with which mean, pixels go in: neither the file nor a person says
    /// it, and no arithmetic at the graph's start tells it. A low accuracy may then be the assumption's fault.
    #[must_use]
    pub fn preprocessing_assumed(&self) -> bool {
        self.arrays == ArrayNumbers::IntegerPixels && self.own_scaling.is_none()
    }

    /// Opens images for this model; `options` say the rest, such as which rows of arrays. A model without class names takes
    /// those of as many class folders.
    ///
    /// # Errors
    /// As [`open_inputs`].
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
