//! The pictures of one image.

use image::RgbImage;

use crate::data::Sample;
use crate::explain::{Attribution, Explainer, Explanation, MapSpec};
use crate::gallery::GalleryError;
use crate::method::MapKind;
use crate::model::Model;
use crate::render::{ColorBar, HeatStyle, Map, concepts, enlarge, gradient_picture, heatmap, overlay};
use crate::target::Class;

/// A picture and the name of its file.
#[derive(Clone, Debug)]
pub struct Picture {
    /// File name, without folder.
    pub file: String,
    /// The picture.
    pub image: RgbImage,
}

impl MapSpec {
    /// The map's name: the method's id, with layer and class where several were asked for.
    #[must_use]
    pub fn name(&self, model: &Model) -> String {
        let mut name = self.method.id.to_owned();
        if let Some(layer) = self.layer.as_ref().filter(|_| self.several_layers) {
            name.push_str(&format!("@{}", layer.name));
        }
        if let (Class::Number(class), true) = (self.goal.class, self.several_classes) {
            name.push_str(&format!("#{}", model.class_names.get(class).map_or("", String::as_str)));
        }
        name
    }
}

/// Draws everything for one image.
pub(super) fn draw(
    explainer: &Explainer,
    sample: &Sample,
    explanation: &Explanation,
) -> Result<Vec<Picture>, GalleryError> {
    let original = enlarge(&sample.display);
    let mut pictures = vec![Picture { file: "original.png".to_owned(), image: original.clone() }];
    for (spec, attribution) in explainer.maps().iter().zip(&explanation.attributions) {
        let name = file_part(&spec.name(explainer.model()));
        let drawn = match attribution.method.kind {
            MapKind::Layer => layer_pictures(&name, explainer.model(), attribution, &original)?,
            MapKind::Input => {
                vec![Picture { file: format!("{name}.png"), image: input_picture(attribution)? }]
            }
            MapKind::Concepts => {
                vec![Picture { file: format!("{name}.png"), image: concepts_picture(attribution, &original) }]
            }
        };
        pictures.extend(drawn);
    }
    Ok(pictures)
}

/// Heat map, overlay, and the signed map that shows both sides of the evidence.
fn layer_pictures(
    name: &str,
    model: &Model,
    attribution: &Attribution,
    original: &RgbImage,
) -> Result<Vec<Picture>, GalleryError> {
    let (heat, signed) = bars(model, attribution);
    let map = layer_map(attribution)?;
    let reason = reason(attribution);
    let (width, height) = original.dimensions();
    let mut pictures = Vec::new();
    let mut add = |prefix: &str, picture: RgbImage, bar: &ColorBar| {
        pictures.push(Picture { file: format!("{prefix}_{name}.png"), image: bar.under(&picture) });
    };
    add("heatmap", heatmap(&map, width, height, HeatStyle::POSITIVE, &reason), &heat);
    add("overlay", overlay(&map, original, HeatStyle::POSITIVE, &reason), &heat);
    add("signed", heatmap(&map, width, height, HeatStyle::SIGNED, &reason), &signed);
    Ok(pictures)
}

/// The colour bars of a layer map: the positive part, and both sides.
pub(super) fn bars(model: &Model, attribution: &Attribution) -> (ColorBar, ColorBar) {
    let class = model.class_names.get(attribution.class).map_or("", String::as_str);
    let against = match model.class_names.as_slice() {
        [a, b] => format!("for {}", if attribution.class == 0 { b } else { a }),
        _ => format!("against {class}"),
    };
    let heat = ColorBar::positive(
        HeatStyle::POSITIVE.colormap,
        attribution.raw_max.max(0.0),
        format!("evidence for {class}"),
    );
    let largest = attribution.raw_max.abs().max(attribution.raw_min.abs());
    (heat, ColorBar::signed(largest, format!("blue: {against} · red: for {class}")))
}

/// A layer map as the renderer takes it; values that overflow are drawn as the reason they are.
pub(super) fn layer_map(attribution: &Attribution) -> Result<Map, GalleryError> {
    let (h, w) = match attribution.shape.as_slice() {
        &[h, w] => (h, w),
        _ => (1, attribution.values.len()),
    };
    let finite = attribution.values.iter().all(|v| v.is_finite());
    let values = if finite { attribution.values.clone() } else { vec![0.0; attribution.values.len()] };
    Ok(Map::new(h, w, values)?)
}

/// A map of the image's own size, as a signed picture.
pub(super) fn input_picture(attribution: &Attribution) -> Result<RgbImage, GalleryError> {
    let shape = match attribution.shape.as_slice() {
        &[c, h, w] => [c, h, w],
        _ => [1, 1, attribution.values.len()],
    };
    let finite = attribution.values.iter().all(|v| v.is_finite());
    let zeros = vec![0.0; if finite { 0 } else { attribution.values.len() }];
    let values = if finite { &attribution.values } else { &zeros };
    Ok(enlarge(&gradient_picture(values, shape, &reason(attribution))?))
}

/// Where each pattern is strongest, each in a colour of its own.
pub(super) fn concepts_picture(attribution: &Attribution, original: &RgbImage) -> RgbImage {
    let &[_, h, w] = attribution.shape.as_slice() else { return original.clone() };
    concepts(&attribution.values, h, w, original)
}

/// Why there is nothing to see.
pub(super) fn reason(attribution: &Attribution) -> String {
    attribution.zero.map_or_else(|| "nothing to show".to_owned(), |zero| zero.to_string())
}

/// A name as part of a file name.
pub(crate) fn file_part(name: &str) -> String {
    let safe = |c: char| if c.is_alphanumeric() || "-_.@#".contains(c) { c } else { '_' };
    name.chars().map(safe).collect()
}
