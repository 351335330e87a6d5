//! Elementwise functions of one, two or three values, with fusion.
//!
//! A result whose only reader is another elementwise function is never written to memory: both are computed together,
//! in pieces that stay in the cache. For example, GELU expressed in five operators, or a bias and the activation after
//! it, become one step.

mod chain;
mod function;
mod idiom;

use heatlens_graph::op::expand::Expand;
use heatlens_graph::{Node, ValueId};

use crate::kernel::broadcast::Broadcast;
use crate::lower::{Lowering, Refusal};
use chain::{Chain, Link, Operand};
use function::Function;
use idiom::Idiom;

/// Maximum number of fused functions: each may need a piece of the cache.
const MOST_LINKS: usize = 16;

/// A value with a single reader, to be fused into it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    /// Block in which it could run.
    block: usize,
    /// Number of functions fused into it so far.
    links: usize,
    /// Number of elements of a sample that they read.
    reads: usize,
}

pub(super) fn lower(lowering: &mut Lowering<'_>, node: &Node) -> Option<Result<(), Refusal>> {
    let function = Function::of(node)?;
    if let Err(refusal) = operands(lowering, node, &function) {
        return Some(Err(refusal));
    }
    let output = node.outputs[0];
    if reader_computes_it(lowering, output) {
        let ids = inputs(lowering, node);
        let links = 1 + ids.iter().filter_map(|id| lowering.waiting.get(id)).map(|w| w.links).sum::<usize>();
        // The operators of a function that is spelt out count what they read again.
        let most = if lowering.uses.only(output).is_some() { MOST_LINKS } else { MOST_LINKS / 4 };
        if links < most {
            let block = ids.iter().map(|&id| block(lowering, id)).max().unwrap_or(0);
            let reads = ids.iter().map(|&id| reads(lowering, id)).sum();
            lowering.waiting.insert(output, Waiting { block, links, reads });
            return Some(Ok(()));
        }
    }
    Some(push(lowering, node))
}

/// True if the only reader of the value is an elementwise function with an output of the same shape.
fn reader_computes_it(lowering: &Lowering<'_>, id: ValueId) -> bool {
    let graph = lowering.graph;
    let reader = lowering.uses.only(id).or_else(|| Idiom::reader(lowering, id));
    let Some(reader) = reader.map(|reader| graph.node(reader)) else { return false };
    let once = reader.inputs.iter().filter(|&&input| input == Some(id)).count() <= 1;
    let output = reader.outputs[0];
    let alike = graph.fact(output).shape == graph.fact(id).shape
        && lowering.is_per_sample(output) == lowering.is_per_sample(id);
    once && alike && !lowering.is_output(id) && Function::of(reader).is_some()
}

/// Returns the values that the node reads; functions repeat elements themselves instead of reading an expanded value.
fn inputs(lowering: &Lowering<'_>, node: &Node) -> Vec<ValueId> {
    node.inputs.iter().flatten().map(|&id| unexpanded(lowering, node, id)).collect()
}

/// Returns the value from which an input of a function was expanded.
fn unexpanded(lowering: &Lowering<'_>, node: &Node, id: ValueId) -> ValueId {
    let maker = lowering.graph.producer(id).map(|maker| lowering.graph.node(maker));
    match maker.filter(|maker| Lowering::op::<Expand>(maker).is_some()).map(|maker| maker.inputs.as_slice()) {
        Some(&[Some(from)]) if sees_through(node) => unexpanded(lowering, node, from),
        _ => id,
    }
}

/// True if the node is a function that reads what an expanded input was expanded from.
fn sees_through(node: &Node) -> bool {
    Function::of(node).is_some_and(|function| !matches!(function, Function::Quantize(_)))
}

/// True if nothing reads the node's output, an expanded value, as it is.
pub(super) fn all_see_through(lowering: &Lowering<'_>, node: &Node) -> bool {
    let readers = lowering.uses.of(node.outputs[0]);
    let functions = |&reader| {
        let reader = lowering.graph.node(reader);
        sees_through(reader) || Lowering::op::<Expand>(reader).is_some() && all_see_through(lowering, reader)
    };
    !lowering.is_output(node.outputs[0]) && readers.iter().all(functions)
}

/// Returns the number of elements of a sample that are read for the value.
fn reads(lowering: &Lowering<'_>, id: ValueId) -> usize {
    match lowering.waiting.get(&id) {
        Some(waiting) => waiting.reads,
        None if lowering.is_per_sample(id) => lowering.shape(id).iter().product(),
        None => 0,
    }
}

/// Returns the first block in which the value can be read.
fn block(lowering: &mut Lowering<'_>, id: ValueId) -> usize {
    match lowering.waiting.get(&id) {
        Some(waiting) => waiting.block,
        None => lowering.block(id),
    }
}

/// Returns the node's operands with their shapes, aligned for broadcasting to the output.
fn operands(
    lowering: &Lowering<'_>,
    node: &Node,
    function: &Function,
) -> Result<Vec<(ValueId, Vec<usize>)>, Refusal> {
    let ids: Vec<ValueId> =
        (0..function.arity()).map(|i| lowering.input(node, i)).collect::<Result<_, _>>()?;
    let ids: Vec<ValueId> = ids.into_iter().map(|id| unexpanded(lowering, node, id)).collect();
    let shapes: Vec<&heatlens_graph::Shape> = ids.iter().map(|&id| &lowering.graph.fact(id).shape).collect();
    let aligned = function.aligned(&shapes)?;
    Ok(ids.into_iter().zip(aligned).collect())
}

/// Adds the step that computes the node's output, including the values fused into it.
fn push(lowering: &mut Lowering<'_>, node: &Node) -> Result<(), Refusal> {
    let output = node.outputs[0];
    let block = inputs(lowering, node).iter().map(|&id| block(lowering, id)).max().unwrap_or(0);
    let mut collected =
        Collected { block, inputs: Vec::new(), links: Vec::new(), free: Vec::new(), pieces: 0 };
    collected.add(lowering, node)?;
    let Collected { inputs, links, pieces, .. } = collected;
    let slots: Vec<_> = inputs.iter().map(|&id| lowering.slot(id)).collect();
    lowering.push_slots(node, output, &slots, Chain { links, pieces })
}

/// A chain of functions under construction.
struct Collected {
    block: usize,
    inputs: Vec<ValueId>,
    links: Vec<Link>,
    /// Pieces that may be reused.
    free: Vec<usize>,
    pieces: usize,
}

impl Collected {
    /// Adds the node's function after those fused into it, and returns the piece that holds its result.
    fn add(&mut self, lowering: &mut Lowering<'_>, node: &Node) -> Result<usize, Refusal> {
        let Some(function) = Function::of(node) else { return Err("no element-wise function".to_owned()) };
        let shape = lowering.shape(node.outputs[0]);
        let len: usize = shape.iter().product();
        let mut found = Vec::new();
        let graph = lowering.graph;
        let waits = |id: &ValueId| lowering.waiting.contains_key(id);
        let idiom = Idiom::ending_with(lowering, node).filter(|idiom| idiom.inner.iter().all(waits));
        let (function, operands) = match idiom {
            Some(Idiom { function, x, inner }) => {
                for id in &inner {
                    lowering.waiting.remove(id);
                }
                (function, vec![(x, lowering.shape(x))])
            }
            None => (function, operands(lowering, node, &function)?),
        };
        for (id, aligned) in operands {
            let waiting = lowering.waiting.remove(&id);
            let maker = graph.producer(id).map(|maker| graph.node(maker));
            found.push(match (waiting, maker) {
                (Some(waiting), Some(maker)) if waiting.block == self.block || waiting.reads < 2 * len => {
                    Operand::Piece(self.add(lowering, maker)?)
                }
                // It can run in an earlier block, so that less is kept between blocks.
                (Some(_), Some(maker)) => {
                    push(lowering, maker)?;
                    self.input(id, &shape, &aligned)
                }
                _ => self.input(id, &shape, &aligned),
            });
        }
        let piece = self.free.pop().unwrap_or(self.pieces);
        self.pieces = self.pieces.max(piece + 1);
        self.free.extend(found.iter().filter_map(Operand::piece));
        self.links.push(Link { function, operands: found, piece });
        Ok(piece)
    }

    fn input(&mut self, id: ValueId, output: &[usize], aligned: &[usize]) -> Operand {
        let known = self.inputs.iter().position(|&input| input == id);
        let index = known.unwrap_or(self.inputs.len());
        if known.is_none() {
            self.inputs.push(id);
        }
        Operand::Input(index, Broadcast::new(output, [aligned]))
    }
}
