//! What the page shows of one image.

use image::RgbImage;

use crate::explain::{Attribution, Focus, MapSpec};
use crate::method::MapKind;
use crate::render::{Colormap, HeatStyle, PictureSize, View, fitted, format_number};
use crate::report::check::{Check, Checker};
use crate::report::outline::{OUTLINE_SIDE, outline, reduced};
use crate::report::picture::Picture;
use crate::run::{BaseImage, ExplainedImage, RunError};

/// One image of the gallery.
#[derive(Clone, Debug)]
pub struct Card {
    /// Its number in the data.
    pub item: usize,
    /// Its short name.
    pub name: String,
    /// Where it comes from.
    pub source: String,
    /// Its class, where it is known.
    pub label: Option<String>,
    /// What the model says.
    pub predicted: String,
    /// How sure the model is, from 0 to 1.
    pub probability: f64,
    /// The quantity that is explained, where the model gives quantities and not classes.
    pub quantity: Option<String>,
    /// Whether the model is right, where that is known.
    pub right: Option<bool>,
    /// The image.
    pub image: Picture,
    /// Its maps, in the order of the gallery's list.
    pub maps: Vec<CardMap>,
    /// How the main map fares when what it points at is blanked.
    pub check: Option<Check>,
    /// The outline of the true object, where it is known.
    pub truth: Option<Outline>,
}

/// An outline as a path of an SVG picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// Width and height of the drawing.
    pub size: (usize, usize),
    /// The path.
    pub path: String,
}

/// One map of one image.
#[derive(Clone, Debug)]
pub struct CardMap {
    /// The class it is for.
    pub class: String,
    /// What is drawn.
    pub drawn: Drawn,
    /// The outline of the box or the pixels that are explained.
    pub focus: Option<Outline>,
}

/// How a map is shown.
#[derive(Clone, Debug)]
pub enum Drawn {
    /// Heat of 0 or more, alone and over the image, and the evidence of both signs.
    Heat {
        /// The heat alone.
        heat: Picture,
        /// The heat to lie over the image.
        veil: Picture,
        /// Both signs.
        signed: Picture,
        /// The raw number behind the brightest colour.
        high: String,
        /// The raw number behind the strongest red or blue.
        largest: String,
    },
    /// A picture of its own: a gradient around grey, or several patterns.
    Whole {
        /// The picture.
        picture: Picture,
        /// What its colours mean.
        meaning: &'static str,
    },
    /// Nothing to draw.
    Empty {
        /// Why.
        reason: String,
    },
}

/// What grey, lighter and darker stand for.
const GRADIENT: &str = "grey: no influence · lighter: raises the score · darker: lowers it";
/// What the colours of several patterns stand for.
const CONCEPTS: &str = "each colour is one pattern; brighter where it is stronger";

impl Card {
    /// Draws everything for one image.
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
            quantity: seen.quantity(),
            right: label.map(|class| class == explanation.predicted),
            image,
            maps: maps.collect::<Result<_, _>>()?,
            check,
            truth: seen.truth.and_then(|mask| outline(&reduced(mask))),
        })
    }

    /// Bytes that its pictures take in the page.
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

fn layer_map(map: &Attribution, view: &View, style: HeatStyle) -> Result<Option<Drawn>, RunError> {
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

/// What is common to one map of all images.
#[derive(Clone, Debug)]
pub struct MapInfo {
    /// The method's title, with layer and class where there are several.
    pub title: String,
    /// The method's id.
    pub method: &'static str,
    /// The method's sentence.
    pub summary: &'static str,
    /// What to know before believing it.
    pub caution: Option<&'static str>,
    /// The layer, for methods that use one.
    pub layer: Option<String>,
}

impl MapInfo {
    /// Describes a map.
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
