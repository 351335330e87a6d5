//! A classifier: its graph, which input is the image, where its logits are, and what its classes
//! are called.
//!
//! [`Model::open`] reads a file, [`head`] finds the logits behind a sigmoid or softmax, [`layer`]
//! the values one can look at, and [`gap`] recognises the global-average-pooling head for which
//! class activation maps were invented.

pub mod error;
pub mod gap;
pub mod head;
pub mod layer;
mod metadata;
pub(crate) mod program;

use std::path::Path;

use heatlens_graph::{DType, Dim, Graph, ValueId};

pub use error::ModelError;
pub use gap::GapHead;
pub use head::{Activation, Head};
pub use layer::Layer;

use crate::data::Preprocessing;

/// An image classifier.
#[derive(Clone, Debug)]
pub struct Model {
    /// The network.
    pub graph: Graph,
    /// The value that takes the image, N×C×H×W.
    pub image: ValueId,
    /// Where the class scores are.
    pub head: Head,
    /// One name for each class; made up from numbers where the file has none.
    pub class_names: Vec<String>,
    /// How an image file becomes the model's input.
    pub preprocessing: Preprocessing,
    /// What a person should know about how the file was understood.
    pub notes: Vec<String>,
}

impl Model {
    /// Understands a graph as an image classifier. Class names and preprocessing are read from
    /// the graph's metadata where we wrote them.
    ///
    /// # Errors
    /// If there is no image input or no class scores among the outputs.
    pub fn from_graph(graph: Graph) -> Result<Self, ModelError> {
        let image = find_image(&graph)?;
        let shape = image_shape(&graph, image)?;
        let head = Head::find(&graph)?;
        let mut notes = Vec::new();
        if head.activation == Activation::None && head.outputs == 1 {
            notes.push("the one output has no sigmoid; it is taken as the logit z of class 1".to_owned());
        }
        let class_names = metadata::class_names(&graph.metadata)?.unwrap_or_else(|| numbered(head.classes()));
        if class_names.len() != head.classes() {
            return Err(ModelError::ClassNames { found: class_names.len(), expected: head.classes() });
        }
        let stored = metadata::preprocessing(&graph.metadata)?;
        let preprocessing = stored.unwrap_or_else(|| Preprocessing::new(shape));
        if preprocessing.shape() != shape {
            return Err(ModelError::Metadata(format!(
                "its preprocessing makes images of {:?}, its input takes {shape:?}",
                preprocessing.shape()
            )));
        }
        Ok(Self { graph, image, head, class_names, preprocessing, notes })
    }

    /// Opens a model file. ONNX is recognised by its content, whatever the file is called.
    ///
    /// # Errors
    /// If the file can't be read, is no model, holds operators we do not know, or is no image classifier.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let opened = heatlens_graph::onnx::open_file(path)
            .map_err(|source| ModelError::File { path: path.to_owned(), source: Box::new(source) })?;
        let mut model = Self::from_graph(opened.graph).map_err(|e| e.in_file(path))?;
        model.notes.splice(0..0, opened.warnings);
        Ok(model)
    }

    /// The model as an ONNX file, class names and preprocessing in its metadata.
    ///
    /// # Errors
    /// If an operator has no standard form.
    pub fn to_onnx(&self) -> Result<Vec<u8>, ModelError> {
        self.write(self.graph.clone())
    }

    /// `graph`, derived from this model's, as an ONNX file with this model's metadata.
    pub(crate) fn write(&self, mut graph: Graph) -> Result<Vec<u8>, ModelError> {
        metadata::store(&mut graph.metadata, &self.class_names, &self.preprocessing);
        heatlens_graph::onnx::write(&graph).map_err(|source| ModelError::Write(Box::new(source)))
    }

    /// The image's `[c, h, w]`.
    #[must_use]
    pub fn shape(&self) -> [usize; 3] {
        self.preprocessing.shape()
    }
}

/// The only floating-point input of rank 4.
fn find_image(graph: &Graph) -> Result<ValueId, ModelError> {
    let inputs = graph.inputs();
    let is_image = |&&id: &&ValueId| {
        let fact = graph.fact(id);
        fact.dtype == DType::F32 && fact.shape.rank() == 4
    };
    let images: Vec<ValueId> = inputs.iter().filter(is_image).copied().collect();
    match (images.as_slice(), inputs.len()) {
        (&[image], 1) => Ok(image),
        _ => {
            let describe = |&id: &ValueId| format!("{:?} ({})", graph.value(id).name, graph.fact(id).shape);
            Err(ModelError::Inputs(inputs.iter().map(describe).collect()))
        }
    }
}

fn image_shape(graph: &Graph, image: ValueId) -> Result<[usize; 3], ModelError> {
    let shape = &graph.fact(image).shape;
    match shape.0.as_slice() {
        &[Dim::Batch(1), Dim::Fixed(c), Dim::Fixed(h), Dim::Fixed(w)] if c * h * w > 0 => Ok([c, h, w]),
        _ => Err(ModelError::Inputs(vec![format!("{:?} ({shape})", graph.value(image).name)])),
    }
}

/// Names for classes that have none.
#[must_use]
pub fn numbered(classes: usize) -> Vec<String> {
    (0..classes).map(|k| k.to_string()).collect()
}
