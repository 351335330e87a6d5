//! Decoding of image files.

use std::io::BufReader;
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::sniff::{FileKind, sniff};
use super::{DataError, MAX_IMAGE_PIXELS, MemoryReservation, Original, Raster};

/// Maximum size, in bytes, of an image's colour profile and texts.
const MOST_BEFORE_PIXELS: u64 = 1 << 26;

/// Shape of an image after its orientation is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ImageShape {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) colour: bool,
    pub(super) alpha: bool,
}

/// Reads an image's shape without decoding its pixels.
pub(super) fn image_shape(path: &Path) -> Result<ImageShape, DataError> {
    let mut decoder = decoder(path)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let (width, height) = decoder.dimensions();
    let turned = matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    );
    let (width, height) = if turned { (height, width) } else { (width, height) };
    Ok(ImageShape {
        height: height as usize,
        width: width as usize,
        colour: decoder.color_type().has_color(),
        alpha: decoder.color_type().has_alpha(),
    })
}

/// Decodes the image at `path` (PNG, JPEG, TIFF, BMP or WebP; the first frame if there are several) and applies its
/// EXIF orientation.
///
/// 8-bit values are divided by 255 and 16-bit ones by 65535. Transparent pixels are composited on black: the colour of
/// fully transparent pixels is arbitrary (often white or noise), black is also the value of zero padding and zero
/// baselines, and dropping the alpha channel would show the model content that is invisible to the user. Colour
/// profiles are not applied.
pub fn read_image(path: impl AsRef<Path>) -> Result<Raster, DataError> {
    read_within(path.as_ref()).map(|(raster, _)| raster)
}

/// Same as [`read_image`], with the memory reservation, to be released when the image has been scaled down.
pub(super) fn read_within(path: &Path) -> Result<(Raster, Option<MemoryReservation>), DataError> {
    let (image, room) = decode(path, 4)?;
    let raster = raster(&image).ok_or_else(|| unsupported(path, &image))?;
    Ok((raster, room))
}

/// Bytes per sample for drawing an image at its original size, together with its heat and three pictures of it.
const DRAWN: u64 = 13;

/// Reads the image at `path` for display, decoded as in [`read_image`].
pub(super) fn read_original(path: &Path) -> Result<Original, DataError> {
    let (image, room) = decode(path, DRAWN)?;
    let picture = match image {
        // The most common case by far; it needs no conversion to floats.
        DynamicImage::ImageRgb8(picture) => picture,
        image => {
            let raster = raster(&image).ok_or_else(|| unsupported(path, &image))?;
            raster.to_picture(0.0, 1.0)
        }
    };
    Ok(Original { picture, lossy: is_lossy(path), room })
}

/// Same as [`read_image`] and [`read_original`], decoding the file once.
pub(super) fn read_with_original(path: &Path) -> Result<(Raster, Original), DataError> {
    let (image, room) = decode(path, DRAWN)?;
    let raster = raster(&image).ok_or_else(|| unsupported(path, &image))?;
    let picture = match image {
        DynamicImage::ImageRgb8(picture) => picture,
        _ => raster.to_picture(0.0, 1.0),
    };
    Ok((raster, Original { picture, lossy: is_lossy(path), room }))
}

/// True for a JPEG.
fn is_lossy(path: &Path) -> bool {
    matches!(sniff(path), Ok(FileKind::Image(ImageFormat::Jpeg)))
}

/// Decodes an image and reserves memory: the decoder's needs, plus `later` bytes per sample for further processing.
fn decode(path: &Path, later: u64) -> Result<(DynamicImage, Option<MemoryReservation>), DataError> {
    let mut decoder = decoder(path)?;
    let (width, height) = decoder.dimensions();
    let samples = u64::from(width) * u64::from(height) * u64::from(decoder.color_type().channel_count());
    let bytes = 2 * decoder.total_bytes() + later * samples;
    let room = MemoryReservation::take(bytes).map_err(|budget| DataError::TooLarge {
        path: path.to_path_buf(),
        what: format!("a picture of {width} × {height} pixels, which takes {} MiB,", bytes >> 20),
        limit: format!("{} MiB of memory for all pictures (--memory sets it)", budget >> 20),
    })?;
    let mut limits = Limits::default();
    // 16-bit colour with alpha takes 8 bytes per pixel, and decoders need about as much again.
    limits.max_alloc = Some(16 * MAX_IMAGE_PIXELS);
    decoder.set_limits(limits).map_err(|error| unreadable(path, &error))?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(|error| unreadable(path, &error))?;
    image.apply_orientation(orientation);
    Ok((image, room))
}

fn unsupported(path: &Path, image: &DynamicImage) -> DataError {
    let reason =
        format!("{:?} pixels are not supported, expected 8 or 16 bits; save it as .npy", image.color());
    DataError::malformed(path, reason)
}

fn decoder(path: &Path) -> Result<impl ImageDecoder, DataError> {
    let format = match sniff(path)? {
        FileKind::Image(format) => format,
        kind => return Err(DataError::malformed(path, format!("expected a picture, found {kind:?}"))),
    };
    let file = heatlens_graph::open_regular(path).map_err(DataError::io(path, "open"))?;
    let mut reader = ImageReader::with_format(BufReader::new(file), format);
    let mut limits = Limits::default();
    // Limit for data before the pixels: colour profiles and texts, which are not used.
    limits.max_alloc = Some(MOST_BEFORE_PIXELS);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(|error| unreadable(path, &error))?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels > MAX_IMAGE_PIXELS {
        let what = format!("a picture of {width} × {height} pixels");
        return Err(DataError::TooLarge {
            path: path.to_path_buf(),
            what,
            limit: format!("{MAX_IMAGE_PIXELS} pixels"),
        });
    }
    if pixels == 0 {
        return Err(DataError::malformed(path, "the picture has no pixels"));
    }
    Ok(decoder)
}

fn unreadable(path: &Path, error: &image::ImageError) -> DataError {
    let name = sniffed_name(path);
    DataError::malformed(path, format!("this {name} cannot be read, it may be cut short or damaged: {error}"))
}

fn sniffed_name(path: &Path) -> &'static str {
    match sniff(path) {
        Ok(FileKind::Image(ImageFormat::Png)) => "PNG",
        Ok(FileKind::Image(ImageFormat::Jpeg)) => "JPEG",
        Ok(FileKind::Image(ImageFormat::Tiff)) => "TIFF",
        Ok(FileKind::Image(ImageFormat::Bmp)) => "BMP",
        Ok(FileKind::Image(ImageFormat::WebP)) => "WebP",
        _ => "picture",
    }
}

/// Converts to planes from 0 to 1, with alpha composited on black. Returns `None` for pixel types other than 8 and 16
/// bits.
fn raster(image: &DynamicImage) -> Option<Raster> {
    let byte = |value: u8| f32::from(value) / 255.0;
    let word = |value: u16| f32::from(value) / 65535.0;
    let (channels, values) = match image {
        DynamicImage::ImageLuma8(pixels) => (1, planes::<_, 1>(pixels, 1, byte)),
        DynamicImage::ImageLumaA8(pixels) => (1, planes::<_, 2>(pixels, 1, byte)),
        DynamicImage::ImageRgb8(pixels) => (3, planes::<_, 3>(pixels, 3, byte)),
        DynamicImage::ImageRgba8(pixels) => (3, planes::<_, 4>(pixels, 3, byte)),
        DynamicImage::ImageLuma16(pixels) => (1, planes::<_, 1>(pixels, 1, word)),
        DynamicImage::ImageLumaA16(pixels) => (1, planes::<_, 2>(pixels, 1, word)),
        DynamicImage::ImageRgb16(pixels) => (3, planes::<_, 3>(pixels, 3, word)),
        DynamicImage::ImageRgba16(pixels) => (3, planes::<_, 4>(pixels, 3, word)),
        _ => return None,
    };
    Some(Raster { channels, height: image.height() as usize, width: image.width() as usize, values })
}

/// Extracts the first `channels` of every `STRIDE` samples, plane by plane. The next sample, if any, is the opacity.
fn planes<T: Copy, const STRIDE: usize>(
    samples: &[T],
    channels: usize,
    number: impl Fn(T) -> f32,
) -> Vec<f32> {
    let (pixels, _) = samples.as_chunks::<STRIDE>();
    let mut values = Vec::with_capacity(pixels.len() * channels);
    for channel in 0..channels {
        if channels < STRIDE {
            values.extend(pixels.iter().map(|pixel| number(pixel[channel]) * number(pixel[channels])));
        } else {
            values.extend(pixels.iter().map(|pixel| number(pixel[channel])));
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageBuffer, Luma, LumaA, Rgb, Rgba};

    fn saved(image: impl Into<DynamicImage>, name: &str) -> Result<Raster, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        image.into().save(&path).unwrap();
        read_image(&path)
    }

    #[test]
    fn sixteen_bits_keep_their_precision() {
        for name in ["a.png", "a.tiff"] {
            let grey = ImageBuffer::from_fn(3, 2, |x, y| Luma([(257 * (3 * y + x) + 1) as u16]));
            let raster = saved(grey, name).unwrap();
            assert_eq!((raster.channels, raster.height, raster.width), (1, 2, 3));
            assert_eq!(raster.values[4], (257.0 * 4.0 + 1.0) / 65535.0, "{name}");
            let colour = ImageBuffer::from_pixel(2, 1, Rgb([1_u16, 2, 65535]));
            assert_eq!(
                saved(colour, name).unwrap().values,
                [1.0, 1.0, 2.0, 2.0, 65535.0, 65535.0].map(|v| v / 65535.0)
            );
        }
    }

    #[test]
    fn every_codec_reads_colour() {
        for name in ["a.png", "a.tiff", "a.bmp", "a.webp", "a.jpg"] {
            let raster = saved(ImageBuffer::from_pixel(16, 8, Rgb([200_u8, 100, 50])), name).unwrap();
            assert_eq!((raster.channels, raster.height, raster.width), (3, 8, 16), "{name}");
            for (plane, value) in raster.values.chunks_exact(128).zip([200.0, 100.0, 50.0]) {
                assert!(plane.iter().all(|v| (v * 255.0 - value).abs() <= 2.0), "{name}");
            }
        }
    }

    #[test]
    fn transparency_is_black() {
        let colour = ImageBuffer::from_pixel(1, 1, Rgba([255_u8, 255, 0, 51]));
        assert_eq!(saved(colour, "a.png").unwrap().values, [0.2, 0.2, 0.0]);
        assert_eq!(saved(ImageBuffer::from_pixel(1, 1, LumaA([255_u8, 0])), "a.png").unwrap().values, [0.0]);
    }

    #[test]
    fn the_original_keeps_size_colours_and_kind() {
        let folder = tempfile::tempdir().unwrap();
        let saved = |image: DynamicImage, name: &str| {
            let path = folder.path().join(name);
            image.save(&path).unwrap();
            read_original(&path).unwrap()
        };
        let colour = ImageBuffer::from_fn(16, 8, |x, y| Rgb([(x * 16) as u8, (y * 32) as u8, 9]));
        let png = saved(colour.clone().into(), "a.png");
        assert!(png.picture == colour && !png.lossy);
        let jpeg = saved(colour.into(), "a.jpg");
        assert!(jpeg.picture.dimensions() == (16, 8) && jpeg.lossy);
        let grey = saved(ImageBuffer::from_pixel(2, 1, Luma([257_u16 * 40])).into(), "b.png");
        assert_eq!(grey.picture.into_raw(), [40; 6]);
        let clear = saved(ImageBuffer::from_pixel(1, 1, Rgba([255_u8, 255, 0, 51])).into(), "c.png");
        assert_eq!(clear.picture.into_raw(), [51, 51, 0]);
    }

    #[test]
    fn exif_orientation_turns_the_picture() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jpg");
        let half = ImageBuffer::from_fn(32, 16, |x, _| Luma([if x < 16 { 255_u8 } else { 0 }]));
        half.save(&path).unwrap();
        let plain = std::fs::read(&path).unwrap();
        // An APP1 segment with one entry: tag 0x0112 (orientation), SHORT, 1 value, 6 (turn by 90° clockwise).
        let exif =
            b"\xff\xe1\x00\x22Exif\0\0II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        std::fs::write(&path, [&plain[..2], exif, &plain[2..]].concat()).unwrap();
        let raster = read_image(&path).unwrap();
        assert_eq!((raster.height, raster.width), (32, 16));
        assert!(raster.values[0] > 0.9 && raster.values[31 * 16] < 0.1);
        assert_eq!(
            image_shape(&path).unwrap(),
            ImageShape { height: 32, width: 16, colour: false, alpha: false }
        );
    }

    #[test]
    fn a_truncated_file_is_an_error_at_every_length() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        ImageBuffer::from_fn(40, 40, |x, y| Luma([(x * y) as u8])).save(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in [0, 4, 8, 20, 33, whole.len() / 2, whole.len() - 30] {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(read_image(&path).is_err(), "{length} of {}", whole.len());
        }
    }

    #[test]
    fn a_decompression_bomb_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bmp");
        let mut header = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
        header.extend_from_slice(&60_000_u32.to_le_bytes());
        header.extend_from_slice(&60_000_u32.to_le_bytes());
        header.extend_from_slice(b"\x01\0\x18\0");
        header.resize(200, 0);
        std::fs::write(&path, header).unwrap();
        let message = read_image(&path).unwrap_err().to_string();
        assert!(message.contains("limit"), "{message}");
    }
}
