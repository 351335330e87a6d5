//! DeepLIFT.

use heatlens_graph::{GraphError, Tensor, ValueId};

use crate::method::{Formula, MapKind, Method, MethodError, MethodParameter, Setting, Work};
use crate::rule::DeepLift;

/// Registry entry.
pub(super) static DEEP_LIFT: Method = Method {
    id: "deep_lift",
    title: "DeepLIFT",
    summary: "what each pixel's difference from a reference image adds to the difference of the scores",
    formula: "(x − x₀) ⊙ m, with m ← m · Δy ÷ Δx through every function of one value (Rescale); Σ = f(x) − f(x₀)",
    paper: "Shrikumar et al. 2017, Learning Important Features Through Propagating Activation Differences, ICML",
    cost: "2 forward passes, 1 backward pass",
    sanity: "passes the randomisation of layers, alone among such methods (Sixt et al. 2020)",
    kind: MapKind::Input,
    uses_layer: false,
    caution: Some(
        "pixels that equal the reference always get 0, so the choice of the reference is part of the answer",
    ),
    parameters: &[MethodParameter {
        name: "baseline",
        default: Setting::Choice(&["zero", "mean", "blur"]),
        summary: "the reference: 0 everywhere, each channel's mean over the image, or the image blurred over a tenth of its sides",
    }],
    work: Work::Graph(build),
};

fn build(f: &mut Formula<'_>) -> Result<ValueId, MethodError> {
    let name = f.chosen.choice("baseline")?;
    let reference = reference(f, name)?;
    let network = f.network();
    let rule = DeepLift::new(&network, f.graph, f.image, reference)?;
    let multipliers = f.input_gradient(&rule)?;
    let image = f.image;
    let mut b = f.builder(DEEP_LIFT.id);
    let difference = b.sub(image, reference)?;
    Ok(b.mul(difference, multipliers)?)
}

/// Builds the reference image, shape `n c h w`.
fn reference(f: &mut Formula<'_>, name: &str) -> Result<ValueId, GraphError> {
    let image = f.image;
    let mut b = f.builder("reference");
    let shape = b.shape(image);
    let level = match name {
        "mean" => b.mean(image, &[2, 3], true)?,
        "blur" => {
            let sizes = shape.at(1);
            let [Some(&height), Some(&width)] = [sizes.get(2), sizes.get(3)] else {
                return Err(GraphError::Malformed(format!("an image of shape {shape}")));
            };
            let columns = b.constant(blur(width));
            let columns = b.transpose(columns, &[1, 0])?;
            let rows = b.constant(blur(height));
            let across = b.matmul(image, columns)?;
            return b.matmul(rows, across);
        }
        _ => b.scalar(0.0),
    };
    b.expand(level, shape)
}

/// Returns the matrix that blurs `size` points with a Gaussian of a tenth of their number; it is truncated at the
/// ends, with rows normalized to sum 1.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
fn blur(size: usize) -> Tensor {
    let width = size as f64 / 10.0;
    let weight = |i: usize, j: usize| (-0.5 * ((i as f64 - j as f64) / width).powi(2)).exp();
    let row = |i: usize| {
        let weights: Vec<f64> = (0..size).map(|j| weight(i, j)).collect();
        let sum: f64 = weights.iter().sum();
        weights.into_iter().map(move |w| (w / sum) as f32).collect::<Vec<_>>()
    };
    Tensor::f32(&[size, size], (0..size).flat_map(row).collect())
}
