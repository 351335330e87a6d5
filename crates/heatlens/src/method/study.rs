//! Methods of many passes: one image in, many inputs derived from it through a program, one map out.
//!
//! A method prepares its programs once, from a [`Study`] of the model, and is then asked image by
//! image. Inputs are made and folded a few at a time in a fixed order, so memory does not grow with
//! their number and no thread changes a bit. Random numbers depend on the seed and the pass alone,
//! never on which other images are explained.

use std::cell::RefCell;
use std::fmt::Debug;
use std::sync::Arc;

use heatlens_graph::rewrite::cut;
use heatlens_graph::{Builder, DefaultRules, Fact, Graph, Tensor, ValueId};

use crate::method::{Chosen, Formula, MethodError};
use crate::model::program::ImageProgram;
use crate::model::{GapHead, Layer, Model};
use crate::random::{Key, Use};
use crate::target::{Score, evidence, of_row, row_shape};

/// Inputs that go through a program together. A constant, because memory must not depend on how many
/// there are.
pub const TOGETHER: usize = 32;

/// Takes an image's number, its pixels and its outputs.
pub type Fold<'a> = dyn FnMut(usize, &[f32], &[&[f32]]) + 'a;

/// How many images go through the model, or through the part of it behind a layer, for one map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassCount {
    /// Forward passes.
    pub forward: usize,
    /// Passes forward and back.
    pub back: usize,
}

impl PassCount {
    /// Forward passes alone.
    #[must_use]
    pub fn forward(passes: usize) -> Self {
        Self { forward: passes, back: 0 }
    }

    /// Passes forward and back alone.
    #[must_use]
    pub fn back(passes: usize) -> Self {
        Self { forward: 0, back: passes }
    }
}

/// A prepared method: programs and what is left to do for each image.
pub trait Passes: Debug + Send + Sync {
    /// Sizes of one map: `[h, w]` or `[c, h, w]`.
    fn shape(&self) -> Vec<usize>;

    /// Whether an image takes so many passes that each is best explained by itself.
    fn is_long(&self) -> bool {
        true
    }

    /// The passes that one map takes.
    fn count(&self) -> PassCount;

    /// The map of one image, as many numbers as [`shape`](Self::shape) says.
    ///
    /// # Errors
    /// If a program refuses what it is given.
    fn explain(&self, subject: &Subject<'_>) -> Result<Vec<f32>, MethodError>;
}

/// One image, and what is explained of it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its pixels as the model takes them, c·h·w.
    pub pixels: &'a [f32],
    /// How much each score counts, K numbers: one-hot for a class, −1 for class 0 of a single logit,
    /// a difference for one class against another.
    pub target: &'a [f32],
}

/// Programs that several methods of a run need, each compiled by the first that asks for it.
#[derive(Debug, Default)]
pub struct Shared {
    score: Kept<TargetProgram>,
    gradient: Kept<TargetProgram>,
    activations: Kept<TargetProgram>,
    halves: Kept<Halves>,
    /// What a person should know of how methods were prepared.
    notes: RefCell<Vec<String>>,
}

impl Shared {
    /// Hands the notes out, once.
    pub(crate) fn take_notes(&self) -> Vec<String> {
        self.notes.take()
    }
}

/// Something for each of several values of the graph.
#[derive(Debug)]
struct Kept<T>(RefCell<Vec<(ValueId, Arc<T>)>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T> Kept<T> {
    /// What is kept for the value `at`, or what `make` gives.
    fn get(&self, at: ValueId, make: impl FnOnce() -> Result<T, MethodError>) -> Result<Arc<T>, MethodError> {
        if let Some((_, found)) = self.0.borrow().iter().find(|(known, _)| *known == at) {
            return Ok(Arc::clone(found));
        }
        let made = Arc::new(make()?);
        self.0.borrow_mut().push((at, Arc::clone(&made)));
        Ok(made)
    }
}

/// What a method of many passes is prepared from.
#[derive(Debug)]
pub struct Study<'a> {
    /// The model.
    pub model: &'a Model,
    /// The layer looked at.
    pub layer: &'a Layer,
    /// Whether logits or probabilities are explained.
    pub score: Score,
    /// Whether maps are made to the letter of the papers, to be held against other libraries.
    pub published: bool,
    /// Every layer of the network.
    pub layers: &'a [Layer],
    /// The last layer of every size up to the layer looked at, in order.
    pub stages: &'a [Layer],
    /// The global-average-pooling head, if the model has one.
    pub gap: Option<&'a GapHead>,
    /// The method's settings.
    pub chosen: Chosen<'a>,
    /// What methods share.
    pub shared: &'a Shared,
}

/// The network, and what of it is explained.
struct Aim {
    graph: Graph,
    scores: ValueId,
    seed: ValueId,
    /// The input that says how much each class counts.
    target: ValueId,
}

impl Study<'_> {
    /// The image's `[c, h, w]`.
    #[must_use]
    pub fn image_shape(&self) -> [usize; 3] {
        self.model.shape()
    }

    /// The count that is set under `name`, if it fits this model. A default that does not fit gives way to `instead`,
    /// with a note: nobody asked for it.
    ///
    /// # Errors
    /// If what a person has set does not fit, for the given reason, or the method's row lists no such count.
    pub fn count_that_fits(
        &self,
        name: &'static str,
        fits: impl Fn(usize) -> bool,
        instead: usize,
        reason: impl FnOnce() -> String,
    ) -> Result<usize, MethodError> {
        let count = self.chosen.count(name)?;
        if fits(count) {
            return Ok(count);
        }
        if self.chosen.is_set(name) || !fits(instead) {
            return Err(self.chosen.wrong(name, reason()));
        }
        let id = self.chosen.id();
        let [_, h, w] = self.image_shape();
        self.shared.notes.borrow_mut().push(format!(
            "{id}.{name} is {instead}: its default of {count} does not fit this model, whose images are {h}×{w} \
             (--set {id}.{name}=N takes another)"
        ));
        Ok(instead)
    }

    /// A program from images and target to whatever `formula` makes of them. Inside, the formula's
    /// seed is the target, so [`Formula::target`] is the score explained.
    ///
    /// # Errors
    /// If the formula cannot be built or compiled.
    pub fn program(
        &self,
        formula: impl FnOnce(&mut Formula<'_>) -> Result<Vec<ValueId>, MethodError>,
    ) -> Result<TargetProgram, MethodError> {
        self.compiled(self.with_target()?, formula)
    }

    /// Like [`program`](Self::program), where the score is the one that says for and against: see
    /// [`evidence`].
    ///
    /// # Errors
    /// As there.
    pub fn evidence_program(
        &self,
        formula: impl FnOnce(&mut Formula<'_>) -> Result<Vec<ValueId>, MethodError>,
    ) -> Result<TargetProgram, MethodError> {
        self.compiled(self.with_evidence()?, formula)
    }

    fn compiled(
        &self,
        Aim { mut graph, scores, seed, .. }: Aim,
        formula: impl FnOnce(&mut Formula<'_>) -> Result<Vec<ValueId>, MethodError>,
    ) -> Result<TargetProgram, MethodError> {
        let mut open = self.formula(&mut graph, scores, seed);
        let outputs = formula(&mut open)?;
        Ok(TargetProgram { program: ImageProgram::compile(&graph, self.model.image, &outputs)? })
    }

    /// The network with its scores, their seed, and the target as a further input.
    fn with_target(&self) -> Result<Aim, MethodError> {
        let mut graph = self.model.graph.clone();
        let target = graph.add_input("target", Fact::f32(row_shape(self.model)));
        let (scores, seed) = of_row(&mut graph, self.model, self.score, target)?;
        Ok(Aim { graph, scores, seed, target })
    }

    /// The same with one score, the evidence, where classes compete and nobody asked for the papers' own numbers.
    fn with_evidence(&self) -> Result<Aim, MethodError> {
        let mut aim = self.with_target()?;
        let head = &self.model.head;
        let competing = self.score == Score::Logit && !head.classes_stand_alone() && !head.is_quantity();
        if competing && !self.published {
            aim.scores = evidence(&mut aim.graph, aim.scores, aim.seed)?;
            aim.seed = Builder::new(&mut aim.graph, "target").constant(Tensor::f32(&[1, 1], vec![1.0]));
        }
        Ok(aim)
    }

    fn formula<'f>(&'f self, graph: &'f mut Graph, scores: ValueId, seed: ValueId) -> Formula<'f> {
        Formula {
            graph,
            image: self.model.image,
            scores,
            seed,
            layer: self.layer,
            layers: self.layers,
            stages: self.stages,
            gap: self.gap,
            eigen_smooth: false,
            chosen: self.chosen,
        }
    }

    /// A program for the evidence alone: N×1.
    ///
    /// # Errors
    /// If an operator of the model has no kernel.
    pub fn score_program(&self) -> Result<Arc<TargetProgram>, MethodError> {
        self.shared.score.get(self.model.image, || self.evidence_program(|f| Ok(vec![f.target()?])))
    }

    /// A program for the gradient of the score explained with respect to the image: N×C×H×W.
    ///
    /// # Errors
    /// If a node has no derivative, or an operator of the model has no kernel.
    pub fn gradient_program(&self) -> Result<Arc<TargetProgram>, MethodError> {
        let gradient = || self.program(|f| Ok(vec![f.input_gradient(&DefaultRules)?]));
        self.shared.gradient.get(self.model.image, gradient)
    }

    /// A program for the layer's activations: N×C×h×w.
    ///
    /// # Errors
    /// If an operator of the model has no kernel.
    pub fn activations_program(&self) -> Result<Arc<TargetProgram>, MethodError> {
        self.shared.activations.get(self.layer.value, || self.program(|f| Ok(vec![f.activations()?])))
    }

    /// The key of everything random in the method.
    #[must_use]
    pub fn key(&self) -> Key {
        Key::new(self.chosen.seed(), Use::Explain)
    }

    /// The network in two parts, cut at the layer.
    ///
    /// # Errors
    /// If an operator of the model has no kernel.
    pub fn halves(&self) -> Result<Arc<Halves>, MethodError> {
        self.shared.halves.get(self.layer.value, || self.cut_at_layer())
    }

    fn cut_at_layer(&self) -> Result<Halves, MethodError> {
        let Aim { mut graph, scores, seed, target } = self.with_evidence()?;
        let score = self.formula(&mut graph, scores, seed).target()?;
        let (image, layer) = (self.model.image, self.layer);
        let parts = cut(&graph, layer.value, &[score])?;
        let crossing: Vec<ValueId> = parts.crossing.iter().copied().filter(|&v| v != target).collect();
        let front: Vec<ValueId> = [layer.value].into_iter().chain(crossing.iter().copied()).collect();
        let tail_feeds = parts.crossing.iter().map(|v| crossing.iter().position(|c| c == v)).collect();
        Ok(Halves {
            front: ImageProgram::compile(&graph, image, &front)?,
            back: ImageProgram::compile(&parts.graph, parts.input, &parts.outputs)?,
            tail_feeds,
        })
    }
}

/// A compiled formula of images and target.
#[derive(Debug)]
pub struct TargetProgram {
    program: ImageProgram,
}

impl TargetProgram {
    /// Runs images, given one after the other, all with the same target; the outputs in order.
    ///
    /// # Errors
    /// If `pixels` does not hold `n` images.
    pub fn run(&self, pixels: &[f32], n: usize, target: &[f32]) -> Result<Vec<Vec<f32>>, MethodError> {
        let targets = target.repeat(n);
        Ok(self.program.run(&[pixels, &targets], n)?)
    }

    /// Runs `total` images that `make` writes one by one into its argument, [`TOGETHER`] at a time,
    /// and hands each image's number, pixels and outputs to `fold`, in order.
    ///
    /// # Errors
    /// If a run fails, or `fold` does.
    pub fn stream(
        &self,
        subject: &Subject<'_>,
        total: usize,
        make: &(dyn Fn(usize, &mut [f32]) + Sync),
        fold: &mut Fold<'_>,
    ) -> Result<(), MethodError> {
        use rayon::prelude::*;
        let len = subject.pixels.len();
        let mut images = vec![0.0; len * TOGETHER.min(total)];
        for start in (0..total).step_by(TOGETHER) {
            let n = TOGETHER.min(total - start);
            let images = &mut images[..n * len];
            images.par_chunks_mut(len.max(1)).enumerate().for_each(|(i, image)| {
                image.copy_from_slice(subject.pixels);
                make(start + i, image);
            });
            let outputs = self.run(images, n, subject.target)?;
            for (i, image) in images.chunks(len.max(1)).enumerate() {
                let of_image = |all: &Vec<f32>| i * (all.len() / n)..(i + 1) * (all.len() / n);
                let rows: Vec<&[f32]> = outputs.iter().map(|all| &all[of_image(all)]).collect();
                fold(start + i, image, &rows);
            }
        }
        Ok(())
    }
}

/// A network cut at a layer: from images to the layer, and from the layer to the score.
#[derive(Debug)]
pub struct Halves {
    front: ImageProgram,
    back: ImageProgram,
    /// For each further input of the back half, which value of the front half it takes; none: the target.
    tail_feeds: Vec<Option<usize>>,
}

/// What the front half made of one image.
#[derive(Clone, Debug)]
pub struct Reached {
    /// The layer's activations in the layer's own order.
    pub layer: Vec<f32>,
    /// Other values that the back half needs.
    crossing: Vec<Vec<f32>>,
}

impl Halves {
    /// Runs the front half on one image.
    ///
    /// # Errors
    /// If the image is of another size.
    pub fn reach(&self, subject: &Subject<'_>) -> Result<Reached, MethodError> {
        let mut values = self.front.run(&[subject.pixels, subject.target], 1)?;
        let crossing = values.split_off(1);
        Ok(Reached { layer: values.swap_remove(0), crossing })
    }

    /// The score for each of `total` variants of the layer, which `make` changes one by one from the
    /// image's own; [`TOGETHER`] at a time.
    ///
    /// # Errors
    /// If a run fails.
    pub fn scores(
        &self,
        subject: &Subject<'_>,
        reached: &Reached,
        total: usize,
        make: &(dyn Fn(usize, &mut [f32]) + Sync),
    ) -> Result<Vec<f32>, MethodError> {
        use rayon::prelude::*;
        let len = reached.layer.len().max(1);
        let mut scores = Vec::with_capacity(total.min(1 << 20));
        for start in (0..total).step_by(TOGETHER) {
            let n = TOGETHER.min(total - start);
            let mut variants = reached.layer.repeat(n);
            variants.par_chunks_mut(len).enumerate().for_each(|(i, variant)| make(start + i, variant));
            let of = |feed: &Option<usize>| match feed {
                Some(value) => reached.crossing[*value].repeat(n),
                None => subject.target.repeat(n),
            };
            let others: Vec<Vec<f32>> = self.tail_feeds.iter().map(of).collect();
            let mut feeds: Vec<&[f32]> = vec![&variants];
            feeds.extend(others.iter().map(Vec::as_slice));
            scores.extend(self.back.run(&feeds, n)?.swap_remove(0));
        }
        Ok(scores)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::{Settings, find};
    use crate::train::arch;

    #[test]
    fn methods_share_programs_and_a_refusal_is_not_kept() {
        let network = arch::find("gap-cnn").unwrap().build([1, 32, 32], 2, 0).unwrap();
        let model = Model::from_graph(network).unwrap();
        let (layer, settings, shared) =
            (model.default_layer().unwrap(), Settings::default(), Shared::default());
        let study = |id: &str| Study {
            model: &model,
            layer: &layer,
            score: Score::Logit,
            published: false,
            layers: &[],
            stages: &[],
            gap: None,
            chosen: settings.of(find(id).unwrap()),
            shared: &shared,
        };
        let (rise, sobol) = (study("rise"), study("sobol"));
        assert!(Arc::ptr_eq(&rise.score_program().unwrap(), &sobol.score_program().unwrap()));
        assert!(Arc::ptr_eq(&rise.halves().unwrap(), &sobol.halves().unwrap()));
        let kept = Kept::default();
        let refusal = || Err(find("rise").unwrap().not_applicable("no"));
        assert!(kept.get(model.image, refusal).is_err());
        assert_eq!(*kept.get(model.image, || Ok(1)).unwrap(), 1);
        assert_eq!(*kept.get(model.image, || Ok(2)).unwrap(), 1, "made once");
        assert_eq!(*kept.get(layer.value, || Ok(2)).unwrap(), 2);
    }
}
