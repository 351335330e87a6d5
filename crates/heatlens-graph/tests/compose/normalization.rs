use heatlens_graph::Shape;
use heatlens_graph::compose::normalization::{self as formula, LrnOptions};

use crate::common::{Array, check, refusal};

const EPSILON: f32 = 1e-2;

/// Returns mean and variance of the elements of `x` whose index `belongs` to the same set as `here`.
fn moments(x: &Array, here: &[usize], belongs: impl Fn(&[usize], &[usize]) -> bool) -> (f64, f64) {
    let mut members = Vec::new();
    crate::common::each(&x.shape, |i| {
        if belongs(i, here) {
            members.push(x.at(i));
        }
    });
    let mean = members.iter().sum::<f64>() / members.len() as f64;
    (mean, members.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / members.len() as f64)
}

/// Standardises within sets, then scales and shifts by the numbers at `place`.
fn standardised(
    x: &[Array],
    belongs: impl Fn(&[usize], &[usize]) -> bool,
    place: impl Fn(&[usize]) -> usize,
) -> Array {
    Array::from_fn(&x[0].shape, |i| {
        let (mean, variance) = moments(&x[0], i, &belongs);
        let y = (x[0].at(i) - mean) / (variance + f64::from(EPSILON)).sqrt();
        y * x[1].values[place(i)] + x[2].values[place(i)]
    })
}

fn inputs(parameters: usize) -> [Shape; 3] {
    [Shape::batched(&[6, 2, 3]), Shape::fixed(&[parameters]), Shape::fixed(&[parameters])]
}

#[test]
fn instance() {
    check(
        "instance",
        &inputs(6),
        |b, x| formula::instance(b, x[0], x[1], x[2], EPSILON).unwrap(),
        |x| standardised(x, |i, j| i[..2] == j[..2], |i| i[1]),
    );
}

#[test]
fn group() {
    let together = |i: &[usize], j: &[usize]| i[0] == j[0] && i[1] / 2 == j[1] / 2;
    check(
        "group",
        &inputs(6),
        |b, x| formula::group(b, x[0], 3, x[1], x[2], EPSILON).unwrap(),
        |x| standardised(x, together, |i| i[1]),
    );
    check(
        "group with a scale for each group",
        &inputs(3),
        |b, x| formula::group(b, x[0], 3, x[1], x[2], EPSILON).unwrap(),
        |x| standardised(x, together, |i| i[1] / 2),
    );
    let error = refusal(&inputs(6), |b, x| formula::group(b, x[0], 4, x[1], x[2], EPSILON));
    assert!(error.contains("4 groups of the channels of N×6×2×3"), "{error}");
}

#[test]
fn rms() {
    check(
        "rms",
        &[Shape::batched(&[4, 2, 3]), Shape::fixed(&[2, 3])],
        |b, x| formula::rms(b, x[0], &[2, 3], x[1], EPSILON).unwrap(),
        |x| {
            Array::from_fn(&x[0].shape, |i| {
                let (mean, variance) = moments(&x[0], i, |i, j| i[..2] == j[..2]);
                let size = (variance + mean * mean + f64::from(EPSILON)).sqrt();
                x[0].at(i) / size * x[1].at(&i[2..])
            })
        },
    );
}

#[test]
fn local_response() {
    for size in [1, 2, 3, 4] {
        let options = LrnOptions { size, alpha: 0.5, beta: 0.75, bias: 2.0 };
        check(
            "lrn",
            &[Shape::batched(&[5, 2, 2])],
            |b, x| formula::lrn(b, x[0], options).unwrap(),
            |x| {
                Array::from_fn(&x[0].shape, |i| {
                    let first = i[1].saturating_sub((size - 1) / 2);
                    let last = (i[1] + size / 2).min(4); // ⌈(size − 1) ÷ 2⌉ = ⌊size ÷ 2⌋
                    let sum: f64 = (first..=last).map(|c| x[0].at(&[i[0], c, i[2], i[3]]).powi(2)).sum();
                    x[0].at(i) / (2.0 + 0.5 / size as f64 * sum).powf(0.75)
                })
            },
        );
    }
    let options = LrnOptions { size: 0, alpha: 0.5, beta: 0.75, bias: 2.0 };
    assert!(
        refusal(&[Shape::batched(&[5, 2])], |b, x| formula::lrn(b, x[0], options)).contains("0 channels")
    );
}

#[test]
fn lp() {
    for p in [1, 2] {
        let naive = |x: &[Array]| {
            Array::from_fn(&x[0].shape, |i| {
                let sum: f64 = (0..3).map(|k| x[0].at(&[i[0], i[1], k]).abs().powi(p)).sum();
                x[0].at(i) / sum.powf(1.0 / f64::from(p))
            })
        };
        let build = |b: &mut heatlens_graph::Builder<'_>, x: &[heatlens_graph::ValueId]| {
            formula::lp(b, x[0], 2, p.into()).unwrap()
        };
        check("lp", &[Shape::batched(&[2, 3])], build, naive);
    }
    assert!(refusal(&[Shape::batched(&[3])], |b, x| formula::lp(b, x[0], 1, 3)).contains("found 3"));
}

/// A row of zeros has value 0 and gradient 0.
#[test]
fn lp_of_zeros() {
    use heatlens_graph::{Builder, DefaultRules, Fact, Graph, Tensor, differentiate, reference};
    for p in [1, 2] {
        let mut graph = Graph::new("zeros");
        let x = graph.add_input("x", Fact::f32(Shape::batched(&[2])));
        let y = formula::lp(&mut Builder::new(&mut graph, "f"), x, 1, p).unwrap();
        let one = Builder::new(&mut graph, "s").scalar(1.0);
        let grad = differentiate(&mut graph, "d", y, one, &[x], &DefaultRules).unwrap()[0];
        let found = reference::run(&graph, &[Tensor::f32(&[1, 2], vec![0.0; 2])], 1, &[y, grad]).unwrap();
        assert_eq!(found[0].to_f64(), [0.0; 2]);
        assert!(found[1].to_f64().iter().all(|g| g.is_finite()), "{:?}", found[1]);
    }
}

#[test]
fn mean_variance() {
    check(
        "mean_variance",
        &[Shape::batched(&[3, 2, 4])],
        |b, x| formula::mean_variance(b, x[0], &[2, 3]).unwrap(),
        |x| {
            Array::from_fn(&x[0].shape, |i| {
                let (mean, variance) = moments(&x[0], i, |i, j| i[..2] == j[..2]);
                (x[0].at(i) - mean) / (variance.sqrt() + f64::from(1e-9f32))
            })
        },
    );
}
