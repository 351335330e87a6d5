//! What is explained: which class, and its logit or its probability.

use heatlens_graph::op::binary::BinaryFunction;
use heatlens_graph::op::pool::MaxPool;
use heatlens_graph::op::pool_grad::MaxPoolGrad;
use heatlens_graph::op::r#where::Where;
use heatlens_graph::op::window::Window;
use heatlens_graph::{Builder, Dim, Graph, GraphError, Shape, Tensor, ValueId};

use crate::explain::ExplainError;
use crate::model::{Model, ModelError};

/// Which class is explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Whichever the model predicts, image by image.
    Predicted,
    /// This class, for every image.
    Class(usize),
    /// Every class in turn.
    All,
}

/// Which number of a class is explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Score {
    /// The value before sigmoid or softmax: it never saturates.
    Logit,
    /// The value after it; its gradient vanishes where the model is sure.
    Probability,
}

impl Target {
    /// Reads `predicted`, `all`, a class name or a class number.
    ///
    /// # Errors
    /// If there is no such class.
    pub fn parse(text: &str, model: &Model) -> Result<Self, ModelError> {
        let names = &model.class_names;
        let by_number = || text.parse().ok().filter(|&k: &usize| k < names.len());
        match text {
            "predicted" => Ok(Self::Predicted),
            "all" => Ok(Self::All),
            _ => names
                .iter()
                .position(|n| n == text)
                .or_else(by_number)
                .map(Self::Class)
                .ok_or_else(|| ModelError::UnknownClass { name: text.to_owned(), classes: names.clone() }),
        }
    }

    /// The classes, one after the other; `None` stands for the predicted one.
    pub(super) fn classes(&self, model: &Model) -> Result<Vec<Option<usize>>, ModelError> {
        match *self {
            Self::Predicted => Ok(vec![None]),
            Self::All => Ok((0..model.head.classes()).map(Some).collect()),
            Self::Class(k) if k < model.head.classes() => Ok(vec![Some(k)]),
            Self::Class(k) => {
                Err(ModelError::UnknownClass { name: k.to_string(), classes: model.class_names.clone() })
            }
        }
    }
}

/// Appends the scores as N×K and the seed that picks a class from them.
pub(super) fn scores_and_seed(
    graph: &mut Graph,
    model: &Model,
    score: Score,
    class: Option<usize>,
) -> Result<(ValueId, ValueId), ExplainError> {
    let outputs = model.head.outputs;
    let from = match score {
        Score::Logit => model.head.logits,
        Score::Probability => model.head.output,
    };
    let mut b = Builder::new(graph, "target");
    let shape = Shape(vec![Dim::Batch(1), Dim::Fixed(outputs)]);
    let logits = b.reshape(model.head.logits, shape.clone())?;
    let scores = b.reshape(from, shape)?;
    let seed = match class {
        Some(class) => fixed_seed(&mut b, outputs, class),
        None if outputs == 1 => sign_seed(&mut b, logits)?,
        None => winner_seed(&mut b, logits, outputs)?,
    };
    Ok((scores, seed))
}

/// One row for every sample: one-hot, or ±1 where a single logit tells two classes apart.
fn fixed_seed(b: &mut Builder<'_>, outputs: usize, class: usize) -> ValueId {
    let row = match (outputs, class) {
        (1, 0) => vec![-1.0],
        (1, _) => vec![1.0],
        _ => (0..outputs).map(|k| if k == class { 1.0 } else { 0.0 }).collect(),
    };
    b.constant(Tensor::f32(&[1, outputs], row))
}

/// +1 where z > 0 (class 1 is predicted), −1 elsewhere.
fn sign_seed(b: &mut Builder<'_>, logits: ValueId) -> Result<ValueId, GraphError> {
    let (zero, plus, minus) = (b.scalar(0.0), b.scalar(1.0), b.scalar(-1.0));
    let positive = b.binary(BinaryFunction::Greater, logits, zero)?;
    b.apply(Where, &[positive, plus, minus])
}

/// One-hot at the highest logit, the first of equals: exactly what the gradient of a max-pool over
/// all of them is.
fn winner_seed(b: &mut Builder<'_>, logits: ValueId, outputs: usize) -> Result<ValueId, GraphError> {
    let plane = Shape(vec![Dim::Batch(1), Dim::Fixed(1), Dim::Fixed(1), Dim::Fixed(outputs)]);
    let one = Shape(vec![Dim::Batch(1), Dim::Fixed(1), Dim::Fixed(1), Dim::Fixed(1)]);
    let flat = b.shape(logits);
    let x = b.reshape(logits, plane)?;
    let scalar = b.scalar(1.0);
    let ones = b.expand(scalar, one)?;
    let pool = MaxPool { window: Window::new(&[1, outputs]), ceil_mode: false };
    let winner = b.apply(MaxPoolGrad { pool }, &[x, ones])?;
    b.reshape(winner, flat)
}
