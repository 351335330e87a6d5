//! Layers that can be explained: values with positions in the image.

use std::collections::BTreeSet;

use heatlens_graph::op::Kind;
use heatlens_graph::op::slice::Slice;
use heatlens_graph::rewrite::needed_nodes;
use heatlens_graph::{Builder, DType, Dim, GraphError, Node, Shape, ValueId};

use crate::model::axes::{self, PropagatedAxes, SpatialLayout};
use crate::model::default_layer::{DefaultLayer, coarsest_layer, level_layers};
use crate::model::names::{self, Place, enclosing, ends_with_part, is_within};
use crate::model::placement::Cells;
use crate::model::{Model, ModelError};
use crate::nearest::nearest;

/// A value with one number per place and channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// The value in the graph.
    pub value: ValueId,
    /// Name of the layer: the module's path for the module's result; otherwise the path followed by the step.
    pub name: String,
    /// Path of the module that computes the layer, empty at the top level of the network.
    pub module: String,
    /// Name of the node that computes the layer.
    pub node: String,
    /// Operator of that node.
    pub op: &'static str,
    /// Shape of the layer, `[c, h, w]`.
    pub shape: [usize; 3],
    /// Layout of the layer's elements.
    pub grid: SpatialLayout,
    /// Positions of its rows and columns in the image; `None` if unknown.
    pub cells: [Option<Cells>; 2],
    /// True if the layer only rearranges the elements of another layer.
    pub view: bool,
}

impl Layer {
    /// Returns the image itself as a layer, for methods that use no layer, in a model without layers.
    pub(crate) fn of_image(model: &Model) -> Self {
        let (value, shape) = (model.image, model.shape());
        let name = model.graph.value(value).name.clone();
        let (module, node, op) = (String::new(), name.clone(), "Input");
        Self {
            value,
            name,
            module,
            node,
            op,
            shape,
            grid: SpatialLayout::Spatial,
            cells: [None; 2],
            view: true,
        }
    }

    /// Returns the index of a channel's element for a place (counted row by row) in one sample's value.
    #[must_use]
    pub fn offset(&self, channel: usize, place: usize) -> usize {
        let [c, h, w] = self.shape;
        match self.grid {
            SpatialLayout::Spatial => channel * h * w + place,
            SpatialLayout::ChannelsLast => place * c + channel,
            SpatialLayout::Tokens { before, .. } => (before + place) * c + channel,
        }
    }

    /// True if the layer sees a flipped copy of the image: its first rows or columns correspond to the last of the
    /// image.
    #[must_use]
    pub fn is_flipped(&self) -> bool {
        self.cells.iter().flatten().any(|cells| cells.step < 0.0)
    }

    /// Converts a value laid out as this layer (its activations or their gradient) to N×C×h×w.
    ///
    /// # Errors
    /// If the shape of the value differs from that of the layer.
    pub fn as_planes(&self, b: &mut Builder<'_>, value: ValueId) -> Result<ValueId, GraphError> {
        let [c, h, w] = self.shape;
        match self.grid {
            SpatialLayout::Spatial => Ok(value),
            SpatialLayout::ChannelsLast => b.transpose(value, &[0, 3, 1, 2]),
            SpatialLayout::Tokens { before, after } => {
                let mut tokens = value;
                if before + after > 0 {
                    tokens = b.apply(Slice { axis: 1, start: before, len: h * w, step: 1 }, &[value])?;
                }
                let channels_first = b.transpose(tokens, &[0, 2, 1])?;
                let mut shape = b.shape(channels_first).0;
                shape.truncate(1);
                shape.extend([c, h, w].map(Dim::Fixed));
                b.reshape(channels_first, Shape(shape))
            }
        }
    }
}

/// The layers of a model.
#[derive(Debug)]
pub(crate) struct Layers {
    /// Every layer, in order.
    pub(crate) all: Vec<Layer>,
    propagated: PropagatedAxes,
}

impl Model {
    /// Returns every value between the image and the logits that has positions in the image, in order.
    #[must_use]
    pub fn layers(&self) -> Vec<Layer> {
        self.find_layers().all
    }

    /// Finds every layer; for callers that need more than one of the results derived from them.
    pub(crate) fn find_layers(&self) -> Layers {
        let graph = &self.graph;
        let propagated = axes::propagate(graph, self.image);
        let needed = needed_nodes(graph, &[self.head.explained()]);
        let skip = names::common_parts(graph);
        let mut layers = Vec::new();
        let mut places = Vec::new();
        for (node, _) in graph.nodes().iter().zip(needed).filter(|(_, needed)| *needed) {
            for &value in &node.outputs {
                let fact = graph.fact(value);
                let axes = propagated.axes[value.index()].as_deref().filter(|_| fact.dtype == DType::F32);
                let Some((axes, (grid, shape))) =
                    axes.and_then(|axes| Some((axes, axes::grid(axes, &fact.shape)?)))
                else {
                    continue;
                };
                let cells = axes::cells(axes, &propagated.fields);
                let place = Place::of(node, skip);
                let (module, op) = (place.module.clone(), node.op.onnx_form().name);
                let (node, view) = (node.name.clone(), is_view(node));
                layers.push(Layer { value, name: String::new(), module, node, op, shape, grid, cells, view });
                places.push(place);
            }
        }
        give_names(&mut layers, &places);
        Layers { all: layers, propagated }
    }

    /// Returns the default layer: the input of the last reduction over places (global pooling, flattening). If the last
    /// one is attention, as in a transformer with a class token, it is the normalisation before the attention, since
    /// after it only the class token counts. For a network that also processes a flipped copy of the image, it is the
    /// layer that sees the unflipped image; for a network that ends in a grid of four cells or fewer, it is the last
    /// layer with more.
    ///
    /// # Errors
    /// If no value has positions in the image.
    pub fn default_layer(&self) -> Result<Layer, ModelError> {
        self.choose_layer(&self.find_layers()).map(|choice| choice.layer)
    }

    /// Returns the default layer among all `layers`, and notes on it.
    pub(crate) fn choose_layer(&self, layers: &Layers) -> Result<DefaultLayer, ModelError> {
        let Layers { all, propagated } = layers;
        match self.head.dense {
            Some(_) => coarsest_layer(&self.graph, self.head.explained(), all)
                .map(|layer| DefaultLayer { layer, notes: Vec::new() }),
            None => DefaultLayer::of(self, propagated, all),
        }
        .ok_or_else(|| self.unknown_places(propagated, None).unwrap_or(ModelError::NoSpatialLayer))
    }

    /// Returns the default layers among all `layers` and notes on them: the [default layer](Self::default_layer) or, for a
    /// detector with several levels, the layer of each level.
    ///
    /// # Errors
    /// If no value has positions in the image.
    pub(crate) fn default_layers(&self, layers: &Layers) -> Result<(Vec<Layer>, Vec<String>), ModelError> {
        match self.level_layers(layers) {
            Some(levels) => Ok((levels, Vec::new())),
            None => self.choose_layer(layers).map(|choice| (vec![choice.layer], choice.notes)),
        }
    }

    /// Returns the layer of each level of a detector with several levels.
    pub(crate) fn level_layers(&self, layers: &Layers) -> Option<Vec<Layer>> {
        let boxes = self.head.dense.as_ref()?.boxes.as_ref()?;
        level_layers(&self.graph, boxes, &layers.all)
    }

    /// Returns the layer called `name`: a name as listed by `inspect`, the name of a node or value, the path of a
    /// module (its result is used), or an unambiguous suffix of one of these.
    ///
    /// # Errors
    /// If there is none, or several; the error lists similar names.
    pub fn layer(&self, name: &str) -> Result<Layer, ModelError> {
        let Layers { all: layers, propagated } = self.find_layers();
        let value_name = |l: &Layer| &self.graph.value(l.value).name;
        let exact = layers.iter().find(|l| l.name == name || l.node == name || value_name(l) == name);
        let module = || layers.iter().rfind(|l| is_within(&l.module, name));
        let weights = || layers.iter().rfind(|l| self.weights_are(l, name));
        if let Some(layer) = exact.or_else(module).or_else(weights) {
            return Ok(layer.clone());
        }
        if let Some(error) = self.unknown_places(&propagated, Some(name)) {
            return Err(error);
        }
        let mut ends: Vec<(&str, &Layer)> = Vec::new();
        for layer in &layers {
            let own = [layer.name.as_str(), layer.node.as_str(), value_name(layer).as_str()];
            let own =
                own.into_iter().filter(|own| ends_with_part(own, name)).take(1).map(|_| layer.name.as_str());
            for found in own.chain(enclosing(&layer.module).filter(|path| ends_with_part(path, name)).take(1))
            {
                // Ends beyond the number shown need not be distinguished.
                let full = ends.len() > MOST_NEAR;
                match ends.iter_mut().find(|(known, _)| is_within(known, found) || is_within(found, known)) {
                    Some(end) => *end = (if found.len() < end.0.len() { found } else { end.0 }, layer),
                    None if full => {}
                    None => ends.push((found, layer)),
                }
            }
        }
        if let [(_, layer)] = ends.as_slice() {
            return Ok((*layer).clone());
        }
        let near = if ends.is_empty() {
            near_names(&layers, name)
        } else {
            ends.iter().take(MOST_NEAR).map(|(found, _)| format!("{found:?}")).collect()
        };
        Err(ModelError::UnknownLayer { name: name.to_owned(), near })
    }

    /// Returns the error that names the operator after which rows and columns are unknown, if there is one before the
    /// scores or before the node or value called `layer`.
    fn unknown_places(&self, propagated: &PropagatedAxes, layer: Option<&str>) -> Option<ModelError> {
        let graph = &self.graph;
        let named = |node: &Node| {
            let outputs = || node.outputs.iter().map(|&value| graph.value(value).name.as_str());
            layer.is_some_and(|name| node.name == name || outputs().any(|output| output == name))
        };
        let end = match layer {
            Some(_) => graph.nodes().iter().find(|node| named(node))?.outputs.first().copied()?,
            None => self.head.explained(),
        };
        let needed = needed_nodes(graph, &[end]);
        let id = propagated.undescribed.iter().find(|id| needed.get(id.index()) == Some(&true))?;
        let node = graph.node(*id);
        let (layer, name) = (layer.map(str::to_owned), node.name.clone());
        Some(ModelError::UnknownPlaces { layer, node: name, op: node.op.onnx_form().name })
    }

    /// True if the weights of a layer are called `name.weight`. Exporters that fold a normalisation into a convolution
    /// name the node after the normalisation.
    fn weights_are(&self, layer: &Layer, name: &str) -> bool {
        let node = self.graph.producer(layer.value).map(|id| self.graph.node(id));
        let weights = node.and_then(|n| n.inputs.get(1).copied().flatten());
        let named = |id: ValueId| self.graph.value(id).name.strip_suffix(".weight") == Some(name);
        weights.is_some_and(|id| self.graph.constant(id).is_some() && named(id))
    }
}

/// Assigns names: a module's path to the layer that is its result, and the path followed by the step to the others.
fn give_names(layers: &mut [Layer], places: &[Place]) {
    let mut taken = BTreeSet::new();
    let mut open = BTreeSet::new();
    for (layer, place) in layers.iter_mut().zip(places).rev() {
        // In reverse order, the first layer of a module is its result.
        let result = !place.module.is_empty() && !open.contains(&place.module);
        open.extend(enclosing(&place.module).map(str::to_owned));
        let mut name = if result { place.module.clone() } else { place.full() };
        if !taken.insert(name.clone()) {
            name.clone_from(&layer.node);
            taken.insert(name.clone());
        }
        layer.name = name;
    }
}

/// True if a node only rearranges its input's elements, possibly with padding.
fn is_view(node: &Node) -> bool {
    let kind = node.op.kind();
    kind.is_renaming() || matches!(kind, Kind::Transpose(_) | Kind::Slice(_) | Kind::Pad(_))
}

/// Maximum number of similar names shown if a name is unknown or ambiguous.
const MOST_NEAR: usize = 8;
/// Maximum length of names that are compared: the time of a comparison is quadratic in the length.
const LONGEST_COMPARED: usize = 512;

/// Returns the most similar names, best first.
fn near_names(layers: &[Layer], name: &str) -> Vec<String> {
    let modules = layers.iter().flat_map(|l| enclosing(&l.module));
    let names = modules.chain(layers.iter().map(|l| l.name.as_str()));
    let short = |n: &&str| n.len() <= LONGEST_COMPARED && name.len() <= LONGEST_COMPARED;
    let names: BTreeSet<&str> = names.filter(short).collect();
    nearest(name, names, MOST_NEAR).into_iter().map(|n| format!("{n:?}")).collect()
}

#[cfg(test)]
mod tests {
    use heatlens_graph::op::max_unpool::MaxUnpool;
    use heatlens_graph::op::pool::MaxPool;
    use heatlens_graph::op::unary::UnaryFunction;
    use heatlens_graph::op::window::Window;
    use heatlens_graph::op::{Attribute, OnnxForm, Operator};
    use heatlens_graph::{Backward, Fact, Graph, InputGrads, OpError, Tensor};

    use super::*;

    /// An operator whose author did not say what it does to rows and columns.
    #[derive(Debug)]
    struct Swirl(Kind<'static>);

    impl Operator for Swirl {
        fn kind(&self) -> Kind<'_> {
            self.0
        }

        fn onnx_form(&self) -> OnnxForm {
            OnnxForm::new("Swirl").with("angle", Attribute::Int(90))
        }

        fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
            Ok(inputs.iter().flatten().map(|fact| (*fact).clone()).collect())
        }

        fn eval(&self, inputs: &[Option<&Tensor>], _: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
            Ok(inputs.iter().flatten().map(|tensor| (*tensor).clone()).collect())
        }

        fn vjp(&self, _: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
            Ok(back.output_grads.to_vec())
        }
    }

    /// Image → Abs "before" → Swirl "swirl" → Abs "after" → mean over places.
    fn network(kind: Kind<'static>) -> Model {
        let mut graph = Graph::new("made_up");
        let image = graph.add_input("x", Fact::f32(Shape::fixed(&[1, 2, 4, 6])));
        let mut b = Builder::new(&mut graph, "");
        let mut value = image;
        for name in ["before", "swirl", "after"] {
            b = Builder::new(&mut graph, name);
            value = match name {
                "swirl" => b.apply(Swirl(kind), &[value]).unwrap(),
                _ => b.unary(UnaryFunction::Abs, value).unwrap(),
            };
        }
        let scores = b.mean(value, &[2, 3], false).unwrap();
        graph.set_outputs(&[scores]);
        Model::from_graph(graph).unwrap()
    }

    #[test]
    fn an_operator_of_unknown_kind_makes_positions_unknown_and_is_named() {
        let model = network(Kind::Other);
        let choice = model.choose_layer(&model.find_layers()).unwrap();
        assert_eq!(model.graph.producer(choice.layer.value), Some(model.graph.node_ids().next().unwrap()));
        assert!(choice.notes.iter().any(|note| note.contains("operator Swirl")), "{:?}", choice.notes);
        let after = &model.graph.nodes()[2].name;
        let error = model.layer(after).unwrap_err().to_string();
        assert!(error.contains("operator Swirl") && error.contains("positions"), "{error}");
    }

    #[test]
    fn layers_behind_an_unpooling_lie_where_its_values_do() {
        let mut graph = Graph::new("unpooled");
        let image = graph.add_input("x", Fact::f32(Shape::fixed(&[1, 2, 8, 12])));
        let mut b = Builder::new(&mut graph, "");
        let pool = MaxPool { window: Window::new(&[2, 2]).strides(&[2, 2]), ceil_mode: false };
        let first = b.apply(pool.clone(), &[image]).unwrap();
        let second = b.apply(pool.clone(), &[first]).unwrap();
        let values = b.unary(UnaryFunction::Abs, second).unwrap();
        let values = b.apply(MaxUnpool { pool }, &[first, values]).unwrap();
        b = Builder::new(&mut graph, "after");
        let after = b.unary(UnaryFunction::Abs, values).unwrap();
        let scores = b.mean(after, &[2, 3], false).unwrap();
        graph.set_outputs(&[scores]);
        let model = Model::from_graph(graph).unwrap();
        let layer = model.layer("after/Abs").unwrap();
        assert_eq!((layer.shape, layer.cells.map(|c| c.map(|c| c.step))), ([2, 4, 6], [Some(2.0); 2]));
    }

    #[test]
    fn an_operator_that_says_it_is_element_wise_is_followed() {
        let model = network(Kind::Elementwise);
        let after = &model.graph.nodes()[2].name;
        let layer = model.layer(after).unwrap();
        assert_eq!((layer.shape, layer.cells[0].map(|c| c.step)), ([2, 4, 6], Some(1.0)));
        assert!(model.choose_layer(&model.find_layers()).unwrap().notes.is_empty());
    }
}
