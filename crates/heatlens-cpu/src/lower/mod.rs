//! Lowering of nodes to kernels: one file per family of operators, one entry in [`FAMILIES`] per file.
//!
//! A graph is lowered for a single sample. Every value is either *per sample* (its shape contains the batch size) or
//! *global* (weights, and sums over the batch). A kernel that reads only global values runs once; a kernel that reads a
//! per-sample value runs for each sample, and either writes a per-sample value or adds to a global sum.

mod batch_normalization;
mod conv;
mod data_movement;
mod elementwise;
mod gather;
mod layer_normalization;
mod matmul;
mod pool;
mod reduce;
mod softmax;
mod variance;

use std::any::Any;
use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

use heatlens_graph::op::unary::{Unary, UnaryFunction};
use heatlens_graph::{DType, Data, Graph, Node, Operator, Origin, Tensor, Uses, ValueId};

use crate::error::{CompileError, Unsupported};
use crate::kernel::Workers;
use crate::memory;

/// Computation of a planned step.
pub(crate) trait Kernel: Debug + Send + Sync {
    /// Returns the number of scratch elements the kernel needs.
    fn scratch_len(&self) -> usize {
        0
    }

    /// Returns the multiplications and additions of a run, for compute-bound kernels.
    fn flops(&self) -> u64 {
        0
    }

    /// Computes the output; a kernel lowered with [`Lowering::push_sum`] adds to it instead.
    fn run(&self, inputs: &[&[f32]], output: &mut [f32], scratch: &mut [f32], workers: Workers);
}

/// A value of the lowered graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slot(pub(crate) usize);

/// Source of a lowered value.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Constant(Arc<[f32]>),
    Input(usize),
    Step(usize),
}

#[derive(Clone, Debug)]
pub(crate) struct LoweredValue {
    /// Number of elements; for one sample if it is per sample.
    pub(crate) len: usize,
    pub(crate) per_sample: bool,
    /// First block whose samples can read it.
    pub(crate) block: usize,
    pub(crate) source: Source,
}

/// Frequency of a step, and use of its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rate {
    /// Runs once, on global values.
    Once,
    /// Runs for each sample.
    Sample,
    /// Runs for each sample and adds to a global value.
    Sum,
}

#[derive(Debug)]
pub(crate) struct Step {
    /// Name and operator of the node that it computes.
    pub(crate) node: String,
    pub(crate) op: &'static str,
    pub(crate) kernel: Arc<dyn Kernel>,
    pub(crate) inputs: Vec<Slot>,
    pub(crate) output: Slot,
    pub(crate) rate: Rate,
    pub(crate) block: usize,
}

/// A list of steps under construction.
#[derive(Debug)]
pub(crate) struct Lowering<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) uses: Uses,
    pub(crate) values: Vec<LoweredValue>,
    pub(crate) steps: Vec<Step>,
    slots: Vec<Option<Slot>>,
    /// For each value of the graph, true if it is an output.
    outputs: Vec<bool>,
    /// For each value of the graph, true if it exists per sample.
    per_sample: Vec<bool>,
    /// Values to be fused into their only reader.
    waiting: HashMap<ValueId, elementwise::Waiting>,
}

/// Reason why a node has no kernel.
pub(crate) type Refusal = String;

/// Lowers a node if it belongs to the family.
type Family = fn(&mut Lowering<'_>, &Node) -> Option<Result<(), Refusal>>;

const FAMILIES: &[Family] = &[
    conv::lower,
    pool::lower,
    elementwise::lower,
    reduce::lower,
    variance::lower,
    matmul::lower,
    data_movement::lower,
    softmax::lower,
    batch_normalization::lower,
    layer_normalization::lower,
    gather::lower,
];

/// A lowered graph.
#[derive(Debug)]
pub(crate) struct Lowered {
    pub(crate) values: Vec<LoweredValue>,
    pub(crate) steps: Vec<Step>,
    pub(crate) outputs: Vec<Slot>,
}

/// Lowers the nodes that the graph's outputs depend on. `per_sample` flags the values that exist per sample.
pub(crate) fn lower(graph: &Graph, per_sample: Vec<bool>) -> Result<Lowered, CompileError> {
    let slots = vec![None; graph.values().len()];
    let (values, steps, waiting) = (Vec::new(), Vec::new(), HashMap::new());
    let mut outputs = vec![false; graph.values().len()];
    graph.outputs().iter().for_each(|o| outputs[o.index()] = true);
    let uses = graph.uses();
    let mut lowering = Lowering { graph, uses, values, steps, slots, outputs, per_sample, waiting };
    let mut refused = Vec::new();
    let needed = heatlens_graph::rewrite::needed_nodes(graph, graph.outputs());
    for (index, &input) in graph.inputs().iter().enumerate() {
        lowering.add_leaf(input, Source::Input(index));
    }
    for (node, _) in graph.nodes().iter().zip(needed).filter(|(_, needed)| *needed) {
        if node.outputs.iter().all(|o| lowering.slots[o.index()].is_some()) {
            continue; // fused into an earlier node
        }
        lowering.check_memory(node)?;
        let outcome = lowering.check_types(node).and_then(|()| {
            let found = FAMILIES.iter().find_map(|family| family(&mut lowering, node));
            found.unwrap_or_else(|| Err("no kernel for this operator".to_owned()))
        });
        if let Err(reason) = outcome {
            let op = node.op.onnx_form().name.to_owned();
            refused.push(Unsupported { node: node.name.clone(), op, reason });
            // Adds placeholders for the outputs, so that the remaining nodes are checked too.
            for &output in &node.outputs {
                lowering.add_leaf(output, Source::Input(usize::MAX));
            }
        }
    }
    if !refused.is_empty() {
        return Err(CompileError::Unsupported(refused));
    }
    let outputs = graph.outputs().iter().map(|&o| lowering.slot(o)).collect();
    Ok(Lowered { values: lowering.values, steps: lowering.steps, outputs })
}

impl<'a> Lowering<'a> {
    /// Returns the node's operator, if it is of type `T`.
    pub(crate) fn op<T: Operator>(node: &Node) -> Option<&T> {
        (node.op.as_ref() as &dyn Any).downcast_ref()
    }

    /// Returns the sizes of a value for one sample.
    pub(crate) fn shape(&self, id: ValueId) -> Vec<usize> {
        self.graph.fact(id).shape.at(1)
    }

    /// Returns the node's input at `index`.
    pub(crate) fn input(&self, node: &Node, index: usize) -> Result<ValueId, Refusal> {
        node.inputs.get(index).copied().flatten().ok_or_else(|| format!("input {index} is absent"))
    }

    /// Returns the slot of a value of the graph.
    pub(crate) fn slot(&mut self, id: ValueId) -> Slot {
        if let Some(slot) = self.slots[id.index()] {
            return slot;
        }
        let values = match &self.graph.value(id).origin {
            Origin::Constant(tensor) => to_f32(tensor),
            _ => Arc::from([]),
        };
        self.add_leaf(id, Source::Constant(values))
    }

    /// True if the value is an output of the graph.
    pub(crate) fn is_output(&self, id: ValueId) -> bool {
        self.outputs[id.index()]
    }

    /// Returns the ReLU node that is the only reader of the node's output, unless that is an output of the graph: it
    /// costs nothing when fused into the node's kernel.
    pub(crate) fn only_rectifier(&self, node: &Node) -> Option<&'a Node> {
        let output = node.outputs[0];
        let reader = self.graph.node(self.uses.only(output)?);
        let rectifies = Self::op(reader) == Some(&Unary(UnaryFunction::Relu));
        (rectifies && !self.is_output(output)).then_some(reader)
    }

    /// True if the value exists per sample (or per group of samples).
    pub(crate) fn is_per_sample(&self, id: ValueId) -> bool {
        self.per_sample[id.index()]
    }

    /// Returns the first block whose samples can read the value.
    pub(crate) fn block(&mut self, id: ValueId) -> usize {
        let slot = self.slot(id);
        self.values[slot.0].block
    }

    /// Adds the step that computes the node's output from `inputs`.
    pub(crate) fn push(
        &mut self,
        node: &Node,
        inputs: &[ValueId],
        kernel: impl Kernel + 'static,
    ) -> Result<(), Refusal> {
        let inputs: Vec<Slot> = inputs.iter().map(|&i| self.slot(i)).collect();
        self.push_slots(node, node.outputs[0], &inputs, kernel)
    }

    /// Same as [`push`](Self::push), for inputs that are not values of the graph, and for an output that may be that of
    /// a later node fused into the kernel.
    pub(crate) fn push_slots(
        &mut self,
        node: &Node,
        id: ValueId,
        inputs: &[Slot],
        kernel: impl Kernel + 'static,
    ) -> Result<(), Refusal> {
        let rate = if self.is_per_sample(id) { Rate::Sample } else { Rate::Once };
        if rate == Rate::Once && inputs.iter().any(|i| self.values[i.0].per_sample) {
            return Err(
                "it relates the samples of a batch to each other in a way other than a sum".to_owned()
            );
        }
        let len = self.shape(id).iter().product();
        let slot = self.add_step(node, Arc::new(kernel), inputs, len, rate);
        self.slots[id.index()] = Some(slot);
        Ok(())
    }

    /// Adds the step that sums the node's output over the samples.
    pub(crate) fn push_sum(&mut self, node: &Node, inputs: &[ValueId], kernel: impl Kernel + 'static) {
        let inputs: Vec<Slot> = inputs.iter().map(|&i| self.slot(i)).collect();
        let id = node.outputs[0];
        let len = self.shape(id).iter().product();
        // Without per-sample inputs there is nothing to sum; global buffers start at zero.
        let over_samples = inputs.iter().any(|i| self.values[i.0].per_sample);
        let rate = if over_samples { Rate::Sum } else { Rate::Once };
        let slot = self.add_step(node, Arc::new(kernel), &inputs, len, rate);
        self.slots[id.index()] = Some(slot);
    }

    /// Adds a step that preprocesses a global value for the node before the samples run; runs it at once if the value
    /// is constant.
    pub(crate) fn prepare(
        &mut self,
        node: &Node,
        from: Slot,
        len: usize,
        kernel: impl Kernel + 'static,
    ) -> Slot {
        let LoweredValue { block, per_sample, source, .. } = &self.values[from.0];
        let (block, per_sample) = (*block, *per_sample);
        if let Source::Constant(values) = source {
            // Written in place: packed weights are as large as the file.
            let mut result: Arc<[f32]> = std::iter::repeat_n(0.0, len).collect();
            let mut scratch = vec![0.0; kernel.scratch_len()];
            if let Some(result) = Arc::get_mut(&mut result) {
                kernel.run(&[values], result, &mut scratch, Workers::Pool);
            }
            let source = Source::Constant(result);
            self.values.push(LoweredValue { len, per_sample: false, block, source });
            return Slot(self.values.len() - 1);
        }
        let rate = if per_sample { Rate::Sample } else { Rate::Once };
        self.add_step(node, Arc::new(kernel), &[from], len, rate)
    }

    /// Makes the node's output an alias of one of its inputs.
    pub(crate) fn alias(&mut self, node: &Node, from: ValueId) -> Result<(), Refusal> {
        let slot = self.slot(from);
        self.slots[node.outputs[0].index()] = Some(slot);
        Ok(())
    }

    /// Rejects a value larger than the available memory before a kernel is prepared for it, since the tables of a kernel grow
    /// with the value. All values together are counted later, when they are planned.
    fn check_memory(&self, node: &Node) -> Result<(), CompileError> {
        let elements = |&id: &ValueId| self.shape(id).iter().map(|&size| size as u128).product::<u128>();
        let bytes = node.outputs.iter().map(elements).max().unwrap_or(0).saturating_mul(4);
        memory::fits(bytes).map_err(|available| CompileError::Memory { bytes, available })
    }

    /// Rejects values that cannot be computed for a single sample, and unsupported element types.
    fn check_types(&self, node: &Node) -> Result<(), Refusal> {
        for &id in &node.outputs {
            let fact = self.graph.fact(id);
            if fact.dtype == DType::I64 {
                return Err("whole numbers that are computed at run time are not supported".to_owned());
            }
            if fact.shape.0.iter().filter(|d| d.is_batch()).count() > 1 {
                return Err(format!("its result {} relates samples to each other", fact.shape));
            }
        }
        Ok(())
    }

    fn add_step(
        &mut self,
        node: &Node,
        kernel: Arc<dyn Kernel>,
        inputs: &[Slot],
        len: usize,
        rate: Rate,
    ) -> Slot {
        let block = inputs.iter().map(|i| self.values[i.0].block).max().unwrap_or(0);
        let value = LoweredValue {
            len,
            per_sample: rate == Rate::Sample,
            block: if rate == Rate::Sum { block + 1 } else { block },
            source: Source::Step(self.steps.len()),
        };
        self.values.push(value);
        let output = Slot(self.values.len() - 1);
        let (node, op) = (node.name.clone(), node.op.onnx_form().name);
        self.steps.push(Step { node, op, kernel, inputs: inputs.to_vec(), output, rate, block });
        output
    }

    fn add_leaf(&mut self, id: ValueId, source: Source) -> Slot {
        let len = self.shape(id).iter().product();
        self.values.push(LoweredValue { len, per_sample: self.is_per_sample(id), block: 0, source });
        let slot = Slot(self.values.len() - 1);
        self.slots[id.index()] = Some(slot);
        slot
    }
}

/// Returns the elements as used by kernels; masks are ones and zeros.
#[allow(clippy::cast_possible_truncation)]
pub(crate) fn to_f32(tensor: &Tensor) -> Arc<[f32]> {
    match tensor.data() {
        Data::F32(values) => Arc::clone(values),
        _ => tensor.to_f64().into_iter().map(|v| v as f32).collect(),
    }
}
