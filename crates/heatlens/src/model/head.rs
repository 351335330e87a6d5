//! Where a classifier's scores are.
//!
//! Files end in probabilities, explanations want logits: a saturated sigmoid or softmax has no
//! gradient left, and the picture would be black. So the last sigmoid or softmax is recognised (also
//! where it is written out in simpler operators) and stepped back over. It counts as the head only
//! if it feeds outputs alone.

mod written_out;

use heatlens_graph::differentiate::depends_on;
use heatlens_graph::op::cast::Cast;
use heatlens_graph::op::identity::Identity;
use heatlens_graph::op::reshape::{Flatten, Reshape, Squeeze, Unsqueeze};
use heatlens_graph::op::softmax::Softmax;
use heatlens_graph::op::unary::{Unary, UnaryFunction};
use heatlens_graph::{DType, Dim, Graph, Node, ValueId};

use crate::data::MAX_CLASSES;
use crate::model::ModelError;

/// What a file applies to its logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing: the file gives logits.
    None,
    /// 1 ÷ (1 + e⁻ᶻ).
    Sigmoid,
    /// eᶻ ÷ Σ eᶻ.
    Softmax,
    /// The logarithm of that.
    LogSoftmax,
}

impl Activation {
    /// The name that people know.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Sigmoid => "sigmoid",
            Self::Softmax => "softmax",
            Self::LogSoftmax => "log-softmax",
        }
    }
}

/// The logits and what follows them.
#[derive(Clone, Debug)]
pub struct Head {
    /// The logits; for one sample, `outputs` elements.
    pub logits: ValueId,
    /// What the file hands out.
    pub output: ValueId,
    /// What lies between.
    pub activation: Activation,
    /// Number of logits.
    pub outputs: usize,
}

impl Head {
    /// Finds the logits behind the output called `name`, or behind the first output that is a list of
    /// scores for each sample. `batch` is the number of samples where the file fixes it.
    ///
    /// # Errors
    /// If there is no such output, or it is no list of scores computed from the image.
    pub fn find(
        graph: &Graph,
        image: ValueId,
        batch: Option<usize>,
        name: Option<&str>,
    ) -> Result<Self, ModelError> {
        let from_image = depends_on(graph, &[image]);
        let describe = |&id: &ValueId| format!("{:?} ({})", graph.value(id).name, graph.fact(id).shape);
        let found = || graph.outputs().iter().map(describe).collect();
        let scores = |id: &ValueId| scores(graph, *id, batch).filter(|_| from_image[id.index()]);
        let (output, outputs) = match name {
            Some(name) => {
                let output = graph.outputs().iter().copied().find(|&id| graph.value(id).name == name);
                let unknown = || ModelError::UnknownOutput { name: name.to_owned(), found: found() };
                let output = output.ok_or_else(unknown)?;
                (output, scores(&output).ok_or_else(|| ModelError::Outputs(vec![describe(&output)]))?)
            }
            None => {
                let first = graph.outputs().iter().find_map(|id| Some((*id, scores(id)?)));
                first.ok_or_else(|| ModelError::Outputs(found()))?
            }
        };
        let (logits, activation) = step_back(graph, output);
        Ok(Self { logits, output, activation, outputs })
    }

    /// Number of classes: a single logit tells two classes apart.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.outputs.max(2)
    }

    /// Whether one logit tells two classes apart.
    #[must_use]
    pub fn is_binary(&self) -> bool {
        self.outputs == 1
    }

    /// Whether the file hands out probabilities, so that they need not be made of its logits.
    #[must_use]
    pub(crate) fn ends_in_probabilities(&self) -> bool {
        matches!(self.activation, Activation::Sigmoid | Activation::Softmax)
    }

    /// The probability of each class from a sample's logits. A head without an activation counts
    /// as softmax, or as sigmoid where it has one output.
    #[must_use]
    pub fn probabilities(&self, logits: &[f32]) -> Vec<f64> {
        let sigmoid = |z: f32| 1.0 / (1.0 + (-f64::from(z)).exp());
        if let &[z] = logits {
            return vec![sigmoid(-z), sigmoid(z)];
        }
        if self.activation == Activation::Sigmoid {
            return logits.iter().map(|&z| sigmoid(z)).collect();
        }
        let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f64> = logits.iter().map(|&z| f64::from(z - top).exp()).collect();
        let sum: f64 = powers.iter().sum();
        powers.into_iter().map(|p| p / sum).collect()
    }

    /// The class with the highest score; the first of equals; class 1 for a single logit above 0.
    #[must_use]
    pub fn predicted(&self, logits: &[f32]) -> usize {
        if let &[z] = logits {
            return usize::from(z > 0.0);
        }
        let better = |best: usize, (k, z): (usize, &f32)| if *z > logits[best] { k } else { best };
        logits.iter().enumerate().fold(0, better)
    }

    /// The class with the second highest score; the first of equals; the other one of two.
    #[must_use]
    pub fn runner_up(&self, logits: &[f32]) -> usize {
        let first = self.predicted(logits);
        if self.is_binary() {
            return 1 - first;
        }
        let others = (0..logits.len()).filter(|&k| k != first);
        others.reduce(|best, k| if logits[k] > logits[best] { k } else { best }).unwrap_or(first)
    }
}

/// How many scores a value holds for each sample: N×K, N×K×1×1, or N where there is one.
fn scores(graph: &Graph, value: ValueId, batch: Option<usize>) -> Option<usize> {
    let fact = graph.fact(value);
    let (samples, rest) = fact.shape.0.split_first()?;
    let per_sample = match (batch, *samples) {
        (None, Dim::Batch(1)) => true,
        (Some(batch), Dim::Fixed(size)) => batch == size,
        _ => false,
    };
    let fixed = rest.iter().all(|d| !d.is_batch()) && rest.iter().filter(|d| d.at(1) > 1).count() <= 1;
    let count = rest.iter().try_fold(1usize, |n, d| n.checked_mul(d.at(1)))?;
    // Every class gets a name: a file that declares billions of them is no classifier.
    let sensible = (1..=MAX_CLASSES).contains(&count);
    (fact.dtype == DType::F32 && per_sample && fixed && sensible).then_some(count)
}

/// The input of the sigmoid or softmax that alone makes the output, through reshapes.
fn step_back(graph: &Graph, output: ValueId) -> (ValueId, Activation) {
    let none = (output, Activation::None);
    let uses = graph.uses();
    let mut at = output;
    loop {
        // A gate inside the network is no head: its result is also used elsewhere.
        if at != output && uses.of(at).len() > 1 {
            return none;
        }
        if let Some(found) = written_out::activation(graph, at) {
            return found;
        }
        let node = graph.producer(at).map(|id| graph.node(id));
        let Some((node, &[Some(input)])) = node.map(|n| (n, n.inputs.as_slice())) else { return none };
        if let Some(activation) = activation(node) {
            return (input, activation);
        }
        if !is_renaming(node) {
            return none;
        }
        at = input;
    }
}

fn activation(node: &Node) -> Option<Activation> {
    if let Some(softmax) = node.op.downcast_ref::<Softmax>() {
        return Some(if softmax.log { Activation::LogSoftmax } else { Activation::Softmax });
    }
    let sigmoid = node.op.downcast_ref::<Unary>().is_some_and(|u| u.0 == UnaryFunction::Sigmoid);
    sigmoid.then_some(Activation::Sigmoid)
}

/// Whether a node passes its input's elements on unchanged.
pub(crate) fn is_renaming(node: &Node) -> bool {
    let op = &node.op;
    op.downcast_ref::<Reshape>().is_some()
        || op.downcast_ref::<Flatten>().is_some()
        || op.downcast_ref::<Squeeze>().is_some()
        || op.downcast_ref::<Unsqueeze>().is_some()
        || op.downcast_ref::<Identity>().is_some()
        || op.downcast_ref::<Cast>().is_some_and(|cast| cast.to == DType::F32)
}

#[cfg(test)]
mod tests {
    use heatlens_graph::op::reshape::Flatten;
    use heatlens_graph::{Builder, Fact, Graph, Shape};

    use crate::model::Model;

    #[test]
    fn billions_of_classes_are_refused_and_not_named() {
        let opens = |side: usize| {
            let mut graph = Graph::new("flat");
            let x = graph.add_input("x", Fact::f32(Shape::batched(&[1, side, side])));
            let y = Builder::new(&mut graph, "f").apply(Flatten { axis: 1 }, &[x]).unwrap();
            graph.set_outputs(&[y]);
            Model::from_graph(graph).map(|model| model.class_names.len()).ok()
        };
        assert_eq!(opens(256), Some(65_536));
        assert_eq!(opens(1 << 16), None);
    }
}
