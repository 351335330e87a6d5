//! Pictures for the page's section on the data set as a whole.

use crate::data::Dataset;
use crate::dataset::{DatasetFindings, HeatGrid, Observations, Shortcut};
use crate::render::{CropTransform, HeatStyle};
use crate::report::picture::Picture;
use crate::run::RunError;
use crate::stats::text::percent;

/// Maximum number of exemplar images on one page.
const MOST_EXEMPLARS: usize = 96;

/// Findings about the data set, with pictures.
#[derive(Clone, Debug)]
pub struct DataSetPart {
    /// Findings about the data set.
    pub findings: DatasetFindings,
    /// Pictures of each class: the mean map of each outcome, then each cluster with its exemplars.
    pub pictures: Vec<ClassPictures>,
    /// Width and height of the model input.
    pub size: (u32, u32),
}

/// The pictures of one class.
#[derive(Clone, Debug)]
pub struct ClassPictures {
    /// Mean map of each outcome.
    pub outcomes: Vec<Option<Picture>>,
    /// Pictures of each cluster.
    pub clusters: Vec<ClusterPictures>,
}

/// The pictures of one cluster.
#[derive(Clone, Debug)]
pub struct ClusterPictures {
    /// Mean map of the cluster.
    pub mean: Option<Picture>,
    /// Exemplars of the cluster.
    pub exemplars: Vec<Exemplar>,
}

/// A representative image of a cluster.
#[derive(Clone, Debug)]
pub struct Exemplar {
    /// Name of the image.
    pub name: String,
    /// The image.
    pub image: Picture,
    /// Heat of the image as a translucent overlay.
    pub veil: Picture,
}

impl DataSetPart {
    /// Draws the findings in the colours of `style`; exemplars are read from `data` again.
    ///
    /// # Errors
    /// If a picture cannot be drawn, or an image that was explained can no longer be read.
    pub fn new(
        findings: DatasetFindings,
        seen: &Observations,
        data: &dyn Dataset,
        style: HeatStyle,
    ) -> Result<Self, RunError> {
        let [_, h, w] = data.shape();
        let side = |s: usize| u32::try_from(s).unwrap_or(u32::MAX);
        let size = (side(w), side(h));
        let draw = Drawing { view: CropTransform::whole([h, w]), style };
        let mut left = MOST_EXEMPLARS;
        let mut pictures = Vec::new();
        for class in &findings.classes {
            let outcomes =
                class.outcomes.iter().map(|outcome| outcome.mean.as_ref().map(|g| draw.mean(g)).transpose());
            let outcomes = outcomes.collect::<Result<_, _>>()?;
            let mut clusters = Vec::new();
            for cluster in &class.clusters {
                let items = &cluster.exemplars[..cluster.exemplars.len().min(left)];
                left -= items.len();
                let exemplars = items.iter().filter_map(|&item| draw.exemplar(item, seen, data).transpose());
                let exemplars = exemplars.collect::<Result<_, _>>()?;
                clusters.push(ClusterPictures { mean: Some(draw.mean(&cluster.mean)?), exemplars });
            }
            pictures.push(ClassPictures { outcomes, clusters });
        }
        Ok(Self { findings, pictures, size })
    }

    /// Returns one sentence for each suspected shortcut.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        self.findings.shortcuts().map(|(class, _, shortcut)| sentence(&class.name, shortcut))
    }
}

/// Describes a shortcut in one sentence for the user.
pub(super) fn sentence(class: &str, s: &Shortcut) -> String {
    let tested = s.region_test.as_ref().map_or(String::new(), |test| {
        format!(
            " Filling that place in removes {} of the evidence for the class; pasted into images of other classes, it \
             supplies {} of what they lack.",
            percent(test.most().clamp(0.0, 1.0)),
            percent(test.gain.here.clamp(0.0, 1.0))
        )
    });
    format!(
        "In {} of {} images predicted as “{class}”, the heat is concentrated in {}; of the {} other images, \
         in {}.{tested} Check whether something there gives the class away: a mark, a ruler, a caption.",
        s.images, s.of, s.place, s.of_others, s.elsewhere
    )
}

/// View and style for drawing maps.
struct Drawing {
    view: CropTransform,
    style: HeatStyle,
}

impl Drawing {
    fn mean(&self, grid: &HeatGrid) -> Result<Picture, RunError> {
        let map = grid.to_map()?;
        let positive = map.positive().unwrap_or(map);
        Picture::heat(&positive, &self.view, self.style.colormap).map_err(writing)
    }

    fn exemplar(
        &self,
        item: usize,
        seen: &Observations,
        data: &dyn Dataset,
    ) -> Result<Option<Exemplar>, RunError> {
        let at = seen.rows.binary_search_by_key(&item, |row| row.item).ok();
        let Some(grid) = at.and_then(|at| seen.rows[at].grid.as_ref()) else { return Ok(None) };
        let map = grid.to_map()?;
        let positive = map.positive().unwrap_or(map);
        let image = Picture::photo(&data.load(item)?.display).map_err(writing)?;
        let veil = Picture::veil(&positive, &self.view, self.style).map_err(writing)?;
        Ok(Some(Exemplar { name: data.name(item), image, veil }))
    }
}

fn writing(source: std::io::Error) -> RunError {
    RunError::writing("report.html".as_ref())(source)
}
