//! ONNX, also used for unknown files: its reader describes their content.

use std::path::Path;

use heatlens_graph::onnx::{OnnxOptions, open_file_with};

use super::{Cause, Format, InputSize, Opened};

pub(super) const FORMAT: Format = Format { recognises: |_| true, open };

fn open(path: &Path, input_size: InputSize) -> Result<Opened, Cause> {
    let opened = open_file_with(path, OnnxOptions { input_size })?;
    let (lost_outputs, assumed_size) = (opened.lost_outputs, opened.assumed_size);
    Ok(Opened { graph: opened.graph, notes: opened.warnings, lost_outputs, assumed_size })
}
