//! Post-processing of layer maps as in other libraries, for comparison with them. By default maps stay raw and signed.

use crate::bilinear::resize;
use crate::extremes::extremes;
use crate::nearest::Named;

/// Library whose post-processing is reproduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compat {
    /// pytorch-grad-cam: positive part, `scale`, resized to the image, then the first two steps again.
    PytorchGradCam,
    /// torchcam: positive part (except for CAM), normalised, at the layer's size.
    Torchcam,
    /// Captum: the raw map.
    Captum,
}

impl Compat {
    /// All libraries, with their names on the command line.
    pub const ALL: [Named<Self>; 3] = [
        (
            "pytorch-grad-cam",
            "Positive part, divided by its maximum, at the size of the image",
            Self::PytorchGradCam,
        ),
        ("torchcam", "Positive part, divided by its maximum, at the size of the layer", Self::Torchcam),
        ("captum", "The raw map", Self::Captum),
    ];

    /// Returns the size of a map of `shape` for an image with these rows and columns.
    pub(super) fn shape(self, shape: &[usize], image: [usize; 2]) -> Vec<usize> {
        match self {
            Self::PytorchGradCam if shape.len() == 2 => image.to_vec(),
            _ => shape.to_vec(),
        }
    }

    /// Returns the map as post-processed by the library; `id` is that of the method.
    pub(super) fn apply(self, id: &str, shape: &[usize], values: &[f32], image: [usize; 2]) -> Vec<f32> {
        let &[h, w] = shape else { return values.to_vec() };
        let positive = || values.iter().map(|v| v.max(0.0)).collect::<Vec<f32>>();
        match self {
            Self::Captum => values.to_vec(),
            Self::Torchcam if id == "cam" => normalised(values.to_vec(), |max| max + 1e-8),
            Self::Torchcam => normalised(positive(), |max| max + 1e-8),
            Self::PytorchGradCam => {
                let scaled = normalised(positive(), |max| 1e-7 + max);
                let large = resize(&scaled, [h, w], image);
                normalised(large.into_iter().map(|v| v.max(0.0)).collect(), |max| 1e-7 + max)
            }
        }
    }
}

/// Subtracts the minimum and divides by the guarded maximum of the result.
fn normalised(mut values: Vec<f32>, guard: impl Fn(f32) -> f32) -> Vec<f32> {
    let [low, _] = extremes(&values);
    values.iter_mut().for_each(|v| *v -= low);
    let divisor = guard(extremes(&values)[1]);
    values.iter_mut().for_each(|v| *v /= divisor);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected values of pytorch-grad-cam come from its own `scale_cam_image`, applied twice (version 1.5.7);
    /// those of torchcam are calculated by hand from its `_normalize`.
    #[test]
    fn the_last_steps_of_the_libraries() {
        let raw = [-1.0, 0.5, 2.0, 1.0];
        let torchcam = Compat::Torchcam.apply("grad_cam", &[2, 2], &raw, [4, 4]);
        assert_eq!(torchcam, [0.0, 0.25, 1.0, 0.5]);
        let signed = Compat::Torchcam.apply("cam", &[2, 2], &raw, [4, 4]);
        assert_eq!(signed, [0.0, 0.5, 1.0, 2.0 / 3.0]);
        assert_eq!(Compat::Captum.apply("grad_cam", &[2, 2], &raw, [4, 4]), raw);
        let large = Compat::PytorchGradCam.apply("grad_cam", &[2, 2], &raw, [4, 4]);
        let expected = [
            0.0, 0.0625, 0.1875, 0.25, 0.25, 0.265_625, 0.296_875, 0.3125, 0.75, 0.671_875, 0.515_625,
            0.4375, 1.0, 0.875, 0.625, 0.5,
        ];
        for (found, expected) in large.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{large:?}");
        }
        assert_eq!(Compat::PytorchGradCam.apply("grad_cam", &[1, 2], &[-1.0, -2.0], [1, 2]), [0.0, 0.0]);
    }
}
