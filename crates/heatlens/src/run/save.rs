//! Selection of the files written for every image.

use crate::nearest::Named;
use crate::render::MAX_SHEET_ROWS;
use crate::run::request::named;
use crate::run::{PictureStyle, RunError};

/// Selection of the files written for every image, in addition to `manifest.jsonl`.
#[derive(Clone, Debug, PartialEq)]
pub struct Save {
    /// True for pictures and the contact sheet.
    pub png: bool,
    /// Appearance of the pictures.
    pub style: PictureStyle,
    /// Maximum number of images on the contact sheet.
    pub sheet_rows: usize,
    /// True for the raw maps, logits and indices, as `maps.npz`.
    pub npz: bool,
    /// True if these maps are 16-bit floats, each with a scale.
    pub float16: bool,
    /// True for the heat of every pixel, 0 to 1, at the model's input size, as `heat.npz`.
    pub heat: bool,
    /// True for the intermediate tensors, as `tensors.npz` and `channels.csv`.
    pub tensors: bool,
    /// True for the bounding boxes of hot regions, as COCO JSON.
    pub boxes: bool,
    /// True for the masks of hot regions, as pictures.
    pub masks: bool,
}

impl Default for Save {
    /// Returns a selection of pictures and a contact sheet.
    fn default() -> Self {
        Self { png: true, ..Self::nothing(PictureStyle::default()) }
    }
}

/// Kinds of output with their names on the command line, and functions that select them.
pub const OUTPUTS: [Named<fn(&mut Save)>; 7] = [
    ("png", "Pictures and the contact sheet", |save| save.png = true),
    ("npz", "Raw maps as maps.npz", |save| save.npz = true),
    (
        "npz16",
        "The same as 16-bit floats, half the size: X.astype(float32) times X.scale are the maps",
        |save| (save.npz, save.float16) = (true, true),
    ),
    ("heat", "The heat of every pixel of the model's input, 0 to 1, as heat.npz", |save| save.heat = true),
    (
        "tensors",
        "conv_output, conv_grad, input_grad, weights and cam as tensors.npz, and channels.csv",
        |save| save.tensors = true,
    ),
    ("boxes", "Boxes and masks around the hot regions, in annotations_<method>.json (COCO)", |save| {
        save.boxes = true;
    }),
    ("masks", "The hot regions as mask pictures", |save| save.masks = true),
];

impl Save {
    /// Returns a selection of no files but the manifest.
    #[must_use]
    pub fn nothing(style: PictureStyle) -> Self {
        Self {
            png: false,
            style,
            sheet_rows: MAX_SHEET_ROWS,
            npz: false,
            float16: false,
            heat: false,
            tensors: false,
            boxes: false,
            masks: false,
        }
    }

    /// Returns the part of the selection that a shard writes: outputs that span all images are left to the merge.
    #[must_use]
    pub(super) fn of_a_shard(&self) -> Self {
        Self { png: self.png, sheet_rows: 0, ..Self::nothing(self.style) }
    }

    /// Parses names of outputs.
    ///
    /// # Errors
    /// If a name is unknown, or if both `npz` and `npz16` are given.
    pub fn parse(words: &[String], style: PictureStyle) -> Result<Self, RunError> {
        let mut save = Self::nothing(style);
        for word in words {
            if let Some(part) = named("save", Some(word), &OUTPUTS)? {
                part(&mut save);
            }
        }
        if ["npz", "npz16"].iter().all(|name| words.iter().any(|word| word == name)) {
            return Err(RunError::Request(
                "--save takes npz or npz16, not both: they write the same file".to_owned(),
            ));
        }
        Ok(save)
    }
}
