//! A classifier: its graph, which input is the image, where its logits are, and what its classes
//! are called.
//!
//! [`Model::open`] reads a file, [`head`] finds the logits behind a sigmoid or softmax, [`layer`]
//! the values one can look at, and [`gap`] recognises the global-average-pooling head for which
//! class activation maps were invented.

pub mod axes;
mod choice;
mod class_names;
pub mod error;
mod format;
pub mod gap;
pub mod head;
mod input;
pub mod layer;
mod metadata;
mod names;
mod preparation;
pub(crate) mod program;
mod scaling;
pub mod stages;

use std::path::Path;

use heatlens_graph::{Graph, ValueId};

pub use axes::Grid;
pub use error::ModelError;
pub use gap::GapHead;
pub use head::{Activation, Head};
pub use layer::Layer;
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
    /// The output that holds the class scores.
    pub output: Option<String>,
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
        let original = graph.clone();
        let image = Image::find(graph, options.input.as_deref())?;
        let Image { graph, value, shape, batch, .. } = image;
        let head = Head::find(&graph, value, batch, options.output.as_deref()).map_err(|error| {
            let name = &graph.value(value).name;
            match input::further_inputs(&original, name, options.output.as_deref()) {
                further if further.is_empty() => error,
                further => ModelError::FurtherInputs(further),
            }
        })?;
        let (found, unfit) = class_names::in_metadata(&graph.metadata, head.classes());
        let stored = metadata::class_names(&graph.metadata)?.or(found);
        let named = stored.is_some();
        let class_names = stored.unwrap_or_else(|| numbered(head.classes()));
        if class_names.len() != head.classes() {
            return Err(ModelError::ClassNames { found: class_names.len(), expected: head.classes() });
        }
        let stored = metadata::preprocessing(&graph.metadata)?;
        let described = stored.is_some();
        let own_scaling = scaling::own_scaling(&graph, value);
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
        model.notes.extend(unfit.filter(|_| !model.named));
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
        if self.head.activation == Activation::None && self.head.outputs == 1 {
            notes.push("the one output has no sigmoid; it is taken as the logit z of class 1".to_owned());
        }
        self.notes = notes;
    }

    /// Opens a model file, ONNX or Keras. It is recognised by its content, whatever it is called.
    ///
    /// # Errors
    /// If the file can't be read, is no model, holds operators we do not know, or is no image classifier.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        Self::open_with(path, &ModelOptions::default())
    }

    /// Like [`open`](Self::open), with the input or output chosen.
    ///
    /// # Errors
    /// As there; also if an input or output of that name does not exist.
    pub fn open_with(path: &Path, options: &ModelOptions) -> Result<Self, ModelError> {
        let opened =
            format::open(path).map_err(|source| ModelError::File { path: path.to_owned(), source })?;
        let mut model = Self::from_graph_with(opened.graph, options).map_err(|e| e.in_file(path))?;
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
        metadata::store(&mut graph.metadata, &self.class_names, known);
        heatlens_graph::onnx::write(&graph).map_err(|source| ModelError::Write(Box::new(source)))
    }

    /// The image's `[c, h, w]`.
    #[must_use]
    pub fn shape(&self) -> [usize; 3] {
        self.preprocessing.shape()
    }
}

/// Names for classes that have none.
#[must_use]
pub fn numbered(classes: usize) -> Vec<String> {
    (0..classes).map(|k| k.to_string()).collect()
}
