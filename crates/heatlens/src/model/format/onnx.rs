//! ONNX, and whatever no other format claims: its reader says what a stranger looks like.

use std::path::Path;

use super::{Cause, Format, Opened};

pub(super) const FORMAT: Format = Format { recognises: |_| true, open };

fn open(path: &Path) -> Result<Opened, Cause> {
    let opened = heatlens_graph::onnx::open_file(path)?;
    Ok(Opened { graph: opened.graph, notes: opened.warnings })
}
