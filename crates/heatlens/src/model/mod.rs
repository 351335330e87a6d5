//! A classifier: its graph, which input is the image, where its logits are, and what its classes
//! are called.
//!
//! [`Model::open`] reads a file, [`head`] finds the logits behind a sigmoid or softmax, [`layer`]
//! the values one can look at, and [`gap`] recognises the global-average-pooling head for which
//! class activation maps were invented.

pub mod axes;
pub(crate) mod choice;
mod class_names;
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
pub mod placement;
mod preparation;
pub(crate) mod program;
mod region;
mod scaling;
pub mod stages;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use heatlens_graph::onnx::WHOLE_PIXELS;
use heatlens_graph::{Dim, Graph, ValueId};

pub use axes::Grid;
pub use description::Description;
pub use error::ModelError;
pub use gap::GapHead;
pub use head::{Activation, Dense, Head, HeadKind, Region};
pub use layer::Layer;
pub use placement::{Cells, Placement, Placing};
pub use preparation::Preparation;
pub use scaling::PixelRange;
pub use stages::Stage;

use crate::data::{ArrayNumbers, Preprocessing};
use crate::model::input::Image;

/// An image classifier.
#[derive(Clone, Debug)]
pub struct Model {
    /// The network.
    pub graph: Graph,
    /// The value that takes the image, N×C×H×W.
    pub image: ValueId,
    /// How many images go in at once, where the file fixes that.
    pub batch: Option<usize>,
    /// Where the class scores are.
    pub head: Head,
    /// One name for each class; made up from numbers where the file has none.
    pub class_names: Vec<String>,
    /// Whether the names come from the file or a person.
    pub named: bool,
    /// How an image file becomes the model's input.
    pub preprocessing: Preprocessing,
    /// Whether that is known, because the file or a person says so; otherwise it is a guess.
    pub described: bool,
    /// Which arrays hold pixels, to be prepared as image files are: also floats where the preparation is known.
    pub arrays: ArrayNumbers,
    /// The range of pixels that the graph's own arithmetic at its start is made for, if it has any.
    pub own_scaling: Option<PixelRange>,
    /// What a person should know about how the file was understood.
    pub notes: Vec<String>,
}

/// What a person chooses where a file leaves a choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelOptions {
    /// The input that takes the image.
    pub input: Option<String>,
    /// The output that holds the scores.
    pub output: Option<String>,
    /// What the scores mean; found out from the graph if not given.
    pub head: Option<HeadKind>,
    /// Whether names of the classes are known from elsewhere, so that there are classes.
    pub named: bool,
    /// Whether a list of numbers that may be class scores or an embedding is refused until `head` says which. Otherwise
    /// it counts as classes, and a note says so.
    pub ask: bool,
    /// Height and width of the images, for a file that leaves them open.
    pub input_size: Option<[usize; 2]>,
    /// Names of further inputs and `.npy` files with what goes into them, the same for every image.
    pub feeds: Vec<(String, PathBuf)>,
}

impl Model {
    /// Understands a graph as an image classifier. Class names and preprocessing are read from
    /// the graph's metadata where we wrote them.
    ///
    /// # Errors
    /// If there is no image input or no class scores among the outputs.
    pub fn from_graph(graph: Graph) -> Result<Self, ModelError> {
        Self::from_graph_with(graph, &ModelOptions::default())
    }

    /// Like [`from_graph`](Self::from_graph), with the input or output chosen.
    ///
    /// # Errors
    /// As there; also if an input or output of that name does not exist.
    pub fn from_graph_with(graph: Graph, options: &ModelOptions) -> Result<Self, ModelError> {
        let graph = feeds::fixed(graph, &options.feeds)?;
        let original = graph.clone();
        let image = Image::find(graph, options.input.as_deref())?;
        let Image { mut graph, value, shape, batch, .. } = image;
        let stored_names = metadata::class_names(&graph.metadata)?;
        let named = options.named || stored_names.is_some();
        let head = options.head.or_else(|| metadata::head(&graph.metadata));
        let choices = ModelOptions { head, ..options.clone() };
        let found = Head::find(&mut graph, value, batch, &choices, named).map_err(|error| {
            let name = &graph.value(value).name;
            match input::further_inputs(&original, name, options.output.as_deref()) {
                further if further.is_empty() => error,
                further => ModelError::FurtherInputs(further),
            }
        })?;
        let (listed, unfit) = class_names::in_metadata(&graph.metadata, found.head.names());
        let found = match &listed {
            // The file names classes, so there are some.
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

    /// What a person should know about how the graph was understood.
    fn take_notes(&mut self, original: Option<&str>, ignored: &[String]) {
        let name = &self.graph.value(self.image).name;
        let mut notes = Vec::new();
        if let Some(original) = original {
            notes.push(format!("the input {name:?} is {original}; images, maps and arrays are N×C×H×W here"));
        }
        if !ignored.is_empty() {
            notes.push(format!("the scores need only {name:?}; left aside: {}", ignored.join(", ")));
        }
        if let Some(batch) = self.batch.filter(|&batch| batch > 1) {
            notes.push(format!("the file takes {batch} images at a time; they go in so many together"));
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

    /// Opens a model file, ONNX or Keras. It is recognised by its content, whatever it is called.
    ///
    /// # Errors
    /// If the file can't be read, is no model, holds operators we do not know, or is no image classifier.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        Self::open_with(path, &ModelOptions::default())
    }

    /// Like [`open`](Self::open), with the input or output chosen.
    ///
    /// # Errors
    /// As there; also if an input or output of that name does not exist.
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
            model.notes.insert(0, format!(
                "the file leaves height and width of its images open; taken: {height}×{width} (--input-size HxW chooses)"
            ));
        }
        model.notes.splice(0..0, opened.notes);
        Ok(model)
    }

    /// The model as an ONNX file, class names and (where it is no guess) preprocessing in its metadata.
    ///
    /// # Errors
    /// If an operator has no standard form.
    pub fn to_onnx(&self) -> Result<Vec<u8>, ModelError> {
        self.write(self.graph.clone())
    }

    /// `graph`, derived from this model's, as an ONNX file with this model's metadata.
    pub(crate) fn write(&self, mut graph: Graph) -> Result<Vec<u8>, ModelError> {
        let known = self.described.then_some(&self.preprocessing);
        metadata::store(&mut graph.metadata, self.head.kind, &self.class_names, known);
        heatlens_graph::onnx::write(&graph).map_err(|source| ModelError::Write(Box::new(source)))
    }

    /// The model whose score is the cosine of its embedding with `reference`, computed in the graph. The head must be
    /// [`HeadKind::Similarity`], `reference` as long as the embedding.
    ///
    /// # Errors
    /// If the head is another one, or the reference does not fit or is 0.
    pub fn with_reference(mut self, reference: &[f32]) -> Result<Self, ModelError> {
        let samples = self.batch.map_or(Dim::Batch(1), Dim::Fixed);
        self.head = self.head.with_reference(&mut self.graph, samples, reference)?;
        self.class_names = self.head.default_names(&self.graph);
        self.graph.set_outputs(&[self.head.logits]);
        Ok(self)
    }

    /// The model whose scores at many places count where `region` says: `predicted`, the pixels that are taken for the class;
    /// `at:ROW,COLUMN`, one pixel of the model's input; or the path of a mask picture. Of a detection `left`, `top`, `right` or
    /// `bottom` explain where that side of the box lies.
    ///
    /// # Errors
    /// If the head has no scores at places, or the region does not fit the image.
    pub fn with_region(mut self, region: &str) -> Result<Self, ModelError> {
        let [_, h, w] = self.shape();
        let Some(dense) = &mut self.head.dense else {
            return Err(ModelError::Region(
                "only a segmentation or a detection has scores at places".to_owned(),
            ));
        };
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

    /// The image's `[c, h, w]`.
    #[must_use]
    pub fn shape(&self) -> [usize; 3] {
        self.preprocessing.shape()
    }
}

/// The sides of a box.
const SIDES: [&str; 4] = ["left", "top", "right", "bottom"];

/// Why the output that an error misses could not be read.
fn lost(error: &ModelError, outputs: &BTreeMap<String, String>) -> Option<String> {
    match error {
        ModelError::UnknownOutput { name, .. } => outputs.get(name).cloned(),
        ModelError::Outputs(_) => outputs.values().next().cloned(),
        _ => None,
    }
}

/// Names for classes that have none.
#[must_use]
pub fn numbered(classes: usize) -> Vec<String> {
    (0..classes).map(|k| k.to_string()).collect()
}
