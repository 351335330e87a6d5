//! `report.html`: everything that is known of a model's maps on one page that can be sent to a colleague.
//!
//! [`Collector`] listens while images are explained and keeps what the page shows, within bounds. [`Report`] is what
//! the page says, [`Report::to_html`] writes it: one file, pictures inside, no network (the page forbids it itself).
//! The page is written with `maud`, so that every name and value is escaped unless the code says otherwise.

mod answers;
mod card;
mod check;
mod collect;
mod data_set;
mod headline;
mod outline;
mod page;
mod parts;
mod picture;
mod provenance;

use std::path::Path;

pub use answers::{Answer, Answers};
pub use card::{Card, CardMap, Drawn, MapInfo, Outline};
pub use check::Check;
pub use collect::{Collector, Gallery, MAX_BYTES, MAX_IMAGES, MAX_MAPS};
pub use data_set::{ClassPictures, ClusterPictures, DataSetPart, Exemplar};
pub use parts::{Fact, Headline, Table, Tone, Training};
pub use picture::Picture;
pub(crate) use provenance::hexadecimal;
pub use provenance::{facts, fingerprint};

use crate::data::write_atomically;
use crate::run::RunError;
use crate::trust::audit::{Audit, ModelVerdict};

/// What a page says.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was explained: the model's name and the data's.
    pub title: String,
    /// The verdict, as the page's first words.
    pub headline: Headline,
    /// The verdict in numbers.
    pub verdict: ModelVerdict,
    /// What else must be known before a picture is believed.
    pub warnings: Vec<String>,
    /// The predictions for all images.
    pub answers: Answers,
    /// How it was trained.
    pub training: Option<Training>,
    /// How far each method can be believed.
    pub audit: Option<Audit>,
    /// The images and their maps.
    pub gallery: Gallery,
    /// What the model looks at across the data set.
    pub data_set: Option<DataSetPart>,
    /// Other tables.
    pub tables: Vec<Table>,
    /// Where all this comes from.
    pub provenance: Vec<Fact>,
}

impl Report {
    /// The whole page. The same report gives the same bytes.
    #[must_use]
    pub fn to_html(&self) -> String {
        page::page(self).into_string()
    }

    /// Writes the page, whole or not at all.
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
