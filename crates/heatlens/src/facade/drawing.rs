//! Pictures that can be saved.

use std::io;
use std::path::Path;

use image::RgbImage;

use crate::render::{FileFormat, RenderError, save_picture};

/// A drawn heat map.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    /// The picture.
    pub image: RgbImage,
}

impl Drawing {
    /// Writes the picture as PNG or JPEG, depending on the file extension. The file is written atomically and is
    /// deterministic.
    ///
    /// # Errors
    /// If the extension is neither `.png`, `.jpg` nor `.jpeg`, or the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), RenderError> {
        let path = path.as_ref();
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        let format = match ending.as_str() {
            "png" => FileFormat::Png,
            "jpg" | "jpeg" => FileFormat::Jpeg,
            _ => {
                let reason = "pictures are saved as .png, .jpg or .jpeg";
                let source = io::Error::new(io::ErrorKind::InvalidInput, reason);
                return Err(RenderError::Write { path: path.to_path_buf(), source });
            }
        };
        save_picture(&self.image, format, path)
    }
}
