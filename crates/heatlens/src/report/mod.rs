//! `report.html`: all results for a model's maps on one page that can be sent to a colleague.
//!
//! [`Collector`] is a sink that keeps, within bounds, the images and predictions to show. [`Report`] holds the
//! content of the page, and [`Report::to_html`] renders it: one file with embedded pictures and no network access
//! (its content security policy forbids it). The page is written with `maud`, so every name and value is escaped
//! unless the code says otherwise.

mod collect;
mod data_set;
mod headline;
mod image_card;
mod occlusion_check;
mod outline;
mod page;
mod parts;
mod picture;
mod predictions;
mod provenance;

use std::path::Path;

pub use collect::{Collector, Gallery, MAX_BYTES, MAX_IMAGES, MAX_MAPS};
pub use data_set::{ClassPictures, ClusterPictures, DataSetPart, Exemplar};
pub use image_card::{CardMap, Drawn, ImageCard, MapInfo, Outline};
pub use occlusion_check::OcclusionCheck;
pub use parts::{Headline, ProvenanceEntry, Table, Tone, Training};
pub use picture::Picture;
pub use predictions::{ImagePrediction, ImagePredictions};
pub(crate) use provenance::hexadecimal;
pub use provenance::{facts, fingerprint};

use crate::data::write_atomically;
use crate::run::RunError;
use crate::trust::audit::{Audit, ModelVerdict};

/// Content of a page.
#[derive(Clone, Debug)]
pub struct Report {
    /// Names of the model and the data.
    pub title: String,
    /// The verdict, shown first.
    pub headline: Headline,
    /// The verdict in numbers.
    pub verdict: ModelVerdict,
    /// Warnings to read before trusting a picture.
    pub warnings: Vec<String>,
    /// Predictions for all images.
    pub answers: ImagePredictions,
    /// Training history, if the model was trained with heatlens.
    pub training: Option<Training>,
    /// Audit of the methods.
    pub audit: Option<Audit>,
    /// Images and their maps.
    pub gallery: Gallery,
    /// Findings about the data set as a whole.
    pub data_set: Option<DataSetPart>,
    /// Further tables.
    pub tables: Vec<Table>,
    /// Provenance of the page.
    pub provenance: Vec<ProvenanceEntry>,
}

impl Report {
    /// Renders the page. The same report gives the same bytes.
    #[must_use]
    pub fn to_html(&self) -> String {
        page::page(self).into_string()
    }

    /// Writes the page atomically.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), RunError> {
        let path = path.as_ref();
        write_atomically(path, self.to_html().as_bytes()).map_err(RunError::writing(path))
    }
}

#[cfg(test)]
mod tests;
