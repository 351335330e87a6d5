//! Pictures of each image, in a separate folder per image.

use std::fs;
use std::path::PathBuf;

use image::RgbImage;

use crate::explain::{Attribution, Explainer, ImageAttributions, ZeroMap};
use crate::model::Model;
use crate::render::{ColorBar, FileFormat, HeatStyle, save_picture};
use crate::run::{BaseImage, ExplainedImage, NewImage, PictureStyle, RunError, Sink};

/// Sink that writes the pictures.
#[derive(Debug)]
pub(in crate::run) struct Pictures {
    out: PathBuf,
    style: PictureStyle,
}

impl Pictures {
    pub(in crate::run) fn new(out: PathBuf, style: PictureStyle) -> Self {
        Self { out, style }
    }
}

impl Sink for Pictures {
    fn wants_picture(&self) -> bool {
        true
    }

    fn draw(&self, image: &NewImage<'_>) -> Result<Vec<String>, RunError> {
        let Some(base) = image.base else { return Ok(Vec::new()) };
        let name = image.data.name(image.item);
        let folder = self.out.join(&name);
        fs::create_dir_all(&folder).map_err(RunError::writing(&folder))?;
        let mut files = Vec::new();
        for picture in draw(image.explainer, base, image.explanation, self.style) {
            save_picture(&picture.image, picture.format, &folder.join(&picture.file))?;
            files.push(format!("{name}/{}", picture.file));
        }
        Ok(files)
    }

    fn write(&mut self, _: &ExplainedImage<'_>) -> Result<(), RunError> {
        Ok(())
    }
}

/// A picture and its file name.
struct Picture {
    /// File name without folder.
    file: String,
    image: RgbImage,
    format: FileFormat,
}

impl Picture {
    fn new(name: &str, format: FileFormat, image: RgbImage) -> Self {
        Self { file: format!("{name}.{}", format.extension()), image, format }
    }
}

/// Draws all pictures of one image.
fn draw(
    explainer: &Explainer,
    base: &BaseImage,
    explanation: &ImageAttributions,
    style: PictureStyle,
) -> Vec<Picture> {
    let base = base.sized(style.size);
    let photo = style.format.of_photograph(base.lossy);
    let mut pictures = vec![Picture::new("original", photo, base.picture.clone())];
    for (spec, attribution) in explainer.maps().iter().zip(&explanation.attributions) {
        if spec.several_classes && attribution.zero.is_some_and(ZeroMap::is_absent) {
            continue;
        }
        let name = &spec.file_name;
        match attribution.draw_whole(&base.picture, &base.view) {
            Some(picture) => pictures.push(Picture::new(name, photo, picture)),
            None => pictures.extend(layer_pictures(name, explainer.model(), attribution, &base, style)),
        }
    }
    pictures
}

/// Draws the heat map, the overlay, and the signed map with evidence for and against.
fn layer_pictures(
    name: &str,
    model: &Model,
    attribution: &Attribution,
    base: &BaseImage,
    style: PictureStyle,
) -> [Picture; 3] {
    let heat = style.heat();
    let (bar, signed_bar) = bars(model, attribution, heat);
    let picture = |prefix: &str, format: FileFormat, drawn: RgbImage, bar: &ColorBar| {
        let drawn = if style.color_bar { bar.under(&drawn) } else { drawn };
        Picture::new(&format!("{prefix}_{name}"), format, drawn)
    };
    let (png, photo) = (FileFormat::Png, style.format.of_photograph(base.lossy));
    let over = attribution.draw_over(&base.picture, &base.view, heat);
    [
        picture("heatmap", png, attribution.draw(&base.view, heat), &bar),
        picture("overlay", photo, over, &bar.clone().over_image(heat)),
        picture("signed", png, attribution.draw(&base.view, HeatStyle::SIGNED), &signed_bar),
    ]
}

/// Returns the colour bars of a layer map: for the positive part, and for both signs.
fn bars(model: &Model, attribution: &Attribution, style: HeatStyle) -> (ColorBar, ColorBar) {
    let class = model.class_names.get(attribution.class).map_or("", String::as_str);
    let against = match model.class_names.as_slice() {
        [a, b] => format!("for {}", if attribution.class == 0 { b } else { a }),
        _ => format!("against {class}"),
    };
    let heat =
        ColorBar::positive(style.colormap, attribution.raw_max.max(0.0), format!("evidence for {class}"));
    let largest = attribution.raw_max.abs().max(attribution.raw_min.abs());
    (heat, ColorBar::signed(largest, format!("blue: {against} · red: for {class}")))
}
