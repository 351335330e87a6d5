//! What a run writes of every image.

use crate::render::MAX_SHEET_ROWS;
use crate::run::request::named;
use crate::run::{PictureStyle, RunError};

/// What a run writes of every image, beside `manifest.jsonl`.
#[derive(Clone, Debug, PartialEq)]
pub struct Save {
    /// Pictures, and the contact sheet.
    pub png: bool,
    /// How the pictures look.
    pub style: PictureStyle,
    /// How many images the contact sheet shows, at most.
    pub sheet_rows: usize,
    /// The raw maps, logits and indices as `maps.npz`.
    pub npz: bool,
    /// Whether the maps there are 16-bit floats, each with its scale.
    pub float16: bool,
    /// Every pixel's heat from 0 to 1 at the size of the model's input, as `heat.npz`.
    pub heat: bool,
    /// The tensors behind the maps as `tensors.npz`, and `channels.csv`.
    pub tensors: bool,
    /// The boxes of hot regions, as COCO JSON.
    pub boxes: bool,
    /// The hot regions as mask pictures.
    pub masks: bool,
}

impl Default for Save {
    /// Pictures, and a sheet of some images.
    fn default() -> Self {
        Self { png: true, ..Self::nothing(PictureStyle::default()) }
    }
}

/// One of the things that can be written.
type Part = fn(&mut Save);

/// What people type for each.
const PARTS: [(&str, Part); 7] = [
    ("png", |save| save.png = true),
    ("npz", |save| save.npz = true),
    ("npz16", |save| (save.npz, save.float16) = (true, true)),
    ("heat", |save| save.heat = true),
    ("tensors", |save| save.tensors = true),
    ("boxes", |save| save.boxes = true),
    ("masks", |save| save.masks = true),
];

impl Save {
    /// The manifest alone.
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

    /// What a shard writes of it: what spans all images is left to the merge.
    #[must_use]
    pub(super) fn of_a_shard(&self) -> Self {
        Self { png: self.png, sheet_rows: 0, ..Self::nothing(self.style) }
    }

    /// What these words stand for.
    ///
    /// # Errors
    /// If a word is not known, or both `npz` and `npz16` are there.
    pub fn parse(words: &[String], style: PictureStyle) -> Result<Self, RunError> {
        let mut save = Self::nothing(style);
        for word in words {
            if let Some(part) = named("save", Some(word), &PARTS)? {
                part(&mut save);
            }
        }
        if ["npz", "npz16"].iter().all(|name| words.iter().any(|word| word == name)) {
            return Err(RunError::Request(
                "--save takes npz or npz16, not both: they are the same file".to_owned(),
            ));
        }
        Ok(save)
    }
}
