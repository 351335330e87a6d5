//! The columns of the table of methods, for the terminal and the page.

use super::{Audit, MethodAudit};
use crate::metric::{self, Better};
use crate::stats::MeanEstimate;

/// Metrics with a column if they were measured; `audit.json` has all of them.
const METRICS: [&str; 7] = [
    "insertion",
    "deletion",
    "road_combined",
    "average_drop",
    "max_sensitivity",
    "energy_pointing",
    "pointing_game",
];

/// One measure for all methods.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Title.
    pub name: &'static str,
    /// Meaning in one sentence.
    pub meaning: &'static str,
    /// Direction of better values.
    pub better: Better,
    /// True if the values are shares, shown in per cent.
    pub percent: bool,
    /// True if the measure does not separate the methods on this model.
    pub uninformative: bool,
    /// One value per method, in the order of [`Audit::methods`]; `None` if it was not measured.
    pub cells: Vec<Option<MeanEstimate>>,
}

impl Column {
    /// Returns an arrow in the direction of better values, after a space; nothing if there is no such direction.
    #[must_use]
    pub fn arrow(&self) -> &'static str {
        match self.better {
            Better::Higher => " ↑",
            Better::Lower => " ↓",
            Better::Neither => "",
        }
    }

    /// Returns the range of all intervals, extended to 0.
    #[must_use]
    pub fn range(&self) -> (f64, f64) {
        let cells = self.cells.iter().flatten();
        cells.fold((0.0, 0.0), |(low, high), cell| (cell.low.min(low), cell.high.max(high)))
    }
}

impl Audit {
    /// Returns the score, the similarity after weight randomization, and the main metrics, as far as they were measured.
    #[must_use]
    pub fn columns(&self) -> Vec<Column> {
        let of =
            |cell: &dyn Fn(&MethodAudit) -> Option<MeanEstimate>| self.methods.iter().map(cell).collect();
        let kept = |method: &MethodAudit| {
            let mean = method.randomisation.as_ref()?.share_kept();
            Some(MeanEstimate { mean, low: mean, high: mean, images: 1 })
        };
        let score = Column {
            name: "Better than others",
            meaning: "share of the other methods that a method beats on the faithfulness metrics, image by image",
            better: Better::Higher,
            percent: true,
            uninformative: false,
            cells: of(&|method| Some(method.score).filter(|score| score.images > 0)),
        };
        let kept = Column {
            name: "Kept",
            meaning: "similarity of the map after the weights are randomised (0 %: as alike as maps of different \
                images, 100 %: unchanged); if it is significantly above 33 %, the method ignores the model",
            better: Better::Lower,
            cells: of(&kept),
            ..score
        };
        let metrics = METRICS.iter().filter_map(|id| metric::find(id)).map(|metric| Column {
            name: metric.title,
            meaning: metric.summary,
            better: metric.better,
            percent: false,
            uninformative: self.uninformative.iter().any(|id| id == metric.id),
            cells: of(&|method| method.metrics.get(metric.id).copied()),
        });
        let measured = |column: &Column| column.cells.iter().any(Option::is_some);
        let further: Vec<Column> = std::iter::once(kept).chain(metrics).filter(measured).collect();
        std::iter::once(score).chain(further).collect()
    }
}
