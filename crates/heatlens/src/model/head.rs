//! Location and meaning of a model's scores.
//!
//! Model files usually end in probabilities, but explanations need logits: the gradient of a saturated sigmoid or
//! softmax vanishes, and the map would be black. The last sigmoid or softmax is therefore recognised, also when it is
//! written out in simpler operators, and the values before it are used. It counts as the head only if its result is not
//! used anywhere but in the outputs. For probabilities without logits, such as the mean of several models' outputs, log
//! odds are appended to the graph. The meaning of the scores (classes, quantities, …) is a [`HeadKind`].

mod box_format;
mod classes;
mod decomposed_softmax;
mod dense;
mod detection;
mod kind;
mod log_odds;
mod multi_label;
mod output_part;
mod probability;
mod regression;
mod segmentation;
mod sequence;
mod similarity;
mod value_bounds;

use heatlens_graph::differentiate::depends_on;
use heatlens_graph::{DType, Dim, Graph, ValueId};

pub(crate) use dense::BACKGROUND_STEP;
pub use dense::{Dense, Region};
pub(crate) use detection::Boxes;
pub use kind::HeadKind;
use probability::Scores;

use crate::data::MAX_CLASSES;
use crate::model::{ModelError, ModelOptions, class_names};

/// Function that the model file applies to its logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// None: the file outputs logits.
    None,
    /// 1 ÷ (1 + e⁻ᶻ).
    Sigmoid,
    /// eᶻ ÷ Σ eᶻ.
    Softmax,
    /// Logarithm of the softmax.
    LogSoftmax,
    /// z + ½, clamped to 0…1.
    HardSigmoid,
    /// Any other computation of probabilities, with the log odds as logits: z = ln p − ln(1 − p).
    LogOdds,
}

impl Activation {
    /// Returns the common name of the function.
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

/// Logits of a model and the output computed from them.
#[derive(Clone, Debug)]
pub struct Head {
    /// Logits; `outputs` elements per sample.
    pub logits: ValueId,
    /// Output of the model file.
    pub output: ValueId,
    /// Function between the logits and the output.
    pub activation: Activation,
    /// Number of logits.
    pub outputs: usize,
    /// Meaning of the scores.
    pub kind: HeadKind,
    /// Scores at many places, if the logits summarise them.
    pub dense: Option<Dense>,
    /// True if a probability of 1 is written as 1 in the output, and not as 100.
    unit: bool,
}

/// A head, with notes for the user on how it was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) head: Head,
    pub(super) notes: Vec<String>,
    /// Question that the user must answer before anything is explained.
    pub(super) question: Option<String>,
}

/// Request to look for scores at many places in a graph.
#[derive(Debug)]
struct Asked<'a> {
    image: ValueId,
    /// First axis of every value.
    samples: Dim,
    /// Name of the output chosen by the user.
    output: Option<&'a str>,
    /// True if the user has specified the kind of head.
    forced: bool,
    /// Number of class names that the file lists.
    names: Option<usize>,
}

impl Asked<'_> {
    /// Returns the outputs that may hold the scores.
    fn outputs(&self, graph: &Graph) -> Vec<ValueId> {
        let from_image = depends_on(graph, &[self.image]);
        let chosen = |id: &ValueId| self.output.is_none_or(|name| graph.value(*id).name == name);
        let fits = |id: &ValueId| {
            from_image[id.index()] && chosen(id) && graph.fact(*id).shape.0.first() == Some(&self.samples)
        };
        graph.outputs().iter().copied().filter(fits).collect()
    }

    /// Returns the height and width of the image.
    fn size(&self, graph: &Graph) -> [usize; 2] {
        match graph.fact(self.image).shape.at(1).as_slice() {
            &[_, _, h, w] => [h, w],
            _ => [1, 1],
        }
    }
}

/// Maximum number of outputs examined; of more, the first ones are. A chosen output is always examined.
const MOST_ENDS: usize = 64;
/// Maximum number of other outputs listed in the note about the chosen one.
const MOST_NAMED: usize = 8;

/// An output that can hold scores, with their interpretation.
#[derive(Debug)]
struct End<'a> {
    output: ValueId,
    outputs: usize,
    scores: Scores,
    known: &'a [value_bounds::Known],
    /// True if class names are given.
    named: bool,
}

impl Head {
    /// Finds the scores of the chosen output, or of the first output that holds a list of scores per sample. `batch` is
    /// the number of samples if the file fixes it. Appends nodes to the graph if the file has no logits.
    ///
    /// # Errors
    /// If there is no such output, if it is not a list of scores computed from the image, or if it cannot be of the
    /// requested kind.
    pub(super) fn find(
        graph: &mut Graph,
        image: ValueId,
        batch: Option<usize>,
        options: &ModelOptions,
        named: bool,
    ) -> Result<Found, ModelError> {
        let candidates = match candidates(graph, image, batch, options.output.as_deref()) {
            Ok(found) if options.head.is_none_or(|kind| !kind.is_dense()) && !of_boxes(graph, &found) => {
                found
            }
            found => {
                let samples = batch.map_or(Dim::Batch(1), Dim::Fixed);
                let output = options.output.as_deref();
                let names = class_names::listed(&graph.metadata);
                let asked = Asked { image, samples, output, forced: options.head.is_some(), names };
                return match kind::dense(graph, &asked, options.head)? {
                    Some(found) => Ok(found),
                    None => Err(found.err().unwrap_or_else(|| ModelError::Head {
                        kind: options.head.unwrap_or(HeadKind::Segmentation).name(),
                        why: "no output has scores at positions in the image".to_owned(),
                    })),
                };
            }
        };
        let (known, uses) = (value_bounds::known(graph), graph.uses());
        let end = |&(output, outputs): &(ValueId, usize)| {
            let scores = probability::read(graph, &uses, &known, output, batch.unwrap_or(1));
            End { output, outputs, scores, known: &known, named }
        };
        let ends: Vec<End<'_>> = candidates.iter().take(MOST_ENDS).map(end).collect();
        // An embedding next to class scores is skipped.
        let clear = ends.iter().position(|end| kind::guess(graph, end).question.is_none());
        let end = &ends[clear.unwrap_or(0)];
        let guess = kind::guess(graph, end);
        let chosen = options.head.unwrap_or(guess.kind);
        chosen.check(end.outputs, &end.scores)?;
        let mut notes = Vec::new();
        if ends.len() > 1 {
            notes.push(several(graph, &ends, end));
        }
        // A quantity is explained unchanged.
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

    /// Returns a note on the interpretation of an output that is not a plain sigmoid or softmax.
    fn note(&self, end: &End<'_>) -> Option<String> {
        let scale = end.scores.scale;
        let unit = self.unit;
        let times = if unit { String::new() } else { format!(", times {scale}") };
        match self.activation {
            Activation::LogOdds => Some(format!(
                "the output holds probabilities{times} already (found by following the graph); their log \
                 odds are explained"
            )),
            Activation::HardSigmoid => {
                Some(format!("the output is a hard sigmoid{times}; the value before it is explained"))
            }
            Activation::Softmax | Activation::Sigmoid if !unit => {
                Some(format!("the output is a {}{times}", self.activation.name()))
            }
            _ => None,
        }
    }

    /// Returns the number of classes. A single logit separates two classes; a single quantity has two directions.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.outputs.max(2)
    }

    /// True if there is one output: a logit that separates two classes, or a quantity with two directions.
    #[must_use]
    pub fn is_binary(&self) -> bool {
        self.outputs == 1
    }

    /// True if the file outputs probabilities, so that they need not be computed from its logits.
    #[must_use]
    pub(crate) fn ends_in_probabilities(&self) -> bool {
        self.unit && matches!(self.activation, Activation::Sigmoid | Activation::Softmax)
    }

    /// Returns the explained value: the scores at all places of a dense head, the logits otherwise.
    #[must_use]
    pub(crate) fn explained(&self) -> ValueId {
        self.dense.as_ref().map_or(self.logits, |dense| dense.scores)
    }

    /// Uses the class names to find the background class of a dense head.
    pub(crate) fn name_classes(&mut self, names: &[String], named: bool) {
        let Some(dense) = self.dense.as_mut().filter(|dense| dense.exclusive) else { return };
        let anything = |name: &String| {
            let name = name.to_lowercase();
            ["background", "unlabel", "void", "bg", "blank"]
                .iter()
                .any(|word| name.trim_matches('_').starts_with(word))
        };
        dense.background = if named { names.iter().position(anything) } else { Some(0) };
    }

    /// Returns the number of entries in a file of class names for this head: 1 for a detector of one class.
    pub(crate) fn names(&self) -> usize {
        let alone = self.kind == HeadKind::Detection && self.is_binary();
        if alone { 1 } else { self.classes() }
    }

    /// Returns the names of all classes, given those listed in a file.
    pub(crate) fn all_names(&self, names: Vec<String>) -> Vec<String> {
        match names.as_slice() {
            [only] if self.classes() == 2 => vec![format!("no {only}"), only.clone()],
            _ => names,
        }
    }

    /// True if the probability of a class depends on its own logit alone.
    #[must_use]
    pub(crate) fn classes_stand_alone(&self) -> bool {
        if let Some(dense) = &self.dense {
            return !dense.exclusive;
        }
        let alone =
            matches!(self.activation, Activation::Sigmoid | Activation::HardSigmoid | Activation::LogOdds);
        alone || self.outputs == 1 || self.kind == HeadKind::MultiLabel
    }

    /// True if the scores are quantities rather than classes.
    #[must_use]
    pub fn is_quantity(&self) -> bool {
        self.kind.is_quantity()
    }

    /// True if the scores are an embedding that has not been compared with a reference yet.
    #[must_use]
    pub fn needs_reference(&self) -> bool {
        self.kind == HeadKind::Similarity && self.outputs > 1
    }

    /// Returns a head whose only score is the cosine similarity of this head's embedding with `reference`, which has
    /// the same length.
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

    /// Returns the probability of each class, computed from a sample's logits. A head without an activation is treated
    /// as a softmax, or as sigmoids if it has one output or independent classes. Quantities have no probabilities and
    /// are returned unchanged; a single one is preceded by its negative.
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

    /// Returns the score of a class: its logit, or ±z if one logit separates two classes. NaN if there is no such
    /// class.
    #[must_use]
    pub fn score(logits: &[f32], class: usize) -> f64 {
        match logits {
            &[z] if class == 0 => -f64::from(z),
            &[z] => f64::from(z),
            all => all.get(class).map_or(f64::NAN, |&z| f64::from(z)),
        }
    }

    /// Returns the class with the highest score, the first one of ties; class 1 for a single logit above 0. For
    /// quantities, the first one; for a single quantity, the direction in which it grows.
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

    /// Returns the class with the highest logit among those selected, the first one of ties. The background ranks below
    /// every class that is present.
    fn highest(&self, logits: &[f32], among: impl Fn(usize) -> bool) -> Option<usize> {
        let background = self.dense.as_ref().and_then(|dense| dense.background);
        let rank = |k: usize| logits[k] - if background == Some(k) { BACKGROUND_STEP } else { 0.0 };
        (0..logits.len()).filter(|&k| among(k)).reduce(|best, k| if rank(k) > rank(best) { k } else { best })
    }

    /// Returns the class with the second highest score, the first one of ties; with two classes, the other one. For
    /// quantities, the second one.
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

    /// Returns names for classes that the file does not name: numbers for classes, both directions for a single
    /// quantity.
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

/// Returns the outputs that can hold scores, each with its number of scores.
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

/// True if every list of scores, N×P×1, is the score of one class for each of the boxes in another output, N×P×4.
fn of_boxes(graph: &Graph, found: &[(ValueId, usize)]) -> bool {
    let dims = |id: ValueId| graph.fact(id).shape.at(1);
    let boxes = |places| graph.outputs().iter().any(|&id| matches!(*dims(id), [_, p, 4] if p == places));
    found.iter().all(|&(id, _)| matches!(*dims(id), [_, places, 1] if places > 1 && boxes(places)))
}

/// Returns a note on which of several outputs was chosen.
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

/// Returns the number of scores per sample that a value holds: N×K, N×K×1×1, or N for a single one.
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
    // Every class gets a name, so a file that declares billions of classes is not accepted as a classifier.
    let sensible = (1..=MAX_CLASSES).contains(&count);
    (fact.dtype == DType::F32 && per_sample && fixed && sensible).then_some(count)
}

/// Returns the value before reshapes and copies, which change no element.
pub(crate) fn without_renaming(graph: &Graph, mut value: ValueId) -> ValueId {
    let renaming = |value: ValueId| {
        let node = graph.node(graph.producer(value)?);
        node.inputs.first().copied().flatten().filter(|_| node.op.kind().is_renaming())
    };
    while let Some(input) = renaming(value) {
        value = input;
    }
    value
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
