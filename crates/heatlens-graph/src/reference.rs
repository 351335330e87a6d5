//! Reference evaluator: runs a graph in double precision, as a test oracle for the fast kernels.

use crate::error::GraphError;
use crate::graph::{Graph, Origin, ValueId};
use crate::op::at;
use crate::tensor::Tensor;

/// Computes `wanted` for `n` samples. `feeds` holds the inputs in the order of [`Graph::inputs`]; their shapes are
/// those of the inputs with `N = n`.
///
/// # Errors
/// If an input is missing or has the wrong shape, or if an operator fails.
///
/// ```
/// use heatlens_graph::{Builder, Fact, Graph, Shape, Tensor, reference};
/// let mut graph = Graph::new("square");
/// let x = graph.add_input("x", Fact::f32(Shape::batched(&[2])));
/// let y = Builder::new(&mut graph, "f").mul(x, x)?;
/// let result = reference::run(&graph, &[Tensor::f32(&[1, 2], vec![2.0, 3.0])], 1, &[y])?;
/// assert_eq!(result[0].to_f64(), [4.0, 9.0]);
/// # Ok::<(), heatlens_graph::GraphError>(())
/// ```
pub fn run(graph: &Graph, feeds: &[Tensor], n: usize, wanted: &[ValueId]) -> Result<Vec<Tensor>, GraphError> {
    let mut values: Vec<Option<Tensor>> = vec![None; graph.values().len()];
    for (&id, feed) in graph.inputs().iter().zip(feeds) {
        let value = graph.value(id);
        if feed.shape() != value.fact.shape.at(n) || feed.dtype() != value.fact.dtype {
            let (name, shape) = (&value.name, &value.fact.shape);
            return Err(GraphError::Malformed(format!(
                "input {name:?} is {shape}, found {:?}",
                feed.shape()
            )));
        }
        values[id.index()] = Some(feed.clone());
    }
    for id in graph.value_ids() {
        if let Origin::Constant(tensor) = &graph.value(id).origin {
            values[id.index()] = Some(tensor.clone());
        }
    }
    let needed = crate::rewrite::needed_nodes(graph, wanted);
    for (node, _) in graph.nodes().iter().zip(needed).filter(|(_, needed)| *needed) {
        let missing = |i: ValueId| GraphError::Malformed(format!("{:?} was not fed", graph.value(i).name));
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for input in &node.inputs {
            let value = input.map(|i| values[i.index()].as_ref().ok_or_else(|| missing(i)));
            inputs.push(value.transpose()?);
        }
        let shapes: Vec<Vec<usize>> = node.outputs.iter().map(|&o| graph.fact(o).shape.at(n)).collect();
        let results = node.op.eval(&inputs, &shapes).map_err(|e| at(node, e))?;
        for (&output, result) in node.outputs.iter().zip(results) {
            values[output.index()] = Some(result);
        }
    }
    let take = |&id: &ValueId| {
        let name = &graph.value(id).name;
        values[id.index()].clone().ok_or_else(|| GraphError::Malformed(format!("{name:?} was not fed")))
    };
    wanted.iter().map(take).collect()
}
