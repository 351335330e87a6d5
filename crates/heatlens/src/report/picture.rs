//! Pictures that lie inside the page, as small as their content allows.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{FilterType, resize};
use image::{ExtendedColorType, ImageEncoder, RgbImage};

use crate::render::{Colormap, HeatStyle, Map};

/// The longer side of a photograph in the page, at most.
const PHOTO_SIDE: u32 = 288;
/// Pictures up to this size are kept pixel for pixel.
const SMALL_SIDE: u32 = 96;
/// The longer side of a heat map in the page: it is smooth, so the browser can enlarge it.
const HEAT_SIDE: usize = 112;
const JPEG_QUALITY: u8 = 84;

/// A picture as text that a page can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// A `data:` address: letters, digits and `+/=:;,` only.
    pub uri: String,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Whether its pixels are to be seen as squares when it is enlarged.
    pub pixelated: bool,
}

impl Picture {
    /// A picture of any kind: small ones pixel for pixel, larger ones shrunk to a thumbnail.
    pub(super) fn photo(image: &RgbImage) -> std::io::Result<Self> {
        let (width, height) = image.dimensions();
        let longer = width.max(height);
        if longer <= SMALL_SIDE {
            let uri =
                data_uri("image/png", &png_bytes(width, height, png::ColorType::Rgb, image.as_raw(), None)?);
            return Ok(Self { uri, width, height, pixelated: true });
        }
        let shrunk;
        let shown = if longer > PHOTO_SIDE {
            let side = |s: u32| (s * PHOTO_SIDE / longer).max(1);
            shrunk = resize(image, side(width), side(height), FilterType::Triangle);
            &shrunk
        } else {
            image
        };
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
            .write_image(shown.as_raw(), shown.width(), shown.height(), ExtendedColorType::Rgb8)
            .map_err(std::io::Error::other)?;
        let (width, height) = shown.dimensions();
        Ok(Self { uri: data_uri("image/jpeg", &bytes), width, height, pixelated: false })
    }

    /// A map from 0 to 1 (or −1 to 1 for signed colours) in the proportions of an image.
    pub(super) fn heat(map: &Map, image: (u32, u32), colors: Colormap) -> std::io::Result<Self> {
        Self::of_palette(map, image, colors, None)
    }

    /// A map from 0 to 1 to be laid over an image: the more heat, the less of the image is seen.
    pub(super) fn veil(map: &Map, image: (u32, u32)) -> std::io::Result<Self> {
        let HeatStyle { colormap, opacity } = HeatStyle::POSITIVE;
        Self::of_palette(map, image, colormap, Some(opacity))
    }

    fn of_palette(
        map: &Map,
        (width, height): (u32, u32),
        colors: Colormap,
        opacity: Option<f32>,
    ) -> std::io::Result<Self> {
        let longer = width.max(height).max(1) as usize;
        let side = |s: u32| (s as usize * HEAT_SIDE / longer).max(1);
        let (rows, columns) = (side(height), side(width));
        let low = colors.low();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=255")]
        let index = |v: &f32| ((v - low) / (1.0 - low) * 255.0).round().clamp(0.0, 255.0) as u8;
        let indices: Vec<u8> = map.resized(rows, columns).values().iter().map(index).collect();
        let value = |i: u8| low + (1.0 - low) * f32::from(i) / 255.0;
        let palette: Vec<u8> = (0..=255_u8).flat_map(|i| colors.color(value(i))).collect();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 255")]
        let alpha =
            opacity.map(|o| (0..=255_u8).map(|i| (o * f32::from(i)).round() as u8).collect::<Vec<u8>>());
        #[expect(clippy::cast_possible_truncation, reason = "at most HEAT_SIDE")]
        let (width, height) = (columns as u32, rows as u32);
        let bytes = png_bytes(width, height, png::ColorType::Indexed, &indices, Some((palette, alpha)))?;
        Ok(Self { uri: data_uri("image/png", &bytes), width, height, pixelated: false })
    }
}

type Palette = (Vec<u8>, Option<Vec<u8>>);

fn png_bytes(
    width: u32,
    height: u32,
    color: png::ColorType,
    data: &[u8],
    palette: Option<Palette>,
) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Balanced);
    if let Some((colors, alpha)) = palette {
        encoder.set_palette(colors);
        if let Some(alpha) = alpha {
            encoder.set_trns(alpha);
        }
    }
    let mut writer = encoder.write_header().map_err(std::io::Error::other)?;
    writer.write_image_data(data).map_err(std::io::Error::other)?;
    writer.finish().map_err(std::io::Error::other)?;
    Ok(bytes)
}

fn data_uri(kind: &str, bytes: &[u8]) -> String {
    format!("data:{kind};base64,{}", STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    fn decode(picture: &Picture) -> image::DynamicImage {
        let (_, text) = picture.uri.split_once("base64,").unwrap();
        image::load_from_memory(&STANDARD.decode(text).unwrap()).unwrap()
    }

    #[test]
    fn small_pictures_are_kept_and_large_ones_shrink() {
        let small = RgbImage::from_fn(30, 20, |x, y| Rgb([x as u8, y as u8, 7]));
        let kept = Picture::photo(&small).unwrap();
        assert!(kept.pixelated && decode(&kept).to_rgb8() == small);
        let large = Picture::photo(&RgbImage::from_pixel(1000, 500, Rgb([200, 10, 10]))).unwrap();
        assert_eq!((large.width, large.height, large.pixelated), (288, 144, false));
        let [r, g, _] = decode(&large).to_rgb8().get_pixel(9, 9).0;
        assert!(r > 190 && g < 25);
    }

    #[test]
    fn heat_has_the_colours_of_the_bar_and_the_proportions_of_the_image() {
        let map = Map::new(1, 2, vec![0.0, 1.0]).unwrap();
        let heat = Picture::heat(&map, (200, 100), Colormap::Inferno).unwrap();
        assert_eq!((heat.width, heat.height), (112, 56));
        let pixels = decode(&heat).to_rgb8();
        assert_eq!(pixels.get_pixel(0, 0).0, Colormap::Inferno.color(0.0));
        assert_eq!(pixels.get_pixel(111, 0).0, Colormap::Inferno.color(1.0));
        let veil = decode(&Picture::veil(&map, (200, 100)).unwrap()).to_rgba8();
        assert_eq!((veil.get_pixel(0, 0).0[3], veil.get_pixel(111, 0).0[3]), (0, 191));
        let signed = Map::new(1, 1, vec![0.0]).unwrap();
        let middle = decode(&Picture::heat(&signed, (9, 9), Colormap::RedBlue).unwrap()).to_rgb8();
        assert!(middle.get_pixel(0, 0).0.iter().all(|&v| v > 235));
    }
}
