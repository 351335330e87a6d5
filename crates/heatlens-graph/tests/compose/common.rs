//! Comparison of a formula and its gradient with plain code.

use heatlens_graph::{Builder, DefaultRules, Fact, Graph, Shape, Tensor, ValueId, differentiate, reference};

/// An array in double precision.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Array {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f64>,
}

impl Array {
    /// Returns an array with the element `value(index)` at each index.
    pub(crate) fn from_fn(shape: &[usize], mut value: impl FnMut(&[usize]) -> f64) -> Self {
        let mut values = Vec::new();
        each(shape, |index| values.push(value(index)));
        Self { shape: shape.to_vec(), values }
    }

    pub(crate) fn at(&self, index: &[usize]) -> f64 {
        let place = index.iter().zip(&self.shape).fold(0, |place, (i, size)| {
            assert!(i < size);
            place * size + i
        });
        self.values[place]
    }
}

/// Calls `visit` with every index of an array of `shape`.
pub(crate) fn each(shape: &[usize], visit: impl FnMut(&[usize])) {
    heatlens_graph::op::broadcast::for_each_index(shape, visit);
}

/// A counter-based generator (SplitMix64), so that failures are reproducible: numbers from −1 to 1, never near 0.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let unit = ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64;
        let size = 0.05 + 0.95 * (2.0 * unit).fract();
        if unit < 0.5 { size } else { -size }
    }

    fn array(&mut self, shape: &[usize]) -> Array {
        Array::from_fn(shape, |_| self.next())
    }
}

fn feeds(arrays: &[Array]) -> Vec<Tensor> {
    arrays.iter().map(|a| Tensor::f64(&a.shape, a.values.clone())).collect()
}

/// Checks the formula `build` on inputs of the given shapes: its value against `naive`, and its gradient with respect
/// to all inputs against a central difference.
pub(crate) fn check(
    what: &str,
    inputs: &[Shape],
    build: impl Fn(&mut Builder<'_>, &[ValueId]) -> ValueId,
    naive: impl Fn(&[Array]) -> Array,
) {
    let mut graph = Graph::new("formula");
    let x: Vec<ValueId> = inputs
        .iter()
        .enumerate()
        .map(|(i, s)| graph.add_input(&format!("x{i}"), Fact::f32(s.clone())))
        .collect();
    let y = build(&mut Builder::new(&mut graph, "f"), &x);
    let seed = graph.add_input("seed", graph.fact(y).clone());
    let grads = differentiate(&mut graph, "d", y, seed, &x, &DefaultRules).unwrap();
    for n in [1, 3] {
        let mut random = Random(7 + n as u64);
        let mut arrays: Vec<Array> = inputs.iter().map(|s| random.array(&s.at(n))).collect();
        let expected = naive(&arrays);
        arrays.push(random.array(&graph.fact(y).shape.at(n)));
        let mut wanted = vec![y];
        wanted.extend(&grads);
        let found = reference::run(&graph, &feeds(&arrays), n, &wanted).unwrap();
        assert_eq!(found[0].shape(), expected.shape, "{what}: shape");
        compare(&format!("{what}: value for {n} samples"), &found[0].to_f64(), &expected.values, 1e-12);
        for (i, grad) in found[1..].iter().enumerate() {
            let slope = central_difference(&graph, y, &arrays, n, i);
            compare(&format!("{what}: gradient {i} for {n} samples"), &grad.to_f64(), &slope, 1e-6);
        }
    }
}

/// Returns the gradient of Σ seed · y with respect to the input at `slot`; the seed is the last array.
fn central_difference(graph: &Graph, y: ValueId, arrays: &[Array], n: usize, slot: usize) -> Vec<f64> {
    let step = 1e-5;
    let seed = &arrays.last().unwrap().values;
    let at = |element: usize, delta: f64| {
        let mut moved = arrays.to_vec();
        moved[slot].values[element] += delta;
        let y = reference::run(graph, &feeds(&moved), n, &[y]).unwrap().remove(0).to_f64();
        y.iter().zip(seed).map(|(y, s)| y * s).sum::<f64>()
    };
    (0..arrays[slot].values.len()).map(|i| (at(i, step) - at(i, -step)) / (2.0 * step)).collect()
}

pub(crate) fn compare(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1.0f64, |m, v| m.max(v.abs()));
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(
            (found - expected).abs() <= tolerance * largest,
            "{what}: element {i} is {found}, expected {expected}"
        );
    }
}

/// Returns an array of (i·`factor` mod `modulus`) ÷ `divisor` − `shift` for its elements i.
pub(crate) fn dyadic(shape: &[usize], factor: usize, modulus: usize, divisor: f64, shift: f64) -> Array {
    let mut i = 0;
    Array::from_fn(shape, |_| {
        i += 1;
        ((i - 1) * factor % modulus) as f64 / divisor - shift
    })
}

/// Returns the value of the formula, and the gradient of Σ seed · value with respect to each input.
pub(crate) fn with_gradients(
    inputs: &[&Array],
    seed: &Array,
    build: impl Fn(&mut Builder<'_>, &[ValueId]) -> ValueId,
) -> Vec<Vec<f64>> {
    let mut graph = Graph::new("formula");
    let x: Vec<ValueId> =
        inputs.iter().map(|array| graph.add_input("x", Fact::f32(Shape::fixed(&array.shape)))).collect();
    let y = build(&mut Builder::new(&mut graph, "f"), &x);
    let weights = graph.add_input("seed", graph.fact(y).clone());
    let mut wanted = vec![y];
    wanted.extend(differentiate(&mut graph, "d", y, weights, &x, &DefaultRules).unwrap());
    let arrays: Vec<Array> = inputs.iter().map(|&array| array.clone()).chain([seed.clone()]).collect();
    let found = reference::run(&graph, &feeds(&arrays), 1, &wanted).unwrap();
    found.iter().map(Tensor::to_f64).collect()
}

/// Returns the error of the formula, which must fail.
pub(crate) fn refusal(
    inputs: &[Shape],
    build: impl Fn(&mut Builder<'_>, &[ValueId]) -> Result<ValueId, heatlens_graph::GraphError>,
) -> String {
    let mut graph = Graph::new("formula");
    let x: Vec<ValueId> = inputs.iter().map(|s| graph.add_input("x", Fact::f32(s.clone()))).collect();
    build(&mut Builder::new(&mut graph, "f"), &x).unwrap_err().to_string()
}
