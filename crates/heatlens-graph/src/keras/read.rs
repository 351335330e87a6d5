//! Conversion of a model's description to a graph.
//!
//! Models nest: a model may be called like a layer, and a layer may be called several times. Each call becomes separate
//! nodes over the same stored arrays. Calls are read in the order of the file, each after the calls it depends on.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::advice;
use super::config::{Config, brief};
use super::error::LayerError;
use super::layers::{self, Row};
use super::limits::{MAX_ARRAYS, MAX_CALLS, MAX_ELEMENTS, check};
use super::scope::{Arg, Era, Layout, Problem, Reading, Scope, Symbol};
use super::spec::{Argument, Call, LayerSpec, Source, sources};
use super::store::Store;
use super::weights::Place;
use super::{KerasError, KerasModel, KerasOptions};
use crate::error::OpError;
use crate::fact::{Fact, Shape};
use crate::graph::{Graph, Origin};
use crate::op::invalid;

/// Reads a model whose arrays are at `place`.
pub(super) fn model(
    json: &Json,
    store: Store,
    place: &Place,
    era: Era,
    options: &KerasOptions,
) -> Result<KerasModel, KerasError> {
    let spec = LayerSpec::read(json)?;
    if !spec.is_model() {
        return Err(KerasError::Malformed(format!(
            "it holds a {} where a Sequential or Functional model is expected; a subclassed model (`class \
             MyModel(keras.Model)`) keeps its computation in Python code: export it to ONNX where that class \
             is defined\n    {}",
            spec.class,
            advice::export(json)
        )));
    }
    let mut unknown = Vec::new();
    check_classes(&spec, "", &mut unknown)?;
    if !unknown.is_empty() {
        return Err(KerasError::Layers { layers: unknown, export: advice::export(json) });
    }
    let reading =
        Reading { graph: Graph::new(&spec.name), warnings: Vec::new(), store, era, stored: BTreeMap::new() };
    let channels_first = first_format(&spec)?.is_some_and(|format| format == "channels_first");
    let mut reader = Reader { reading, options, channels_first, errors: Vec::new(), calls: 0, constants: 0 };
    let outputs = reader.model(&spec, place, &Names::default(), None)?;
    if !reader.errors.is_empty() {
        return Err(KerasError::Layers { layers: reader.errors, export: advice::export(json) });
    }
    let mut graph = reader.reading.graph;
    let ids: Option<Vec<_>> = outputs.iter().map(|output| output.map(|symbol| symbol.id)).collect();
    let ids = ids.filter(|ids| !ids.is_empty());
    graph.set_outputs(&ids.ok_or_else(|| KerasError::Malformed("the model has no outputs".to_owned()))?);
    Ok(KerasModel { graph, warnings: reader.reading.warnings })
}

/// Collects every layer of an unknown class, so that one error lists them all.
fn check_classes(
    model: &LayerSpec<'_>,
    prefix: &str,
    unknown: &mut Vec<LayerError>,
) -> Result<(), KerasError> {
    for value in model.layers().unwrap_or_default() {
        let layer = LayerSpec::read(value)?;
        let name = format!("{prefix}{}", layer.name);
        if layer.is_model() {
            check_classes(&layer, &format!("{name}/"), unknown)?;
        } else if layers::find(layer.class).is_none() {
            let source = OpError::Unsupported(layers::hint(layer.class));
            unknown.push(LayerError { layer: name, class: layer.class.to_owned(), source });
        }
    }
    Ok(())
}

/// Returns the channel order of the first layer that processes images.
fn first_format<'a>(model: &LayerSpec<'a>) -> Result<Option<&'a str>, KerasError> {
    const SPATIAL: [&str; 5] = ["Conv", "Pooling", "Padding", "Cropping", "Sampling"];
    for value in model.layers().unwrap_or_default() {
        let layer = LayerSpec::read(value)?;
        if layer.is_model() {
            if let Some(found) = first_format(&layer)? {
                return Ok(Some(found));
            }
        } else if SPATIAL.iter().any(|part| layer.class.contains(part)) {
            let settings = ["data_format", "dim_ordering"].iter().find_map(|key| layer.config.get(key));
            match settings.and_then(Json::as_str) {
                Some("th") => return Ok(Some("channels_first")),
                Some(format) => return Ok(Some(format)),
                None => {}
            }
        }
    }
    Ok(None)
}

/// Prefixes of the names of a model's layers.
#[derive(Clone, Debug, Default)]
struct Names {
    /// Prefix in the graph, different for each call.
    graph: String,
    /// Prefix in the file.
    file: String,
}

type Outputs = Vec<Option<Symbol>>;

struct Reader<'o> {
    reading: Reading,
    options: &'o KerasOptions,
    /// True if all images of the file have the channels first.
    channels_first: bool,
    errors: Vec<LayerError>,
    calls: usize,
    /// Bytes of all constants of the graph.
    constants: u64,
}

impl Reader<'_> {
    /// Reads a model, called with `inputs`, or with its own input layers if it is the outermost one. An output that
    /// could not be read is `None`; the reason is in `errors`.
    fn model(
        &mut self,
        spec: &LayerSpec<'_>,
        place: &Place,
        names: &Names,
        inputs: Option<Vec<Symbol>>,
    ) -> Result<Outputs, KerasError> {
        let layers = spec.layers().unwrap_or_default();
        self.count(layers.len())?;
        self.reading.store.spend(length(spec.config))?;
        let layers = layers.iter().map(LayerSpec::read).collect::<Result<Vec<_>, _>>()?;
        let places = place.children(&self.reading.store, &layers)?;
        if spec.class == "Sequential" || spec.config.is_array() {
            return self.sequential(spec, &layers, &places, names, inputs);
        }
        let mut walk = Functional::new(spec, &layers, &places, names)?;
        walk.feed(self, inputs)?;
        walk.run(self)
    }

    fn sequential(
        &mut self,
        spec: &LayerSpec<'_>,
        layers: &[LayerSpec<'_>],
        places: &[Place],
        names: &Names,
        inputs: Option<Vec<Symbol>>,
    ) -> Result<Outputs, KerasError> {
        let mut at = match inputs.as_deref() {
            Some(&[one]) => one,
            Some(other) => {
                return Err(KerasError::Malformed(format!(
                    "{:?} is called with {} values",
                    spec.name,
                    other.len()
                )));
            }
            None => {
                let first = layers.first().filter(|layer| layer.class == "InputLayer");
                let name = first.map_or("input", |layer| layer.name.as_str());
                let shape = input_shape(layers).or_else(|| spec.input_shape());
                self.input(&format!("{}{name}", names.graph), shape)?
            }
        };
        for (layer, place) in layers.iter().zip(places).filter(|(layer, _)| layer.class != "InputLayer") {
            let outputs = self.call(layer, place, names, 0, vec![Arg::Value(at)], Vec::new())?;
            match outputs.as_slice() {
                &[Some(one)] => at = one,
                &[None] => return Ok(vec![None]),
                other => {
                    let what = format!("{:?} has {} outputs in a Sequential model", layer.name, other.len());
                    return Err(KerasError::Malformed(what));
                }
            }
        }
        Ok(vec![Some(at)])
    }

    /// Adds an input to the graph; images have the shape N×C×H×W.
    fn input(&mut self, name: &str, shape: Option<&Json>) -> Result<Symbol, KerasError> {
        let bad = |what: String| KerasError::Malformed(format!("input {name:?}: {what}"));
        let shape = shape.ok_or_else(|| {
            bad("its shape is not in the file; call the model once, or give it a `keras.Input`, before saving".to_owned())
        })?;
        // Some versions wrap the shape of a single input in a list.
        let shape = shape.get(0).filter(|inner| inner.is_array()).unwrap_or(shape);
        let sizes = shape.as_array().and_then(|sizes| sizes.get(1..));
        let sizes = sizes.ok_or_else(|| bad(format!("shape {}", brief(shape))))?;
        let sizes: Result<Vec<Option<usize>>, OpError> = sizes
            .iter()
            .map(|size| if size.is_null() { Ok(None) } else { super::config::size("shape", size).map(Some) })
            .collect();
        let mut sizes = sizes.map_err(|e| bad(e.to_string()))?;
        let is_image = sizes.len() == 3;
        if is_image && !self.channels_first {
            sizes.rotate_right(1);
        }
        if let (true, Some(wanted)) = (is_image, self.options.input_size) {
            for (size, wanted) in sizes[1..].iter_mut().zip(wanted) {
                *size = size.or(Some(wanted));
            }
        }
        let open = || KerasError::OpenSize { input: name.to_owned(), shape: brief(shape) };
        let sizes: Vec<usize> = sizes.into_iter().collect::<Option<_>>().ok_or_else(open)?;
        let fact = Fact::f32(Shape::batched(&sizes));
        if fact.shape.len_per_sample().is_none_or(|n| n == 0 || n > 1 << 31) {
            return Err(bad(format!("shape {}", brief(shape))));
        }
        let id = self.reading.graph.add_input(name, fact);
        let layout = if is_image && !self.channels_first { Layout::ChannelsFirst } else { Layout::Plain };
        Ok(Symbol { id, layout })
    }

    /// Reads a call of a layer or of a nested model.
    fn call(
        &mut self,
        layer: &LayerSpec<'_>,
        place: &Place,
        names: &Names,
        count: usize,
        args: Vec<Arg>,
        kwargs: Vec<(String, Arg)>,
    ) -> Result<Outputs, KerasError> {
        self.count(1)?;
        let path = format!("{}{}", names.file, layer.name);
        let again = if count == 0 { String::new() } else { format!("_{count}") };
        let name = format!("{}{}{again}", names.graph, layer.name);
        if layer.is_model() {
            let inner = Names { graph: format!("{name}/"), file: format!("{path}/") };
            let inputs = Scope::values_of(&args, &kwargs);
            let outputs = self.model(layer, place, &inner, Some(inputs))?;
            return Ok(outputs);
        }
        let outcome = self.layer(layer, place, &name, &path, args, kwargs);
        match outcome {
            Ok(symbol) => Ok(vec![Some(symbol)]),
            Err(Problem::File(error)) => Err(error),
            Err(Problem::Layer(source)) => {
                self.errors.push(LayerError { layer: path, class: layer.class.to_owned(), source });
                Ok(vec![None])
            }
        }
    }

    /// Counts layers and calls: nested models that call each other twice grow exponentially.
    fn count(&mut self, more: usize) -> Result<(), KerasError> {
        self.calls = self.calls.saturating_add(more);
        if self.calls > MAX_CALLS {
            return Err(KerasError::Malformed(format!("more than {MAX_CALLS} layers and calls of layers")));
        }
        Ok(())
    }

    /// Checks the values that a layer added against the limits, so that sizes cannot grow without bound from layer to
    /// layer.
    fn admit(&mut self, before: usize) -> Result<(), Problem> {
        for value in &self.reading.graph.values()[before..] {
            let len = value.fact.shape.len_per_sample().filter(|&len| len <= MAX_ELEMENTS);
            let len = len.ok_or_else(|| invalid(format!("a value of {} elements", value.fact.shape)))?;
            if matches!(value.origin, Origin::Constant(_)) {
                self.constants = self.constants.saturating_add(4 * len as u64);
            }
        }
        Ok(check("all constants together", self.constants, MAX_ARRAYS)?)
    }

    fn layer(
        &mut self,
        layer: &LayerSpec<'_>,
        place: &Place,
        name: &str,
        path: &str,
        args: Vec<Arg>,
        kwargs: Vec<(String, Arg)>,
    ) -> Result<Symbol, Problem> {
        let Some(Row { read, parts, arrays, .. }) = layers::find(layer.class) else {
            return Err(OpError::Unsupported(layers::hint(layer.class)).into());
        };
        let stored = if *arrays { place.arrays(&self.reading.store, parts)? } else { Vec::new() };
        let settings = layers::modern(layer.class, layer.settings()?, self.reading.era)?;
        let before = self.reading.graph.values().len();
        let mut scope = Scope {
            reading: &mut self.reading,
            config: Config::new(&settings),
            class: layer.class,
            name,
            path,
            args,
            kwargs,
            arrays: stored,
            taken: 0,
        };
        scope.note_training();
        scope.note_precision();
        let made = read(&mut scope)?;
        if scope.taken < scope.arrays.len() {
            let (used, found) = (scope.taken, scope.arrays.len());
            return Err(invalid(format!("the file has {found} arrays for it, {used} are used")).into());
        }
        scope.config.finish()?;
        let made = scope.finish(made, before)?;
        self.admit(before)?;
        Ok(made)
    }
}

/// Returns the approximate length of a description in bytes.
fn length(json: &Json) -> u64 {
    8 + match json {
        Json::String(text) => text.len() as u64,
        Json::Array(list) => list.iter().map(length).sum(),
        Json::Object(map) => map.iter().map(|(key, value)| key.len() as u64 + length(value)).sum(),
        _ => 0,
    }
}

/// Returns the input shape declared by the first layer, which may be in a nested model.
fn input_shape<'a>(layers: &[LayerSpec<'a>]) -> Option<&'a Json> {
    let first = layers.first()?;
    first.input_shape().or_else(|| {
        let inner = LayerSpec::read(first.layers()?.first()?).ok()?;
        input_shape(&[inner])
    })
}

/// A model whose layers list their inputs by name.
struct Functional<'a> {
    spec: &'a LayerSpec<'a>,
    layers: &'a [LayerSpec<'a>],
    places: &'a [Place],
    names: &'a Names,
    /// Position of each layer by name.
    index: BTreeMap<&'a str, usize>,
    /// Number that the file gives to the first call of each layer: 1 for nested models in Keras 2, which counts the
    /// creation of a model as a call.
    first_call: Vec<usize>,
    /// Outputs of the calls read so far, by layer and call.
    done: BTreeMap<(usize, usize), Outputs>,
}

impl<'a> Functional<'a> {
    fn new(
        spec: &'a LayerSpec<'a>,
        layers: &'a [LayerSpec<'a>],
        places: &'a [Place],
        names: &'a Names,
    ) -> Result<Self, KerasError> {
        let mut index = BTreeMap::new();
        for (i, layer) in layers.iter().enumerate() {
            if index.insert(layer.name.as_str(), i).is_some() {
                return Err(KerasError::Malformed(format!("two layers are called {:?}", layer.name)));
            }
        }
        let mut lowest = vec![usize::MAX; layers.len()];
        let mut all = sources(spec.config, "output_layers")?;
        let calls = layers.iter().flat_map(|layer| &layer.calls);
        let args = calls.flat_map(|call| call.args.iter().chain(call.kwargs.iter().map(|(_, arg)| arg)));
        args.for_each(|arg| needed(arg, &mut all));
        for source in all {
            if let Some(&at) = index.get(source.layer) {
                lowest[at] = lowest[at].min(source.call);
            }
        }
        let first_call =
            layers.iter().zip(lowest).map(|(layer, lowest)| usize::from(layer.is_model() && lowest == 1));
        let first_call = first_call.collect();
        Ok(Self { spec, layers, places, names, index, first_call, done: BTreeMap::new() })
    }

    /// Returns the layer and call that compute an output.
    fn key(&self, source: &Source<'_>) -> Result<(usize, usize), KerasError> {
        let at = self.find(source)?;
        Ok((at, source.call.saturating_sub(self.first_call[at])))
    }

    /// Assigns values to the input layers: the arguments of the call, or inputs of the graph.
    fn feed(&mut self, reader: &mut Reader<'_>, inputs: Option<Vec<Symbol>>) -> Result<(), KerasError> {
        let starts = sources(self.spec.config, "input_layers")?;
        if inputs.as_ref().is_some_and(|inputs| inputs.len() != starts.len()) {
            let what =
                format!("{:?} is called with a number of values that it does not take", self.spec.name);
            return Err(KerasError::Malformed(what));
        }
        for (i, start) in starts.iter().enumerate() {
            let at = self.find(start)?;
            let symbol = match &inputs {
                Some(inputs) => inputs[i],
                None => {
                    let name = format!("{}{}", self.names.graph, self.layers[at].name);
                    reader.input(&name, self.layers[at].input_shape())?
                }
            };
            self.done.insert((at, start.call), vec![Some(symbol)]);
        }
        Ok(())
    }

    fn find(&self, source: &Source<'_>) -> Result<usize, KerasError> {
        let missing = || KerasError::Malformed(format!("layer {:?} is used but not described", source.layer));
        self.index.get(source.layer).copied().ok_or_else(missing)
    }

    /// Reads all calls and returns the model's outputs.
    fn run(mut self, reader: &mut Reader<'_>) -> Result<Outputs, KerasError> {
        for at in 0..self.layers.len() {
            for call in 0..self.layers[at].calls.len() {
                self.resolve(reader, (at, call))?;
            }
        }
        let ends = sources(self.spec.config, "output_layers")?;
        ends.iter().map(|end| self.output(end)).collect()
    }

    /// Reads a call after those it depends on; detects cycles.
    fn resolve(&mut self, reader: &mut Reader<'_>, wanted: (usize, usize)) -> Result<(), KerasError> {
        let mut under_way = vec![self.wait(wanted)?];
        let mut entered = std::collections::BTreeSet::from([wanted]);
        while let Some(Waiting { key: (at, number), needs }) = under_way.last_mut() {
            if let Some(need) = needs.pop() {
                if self.done.contains_key(&need) {
                    continue;
                }
                if !entered.insert(need) {
                    let what = format!("layer {:?} depends on itself", self.layers[*at].name);
                    return Err(KerasError::Malformed(what));
                }
                under_way.push(self.wait(need)?);
                continue;
            }
            let (at, number) = (*at, *number);
            if !self.done.contains_key(&(at, number)) {
                let outputs = self.read(reader, at, number, &self.layers[at].calls[number])?;
                self.done.insert((at, number), outputs);
            }
            under_way.pop();
        }
        Ok(())
    }

    /// Returns a call with the calls it depends on.
    fn wait(&self, (at, number): (usize, usize)) -> Result<Waiting, KerasError> {
        if self.done.contains_key(&(at, number)) {
            return Ok(Waiting { key: (at, number), needs: Vec::new() });
        }
        let layer = &self.layers[at];
        let call = layer.calls.get(number).ok_or_else(|| {
            let what = format!("call {number} of layer {:?} is used but not described", layer.name);
            KerasError::Malformed(what)
        })?;
        let mut needs = Vec::new();
        let args = call.args.iter().chain(call.kwargs.iter().map(|(_, arg)| arg));
        args.for_each(|arg| needed(arg, &mut needs));
        // Reversed, because `needs` is processed from the end.
        let needs: Result<Vec<_>, _> = needs.iter().rev().map(|source| self.key(source)).collect();
        Ok(Waiting { key: (at, number), needs: needs? })
    }

    fn read(
        &self,
        reader: &mut Reader<'_>,
        at: usize,
        number: usize,
        call: &Call<'_>,
    ) -> Result<Outputs, KerasError> {
        let layer = &self.layers[at];
        let args: Option<Vec<Arg>> = call
            .args
            .iter()
            .map(|arg| self.argument(arg).transpose())
            .collect::<Option<Result<_, _>>>()
            .transpose()?;
        let kwargs: Option<Vec<(String, Arg)>> = call
            .kwargs
            .iter()
            .map(|(name, arg)| Some(self.argument(arg).transpose()?.map(|arg| ((*name).to_owned(), arg))))
            .collect::<Option<Result<_, _>>>()
            .transpose()?;
        match (args, kwargs) {
            (Some(args), Some(kwargs)) => {
                reader.call(layer, &self.places[at], self.names, number, args, kwargs)
            }
            // An earlier layer could not be read, so this one cannot be checked.
            _ => Ok(vec![None]),
        }
    }

    /// Replaces names in an argument with values; `None` if one of them could not be read.
    fn argument(&self, argument: &Argument<'_>) -> Result<Option<Arg>, KerasError> {
        Ok(match argument {
            Argument::Output(source) => self.output(source)?.map(Arg::Value),
            Argument::Json(value) => Some(Arg::Json((*value).clone())),
            Argument::List(list) => {
                let list: Result<Vec<Option<Arg>>, KerasError> =
                    list.iter().map(|a| self.argument(a)).collect();
                list?.into_iter().collect::<Option<Vec<Arg>>>().map(Arg::List)
            }
        })
    }

    fn output(&self, source: &Source<'_>) -> Result<Option<Symbol>, KerasError> {
        let missing = || {
            KerasError::Malformed(format!(
                "output {} of layer {:?} does not exist",
                source.output, source.layer
            ))
        };
        let outputs = self.done.get(&self.key(source)?).ok_or_else(missing)?;
        match outputs.as_slice() {
            [None] => Ok(None),
            outputs => outputs.get(source.output).copied().ok_or_else(missing),
        }
    }
}

/// A layer call whose inputs have not been read yet.
struct Waiting {
    /// Layer and number of the call.
    key: (usize, usize),
    /// Calls it depends on that have not been visited, the next one last.
    needs: Vec<(usize, usize)>,
}

/// Collects the outputs that an argument refers to.
fn needed<'a>(argument: &Argument<'a>, out: &mut Vec<Source<'a>>) {
    match argument {
        Argument::Output(source) => out.push(*source),
        Argument::List(list) => list.iter().for_each(|a| needed(a, out)),
        Argument::Json(_) => {}
    }
}
