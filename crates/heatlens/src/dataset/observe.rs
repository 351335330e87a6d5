//! Keeps one coarse map of every image while images are explained.

use crate::dataset::grid::Grid;
use crate::explain::Explanation;
use crate::render::Map;
use crate::run::{ExplainedImage, RunError, Sink};

/// Most images that are looked at: the first.
pub const MAX_OBSERVED: usize = 20_000;

/// What is kept of one image.
#[derive(Clone, Debug)]
pub struct Observation {
    /// Its number in the data.
    pub item: usize,
    /// Its class, where it is known.
    pub label: Option<usize>,
    /// What the model says.
    pub predicted: usize,
    /// Where the heat lies, if there is any.
    pub grid: Option<Grid>,
}

/// What is kept of all images: of each its main map, or the one at a given number.
#[derive(Clone, Debug, Default)]
pub struct Observations {
    /// The number of the map; the main map if there is none.
    pub at: Option<usize>,
    /// The name of that map; empty if there is none.
    pub map: String,
    /// Names of the classes.
    pub class_names: Vec<String>,
    /// One for each image.
    pub rows: Vec<Observation>,
    /// Images beyond [`MAX_OBSERVED`].
    pub left_out: usize,
}

impl Observations {
    fn map_of(&self, explanation: &Explanation) -> Option<(usize, Map)> {
        match self.at {
            Some(at) => Some((at, explanation.attributions.get(at)?.heat()?)),
            None => explanation.main_map(),
        }
    }

    /// Takes one image; images without a map that has heat at every place are not counted.
    pub fn push(&mut self, item: usize, label: Option<usize>, explanation: &Explanation) {
        let Some((_, heat)) = self.map_of(explanation) else { return };
        if self.rows.len() >= MAX_OBSERVED {
            self.left_out += 1;
            return;
        }
        self.rows.push(Observation { item, label, predicted: explanation.predicted, grid: Grid::of(&heat) });
    }
}

impl Sink for Observations {
    fn write(&mut self, seen: &ExplainedImage<'_>) -> Result<(), RunError> {
        if self.rows.is_empty() {
            self.map = self.map_of(seen.explanation).map_or(String::new(), |(at, _)| seen.map_title(at));
            self.class_names.clone_from(&seen.explainer.model().class_names);
        }
        self.push(seen.item, seen.label(), seen.explanation);
        Ok(())
    }
}
