//! Access to a layer while it is read: its settings, arguments and arrays, and the nodes it becomes.
//!
//! Keras models usually have the channels last, the graph has them first. Therefore a value carries its [`Layout`]:
//! images and feature maps are stored as N×C×H×W and marked as such, all other values are stored as in Keras. A layer
//! requests the layout it needs, and a transposition is added only if the value has another one.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::KerasError;
use super::config::{Config, brief, floats, ints};
use super::store::Store;
use crate::builder::Builder;
use crate::error::{GraphError, OpError};
use crate::fact::{Dim, Shape};
use crate::graph::{Graph, ValueId};
use crate::op::identity::Identity;
use crate::op::{Operator, invalid};
use crate::tensor::Tensor;

/// Order in which the axes of a value are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// As in Keras.
    Plain,
    /// The last axis in Keras is stored as the second: N×H×W×C as N×C×H×W.
    ChannelsFirst,
}

/// A value with its layout.
#[derive(Clone, Copy, Debug)]
pub(super) struct Symbol {
    pub(super) id: ValueId,
    pub(super) layout: Layout,
}

impl Symbol {
    /// Returns a value stored as in Keras.
    pub(super) fn plain(id: ValueId) -> Self {
        Self { id, layout: Layout::Plain }
    }
}

/// Argument of a call.
#[derive(Clone, Debug)]
pub(super) enum Arg {
    Value(Symbol),
    List(Vec<Arg>),
    Json(Json),
}

/// Position of the channels according to a layer's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Last,
    First,
}

/// Reason why a layer could not be read.
#[derive(Debug)]
pub(super) enum Problem {
    /// Error of the layer.
    Layer(OpError),
    /// Error of the file.
    File(KerasError),
}

impl From<OpError> for Problem {
    fn from(error: OpError) -> Self {
        Self::Layer(error)
    }
}

impl From<GraphError> for Problem {
    fn from(error: GraphError) -> Self {
        Self::Layer(match error {
            GraphError::Node { op, source: OpError::Invalid(what), .. } => invalid(format!("{op}: {what}")),
            GraphError::Node { source, .. } => source,
            other => invalid(other.to_string()),
        })
    }
}

impl From<KerasError> for Problem {
    fn from(error: KerasError) -> Self {
        match error {
            KerasError::Damaged(what) | KerasError::Malformed(what) => Self::Layer(invalid(what)),
            other => Self::File(other),
        }
    }
}

/// Result of reading a layer.
pub(super) type Made = Result<Symbol, Problem>;

/// Major version of Keras that wrote the file; some layers changed their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Era {
    Keras1,
    Keras2,
    Keras3,
}

/// State of reading a file.
pub(super) struct Reading {
    pub(super) graph: Graph,
    pub(super) warnings: Vec<String>,
    pub(super) store: Store,
    pub(super) era: Era,
    /// Arrays already in the graph, by layer and name: shared layers store them once.
    pub(super) stored: BTreeMap<String, ValueId>,
}

impl Reading {
    /// Adds a warning unless it was given before.
    pub(super) fn warn(&mut self, text: String) {
        if !self.warnings.contains(&text) {
            self.warnings.push(text);
        }
    }
}

/// Access to a layer while it is read.
pub(super) struct Scope<'a> {
    pub(super) reading: &'a mut Reading,
    pub(super) config: Config<'a>,
    /// Class of the layer; functions that read several classes distinguish them by it.
    pub(super) class: &'a str,
    /// Name of the layer in the graph; different for each call.
    pub(super) name: &'a str,
    /// Name of the layer in the file; the same for each call.
    pub(super) path: &'a str,
    pub(super) args: Vec<Arg>,
    pub(super) kwargs: Vec<(String, Arg)>,
    /// Paths of the layer's arrays, in order.
    pub(super) arrays: Vec<String>,
    /// Number of arrays read so far.
    pub(super) taken: usize,
}

impl Scope<'_> {
    /// Returns a builder that names nodes `name/Operator`.
    pub(super) fn build(&mut self) -> Builder<'_> {
        Builder::new(&mut self.reading.graph, self.name)
    }

    /// Applies an operator.
    pub(super) fn apply(&mut self, op: impl Operator, inputs: &[ValueId]) -> Result<ValueId, Problem> {
        Ok(self.build().apply(op, inputs)?)
    }

    /// Returns the shape as stored in the graph.
    pub(super) fn shape(&self, id: ValueId) -> Shape {
        self.reading.graph.fact(id).shape.clone()
    }

    /// Returns the sizes as in Keras.
    pub(super) fn seen(&self, symbol: Symbol) -> Vec<Dim> {
        let mut dims = self.shape(symbol.id).0;
        if symbol.layout == Layout::ChannelsFirst && dims.len() > 2 {
            let channels = dims.remove(1);
            dims.push(channels);
        }
        dims
    }

    /// Converts an axis in Keras to an axis in the graph; negative ones count from the back.
    pub(super) fn axis(&self, symbol: Symbol, axis: i64) -> Result<usize, OpError> {
        let shape = self.shape(symbol.id);
        let rank = shape.rank();
        let seen =
            shape.axis(axis).ok_or_else(|| invalid(format!("axis {axis} of a value with {rank} axes")))?;
        Ok(match symbol.layout {
            Layout::Plain => seen,
            Layout::ChannelsFirst if seen == 0 => 0,
            Layout::ChannelsFirst if seen + 1 == rank => 1,
            Layout::ChannelsFirst => seen + 1,
        })
    }

    /// Returns the value stored as in Keras, transposed if needed.
    pub(super) fn plain(&mut self, symbol: Symbol) -> Result<ValueId, Problem> {
        if symbol.layout == Layout::Plain {
            return Ok(symbol.id);
        }
        let rank = self.shape(symbol.id).rank();
        let perm: Vec<usize> = std::iter::once(0).chain(2..rank).chain([1]).collect();
        Ok(self.build().transpose(symbol.id, &perm)?)
    }

    /// Returns the value with the last axis in Keras stored as the second, transposed if needed.
    pub(super) fn channels_first(&mut self, symbol: Symbol) -> Result<ValueId, Problem> {
        let rank = self.shape(symbol.id).rank();
        if symbol.layout == Layout::ChannelsFirst || rank < 3 {
            return Ok(symbol.id);
        }
        let perm: Vec<usize> = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
        Ok(self.build().transpose(symbol.id, &perm)?)
    }

    /// Returns the value in the given layout.
    pub(super) fn as_layout(&mut self, symbol: Symbol, layout: Layout) -> Result<ValueId, Problem> {
        match layout {
            Layout::Plain => self.plain(symbol),
            Layout::ChannelsFirst => self.channels_first(symbol),
        }
    }

    /// Returns the position of the channels according to the settings.
    pub(super) fn format(&self) -> Result<Format, OpError> {
        let found = self.config.text("data_format")?.or(self.config.text("dim_ordering")?);
        match found {
            None | Some("channels_last" | "tf" | "default") => Ok(Format::Last),
            Some("channels_first" | "th") => Ok(Format::First),
            Some(other) => Err(invalid(format!("data_format {other:?}"))),
        }
    }

    /// Returns the value as N×C×spatial, for a layer with channels at `format`.
    pub(super) fn spatial(&mut self, symbol: Symbol, format: Format) -> Result<ValueId, Problem> {
        match format {
            Format::Last => self.channels_first(symbol),
            Format::First => self.plain(symbol),
        }
    }

    /// Converts an N×C×spatial result to a value with its layout.
    pub(super) fn spatial_result(id: ValueId, format: Format) -> Symbol {
        match format {
            Format::Last => Symbol { id, layout: Layout::ChannelsFirst },
            Format::First => Symbol::plain(id),
        }
    }

    /// Returns all values among the arguments, with lists flattened, keyword arguments last.
    pub(super) fn values(&self) -> Vec<Symbol> {
        Self::values_of(&self.args, &self.kwargs)
    }

    /// Returns all values among arguments.
    pub(super) fn values_of(args: &[Arg], kwargs: &[(String, Arg)]) -> Vec<Symbol> {
        fn collect(arg: &Arg, out: &mut Vec<Symbol>) {
            match arg {
                Arg::Value(symbol) => out.push(*symbol),
                Arg::List(list) => list.iter().for_each(|arg| collect(arg, out)),
                Arg::Json(_) => {}
            }
        }
        let mut out = Vec::new();
        args.iter().chain(kwargs.iter().map(|(_, arg)| arg)).for_each(|arg| collect(arg, &mut out));
        out
    }

    /// Returns the layer's only input.
    pub(super) fn input(&self) -> Result<Symbol, OpError> {
        match self.values().as_slice() {
            &[one] => Ok(one),
            other => Err(invalid(format!("expected one input, found {}", other.len()))),
        }
    }

    /// Returns the argument at `index`, or with one of the names.
    pub(super) fn argument(&self, index: usize, names: &[&str]) -> Option<Arg> {
        let named =
            || self.kwargs.iter().find(|(name, _)| names.contains(&name.as_str())).map(|(_, arg)| arg);
        let found = self.args.get(index).or_else(named).cloned();
        found.filter(|arg| !matches!(arg, Arg::Json(Json::Null)))
    }

    /// Returns a constant argument, or the setting with one of the names: functions may have either.
    pub(super) fn constant_argument(&self, index: usize, names: &[&str]) -> Result<Option<Json>, OpError> {
        if let Some((_, value)) = self.config.any(names) {
            return Ok(Some(value.clone()));
        }
        let named = self.kwargs.iter().find(|(name, _)| names.contains(&name.as_str())).map(|(_, arg)| arg);
        // In old files, functions of several values list a value where others have a constant.
        let placed = || self.args.get(index).filter(|arg| !matches!(arg, Arg::Value(_)));
        let found = named.or_else(placed).map(to_json).transpose()?;
        Ok(found.filter(|value| !value.is_null()))
    }

    /// Returns integers given as an argument or a setting.
    pub(super) fn int_arguments(&self, index: usize, names: &[&str]) -> Result<Option<Vec<i64>>, OpError> {
        let found = self.constant_argument(index, names)?;
        found.map(|value| ints(names.first().copied().unwrap_or_default(), &value)).transpose()
    }

    /// Returns a boolean given as an argument or a setting.
    pub(super) fn flag_argument(&self, index: usize, names: &[&str]) -> Result<bool, OpError> {
        Ok(self.constant_argument(index, names)?.and_then(|v| v.as_bool()).unwrap_or(false))
    }

    /// Reads the layer's next array, which must have the given shape, and adds it to the graph after conversion by
    /// `make`.
    pub(super) fn array(
        &mut self,
        what: &str,
        shape: &[usize],
        make: impl FnOnce(Tensor) -> Result<Tensor, OpError>,
    ) -> Result<ValueId, Problem> {
        let index = self.taken;
        self.taken += 1;
        let name = format!("{}/{what}", self.path);
        if let Some(&id) = self.reading.stored.get(&name) {
            return Ok(id);
        }
        let Some(path) = self.arrays.get(index) else {
            let found = self.arrays.len();
            return Err(invalid(format!(
                "its {what} is missing from the file, which holds {found} arrays for \
                it"
            ))
            .into());
        };
        let array = self.reading.store.array(path)?;
        if array.shape != shape {
            return Err(
                invalid(format!("expected {what} of shape {shape:?}, found {:?}", array.shape)).into()
            );
        }
        let tensor = Tensor::new(array.shape, crate::tensor::Data::F32(array.values));
        let tensor = make(tensor.ok_or_else(|| invalid(format!("{what} does not fill its shape")))?)?;
        let id = self.reading.graph.add_constant(&name, tensor);
        self.reading.stored.insert(name, id);
        Ok(id)
    }

    /// Reads the next array, a vector, without conversion.
    pub(super) fn vector(&mut self, what: &str, length: usize) -> Result<ValueId, Problem> {
        self.array(what, &[length], Ok)
    }

    /// Returns the shape of the next array.
    pub(super) fn peek(&mut self) -> Result<Option<Vec<usize>>, Problem> {
        match self.arrays.get(self.taken) {
            Some(path) => Ok(Some(self.reading.store.shape(path)?)),
            None => Ok(None),
        }
    }

    /// Adds a number or a nested list of numbers as a constant.
    pub(super) fn constant(&mut self, what: &str, value: &Json) -> Result<ValueId, Problem> {
        let (value, shape) = (inner(value), json_shape(inner(value)));
        let values = floats(what, value)?;
        let tensor = Tensor::new(shape, crate::tensor::Data::F32(values.into()));
        let tensor = tensor.ok_or_else(|| invalid(format!("an uneven list as {what}: {}", brief(value))))?;
        Ok(self.build().constant(tensor))
    }

    /// Gives the result the layer's name. A result that existed before gets an additional identity node.
    pub(super) fn finish(&mut self, made: Symbol, before: usize) -> Made {
        let old = made.id.index() < before || self.reading.graph.producer(made.id).is_none();
        let id = if old { self.build().apply(Identity::Identity, &[made.id])? } else { made.id };
        self.reading.graph.rename(id, self.name, self.name);
        Ok(Symbol { id, ..made })
    }

    /// Warns if the layer is called in training mode, which is ignored.
    pub(super) fn note_training(&mut self) {
        let asked = |(name, arg): &(String, Arg)| {
            name == "training"
                && matches!(arg, Arg::Json(v) if v.as_bool() == Some(true) || v.as_i64() == Some(1))
        };
        if self.kwargs.iter().any(asked) {
            self.warn("called in training mode, run in inference mode");
        }
    }

    /// Warns that half precision is computed in single precision.
    pub(super) fn note_precision(&mut self) {
        let dtype = self.config.json("dtype");
        let name = dtype.and_then(|d| d.as_str().or_else(|| d.get("config")?.get("name")?.as_str()));
        if name.is_some_and(|name| name.contains("float16")) {
            self.reading.warn("half precision is computed in single precision".to_owned());
        }
    }

    /// Adds a warning about the layer.
    pub(super) fn warn(&mut self, text: &str) {
        let text = format!("layer {:?} ({}): {text}", self.path, self.class);
        self.reading.warn(text);
    }
}

/// Unwraps constants of functions, which may have the form `{"class_name": "__numpy__", "config": {"value": …}}`.
fn inner(value: &Json) -> &Json {
    let wrapped = value.get("config").and_then(|config| config.get("value"));
    wrapped.filter(|_| value.get("class_name").is_some()).unwrap_or(value)
}

/// Converts an argument back to JSON, unless it contains a value.
pub(super) fn to_json(arg: &Arg) -> Result<Json, OpError> {
    match arg {
        Arg::Json(value) => Ok(value.clone()),
        Arg::List(list) => list.iter().map(to_json).collect::<Result<Vec<_>, _>>().map(Json::Array),
        Arg::Value(_) => {
            Err(OpError::Unsupported("a computed value where a constant is expected".to_owned()))
        }
    }
}

/// Returns the sizes of nested lists, determined by their first elements.
fn json_shape(value: &Json) -> Vec<usize> {
    let mut shape = Vec::new();
    let mut at = value;
    while let Json::Array(list) = at {
        shape.push(list.len());
        match list.first() {
            Some(first) => at = first,
            None => break,
        }
    }
    shape
}

/// Permutes the axes of an array.
pub(super) fn permuted(tensor: &Tensor, perm: &[usize]) -> Result<Tensor, OpError> {
    let values = tensor.as_f32().ok_or_else(|| invalid("weights are not floating point"))?;
    let shape: Vec<usize> = perm.iter().map(|&p| tensor.shape()[p]).collect();
    let mut strides = vec![1; perm.len()];
    for axis in (1..perm.len()).rev() {
        strides[axis - 1] = strides[axis] * tensor.shape()[axis];
    }
    let steps: Vec<usize> = perm.iter().map(|&p| strides[p]).collect();
    let mut out = Vec::with_capacity(values.len());
    let mut index = vec![0; perm.len()];
    let mut from = 0;
    while out.len() < values.len() {
        out.push(values[from]);
        for axis in (0..perm.len()).rev() {
            index[axis] += 1;
            from += steps[axis];
            if index[axis] < shape[axis] {
                break;
            }
            from -= steps[axis] * shape[axis];
            index[axis] = 0;
        }
    }
    let values: Arc<[f32]> = out.into();
    Tensor::new(shape, crate::tensor::Data::F32(values))
        .ok_or_else(|| invalid("weights do not fill their shape"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_of_an_array_change_places() {
        let tensor = Tensor::f32(&[2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let turned = permuted(&tensor, &[1, 0]).unwrap();
        assert_eq!(turned, Tensor::f32(&[3, 2], vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0]));
        let deep = Tensor::f32(&[2, 1, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(permuted(&deep, &[2, 0, 1]).unwrap().shape(), [3, 2, 1]);
    }

    #[test]
    fn sizes_of_nested_lists() {
        let value: Json = serde_json::from_str("[[1, 2, 3], [4, 5, 6]]").unwrap();
        assert_eq!(json_shape(&value), [2, 3]);
        assert_eq!(json_shape(&Json::from(1.5)), [0usize; 0]);
    }
}
