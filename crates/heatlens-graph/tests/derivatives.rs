//! Law 3: every operator's derivative agrees with a central difference in double precision, for one sample and for
//! three.

#![allow(clippy::unwrap_used, clippy::panic)] // tests may panic
use heatlens_graph::op::batch_normalization::BatchNormalization;
use heatlens_graph::op::binary::{Binary, BinaryFunction};
use heatlens_graph::op::cast::Cast;
use heatlens_graph::op::clip::Clip;
use heatlens_graph::op::concat::Concat;
use heatlens_graph::op::conv::Conv;
use heatlens_graph::op::conv_grad::{ConvInputGrad, ConvWeightGrad};
use heatlens_graph::op::expand::Expand;
use heatlens_graph::op::gather::{Gather, GatherGrad};
use heatlens_graph::op::gemm::Gemm;
use heatlens_graph::op::global_pool::{GlobalPool, GlobalPoolFunction};
use heatlens_graph::op::identity::Identity;
use heatlens_graph::op::layer_normalization::{LayerNormalization, LayerNormalizationGrad};
use heatlens_graph::op::matmul::MatMul;
use heatlens_graph::op::max_unpool::MaxUnpool;
use heatlens_graph::op::pad::{Pad, Unslice};
use heatlens_graph::op::pool::{AveragePool, MaxPool};
use heatlens_graph::op::pool_grad::{AveragePoolGrad, MaxPoolGrad, MaxPoolSelect};
use heatlens_graph::op::quantize::FakeQuantize;
use heatlens_graph::op::reduce::{Reduce, ReduceFunction};
use heatlens_graph::op::reshape::{Flatten, Reshape, Squeeze, Unsqueeze};
use heatlens_graph::op::slice::Slice;
use heatlens_graph::op::softmax::Softmax;
use heatlens_graph::op::transpose::Transpose;
use heatlens_graph::op::unary::{Scalar, Unary, UnaryFunction};
use heatlens_graph::op::variance::Variance;
use heatlens_graph::op::r#where::Where;
use heatlens_graph::op::window::Window;
use heatlens_graph::{
    Builder, DType, DefaultRules, Dim, Fact, Graph, Operator, Shape, Tensor, ValueId, differentiate,
    reference,
};

/// Appends an operator to its inputs.
type Apply = Box<dyn Fn(&mut Builder<'_>, &[ValueId]) -> ValueId>;

/// An operator on inputs of the given shapes. `positive` inputs are bounded away from zero; `fixed` inputs are not
/// differentiated.
struct Case {
    op: Apply,
    inputs: Vec<Shape>,
    positive: bool,
    fixed: Vec<usize>,
}

fn case(op: impl Operator + Clone, inputs: &[Shape]) -> Case {
    let apply = move |b: &mut Builder<'_>, x: &[ValueId]| b.apply(op.clone(), x).unwrap();
    Case { op: Box::new(apply), inputs: inputs.to_vec(), positive: false, fixed: Vec::new() }
}

impl Case {
    fn positive(mut self) -> Self {
        self.positive = true;
        self
    }

    fn without(mut self, fixed: &[usize]) -> Self {
        self.fixed = fixed.to_vec();
        self
    }

    /// Returns the maximum difference between the derivative and a central difference, relative to the larger of both.
    fn worst(&self, n: usize, seed: u64) -> f64 {
        let mut random = Random(seed);
        let mut graph = Graph::new("case");
        let x: Vec<_> = self
            .inputs
            .iter()
            .enumerate()
            .map(|(i, s)| graph.add_input(&format!("x{i}"), Fact::f32(s.clone())))
            .collect();
        let y = (self.op)(&mut Builder::new(&mut graph, "f"), &x);
        let y_shape = graph.fact(y).shape.clone();
        let seed = graph.add_input("seed", Fact::f32(y_shape.clone()));
        let wrt: Vec<_> = (0..x.len()).filter(|i| !self.fixed.contains(i)).map(|i| x[i]).collect();
        let grads = differentiate(&mut graph, "d", y, seed, &wrt, &DefaultRules).unwrap();
        for (&w, &g) in wrt.iter().zip(&grads) {
            assert_eq!(graph.fact(w), graph.fact(g), "a gradient has the shape of its value");
        }
        let mut feed = |shape: &Shape| {
            let shape = shape.at(n);
            let len = shape.iter().product();
            let value = |r: f64| if self.positive { 0.5 + r } else { 2.0 * r - 1.0 };
            Tensor::f64(&shape, (0..len).map(|_| value(random.next())).collect())
        };
        let mut feeds: Vec<_> = self.inputs.iter().map(&mut feed).collect();
        feeds.push(feed(&y_shape));
        let derived = reference::run(&graph, &feeds, n, &grads).unwrap();
        let mut worst: f64 = 0.0;
        for (w, g) in wrt.iter().zip(derived) {
            let slot = x.iter().position(|x| x == w).unwrap();
            for (i, g) in g.to_f64().into_iter().enumerate() {
                let d = central_difference(&graph, &feeds, n, y, slot, i);
                worst = worst.max((g - d).abs() / g.abs().max(d.abs()).max(1.0));
            }
        }
        worst
    }
}

/// ∂ Σ seed·y ÷ ∂ feeds[slot][i], where the seed is the last feed.
fn central_difference(graph: &Graph, feeds: &[Tensor], n: usize, y: ValueId, slot: usize, i: usize) -> f64 {
    let step = 1e-5;
    let at = |delta: f64| {
        let mut feeds = feeds.to_vec();
        let mut values = feeds[slot].to_f64();
        values[i] += delta;
        feeds[slot] = Tensor::f64(feeds[slot].shape(), values);
        let y = reference::run(graph, &feeds, n, &[y]).unwrap().remove(0).to_f64();
        y.iter().zip(feeds.last().unwrap().to_f64()).map(|(y, s)| y * s).sum::<f64>()
    };
    (at(step) - at(-step)) / (2.0 * step)
}

/// A counter-based generator (SplitMix64), so that failures are reproducible.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn batched(dims: &[usize]) -> Shape {
    Shape::batched(dims)
}

fn fixed(dims: &[usize]) -> Shape {
    Shape::fixed(dims)
}

fn check(name: &str, case: &Case) {
    for n in [1, 3] {
        for seed in [1, 2] {
            let worst = case.worst(n, seed);
            assert!(worst < 1e-7, "{name}: derivative differs by {worst:e} for {n} samples");
        }
    }
}

#[test]
fn unary_functions() {
    for function in UnaryFunction::ALL {
        let positive =
            matches!(function, UnaryFunction::Log | UnaryFunction::Sqrt | UnaryFunction::Reciprocal);
        let mut case = case(Unary(function), &[batched(&[2, 3])]);
        case.positive = positive;
        if !function.is_flat() {
            check(function.name(), &case);
        }
    }
    check("Clip", &case(Clip { min: -0.5, max: 0.4 }, &[batched(&[20])]));
    check("Identity", &case(Identity::Dropout, &[batched(&[2])]));
    check("Cast", &case(Cast { to: DType::F32 }, &[batched(&[2])]));
}

/// Functions with parameters other than ONNX's defaults, on both sides of their kinks.
#[test]
fn activations_with_parameters() {
    let (a, b) = (Scalar::new(0.7), Scalar::new(0.4));
    for function in [
        UnaryFunction::LeakyRelu(a),
        UnaryFunction::Elu(a),
        UnaryFunction::Celu(a),
        UnaryFunction::Selu { alpha: a, gamma: Scalar::new(1.3) },
        UnaryFunction::HardSigmoid { alpha: a, beta: b },
        UnaryFunction::ThresholdedRelu(b),
    ] {
        check(function.name(), &case(Unary(function), &[batched(&[20])]));
    }
    // x · 4 reaches both bounds of HardSwish, and the tails of the others.
    for function in
        [UnaryFunction::HardSwish, UnaryFunction::Mish, UnaryFunction::Gelu, UnaryFunction::GeluTanh]
    {
        let apply = move |b: &mut Builder<'_>, x: &[ValueId]| {
            let wide = b.scale(x[0], 4.0).unwrap();
            b.unary(function, wide).unwrap()
        };
        let case =
            Case { op: Box::new(apply), inputs: vec![batched(&[20])], positive: false, fixed: Vec::new() };
        check(function.name(), &case);
    }
}

/// The derivative of a flat function is 0, so no gradient passes through it.
#[test]
fn flat_functions_let_nothing_through() {
    for function in UnaryFunction::ALL.into_iter().filter(|f| f.is_flat() && *f != UnaryFunction::Not) {
        let mut graph = Graph::new("flat");
        let x = graph.add_input("x", Fact::f32(batched(&[2])));
        let y = Builder::new(&mut graph, "f").unary(function, x).unwrap();
        let one = Builder::new(&mut graph, "s").scalar(1.0);
        assert!(differentiate(&mut graph, "d", y, one, &[x], &DefaultRules).is_err(), "{function:?}");
    }
}

#[test]
fn binary_functions_with_broadcasting() {
    let pairs = [
        [batched(&[2, 3]), batched(&[2, 3])],
        [batched(&[2, 3]), fixed(&[3])],
        [fixed(&[2, 1]), batched(&[1, 3])],
        [fixed(&[]), batched(&[2])],
    ];
    for function in BinaryFunction::ALL.into_iter().filter(|f| is_smooth(*f)) {
        for pair in &pairs {
            check(function.name(), &case(Binary(function), pair).positive());
        }
    }
}

/// True if a function is defined for floating-point numbers and broadcasts both operands.
fn is_smooth(function: BinaryFunction) -> bool {
    let whole = matches!(function, BinaryFunction::Mod | BinaryFunction::PRelu);
    !function.is_comparison() && !function.is_logical() && !whole
}

#[test]
fn rests_and_slopes() {
    let pairs = [
        [batched(&[3, 4]), batched(&[3, 4])],
        [batched(&[3, 4]), fixed(&[3, 1])],
        [batched(&[3, 4]), fixed(&[])],
    ];
    for pair in &pairs {
        check("PRelu", &case(Binary(BinaryFunction::PRelu), pair));
    }
    // ±1 over 0.1 to 0.3: the integer quotient is not 0 there.
    let apply = |b: &mut Builder<'_>, x: &[ValueId]| {
        let small = b.scale(x[1], 0.2).unwrap();
        b.binary(BinaryFunction::Fmod, x[0], small).unwrap()
    };
    let inputs = vec![batched(&[3, 4]), fixed(&[4])];
    check("Fmod", &Case { op: Box::new(apply), inputs, positive: true, fixed: Vec::new() });
}

#[test]
fn choosing() {
    let apply = |b: &mut Builder<'_>, x: &[ValueId]| {
        let mask = b.is_positive(x[0]).unwrap();
        b.apply(Where, &[mask, x[1], x[2]]).unwrap()
    };
    let inputs = vec![batched(&[2, 3]), fixed(&[3]), batched(&[1, 3])];
    check("Where", &Case { op: Box::new(apply), inputs, positive: false, fixed: vec![0] });
}

#[test]
fn reductions() {
    use ReduceFunction::{Max, Mean, Min, Prod, Sum};
    for function in [Sum, Mean, Max, Min, Prod] {
        for (axes, keep_dims) in [(vec![2, 3], true), (vec![-1], false), (vec![1], true), (vec![1, 3], false)]
        {
            check("Reduce", &case(Reduce { function, axes, keep_dims }, &[batched(&[2, 3, 4])]));
        }
    }
    let over_batch = Reduce { function: ReduceFunction::Sum, axes: vec![0, 2], keep_dims: false };
    check("ReduceSum", &case(over_batch, &[batched(&[2, 3])]));
    for function in [GlobalPoolFunction::Average, GlobalPoolFunction::Max] {
        check("GlobalPool", &case(GlobalPool(function), &[batched(&[2, 3, 4])]));
    }
}

#[test]
fn matrix_products() {
    for (trans_a, trans_b) in [(false, false), (false, true), (true, false), (true, true)] {
        let gemm = Gemm { trans_a, trans_b, alpha: 0.5, beta: 2.0 };
        let a = if trans_a { [Dim::Fixed(3), Dim::Batch(1)] } else { [Dim::Batch(1), Dim::Fixed(3)] };
        let b = if trans_b { fixed(&[4, 3]) } else { fixed(&[3, 4]) };
        check("Gemm", &case(gemm, &[a.into(), b.clone(), fixed(&[4])]));
        check("Gemm", &case(gemm, &[a.into(), b]));
    }
    check("MatMul", &case(MatMul, &[batched(&[3]), fixed(&[3, 2])]));
    check("MatMul", &case(MatMul, &[batched(&[2, 3, 4]), batched(&[2, 4, 2])]));
    check("MatMul", &case(MatMul, &[batched(&[2, 3, 4]), fixed(&[4, 2])]));
    check("MatMul", &case(MatMul, &[fixed(&[5, 3]), batched(&[2, 3, 4])]));
}

#[test]
fn normalisation_and_softmax() {
    let c = || fixed(&[3]);
    let inputs = [batched(&[3, 2, 2]), c(), c(), c(), c()];
    check("BatchNormalization", &case(BatchNormalization { epsilon: 1e-3 }, &inputs).positive());
    check("Variance", &case(Variance, &[batched(&[3, 2, 2])]));
    check("Variance", &case(Variance, &[batched(&[2, 5])]));
    for log in [false, true] {
        check("Softmax", &case(Softmax { axis: -1, log }, &[batched(&[2, 4])]));
        check("Softmax", &case(Softmax { axis: 1, log }, &[batched(&[3, 2])]));
    }
}

#[test]
fn layer_normalisation_and_its_gradient() {
    for (axis, x, part) in [
        (-1, batched(&[3, 4]), fixed(&[4])),
        (2, batched(&[2, 3, 4]), fixed(&[3, 4])),
        (1, batched(&[6]), fixed(&[])),
        (-1, batched(&[2, 5]), batched(&[1, 5])),
        (1, [Dim::Fixed(3), Dim::Batch(2), Dim::Fixed(4)].into(), fixed(&[4])),
    ] {
        let axis = if x.0[0].is_batch() { axis } else { -1 };
        let op = LayerNormalization { axis, epsilon: 1e-3 };
        check("LayerNormalization", &case(op, &[x.clone(), part.clone(), part.clone()]));
        check("LayerNormalization", &case(op, &[x.clone(), part]));
        check("LayerNormalization", &case(op, std::slice::from_ref(&x)));
        check(
            "LayerNormalizationGrad",
            &case(LayerNormalizationGrad { normalization: op }, &[x.clone(), x.clone()]),
        );
    }
}

/// dy may itself depend on x, as in a second derivative.
#[test]
fn a_gradient_of_a_normalisation_has_both_its_inputs_derivatives() {
    let op = LayerNormalization { axis: -1, epsilon: 1e-3 };
    let apply = move |b: &mut Builder<'_>, x: &[ValueId]| {
        let dy = b.unary(UnaryFunction::Sin, x[0]).unwrap();
        b.apply(LayerNormalizationGrad { normalization: op }, &[x[0], dy]).unwrap()
    };
    let inputs = vec![batched(&[2, 5])];
    check("both", &Case { op: Box::new(apply), inputs, positive: false, fixed: Vec::new() });
}

fn gather(axis: usize, indices: &[usize], shape: &[usize]) -> Gather {
    Gather { axis, indices: indices.into(), shape: shape.to_vec() }
}

#[test]
fn gathering() {
    for (x, gather, y) in [
        (batched(&[4, 3]), gather(1, &[2, 0, 2], &[3]), batched(&[3, 3])),
        (batched(&[4, 3]), gather(2, &[1], &[]), batched(&[4])),
        (batched(&[4, 3]), gather(1, &[3, 1, 1, 1, 0, 2], &[2, 3]), batched(&[2, 3, 3])),
        (fixed(&[5, 2]), gather(0, &[4, 4, 1], &[3]), fixed(&[3, 2])),
        (
            [Dim::Fixed(3), Dim::Batch(2)].into(),
            gather(0, &[2, 2], &[2]),
            [Dim::Fixed(2), Dim::Batch(2)].into(),
        ),
    ] {
        check("Gather", &case(gather.clone(), std::slice::from_ref(&x)));
        let size = x.0[gather.axis].at(1);
        check("GatherGrad", &case(GatherGrad { gather: gather.clone(), size }, std::slice::from_ref(&y)));
        adjoint(&gather, &GatherGrad { gather: gather.clone(), size }, &x, &y);
    }
}

/// Checks ⟨Ax, y⟩ = ⟨x, Aᵀy⟩, and that the operator's standard form, if any, gives the same result.
fn adjoint(forward: &(impl Operator + Clone), backward: &(impl Operator + Clone), x: &Shape, y: &Shape) {
    for n in [1, 3] {
        let mut graph = Graph::new("adjoint");
        let inputs = [x, y].map(|s| graph.add_input("v", Fact::f32(s.clone())));
        let ax = Builder::new(&mut graph, "a").apply(forward.clone(), &inputs[..1]).unwrap();
        let ay = Builder::new(&mut graph, "t").apply(backward.clone(), &inputs[1..]).unwrap();
        let node = graph.node(graph.producer(ay).unwrap()).clone();
        let standard = backward.lower(&mut Builder::new(&mut graph, "l"), &node).unwrap().unwrap()[0];
        assert_eq!((graph.fact(ax).shape.clone(), graph.fact(ay).shape.clone()), (y.clone(), x.clone()));
        let mut random = Random(n as u64);
        let feeds = [x, y].map(|s| {
            let shape = s.at(n);
            Tensor::f64(&shape, (0..shape.iter().product()).map(|_| random.next() - 0.5).collect())
        });
        let results = reference::run(&graph, &feeds, n, &[ax, ay, standard]).unwrap();
        let dot =
            |a: &Tensor, b: &Tensor| -> f64 { a.to_f64().iter().zip(b.to_f64()).map(|(a, b)| a * b).sum() };
        let (left, right) = (dot(&results[0], &feeds[1]), dot(&feeds[0], &results[1]));
        assert!((left - right).abs() < 1e-12, "{left} and {right} for {n} samples");
        assert_eq!(results[1].to_f64(), results[2].to_f64());
    }
}

#[test]
fn the_batch_cannot_be_gathered_nor_normalised() {
    let mut graph = Graph::new("batch");
    let x = graph.add_input("x", Fact::f32(batched(&[3])));
    let mut b = Builder::new(&mut graph, "f");
    let refusal = b.apply(gather(0, &[0], &[]), &[x]).unwrap_err().to_string();
    assert!(refusal.contains("batch"), "{refusal}");
    assert!(b.apply(gather(1, &[3], &[]), &[x]).unwrap_err().to_string().contains("index 3"));
    assert!(b.apply(gather(1, &[0, 1], &[3]), &[x]).is_err());
    let refusal = b.apply(LayerNormalization { axis: 0, epsilon: 0.0 }, &[x]).unwrap_err().to_string();
    assert!(refusal.contains("batch"), "{refusal}");
}

/// A product with one or two zeros: the plain formula would divide by them.
#[test]
fn a_product_with_zeros_has_a_derivative() {
    let mut graph = Graph::new("product");
    let x = graph.add_input("x", Fact::f32(batched(&[3])));
    let y = Builder::new(&mut graph, "f").reduce(ReduceFunction::Prod, x, &[1], false).unwrap();
    let seed = Builder::new(&mut graph, "s").scalar(1.0);
    let dx = differentiate(&mut graph, "d", y, seed, &[x], &DefaultRules).unwrap()[0];
    let feed = Tensor::f32(&[3, 3], vec![2.0, 3.0, 4.0, 2.0, 0.0, 4.0, 0.0, 3.0, 0.0]);
    let results = reference::run(&graph, &[feed], 3, &[y, dx]).unwrap();
    assert_eq!(results[0].to_f64(), [24.0, 0.0, 0.0]);
    assert_eq!(results[1].to_f64(), [12.0, 8.0, 6.0, 0.0, 8.0, 0.0, 0.0, 0.0, 0.0]);
}

/// Quantisation: its steps have no derivative; by convention it is 1 ÷ scale where at most one step is clamped.
#[test]
fn quantisation_is_straight_through() {
    let op = FakeQuantize { axis: 1, low: -4.0, high: 3.0 };
    let mut graph = Graph::new("quantised");
    let x = graph.add_input("x", Fact::f32(batched(&[2, 3])));
    let mut b = Builder::new(&mut graph, "f");
    let (scale, zero) =
        (b.constant(Tensor::f32(&[2], vec![0.5, 2.0])), b.constant(Tensor::f32(&[2], vec![0.0, 1.0])));
    let y = b.apply(op, &[x, scale, zero]).unwrap();
    let one = b.scalar(1.0);
    let node = graph.node(graph.producer(y).unwrap()).clone();
    let standard = op.lower(&mut Builder::new(&mut graph, "l"), &node).unwrap().unwrap()[0];
    let dx = differentiate(&mut graph, "d", y, one, &[x], &DefaultRules).unwrap()[0];
    let feed = Tensor::f32(&[1, 2, 3], vec![0.75, 1.9, 2.4, 3.0, -40.0, f32::NAN]);
    let results = reference::run(&graph, &[feed], 1, &[y, dx, standard]).unwrap();
    // Ties are rounded to even: 1.5 → 2. 4 is one step above the largest value, 5 is two.
    assert_eq!(results[0].to_f64()[..5], [2.0, 3.0, 3.0, 3.0, -4.0]);
    assert!(results[0].to_f64()[5].is_nan(), "NaN stays NaN");
    assert_eq!(results[1].to_f64(), [2.0, 2.0, 0.0, 0.5, 0.0, 0.0]);
    assert_eq!(results[2].to_f64()[..5], results[0].to_f64()[..5]);
    let wrong = differentiate(&mut graph, "e", y, one, &[scale], &DefaultRules).unwrap_err();
    assert!(wrong.to_string().contains("no derivative"), "{wrong}");
}

#[test]
fn moving_elements() {
    let x = || [batched(&[2, 3, 4])];
    check("Reshape", &case(Reshape { shape: [Dim::Batch(6), Dim::Fixed(4)].into() }, &x()));
    check("Flatten", &case(Flatten { axis: 1 }, &x()));
    check("Flatten", &case(Flatten { axis: -1 }, &x()));
    check("Squeeze", &case(Squeeze { axes: vec![-1] }, &[batched(&[2, 1])]));
    check("Unsqueeze", &case(Unsqueeze { axes: vec![1, -1] }, &x()));
    check("Transpose", &case(Transpose { perm: vec![3, 0, 2, 1] }, &x()));
    check("Concat", &case(Concat { axis: -2 }, &[batched(&[2, 3, 4]), batched(&[2, 1, 4])]));
    let slice = Slice { axis: 2, start: 1, len: 2, step: 2 };
    check("Slice", &case(slice, &[batched(&[2, 5, 4])]));
    check("Unslice", &case(Unslice { slice, size: 5 }, &[batched(&[2, 2, 4])]));
    check("Pad", &case(Pad { begin: vec![0, 0, 1, 0], end: vec![0, 1, 2, 0], value: 3.0 }, &x()));
    check("Expand", &case(Expand { shape: batched(&[2, 3]) }, &[fixed(&[2, 1])]));
}

fn windows() -> Vec<(Window, [usize; 2])> {
    let uneven = Window { pads_begin: vec![0, 1], pads_end: vec![2, 0], ..Window::new(&[2, 3]) };
    vec![
        (Window::new(&[3, 3]), [5, 4]),
        (Window::new(&[3, 3]).strides(&[2, 2]).pads(&[1, 1]), [6, 5]),
        (Window { dilations: vec![2, 1], ..Window::new(&[2, 2]) }, [5, 4]),
        (uneven.strides(&[1, 2]), [4, 6]),
        (Window::new(&[1, 1]).strides(&[2, 2]), [4, 5]),
        (Window::new(&[2, 2]).strides(&[2, 3]), [4, 6]),
    ]
}

#[test]
fn convolution_and_its_gradients() {
    for (window, [h, w]) in windows() {
        for group in [1, 2] {
            let conv = Conv { window: window.clone(), group };
            let out = window.output_sizes(&[h, w], false).unwrap();
            let x = batched(&[4, h, w]);
            let y = batched(&[2, out[0], out[1]]);
            let weights = fixed(&[2, 4 / group, window.kernel[0], window.kernel[1]]);
            check("Conv", &case(conv.clone(), &[x.clone(), weights.clone(), fixed(&[2])]));
            let input_grad = ConvInputGrad { conv: conv.clone(), input: vec![h, w] };
            check("ConvInputGrad", &case(input_grad, &[y.clone(), weights]));
            check("ConvWeightGrad", &case(ConvWeightGrad { conv }, &[x, y]));
        }
    }
    let line = Conv { window: Window::new(&[3]).strides(&[2]).pads(&[1]), group: 1 };
    check("Conv over one axis", &case(line, &[batched(&[2, 7]), fixed(&[3, 2, 3])]));
}

#[test]
fn pooling_and_its_gradients() {
    for (window, [h, w]) in windows() {
        if window.pads_end.iter().zip(&window.kernel).any(|(p, k)| p >= k) {
            continue; // a window must not contain padding only
        }
        for ceil_mode in [false, true] {
            let out = window.output_sizes(&[h, w], ceil_mode).unwrap();
            let (x, y) = (batched(&[2, h, w]), batched(&[2, out[0], out[1]]));
            let pool = MaxPool { window: window.clone(), ceil_mode };
            check("MaxPool", &case(pool.clone(), std::slice::from_ref(&x)));
            check(
                "MaxPoolGrad",
                &case(MaxPoolGrad { pool: pool.clone() }, &[x.clone(), y.clone()]).without(&[0]),
            );
            if !window.overlaps() {
                let unpool = MaxUnpool { pool: pool.clone() };
                check("MaxUnpool", &case(unpool, &[x.clone(), y.clone()]).without(&[0]));
            }
            check("MaxPoolSelect", &case(MaxPoolSelect { pool }, &[x.clone(), x.clone()]).without(&[0]));
            for count_include_pad in [false, true] {
                let pool = AveragePool { window: window.clone(), ceil_mode, count_include_pad };
                check("AveragePool", &case(pool.clone(), std::slice::from_ref(&x)));
                let grad = AveragePoolGrad { pool, input: vec![h, w] };
                check("AveragePoolGrad", &case(grad, std::slice::from_ref(&y)));
            }
        }
    }
}

#[test]
fn fan_out_adds_up() {
    let apply = |b: &mut Builder<'_>, x: &[ValueId]| {
        let square = b.mul(x[0], x[0]).unwrap();
        let left = b.relu(square).unwrap();
        let right = b.unary(UnaryFunction::Exp, square).unwrap();
        let both = b.mul(left, right).unwrap();
        b.add(both, x[0]).unwrap()
    };
    check(
        "fan-out",
        &Case { op: Box::new(apply), inputs: vec![batched(&[3])], positive: false, fixed: vec![] },
    );
}

/// Conventions that a central difference cannot test.
#[test]
fn ties_and_kinks_follow_pytorch() {
    let mut graph = Graph::new("ties");
    let x = graph.add_input("x", Fact::f32(Shape::batched(&[1, 2, 2])));
    let mut b = Builder::new(&mut graph, "f");
    let relu = b.relu(x).unwrap();
    let pool = MaxPool { window: Window::new(&[2, 2]).strides(&[2, 2]), ceil_mode: false };
    let pooled = b.apply(pool, &[x]).unwrap();
    let one = b.scalar(1.0);
    let slope = differentiate(&mut graph, "d", relu, one, &[x], &DefaultRules).unwrap()[0];
    let winner = differentiate(&mut graph, "e", pooled, one, &[x], &DefaultRules).unwrap()[0];
    let feed = Tensor::f32(&[1, 1, 2, 2], vec![0.0, 4.0, 4.0, -1.0]);
    let results = reference::run(&graph, &[feed], 1, &[slope, winner]).unwrap();
    assert_eq!(results[0].to_f64(), [0.0, 1.0, 1.0, 0.0], "the derivative of ReLU at 0 is 0");
    assert_eq!(results[1].to_f64(), [0.0, 1.0, 0.0, 0.0], "the first of equal maxima has the gradient");
}
