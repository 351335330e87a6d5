//! Target of an explanation: the class, and its logit or its probability.

use std::str::FromStr;

use heatlens_graph::op::binary::BinaryFunction;
use heatlens_graph::op::clip::Clip;
use heatlens_graph::op::concat::Concat;
use heatlens_graph::op::pool::MaxPool;
use heatlens_graph::op::pool_grad::MaxPoolGrad;
use heatlens_graph::op::reduce::ReduceFunction;
use heatlens_graph::op::slice::Slice;
use heatlens_graph::op::softmax::Softmax;
use heatlens_graph::op::unary::UnaryFunction;
use heatlens_graph::op::r#where::Where;
use heatlens_graph::op::window::Window;
use heatlens_graph::{Builder, Dim, Graph, GraphError, Shape, Tensor, ValueId};

use crate::model::head::BACKGROUND_STEP;
use crate::model::{Activation, Head, Model, ModelError};
use crate::nearest::{Named, named};

/// Selection of the class to explain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The predicted class of each image.
    Predicted,
    /// The class with the second highest score of each image.
    RunnerUp,
    /// The same class for every image.
    Class(usize),
    /// Every class in turn.
    All,
    /// These classes, one after the other.
    Classes(Vec<usize>),
    /// The detection of this rank, counted from 1, in each image.
    Detection(usize),
    /// So many detections, the surest first, image by image.
    Detections(usize),
}

/// One class of a [`Target`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The predicted class of each image.
    Predicted,
    /// The class with the second highest score of each image.
    RunnerUp,
    /// The class with this number.
    Number(usize),
    /// The class of the detection of this rank, which is supplied with the image.
    OfDetection(usize),
}

impl Class {
    /// Returns the class number for an image with these logits.
    #[must_use]
    pub fn of(self, head: &Head, logits: &[f32]) -> usize {
        match self {
            Self::Predicted | Self::OfDetection(_) => head.predicted(logits),
            Self::RunnerUp => head.runner_up(logits),
            Self::Number(class) => class,
        }
    }
}

/// Score to explain for each image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Goal {
    /// Class whose score is explained.
    pub class: Class,
    /// Class whose score is subtracted: explains why the first class and not this one.
    pub against: Option<Class>,
    /// True for a counterfactual explanation: what lowers the score (Selvaraju et al. 2017).
    pub counterfactual: bool,
    /// Explained score: logits or probabilities.
    pub score: Score,
}

/// Score of a class that is explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Score {
    /// The value before sigmoid or softmax, which does not saturate.
    Logit,
    /// The value after sigmoid or softmax; its gradient vanishes where the model is confident.
    Probability,
}

impl Score {
    /// Both scores, with their names on the command line.
    pub const ALL: [Named<Self>; 2] = [
        ("logit", "The value before sigmoid or softmax", Self::Logit),
        ("probability", "The value after it", Self::Probability),
    ];
}

impl FromStr for Score {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        named(word, Self::ALL)
    }
}

impl Target {
    /// Parses `predicted`, `runner-up`, `all`, a class name (in any case, unless ambiguous), a class number, or both as
    /// in `crane#517`, which distinguishes classes of the same name.
    ///
    /// # Errors
    /// If there is no such class, or if several classes have that name.
    pub fn parse(text: &str, model: &Model) -> Result<Self, ModelError> {
        match text {
            "predicted" => Ok(Self::Predicted),
            "runner-up" => Ok(Self::RunnerUp),
            "all" => Ok(Self::All),
            _ => class_of(text, &model.class_names).map(Self::Class),
        }
    }

    /// Returns the classes one by one.
    ///
    /// # Errors
    /// If the model has no such class.
    pub fn classes(&self, model: &Model) -> Result<Vec<Class>, ModelError> {
        let number = |k: usize| match k < model.head.classes() {
            true => Ok(Class::Number(k)),
            false => {
                Err(ModelError::UnknownClass { name: k.to_string(), classes: model.class_names.clone() })
            }
        };
        match *self {
            Self::Predicted => Ok(vec![Class::Predicted]),
            Self::RunnerUp => Ok(vec![Class::RunnerUp]),
            Self::Detection(rank) => Ok(vec![Class::OfDetection(rank)]),
            Self::All => Ok((0..model.head.classes()).map(Class::Number).collect()),
            Self::Detections(count) => Ok((1..=count).map(Class::OfDetection).collect()),
            Self::Classes(ref classes) => classes.iter().map(|&k| number(k)).collect(),
            Self::Class(k) => Ok(vec![number(k)?]),
        }
    }

    /// True if a map of each class or detection is asked for, so that its name says which.
    #[must_use]
    pub fn is_several(&self) -> bool {
        matches!(self, Self::All | Self::Classes(_) | Self::Detections(_))
    }
}

/// Returns the number of the class that `text` refers to.
fn class_of(text: &str, names: &[String]) -> Result<usize, ModelError> {
    let called = |same: &dyn Fn(&String) -> bool| -> Vec<usize> {
        names.iter().enumerate().filter(|(_, name)| same(name)).map(|(k, _)| k).collect()
    };
    let mut found = called(&|name| name == text);
    if found.is_empty() {
        let number = |text: &str| text.trim().parse().ok().filter(|&k: &usize| k < names.len());
        let both = text.rsplit_once('#').and_then(|(name, k)| Some((name, number(k)?)));
        let both =
            both.filter(|(name, k)| names.get(*k).is_some_and(|own| own.eq_ignore_ascii_case(name.trim())));
        found.extend(number(text).or(both.map(|(_, k)| k)));
    }
    if found.is_empty() {
        let word = text.trim().to_lowercase();
        found = called(&|name| name.trim().to_lowercase() == word);
    }
    match found.as_slice() {
        [] => Err(ModelError::UnknownClass { name: text.to_owned(), classes: names.to_vec() }),
        [class] => Ok(*class),
        several => Err(ModelError::SeveralClasses {
            name: text.to_owned(),
            found: several.iter().map(|&k| (k, names[k].clone())).collect(),
        }),
    }
}

/// Appends the scores as N×K: logits, or probabilities as defined by [`Head::probabilities`], even if the file itself
/// does not end in probabilities.
///
/// # Errors
/// If the number of elements differs from that of the head.
pub fn scores(graph: &mut Graph, model: &Model, score: Score) -> Result<ValueId, GraphError> {
    let head = &model.head;
    let from = match score {
        Score::Probability if head.ends_in_probabilities() && !head.is_quantity() => head.output,
        _ => head.logits,
    };
    let mut b = Builder::new(graph, "target");
    let scores = b.reshape(from, seed_shape(model))?;
    if score == Score::Logit || head.ends_in_probabilities() || head.is_quantity() {
        return Ok(scores);
    }
    match head.activation {
        Activation::HardSigmoid => {
            let half = b.scalar(0.5);
            let p = b.add(scores, half)?;
            b.apply(Clip { min: 0.0, max: 1.0 }, &[p])
        }
        _ if head.classes_stand_alone() => b.unary(UnaryFunction::Sigmoid, scores),
        _ => b.apply(Softmax { axis: 1, log: false }, &[scores]),
    }
}

/// Appends the evidence for the target, N×1, given logits (N×K) and their weights `target` (N×K): Σ t·z − (Σ t) · ln Σ
/// exp z, where the last sum is over the classes with weight 0. For one class these are its log odds, ln p ÷ (1 − p);
/// for one class against another it is the difference of their logits.
///
/// Under a softmax a logit alone is not evidence: adding a constant to all logits changes nothing, so its zero is
/// arbitrary, and a part of the image that raises it may raise all the others more. Gradients at a single image are
/// hardly affected; occluding parts of an image shifts all logits together.
///
/// # Errors
/// If the shapes do not match.
pub fn evidence(graph: &mut Graph, logits: ValueId, target: ValueId) -> Result<ValueId, GraphError> {
    let mut b = Builder::new(graph, "evidence");
    let weighted = b.mul(logits, target)?;
    let own = b.sum(weighted, &[1], true)?;
    let total = b.sum(target, &[1], true)?;
    let size = b.mul(target, target)?;
    let (counts, lowest) = (b.is_positive(size)?, b.scalar(f32::MIN));
    let others = b.apply(Where, &[counts, lowest, logits])?;
    let top = b.reduce(ReduceFunction::Max, others, &[1], true)?;
    let below = b.sub(others, top)?;
    let powers = b.unary(UnaryFunction::Exp, below)?;
    let sum = b.sum(powers, &[1], true)?;
    let level = b.unary(UnaryFunction::Log, sum)?;
    let level = b.add(level, top)?;
    let level = b.mul(level, total)?;
    b.sub(own, level)
}

/// Appends the scores as N×K and the seed that weights them: N×K, or 1×K if it is the same for every sample. The seed
/// is one-hot for a class, and −1 for class 0 of a single logit.
///
/// # Errors
/// If the number of logits differs from that of the head.
pub fn scores_and_seed(
    graph: &mut Graph,
    model: &Model,
    goal: &Goal,
) -> Result<(ValueId, ValueId), GraphError> {
    let row = row(graph, model, goal)?;
    of_row(graph, model, goal.score, row)
}

/// Returns the first axis of every value of the model.
fn samples(model: &Model) -> Dim {
    // A file with a fixed batch size always has that number of rows.
    model.batch.map_or(Dim::Batch(1), Dim::Fixed)
}

/// Returns the shape of a seed.
pub(crate) fn seed_shape(model: &Model) -> Shape {
    Shape(vec![samples(model), Dim::Fixed(model.head.outputs)])
}

/// Returns the shape of a [row](row).
pub(crate) fn row_shape(model: &Model) -> Shape {
    let places = model.head.dense.as_ref().map_or(0, |dense| dense.places);
    Shape(vec![samples(model), Dim::Fixed(model.head.outputs + places)])
}

/// Appends the target of a goal as one row per sample that can be stored and passed back: the seed, followed by the
/// weight of each place for a dense head. It may be a single row for all samples.
///
/// # Errors
/// As for [`scores_and_seed`].
pub(crate) fn row(graph: &mut Graph, model: &Model, goal: &Goal) -> Result<ValueId, GraphError> {
    let mut b = Builder::new(graph, "target");
    let logits = b.reshape(model.head.logits, seed_shape(model))?;
    let own = class_seed(&mut b, logits, &model.head, goal.class)?;
    let mut seed = own;
    if let Some(against) = goal.against {
        let other = class_seed(&mut b, logits, &model.head, against)?;
        seed = b.sub(seed, other)?;
    }
    if goal.counterfactual {
        seed = b.neg(seed)?;
    }
    with_places(graph, model, own, seed)
}

/// Appends the row of a seed. For a dense head, the places of the class selected by `own` count.
///
/// # Errors
/// If the seed has a different number of classes.
pub(crate) fn with_places(
    graph: &mut Graph,
    model: &Model,
    own: ValueId,
    seed: ValueId,
) -> Result<ValueId, GraphError> {
    let Some(dense) = &model.head.dense else { return Ok(seed) };
    let samples = samples(model);
    let mut b = Builder::new(graph, "target");
    let weights = dense.weights(&mut b, samples, own)?;
    let seed = b.expand(seed, seed_shape(model))?;
    b.apply(Concat { axis: 1 }, &[seed, weights])
}

/// Appends the scores and the seed described by a row.
///
/// # Errors
/// If the length of the row differs from [`row_shape`].
pub(crate) fn of_row(
    graph: &mut Graph,
    model: &Model,
    score: Score,
    row: ValueId,
) -> Result<(ValueId, ValueId), GraphError> {
    let Some(dense) = &model.head.dense else { return Ok((scores(graph, model, score)?, row)) };
    let outputs = model.head.outputs;
    let mut b = Builder::new(graph, "target");
    let seed = b.apply(Slice { axis: 1, start: 0, len: outputs, step: 1 }, &[row])?;
    let weights = b.apply(Slice { axis: 1, start: outputs, len: dense.places, step: 1 }, &[row])?;
    let scores = dense.weighed(&mut b, weights, score == Score::Probability)?;
    Ok((scores, seed))
}

fn class_seed(
    b: &mut Builder<'_>,
    logits: ValueId,
    head: &Head,
    class: Class,
) -> Result<ValueId, GraphError> {
    let outputs = head.outputs;
    // Quantities do not compete: the selection does not depend on the image.
    let class = if head.is_quantity() { Class::Number(class.of(head, &vec![0.0; outputs])) } else { class };
    // In a dense head, the background ranks below every class that is present.
    let logits = match head.dense.as_ref().and_then(|dense| dense.background) {
        Some(background) if !matches!(class, Class::Number(_)) => {
            let step = |k| if k == background { BACKGROUND_STEP } else { 0.0 };
            let steps = b.constant(Tensor::f32(&[1, outputs], (0..outputs).map(step).collect()));
            b.sub(logits, steps)?
        }
        _ => logits,
    };
    match class {
        Class::Number(class) => Ok(fixed_seed(b, outputs, class)),
        Class::OfDetection(_) => Err(GraphError::Malformed(
            "a detection of a given rank cannot be selected inside the graph: use the most confident one \
             (--detection best) or a class"
                .to_owned(),
        )),
        Class::Predicted if outputs == 1 => sign_seed(b, logits),
        Class::Predicted => one_hot_of_largest(b, logits),
        Class::RunnerUp if outputs == 1 => {
            let winner = sign_seed(b, logits)?;
            b.neg(winner)
        }
        Class::RunnerUp => {
            let winner = one_hot_of_largest(b, logits)?;
            let (taken, lowest) = (b.is_positive(winner)?, b.scalar(f32::MIN));
            let others = b.apply(Where, &[taken, lowest, logits])?;
            one_hot_of_largest(b, others)
        }
    }
}

/// Appends a single row for all samples.
fn fixed_seed(b: &mut Builder<'_>, outputs: usize, class: usize) -> ValueId {
    b.constant(Tensor::f32(&[1, outputs], seed_row(outputs, class)))
}

/// Returns the weight of each score for a class: one-hot, or ±1 if a single logit separates two classes.
pub(crate) fn seed_row(outputs: usize, class: usize) -> Vec<f32> {
    match (outputs, class) {
        (1, 0) => vec![-1.0],
        (1, _) => vec![1.0],
        _ => (0..outputs).map(|k| if k == class { 1.0 } else { 0.0 }).collect(),
    }
}

/// Appends +1 where z > 0 (class 1 is predicted) and −1 elsewhere.
fn sign_seed(b: &mut Builder<'_>, logits: ValueId) -> Result<ValueId, GraphError> {
    let (zero, plus, minus) = (b.scalar(0.0), b.scalar(1.0), b.scalar(-1.0));
    let positive = b.binary(BinaryFunction::Greater, logits, zero)?;
    b.apply(Where, &[positive, plus, minus])
}

/// Appends a one-hot row at the highest logit, the first one of ties: exactly the gradient of a max-pool over all of
/// them.
pub(crate) fn one_hot_of_largest(b: &mut Builder<'_>, logits: ValueId) -> Result<ValueId, GraphError> {
    let outputs = b.shape(logits).0.get(1).map_or(1, |d| d.at(1));
    let flat = b.shape(logits);
    let samples = flat.0.first().copied().unwrap_or(Dim::Batch(1));
    let plane = Shape(vec![samples, Dim::Fixed(1), Dim::Fixed(1), Dim::Fixed(outputs)]);
    let one = Shape(vec![samples, Dim::Fixed(1), Dim::Fixed(1), Dim::Fixed(1)]);
    let x = b.reshape(logits, plane)?;
    let scalar = b.scalar(1.0);
    let ones = b.expand(scalar, one)?;
    let pool = MaxPool { window: Window::new(&[1, outputs]), ceil_mode: false };
    let winner = b.apply(MaxPoolGrad { pool }, &[x, ones])?;
    b.reshape(winner, flat)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_goes_by_name_number_or_both() {
        let mut names: Vec<String> = (0..30).map(|k| format!("thing {k}")).collect();
        names[4] = "crane".to_owned();
        names[7] = "crane".to_owned();
        names[8] = "Hen".to_owned();
        names[9] = "3".to_owned();
        for (text, class) in
            [("Hen", 8), ("hen", 8), (" HEN", 8), ("12", 12), ("3", 9), ("crane#7", 7), ("Crane#4", 4)]
        {
            assert_eq!(class_of(text, &names).unwrap(), class, "{text}");
        }
        let said = |text: &str| class_of(text, &names).unwrap_err().to_string();
        assert!(said("crane").contains(
            "2 classes are called \"crane\": 4 crane, 7 crane; give the number, such as 4 or crane#4"
        ));
        assert!(said("CRANE").contains("4 crane, 7 crane"));
        assert!(said("crane#8").contains("no class \"crane#8\""));
        assert_eq!(
            said("ing 12"),
            "no class \"ing 12\"; of 30 classes, these contain it in their name: 12 thing 12"
        );
        assert!(said("owl").contains("of 30 classes, the nearest are"), "{}", said("owl"));
        assert!(said("").contains("a number from 0 to 29"));
    }
}
