//! From a model and a choice of methods to a program, and from images to maps.
//!
//! [`Explainer::new`] appends every method's formula to the network, merges what they share and
//! compiles the whole as one program; [`Explainer::explain`] runs it. What comes out is an
//! [`Explanation`]: scores, and one [`Attribution`] for each method, layer and class.

mod attribution;
mod error;
mod target;
mod tensors;

use heatlens_graph::{Graph, ValueId};

pub use attribution::{Attribution, ZeroMap};
pub use error::ExplainError;
pub use target::{Score, Target};
pub use tensors::Tensors;

use crate::method::{Formula, MapKind, Method};
use crate::model::program::ImageProgram;
use crate::model::{GapHead, Layer, Model};

/// What to explain, and how.
#[derive(Clone, Debug)]
pub struct ExplainOptions {
    /// The methods.
    pub methods: Vec<&'static Method>,
    /// The layers; the model's default layer if there are none.
    pub layers: Vec<Layer>,
    /// The classes.
    pub target: Target,
    /// Whether logits or probabilities are explained.
    pub score: Score,
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
            score: Score::Logit,
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
    /// The class, or `None` for whichever is predicted.
    pub class: Option<usize>,
    /// Sizes of one sample's map: `[h, w]` or `[c, h, w]`.
    pub shape: Vec<usize>,
    /// Whether the method was asked for at several layers, so that its name needs the layer.
    pub several_layers: bool,
    /// Whether several classes were asked for, so that its name needs the class.
    pub several_classes: bool,
    output: usize,
    /// Outputs that hold max |A| and max |∂y/∂A|, to say why a map is zero.
    probes: Option<[usize; 2]>,
}

/// A compiled explanation of one model.
#[derive(Debug)]
pub struct Explainer {
    model: Model,
    program: ImageProgram,
    maps: Vec<MapSpec>,
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
        Ok(Self { model: model.clone(), program, maps: assembly.maps, tensors, notes: assembly.notes })
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
        let outputs = self.program.run(pixels, n)?;
        Ok((0..n).map(|i| self.explanation(&outputs, n, i)).collect())
    }

    fn explanation(&self, outputs: &[Vec<f32>], n: usize, i: usize) -> Explanation {
        let of_sample = |output: usize| {
            let all = &outputs[output];
            let len = all.len() / n;
            &all[i * len..(i + 1) * len]
        };
        let head = &self.model.head;
        let logits = of_sample(0).to_vec();
        let predicted = head.predicted(&logits);
        let attribution = |spec: &MapSpec| {
            let probes = spec.probes.map(|p| p.map(|output| of_sample(output)[0]));
            Attribution::new(spec, spec.class.unwrap_or(predicted), of_sample(spec.output).to_vec(), probes)
        };
        Explanation {
            probabilities: head.probabilities(&logits),
            predicted,
            attributions: self.maps.iter().map(attribution).collect(),
            tensors: self.tensors.as_ref().map(|ports| ports.read(of_sample)),
            logits,
        }
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
    let (assembly, _) = Assembly::new(model, options)?;
    let Assembly { graph, maps, outputs, .. } = assembly;
    let maps = maps.into_iter().filter_map(|spec| outputs.get(spec.output).map(|&value| (spec, value)));
    let maps = maps.collect();
    Ok((graph, maps))
}

/// The graph while formulas are appended, and what is to be handed out.
struct Assembly {
    graph: Graph,
    gap: Option<GapHead>,
    outputs: Vec<ValueId>,
    maps: Vec<MapSpec>,
    notes: Vec<String>,
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
            outputs: vec![model.head.logits],
            maps: Vec::new(),
            notes: Vec::new(),
        };
        for class in options.target.classes(model)? {
            assembly.add_class(model, options, &layers, class)?;
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

    /// Appends every method for one class.
    fn add_class(
        &mut self,
        model: &Model,
        options: &ExplainOptions,
        layers: &[Layer],
        class: Option<usize>,
    ) -> Result<(), ExplainError> {
        let (scores, seed) = target::scores_and_seed(&mut self.graph, model, options.score, class)?;
        // Methods without a layer still get one to satisfy the formula's contract; they never look at it.
        let any = layers.first().cloned().or_else(|| model.default_layer().ok());
        for method in &options.methods {
            let chosen = if method.uses_layer { layers } else { any.as_slice() };
            if chosen.is_empty() {
                return Err(ExplainError::Model(crate::model::ModelError::NoSpatialLayer));
            }
            for layer in chosen {
                let gap = self.gap.clone();
                let mut formula = Formula {
                    graph: &mut self.graph,
                    image: model.image,
                    scores,
                    seed,
                    layer,
                    gap: gap.as_ref(),
                };
                match (method.build)(&mut formula) {
                    Ok(map) => self.add_map(method, layer, class, map, (scores, seed))?,
                    Err(reason) if options.skip_inapplicable => self.note(format!("left out: {reason}")),
                    Err(reason) => return Err(reason.into()),
                }
            }
        }
        Ok(())
    }

    fn add_map(
        &mut self,
        method: &'static Method,
        layer: &Layer,
        class: Option<usize>,
        map: ValueId,
        (scores, seed): (ValueId, ValueId),
    ) -> Result<(), ExplainError> {
        let shape = self.graph.fact(map).shape.at(1).split_off(1);
        let output = self.add_output(map);
        let probes = if method.kind == MapKind::Layer {
            let probes = attribution::probes(&mut self.graph, layer, scores, seed)?;
            Some(probes.map(|p| self.add_output(p)))
        } else {
            None
        };
        let layer = method.uses_layer.then(|| layer.clone());
        self.maps.push(MapSpec {
            method,
            layer,
            class,
            shape,
            several_layers: false,
            several_classes: false,
            output,
            probes,
        });
        Ok(())
    }

    fn add_tensors(
        &mut self,
        model: &Model,
        options: &ExplainOptions,
        layer: &Layer,
    ) -> Result<tensors::Ports, ExplainError> {
        // One logit is explained as it is, z, whatever class the maps are for.
        let class = match model.head.is_binary() {
            true => Some(1),
            false => options.target.classes(model)?.into_iter().next().flatten(),
        };
        let (scores, seed) = target::scores_and_seed(&mut self.graph, model, options.score, class)?;
        let values = tensors::build(&mut self.graph, model, layer, scores, seed)?;
        let outputs = values.map(|value| self.add_output(value));
        Ok(tensors::Ports::new(layer.clone(), outputs, self.gap.clone(), class))
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
