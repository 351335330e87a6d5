//! Named presets of pixel preprocessing.

use std::fmt;
use std::str::FromStr;

use super::{ChannelOrder, DataError, Preprocessing, Resize};
use crate::nearest::{Named, name_of, named};

/// A common way of preprocessing pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// 0 to 1, minus the mean of ImageNet, divided by its standard deviation: torchvision, timm and most of PyTorch.
    Imagenet,
    /// `Imagenet` after torchvision's `Resize` and `CenterCrop`: the shorter side at 8/7 of the model's (256 for 224),
    /// cropped to the centre. The standard evaluation of torchvision's classifiers.
    Torchvision,
    /// −1 to 1: Keras' mode "tf" (MobileNet, Inception, Xception and others).
    Tf,
    /// 0 to 255 in the order blue, green, red, minus the mean of ImageNet: Keras' mode "caffe" (ResNet, VGG).
    Caffe,
    /// 0 to 1.
    Unit,
    /// 0 to 255: Keras' EfficientNet and ConvNeXt, and other models that scale their input themselves.
    Raw,
}

impl Preset {
    /// All presets, with their names on the command line.
    pub const ALL: [Named<Self>; 6] = [
        ("imagenet", "ImageNet's mean and standard deviation", Self::Imagenet),
        ("torchvision", "The same, after torchvision's resize and centre crop", Self::Torchvision),
        ("tf", "-1 to 1", Self::Tf),
        ("caffe", "0 to 255, BGR, minus ImageNet's mean", Self::Caffe),
        ("unit", "0 to 1", Self::Unit),
        ("raw", "0 to 255", Self::Raw),
    ];

    /// Returns the name on the command line.
    pub fn name(self) -> &'static str {
        name_of(&self, &Self::ALL)
    }

    /// Sets scale, mean, standard deviation and channel order, and the resizing if the preset defines it; the model's
    /// input size is kept.
    ///
    /// # Errors
    /// If the preset is for colour images and the model does not take three channels.
    pub fn apply(self, to: &mut Preprocessing) -> Result<(), DataError> {
        let (scale, mean, std, order) = match self {
            Self::Imagenet | Self::Torchvision => {
                (1.0, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], ChannelOrder::Rgb)
            }
            Self::Tf => (2.0, [1.0; 3], [1.0; 3], ChannelOrder::Rgb),
            Self::Caffe => (255.0, [103.939, 116.779, 123.68], [1.0; 3], ChannelOrder::Bgr),
            Self::Unit => (1.0, [0.0; 3], [1.0; 3], ChannelOrder::Rgb),
            Self::Raw => (255.0, [0.0; 3], [1.0; 3], ChannelOrder::Rgb),
        };
        let each = |values: [f32; 3]| match to.channels {
            3 => Some(values.to_vec()),
            channels => values.iter().all(|v| *v == values[0]).then(|| vec![values[0]; channels]),
        };
        let (Some(mean), Some(std)) = (each(mean), each(std)) else {
            return Err(DataError::Preprocessing {
                key: "preset".to_owned(),
                found: format!("{self} for a model of {} channels", to.channels),
                expected: "tf, unit or raw, or --mean and --std".to_owned(),
            });
        };
        (to.scale, to.mean, to.std, to.order) = (scale, mean, std, order);
        if self == Self::Torchvision {
            // 224 of 256 is 7/8.
            let side = to.height.max(to.width);
            to.resize = Resize::Shorter((side * 8 + 3) / 7);
        }
        Ok(())
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Preset {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        named(word, Self::ALL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Raster;

    /// Returns one red pixel, preprocessed by a preset.
    fn red(preset: Preset) -> Vec<f32> {
        let mut settings = Preprocessing::new([3, 1, 1]);
        preset.apply(&mut settings).unwrap();
        let raster = Raster { channels: 3, height: 1, width: 1, values: vec![1.0, 0.0, 0.0] };
        let (seen, pixels) = settings.apply(raster).unwrap();
        assert_eq!(seen.values, [1.0, 0.0, 0.0], "what is shown stays red");
        let stored = Preprocessing::from_pairs(&settings.to_pairs()).unwrap();
        assert_eq!(stored, settings);
        pixels
    }

    #[test]
    fn a_red_pixel() {
        assert_eq!(red(Preset::Unit), [1.0, 0.0, 0.0]);
        assert_eq!(red(Preset::Raw), [255.0, 0.0, 0.0]);
        assert_eq!(red(Preset::Tf), [1.0, -1.0, -1.0]);
        assert_eq!(red(Preset::Caffe), [-103.939, -116.779, 255.0 - 123.68]);
        let expected = [(1.0 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225];
        assert_eq!(red(Preset::Imagenet), expected);
    }

    #[test]
    fn torchvision_takes_the_middle() {
        for (side, shorter) in [(224, 256), (299, 342), (384, 439), (32, 37)] {
            let mut settings = Preprocessing::new([3, side, side]);
            Preset::Torchvision.apply(&mut settings).unwrap();
            assert_eq!(settings.resize, Resize::Shorter(shorter), "round({side} / 0.875)");
            assert_eq!(settings.mean, [0.485, 0.456, 0.406]);
        }
    }

    #[test]
    fn colour_presets_refuse_grey() {
        let mut grey = Preprocessing::new([1, 8, 8]);
        assert!(Preset::Tf.apply(&mut grey).is_ok());
        let before = grey.clone();
        let refusal = Preset::Imagenet.apply(&mut grey).unwrap_err().to_string();
        assert!(refusal.contains("imagenet for a model of 1 channels"), "{refusal}");
        assert_eq!(grey, before);
        let unknown = "resnet".parse::<Preset>().unwrap_err();
        assert!(unknown.contains("expected imagenet, torchvision, tf, caffe, unit or raw"), "{unknown}");
    }
}
