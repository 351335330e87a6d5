//! Collects the page's images while they are explained. Memory and page size are bounded: if there are too many
//! images, the page shows a selection and says so.

use rayon::prelude::*;

use crate::explain::Explainer;
use crate::render::{Colormap, HeatStyle};
use crate::report::image_card::{ImageCard, MapInfo};
use crate::report::occlusion_check::Checker;
use crate::report::predictions::{ImagePrediction, ImagePredictions};
use crate::run::{ExplainedImage, RunError, Sink};

/// Maximum number of images on one page.
pub const MAX_IMAGES: usize = 200;
/// Maximum number of maps on one page; with many maps per image, fewer images are shown.
pub const MAX_MAPS: usize = 800;
/// Maximum size of the image pictures on one page, in bytes, so that the page can be mailed.
pub const MAX_BYTES: usize = 7 << 20;
/// Number of images shown however many maps each has.
const MIN_IMAGES: usize = 12;

/// The images of the page.
#[derive(Clone, Debug, Default)]
pub struct Gallery {
    /// Descriptions of the maps that every image has.
    pub maps: Vec<MapInfo>,
    /// Index of the map shown first, which is also the one the occlusion checks use.
    pub main: usize,
    /// Images shown, in data order.
    pub cards: Vec<ImageCard>,
    /// Total number of images, including those not shown.
    pub total: usize,
    /// Colormap of the heat maps.
    pub colormap: Colormap,
}

/// Sink that collects the images and predictions of the page.
#[derive(Debug)]
pub struct Collector {
    checker: Checker,
    style: HeatStyle,
    limit: usize,
    maps: Vec<MapInfo>,
    main: usize,
    wrong: Vec<ImageCard>,
    others: Vec<ImageCard>,
    answers: ImagePredictions,
}

impl Collector {
    /// Creates a collector for the images of one run; `style` controls how heat is drawn.
    ///
    /// # Errors
    /// If the model cannot be compiled on its own.
    pub fn new(explainer: &Explainer, style: HeatStyle) -> Result<Self, RunError> {
        let maps = explainer.maps().len().max(1);
        Ok(Self {
            checker: Checker::new(explainer.model())?,
            style,
            limit: (MAX_MAPS / maps).clamp(MIN_IMAGES, MAX_IMAGES),
            maps: Vec::new(),
            main: 0,
            wrong: Vec::new(),
            others: Vec::new(),
            answers: ImagePredictions::new(&explainer.model().class_names),
        })
    }

    /// Returns the images to show and the predictions for all images. If there are too many images, up to half of
    /// those shown are the first misclassified ones; the rest are the first of the others.
    #[must_use]
    pub fn finish(mut self) -> (Gallery, ImagePredictions) {
        let half = self.limit.div_ceil(2).max(self.limit.saturating_sub(self.others.len()));
        self.wrong.truncate(half);
        self.others.truncate(self.limit - self.wrong.len().min(self.limit));
        fit(&mut self.wrong, &mut self.others, MAX_BYTES);
        let mut cards = self.wrong;
        cards.append(&mut self.others);
        cards.sort_by_key(|card| card.item);
        let (total, colormap) = (self.answers.rows.len(), self.style.colormap);
        (Gallery { maps: self.maps, main: self.main, cards, total, colormap }, self.answers)
    }
}

/// Drops the last card of the longer list until the pictures take at most `most` bytes or only 12 cards are left.
pub(super) fn fit(wrong: &mut Vec<ImageCard>, others: &mut Vec<ImageCard>, most: usize) {
    let mut bytes: usize = wrong.iter().chain(others.iter()).map(ImageCard::bytes).sum();
    while bytes > most && wrong.len() + others.len() > MIN_IMAGES {
        let longer = if wrong.len() > others.len() { &mut *wrong } else { &mut *others };
        bytes -= longer.pop().map_or(bytes, |card| card.bytes());
    }
}

impl Sink for Collector {
    fn wants_picture(&self) -> bool {
        true
    }

    fn write(&mut self, seen: &ExplainedImage<'_>) -> Result<(), RunError> {
        self.write_all(std::slice::from_ref(seen))
    }

    fn write_all(&mut self, images: &[ExplainedImage<'_>]) -> Result<(), RunError> {
        if let (true, Some(seen)) = (self.maps.is_empty(), images.first()) {
            let specs = seen.explainer.maps().iter().enumerate();
            self.maps = specs.map(|(at, spec)| MapInfo::new(at, spec, seen)).collect();
            self.main = seen.explanation.main_map().map_or(0, |(at, _)| at);
        }
        let is_wrong =
            |seen: &ExplainedImage<'_>| seen.label().is_some_and(|class| class != seen.explanation.predicted);
        let mut left = [&self.others, &self.wrong].map(|list| self.limit.saturating_sub(list.len()));
        let has_place = |seen: &&ExplainedImage<'_>| {
            let left = &mut left[usize::from(is_wrong(seen))];
            let has_place = *left > 0;
            *left = left.saturating_sub(1);
            has_place
        };
        let shown: Vec<_> = images.iter().filter(has_place).collect();
        let (checker, style) = (&self.checker, self.style);
        let draw = |seen: &&ExplainedImage<'_>| {
            seen.thumbnail.map(|base| ImageCard::new(seen, base, checker, style)).transpose()
        };
        let cards: Vec<Option<ImageCard>> = shown.par_iter().map(draw).collect::<Result<_, _>>()?;
        for (seen, card) in shown.iter().zip(cards) {
            if is_wrong(seen) { self.wrong.extend(card) } else { self.others.extend(card) }
        }
        let rows = images
            .iter()
            .map(|seen| ImagePrediction::of(seen.data.name(seen.item), seen.label(), seen.explanation));
        self.answers.rows.extend(rows);
        Ok(())
    }
}
