//! Keras: `.keras` archives and legacy `.h5` files.

use std::path::Path;

use super::{Cause, Format, Opened};

pub(super) const FORMAT: Format = Format { recognises: heatlens_graph::keras::recognises, open };

fn open(path: &Path) -> Result<Opened, Cause> {
    let opened = heatlens_graph::keras::open_file(path)?;
    Ok(Opened { graph: opened.graph, notes: opened.warnings })
}
