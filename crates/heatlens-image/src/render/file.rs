//! Picture files, as small as their content allows.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, RgbImage};
use png::{BitDepth, ColorType, DeflateCompression, Encoder, Filter};

use super::RenderError;
use crate::data::write_atomically;

/// Maximum number of colours in a palette.
const PALETTE: usize = 256;
/// Level of compression of PNG, of 9: one below the usual 6, a quarter less time for a percent more bytes.
const LEVEL: u8 = 5;
/// JPEG quality of photographs, of 100: artefacts are not visible at twice the size.
const JPEG_QUALITY: u8 = 90;

/// File format of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// Lossless PNG.
    Png,
    /// JPEG with losses that are not visible, at a third of the size or less for photographs.
    Jpeg,
}

impl FileFormat {
    /// Returns the file name extension.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
        }
    }

    /// Encodes a picture. The same picture gives the same bytes.
    ///
    /// # Errors
    /// If the picture is empty or larger than the format allows (JPEG: sides of 65,535).
    pub fn encode(self, picture: &RgbImage) -> io::Result<Vec<u8>> {
        match self {
            Self::Png => png_bytes(picture),
            Self::Jpeg => {
                let mut bytes = Vec::new();
                JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
                    .write_image(picture.as_raw(), picture.width(), picture.height(), ExtendedColorType::Rgb8)
                    .map_err(io::Error::other)?;
                Ok(bytes)
            }
        }
    }
}

/// Writes a picture atomically: to a temporary file beside `path`, which is then renamed. The same picture gives
/// the same bytes.
///
/// # Errors
/// If the picture cannot be encoded or the file cannot be written.
pub fn save_picture(
    picture: &RgbImage,
    format: FileFormat,
    path: impl AsRef<Path>,
) -> Result<(), RenderError> {
    let path = path.as_ref();
    let bytes = format.encode(picture).and_then(|bytes| write_atomically(path, &bytes));
    bytes.map_err(|source| RenderError::Write { path: path.to_path_buf(), source })
}

/// Writes a picture as PNG; see [`save_picture`].
///
/// # Errors
/// If the picture cannot be encoded or the file cannot be written.
pub fn save_png(picture: &RgbImage, path: impl AsRef<Path>) -> Result<(), RenderError> {
    save_picture(picture, FileFormat::Png, path)
}

/// Encodes a picture losslessly in greyscale, with a palette of up to 256 colours, or in RGB: the first of these
/// that fits.
fn png_bytes(picture: &RgbImage) -> io::Result<Vec<u8>> {
    let (width, height) = picture.dimensions();
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, width, height);
    encoder.set_deflate_compression(DeflateCompression::Level(LEVEL));
    let pixels;
    let (all, _) = picture.as_chunks();
    let data = if all.iter().all(|[r, g, b]| r == g && g == b) {
        encoder.set_color(ColorType::Grayscale);
        encoder.set_filter(Filter::Adaptive);
        pixels = all.iter().map(|[grey, ..]| *grey).collect::<Vec<u8>>();
        &pixels
    } else if let Some((palette, indices)) = palette(all) {
        encoder.set_color(ColorType::Indexed);
        encoder.set_palette(palette);
        encoder.set_filter(Filter::NoFilter);
        pixels = indices;
        &pixels
    } else {
        encoder.set_color(ColorType::Rgb);
        encoder.set_filter(Filter::Adaptive);
        picture.as_raw()
    };
    encoder.set_depth(BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(io::Error::other)?;
    writer.write_image_data(data).map_err(io::Error::other)?;
    writer.finish().map_err(io::Error::other)?;
    Ok(bytes)
}

/// Returns the palette (red, green and blue of each colour in turn) and each pixel's palette index; `None` if there
/// are more than 256 colours.
fn palette(picture: &[[u8; 3]]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut numbers = BTreeMap::new();
    let mut indices = Vec::with_capacity(picture.len());
    let mut last = None;
    for pixel in picture {
        let index = match last {
            Some((color, index)) if color == *pixel => index,
            _ => {
                let next = numbers.len();
                let index = *numbers.entry(*pixel).or_insert(next);
                if index >= PALETTE {
                    return None;
                }
                last = Some((*pixel, index));
                index
            }
        };
        indices.push(u8::try_from(index).ok()?);
    }
    let mut palette = vec![0; 3 * numbers.len()];
    for (color, index) in numbers {
        palette[3 * index..3 * index + 3].copy_from_slice(&color);
    }
    Some((palette, indices))
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GenericImageView, Rgb};

    #[test]
    fn saved_pictures_read_back_and_repeat() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a.png"), folder.path().join("b.png"));
        let colours = |n: u32| RgbImage::from_fn(30, 20, move |x, y| Rgb([(x % n) as u8, y as u8, 7]));
        let grey = RgbImage::from_fn(30, 20, |x, y| Rgb([(x * y % 256) as u8; 3]));
        for (picture, kind) in [
            (colours(30), image::ColorType::Rgb8),
            (grey, image::ColorType::L8),
            // Palette, resolved by the decoder.
            (colours(5), image::ColorType::Rgb8),
        ] {
            save_png(&picture, &a).unwrap();
            save_png(&picture, &b).unwrap();
            let read = image::open(&a).unwrap();
            assert_eq!((read.color(), read.to_rgb8()), (kind, picture));
            assert_eq!(std::fs::read(&a).unwrap(), std::fs::read(&b).unwrap());
        }
    }

    #[test]
    fn few_colours_take_a_byte_a_pixel_or_less() {
        let picture = |n: u32| {
            RgbImage::from_fn(256, 64, move |x, y| {
                let mixed = ((x * 7919 + y * 104_729) ^ (x * y * 31)).wrapping_mul(2_654_435_761) / 8192 % n;
                Rgb([mixed as u8, (mixed / 256) as u8, 9])
            })
        };
        let size = |n| FileFormat::Png.encode(&picture(n)).unwrap().len();
        assert!(size(256) < 256 * 64 + 2000 && size(257) > size(256) + 2000, "{} {}", size(256), size(257));
    }

    #[test]
    fn photographs_are_near_to_the_original() {
        let picture = RgbImage::from_fn(64, 48, |x, y| Rgb([(x * 4) as u8, (y * 5) as u8, (255 - x) as u8]));
        let bytes = FileFormat::Jpeg.encode(&picture).unwrap();
        let read = image::load_from_memory_with_format(&bytes, image::ImageFormat::Jpeg).unwrap();
        assert_eq!(read.dimensions(), (64, 48));
        let off = read.to_rgb8().iter().zip(picture.iter()).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(off <= Some(8), "{off:?}");
        assert!(FileFormat::Jpeg.encode(&RgbImage::new(0, 0)).is_err());
    }

    #[test]
    fn a_failed_save_names_the_path_and_leaves_nothing() {
        let picture = RgbImage::new(3, 3);
        let message = save_png(&picture, Path::new("/no/such/folder/a.png")).unwrap_err().to_string();
        assert!(message.starts_with("cannot write /no/such/folder/a.png"), "{message}");
        let folder = tempfile::tempdir().unwrap();
        // A folder in place of the target file makes the last step, the rename, fail.
        std::fs::create_dir_all(folder.path().join("a.png/inside")).unwrap();
        assert!(save_png(&picture, &folder.path().join("a.png")).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
