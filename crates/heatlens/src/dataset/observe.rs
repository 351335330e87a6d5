//! Sink that keeps one coarse map of every explained image.

use crate::dataset::heat_grid::HeatGrid;
use crate::explain::ImageAttributions;
use crate::render::Map;
use crate::run::{ExplainedImage, RunError, Sink};

/// Maximum number of images kept: the first ones.
pub const MAX_OBSERVED: usize = 20_000;

/// Data kept of one image.
#[derive(Clone, Debug)]
pub struct Observation {
    /// Index of the image in the data.
    pub item: usize,
    /// Label, if known.
    pub label: Option<usize>,
    /// Predicted class.
    pub predicted: usize,
    /// Heat on the grid; `None` if the image has no heat.
    pub grid: Option<HeatGrid>,
}

/// Data kept of all images: the main map of each, or the map at a given index.
#[derive(Clone, Debug, Default)]
pub struct Observations {
    /// Index of the map; the main map if `None`.
    pub at: Option<usize>,
    /// Name of the map; empty if there is none.
    pub map: String,
    /// Class names.
    pub class_names: Vec<String>,
    /// Rows, one per image.
    pub rows: Vec<Observation>,
    /// Number of images beyond [`MAX_OBSERVED`].
    pub left_out: usize,
}

impl Observations {
    fn map_of(&self, explanation: &ImageAttributions) -> Option<(usize, Map)> {
        match self.at {
            Some(at) => Some((at, explanation.attributions.get(at)?.heat()?)),
            None => explanation.main_map(),
        }
    }

    /// Adds one image; images without a spatial map are skipped.
    pub fn push(&mut self, item: usize, label: Option<usize>, explanation: &ImageAttributions) {
        let Some((_, heat)) = self.map_of(explanation) else { return };
        if self.rows.len() >= MAX_OBSERVED {
            self.left_out += 1;
            return;
        }
        self.rows.push(Observation {
            item,
            label,
            predicted: explanation.predicted,
            grid: HeatGrid::of(&heat),
        });
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
