//! Saving pictures, and showing small ones large enough.

use std::io::{BufWriter, Write};
use std::path::Path;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, RgbImage};

use super::RenderError;
use crate::data::AtomicFile;

/// The longer side that a small picture is brought to, at least.
const SHOWN_SIDE: u32 = 320;

/// The smallest whole factor that brings the longer side to 320 pixels.
pub fn enlargement(width: u32, height: u32) -> u32 {
    SHOWN_SIDE.div_ceil(width.max(height).max(1))
}

/// A small picture made larger by [`enlargement`]; every pixel becomes a square, so that what is seen is what the
/// model got.
pub fn enlarge(picture: &RgbImage) -> RgbImage {
    let factor = enlargement(picture.width(), picture.height());
    if factor == 1 {
        return picture.clone();
    }
    RgbImage::from_fn(picture.width() * factor, picture.height() * factor, |x, y| {
        *picture.get_pixel(x / factor, y / factor)
    })
}

/// Writes a picture as PNG: under a temporary name beside `path`, then renamed, so that nothing half-written remains.
/// The same picture gives the same bytes.
pub fn save_png(picture: &RgbImage, path: &Path) -> Result<(), RenderError> {
    let failed = |source| RenderError::Write { path: path.to_path_buf(), source };
    let mut file = AtomicFile::create(path).map_err(failed)?;
    let mut buffered = BufWriter::new(&mut file);
    let (width, height) = picture.dimensions();
    let encoder = PngEncoder::new_with_quality(&mut buffered, CompressionType::Fast, FilterType::Up);
    encoder.write_image(picture.as_raw(), width, height, ExtendedColorType::Rgb8).map_err(
        |error| match error {
            image::ImageError::IoError(source) => failed(source),
            other => failed(std::io::Error::other(other)),
        },
    )?;
    buffered.flush().map_err(failed)?;
    drop(buffered);
    file.commit().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    #[test]
    fn small_pictures_grow_by_whole_factors() {
        assert_eq!(
            [enlargement(95, 95), enlargement(319, 4), enlargement(320, 4), enlargement(1, 1)],
            [4, 2, 1, 320]
        );
        let picture = RgbImage::from_fn(95, 2, |x, y| Rgb([x as u8, y as u8, 0]));
        let large = enlarge(&picture);
        assert_eq!(large.dimensions(), (380, 8));
        assert_eq!(large.get_pixel(379, 7).0, [94, 1, 0]);
    }

    #[test]
    fn saved_pictures_read_back_and_repeat() {
        let folder = tempfile::tempdir().unwrap();
        let picture = RgbImage::from_fn(30, 20, |x, y| Rgb([x as u8, y as u8, 7]));
        let (a, b) = (folder.path().join("a.png"), folder.path().join("b.png"));
        save_png(&picture, &a).unwrap();
        save_png(&picture, &b).unwrap();
        assert_eq!(image::open(&a).unwrap().to_rgb8(), picture);
        assert_eq!(std::fs::read(a).unwrap(), std::fs::read(b).unwrap());
    }

    #[test]
    fn a_failed_save_names_the_path_and_leaves_nothing() {
        let picture = RgbImage::new(3, 3);
        let message = save_png(&picture, Path::new("/no/such/folder/a.png")).unwrap_err().to_string();
        assert!(message.starts_with("cannot write /no/such/folder/a.png"), "{message}");
        let folder = tempfile::tempdir().unwrap();
        // A folder stands where the picture should go: the last step, the rename, fails.
        std::fs::create_dir_all(folder.path().join("a.png/inside")).unwrap();
        assert!(save_png(&picture, &folder.path().join("a.png")).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
