//! Integrated gradients.

use std::sync::Arc;

use crate::method::multi_pass::TargetProgram;
use crate::method::parts::baseline;
use crate::method::{
    MapKind, Method, MethodError, MethodParameter, MultiPass, PassContext, PassCount, PassInput, Setting,
    Work,
};
use crate::random::Key;

/// Registry entry. The sum of the map is y(x) − y(b), up to quadrature error. Implementations with equal steps that
/// include both ends have a relative error of 1/steps.
pub(super) static INTEGRATED_GRADIENTS: Method = Method {
    id: "integrated_gradients",
    title: "Integrated gradients",
    summary: "how much each pixel adds to the score on the way from an image without information to this one",
    formula: "(x − b) · ∫₀¹ ∂y/∂x at b + t(x − b) dt, by Gauss–Legendre quadrature; the sum is y(x) − y(b)",
    paper: "Sundararajan et al. 2017, Axiomatic Attribution for Deep Networks, ICML",
    cost: "as many forward and backward passes as steps (50)",
    sanity: "reacts to randomised weights, but the image's own edges stay visible through the factor x − b (Adebayo et al. 2018)",
    kind: MapKind::Input,
    uses_layer: false,
    caution: Some(
        "pixels that equal the baseline get nothing: with zero, whatever is black, however much it matters",
    ),
    parameters: &[
        MethodParameter { name: "steps", default: Setting::Count(50), summary: "points of the quadrature" },
        MethodParameter {
            name: "baseline",
            default: Setting::Choice(&["zero", "mean", "blur", "uniform"]),
            summary: "the image without information",
        },
    ],
    work: Work::Passes(prepare),
};

/// Maximum number of steps; networks of rectifiers are not smooth, so more points gain nothing.
const MOST_STEPS: usize = 10_000;

#[derive(Debug)]
struct IntegratedGradients {
    gradient: Arc<TargetProgram>,
    shape: [usize; 3],
    points: Vec<[f64; 2]>,
    baseline: &'static str,
    key: Key,
}

fn prepare(context: &PassContext<'_>) -> Result<Box<dyn MultiPass>, MethodError> {
    Ok(Box::new(IntegratedGradients {
        gradient: context.gradient_program()?,
        shape: context.image_shape(),
        points: gauss_legendre(context.chosen.count_up_to("steps", MOST_STEPS)?),
        baseline: context.chosen.choice("baseline")?,
        key: context.key(),
    }))
}

impl MultiPass for IntegratedGradients {
    fn shape(&self) -> Vec<usize> {
        self.shape.to_vec()
    }

    fn count(&self) -> PassCount {
        PassCount::back(self.points.len())
    }

    #[allow(clippy::cast_possible_truncation)]
    fn explain(&self, input: &PassInput<'_>) -> Result<Vec<f32>, MethodError> {
        let start = baseline(self.baseline, input.pixels, self.shape, self.key);
        let make = |step: usize, image: &mut [f32]| {
            let t = self.points[step][0];
            for (pixel, &start) in image.iter_mut().zip(&start) {
                *pixel = (f64::from(start) + t * (f64::from(*pixel) - f64::from(start))) as f32;
            }
        };
        let mut mean = vec![0.0; input.pixels.len()];
        self.gradient.stream(input, self.points.len(), &make, &mut |step, _, outputs| {
            let weight = self.points[step][1];
            mean.iter_mut().zip(outputs[0]).for_each(|(sum, &g)| *sum += weight * f64::from(g));
        })?;
        let ways = input.pixels.iter().zip(&start).map(|(&x, &b)| f64::from(x) - f64::from(b));
        Ok(mean.iter().zip(ways).map(|(mean, way)| (mean * way) as f32).collect())
    }
}

/// Returns points and weights of the `n`-point Gauss–Legendre rule on 0…1: the roots of the Legendre polynomial Pₙ
/// by Newton's method, with weights 1 ÷ ((1 − x²) P′ₙ(x)²).
#[allow(clippy::cast_precision_loss)]
fn gauss_legendre(n: usize) -> Vec<[f64; 2]> {
    let root = |i: usize| {
        let mut x = libm::cos(std::f64::consts::PI * (i as f64 + 0.75) / (n as f64 + 0.5));
        for _ in 0..100 {
            let [value, slope] = legendre(n, x);
            x -= value / slope;
            if (value / slope).abs() < 1e-15 {
                break;
            }
        }
        let [_, slope] = legendre(n, x);
        // Roots are found from right to left; on 0…1 they are returned from left to right.
        [0.5 * (1.0 - x), 1.0 / ((1.0 - x * x) * slope * slope)]
    };
    (0..n).map(root).collect()
}

/// Returns Pₙ(x) and its derivative, by Bonnet's recursion.
#[allow(clippy::cast_precision_loss)]
fn legendre(n: usize, x: f64) -> [f64; 2] {
    let (mut before, mut value) = (1.0, x);
    for k in 1..n {
        let k = k as f64;
        (before, value) = (value, ((2.0 * k + 1.0) * x * value - k * before) / (k + 1.0));
    }
    [value, n as f64 * (x * value - before) / (x * x - 1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quadrature_is_exact_for_polynomials_of_degree_2n_minus_1() {
        for n in [1, 2, 3, 7, 50, 300] {
            let points = gauss_legendre(n);
            assert!(points.windows(2).all(|p| p[0][0] < p[1][0]), "{n}: in order");
            for degree in [0, 1, 2 * n - 1] {
                let sum: f64 = points.iter().map(|[t, w]| w * t.powi(i32::try_from(degree).unwrap())).sum();
                let exact = 1.0 / (degree + 1) as f64;
                assert!((sum - exact).abs() < 1e-13 * n as f64, "{n} points, degree {degree}: {sum}");
            }
        }
        // Abramowitz and Stegun, table 25.4, n = 3, shifted to 0…1.
        let [a, b, c] = <[[f64; 2]; 3]>::try_from(gauss_legendre(3)).unwrap();
        assert!((a[0] - 0.112_701_665_379_258_3).abs() < 1e-15 && (a[1] - 5.0 / 18.0).abs() < 1e-14);
        assert!(
            (b[0] - 0.5).abs() < 1e-15 && (b[1] - 8.0 / 18.0).abs() < 1e-14 && (c[1] - a[1]).abs() < 1e-14
        );
    }
}
