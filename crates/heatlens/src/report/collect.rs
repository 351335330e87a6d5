//! Gathers, while images are explained, what the page shows of them. Memory and page are bounded: beyond a number of
//! images the page shows a choice, and says so.

use crate::explain::Explainer;
use crate::gallery::{Explained, GalleryError, Listener};
use crate::report::answers::{Answer, Answers};
use crate::report::card::{Card, MapInfo};
use crate::report::check::Checker;

/// Most images in one page.
pub const MAX_IMAGES: usize = 200;
/// Most maps in one page: with many maps for each image, fewer images are shown.
pub const MAX_MAPS: usize = 800;
/// Images that are shown however many maps each has.
const MIN_IMAGES: usize = 12;

/// The images of the page.
#[derive(Clone, Debug, Default)]
pub struct Gallery {
    /// What each image has.
    pub maps: Vec<MapInfo>,
    /// The map that is seen first, and that the checks are of.
    pub main: usize,
    /// The images shown, in the order of the data.
    pub cards: Vec<Card>,
    /// How many there are in all.
    pub total: usize,
}

/// A listener that makes the page's images.
#[derive(Debug)]
pub struct Collector {
    checker: Checker,
    limit: usize,
    maps: Vec<MapInfo>,
    main: usize,
    wrong: Vec<Card>,
    others: Vec<Card>,
    answers: Answers,
}

impl Collector {
    /// Gets ready for the images of one run.
    ///
    /// # Errors
    /// If the model cannot be compiled on its own.
    pub fn new(explainer: &Explainer) -> Result<Self, GalleryError> {
        let maps = explainer.maps().len().max(1);
        Ok(Self {
            checker: Checker::new(explainer.model())?,
            limit: (MAX_MAPS / maps).clamp(MIN_IMAGES, MAX_IMAGES),
            maps: Vec::new(),
            main: 0,
            wrong: Vec::new(),
            others: Vec::new(),
            answers: Answers::new(&explainer.model().class_names),
        })
    }

    /// The images to show and what the model said of all. If there are too many, up to half of those shown are the
    /// first that the model got wrong, the others the first of the rest.
    #[must_use]
    pub fn finish(mut self) -> (Gallery, Answers) {
        let half = self.limit.div_ceil(2).max(self.limit.saturating_sub(self.others.len()));
        self.wrong.truncate(half);
        self.others.truncate(self.limit - self.wrong.len().min(self.limit));
        let mut cards = self.wrong;
        cards.append(&mut self.others);
        cards.sort_by_key(|card| card.item);
        (Gallery { maps: self.maps, main: self.main, cards, total: self.answers.rows.len() }, self.answers)
    }
}

impl Listener for Collector {
    fn explained(&mut self, seen: &Explained<'_>) -> Result<(), GalleryError> {
        let explanation = seen.explanation;
        if self.maps.is_empty() {
            let specs = seen.explainer.maps().iter().enumerate();
            self.maps = specs.map(|(at, spec)| MapInfo::new(at, spec, seen)).collect();
            self.main = explanation.main_map().map_or(0, |(at, _)| at);
        }
        let name = seen.data.name(seen.item);
        self.answers.rows.push(Answer::of(name, seen.label(), explanation));
        let wrong = seen.label().is_some_and(|class| class != explanation.predicted);
        let list = if wrong { &mut self.wrong } else { &mut self.others };
        if list.len() < self.limit {
            list.push(Card::new(seen, Some(&self.checker))?);
        }
        Ok(())
    }
}
