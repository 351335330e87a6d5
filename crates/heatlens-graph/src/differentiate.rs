//! Reverse-mode differentiation of a graph; the derivative is appended as a graph.
//!
//! The algorithm visits the nodes from last to first, computes the gradients of each node's inputs, and adds up
//! gradients that reach the same value along several paths. The gradient of a node can be replaced through [`Rules`]:
//! guided backpropagation, deconvnet and the relevance methods are rules.
//!
//! Conventions: the derivative of ReLU at 0 is 0; a tie in a max-pool window sends the whole gradient to the first
//! position, as in PyTorch.

use crate::builder::Builder;
use crate::error::GraphError;
use crate::fact::{Dim, Shape};
use crate::graph::{Graph, Node, ValueId};
use crate::op::{at, require_value};

/// The gradients of a node's inputs, one each; `None` for an input whose gradient is zero or not wanted.
pub type InputGrads = Result<Vec<Option<ValueId>>, GraphError>;

/// A node that the gradient passes on its way back.
#[derive(Clone, Copy, Debug)]
pub struct Backward<'a> {
    /// The node.
    pub node: &'a Node,
    /// Gradients of its outputs; `None` if zero.
    pub output_grads: &'a [Option<ValueId>],
    /// The inputs whose gradients are needed.
    pub wanted: &'a [bool],
}

impl Backward<'_> {
    /// Returns the gradient of the first output, the only differentiable one.
    #[must_use]
    pub fn grad(&self) -> Option<ValueId> {
        self.output_grads.first().copied().flatten()
    }

    /// Returns true if the gradient of the input at `index` is needed.
    #[must_use]
    pub fn wants(&self, index: usize) -> bool {
        self.wanted.get(index).copied().unwrap_or(false)
    }

    /// Returns the gradient of the first output if that of the input at `index` is needed.
    #[must_use]
    pub fn grad_for(&self, index: usize) -> Option<ValueId> {
        self.grad().filter(|_| self.wants(index))
    }

    /// Returns the input at `index`.
    ///
    /// # Errors
    /// If the input is omitted.
    pub fn input(&self, index: usize) -> Result<ValueId, GraphError> {
        require_value(self.node, index)
    }

    /// Returns no gradient for any input.
    ///
    /// # Errors
    /// Never; it has the type of a derivative.
    pub fn nothing(&self) -> InputGrads {
        Ok(vec![None; self.node.inputs.len()])
    }
}

/// Overrides for the derivatives of nodes.
pub trait Rules {
    /// Returns the gradients of `node`'s inputs, or `None` to use the operator's own derivative.
    ///
    /// # Errors
    /// If the rule applies to the node but cannot be built.
    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> Option<InputGrads>;
}

/// No overrides: every operator's own, true derivative.
#[derive(Clone, Copy, Debug)]
pub struct DefaultRules;

impl Rules for DefaultRules {
    fn vjp(&self, _: &mut Builder<'_>, _: &Backward<'_>) -> Option<InputGrads> {
        None
    }
}

/// Appends the gradient of Σ `seed` ⊙ `from` with respect to each value of `wrt`.
///
/// `seed` has the shape of `from`, or broadcasts to it, and is the gradient at `from`: ones for a plain gradient, a
/// one-hot row to select a class. Only nodes on a path from `wrt` to `from` are visited, so a gradient at the last
/// layer costs nothing for the layers before it.
///
/// # Errors
/// If a node has no derivative, or `from` does not depend on one of `wrt`.
pub fn differentiate(
    graph: &mut Graph,
    scope: &str,
    from: ValueId,
    seed: ValueId,
    wrt: &[ValueId],
    rules: &dyn Rules,
) -> Result<Vec<ValueId>, GraphError> {
    let on_the_way = depends_on(graph, wrt);
    let mut grads: Vec<Option<ValueId>> = vec![None; graph.values().len()];
    let shape = graph.fact(from).shape.clone();
    let mut builder = Builder::new(graph, scope);
    grads[from.index()] = Some(builder.expand(seed, shape)?);

    let last = builder.graph().producer(from).map_or(0, |node| node.index() + 1);
    for index in (0..last).rev() {
        let node = builder.graph().nodes()[index].clone();
        let output_grads: Vec<_> = node.outputs.iter().map(|o| grads[o.index()]).collect();
        let wanted: Vec<bool> =
            node.inputs.iter().map(|i| i.is_some_and(|i| on_the_way[i.index()])).collect();
        if output_grads.iter().all(Option::is_none) || !wanted.contains(&true) {
            continue;
        }
        let back = Backward { node: &node, output_grads: &output_grads, wanted: &wanted };
        let input_grads =
            rules.vjp(&mut builder, &back).unwrap_or_else(|| node.op.vjp(&mut builder, &back))?;
        for (position, (input, grad)) in node.inputs.iter().zip(input_grads).enumerate() {
            if let (Some(input), Some(grad), true) = (input, grad, wanted[position]) {
                let shape = builder.shape(*input);
                let grad = unbroadcast(&mut builder, grad, &shape)?;
                grads[input.index()] = Some(match grads[input.index()] {
                    Some(other) => builder.add(other, grad)?,
                    None => grad,
                });
            }
        }
    }
    wrt.iter()
        .map(|w| {
            let name = || graph.value(*w).name.clone();
            grads[w.index()].ok_or_else(|| GraphError::Unreachable { value: name() })
        })
        .collect()
}

/// Returns for every value whether it is one of `roots` or is computed from one.
#[must_use]
pub fn depends_on(graph: &Graph, roots: &[ValueId]) -> Vec<bool> {
    let mut found = vec![false; graph.values().len()];
    for root in roots {
        found[root.index()] = true;
    }
    for node in graph.nodes() {
        if node.inputs.iter().flatten().any(|i| found[i.index()]) {
            for output in &node.outputs {
                found[output.index()] = true;
            }
        }
    }
    found
}

/// Sums a gradient over the axes along which the value was broadcast.
fn unbroadcast(builder: &mut Builder<'_>, grad: ValueId, shape: &Shape) -> Result<ValueId, GraphError> {
    let found = builder.shape(grad);
    if found == *shape {
        return Ok(grad);
    }
    let extra = found.rank().checked_sub(shape.rank()).ok_or_else(|| {
        GraphError::Malformed(format!("a gradient of shape {found} came back for a value of shape {shape}"))
    })?;
    let repeated = |(axis, dim): (usize, &Dim)| {
        (axis < extra || (shape.0[axis - extra].is_one() && !dim.is_one())).then_some(axis)
    };
    let axes: Vec<usize> = found.0.iter().enumerate().filter_map(repeated).collect();
    let summed = builder.sum(grad, &axes, true)?;
    builder.reshape(summed, shape.clone())
}

/// Returns the error for a wanted input without a derivative.
pub(crate) fn no_derivative(node: &Node, index: usize) -> GraphError {
    at(node, crate::error::OpError::NoDerivative { index })
}
