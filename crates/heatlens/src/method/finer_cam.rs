//! Finer-CAM.

use crate::method::{Formula, MapKind, Method, MethodError, MethodParameter, Setting, Work};
use crate::target::one_hot_of_largest;
use heatlens_graph::ValueId;
use heatlens_graph::op::unary::UnaryFunction;
use heatlens_graph::op::r#where::Where;

/// Registry entry.
pub(super) static FINER_CAM: Method = Method {
    id: "finer_cam",
    title: "Finer-CAM",
    summary: "what speaks for the class and not for the classes most like it",
    formula: "Grad-CAM of y_c − γ · mean of y_d over the classes d whose scores are nearest",
    paper: "Zhang et al. 2025, Finer-CAM: Spotting the Difference Reveals Finer Details for Visual Explanation, CVPR",
    cost: "1 forward pass, 1 backward pass down to the layer",
    sanity: "not in Adebayo et al. 2018; it reads the same gradients and activations as Grad-CAM, which passes",
    kind: MapKind::Layer,
    uses_layer: true,
    caution: None,
    parameters: &[
        MethodParameter {
            name: "gamma",
            default: Setting::Number(0.6),
            summary: "how much the other classes count",
        },
        MethodParameter {
            name: "references",
            default: Setting::Count(3),
            summary: "how many of the nearest classes to compare with",
        },
    ],
    work: Work::Graph(build),
};

fn build(f: &mut Formula<'_>) -> Result<ValueId, MethodError> {
    let (gamma, references) = (f.chosen.number("gamma")?, f.chosen.count("references")?);
    let seed = f.seed;
    f.seed = finer_seed(f, gamma, references)?;
    let gradient = f.layer_gradient();
    f.seed = seed;
    let (gradient, activations) = (gradient?, f.activations()?);
    let mut b = f.builder(FINER_CAM.id);
    let alpha = b.mean(gradient, &[2, 3], true)?;
    let weighted = b.mul(activations, alpha)?;
    Ok(f.sum_channels(weighted)?)
}

/// Returns the target minus γ times the mean of the nearest scores' one-hot rows. A single logit z has one other
/// class, −z.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn finer_seed(f: &mut Formula<'_>, gamma: f64, references: usize) -> Result<ValueId, MethodError> {
    let outputs = f.graph.fact(f.scores).shape.0.get(1).map_or(1, |d| d.at(1));
    let (scores, own) = (f.scores, f.seed);
    let full = f.graph.fact(scores).shape.clone();
    let target = f.target()?;
    let mut b = f.builder(FINER_CAM.id);
    if outputs == 1 {
        return Ok(b.scale(own, 1.0 + gamma as f32)?);
    }
    let references = references.min(outputs - 1);
    let own_full = b.expand(own, full)?;
    let lowest = b.scalar(f32::MIN);
    let distance = b.sub(scores, target)?;
    let distance = b.unary(UnaryFunction::Abs, distance)?;
    let mut nearness = b.neg(distance)?;
    let mut taken = b.is_positive(own_full)?;
    let mut seed = own_full;
    for _ in 0..references {
        nearness = b.apply(Where, &[taken, lowest, nearness])?;
        let next = one_hot_of_largest(&mut b, nearness)?;
        let share = b.scale(next, -(gamma as f32) / references as f32)?;
        seed = b.add(seed, share)?;
        taken = b.is_positive(next)?;
    }
    Ok(seed)
}
