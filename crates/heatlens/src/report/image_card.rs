//! The part of the page that shows one image.

use image::RgbImage;

use crate::explain::{Attribution, Focus, MapSpec};
use crate::method::MapKind;
use crate::render::{Colormap, CropTransform, HeatStyle, PictureSize, fitted, format_number};
use crate::report::occlusion_check::{Checker, OcclusionCheck};
use crate::report::outline::{OUTLINE_SIDE, outline, reduced};
use crate::report::picture::Picture;
use crate::run::{BaseImage, ExplainedImage, RunError};

/// One image of the gallery.
#[derive(Clone, Debug)]
pub struct ImageCard {
    /// Index of the image in the data.
    pub item: usize,
    /// Short name of the image.
    pub name: String,
    /// Source of the image.
    pub source: String,
    /// Name of the true class, if known.
    pub label: Option<String>,
    /// Name of the predicted class.
    pub predicted: String,
    /// Probability of the predicted class, 0 to 1.
    pub probability: f64,
    /// Statement of the model that is not a class with its probability: a quantity or a share of pixels.
    pub measure: Option<String>,
    /// True if the prediction is correct; `None` if the image has no label.
    pub right: Option<bool>,
    /// The image.
    pub image: Picture,
    /// Maps of the image, in the order of [`Gallery::maps`](super::Gallery::maps).
    pub maps: Vec<CardMap>,
    /// Occlusion check of the main map.
    pub check: Option<OcclusionCheck>,
    /// Outline of the true object, if known.
    pub truth: Option<Outline>,
}

/// An outline as an SVG path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// Width and height of the SVG view box.
    pub size: (usize, usize),
    /// SVG path data.
    pub path: String,
}

/// One map of one image.
#[derive(Clone, Debug)]
pub struct CardMap {
    /// Name of the explained class.
    pub class: String,
    /// The drawn map.
    pub drawn: Drawn,
    /// The outline of the box or the pixels that are explained.
    pub focus: Option<Outline>,
}

/// The drawn form of a map.
#[derive(Clone, Debug)]
pub enum Drawn {
    /// Heat of 0 or more, alone and as an overlay, and evidence of both signs.
    Heat {
        /// The heat alone.
        heat: Picture,
        /// The heat as a translucent overlay for the image.
        veil: Picture,
        /// The map with both signs.
        signed: Picture,
        /// Raw value of the brightest colour.
        high: String,
        /// Raw value of the strongest red or blue.
        largest: String,
    },
    /// A stand-alone picture: a gradient around grey, or several patterns.
    Whole {
        /// The picture.
        picture: Picture,
        /// Meaning of the colours.
        meaning: &'static str,
    },
    /// A map without anything to draw.
    Empty {
        /// Reason for that.
        reason: String,
    },
}

/// Meaning of grey, lighter and darker.
const GRADIENT: &str = "grey: no influence · lighter: raises the score · darker: lowers it";
/// Meaning of the colours of several patterns.
const CONCEPTS: &str = "each colour is one pattern; brighter where it is stronger";

impl ImageCard {
    /// Draws the image, its maps and its outline, and runs the occlusion check.
    pub(super) fn new(
        seen: &ExplainedImage<'_>,
        base: &BaseImage,
        checker: &Checker,
        style: HeatStyle,
    ) -> Result<Self, RunError> {
        let explanation = seen.explanation;
        let image = drawn(Picture::photo(&base.picture))?;
        let maps = explanation.attributions.iter().map(|map| card_map(seen, base, map, style));
        let label = seen.label();
        let checked = explanation.main_map().and_then(|(at, _)| explanation.attributions.get(at));
        let check =
            checked.map(|map| checker.check(&seen.sample.pixels, explanation, map)).transpose()?.flatten();
        Ok(Self {
            item: seen.item,
            name: seen.data.name(seen.item),
            source: seen.data.source(seen.item),
            label: label.map(|class| seen.class_name(class)),
            predicted: seen.class_name(explanation.predicted),
            probability: explanation.probabilities.get(explanation.predicted).copied().unwrap_or(f64::NAN),
            measure: seen.measure(),
            right: label.map(|class| class == explanation.predicted),
            image,
            maps: maps.collect::<Result<_, _>>()?,
            check,
            truth: seen.truth.and_then(|mask| outline(&reduced(mask))),
        })
    }

    /// Returns the total length of the pictures' data URIs in bytes.
    pub(super) fn bytes(&self) -> usize {
        let of_map = |map: &CardMap| match &map.drawn {
            Drawn::Heat { heat, veil, signed, .. } => heat.uri.len() + veil.uri.len() + signed.uri.len(),
            Drawn::Whole { picture, .. } => picture.uri.len(),
            Drawn::Empty { .. } => 0,
        };
        self.image.uri.len() + self.maps.iter().map(of_map).sum::<usize>()
    }
}

fn card_map(
    seen: &ExplainedImage<'_>,
    base: &BaseImage,
    map: &Attribution,
    style: HeatStyle,
) -> Result<CardMap, RunError> {
    let (class, empty) = (seen.class_name(map.class), || Drawn::Empty { reason: map.reason() });
    let finite = map.values.iter().all(|v| v.is_finite());
    let drawn = match map.method.kind {
        _ if !finite => empty(),
        MapKind::Layer => layer_map(map, &base.view, style)?.unwrap_or_else(empty),
        MapKind::Input if map.values.iter().all(|v| *v == 0.0) => empty(),
        MapKind::Input => whole(map, base, GRADIENT, Picture::gradient)?.unwrap_or_else(empty),
        MapKind::Concepts => {
            whole(map, &base.sized(PictureSize::Auto), CONCEPTS, Picture::photo)?.unwrap_or_else(empty)
        }
    };
    let shown =
        |focus: &Focus| outline(&focus.mask(&base.view.scaled(fitted(base.view.original, OUTLINE_SIDE))));
    Ok(CardMap { class, drawn, focus: map.focus.as_ref().and_then(shown) })
}

fn whole(
    map: &Attribution,
    base: &BaseImage,
    meaning: &'static str,
    picture: fn(&RgbImage) -> std::io::Result<Picture>,
) -> Result<Option<Drawn>, RunError> {
    let Some(image) = map.draw_whole(&base.picture, &base.view) else { return Ok(None) };
    Ok(Some(Drawn::Whole { picture: drawn(picture(&image))?, meaning }))
}

fn layer_map(map: &Attribution, view: &CropTransform, style: HeatStyle) -> Result<Option<Drawn>, RunError> {
    let Some(raw) = map.plane() else { return Ok(None) };
    let (Some(positive), Some(both)) = (raw.positive(), raw.symmetric()) else { return Ok(None) };
    Ok(Some(Drawn::Heat {
        heat: drawn(Picture::heat(&positive, view, style.colormap))?,
        veil: drawn(Picture::veil(&positive, view, style))?,
        signed: drawn(Picture::heat(&both, view, Colormap::RedBlue))?,
        high: format_number(map.raw_max),
        largest: format_number(map.raw_max.abs().max(map.raw_min.abs())),
    }))
}

fn drawn(picture: std::io::Result<Picture>) -> Result<Picture, RunError> {
    picture.map_err(RunError::writing("report.html".as_ref()))
}

/// Properties that one map shares across all images.
#[derive(Clone, Debug)]
pub struct MapInfo {
    /// Title of the method, with layer and class if there are several.
    pub title: String,
    /// Id of the method.
    pub method: &'static str,
    /// One-sentence summary of the method.
    pub summary: &'static str,
    /// Caveat of the method, if it has one.
    pub caution: Option<&'static str>,
    /// Layer, for methods that use one.
    pub layer: Option<String>,
}

impl MapInfo {
    /// Describes the map at index `at` of every image.
    pub(super) fn new(at: usize, spec: &MapSpec, seen: &ExplainedImage<'_>) -> Self {
        Self {
            title: seen.map_title(at),
            method: spec.method.id,
            summary: spec.method.summary,
            caution: spec.method.caution,
            layer: spec.layer.as_ref().map(|layer| layer.name.clone()),
        }
    }
}
