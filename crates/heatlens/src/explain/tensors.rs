//! Intermediate tensors of an explanation, under the names common in scripts of the field.

use heatlens_graph::{Builder, DefaultRules, Graph, GraphError, ValueId, differentiate};

use crate::model::{GapHead, Head, Layer, Model};
use crate::target::Class;

/// `conv_output`, `conv_grad`, `input_grad`, `weights` and `cam` of one image. They belong to the logit z of a model
/// with a single logit, and to the explained class otherwise.
#[derive(Clone, Debug)]
pub struct Tensors {
    /// Layer of the tensors.
    pub layer: Layer,
    /// A, the layer's activations, `c*h*w`.
    pub conv_output: Vec<f32>,
    /// ∂y/∂A, `c*h*w`.
    pub conv_grad: Vec<f32>,
    /// ∂y/∂x, `c*h*w` of the image.
    pub input_grad: Vec<f32>,
    /// One weight per channel: those of the dense layer if the layer feeds global average pooling, otherwise the
    /// spatial mean of `conv_grad` (Grad-CAM's α).
    pub weights: Vec<f32>,
    /// Σₖ weightsₖ Aₖ, signed, `h*w`.
    pub cam: Vec<f32>,
    /// True if `weights` are those of the dense layer.
    pub dense_weights: bool,
}

impl Tensors {
    /// Returns the mean activation of each channel.
    #[must_use]
    pub fn channel_means(&self) -> Vec<f64> {
        let area = (self.layer.shape[1] * self.layer.shape[2]).max(1);
        let mean = |plane: &[f32]| {
            #[allow(clippy::cast_precision_loss)]
            let count = plane.len() as f64;
            plane.iter().map(|&v| f64::from(v)).sum::<f64>() / count
        };
        self.conv_output.chunks(area).map(mean).collect()
    }
}

/// Outputs of a program that hold the tensors.
#[derive(Debug)]
pub(super) struct Ports {
    layer: Layer,
    outputs: [usize; 3],
    gap: Option<GapHead>,
    head: Head,
    class: Class,
}

/// Returns `conv_output`, and appends `conv_grad` and `input_grad`.
pub(super) fn build(
    graph: &mut Graph,
    model: &Model,
    layer: &Layer,
    scores: ValueId,
    seed: ValueId,
) -> Result<[ValueId; 3], GraphError> {
    let wrt = [layer.value, model.image];
    let grads = differentiate(graph, "gradient", scores, seed, &wrt, &DefaultRules)?;
    let mut b = Builder::new(graph, "tensors");
    Ok([layer.as_planes(&mut b, layer.value)?, layer.as_planes(&mut b, grads[0])?, grads[1]])
}

impl Ports {
    pub(super) fn new(
        layer: Layer,
        outputs: [usize; 3],
        gap: Option<GapHead>,
        head: Head,
        class: Class,
    ) -> Self {
        let gap = gap.filter(|gap| gap.features == layer.value);
        Self { layer, outputs, gap, head, class }
    }

    pub(super) fn layer(&self) -> &Layer {
        &self.layer
    }

    pub(super) fn read<'o>(&self, of_sample: impl Fn(usize) -> &'o [f32]) -> Tensors {
        let [conv_output, conv_grad, input_grad] = self.outputs.map(|o| of_sample(o).to_vec());
        let weights = self.weights(&conv_grad, of_sample(0));
        let area = self.layer.shape[1] * self.layer.shape[2];
        let mut cam = vec![0.0; area];
        for (plane, w) in conv_output.chunks(area.max(1)).zip(&weights) {
            for (sum, a) in cam.iter_mut().zip(plane) {
                *sum += w * a;
            }
        }
        let dense_weights = self.gap.is_some();
        Tensors { layer: self.layer.clone(), conv_output, conv_grad, input_grad, weights, cam, dense_weights }
    }

    fn weights(&self, conv_grad: &[f32], logits: &[f32]) -> Vec<f32> {
        let area = (self.layer.shape[1] * self.layer.shape[2]).max(1);
        let Some(gap) = &self.gap else {
            #[allow(clippy::cast_precision_loss)]
            let mean = |plane: &[f32]| plane.iter().sum::<f32>() / plane.len() as f32;
            return conv_grad.chunks(area).map(mean).collect();
        };
        let row = if logits.len() == 1 { 0 } else { self.class.of(&self.head, logits) };
        gap.weights[row * gap.channels..(row + 1) * gap.channels].to_vec()
    }
}
