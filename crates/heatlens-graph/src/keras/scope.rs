//! One layer while it is read: its settings, what it is called with, its arrays, and the nodes it becomes.
//!
//! Keras thinks channels-last, the graph runs channels-first. So a value carries its [`Layout`]: images and their
//! feature maps are kept N×C×H×W and remembered as such, everything else stands as its author sees it. A layer asks
//! for the layout that it needs, and a transposition is added only where the value has another one.

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

/// How a value's axes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// As the author sees them.
    Plain,
    /// The author's last axis is kept right behind the first: N×H×W×C as N×C×H×W.
    ChannelsFirst,
}

/// A value as a layer passes it on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Symbol {
    pub(super) id: ValueId,
    pub(super) layout: Layout,
}

impl Symbol {
    /// A value that is stored as its author sees it.
    pub(super) fn plain(id: ValueId) -> Self {
        Self { id, layout: Layout::Plain }
    }
}

/// An argument of a call.
#[derive(Clone, Debug)]
pub(super) enum Arg {
    Value(Symbol),
    List(Vec<Arg>),
    Json(Json),
}

/// Where a layer's settings put the channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Last,
    First,
}

/// Why a layer could not be read.
#[derive(Debug)]
pub(super) enum Problem {
    /// Something about the layer.
    Layer(OpError),
    /// Something about the file.
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

/// The result of reading one layer.
pub(super) type Made = Result<Symbol, Problem>;

/// Which Keras wrote the file; some layers changed their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Era {
    Keras1,
    Keras2,
    Keras3,
}

/// What reading a file builds.
pub(super) struct Reading {
    pub(super) graph: Graph,
    pub(super) warnings: Vec<String>,
    pub(super) store: Store,
    pub(super) era: Era,
    /// Arrays that are in the graph already, by layer and name: shared layers store them once.
    pub(super) stored: BTreeMap<String, ValueId>,
}

impl Reading {
    /// Says something once.
    pub(super) fn warn(&mut self, text: String) {
        if !self.warnings.contains(&text) {
            self.warnings.push(text);
        }
    }
}

/// One layer while it is read.
pub(super) struct Scope<'a> {
    pub(super) reading: &'a mut Reading,
    pub(super) config: Config<'a>,
    /// The class, by which one function tells several layers apart.
    pub(super) class: &'a str,
    /// The layer's name in the graph; another one for each call.
    pub(super) name: &'a str,
    /// The layer's name in the file; the same for each call.
    pub(super) path: &'a str,
    pub(super) args: Vec<Arg>,
    pub(super) kwargs: Vec<(String, Arg)>,
    /// Where its arrays are, in order.
    pub(super) arrays: Vec<String>,
    /// How many of them have been asked for.
    pub(super) taken: usize,
}

impl Scope<'_> {
    /// Appends nodes called `name/Operator`.
    pub(super) fn build(&mut self) -> Builder<'_> {
        Builder::new(&mut self.reading.graph, self.name)
    }

    /// Applies an operator.
    pub(super) fn apply(&mut self, op: impl Operator, inputs: &[ValueId]) -> Result<ValueId, Problem> {
        Ok(self.build().apply(op, inputs)?)
    }

    /// Sizes as the graph stores them.
    pub(super) fn shape(&self, id: ValueId) -> Shape {
        self.reading.graph.fact(id).shape.clone()
    }

    /// Sizes as the author sees them.
    pub(super) fn seen(&self, symbol: Symbol) -> Vec<Dim> {
        let mut dims = self.shape(symbol.id).0;
        if symbol.layout == Layout::ChannelsFirst && dims.len() > 2 {
            let channels = dims.remove(1);
            dims.push(channels);
        }
        dims
    }

    /// The graph's axis for an axis as the author counts them; negative ones count from the back.
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

    /// The value stored as its author sees it.
    pub(super) fn plain(&mut self, symbol: Symbol) -> Result<ValueId, Problem> {
        if symbol.layout == Layout::Plain {
            return Ok(symbol.id);
        }
        let rank = self.shape(symbol.id).rank();
        let perm: Vec<usize> = std::iter::once(0).chain(2..rank).chain([1]).collect();
        Ok(self.build().transpose(symbol.id, &perm)?)
    }

    /// The value with the author's last axis stored right behind the first.
    pub(super) fn channels_first(&mut self, symbol: Symbol) -> Result<ValueId, Problem> {
        let rank = self.shape(symbol.id).rank();
        if symbol.layout == Layout::ChannelsFirst || rank < 3 {
            return Ok(symbol.id);
        }
        let perm: Vec<usize> = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
        Ok(self.build().transpose(symbol.id, &perm)?)
    }

    /// The value in a layout.
    pub(super) fn as_layout(&mut self, symbol: Symbol, layout: Layout) -> Result<ValueId, Problem> {
        match layout {
            Layout::Plain => self.plain(symbol),
            Layout::ChannelsFirst => self.channels_first(symbol),
        }
    }

    /// Where the settings put the channels.
    pub(super) fn format(&self) -> Result<Format, OpError> {
        let found = self.config.text("data_format")?.or(self.config.text("dim_ordering")?);
        match found {
            None | Some("channels_last" | "tf" | "default") => Ok(Format::Last),
            Some("channels_first" | "th") => Ok(Format::First),
            Some(other) => Err(invalid(format!("data_format {other:?}"))),
        }
    }

    /// The value as N×C×spatial, for a layer that puts the channels where `format` says.
    pub(super) fn spatial(&mut self, symbol: Symbol, format: Format) -> Result<ValueId, Problem> {
        match format {
            Format::Last => self.channels_first(symbol),
            Format::First => self.plain(symbol),
        }
    }

    /// An N×C×spatial result, as the layer passes it on.
    pub(super) fn spatial_result(id: ValueId, format: Format) -> Symbol {
        match format {
            Format::Last => Symbol { id, layout: Layout::ChannelsFirst },
            Format::First => Symbol::plain(id),
        }
    }

    /// All values among the arguments, lists opened, keywords after the rest.
    pub(super) fn values(&self) -> Vec<Symbol> {
        Self::values_of(&self.args, &self.kwargs)
    }

    /// All values among arguments.
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

    /// The one value that the layer is called with.
    pub(super) fn input(&self) -> Result<Symbol, OpError> {
        match self.values().as_slice() {
            &[one] => Ok(one),
            other => Err(invalid(format!("expected one input, found {}", other.len()))),
        }
    }

    /// The argument at `index`, or under one of the names.
    pub(super) fn argument(&self, index: usize, names: &[&str]) -> Option<Arg> {
        let named =
            || self.kwargs.iter().find(|(name, _)| names.contains(&name.as_str())).map(|(_, arg)| arg);
        let found = self.args.get(index).or_else(named).cloned();
        found.filter(|arg| !matches!(arg, Arg::Json(Json::Null)))
    }

    /// A constant argument, or the setting of that name: functions have it here or there.
    pub(super) fn constant_argument(&self, index: usize, names: &[&str]) -> Result<Option<Json>, OpError> {
        if let Some((_, value)) = self.config.any(names) {
            return Ok(Some(value.clone()));
        }
        let named = self.kwargs.iter().find(|(name, _)| names.contains(&name.as_str())).map(|(_, arg)| arg);
        // Old files list the values of a function that joins several where others have a constant.
        let placed = || self.args.get(index).filter(|arg| !matches!(arg, Arg::Value(_)));
        let found = named.or_else(placed).map(to_json).transpose()?;
        Ok(found.filter(|value| !value.is_null()))
    }

    /// Whole numbers given as an argument or a setting.
    pub(super) fn int_arguments(&self, index: usize, names: &[&str]) -> Result<Option<Vec<i64>>, OpError> {
        let found = self.constant_argument(index, names)?;
        found.map(|value| ints(names.first().copied().unwrap_or_default(), &value)).transpose()
    }

    /// A truth value given as an argument or a setting.
    pub(super) fn flag_argument(&self, index: usize, names: &[&str]) -> Result<bool, OpError> {
        Ok(self.constant_argument(index, names)?.and_then(|v| v.as_bool()).unwrap_or(false))
    }

    /// The next array of the layer, of a shape that its settings demand, put into the graph by `make`.
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
            return Err(invalid(format!("its {what} is not in the file ({found} arrays are)")).into());
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

    /// The next array as it is.
    pub(super) fn vector(&mut self, what: &str, length: usize) -> Result<ValueId, Problem> {
        self.array(what, &[length], Ok)
    }

    /// The shape of the next array.
    pub(super) fn peek(&mut self) -> Result<Option<Vec<usize>>, Problem> {
        match self.arrays.get(self.taken) {
            Some(path) => Ok(Some(self.reading.store.shape(path)?)),
            None => Ok(None),
        }
    }

    /// A number or a nested list of them as a stored array.
    pub(super) fn constant(&mut self, what: &str, value: &Json) -> Result<ValueId, Problem> {
        let (value, shape) = (inner(value), json_shape(inner(value)));
        let values = floats(what, value)?;
        let tensor = Tensor::new(shape, crate::tensor::Data::F32(values.into()));
        let tensor = tensor.ok_or_else(|| invalid(format!("an uneven list as {what}: {}", brief(value))))?;
        Ok(self.build().constant(tensor))
    }

    /// Gives the result the layer's name. A result that existed before gets a node of its own for it.
    pub(super) fn finish(&mut self, made: Symbol, before: usize) -> Made {
        let old = made.id.index() < before || self.reading.graph.producer(made.id).is_none();
        let id = if old { self.build().apply(Identity::Identity, &[made.id])? } else { made.id };
        self.reading.graph.rename(id, self.name, self.name);
        Ok(Symbol { id, ..made })
    }

    /// Training behaviour that was asked for is not what a picture of a finished model shows.
    pub(super) fn note_training(&mut self) {
        let asked = |(name, arg): &(String, Arg)| {
            name == "training"
                && matches!(arg, Arg::Json(v) if v.as_bool() == Some(true) || v.as_i64() == Some(1))
        };
        if self.kwargs.iter().any(asked) {
            self.warn("called as in training, run as after it");
        }
    }

    /// Half precision is computed in single.
    pub(super) fn note_precision(&mut self) {
        let dtype = self.config.json("dtype");
        let name = dtype.and_then(|d| d.as_str().or_else(|| d.get("config")?.get("name")?.as_str()));
        if name.is_some_and(|name| name.contains("float16")) {
            self.reading.warn("half precision is computed in single precision".to_owned());
        }
    }

    /// Adds something to what the user should know.
    pub(super) fn warn(&mut self, text: &str) {
        let text = format!("layer {:?} ({}): {text}", self.path, self.class);
        self.reading.warn(text);
    }
}

/// Constants of functions may come as `{"class_name": "__numpy__", "config": {"value": …}}`.
fn inner(value: &Json) -> &Json {
    let wrapped = value.get("config").and_then(|config| config.get("value"));
    wrapped.filter(|_| value.get("class_name").is_some()).unwrap_or(value)
}

/// An argument as JSON again, if there is no value in it.
pub(super) fn to_json(arg: &Arg) -> Result<Json, OpError> {
    match arg {
        Arg::Json(value) => Ok(value.clone()),
        Arg::List(list) => list.iter().map(to_json).collect::<Result<Vec<_>, _>>().map(Json::Array),
        Arg::Value(_) => {
            Err(OpError::Unsupported("a computed value where a constant is expected".to_owned()))
        }
    }
}

/// The sizes of nested lists, by their first elements.
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

/// The axes of an array in another order.
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
