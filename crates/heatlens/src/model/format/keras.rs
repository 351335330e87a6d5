//! Keras formats: `.keras` archives and legacy `.h5` files.

use std::collections::BTreeMap;
use std::path::Path;

use heatlens_graph::keras::{KerasError, KerasOptions, open_file_with};
use heatlens_graph::onnx::USUAL_SIZES;

use super::{Cause, Format, InputSize, Opened};

pub(super) const FORMAT: Format = Format { recognises: heatlens_graph::keras::recognises, open };

/// Opens a file. If the file leaves the image size open and none is given, the first common size that the network
/// accepts is used.
fn open(path: &Path, input_size: InputSize) -> Result<Opened, Cause> {
    let read = |input_size| open_file_with(path, &KerasOptions { input_size });
    let (opened, assumed_size) = match read(input_size) {
        Err(error @ KerasError::OpenSize { .. }) if input_size.is_none() => {
            let usual = USUAL_SIZES.into_iter();
            let found =
                usual.map(|size| (read(Some(size)), size)).find_map(|(read, size)| Some((read.ok()?, size)));
            let (opened, size) = found.ok_or(error)?;
            (opened, Some(size))
        }
        read => (read?, None),
    };
    Ok(Opened { graph: opened.graph, notes: opened.warnings, lost_outputs: BTreeMap::new(), assumed_size })
}
