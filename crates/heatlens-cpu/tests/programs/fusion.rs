//! Functions that are computed together: values with other readers are kept, and results are the same.

use heatlens_cpu::Program;
use heatlens_graph::op::conv::Conv;
use heatlens_graph::op::unary::UnaryFunction;
use heatlens_graph::op::window::Window;
use heatlens_graph::rewrite::simplify;
use heatlens_graph::{Builder, Fact, Graph, ValueId};

use crate::check::{batched, check, fixed, numbers};

/// A ReLU is fused into the convolution if it is its only reader; values with other readers are kept.
#[test]
fn a_fused_rectifier_hides_nothing() {
    for (what, shown) in [("fused", 1), ("shown", 2), ("read twice", 3)] {
        let mut graph = Graph::new(what);
        let x = graph.add_input("x", Fact::f32(batched(&[2, 6, 5])));
        let w = graph.add_input("w", Fact::f32(fixed(&[3, 2, 3, 3])));
        let mut b = Builder::new(&mut graph, "f");
        let conv = b.apply(Conv { window: Window::new(&[3, 3]), group: 1 }, &[x, w]).unwrap();
        let relu = b.relu(conv).unwrap();
        let other = b.neg(conv).unwrap();
        graph.set_outputs(&[relu, conv, other][..shown]);
        check(what, &simplify(&graph, graph.outputs()).unwrap().graph, false);
    }
}

/// Fused elementwise functions: values with other readers are kept, whatever the shapes.
#[test]
fn a_chain_hides_nothing() {
    type Made = fn(&mut Builder<'_>, [ValueId; 3]) -> Vec<ValueId>;
    let cases: [(&str, usize, Made); 11] = [
        ("GELU of a sum", 1, |b, [x, channel, row]| {
            let sum = b.add(x, channel).unwrap();
            let gelu = gelu_written_out(b, sum);
            vec![b.mul(gelu, row).unwrap()]
        }),
        ("GELU of a value that is shown", 2, |b, [x, channel, _]| {
            let sum = b.add(x, channel).unwrap();
            vec![gelu_written_out(b, sum), sum]
        }),
        ("SiLU of a sum", 1, |b, [x, channel, _]| {
            let sum = b.add(x, channel).unwrap();
            let bent = b.unary(UnaryFunction::Sigmoid, sum).unwrap();
            vec![b.mul(sum, bent).unwrap()]
        }),
        ("SiLU of another value", 1, |b, [x, channel, _]| {
            let sum = b.add(x, channel).unwrap();
            let bent = b.unary(UnaryFunction::Sigmoid, sum).unwrap();
            vec![b.mul(x, bent).unwrap()]
        }),
        ("GELU written out", 1, |b, [x, ..]| vec![gelu_written_out(b, x)]),
        ("repeated operands", 1, |b, [x, channel, row]| {
            let shifted = b.add(x, channel).unwrap();
            let scaled = b.mul(row, shifted).unwrap();
            vec![b.sub(channel, scaled).unwrap()]
        }),
        ("a result of a smaller shape", 2, |b, [x, channel, row]| {
            let bent = b.unary(UnaryFunction::Tanh, channel).unwrap();
            let sum = b.add(x, bent).unwrap();
            vec![b.mul(sum, row).unwrap()]
        }),
        ("shown on the way", 2, |b, [x, channel, _]| {
            let shifted = b.add(x, channel).unwrap();
            vec![b.unary(UnaryFunction::Sigmoid, shifted).unwrap(), shifted]
        }),
        ("read twice", 2, |b, [x, ..]| {
            let bent = b.unary(UnaryFunction::Exp, x).unwrap();
            vec![b.mul(bent, bent).unwrap()]
        }),
        ("a tree", 1, |b, [x, channel, row]| {
            let parts = [channel, row, x].map(|other| b.add(x, other).unwrap());
            let bent = parts.map(|part| b.unary(UnaryFunction::Sigmoid, part).unwrap());
            let product = b.mul(bent[0], bent[1]).unwrap();
            let mask = b.is_positive(product).unwrap();
            vec![b.keep_where(mask, bent[2]).unwrap()]
        }),
        ("longer than a chain may be", 3, |b, [x, ..]| {
            let mut y = x;
            for _ in 0..20 {
                y = b.scale(y, 0.9).unwrap();
                y = b.unary(UnaryFunction::Tanh, y).unwrap();
            }
            vec![y]
        }),
    ];
    for (what, steps, made) in cases {
        let mut graph = Graph::new(what);
        // Several pieces and tasks, the last ones partial.
        let x = graph.add_input("x", Fact::f32(batched(&[3, 70, 83])));
        let channel = graph.add_input("channel", Fact::f32(fixed(&[3, 1, 1])));
        let row = graph.add_input("row", Fact::f32(fixed(&[83])));
        let outputs = made(&mut Builder::new(&mut graph, "f"), [x, channel, row]);
        graph.set_outputs(&outputs);
        let simple = simplify(&graph, &outputs).unwrap().graph;
        check(what, &simple, false);
        assert_eq!(steps_of(&simple), steps, "{what}");
    }
}

fn gelu_written_out(b: &mut Builder<'_>, x: ValueId) -> ValueId {
    let scaled = b.scale(x, std::f32::consts::FRAC_1_SQRT_2).unwrap();
    let erf = b.unary(UnaryFunction::Erf, scaled).unwrap();
    let one = b.scalar(1.0);
    let sum = b.add(erf, one).unwrap();
    let product = b.mul(x, sum).unwrap();
    b.scale(product, 0.5).unwrap()
}

/// A function joins a chain behind a sum over the samples only if it reads no more than it returns: what it reads may be
/// kept for every sample.
#[test]
fn a_chain_does_not_wait_for_the_batch() {
    for (reads_two, steps) in [(false, 2), (true, 3)] {
        let mut graph = Graph::new("centred");
        let [x, other] = ["x", "other"].map(|name| graph.add_input(name, Fact::f32(batched(&[5, 4]))));
        let mut b = Builder::new(&mut graph, "f");
        let bent = if reads_two { b.mul(x, other) } else { b.unary(UnaryFunction::Tanh, other) }.unwrap();
        let total = b.sum(x, &[0], true).unwrap();
        let centred = b.sub(bent, total).unwrap();
        graph.set_outputs(&[centred]);
        check("centred", &graph, false);
        assert_eq!(steps_of(&graph), steps, "the function by itself, the sum, the difference");
    }
}

/// A function of one operand reads the single element that was expanded.
#[test]
fn functions_of_expanded_elements_are_repeated() {
    for function in [UnaryFunction::Sigmoid, UnaryFunction::Abs, UnaryFunction::Gelu] {
        let mut graph = Graph::new("expanded");
        let [x, y] = [[1, 1], [5, 4]]
            .map(|shape| graph.add_input(&format!("x{}", shape[0]), Fact::f32(batched(&shape))));
        let mut b = Builder::new(&mut graph, "f");
        let wide = b.expand(x, batched(&[5, 4])).unwrap();
        let bent = b.unary(function, wide).unwrap();
        let sum = b.add(bent, y).unwrap();
        graph.set_outputs(&[bent, sum]);
        check("expanded", &graph, false);
    }
}

fn steps_of(graph: &Graph) -> usize {
    let feeds: Vec<Vec<f32>> =
        graph.inputs().iter().map(|&i| numbers(graph.fact(i).shape.at(1).iter().product(), 1)).collect();
    let feeds: Vec<&[f32]> = feeds.iter().map(Vec::as_slice).collect();
    Program::compile(graph).unwrap().profile(&feeds, 1).unwrap().len()
}
