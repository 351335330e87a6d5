//! Where a model's scores are, and what they mean.
//!
//! Files end in probabilities, explanations want logits: a saturated sigmoid or softmax has no
//! gradient left, and the picture would be black. So the last sigmoid or softmax is recognised (also
//! where it is written out in simpler operators) and stepped back over. It counts as the head only
//! if it feeds outputs alone. Probabilities that have no logits behind them (a mean of several models')
//! get their log odds appended. What the scores mean (classes, quantities …) is a [`HeadKind`].

mod classes;
mod dense;
mod detection;
mod kind;
mod known;
mod multi_label;
mod narrow;
mod odds;
mod probability;
mod regression;
mod segmentation;
mod similarity;
mod written_out;

use heatlens_graph::differentiate::depends_on;
use heatlens_graph::op::cast::Cast;
use heatlens_graph::op::identity::Identity;
use heatlens_graph::op::reshape::{Flatten, Reshape, Squeeze, Unsqueeze};
use heatlens_graph::{DType, Dim, Graph, Node, ValueId};

pub(crate) use dense::BACKGROUND_STEP;
pub use dense::{Dense, Region};
pub(crate) use detection::Boxes;
pub use kind::HeadKind;
use probability::Scores;

use crate::data::MAX_CLASSES;
use crate::model::{ModelError, ModelOptions, class_names};

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
    /// z + ½, clamped to 0…1.
    HardSigmoid,
    /// More than one sigmoid or softmax, of which the logits are the log odds: z = ln p − ln(1 − p).
    LogOdds,
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
            Self::HardSigmoid => "hard sigmoid",
            Self::LogOdds => "log odds",
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
    /// What the scores mean.
    pub kind: HeadKind,
    /// Scores at many places, which the logits sum up.
    pub dense: Option<Dense>,
    /// Whether a probability of 1 is 1 in the output, and not 100.
    unit: bool,
}

/// A head, and what a person should know about how it was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) head: Head,
    pub(super) notes: Vec<String>,
    /// What has to be asked before anything is explained.
    pub(super) question: Option<String>,
}

/// What is asked of a graph that may hold scores at many places.
#[derive(Debug)]
struct Asked<'a> {
    image: ValueId,
    /// The first axis of every value.
    samples: Dim,
    /// The output that was chosen.
    output: Option<&'a str>,
    /// Whether a person says that the head is of this kind.
    forced: bool,
    /// How many names of classes the file lists.
    names: Option<usize>,
}

impl Asked<'_> {
    /// The outputs that may hold the scores.
    fn outputs(&self, graph: &Graph) -> Vec<ValueId> {
        let from_image = depends_on(graph, &[self.image]);
        let chosen = |id: &ValueId| self.output.is_none_or(|name| graph.value(*id).name == name);
        let fits = |id: &ValueId| {
            from_image[id.index()] && chosen(id) && graph.fact(*id).shape.0.first() == Some(&self.samples)
        };
        graph.outputs().iter().copied().filter(fits).collect()
    }

    /// Rows and columns of the image.
    fn size(&self, graph: &Graph) -> [usize; 2] {
        match graph.fact(self.image).shape.at(1).as_slice() {
            &[_, _, h, w] => [h, w],
            _ => [1, 1],
        }
    }
}

/// Of more outputs than this the first ones are looked at, unless one is chosen.
const MOST_ENDS: usize = 64;
/// So many of them are named beside the one that is taken.
const MOST_NAMED: usize = 8;

/// An output that can hold scores, as it was understood.
#[derive(Debug)]
struct End<'a> {
    output: ValueId,
    outputs: usize,
    scores: Scores,
    known: &'a [known::Known],
    /// Whether names of the classes are given.
    named: bool,
}

impl Head {
    /// Finds the scores behind the chosen output, or behind the first output that is a list of
    /// scores for each sample. `batch` is the number of samples where the file fixes it. Appends nodes to the graph where
    /// the file has no logits.
    ///
    /// # Errors
    /// If there is no such output, or it is no list of scores computed from the image, or it cannot be of the kind that
    /// was asked for.
    pub(super) fn find(
        graph: &mut Graph,
        image: ValueId,
        batch: Option<usize>,
        options: &ModelOptions,
        named: bool,
    ) -> Result<Found, ModelError> {
        let candidates = match candidates(graph, image, batch, options.output.as_deref()) {
            Ok(found) if options.head.is_none_or(|kind| !kind.is_dense()) => found,
            found => {
                let samples = batch.map_or(Dim::Batch(1), Dim::Fixed);
                let output = options.output.as_deref();
                let names = class_names::listed(&graph.metadata);
                let asked = Asked { image, samples, output, forced: options.head.is_some(), names };
                return match kind::dense(graph, &asked, options.head)? {
                    Some(found) => Ok(found),
                    None => Err(found.err().unwrap_or_else(|| ModelError::Head {
                        kind: options.head.unwrap_or(HeadKind::Segmentation).name(),
                        why: "no output holds scores at places of the image".to_owned(),
                    })),
                };
            }
        };
        let (known, uses) = (known::known(graph), graph.uses());
        let end = |&(output, outputs): &(ValueId, usize)| {
            let scores = probability::read(graph, &uses, &known, output, batch.unwrap_or(1));
            End { output, outputs, scores, known: &known, named }
        };
        let ends: Vec<End<'_>> = candidates.iter().take(MOST_ENDS).map(end).collect();
        // An embedding beside class scores is passed over.
        let clear = ends.iter().position(|end| kind::guess(graph, end).question.is_none());
        let end = &ends[clear.unwrap_or(0)];
        let guess = kind::guess(graph, end);
        let chosen = options.head.unwrap_or(guess.kind);
        chosen.check(end.outputs, &end.scores)?;
        let mut notes = Vec::new();
        if ends.len() > 1 {
            notes.push(several(graph, &ends, end));
        }
        // A quantity is explained as it is.
        let (logits, activation) = match chosen.is_quantity() {
            true => (end.output, Activation::None),
            false => {
                let logits = end.scores.logits(graph, &known).map_err(ModelError::Graph)?;
                (logits, end.scores.activation)
            }
        };
        let unit = (end.scores.scale - 1.0).abs() < 1e-3;
        let (output, outputs) = (end.output, end.outputs);
        let head = Self { logits, output, activation, outputs, kind: chosen, dense: None, unit };
        notes.extend(head.note(end));
        let (question, note) =
            if options.head.is_some() { (None, None) } else { (guess.question, guess.note) };
        notes.extend(note);
        Ok(Found { head, notes, question })
    }

    /// How an output was understood that is no plain sigmoid or softmax.
    fn note(&self, end: &End<'_>) -> Option<String> {
        let scale = end.scores.scale;
        let unit = self.unit;
        let times = if unit { String::new() } else { format!(", times {scale}") };
        match self.activation {
            Activation::LogOdds => Some(format!(
                "the output holds probabilities{times} already (found by following the graph); what is explained is their log odds"
            )),
            Activation::HardSigmoid => {
                Some(format!("the output is a hard sigmoid{times}; what is explained is the value before it"))
            }
            Activation::Softmax | Activation::Sigmoid if !unit => {
                Some(format!("the output is a {}{times}", self.activation.name()))
            }
            _ => None,
        }
    }

    /// Number of classes: a single logit tells two classes apart. Of a single quantity, the two directions.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.outputs.max(2)
    }

    /// Whether one logit tells two classes apart, or one number has two directions.
    #[must_use]
    pub fn is_binary(&self) -> bool {
        self.outputs == 1
    }

    /// Whether the file hands out probabilities, so that they need not be made of its logits.
    #[must_use]
    pub(crate) fn ends_in_probabilities(&self) -> bool {
        self.unit && matches!(self.activation, Activation::Sigmoid | Activation::Softmax)
    }

    /// What is explained: the scores at all places where there are many, the logits otherwise.
    #[must_use]
    pub(crate) fn explained(&self) -> ValueId {
        self.dense.as_ref().map_or(self.logits, |dense| dense.scores)
    }

    /// Takes notice of the names of the classes: one of them may stand for everything else.
    pub(crate) fn name_classes(&mut self, names: &[String], named: bool) {
        let Some(dense) = self.dense.as_mut().filter(|dense| dense.exclusive) else { return };
        let anything = |name: &String| {
            let name = name.to_lowercase();
            ["background", "unlabel", "void", "bg"]
                .iter()
                .any(|word| name.trim_matches('_').starts_with(word))
        };
        dense.background = if named { names.iter().position(anything) } else { Some(0) };
    }

    /// How many names a file of class names has for this head: a detector of one class has one.
    pub(crate) fn names(&self) -> usize {
        let alone = self.kind == HeadKind::Detection && self.is_binary();
        if alone { 1 } else { self.classes() }
    }

    /// The names of all classes, from those that a file lists.
    pub(crate) fn all_names(&self, names: Vec<String>) -> Vec<String> {
        match names.as_slice() {
            [only] if self.classes() == 2 => vec![format!("no {only}"), only.clone()],
            _ => names,
        }
    }

    /// Whether the probability of a class is a function of its own logit alone.
    #[must_use]
    pub(crate) fn classes_stand_alone(&self) -> bool {
        if let Some(dense) = &self.dense {
            return !dense.exclusive;
        }
        let alone =
            matches!(self.activation, Activation::Sigmoid | Activation::HardSigmoid | Activation::LogOdds);
        alone || self.outputs == 1 || self.kind == HeadKind::MultiLabel
    }

    /// Whether the scores are quantities and tell no classes apart.
    #[must_use]
    pub fn is_quantity(&self) -> bool {
        self.kind.is_quantity()
    }

    /// Whether the scores are an embedding that has not been held against another one yet.
    #[must_use]
    pub fn needs_reference(&self) -> bool {
        self.kind == HeadKind::Similarity && self.outputs > 1
    }

    /// The cosine of this head's embedding with `reference`, which has as many numbers.
    pub(super) fn with_reference(
        &self,
        graph: &mut Graph,
        samples: Dim,
        reference: &[f32],
    ) -> Result<Self, ModelError> {
        let refuse = |why: String| ModelError::Head { kind: self.kind.name(), why };
        if !self.needs_reference() {
            return Err(refuse("there is no embedding".to_owned()));
        }
        if reference.len() != self.outputs {
            let (found, expected) = (reference.len(), self.outputs);
            return Err(refuse(format!("expected a reference of {expected} numbers, found {found}")));
        }
        if !reference.iter().all(|v| v.is_finite()) || reference.iter().all(|&v| v == 0.0) {
            return Err(refuse(
                "the reference has no direction: all its numbers are 0, or some are not finite".to_owned(),
            ));
        }
        let logits = similarity::cosine(graph, self.logits, samples, reference).map_err(ModelError::Graph)?;
        Ok(Self { logits, output: logits, outputs: 1, activation: Activation::None, ..self.clone() })
    }

    /// The probability of each class from a sample's logits. A head without an activation counts
    /// as softmax, or as sigmoid where it has one output or each class stands for itself. Quantities have no
    /// probabilities: they come as they are, with the opposite in front where there is one.
    #[must_use]
    pub fn probabilities(&self, logits: &[f32]) -> Vec<f64> {
        if self.is_quantity() {
            return match logits {
                &[z] => vec![f64::from(-z), f64::from(z)],
                values => values.iter().copied().map(f64::from).collect(),
            };
        }
        let one: fn(f32) -> f64 = match self.activation {
            Activation::HardSigmoid => |z| (f64::from(z) + 0.5).clamp(0.0, 1.0),
            _ => |z| 1.0 / (1.0 + (-f64::from(z)).exp()),
        };
        if let &[z] = logits {
            return vec![one(-z), one(z)];
        }
        if self.classes_stand_alone() {
            return logits.iter().map(|&z| one(z)).collect();
        }
        let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f64> = logits.iter().map(|&z| f64::from(z - top).exp()).collect();
        let sum: f64 = powers.iter().sum();
        powers.into_iter().map(|p| p / sum).collect()
    }

    /// The score of a class: its logit; ±z where one logit tells two classes apart. NaN if there is no such class.
    #[must_use]
    pub fn score(logits: &[f32], class: usize) -> f64 {
        match logits {
            &[z] if class == 0 => -f64::from(z),
            &[z] => f64::from(z),
            all => all.get(class).map_or(f64::NAN, |&z| f64::from(z)),
        }
    }

    /// The class with the highest score; the first of equals; class 1 for a single logit above 0. Of quantities the
    /// first one; of a single quantity what makes it larger.
    #[must_use]
    pub fn predicted(&self, logits: &[f32]) -> usize {
        if self.is_quantity() {
            return usize::from(self.is_binary());
        }
        if let &[z] = logits {
            return usize::from(z > 0.0);
        }
        self.highest(logits, |_| true).unwrap_or(0)
    }

    /// The class with the highest logit among some, the first of equals. The background comes behind all that is there.
    fn highest(&self, logits: &[f32], among: impl Fn(usize) -> bool) -> Option<usize> {
        let background = self.dense.as_ref().and_then(|dense| dense.background);
        let rank = |k: usize| logits[k] - if background == Some(k) { BACKGROUND_STEP } else { 0.0 };
        (0..logits.len()).filter(|&k| among(k)).reduce(|best, k| if rank(k) > rank(best) { k } else { best })
    }

    /// The class with the second highest score; the first of equals; the other one of two. Of quantities the second one.
    #[must_use]
    pub fn runner_up(&self, logits: &[f32]) -> usize {
        let first = self.predicted(logits);
        if self.is_binary() {
            return 1 - first;
        }
        if self.is_quantity() {
            return 1.min(self.outputs - 1);
        }
        self.highest(logits, |k| k != first).unwrap_or(first)
    }

    /// Names where the file has none: numbers for classes, both directions for a single quantity.
    #[must_use]
    pub fn default_names(&self, graph: &Graph) -> Vec<String> {
        let name = &graph.value(self.output).name;
        match self.kind {
            HeadKind::Regression if self.is_binary() => {
                vec![format!("lower {name}"), format!("higher {name}")]
            }
            HeadKind::Similarity if self.is_binary() => {
                vec!["less similar".to_owned(), "more similar".to_owned()]
            }
            HeadKind::Segmentation
                if self.dense.as_ref().is_some_and(|d| !d.exclusive && d.background.is_some()) =>
            {
                vec!["background".to_owned(), "foreground".to_owned()]
            }
            HeadKind::Detection if self.is_binary() => vec!["no object".to_owned(), "object".to_owned()],
            _ => crate::model::numbered(self.classes()),
        }
    }
}

/// The outputs that can hold scores, and how many each.
fn candidates(
    graph: &Graph,
    image: ValueId,
    batch: Option<usize>,
    name: Option<&str>,
) -> Result<Vec<(ValueId, usize)>, ModelError> {
    let from_image = depends_on(graph, &[image]);
    let describe = |&id: &ValueId| format!("{:?} ({})", graph.value(id).name, graph.fact(id).shape);
    let found = || graph.outputs().iter().map(describe).collect();
    let scores = |id: &ValueId| scores(graph, *id, batch).filter(|_| from_image[id.index()]);
    if let Some(name) = name {
        let output = graph.outputs().iter().copied().find(|&id| graph.value(id).name == name);
        let unknown = || ModelError::UnknownOutput { name: name.to_owned(), found: found() };
        let output = output.ok_or_else(unknown)?;
        let outputs = scores(&output).ok_or_else(|| ModelError::Outputs(vec![describe(&output)]))?;
        return Ok(vec![(output, outputs)]);
    }
    let all: Vec<_> = graph.outputs().iter().filter_map(|id| Some((*id, scores(id)?))).collect();
    if all.is_empty() { Err(ModelError::Outputs(found())) } else { Ok(all) }
}

/// Which of several outputs was taken.
fn several(graph: &Graph, ends: &[End<'_>], taken: &End<'_>) -> String {
    let name =
        |end: &End<'_>| format!("{:?} ({})", graph.value(end.output).name, graph.fact(end.output).shape);
    let others = ends.iter().filter(|e| e.output != taken.output).take(MOST_NAMED);
    let others: Vec<String> = others.map(name).collect();
    format!(
        "the scores are taken from {}; {} could hold scores too (--output chooses)",
        name(taken),
        others.join(", ")
    )
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

    use crate::model::{Head, Model};

    #[test]
    fn one_logit_speaks_for_both_classes() {
        assert_eq!(Head::score(&[2.0], 0), -2.0);
        assert_eq!(Head::score(&[2.0], 1), 2.0);
        assert_eq!(Head::score(&[2.0, 5.0, 7.0], 1), 5.0);
        assert!(Head::score(&[2.0, 5.0], 2).is_nan());
    }

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
