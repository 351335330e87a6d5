//! Pictures embedded in the page, encoded as small as their content allows.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, RgbImage};

use crate::render::{Colormap, CropTransform, FileFormat, HeatStyle, Map, fitted, scaled, size_of};

/// Maximum length of a photograph's longer side, in pixels.
const PHOTO_SIDE: usize = 288;
/// Maximum length of a pixel-level map's longer side, in pixels: such maps compress like noise and are read at a
/// glance.
const GRADIENT_SIDE: usize = 192;
/// Longest side up to which a picture is stored losslessly at full size.
const SMALL_SIDE: usize = 96;
/// Length of a heat map's longer side, in pixels: heat maps are smooth, so the browser can enlarge them.
const HEAT_SIDE: usize = 80;
/// JPEG quality of photographs, of 100; [`GRADIENT_QUALITY`] is that of pixel-level maps.
const PHOTO_QUALITY: u8 = 80;
const GRADIENT_QUALITY: u8 = 65;

/// A picture as a data URI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// `data:` URI: letters, digits and `+/=:;,` only.
    pub uri: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// True if pixels are shown as squares when the picture is enlarged.
    pub pixelated: bool,
}

impl Picture {
    /// Encodes a photograph: a small one losslessly, a larger one as a thumbnail.
    pub(super) fn photo(image: &RgbImage) -> std::io::Result<Self> {
        Self::of_pixels(image, PHOTO_SIDE, PHOTO_QUALITY)
    }

    /// Encodes a pixel-level map: a small one losslessly, a larger one as a thumbnail.
    pub(super) fn gradient(image: &RgbImage) -> std::io::Result<Self> {
        Self::of_pixels(image, GRADIENT_SIDE, GRADIENT_QUALITY)
    }

    fn of_pixels(image: &RgbImage, most: usize, quality: u8) -> std::io::Result<Self> {
        let size = size_of(image);
        let longer = size[0].max(size[1]);
        if longer <= SMALL_SIDE {
            return Self::of_bytes("image/png", &FileFormat::Png.encode(image)?, image, true);
        }
        let shrunk = if longer > most { scaled(image, fitted(size, most)) } else { image.clone() };
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, quality)
            .write_image(shrunk.as_raw(), shrunk.width(), shrunk.height(), ExtendedColorType::Rgb8)
            .map_err(std::io::Error::other)?;
        Self::of_bytes("image/jpeg", &bytes, &shrunk, false)
    }

    fn of_bytes(kind: &str, bytes: &[u8], image: &RgbImage, pixelated: bool) -> std::io::Result<Self> {
        let (width, height) = image.dimensions();
        Ok(Self { uri: data_uri(kind, bytes), width, height, pixelated })
    }

    /// Encodes a map with values from 0 to 1 (−1 to 1 for signed colours), placed on the original image.
    pub(super) fn heat(map: &Map, view: &CropTransform, colors: Colormap) -> std::io::Result<Self> {
        Self::of_palette(map, view, colors, |_| 255)
    }

    /// Encodes a map with values from 0 to 1 as an overlay that covers as much of the image as [`HeatStyle::cover`]
    /// says.
    pub(super) fn veil(map: &Map, view: &CropTransform, style: HeatStyle) -> std::io::Result<Self> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 255")]
        let alpha = |value: f32| (255.0 * style.cover(value)).round() as u8;
        Self::of_palette(map, view, style.colormap, alpha)
    }

    fn of_palette(
        map: &Map,
        view: &CropTransform,
        colors: Colormap,
        alpha: impl Fn(f32) -> u8,
    ) -> std::io::Result<Self> {
        let view = view.scaled(fitted(view.original, HEAT_SIDE));
        let table = colors.table();
        let placed = view.project(map);
        #[expect(clippy::cast_possible_truncation, reason = "as many steps as a palette holds")]
        let indices: Vec<u8> = placed.values().iter().map(|value| table.step(*value) as u8).collect();
        let alpha: Vec<u8> = table.values().map(alpha).collect();
        let side = |s: usize| u32::try_from(s).map_err(std::io::Error::other);
        let (width, height) = (side(view.original[1])?, side(view.original[0])?);
        let alpha = alpha.iter().any(|a| *a < 255).then_some(alpha);
        let bytes = indexed_png(width, height, &indices, table.colors().concat(), alpha)?;
        Ok(Self { uri: data_uri("image/png", &bytes), width, height, pixelated: false })
    }
}

fn indexed_png(
    width: u32,
    height: u32,
    indices: &[u8],
    palette: Vec<u8>,
    alpha: Option<Vec<u8>>,
) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Balanced);
    encoder.set_palette(palette);
    if let Some(alpha) = alpha {
        encoder.set_trns(alpha);
    }
    let mut writer = encoder.write_header().map_err(std::io::Error::other)?;
    writer.write_image_data(indices).map_err(std::io::Error::other)?;
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
        let heat = Picture::heat(&map, &CropTransform::whole([100, 200]), Colormap::Inferno).unwrap();
        assert_eq!((heat.width, heat.height), (80, 40));
        let pixels = decode(&heat).to_rgb8();
        assert_eq!(pixels.get_pixel(0, 0).0, Colormap::Inferno.color(0.0));
        assert_eq!(pixels.get_pixel(79, 0).0, Colormap::Inferno.color(1.0));
        let veil =
            decode(&Picture::veil(&map, &CropTransform::whole([100, 200]), HeatStyle::POSITIVE).unwrap())
                .to_rgba8();
        assert_eq!((veil.get_pixel(0, 0).0[3], veil.get_pixel(79, 0).0[3]), (0, 191));
        let signed = Map::new(1, 1, vec![0.0]).unwrap();
        let middle =
            decode(&Picture::heat(&signed, &CropTransform::whole([9, 9]), Colormap::RedBlue).unwrap())
                .to_rgb8();
        assert!(middle.get_pixel(0, 0).0.iter().all(|&v| v > 235));
    }
}
