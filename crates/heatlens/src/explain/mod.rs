//! From a model and a choice of methods to a program, and from images to maps.
//!
//! [`Explainer::new`] appends every method's formula to the network, merges what they share and
//! compiles the whole as one program; [`Explainer::explain`] runs it. What comes out is an
//! [`Explanation`]: scores, and one [`Attribution`] for each method, layer and class.

mod attribution;
mod compat;
mod error;
mod fusion;
mod smoothing;
mod tensors;

use heatlens_graph::{Builder, Graph, ValueId};

pub use attribution::{Attribution, ZeroMap};
pub use compat::Compat;
pub use error::ExplainError;
pub use fusion::Fusion;
pub use tensors::Tensors;

use crate::method::{Formula, MapKind, Method, MethodError, Passes, Settings, Study, Subject, Work};
use crate::model::program::ImageProgram;
use crate::model::{GapHead, Layer, Model, ModelError};
use crate::target::{Class, Goal, scores_and_seed};
pub use crate::target::{Score, Target};

/// What to explain, and how.
#[derive(Clone, Debug)]
pub struct ExplainOptions {
    /// The methods.
    pub methods: Vec<&'static Method>,
    /// The layers; the model's default layer if there are none.
    pub layers: Vec<Layer>,
    /// The classes.
    pub target: Target,
    /// Each class against this one: why that class and not this one.
    pub against: Option<Target>,
    /// Whether the question is turned round: what would lower the score.
    pub counterfactual: bool,
    /// Whether logits or probabilities are explained.
    pub score: Score,
    /// What was set on the methods, and the seed.
    pub settings: Settings,
    /// How the maps of several layers become one; each by itself if not given.
    pub fusion: Option<Fusion>,
    /// Whether maps are averaged over mirrored and scaled copies of the image.
    pub augment: bool,
    /// Whether methods that sum over channels take their first principal component instead.
    pub eigen_smooth: bool,
    /// A library whose last steps are applied to layer maps.
    pub compat: Option<Compat>,
    /// Whether methods that do not apply are left out (with a note) instead of being an error.
    pub skip_inapplicable: bool,
    /// Whether the tensors behind the maps are handed out too.
    pub tensors: bool,
}

impl ExplainOptions {
    /// These methods on the default layer, for the predicted class, of the logit.
    #[must_use]
    pub fn new(methods: &[&'static Method]) -> Self {
        Self {
            methods: methods.to_vec(),
            layers: Vec::new(),
            target: Target::Predicted,
            against: None,
            counterfactual: false,
            score: Score::Logit,
            settings: Settings::default(),
            fusion: None,
            augment: false,
            eigen_smooth: false,
            compat: None,
            skip_inapplicable: false,
            tensors: false,
        }
    }
}

/// One map that the program computes.
#[derive(Clone, Debug)]
pub struct MapSpec {
    /// The method.
    pub method: &'static Method,
    /// The layer, for methods that use one.
    pub layer: Option<Layer>,
    /// What is explained.
    pub goal: Goal,
    /// Sizes of one sample's map: `[h, w]` or `[c, h, w]`.
    pub shape: Vec<usize>,
    /// Whether the method was asked for at several layers, so that its name needs the layer.
    pub several_layers: bool,
    /// Whether several classes were asked for, so that its name needs the class.
    pub several_classes: bool,
    source: MapSource,
    /// Outputs that hold max |A| and max |∂y/∂A|, to say why a map is zero.
    probes: Option<[usize; 2]>,
}

/// Where a map's numbers come from.
#[derive(Clone, Copy, Debug)]
enum MapSource {
    /// An output of the shared program.
    Output(usize),
    /// Passes of their own (their number in the list of all), for the target that this output holds.
    Passes { number: usize, target: usize },
}

/// A compiled explanation of one model.
#[derive(Debug)]
pub struct Explainer {
    model: Model,
    program: ImageProgram,
    /// Gives the targets of the images as they are, where copies of them are explained too.
    targets: Option<ImageProgram>,
    passes: Vec<Box<dyn Passes>>,
    /// What is computed.
    parts: Vec<MapSpec>,
    /// What is handed out, and the parts that each of it is made of.
    maps: Vec<MapSpec>,
    made_of: Vec<Vec<usize>>,
    fusion: Option<Fusion>,
    compat: Option<Compat>,
    tensors: Option<tensors::Ports>,
    notes: Vec<String>,
}

/// What came out for one image.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The logits, as in the file before its sigmoid or softmax.
    pub logits: Vec<f32>,
    /// The probability of each class.
    pub probabilities: Vec<f64>,
    /// The class with the highest score.
    pub predicted: usize,
    /// One map for each method, layer and class, in the order of [`Explainer::maps`].
    pub attributions: Vec<Attribution>,
    /// The tensors behind the maps, where they were asked for.
    pub tensors: Option<Tensors>,
}

impl Explainer {
    /// Builds and compiles the program.
    ///
    /// # Errors
    /// If a method does not apply (and must not be skipped), a class does not exist, or an
    /// operator of the model has no kernel.
    pub fn new(model: &Model, options: &ExplainOptions) -> Result<Self, ExplainError> {
        let (mut assembly, layers) = Assembly::new(model, options)?;
        let tensors = match (options.tensors, layers.first()) {
            (true, Some(layer)) => Some(assembly.add_tensors(model, options, layer)?),
            (true, None) => Some(assembly.add_tensors(model, options, &model.default_layer()?)?),
            _ => None,
        };
        let program = ImageProgram::compile(&assembly.graph, model.image, &assembly.outputs)?;
        let targets = match &assembly.targets {
            Some(aims) => Some(ImageProgram::compile(&aims.graph, model.image, &aims.outputs)?),
            None => None,
        };
        let Assembly { maps: parts, passes, notes, .. } = assembly;
        let (maps, made_of) = shown(&parts, options, model);
        Ok(Self {
            model: model.clone(),
            program,
            targets,
            passes,
            parts,
            maps,
            made_of,
            fusion: options.fusion,
            compat: options.compat,
            tensors,
            notes,
        })
    }

    /// The maps that [`explain`](Self::explain) gives for each image, in order.
    #[must_use]
    pub fn maps(&self) -> &[MapSpec] {
        &self.maps
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What was left out or ignored, and why.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Explains `n` images, given one after the other as c·h·w values each.
    ///
    /// # Errors
    /// If `pixels` does not hold `n` images of the model's size.
    pub fn explain(&self, pixels: &[f32], n: usize) -> Result<Vec<Explanation>, ExplainError> {
        let targets = match &self.targets {
            Some(program) => program.run(&[pixels], n)?,
            None => Vec::new(),
        };
        let mut explained = self.run(pixels, &targets, n)?;
        if self.targets.is_some() {
            self.smooth(&mut explained, pixels, &targets, n)?;
        }
        explained.iter_mut().for_each(|explanation| self.finish(explanation));
        Ok(explained)
    }

    /// Runs the program on images that may be copies, for the targets of the originals.
    fn run(&self, pixels: &[f32], targets: &[Vec<f32>], n: usize) -> Result<Vec<Explanation>, ExplainError> {
        let mut feeds: Vec<&[f32]> = vec![pixels];
        feeds.extend(targets.iter().map(Vec::as_slice));
        let outputs = self.program.run(&feeds, n)?;
        let images = pixels.chunks(pixels.len().max(1) / n.max(1));
        images.enumerate().map(|(i, image)| self.explanation(&outputs, image, n, i)).collect()
    }

    /// Averages the maps over changed copies of the images.
    fn smooth(
        &self,
        explained: &mut [Explanation],
        pixels: &[f32],
        targets: &[Vec<f32>],
        n: usize,
    ) -> Result<(), ExplainError> {
        let [_, _, width] = self.model.shape();
        let mut count = 1.0;
        for copy in smoothing::copies() {
            count += 1.0;
            for (total, part) in explained.iter_mut().zip(self.run(&copy.make(pixels, width), targets, n)?) {
                for (total, mut part) in total.attributions.iter_mut().zip(part.attributions) {
                    copy.put_back(&mut part.values, part.shape.last().copied().unwrap_or(1));
                    total.values.iter_mut().zip(part.values).for_each(|(sum, v)| *sum += v);
                }
            }
        }
        for attribution in explained.iter_mut().flat_map(|e| &mut e.attributions) {
            let mean = attribution.values.iter().map(|v| v / count).collect();
            attribution.replace(attribution.shape.clone(), mean);
        }
        Ok(())
    }

    /// From the parts to what is handed out.
    fn finish(&self, explanation: &mut Explanation) {
        let parts = std::mem::take(&mut explanation.attributions);
        for (spec, made_of) in self.maps.iter().zip(&self.made_of) {
            let of: Vec<&Attribution> = made_of.iter().filter_map(|&part| parts.get(part)).collect();
            let Some(&first) = of.first() else { continue };
            let mut map = first.clone();
            if let (Some(fusion), true) = (self.fusion, of.len() > 1) {
                map.layer = None;
                map.replace(fusion::size(of.iter().map(|m| m.shape.as_slice())).to_vec(), fusion.fuse(&of));
            }
            if let (Some(compat), true) = (self.compat, map.is_layer_map()) {
                let [_, h, w] = self.model.shape();
                let values = compat.apply(spec.method.id, &map.shape, &map.values, [h, w]);
                map.replace(spec.shape.clone(), values);
            }
            explanation.attributions.push(map);
        }
    }

    /// Whether images take many passes each, so that they are best explained one at a time.
    #[must_use]
    pub fn takes_passes(&self) -> bool {
        !self.passes.is_empty()
    }

    fn explanation(
        &self,
        outputs: &[Vec<f32>],
        pixels: &[f32],
        n: usize,
        i: usize,
    ) -> Result<Explanation, ExplainError> {
        let of_sample = |output: usize| {
            let all = &outputs[output];
            let len = all.len() / n;
            &all[i * len..(i + 1) * len]
        };
        let head = &self.model.head;
        let logits = of_sample(0).to_vec();
        let attribution = |spec: &MapSpec| {
            let probes = spec.probes.map(|p| p.map(|output| of_sample(output)[0]));
            let values = match spec.source {
                MapSource::Output(output) => of_sample(output).to_vec(),
                MapSource::Passes { number, target } => {
                    self.passes[number].explain(&Subject { pixels, target: of_sample(target) })?
                }
            };
            Ok(Attribution::new(spec, spec.goal.class.of(head, &logits), values, probes))
        };
        Ok(Explanation {
            probabilities: head.probabilities(&logits),
            predicted: head.predicted(&logits),
            attributions: self.parts.iter().map(attribution).collect::<Result<_, ExplainError>>()?,
            tensors: self.tensors.as_ref().map(|ports| ports.read(of_sample)),
            logits,
        })
    }
}

/// A model's graph with the formulas of `options` appended, and the value of each map in it, in the
/// order of methods, layers and classes.
///
/// # Errors
/// As [`Explainer::new`], operators without a kernel aside.
pub fn append_maps(
    model: &Model,
    options: &ExplainOptions,
) -> Result<(Graph, Vec<(MapSpec, ValueId)>), ExplainError> {
    if let Some(method) = options.methods.iter().find(|m| !matches!(m.work, Work::Graph(_))) {
        let reason = "it runs the model many times, which no graph can hold";
        return Err(method.not_applicable(reason).into());
    }
    let (assembly, _) = Assembly::new(model, options)?;
    let Assembly { graph, maps, outputs, .. } = assembly;
    let value = |spec: &MapSpec| match spec.source {
        MapSource::Output(output) => outputs.get(output).copied(),
        MapSource::Passes { .. } => None,
    };
    let maps = maps.into_iter().filter_map(|spec| value(&spec).map(|value| (spec, value)));
    let maps = maps.collect();
    Ok((graph, maps))
}

/// The graph while formulas are appended, and what is to be handed out.
struct Assembly {
    graph: Graph,
    gap: Option<GapHead>,
    /// The last layer of every size.
    stages: Vec<Layer>,
    outputs: Vec<ValueId>,
    passes: Vec<Box<dyn Passes>>,
    maps: Vec<MapSpec>,
    notes: Vec<String>,
    /// Where copies are explained for the original's class: the graph that tells it.
    targets: Option<Aims>,
}

/// A graph of the network with the target of every goal.
struct Aims {
    graph: Graph,
    outputs: Vec<ValueId>,
}

/// One goal, as the graph knows it.
struct Aim {
    goal: Goal,
    scores: ValueId,
    seed: ValueId,
}

impl Assembly {
    /// The model's graph with every formula appended, and the layers that were looked at.
    fn new(model: &Model, options: &ExplainOptions) -> Result<(Self, Vec<Layer>), ExplainError> {
        let layers = match options.layers.as_slice() {
            [] if options.methods.iter().any(|m| m.uses_layer) => vec![model.default_layer()?],
            [] => Vec::new(),
            layers => layers.to_vec(),
        };
        let mut assembly = Self {
            graph: model.graph.clone(),
            gap: model.gap_head(),
            stages: model.stage_layers(),
            outputs: vec![model.head.logits],
            passes: Vec::new(),
            maps: Vec::new(),
            notes: Vec::new(),
            targets: options.augment.then(|| Aims { graph: model.graph.clone(), outputs: Vec::new() }),
        };
        let against = against(model, options)?;
        for class in options.target.classes(model)? {
            let goal = Goal { class, against, counterfactual: options.counterfactual, score: options.score };
            assembly.add_goal(model, options, &layers, goal)?;
        }
        for map in &mut assembly.maps {
            map.several_layers = layers.len() > 1;
            map.several_classes = options.target == Target::All;
        }
        if assembly.maps.is_empty() {
            return Err(ExplainError::NothingApplies(assembly.notes));
        }
        Ok((assembly, layers))
    }

    /// Adds every method for one goal.
    fn add_goal(
        &mut self,
        model: &Model,
        options: &ExplainOptions,
        layers: &[Layer],
        goal: Goal,
    ) -> Result<(), ExplainError> {
        let (scores, mut seed) = scores_and_seed(&mut self.graph, model, &goal)?;
        if let Some(aims) = &mut self.targets {
            let (of, from_original) = scores_and_seed(&mut aims.graph, model, &goal)?;
            let fact = aims.graph.fact(of).clone();
            let full = Builder::new(&mut aims.graph, "target").expand(from_original, fact.shape.clone())?;
            aims.outputs.push(full);
            seed = self.graph.add_input("target", fact);
        }
        let aim = Aim { goal, scores, seed };
        // Methods without a layer still get one to satisfy the contract; they never look at it.
        let any = layers.first().cloned().or_else(|| model.default_layer().ok());
        for &method in &options.methods {
            let chosen = if method.uses_layer { layers } else { any.as_slice() };
            if chosen.is_empty() {
                return Err(ExplainError::Model(ModelError::NoSpatialLayer));
            }
            for layer in chosen {
                match self.add_map(model, options, method, layer, &aim) {
                    Err(ExplainError::Method(reason)) if options.skip_inapplicable => {
                        self.note(format!("left out: {reason}"));
                    }
                    other => other?,
                }
            }
        }
        Ok(())
    }

    /// Adds one method at one layer for one goal.
    fn add_map(
        &mut self,
        model: &Model,
        options: &ExplainOptions,
        method: &'static Method,
        layer: &Layer,
        aim: &Aim,
    ) -> Result<(), ExplainError> {
        let (source, shape) = match method.work {
            Work::Graph(build) => {
                let map = self.append(model, options, method, layer, aim, build)?;
                (MapSource::Output(self.add_output(map)), self.graph.fact(map).shape.at(1).split_off(1))
            }
            Work::Passes(prepare) => {
                let passes = prepare(&Study {
                    model,
                    layer,
                    stages: &stages_up_to(&self.stages, layer),
                    score: options.score,
                    gap: self.gap.as_ref(),
                    chosen: options.settings.of(method),
                })?;
                let shape = passes.shape();
                let full = self.graph.fact(aim.scores).shape.clone();
                let target = Builder::new(&mut self.graph, "target").expand(aim.seed, full)?;
                let target = self.add_output(target);
                self.passes.push(passes);
                (MapSource::Passes { number: self.passes.len() - 1, target }, shape)
            }
        };
        let probes = if method.kind == MapKind::Layer && method.uses_layer {
            let probes = attribution::probes(&mut self.graph, layer, aim.scores, aim.seed)?;
            Some(probes.map(|p| self.add_output(p)))
        } else {
            None
        };
        let layer = method.uses_layer.then(|| layer.clone());
        self.maps.push(MapSpec {
            method,
            layer,
            goal: aim.goal,
            shape,
            several_layers: false,
            several_classes: false,
            source,
            probes,
        });
        Ok(())
    }

    /// Appends a formula.
    fn append(
        &mut self,
        model: &Model,
        options: &ExplainOptions,
        method: &'static Method,
        layer: &Layer,
        aim: &Aim,
        build: fn(&mut Formula<'_>) -> Result<ValueId, MethodError>,
    ) -> Result<ValueId, MethodError> {
        build(&mut Formula {
            graph: &mut self.graph,
            image: model.image,
            scores: aim.scores,
            seed: aim.seed,
            layer,
            stages: &stages_up_to(&self.stages, layer),
            gap: self.gap.as_ref(),
            eigen_smooth: options.eigen_smooth,
            chosen: options.settings.of(method),
        })
    }

    fn add_tensors(
        &mut self,
        model: &Model,
        options: &ExplainOptions,
        layer: &Layer,
    ) -> Result<tensors::Ports, ExplainError> {
        // One logit is explained as it is, z, whatever class the maps are for.
        let class = match model.head.is_binary() {
            true => Class::Number(1),
            false => options.target.classes(model)?.into_iter().next().unwrap_or(Class::Predicted),
        };
        let goal = Goal { class, against: None, counterfactual: false, score: options.score };
        let (scores, seed) = scores_and_seed(&mut self.graph, model, &goal)?;
        let values = tensors::build(&mut self.graph, model, layer, scores, seed)?;
        let outputs = values.map(|value| self.add_output(value));
        Ok(tensors::Ports::new(layer.clone(), outputs, self.gap.clone(), model.head.clone(), class))
    }

    fn add_output(&mut self, value: ValueId) -> usize {
        self.outputs.push(value);
        self.outputs.len() - 1
    }

    fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

/// The one class that others are held against.
fn against(model: &Model, options: &ExplainOptions) -> Result<Option<Class>, ExplainError> {
    let Some(target) = &options.against else { return Ok(None) };
    match target.classes(model)?.as_slice() {
        &[class] => Ok(Some(class)),
        _ => Err(ExplainError::Model(ModelError::SeveralAgainst)),
    }
}

/// Those that come before the layer, and it.
fn stages_up_to(stages: &[Layer], layer: &Layer) -> Vec<Layer> {
    stages.iter().take_while(|stage| stage.value <= layer.value).cloned().collect()
}

/// What is handed out: the parts, or one map for those that several layers have in common.
fn shown(parts: &[MapSpec], options: &ExplainOptions, model: &Model) -> (Vec<MapSpec>, Vec<Vec<usize>>) {
    let mut maps: Vec<MapSpec> = Vec::new();
    let mut made_of: Vec<Vec<usize>> = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let fuses = options.fusion.is_some() && part.several_layers && part.method.kind == MapKind::Layer;
        let same = |map: &MapSpec| map.method.id == part.method.id && map.goal == part.goal;
        let known = maps.iter().position(|map| fuses && part.layer.is_some() && same(map));
        match known {
            Some(known) => made_of[known].push(number),
            None => {
                maps.push(part.clone());
                made_of.push(vec![number]);
            }
        }
    }
    for (map, of) in maps.iter_mut().zip(&made_of) {
        if of.len() > 1 {
            map.layer = None;
            map.several_layers = false;
            map.shape = fusion::size(of.iter().map(|&part| parts[part].shape.as_slice())).to_vec();
        }
        if let (Some(compat), MapKind::Layer) = (options.compat, map.method.kind) {
            let [_, h, w] = model.shape();
            map.shape = compat.shape(&map.shape, [h, w]);
        }
    }
    (maps, made_of)
}
