//! Classifiers: the graph, its image input, its logits and its class names.
//!
//! [`Model::open`] reads a file, [`head`] finds the logits before a sigmoid or softmax, [`layer`] finds the layers that
//! can be explained, and [`gap`] recognises the global-average-pooling head for which class activation maps were
//! introduced.

pub mod axes;
mod class_names;
pub(crate) mod default_layer;
mod description;
pub mod error;
mod feeds;
mod format;
pub mod gap;
pub mod head;
mod input;
pub mod layer;
mod metadata;
mod names;
#[cfg(test)]
mod placement_laws;
mod preparation;
pub(crate) mod program;
mod region;
mod scaling;
pub mod stages;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use heatlens_graph::onnx::WHOLE_PIXELS;
use heatlens_graph::{Dim, Graph, ValueId};

pub use axes::SpatialLayout;
pub use description::Description;
pub use error::ModelError;
pub use gap::GapHead;
pub use head::{Activation, Dense, Head, HeadKind, Region};
pub use heatlens_image::placement::{self, Cells, Placement, Placing};
pub use layer::Layer;
pub use preparation::Preparation;
pub use scaling::PixelRange;
pub use stages::Stage;

use crate::data::{ArrayNumbers, Preprocessing};
use crate::model::input::Image;

/// An image classifier.
#[derive(Clone, Debug)]
pub struct Model {
    /// Graph of the network.
    pub graph: Graph,
    /// The image input, N×C×H×W.
    pub image: ValueId,
    /// Batch size, if the file fixes it.
    pub batch: Option<usize>,
    /// Location and meaning of the class scores.
    pub head: Head,
    /// One name per class; numbers if the file has no names.
    pub class_names: Vec<String>,
    /// True if the names come from the file or the user.
    pub named: bool,
    /// Conversion of image files to the model's input.
    pub preprocessing: Preprocessing,
    /// True if the preprocessing is known from the file or the user rather than assumed.
    pub described: bool,
    /// Arrays that hold pixels and are preprocessed like image files; they include floats if the preprocessing is
    /// known.
    pub arrays: ArrayNumbers,
    /// Pixel range expected by the arithmetic at the beginning of the graph, if there is any.
    pub own_scaling: Option<PixelRange>,
    /// Notes for the user on the interpretation of the file.
    pub notes: Vec<String>,
}

/// User's choices for ambiguous files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelOptions {
    /// Name of the image input.
    pub input: Option<String>,
    /// Name of the output that holds the scores.
    pub output: Option<String>,
    /// Meaning of the scores; inferred from the graph if `None`.
    pub head: Option<HeadKind>,
    /// True if class names are given separately, which implies that the scores are classes.
    pub named: bool,
    /// True if scores that may be either classes or an embedding are an error unless `head` is set. Otherwise they are
    /// treated as classes, with a note.
    pub ask: bool,
    /// Height and width of the images, for a file that leaves them open.
    pub input_size: Option<[usize; 2]>,
    /// Names of further inputs, with `.npy` files of their values, the same for every image.
    pub feeds: Vec<(String, PathBuf)>,
}

impl Model {
    /// Interprets a graph as an image classifier. Class names and preprocessing are read from the graph's metadata if
    /// heatlens wrote them.
    ///
    /// # Errors
    /// If there is no image input, or there are no class scores among the outputs.
    pub fn from_graph(graph: Graph) -> Result<Self, ModelError> {
        Self::from_graph_with(graph, &ModelOptions::default())
    }

    /// Same as [`from_graph`](Self::from_graph), with options.
    ///
    /// # Errors
    /// As for [`from_graph`](Self::from_graph), and if a named input or output does not exist.
    pub fn from_graph_with(graph: Graph, options: &ModelOptions) -> Result<Self, ModelError> {
        let graph = feeds::fixed(graph, &options.feeds)?;
        let original = (graph.inputs().len() > 1).then(|| graph.clone());
        let image = Image::find(graph, options.input.as_deref())?;
        let Image { mut graph, value, shape, batch, .. } = image;
        let stored_names = metadata::class_names(&graph.metadata)?;
        let named = options.named || stored_names.is_some();
        let head = options.head.or_else(|| metadata::head(&graph.metadata));
        let choices = ModelOptions { head, ..options.clone() };
        let found = Head::find(&mut graph, value, batch, &choices, named).map_err(|error| {
            let name = &graph.value(value).name;
            let further = |graph| input::further_inputs(graph, name, options.output.as_deref());
            match original.as_ref().map(further) {
                Some(further) if !further.is_empty() => ModelError::FurtherInputs(further),
                _ => error,
            }
        })?;
        let (listed, unfit) = class_names::in_metadata(&graph.metadata, found.head.names());
        let found = match &listed {
            // The file names classes, so the scores are classes.
            Some(_) if !named => Head::find(&mut graph, value, batch, &choices, true)?,
            _ => found,
        };
        let head::Found { head, notes: head_notes, question } = found;
        if let Some(question) = question.as_ref().filter(|_| options.ask) {
            return Err(ModelError::Unclear(question.clone()));
        }
        let stored = stored_names.or(listed);
        let named = stored.is_some();
        let class_names = stored.map_or_else(|| head.default_names(&graph), |names| head.all_names(names));
        if class_names.len() != head.classes() {
            return Err(ModelError::ClassNames { found: class_names.len(), expected: head.classes() });
        }
        let stored = metadata::preprocessing(&graph.metadata)?;
        let described = stored.is_some();
        let whole_pixels = graph.metadata.get(WHOLE_PIXELS) == Some(&graph.value(value).name);
        let own_scaling =
            if whole_pixels { Some(PixelRange::Bytes) } else { scaling::own_scaling(&graph, value) };
        let preprocessing = stored.unwrap_or_else(|| {
            let scale = if own_scaling == Some(PixelRange::Bytes) { 255.0 } else { 1.0 };
            Preprocessing { scale, ..Preprocessing::new(shape) }
        });
        if preprocessing.shape() != shape {
            return Err(ModelError::Metadata(format!(
                "its preprocessing makes images of {:?}, its input takes {shape:?}",
                preprocessing.shape()
            )));
        }
        let mut model = Self {
            graph,
            image: value,
            batch,
            head,
            class_names,
            named,
            preprocessing,
            described,
            arrays: if described { ArrayNumbers::Pixels } else { ArrayNumbers::IntegerPixels },
            own_scaling,
            notes: Vec::new(),
        };
        model.take_notes(image.original.as_deref(), &image.ignored);
        model.head.name_classes(&model.class_names, model.named);
        model.notes.extend(unfit.filter(|_| !model.named));
        model.notes.extend(head_notes);
        model.notes.extend(question);
        Ok(model)
    }

    /// Collects notes for the user on the interpretation of the graph.
    fn take_notes(&mut self, original: Option<&str>, ignored: &[String]) {
        let name = &self.graph.value(self.image).name;
        let mut notes = Vec::new();
        if let Some(original) = original {
            notes.push(format!("the input {name:?} is {original}; images, maps and arrays are N×C×H×W here"));
        }
        if !ignored.is_empty() {
            notes.push(format!("the scores need only {name:?}; ignored inputs: {}", ignored.join(", ")));
        }
        if let Some(batch) = self.batch.filter(|&batch| batch > 1) {
            notes.push(format!(
                "the file takes {batch} images at a time; images are run in batches of that \
                size"
            ));
        }
        match self.own_scaling.filter(|_| !self.described) {
            Some(PixelRange::Bytes) => {
                notes.push("the model scales its input itself: pixels go in as 0…255".to_owned());
            }
            Some(PixelRange::Unit) => {
                notes.push("the model normalises its input itself: pixels go in as 0…1".to_owned());
            }
            None => {}
        }
        self.notes = notes;
    }

    /// Opens a model file, ONNX or Keras. The format is detected by content, not by file name.
    ///
    /// # Errors
    /// If the file cannot be read, is not a model, contains unsupported operators, or is not an image classifier.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        Self::open_with(path, &ModelOptions::default())
    }

    /// Same as [`open`](Self::open), with options.
    ///
    /// # Errors
    /// As for [`open`](Self::open), and if a named input or output does not exist.
    pub fn open_with(path: impl AsRef<Path>, options: &ModelOptions) -> Result<Self, ModelError> {
        let path = path.as_ref();
        let in_file = |source| ModelError::File { path: path.to_owned(), source };
        let opened = format::open(path, options.input_size).map_err(in_file)?;
        let found = Self::from_graph_with(opened.graph, options);
        let mut model = found.map_err(|error| match lost(&error, &opened.lost_outputs) {
            Some(reason) => in_file(reason.into()),
            None => error.in_file(path),
        })?;
        let [_, height, width] = model.shape();
        if let Some(wanted) = options.input_size.filter(|&size| size != [height, width]) {
            return Err(ModelError::InputSize { wanted, found: [height, width] }.in_file(path));
        }
        if let Some([height, width]) = opened.assumed_size {
            model.notes.insert(
                0,
                format!(
                    "the file leaves the height and width of its images open; {height}×{width} is used \
                 (--input-size HxW changes it)"
                ),
            );
        }
        model.notes.splice(0..0, opened.notes);
        Ok(model)
    }

    /// Returns the model as an ONNX file, with class names and (unless assumed) preprocessing in its metadata.
    ///
    /// # Errors
    /// If an operator has no standard form.
    pub fn to_onnx(&self) -> Result<Vec<u8>, ModelError> {
        self.write(self.graph.clone())
    }

    /// Returns `graph`, which is derived from this model's, as an ONNX file with this model's metadata.
    pub(crate) fn write(&self, mut graph: Graph) -> Result<Vec<u8>, ModelError> {
        let known = self.described.then_some(&self.preprocessing);
        metadata::store(&mut graph.metadata, self.head.kind, &self.class_names, known);
        heatlens_graph::onnx::write(&graph).map_err(|source| ModelError::Write(Box::new(source)))
    }

    /// Returns a model whose score is the cosine similarity of its embedding with `reference`, computed in the graph.
    /// The head must be [`HeadKind::Similarity`], and `reference` must have the length of the embedding.
    ///
    /// # Errors
    /// If the head is of another kind, or if the reference does not fit or is 0.
    pub fn with_reference(mut self, reference: &[f32]) -> Result<Self, ModelError> {
        let samples = self.batch.map_or(Dim::Batch(1), Dim::Fixed);
        self.head = self.head.with_reference(&mut self.graph, samples, reference)?;
        self.class_names = self.head.default_names(&self.graph);
        self.graph.set_outputs(&[self.head.logits]);
        Ok(self)
    }

    /// Returns a model in which the scores at the places of `region` count. For a segmentation these are `predicted`,
    /// the pixels predicted as the class; `at:ROW,COLUMN`, one pixel of the model's input; or the path of a mask image.
    /// For a detection, `left`, `top`, `right` or `bottom` explain the position of that side of the box.
    ///
    /// # Errors
    /// If the head has no scores at places, or the region does not fit the image.
    pub fn with_region(mut self, region: &str) -> Result<Self, ModelError> {
        let [_, h, w] = self.shape();
        let dense = dense_of(&mut self.head)?;
        let pair = region.strip_prefix("at:").map(|pair| {
            let number = |text: &str| text.trim().parse().ok();
            let (row, column) = pair.split_once(',')?;
            Some([number(row)?, number(column)?])
        });
        if let Some(side) = SIDES.iter().position(|side| *side == region) {
            *dense = dense.of_side(&mut self.graph, side)?;
            return Ok(self);
        }
        dense.region = match (region, pair) {
            _ if dense.boxes.is_some() => {
                return Err(ModelError::Region(format!("expected {}, found {region}", SIDES.join(", "))));
            }
            ("predicted", _) => Region::Predicted,
            (_, Some(Some(pixel))) => dense.pixel(pixel, [h, w])?,
            (_, Some(None)) => {
                return Err(ModelError::Region(format!(
                    "expected at:ROW,COLUMN such as at:120,80, found {region}"
                )));
            }
            (path, None) => {
                let (mask, size) = region::read(path.as_ref())?;
                dense.mask(&mask, size)?
            }
        };
        Ok(self)
    }

    /// Returns a model in which the scores of a segmentation count at the pixels of a mask: rows and columns of any size,
    /// true for the pixels inside.
    ///
    /// # Errors
    /// If the model is not a segmentation, or the mask is empty or has another number of values.
    pub fn with_region_mask(
        mut self,
        inside: &[bool],
        [rows, columns]: [usize; 2],
    ) -> Result<Self, ModelError> {
        let dense = dense_of(&mut self.head)?;
        if rows.checked_mul(columns) != Some(inside.len()) {
            let found = inside.len();
            return Err(ModelError::Region(format!(
                "expected a mask of {rows}×{columns} values, found {found}"
            )));
        }
        let weights: Vec<f32> = inside.iter().map(|&inside| f32::from(u8::from(inside))).collect();
        dense.region = dense.mask(&weights, [rows, columns])?;
        Ok(self)
    }

    /// Returns the shape of the image, `[c, h, w]`.
    #[must_use]
    pub fn shape(&self) -> [usize; 3] {
        self.preprocessing.shape()
    }
}

/// Sides of a box.
const SIDES: [&str; 4] = ["left", "top", "right", "bottom"];

/// Returns the reason why the output missed by an error could not be read.
fn lost(error: &ModelError, outputs: &BTreeMap<String, String>) -> Option<String> {
    match error {
        ModelError::UnknownOutput { name, .. } => outputs.get(name).cloned(),
        ModelError::Outputs(_) => outputs.values().next().cloned(),
        _ => None,
    }
}

/// Returns numbers as names for unnamed classes.
#[must_use]
pub fn numbered(classes: usize) -> Vec<String> {
    (0..classes).map(|k| k.to_string()).collect()
}

/// Returns the scores at positions.
fn dense_of(head: &mut Head) -> Result<&mut Dense, ModelError> {
    head.dense.as_mut().ok_or_else(|| {
        ModelError::Region("only segmentation and detection models have scores at positions".to_owned())
    })
}
