//! Smooth Grad-CAM++.

use crate::method::multi_pass::TargetProgram;
use crate::method::parts::{NOISE, noisy};
use crate::method::{
    MapKind, Method, MethodError, MethodParameter, MultiPass, PassContext, PassCount, PassInput, Setting,
    Work,
};
use crate::random::Key;

/// Registry entry.
pub(super) static SMOOTH_GRAD_CAM_PP: Method = Method {
    id: "smooth_grad_cam_pp",
    title: "Smooth Grad-CAM++",
    summary: "Grad-CAM++ with derivatives averaged over noisy copies of the image",
    formula: "Σₖ wₖ Aₖ, with wₖ = Σ αₖ ReLU(D¹), αₖ = D² ÷ (2 D² + ΣAₖ · D³), Dᵖ the mean of Gᵖ over noisy copies",
    paper: "Omeiza et al. 2019, Smooth Grad-CAM++: An Enhanced Inference Level Visualization Technique, arXiv:1908.01224",
    cost: "for each sample 1 forward pass and 1 backward pass down to the layer",
    sanity: "not in Adebayo et al. 2018; it reads the same gradients and activations as Grad-CAM, which passes",
    kind: MapKind::Layer,
    uses_layer: true,
    caution: None,
    parameters: &[
        MethodParameter {
            name: "samples",
            default: Setting::Count(20),
            summary: "noisy copies of the image",
        },
        NOISE,
    ],
    work: Work::Passes(prepare),
};

fn prepare(context: &PassContext<'_>) -> Result<Box<dyn MultiPass>, MethodError> {
    let [_, h, w] = context.layer.shape;
    Ok(Box::new(Smooth {
        shape: [h, w],
        samples: context.chosen.count("samples")?,
        noise: context.chosen.number_between("noise", 0.0, 10.0)?,
        key: context.key(),
        program: context.program(|f| Ok(vec![f.activations()?, f.layer_gradient()?]))?,
    }))
}

#[derive(Debug)]
struct Smooth {
    shape: [usize; 2],
    samples: usize,
    noise: f64,
    key: Key,
    program: TargetProgram,
}

impl MultiPass for Smooth {
    fn shape(&self) -> Vec<usize> {
        self.shape.to_vec()
    }

    fn count(&self) -> PassCount {
        PassCount::back(self.samples + 1)
    }

    /// Computes the map. All derivatives are averaged, including the first. (torchcam uses the first derivative of
    /// the last noisy copy alone.)
    fn explain(&self, input: &PassInput<'_>) -> Result<Vec<f32>, MethodError> {
        let planes = self.program.run(input.pixels, 1, input)?.swap_remove(0);
        let add_noise = noisy(input, self.noise, self.key);
        let mut powers = vec![[0.0f64; 3]; planes.len()];
        self.program.stream(input, self.samples, &add_noise, &mut |_, _, outputs| {
            for (power, &g) in powers.iter_mut().zip(outputs[1]) {
                let g = f64::from(g);
                *power = [power[0] + g, power[1] + g * g, power[2] + g * g * g];
            }
        })?;
        Ok(weigh(&planes, &powers, self.samples, self.shape.iter().product()))
    }
}

/// Returns Σₖ wₖ Aₖ, given the sums of G, G² and G³.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
fn weigh(planes: &[f32], powers: &[[f64; 3]], samples: usize, area: usize) -> Vec<f32> {
    let mut map = vec![0.0f32; area];
    for (plane, powers) in planes.chunks(area.max(1)).zip(powers.chunks(area.max(1))) {
        let total: f64 = plane.iter().map(|&a| f64::from(a)).sum();
        let mut weight = 0.0;
        for power in powers {
            let [first, second, third] = power.map(|sum| sum / samples as f64);
            let denominator = 2.0 * second + total * third;
            if denominator != 0.0 {
                weight += second / denominator * first.max(0.0);
            }
        }
        map.iter_mut().zip(plane).for_each(|(sum, &a)| *sum += (weight * f64::from(a)) as f32);
    }
    map
}
