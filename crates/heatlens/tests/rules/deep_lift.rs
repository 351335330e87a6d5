//! Compares DeepLIFT with the paper's multipliers on plain lists.

use super::tiny::{IMAGE, Numbers, Step, Tiny, winner};
use super::{CLASS, check, explain, images, wide};

const BASELINES: [&str; 3] = ["zero", "mean", "blur"];

fn reference(name: &str, image: &[f64]) -> Vec<f64> {
    let [c, h, w] = IMAGE;
    let plane = |channel: usize| &image[channel * h * w..(channel + 1) * h * w];
    match name {
        "zero" => vec![0.0; image.len()],
        "mean" => {
            let mean = |channel| plane(channel).iter().sum::<f64>() / (h * w) as f64;
            (0..c).flat_map(|channel| vec![mean(channel); h * w]).collect()
        }
        _ => {
            // A Gaussian window over both axes at once, truncated at the edges.
            let bell = |a: usize, b: usize, n: usize| {
                let d = (a as f64 - b as f64) / (n as f64 / 10.0);
                (-0.5 * d * d).exp()
            };
            let mut blurred = Vec::new();
            for channel in 0..c {
                for p in 0..h * w {
                    let (mut sum, mut all) = (0.0, 0.0);
                    for q in 0..h * w {
                        let weight = bell(p / w, q / w, h) * bell(p % w, q % w, w);
                        sum += weight * plane(channel)[q];
                        all += weight;
                    }
                    blurred.push(sum / all);
                }
            }
            blurred
        }
    }
}

fn oracle(net: &Tiny, image: &[f64], reference: &[f64]) -> Vec<f64> {
    let (values, there) = (net.values(image), net.values(reference));
    let difference = |v: usize, i: usize| values[v][i] - there[v][i];
    let mut m: Vec<Vec<f64>> = values.iter().map(|v| vec![0.0; v.len()]).collect();
    m[values.len() - 1][CLASS] = 1.0;
    for (number, step) in net.steps.iter().enumerate().rev() {
        let y = number + 1;
        let arrived = m[y].clone();
        match step {
            Step::Sum { from, products, .. } => {
                products.iter().for_each(|&(i, o, w)| m[*from][i] += w * arrived[o]);
            }
            Step::Add { from } => {
                for &side in from {
                    m[side].iter_mut().zip(&arrived).for_each(|(slot, v)| *slot += v);
                }
            }
            Step::Relu { from } => {
                for (i, arrived) in arrived.iter().enumerate() {
                    let dx = difference(*from, i);
                    let slope = if dx.abs() > 1e-9 {
                        difference(y, i) / dx
                    } else {
                        f64::from(u8::from(values[*from][i] > 0.0))
                    };
                    m[*from][i] += arrived * slope;
                }
            }
            Step::Max { from, windows } => {
                let mut owed = vec![0.0; values[*from].len()];
                for (o, window) in windows.iter().enumerate() {
                    let best = values[y][o].max(there[y][o]);
                    owed[winner(&values[*from], window)] += arrived[o] * (best - there[y][o]);
                    owed[winner(&there[*from], window)] += arrived[o] * (values[y][o] - best);
                }
                for (i, owed) in owed.into_iter().enumerate() {
                    if difference(*from, i) != 0.0 {
                        m[*from][i] += owed / difference(*from, i);
                    }
                }
            }
        }
    }
    image.iter().zip(reference).zip(&m[0]).map(|((x, x0), m)| (x - x0) * m).collect()
}

#[test]
fn deep_lift_takes_differences_in_place_of_derivatives() {
    for baseline in &BASELINES[..2] {
        check("deep_lift", &[&format!("baseline={baseline}")], &|numbers, image| {
            oracle(&numbers.steps(false), image, &reference(baseline, image))
        });
    }
}

/// A constant image is its own blur up to rounding, so blur is checked on the others.
#[test]
fn deep_lift_blurs_over_a_tenth_of_the_sides() {
    let numbers = Numbers::new(2);
    let mut images = images(3);
    images.pop();
    let found = explain(&numbers.model(), "deep_lift", &["baseline=blur"], &images);
    for (image, found) in images.iter().zip(found) {
        let image = wide(image);
        let expected = oracle(&numbers.steps(false), &image, &reference("blur", &image));
        let expected: Vec<f32> = expected.iter().map(|&v| v as f32).collect();
        super::assert_close("blur", &found.attributions[0].values, &expected, super::Tol::FRAMEWORK);
    }
}

/// Σ = f(x) − f(x₀).
#[test]
fn deep_lift_is_complete() {
    for seed in 1..=5 {
        let numbers = Numbers::new(seed);
        let (model, images) = (numbers.model(), images(3));
        for baseline in BASELINES {
            let found = explain(&model, "deep_lift", &[&format!("baseline={baseline}")], &images);
            for (image, found) in images.iter().zip(found) {
                let image = wide(image);
                let net = numbers.steps(false);
                let score = |image: &[f64]| net.values(image)[net.steps.len()][CLASS];
                let expected = score(&image) - score(&reference(baseline, &image));
                let sum: f64 = found.attributions[0].values.iter().map(|&v| f64::from(v)).sum();
                let off = (sum - expected).abs();
                assert!(off <= 1e-3 * expected.abs().max(1e-3), "{baseline}: {sum} against {expected}");
            }
        }
    }
}
