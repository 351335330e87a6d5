//! Where a classifier's scores are.
//!
//! Files end in probabilities, explanations want logits: a saturated sigmoid or softmax has no
//! gradient left, and the picture would be black. So the last sigmoid or softmax is recognised and
//! stepped back over. It counts as the head only if it feeds the output alone.

use heatlens_graph::op::identity::Identity;
use heatlens_graph::op::reshape::{Flatten, Reshape, Squeeze};
use heatlens_graph::op::softmax::Softmax;
use heatlens_graph::op::unary::{Unary, UnaryFunction};
use heatlens_graph::{DType, Graph, Node, ValueId};

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
    /// Finds the logits behind the graph's first output.
    ///
    /// # Errors
    /// If there is no output, or it is no list of scores for each sample.
    pub fn find(graph: &Graph) -> Result<Self, ModelError> {
        let describe = |&id: &ValueId| format!("{:?} ({})", graph.value(id).name, graph.fact(id).shape);
        let unusable = || ModelError::Outputs(graph.outputs().iter().map(describe).collect());
        let &output = graph.outputs().first().ok_or_else(unusable)?;
        let fact = graph.fact(output);
        let batch = fact.shape.0.first().is_some_and(|d| d.is_batch());
        let outputs = fact.shape.len_per_sample().filter(|&len| len > 0 && batch);
        let outputs = outputs.filter(|_| fact.dtype == DType::F32).ok_or_else(unusable)?;
        // One axis of scores: N×K, N×K×1×1, or N where there is one score.
        if fact.shape.0.iter().skip(1).filter(|d| d.at(1) > 1).count() > 1 {
            return Err(unusable());
        }
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
}

/// The input of the sigmoid or softmax that alone makes the output, through reshapes.
fn step_back(graph: &Graph, output: ValueId) -> (ValueId, Activation) {
    let mut at = output;
    loop {
        let node = graph.producer(at).map(|id| graph.node(id));
        let Some((node, &[Some(input)])) = node.map(|n| (n, n.inputs.as_slice())) else {
            return (output, Activation::None);
        };
        if let Some(activation) = activation(node) {
            // A gate inside the network is no head: its result is also used elsewhere.
            let alone = graph.consumers(at).len() == usize::from(at != output);
            return if alone { (input, activation) } else { (output, Activation::None) };
        }
        if !is_renaming(node) {
            return (output, Activation::None);
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
        || op.downcast_ref::<Identity>().is_some()
}
