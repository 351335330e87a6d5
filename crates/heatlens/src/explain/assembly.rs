//! The model's graph with the formulas of all methods appended, and the passes of the methods that cannot be written as
//! a graph.

use heatlens_graph::op::slice::Slice;
use heatlens_graph::{Builder, Fact, Graph, GraphError, ValueId};

use crate::explain::map_spec::{MapSource, MapSpec};
use crate::explain::{Compat, ExplainError, ExplainOptions, attribution, tensors};
use crate::method::{Formula, MapKind, Method, MethodError, MultiPass, PassContext, SharedPrograms, Work};
use crate::model::stages::stage_layers;
use crate::model::{Dense, GapHead, Layer, Model, ModelError, Placement, Placing};
use crate::target::{Class, Goal, of_row, row, row_shape, scores_and_seed, seed_shape, with_places};

/// Returns a model's graph with the formulas of `options` appended, and the value of each map in it, ordered by method,
/// layer and class.
///
/// # Errors
/// As for [`Explainer::new`](crate::explain::Explainer::new), except for operators without a kernel.
pub fn append_maps(
    model: &Model,
    options: &ExplainOptions,
) -> Result<(Graph, Vec<(MapSpec, ValueId)>), ExplainError> {
    if let Some(method) = options.methods.iter().find(|m| !matches!(m.work, Work::Graph(_))) {
        let reason = "it runs the model many times, which a single graph cannot do";
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

/// A graph to which formulas are being appended, and the outputs to compute.
pub(super) struct Assembly {
    pub(super) graph: Graph,
    gap: Option<GapHead>,
    /// Default layer of `cam`, which is defined at a single layer only.
    pub(super) pooled: Option<Layer>,
    /// All layers.
    all: Vec<Layer>,
    /// The last layer of each size.
    stages: Vec<Layer>,
    pub(super) outputs: Vec<ValueId>,
    pub(super) passes: Vec<Box<dyn MultiPass>>,
    /// Method and layer of each element of `passes`. The target is an input of the passes, so all classes share them.
    prepared: Vec<(&'static str, ValueId)>,
    shared: SharedPrograms,
    pub(super) maps: Vec<MapSpec>,
    /// Output with the boxes of a detector, N×4×P.
    pub(super) boxes: Option<usize>,
    pub(super) notes: Vec<String>,
    /// True if the layers belong to the levels of a detector, one of which is responsible for each box.
    pub(super) by_level: bool,
    /// Graph that computes the target, if copies are explained for the original's class or classes are given.
    pub(super) targets: Option<Aims>,
}

/// The model's graph with the target of every goal.
pub(super) struct Aims {
    pub(super) graph: Graph,
    pub(super) outputs: Vec<ValueId>,
    /// True if the class is given, so that only the places are computed.
    class_given: bool,
}

impl Aims {
    /// Appends the row of a goal, one per sample.
    fn row(&mut self, model: &Model, goal: &Goal) -> Result<ValueId, GraphError> {
        let row = if self.class_given && model.head.dense.is_some() {
            let seed = self.graph.add_input("class", Fact::f32(seed_shape(model)));
            with_places(&mut self.graph, model, seed, seed)?
        } else {
            row(&mut self.graph, model, goal)?
        };
        Builder::new(&mut self.graph, "target").expand(row, row_shape(model))
    }
}

/// Values of one goal in the graph.
struct Aim {
    goal: Goal,
    scores: ValueId,
    seed: ValueId,
    /// Target of the goal as one row, N×T.
    row: ValueId,
    /// Output with the weight of each place, for dense heads.
    places: Option<usize>,
    /// Output that holds the seed, if the target is an input.
    seed_output: Option<usize>,
}

impl Assembly {
    /// Returns the model's graph with every formula appended, and the layers used.
    pub(super) fn new(model: &Model, options: &ExplainOptions) -> Result<(Self, Vec<Layer>), ExplainError> {
        let summed;
        let model = match &model.head.dense {
            Some(_) if options.augment => {
                let why =
                    "maps cannot be averaged over mirrored copies (--aug-smooth), whose pixels lie elsewhere";
                return Err(ModelError::Head { kind: model.head.kind.name(), why: why.to_owned() }.into());
            }
            Some(dense) if options.compat == Some(Compat::PytorchGradCam) => {
                let mut own = model.clone();
                own.head.dense = Some(Dense { sum: true, ..dense.clone() });
                summed = own;
                &summed
            }
            _ => model,
        };
        let found = model.find_layers();
        let mut notes = Vec::new();
        let layers = match options.layers.as_slice() {
            [] if options.methods.iter().any(|m| m.uses_layer) => match model.default_layers(&found) {
                Err(_) if options.skip_inapplicable => Vec::new(),
                choice => {
                    let (layers, told) = choice?;
                    notes = told;
                    layers
                }
            },
            [] => Vec::new(),
            layers => layers.to_vec(),
        };
        let layers = placed(layers, options);
        let any = layers.first().cloned().or_else(|| Some(model.choose_layer(&found).ok()?.layer));
        let any = any.unwrap_or_else(|| Layer::of_image(model));
        let (gap, stages) = (model.gap_head_among(&found.all), placed(stage_layers(&found.all), options));
        let all = placed(found.all, options);
        let pooled = |layer: &&Layer| gap.as_ref().is_some_and(|gap| gap.features == layer.value);
        let mut assembly = Self {
            graph: model.graph.clone(),
            pooled: all.iter().find(pooled).filter(|_| options.layers.is_empty()).cloned(),
            gap,
            all,
            stages,
            outputs: vec![model.head.logits],
            passes: Vec::new(),
            prepared: Vec::new(),
            shared: SharedPrograms::default(),
            maps: Vec::new(),
            boxes: None,
            notes,
            by_level: options.layers.is_empty() && options.fusion.is_none() && layers.len() > 1,
            targets: (options.augment || options.classes_given).then(|| Aims {
                graph: model.graph.clone(),
                outputs: Vec::new(),
                class_given: options.classes_given,
            }),
        };
        if let Some(boxes) = model.head.dense.as_ref().and_then(|dense| dense.boxes.as_ref()) {
            assembly.boxes = Some(assembly.add_output(boxes.value));
        }
        let against = against(model, options)?;
        for class in options.target.classes(model)? {
            let goal = Goal { class, against, counterfactual: options.counterfactual, score: options.score };
            assembly.add_goal(model, options, &layers, &any, goal)?;
        }
        for map in &mut assembly.maps {
            map.several_layers = layers.len() > 1;
            map.several_classes = options.target.is_several();
        }
        if assembly.maps.is_empty() {
            return Err(ExplainError::NothingApplies(assembly.notes));
        }
        Ok((assembly, layers))
    }

    /// Adds all methods for one goal; those that use no layer get `any`, which they ignore.
    fn add_goal(
        &mut self,
        model: &Model,
        options: &ExplainOptions,
        layers: &[Layer],
        any: &Layer,
        goal: Goal,
    ) -> Result<(), ExplainError> {
        let row = match &mut self.targets {
            _ if matches!(goal.class, Class::OfDetection(_)) => {
                self.graph.add_input("target", Fact::f32(row_shape(model)))
            }
            Some(aims) => {
                let row = aims.row(model, &goal)?;
                aims.outputs.push(row);
                self.graph.add_input("target", aims.graph.fact(row).clone())
            }
            None => row(&mut self.graph, model, &goal)?,
        };
        let (scores, seed) = of_row(&mut self.graph, model, goal.score, row)?;
        let places = model.head.dense.as_ref().map(|dense| self.add_places(dense, row)).transpose()?;
        let seed_output = matches!(goal.class, Class::OfDetection(_)).then(|| self.add_output(seed));
        let aim = Aim { goal, scores, seed, row, places, seed_output };
        for &method in &options.methods {
            let pooled = self.pooled.clone().filter(|_| method.id == Method::CAM.id);
            let chosen = match &pooled {
                Some(pooled) => std::slice::from_ref(pooled),
                None if method.uses_layer => layers,
                None => std::slice::from_ref(any),
            };
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

    /// Adds an output with the weight of each place, N×P.
    fn add_places(&mut self, dense: &Dense, row: ValueId) -> Result<usize, ExplainError> {
        let mut b = Builder::new(&mut self.graph, "target");
        let width = b.shape(row).0.get(1).map_or(0, |d| d.at(1));
        let places = Slice { axis: 1, start: width - dense.places, len: dense.places, step: 1 };
        let places = b.apply(places, &[row])?;
        Ok(self.add_output(places))
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
                let target = Builder::new(&mut self.graph, "target").expand(aim.row, row_shape(model))?;
                let target = self.add_output(target);
                (MapSource::Passes { number, target }, shape)
            }
        };
        // Without a derivative of the score at the layer, the reason for an empty map is unknown.
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
            places: aim.places,
            seed: aim.seed_output,
        });
        Ok(())
    }

    /// Returns the placement of a map's cells: that of the layer or, if the map has a different size, that of the stage
    /// of its size.
    fn placement(&self, model: &Model, method: &Method, layer: &Layer, shape: &[usize]) -> Placement {
        let Some(&[h, w]) = shape.last_chunk::<2>().filter(|_| method.kind != MapKind::Input) else {
            return Placement::EVEN;
        };
        let fits = |layer: &&Layer| layer.shape[1..] == [h, w];
        let [_, rows, columns] = model.shape();
        let layer = Some(layer).filter(fits).or_else(|| self.stages.iter().find(fits));
        layer.map_or(Placement::EVEN, |layer| Placement::new(layer.cells, [rows, columns]))
    }

    /// Returns the index of a method's passes at a layer, preparing them for the first goal.
    fn passes_of(
        &mut self,
        model: &Model,
        options: &ExplainOptions,
        method: &'static Method,
        layer: &Layer,
        prepare: fn(&PassContext<'_>) -> Result<Box<dyn MultiPass>, MethodError>,
    ) -> Result<usize, MethodError> {
        let key = (method.id, layer.value);
        if let Some(number) = self.prepared.iter().position(|known| *known == key) {
            return Ok(number);
        }
        let passes = prepare(&PassContext {
            model,
            layer,
            layers: &self.all,
            stages: &stages_up_to(&self.stages, layer),
            score: options.score,
            published: options.compat.is_some(),
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
        // A single logit z is explained as it is, whatever the class of the maps.
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

/// Returns the layers with the requested placement of cells.
fn placed(mut layers: Vec<Layer>, options: &ExplainOptions) -> Vec<Layer> {
    if options.placing() == Placing::Resize {
        layers.iter_mut().for_each(|layer| layer.cells = [None; 2]);
    }
    layers
}

/// Returns the class that the explained classes are compared with.
fn against(model: &Model, options: &ExplainOptions) -> Result<Option<Class>, ExplainError> {
    let Some(target) = &options.against else { return Ok(None) };
    match target.classes(model)?.as_slice() {
        &[class] => Ok(Some(class)),
        _ => Err(ExplainError::Model(ModelError::SeveralAgainst)),
    }
}

/// Returns the stages up to and including the layer.
fn stages_up_to(stages: &[Layer], layer: &Layer) -> Vec<Layer> {
    stages.iter().take_while(|stage| stage.value <= layer.value).cloned().collect()
}

#[cfg(test)]
mod tests {
    use heatlens_graph::op::conv::Conv;
    use heatlens_graph::op::gather::Gather;
    use heatlens_graph::op::window::Window;
    use heatlens_graph::{Fact, Shape, Tensor};

    use super::*;
    use crate::explain::Explainer;
    use crate::method::find;
    use crate::target::Target;
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

    /// Returns a model that averages the logits of an image and of its mirror image.
    fn looking_twice() -> Model {
        let mut graph = Graph::new("twice");
        let image = graph.add_input("image", Fact::f32(Shape::batched(&[1, 8, 8])));
        let mut b = Builder::new(&mut graph, "net");
        let kernel = b.constant(Tensor::f32(&[2, 1, 3, 3], (0u8..18).map(f32::from).collect()));
        let window = Window::new(&[3, 3]);
        let gather = Gather { axis: 3, indices: (0..8).rev().collect(), shape: vec![8] };
        let mirrored = b.apply(gather, &[image]).unwrap();
        let logits = [image, mirrored].map(|seen| {
            let conv = b.apply(Conv { window: window.clone(), group: 1 }, &[seen, kernel]).unwrap();
            let relu = b.relu(conv).unwrap();
            b.mean(relu, &[2, 3], false).unwrap()
        });
        let sum = b.add(logits[0], logits[1]).unwrap();
        graph.set_outputs(&[sum]);
        Model::from_graph(graph).unwrap()
    }

    #[test]
    fn of_an_image_and_its_mirror_image_the_image_is_looked_at() {
        let model = looking_twice();
        let flipped: Vec<Layer> = model.layers().into_iter().filter(Layer::is_flipped).collect();
        let cells = flipped.last().unwrap().cells[1].unwrap();
        assert_eq!((cells.step, cells.offset), (-1.0, 6.0));
        let layer = model.default_layer().unwrap();
        assert!(!layer.is_flipped() && layer.op == flipped.last().unwrap().op, "{layer:?}");
        let options = ExplainOptions::new(&[find("grad_cam").unwrap()]);
        let notes = Explainer::new(&model, &options).unwrap().notes().join(" ");
        assert!(notes.contains("flipped copy"), "{notes}");
        // A bright spot on the left: the map of either branch lies over it.
        let mut pixels = vec![0.0; 64];
        pixels[3 * 8 + 1] = 1.0;
        for layer in [layer, flipped.last().unwrap().clone()] {
            let options = ExplainOptions { layers: vec![layer], target: Target::Class(1), ..options.clone() };
            let explained = Explainer::new(&model, &options).unwrap().explain(&pixels, 1).unwrap();
            let heat = explained[0].attributions[0].heat_over([8, 8]).unwrap();
            let left: f32 = (0..64).filter(|i| i % 8 < 4).map(|i| heat[i]).sum();
            assert!(left > 0.9 * heat.iter().sum::<f32>(), "{heat:?}");
        }
    }

    #[test]
    fn a_layer_of_few_cells_is_passed_over() {
        let network = arch::find("gap-cnn").unwrap().build([1, 16, 16], 2, 0).unwrap();
        let model = Model::from_graph(network).unwrap();
        let options = ExplainOptions::new(&[find("grad_cam").unwrap()]);
        let notes = Explainer::new(&model, &options).unwrap().notes().join(" ");
        assert!(notes.contains("only 2×2 cells") && notes.contains("with 5×5"), "{notes}");
        let [cam, grad_cam] = ["cam", "grad_cam"].map(|id| {
            let options = ExplainOptions::new(&[find(id).unwrap()]);
            let explained = Explainer::new(&model, &options).unwrap().explain(&[0.5; 256], 1).unwrap();
            explained[0].attributions[0].shape.clone()
        });
        assert_eq!((cam.as_slice(), grad_cam.as_slice()), (&[2, 2][..], &[5, 5][..]));
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
