//! Multi-pass methods: many inputs derived from one image are run through a program and folded into one map.
//!
//! A method prepares its programs once, from a [`PassContext`] of the model, and then explains image by image. Inputs are
//! created and folded in small batches in a fixed order, so memory does not grow with their number and results do
//! not depend on threads. Random numbers depend on the seed and the pass alone, not on which other images are
//! explained.

use std::cell::RefCell;
use std::fmt::{self, Debug};
use std::sync::Arc;

use heatlens_graph::rewrite::cut;
use heatlens_graph::{Builder, DefaultRules, Fact, Graph, Tensor, ValueId};

use crate::method::{Chosen, Formula, MethodError};
use crate::model::program::ImageProgram;
use crate::model::{GapHead, Layer, Model};
use crate::random::{Key, Use};
use crate::target::{Score, evidence, of_row, row_shape};

/// Number of inputs per batch. Constant, so that memory does not depend on the number of inputs.
pub const TOGETHER: usize = 32;

/// Receives the index, the pixels and the outputs of an image.
pub type Fold<'a> = dyn FnMut(usize, &[f32], &[&[f32]]) + 'a;

/// Number of passes through the model, or through the part after a layer, for one map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassCount {
    /// Number of forward passes.
    pub forward: usize,
    /// Number of combined forward and backward passes.
    pub back: usize,
}

impl PassCount {
    /// Counts forward passes only.
    #[must_use]
    pub fn forward(passes: usize) -> Self {
        Self { forward: passes, back: 0 }
    }

    /// Counts combined forward and backward passes only.
    #[must_use]
    pub fn back(passes: usize) -> Self {
        Self { forward: 0, back: passes }
    }
}

/// A prepared method: its programs, and the computation for each image.
pub trait MultiPass: Debug + Send + Sync {
    /// Returns the shape of one map: `[h, w]` or `[c, h, w]`.
    fn shape(&self) -> Vec<usize>;

    /// Returns true if one image takes so many passes that images are best explained one by one.
    fn is_long(&self) -> bool {
        true
    }

    /// Returns the number of passes of one map.
    fn count(&self) -> PassCount;

    /// Returns the map of one image, with the number of values given by [`shape`](Self::shape).
    ///
    /// # Errors
    /// If a program rejects its inputs.
    fn explain(&self, input: &PassInput<'_>) -> Result<Vec<f32>, MethodError>;
}

/// Question whether to stop before the work is done, asked before each batch of passes.
pub type Stop<'a> = dyn Fn() -> bool + Sync + 'a;

/// One image and the target to explain.
#[derive(Clone, Copy)]
pub struct PassInput<'a> {
    /// Pixels of the model's input, shape `c h w`.
    pub pixels: &'a [f32],
    /// Weight of each score, shape `k`: one-hot for a class, −1 for class 0 of a single logit, a difference for one
    /// class against another.
    pub target: &'a [f32],
    /// Asked before each batch of passes.
    pub stop: &'a Stop<'a>,
}

impl Debug for PassInput<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PassInput").field("target", &self.target).finish_non_exhaustive()
    }
}

impl PassInput<'_> {
    fn go_on(&self) -> Result<(), MethodError> {
        if (self.stop)() { Err(MethodError::Stopped) } else { Ok(()) }
    }
}

/// Programs shared by several methods of a run, each compiled on first use.
#[derive(Debug, Default)]
pub struct SharedPrograms {
    score: ProgramCache<TargetProgram>,
    gradient: ProgramCache<TargetProgram>,
    activations: ProgramCache<TargetProgram>,
    split: ProgramCache<SplitProgram>,
    /// Notes for the user on the preparation of methods.
    notes: RefCell<Vec<String>>,
}

impl SharedPrograms {
    /// Returns the notes and clears them.
    pub(crate) fn take_notes(&self) -> Vec<String> {
        self.notes.take()
    }
}

/// A cache keyed by values of the graph.
#[derive(Debug)]
struct ProgramCache<T>(RefCell<Vec<(ValueId, Arc<T>)>>);

impl<T> Default for ProgramCache<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T> ProgramCache<T> {
    /// Returns the cached item for `at`, or creates it with `make`.
    fn get(&self, at: ValueId, make: impl FnOnce() -> Result<T, MethodError>) -> Result<Arc<T>, MethodError> {
        if let Some((_, found)) = self.0.borrow().iter().find(|(known, _)| *known == at) {
            return Ok(Arc::clone(found));
        }
        let made = Arc::new(make()?);
        self.0.borrow_mut().push((at, Arc::clone(&made)));
        Ok(made)
    }
}

/// Context for preparing a multi-pass method.
#[derive(Debug)]
pub struct PassContext<'a> {
    /// The model.
    pub model: &'a Model,
    /// The explained layer.
    pub layer: &'a Layer,
    /// Score to explain: logit or probability.
    pub score: Score,
    /// True if maps are made exactly as published, for comparison with other libraries.
    pub published: bool,
    /// All layers of the network.
    pub layers: &'a [Layer],
    /// The last layer of every spatial size up to the explained one, in order.
    pub stages: &'a [Layer],
    /// Global average pooling head, if the model has one.
    pub gap: Option<&'a GapHead>,
    /// Settings of the method.
    pub chosen: Chosen<'a>,
    /// Programs shared between methods.
    pub shared: &'a SharedPrograms,
}

/// The network with its scores and target.
struct Aim {
    graph: Graph,
    scores: ValueId,
    seed: ValueId,
    /// Input with the weight of each class.
    target: ValueId,
}

impl PassContext<'_> {
    /// Returns the shape `[c, h, w]` of the image.
    #[must_use]
    pub fn image_shape(&self) -> [usize; 3] {
        self.model.shape()
    }

    /// Returns the count set under `name` if it fits this model. A default that does not fit is replaced by
    /// `instead`, with a note.
    ///
    /// # Errors
    /// If a value set by the user does not fit, for the given reason, or the method has no count of that name.
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
            "{id}.{name} is {instead}: its default of {count} does not fit this model, whose images are \
             {h}×{w} (--set {id}.{name}=N overrides it)"
        ));
        Ok(instead)
    }

    /// Compiles a program from images and targets to the values that `formula` builds. Within the formula, the seed
    /// is the target, so [`Formula::target`] is the explained score.
    ///
    /// # Errors
    /// If the formula cannot be built or compiled.
    pub fn program(
        &self,
        formula: impl FnOnce(&mut Formula<'_>) -> Result<Vec<ValueId>, MethodError>,
    ) -> Result<TargetProgram, MethodError> {
        self.compiled(self.with_target()?, formula)
    }

    /// Like [`program`](Self::program), but with the score that separates evidence for from evidence against; see
    /// [`evidence`].
    ///
    /// # Errors
    /// If the formula cannot be built or compiled.
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

    /// Returns the network with its scores, their seed, and the target as an additional input.
    fn with_target(&self) -> Result<Aim, MethodError> {
        let mut graph = self.model.graph.clone();
        let target = graph.add_input("target", Fact::f32(row_shape(self.model)));
        let (scores, seed) = of_row(&mut graph, self.model, self.score, target)?;
        Ok(Aim { graph, scores, seed, target })
    }

    /// Like `with_target`, but with the evidence as the only score if classes compete and the published formulas
    /// were not requested.
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

    /// Returns a program for the evidence alone, shape `n 1`.
    ///
    /// # Errors
    /// If an operator of the model has no kernel.
    pub fn score_program(&self) -> Result<Arc<TargetProgram>, MethodError> {
        self.shared.score.get(self.model.image, || self.evidence_program(|f| Ok(vec![f.target()?])))
    }

    /// Returns a program for the gradient of the explained score with respect to the image, shape `n c h w`.
    ///
    /// # Errors
    /// If a node has no derivative, or an operator of the model has no kernel.
    pub fn gradient_program(&self) -> Result<Arc<TargetProgram>, MethodError> {
        let gradient = || self.program(|f| Ok(vec![f.input_gradient(&DefaultRules)?]));
        self.shared.gradient.get(self.model.image, gradient)
    }

    /// Returns a program for the layer's activations, shape `n c h w`.
    ///
    /// # Errors
    /// If an operator of the model has no kernel.
    pub fn activations_program(&self) -> Result<Arc<TargetProgram>, MethodError> {
        self.shared.activations.get(self.layer.value, || self.program(|f| Ok(vec![f.activations()?])))
    }

    /// Returns the random key of the method.
    #[must_use]
    pub fn key(&self) -> Key {
        Key::new(self.chosen.seed(), Use::Explain)
    }

    /// Returns the network as two programs, cut at the layer.
    ///
    /// # Errors
    /// If an operator of the model has no kernel.
    pub fn split_program(&self) -> Result<Arc<SplitProgram>, MethodError> {
        self.shared.split.get(self.layer.value, || self.cut_at_layer())
    }

    fn cut_at_layer(&self) -> Result<SplitProgram, MethodError> {
        let Aim { mut graph, scores, seed, target } = self.with_evidence()?;
        let score = self.formula(&mut graph, scores, seed).target()?;
        let (image, layer) = (self.model.image, self.layer);
        let parts = cut(&graph, layer.value, &[score])?;
        let crossing: Vec<ValueId> = parts.crossing.iter().copied().filter(|&v| v != target).collect();
        let front: Vec<ValueId> = [layer.value].into_iter().chain(crossing.iter().copied()).collect();
        let tail_feeds = parts.crossing.iter().map(|v| crossing.iter().position(|c| c == v)).collect();
        Ok(SplitProgram {
            front: ImageProgram::compile(&graph, image, &front)?,
            back: ImageProgram::compile(&parts.graph, parts.input, &parts.outputs)?,
            tail_feeds,
        })
    }
}

/// A compiled formula with images and targets as inputs.
#[derive(Debug)]
pub struct TargetProgram {
    program: ImageProgram,
}

impl TargetProgram {
    /// Runs `n` concatenated images with the target of `input`; returns the outputs in order.
    ///
    /// # Errors
    /// If `pixels` does not contain `n` images, or the input asks to stop.
    pub fn run(&self, pixels: &[f32], n: usize, input: &PassInput<'_>) -> Result<Vec<Vec<f32>>, MethodError> {
        input.go_on()?;
        let targets = input.target.repeat(n);
        Ok(self.program.run(&[pixels, &targets], n)?)
    }

    /// Runs `total` images, [`TOGETHER`] at a time. `make` writes each image into its argument; `fold` receives the
    /// index, pixels and outputs of each image in order.
    ///
    /// # Errors
    /// If a run fails, or the input asks to stop.
    pub fn stream(
        &self,
        input: &PassInput<'_>,
        total: usize,
        make: &(dyn Fn(usize, &mut [f32]) + Sync),
        fold: &mut Fold<'_>,
    ) -> Result<(), MethodError> {
        use rayon::prelude::*;
        let len = input.pixels.len();
        let mut images = vec![0.0; len * TOGETHER.min(total)];
        for start in (0..total).step_by(TOGETHER) {
            let n = TOGETHER.min(total - start);
            let images = &mut images[..n * len];
            images.par_chunks_mut(len.max(1)).enumerate().for_each(|(i, image)| {
                image.copy_from_slice(input.pixels);
                make(start + i, image);
            });
            let outputs = self.run(images, n, input)?;
            for (i, image) in images.chunks(len.max(1)).enumerate() {
                let of_image = |all: &Vec<f32>| i * (all.len() / n)..(i + 1) * (all.len() / n);
                let rows: Vec<&[f32]> = outputs.iter().map(|all| &all[of_image(all)]).collect();
                fold(start + i, image, &rows);
            }
        }
        Ok(())
    }
}

/// A network cut at a layer: one program from images to the layer, and one from the layer to the score.
#[derive(Debug)]
pub struct SplitProgram {
    front: ImageProgram,
    back: ImageProgram,
    /// Source of each further input of the back program: the index of a value of the front program, or `None` for
    /// the target.
    tail_feeds: Vec<Option<usize>>,
}

/// Output of the front program for one image.
#[derive(Clone, Debug)]
pub struct LayerOutput {
    /// Activations of the layer, in its native axis order.
    pub layer: Vec<f32>,
    /// Other values that the back program needs.
    crossing: Vec<Vec<f32>>,
}

impl SplitProgram {
    /// Runs the front program on one image.
    ///
    /// # Errors
    /// If the image has the wrong size.
    pub fn run_front(&self, input: &PassInput<'_>) -> Result<LayerOutput, MethodError> {
        let mut values = self.front.run(&[input.pixels, input.target], 1)?;
        let crossing = values.split_off(1);
        Ok(LayerOutput { layer: values.swap_remove(0), crossing })
    }

    /// Returns the scores of `total` variants of the layer, which `make` derives one by one from the image's own
    /// activations, [`TOGETHER`] at a time.
    ///
    /// # Errors
    /// If a run fails, or the input asks to stop.
    pub fn scores(
        &self,
        input: &PassInput<'_>,
        layer_output: &LayerOutput,
        total: usize,
        make: &(dyn Fn(usize, &mut [f32]) + Sync),
    ) -> Result<Vec<f32>, MethodError> {
        use rayon::prelude::*;
        let len = layer_output.layer.len().max(1);
        let mut scores = Vec::with_capacity(total.min(1 << 20));
        for start in (0..total).step_by(TOGETHER) {
            input.go_on()?;
            let n = TOGETHER.min(total - start);
            let mut variants = layer_output.layer.repeat(n);
            variants.par_chunks_mut(len).enumerate().for_each(|(i, variant)| make(start + i, variant));
            let of = |feed: &Option<usize>| match feed {
                Some(value) => layer_output.crossing[*value].repeat(n),
                None => input.target.repeat(n),
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
    use crate::method::{MethodSettings, find};
    use crate::train::arch;

    #[test]
    fn methods_share_programs_and_a_refusal_is_not_kept() {
        let network = arch::find("gap-cnn").unwrap().build([1, 32, 32], 2, 0).unwrap();
        let model = Model::from_graph(network).unwrap();
        let (layer, settings, shared) =
            (model.default_layer().unwrap(), MethodSettings::default(), SharedPrograms::default());
        let context = |id: &str| PassContext {
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
        let (rise, sobol) = (context("rise"), context("sobol"));
        assert!(Arc::ptr_eq(&rise.score_program().unwrap(), &sobol.score_program().unwrap()));
        assert!(Arc::ptr_eq(&rise.split_program().unwrap(), &sobol.split_program().unwrap()));
        let kept = ProgramCache::default();
        let refusal = || Err(find("rise").unwrap().not_applicable("no"));
        assert!(kept.get(model.image, refusal).is_err());
        assert_eq!(*kept.get(model.image, || Ok(1)).unwrap(), 1);
        assert_eq!(*kept.get(model.image, || Ok(2)).unwrap(), 1, "made once");
        assert_eq!(*kept.get(layer.value, || Ok(2)).unwrap(), 2);
    }
}
