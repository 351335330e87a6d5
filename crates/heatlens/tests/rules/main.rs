//! Compares the methods with propagation rules with loops written from their papers over plain lists of products.
//! Nothing is shared with the code under test.

#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub)] // tests may panic

mod captum;
#[path = "../common/mod.rs"]
mod common;
mod deep_lift;
mod exports;
mod operators;
mod tiny;

use common::{Tol, assert_close};
use heatlens::explain::{ExplainOptions, Explainer, ImageAttributions, Target};
use heatlens::method::{MethodSettings, find};
use heatlens::model::Model;
use tiny::{IMAGE, Kind, Numbers, Step, Tiny, noise, winner};

/// The explained class.
const CLASS: usize = 2;

fn images(n: usize) -> Vec<Vec<f32>> {
    let len = IMAGE.iter().product();
    let mut images: Vec<Vec<f32>> = (0..n as u64).map(|i| noise(77 + i, len)).collect();
    images.push(vec![0.5; len]); // constant
    images
}

fn explain(model: &Model, id: &str, set: &[&str], images: &[Vec<f32>]) -> Vec<ImageAttributions> {
    let mut settings = MethodSettings::default();
    for assignment in set {
        settings.set(assignment).unwrap();
    }
    // The last value with rows and columns, however few.
    let last = model.layers().into_iter().rfind(|layer| layer.op == "AveragePool");
    let options = ExplainOptions {
        target: Target::Class(CLASS),
        layers: last.into_iter().collect(),
        settings,
        ..ExplainOptions::new(&[find(id).unwrap()])
    };
    Explainer::new(model, &options).unwrap().explain(&images.concat(), images.len()).unwrap()
}

/// Contributions of a step to its inputs.
type Share<'a> = dyn Fn(&Step, &[Vec<f64>], usize, &[f64]) -> Vec<(usize, Vec<f64>)> + 'a;
/// Creates a rule.
type Make<'a> = &'a dyn Fn() -> RuleBox;

/// Propagates back from the score: `share(step, x, y, arrived)` returns the contributions to each input, for sums
/// and rectifiers; maxima pass everything to the winner.
fn walk(net: &Tiny, image: &[f64], start: impl Fn(f64) -> f64, share: &Share<'_>) -> Vec<Vec<f64>> {
    let values = net.values(image);
    let mut arrived: Vec<Vec<f64>> = values.iter().map(|v| vec![0.0; v.len()]).collect();
    let last = values.len() - 1;
    arrived[last][CLASS] = start(values[last][CLASS]);
    for (number, step) in net.steps.iter().enumerate().rev() {
        let back = match step {
            Step::Max { from, windows } => {
                let mut to = vec![0.0; values[*from].len()];
                for (window, r) in windows.iter().zip(&arrived[number + 1]) {
                    to[winner(&values[*from], window)] += r;
                }
                vec![(*from, to)]
            }
            _ => share(step, &values, number + 1, &arrived[number + 1]),
        };
        for (to, amounts) in back {
            arrived[to].iter_mut().zip(amounts).for_each(|(slot, v)| *slot += v);
        }
    }
    arrived
}

fn wide(image: &[f32]) -> Vec<f64> {
    image.iter().map(|&v| f64::from(v)).collect()
}

fn check(id: &str, set: &[&str], oracle: &dyn Fn(&Numbers, &[f64]) -> Vec<f64>) {
    for seed in 1..=3 {
        let numbers = Numbers::new(seed);
        let images = images(3);
        let found = explain(&numbers.model(), id, set, &images);
        let mut compared = 0;
        for (i, (image, found)) in images.iter().zip(found).enumerate() {
            let expected: Vec<f32> = oracle(&numbers, &wide(image)).iter().map(|&v| v as f32).collect();
            compared += usize::from(expected.iter().any(|v| v.abs() > 1e-6));
            let what = format!("{id} {set:?}, seed {seed}, image {i}");
            assert_close(&what, &found.attributions[0].values, &expected, Tol::FRAMEWORK);
        }
        assert!(compared >= 3, "{id}: seed {seed}: nothing to compare");
    }
}

/// Returns Σ over a step's products of `term(x, w)` for each output, with the biases mapped by `bias`.
fn sums(x: &[f64], step: &Step, term: &dyn Fn(f64, f64) -> f64, bias: &dyn Fn(f64) -> f64) -> Vec<f64> {
    let Step::Sum { products, bias: biases, .. } = step else { panic!("no sum") };
    let mut z: Vec<f64> = biases.iter().map(|&b| bias(b)).collect();
    products.iter().for_each(|&(i, o, w)| z[o] += term(x[i], w));
    z
}

fn gradient_with(rectifier: fn(f64, f64) -> f64) -> impl Fn(&Numbers, &[f64]) -> Vec<f64> {
    move |numbers, image| {
        let back = |step: &Step, values: &[Vec<f64>], _: usize, g: &[f64]| match step {
            Step::Sum { from, products, .. } => {
                let mut to = vec![0.0; values[*from].len()];
                products.iter().for_each(|&(i, o, w)| to[i] += w * g[o]);
                vec![(*from, to)]
            }
            Step::Relu { from } => {
                vec![(*from, values[*from].iter().zip(g).map(|(&x, &g)| rectifier(x, g)).collect())]
            }
            Step::Add { from: [a, b] } => vec![(*a, g.to_vec()), (*b, g.to_vec())],
            Step::Max { .. } => vec![],
        };
        walk(&numbers.steps(false), image, |_| 1.0, &back).swap_remove(0)
    }
}

#[test]
fn guided_backprop_lets_only_positive_gradients_through_what_fired() {
    check("guided_backprop", &[], &gradient_with(|x, g| if x > 0.0 && g > 0.0 { g } else { 0.0 }));
}

#[test]
fn deconvnet_forgets_what_fired() {
    check("deconvnet", &[], &gradient_with(|_, g| g.max(0.0)));
}

#[test]
fn input_x_gradient_is_the_product() {
    let gradient = gradient_with(|x, g| if x > 0.0 { g } else { 0.0 });
    check("input_x_gradient", &[], &|numbers, image| {
        gradient(numbers, image).iter().zip(image).map(|(g, x)| g * x).collect()
    });
}

fn stable(z: f64, epsilon: f64) -> f64 {
    if z < 0.0 { z - epsilon } else { z + epsilon }
}

/// Σⱼ term ÷ z · R.
fn in_proportion(
    x: &[f64],
    step: &Step,
    z: &[f64],
    r: &[f64],
    epsilon: f64,
    term: &dyn Fn(f64, f64) -> f64,
) -> Vec<f64> {
    let Step::Sum { products, .. } = step else { panic!("no sum") };
    let mut to = vec![0.0; x.len()];
    products.iter().for_each(|&(i, o, w)| to[i] += term(x[i], w) * r[o] / stable(z[o], epsilon));
    to
}

fn epsilon_rule(epsilon: f64) -> impl Fn(&[f64], &Step, &[f64], &[f64]) -> Vec<f64> {
    move |x, step, z, r| in_proportion(x, step, z, r, epsilon, &|x, w| x * w)
}

/// Relevance through the network with `rules` by type of layer; means and additions in proportion.
fn relevance(
    net: &Tiny,
    image: &[f64],
    start: impl Fn(f64) -> f64,
    rules: &dyn Fn(Kind) -> RuleBox,
) -> Vec<Vec<f64>> {
    let back = |step: &Step, values: &[Vec<f64>], y: usize, r: &[f64]| match step {
        Step::Sum { from, kind, .. } => {
            let rule = rules(*kind);
            vec![(*from, rule(&values[*from], step, &values[y], r))]
        }
        Step::Relu { from } => vec![(*from, r.to_vec())],
        Step::Add { from } => from
            .iter()
            .map(|&side| {
                let terms = values[side].iter().zip(&values[y]).zip(r);
                (side, terms.map(|((a, y), r)| a * r / stable(*y, 1e-6)).collect())
            })
            .collect(),
        Step::Max { .. } => vec![],
    };
    walk(net, image, start, &back)
}

/// A rule of one layer: a function of x, the step, z, and the relevance of its outputs.
type RuleBox = Box<dyn Fn(&[f64], &Step, &[f64], &[f64]) -> Vec<f64>>;

fn boxed(rule: impl Fn(&[f64], &Step, &[f64], &[f64]) -> Vec<f64> + 'static) -> RuleBox {
    Box::new(rule)
}

/// α times in proportion to the positive terms, minus β times in proportion to the negative ones.
fn alpha_beta_rule(alpha: f64, with_bias: bool) -> RuleBox {
    boxed(move |x, step, _, r| {
        let bias = |b: f64| if with_bias { b } else { 0.0 };
        let (up, down) = (|x: f64, w: f64| (x * w).max(0.0), |x: f64, w: f64| (x * w).min(0.0));
        let z = sums(x, step, &up, &|b| bias(b).max(0.0));
        let gain = in_proportion(x, step, &z, r, 1e-6, &up);
        let z = sums(x, step, &down, &|b| bias(b).min(0.0));
        let loss = in_proportion(x, step, &z, r, 1e-6, &down);
        gain.iter().zip(loss).map(|(g, l)| alpha * g - (alpha - 1.0) * l).collect()
    })
}

/// Terms with the sign of the output have weight 1 + γ.
fn gamma_rule(gamma: f64) -> RuleBox {
    boxed(move |x, step, z, r| {
        let mut all = vec![0.0; x.len()];
        for sign in [1.0, -1.0] {
            let raise = |t: f64| if t * sign > 0.0 { t * (1.0 + gamma) } else { t };
            let term = |x: f64, w: f64| raise(x * w);
            let raised = sums(x, step, &term, &raise);
            let mine: Vec<f64> =
                z.iter().zip(r).map(|(z, r)| if z * sign > 0.0 { *r } else { 0.0 }).collect();
            let share = in_proportion(x, step, &raised, &mine, 1e-6, &term);
            all.iter_mut().zip(share).for_each(|(slot, v)| *slot += v);
        }
        all
    })
}

fn mean_or(kind: Kind, rule: RuleBox) -> RuleBox {
    if kind == Kind::Mean { boxed(epsilon_rule(1e-6)) } else { rule }
}

#[test]
fn lrp_epsilon_divides_in_proportion() {
    for (set, epsilon) in [(vec![], 1e-6), (vec!["lrp_epsilon.epsilon=0.25"], 0.25)] {
        check("lrp_epsilon", &set, &|numbers, image| {
            let rules = |kind| mean_or(kind, boxed(epsilon_rule(epsilon)));
            relevance(&numbers.steps(true), image, |y| y, &rules).swap_remove(0)
        });
    }
}

#[test]
fn lrp_gamma_raises_what_agrees_with_the_output() {
    for (set, gamma) in [(vec![], 0.25), (vec!["lrp_gamma.gamma=3"], 3.0)] {
        check("lrp_gamma", &set, &|numbers, image| {
            let rules = |kind| mean_or(kind, gamma_rule(gamma));
            relevance(&numbers.steps(true), image, |y| y, &rules).swap_remove(0)
        });
    }
}

#[test]
fn lrp_alpha_beta_keeps_for_and_against_apart() {
    for (set, alpha) in [(vec![], 2.0), (vec!["alpha=1"], 1.0), (vec!["alpha=3.5"], 3.5)] {
        check("lrp_alpha_beta", &set, &|numbers, image| {
            let rules = |kind| mean_or(kind, alpha_beta_rule(alpha, true));
            relevance(&numbers.steps(true), image, |y| y, &rules).swap_remove(0)
        });
    }
}

#[test]
fn composites_take_rules_by_layer() {
    let flat = || {
        boxed(|x: &[f64], step: &Step, _: &[f64], r: &[f64]| {
            let z = sums(x, step, &|_, _| 1.0, &|_| 0.0);
            in_proportion(x, step, &z, r, 1e-6, &|_, _| 1.0)
        })
    };
    let pixel_box = || {
        boxed(|x: &[f64], step: &Step, _: &[f64], r: &[f64]| {
            let term = |x: f64, w: f64| x * w + w.max(0.0) - w.min(0.0); // low −1, high 1
            let z = sums(x, step, &term, &|_| 0.0);
            in_proportion(x, step, &z, r, 1e-6, &term)
        })
    };
    let cases: [(&str, Option<Make<'_>>, Make<'_>); 5] = [
        ("epsilon_plus", None, &|| alpha_beta_rule(1.0, true)),
        ("epsilon_plus_flat", Some(&flat), &|| alpha_beta_rule(1.0, true)),
        ("epsilon_alpha2_beta1", None, &|| alpha_beta_rule(2.0, true)),
        ("epsilon_alpha2_beta1_flat", Some(&flat), &|| alpha_beta_rule(2.0, true)),
        ("epsilon_gamma_box", Some(&pixel_box), &|| gamma_rule(0.25)),
    ];
    for (name, first, convolution) in cases {
        let choice = format!("composite={name}");
        check("lrp_composite", &[&choice, "low=-1", "high=1"], &|numbers, image| {
            let rules = |kind| match (kind, first) {
                (Kind::First, Some(first)) => first(),
                (Kind::First | Kind::Convolution, _) => convolution(),
                (Kind::Dense | Kind::Mean, _) => boxed(epsilon_rule(1e-6)),
            };
            relevance(&numbers.steps(true), image, |y| y, &rules).swap_remove(0)
        });
    }
}

#[test]
fn excitation_backprop_hands_votes_to_what_excites() {
    check("excitation_backprop", &[], &|numbers, image| {
        let rules = |kind| mean_or(kind, alpha_beta_rule(1.0, false));
        // The layer is the average pool, the last value with rows and columns.
        let net = numbers.steps(true);
        let at = net.steps.len() - 2;
        let votes = relevance(&net, image, |_| 1.0, &rules).swap_remove(at);
        let area = votes.len() / 3;
        (0..area).map(|p| (0..3).map(|c| votes[c * area + p]).sum()).collect()
    });
}

/// ΣR = y − the relevance absorbed by biases, and y without biases.
#[test]
fn lrp_epsilon_loses_nothing_but_to_biases() {
    for seed in 1..=5 {
        let numbers = Numbers::new(seed);
        let images = images(3);
        let found = explain(&numbers.model(), "lrp_epsilon", &[], &images);
        for (image, found) in images.iter().zip(found) {
            let net = numbers.steps(true);
            let (values, rules) = (net.values(&wide(image)), |_| boxed(epsilon_rule(1e-6)));
            let arrived = relevance(&net, &wide(image), |y| y, &rules);
            let mut absorbed = 0.0;
            for (number, step) in net.steps.iter().enumerate() {
                let Step::Sum { bias, .. } = step else { continue };
                for ((b, z), r) in bias.iter().zip(&values[number + 1]).zip(&arrived[number + 1]) {
                    absorbed += b * r / stable(*z, 1e-6);
                }
            }
            let score = f64::from(found.logits[CLASS]);
            let sum: f64 = found.attributions[0].values.iter().map(|&v| f64::from(v)).sum();
            let size: f64 = found.attributions[0].values.iter().map(|&v| f64::from(v.abs())).sum();
            assert!(absorbed.abs() > 1e-3, "the biases took nothing");
            let off = (sum + absorbed - score).abs();
            assert!(off <= 1e-3 * score.abs().max(1e-3 * size), "{sum} + {absorbed} against {score}");
        }
    }
}
