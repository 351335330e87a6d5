//! The network's graph with every formula appended, and the passes of the methods that are no formula.

use heatlens_graph::{Builder, Graph, ValueId};

use crate::explain::map_spec::{MapSource, MapSpec};
use crate::explain::{ExplainError, ExplainOptions, attribution, tensors};
use crate::method::{Formula, MapKind, Method, MethodError, Passes, Shared, Study, Work};
use crate::model::{GapHead, Layer, Model, ModelError, Placement, Placing};
use crate::target::{Class, Goal, Target, scores_and_seed};

/// A model's graph with the formulas of `options` appended, and the value of each map in it, in the
/// order of methods, layers and classes.
///
/// # Errors
/// As [`Explainer::new`](crate::explain::Explainer::new), operators without a kernel aside.
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
pub(super) struct Assembly {
    pub(super) graph: Graph,
    gap: Option<GapHead>,
    /// Every layer.
    all: Vec<Layer>,
    /// The last layer of every size.
    stages: Vec<Layer>,
    pub(super) outputs: Vec<ValueId>,
    pub(super) passes: Vec<Box<dyn Passes>>,
    /// Whose passes they are: the target is one of their inputs, so every class shares them.
    prepared: Vec<(&'static str, ValueId)>,
    shared: Shared,
    pub(super) maps: Vec<MapSpec>,
    pub(super) notes: Vec<String>,
    /// Where copies are explained for the original's class: the graph that tells it.
    pub(super) targets: Option<Aims>,
}

/// A graph of the network with the target of every goal.
pub(super) struct Aims {
    pub(super) graph: Graph,
    pub(super) outputs: Vec<ValueId>,
}

/// One goal, as the graph knows it.
struct Aim {
    goal: Goal,
    scores: ValueId,
    seed: ValueId,
}

impl Assembly {
    /// The model's graph with every formula appended, and the layers that were looked at.
    pub(super) fn new(model: &Model, options: &ExplainOptions) -> Result<(Self, Vec<Layer>), ExplainError> {
        let layers = match options.layers.as_slice() {
            [] if options.methods.iter().any(|m| m.uses_layer) => match model.default_layer() {
                Err(_) if options.skip_inapplicable => Vec::new(),
                layer => vec![layer?],
            },
            [] => Vec::new(),
            layers => layers.to_vec(),
        };
        let layers = placed(layers, options);
        let mut assembly = Self {
            graph: model.graph.clone(),
            gap: model.gap_head(),
            all: placed(model.layers(), options),
            stages: placed(model.stage_layers(), options),
            outputs: vec![model.head.logits],
            passes: Vec::new(),
            prepared: Vec::new(),
            shared: Shared::default(),
            maps: Vec::new(),
            notes: Vec::new(),
            targets: (options.augment || options.classes_given)
                .then(|| Aims { graph: model.graph.clone(), outputs: Vec::new() }),
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
        let any = any.unwrap_or_else(|| Layer::of_image(model));
        for &method in &options.methods {
            let chosen = if method.uses_layer { layers } else { std::slice::from_ref(&any) };
            if chosen.is_empty() {
                self.note(format!("left out: {}: {}", method.id, ModelError::NoSpatialLayer));
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
                let number = self.passes_of(model, options, method, layer, prepare)?;
                let shape = self.passes[number].shape();
                let full = self.graph.fact(aim.scores).shape.clone();
                let target = Builder::new(&mut self.graph, "target").expand(aim.seed, full)?;
                let target = self.add_output(target);
                (MapSource::Passes { number, target }, shape)
            }
        };
        // Where the score has no derivative at the layer, the reason of an empty map stays open.
        let probes = match method.uses_layer {
            true => attribution::probes(&mut self.graph, method.kind, layer, aim.scores, aim.seed).ok(),
            false => None,
        };
        let probes = probes.map(|probes| probes.map(|p| self.add_output(p)));
        let placement = self.placement(model, method, layer, &shape);
        let layer = method.uses_layer.then(|| layer.clone());
        self.maps.push(MapSpec {
            name: String::new(), // once all are known
            file_name: String::new(),
            method,
            layer,
            goal: aim.goal,
            shape,
            placement,
            several_layers: false,
            several_classes: false,
            source,
            probes,
        });
        Ok(())
    }

    /// Where the cells of a method's map stand: the layer's, or, where its map is of another size, those of the stage of
    /// that size.
    fn placement(&self, model: &Model, method: &Method, layer: &Layer, shape: &[usize]) -> Placement {
        let Some(&[h, w]) = shape.last_chunk::<2>().filter(|_| method.kind != MapKind::Input) else {
            return Placement::EVEN;
        };
        let fits = |layer: &&Layer| layer.shape[1..] == [h, w];
        let [_, rows, columns] = model.shape();
        let layer = Some(layer).filter(fits).or_else(|| self.stages.iter().find(fits));
        layer.map_or(Placement::EVEN, |layer| Placement::new(layer.cells, [rows, columns]))
    }

    /// The number of a method's passes at a layer, prepared by whichever goal comes first.
    fn passes_of(
        &mut self,
        model: &Model,
        options: &ExplainOptions,
        method: &'static Method,
        layer: &Layer,
        prepare: fn(&Study<'_>) -> Result<Box<dyn Passes>, MethodError>,
    ) -> Result<usize, MethodError> {
        let key = (method.id, layer.value);
        if let Some(number) = self.prepared.iter().position(|known| *known == key) {
            return Ok(number);
        }
        let passes = prepare(&Study {
            model,
            layer,
            layers: &self.all,
            stages: &stages_up_to(&self.stages, layer),
            score: options.score,
            gap: self.gap.as_ref(),
            chosen: options.settings.of(method),
            shared: &self.shared,
        })?;
        self.shared.take_notes().into_iter().for_each(|note| self.note(note));
        self.passes.push(passes);
        self.prepared.push(key);
        Ok(self.passes.len() - 1)
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
            layers: &self.all,
            stages: &stages_up_to(&self.stages, layer),
            gap: self.gap.as_ref(),
            eigen_smooth: options.eigen_smooth,
            chosen: options.settings.of(method),
        })
    }

    pub(super) fn add_tensors(
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

/// Layers whose cells are placed as asked for.
fn placed(mut layers: Vec<Layer>, options: &ExplainOptions) -> Vec<Layer> {
    if options.placing() == Placing::Resize {
        layers.iter_mut().for_each(|layer| layer.cells = [None; 2]);
    }
    layers
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::Explainer;
    use crate::method::find;
    use crate::train::arch;

    #[test]
    fn every_class_shares_the_passes_of_a_method() {
        let network = arch::find("gap-cnn").unwrap().build([1, 32, 32], 2, 0).unwrap();
        let model = Model::from_graph(network).unwrap();
        let methods = ["rise", "grad_cam", "ablation_cam"].map(|id| find(id).unwrap());
        let options = ExplainOptions { target: Target::All, ..ExplainOptions::new(&methods) };
        let (assembly, _) = Assembly::new(&model, &options).unwrap();
        assert_eq!((assembly.maps.len(), assembly.passes.len()), (6, 2));
    }

    #[test]
    fn only_long_methods_take_images_one_by_one() {
        let network = arch::find("gap-cnn").unwrap().build([1, 32, 32], 2, 0).unwrap();
        let model = Model::from_graph(network).unwrap();
        for (ids, long) in [(["grad_cam", "random"], false), (["rise", "random"], true)] {
            let options = ExplainOptions::new(&ids.map(|id| find(id).unwrap()));
            assert_eq!(Explainer::new(&model, &options).unwrap().takes_passes(), long, "{ids:?}");
        }
    }
}
