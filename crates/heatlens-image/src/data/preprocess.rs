//! Preprocessing of images to model inputs, and its representation in model files.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::str::FromStr;

use super::{DataError, Raster};

/// Method for bringing images of another shape to the model's input size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resize {
    /// Resize each side independently; the whole image is kept.
    Squash,
    /// Keep the aspect ratio and crop the centre.
    Crop,
    /// Resize the shorter side to this number of pixels, keep the aspect ratio, and crop the centre: torchvision's
    /// `Resize` and `CenterCrop`, with the same rounding.
    Shorter(usize),
}

impl FromStr for Resize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shorter = |text: &str| text.strip_prefix("shorter:")?.parse().ok().filter(|&side| side > 0);
        match text {
            "squash" => Ok(Self::Squash),
            "crop" => Ok(Self::Crop),
            _ => shorter(text).map(Self::Shorter).ok_or_else(|| {
                format!("resize \"{text}\" is unknown, expected squash, crop or shorter:256 (any number)")
            }),
        }
    }
}

impl fmt::Display for Resize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Squash => f.write_str("squash"),
            Self::Crop => f.write_str("crop"),
            Self::Shorter(side) => write!(f, "shorter:{side}"),
        }
    }
}

impl Resize {
    /// Returns the size to which `Shorter` resizes an image of `[h, w]`, and the first row and column of the centre
    /// crop of size `model`, with torchvision's arithmetic. Returns `None` for the other methods, which resize and crop
    /// in one step.
    pub(super) fn scaled(self, [h, w]: [usize; 2], model: [usize; 2]) -> Option<([usize; 2], [usize; 2])> {
        let Self::Shorter(side) = self else { return None };
        let longer = |long: usize, short: usize| side * long / short.max(1);
        let size = if h < w { [side, longer(w, h)] } else { [longer(h, w), side] };
        // Half of an odd difference is rounded to even, as in Python.
        let half = |long: usize, short: usize| {
            let twice = long.saturating_sub(short);
            if twice % 4 == 3 { twice / 2 + 1 } else { twice / 2 }
        };
        Some((size, [half(size[0], model[0]), half(size[1], model[1])]))
    }

    /// Returns the part of an image of `[h, w]` that a model of input size `model` sees: first row, first column,
    /// number of rows and number of columns, in pixels of the image.
    #[must_use]
    pub fn window(self, original: [usize; 2], model: [usize; 2]) -> [f64; 4] {
        let [h, w] = original.map(|side| side as f64);
        match (self, self.scaled(original, model)) {
            (_, Some((size, corner))) => {
                let (down, right) = (h / size[0].max(1) as f64, w / size[1].max(1) as f64);
                let [top, left] = corner.map(|at| at as f64);
                [top * down, left * right, model[0] as f64 * down, model[1] as f64 * right]
            }
            (Self::Squash, _) => [0.0, 0.0, h, w],
            _ => {
                let aspect = model[1] as f64 / model[0].max(1) as f64;
                let (rows, columns) = if w / h > aspect { (h, h * aspect) } else { (w / aspect, w) };
                [(h - rows) / 2.0, (w - columns) / 2.0, rows, columns]
            }
        }
    }
}

/// Order of the three colour channels in a model's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelOrder {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

impl FromStr for ChannelOrder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "rgb" => Ok(Self::Rgb),
            "bgr" => Ok(Self::Bgr),
            _ => Err(format!("channel order \"{text}\" is unknown, expected rgb or bgr")),
        }
    }
}

impl ChannelOrder {
    fn name(self) -> &'static str {
        match self {
            Self::Rgb => "rgb",
            Self::Bgr => "bgr",
        }
    }
}

/// Preprocessing expected by a model.
///
/// After conversion to grey or colour and resizing, an image's values x from 0 to 1 (for 8 and 16 bits alike) become
/// `(x · scale − mean) / std`, channel by channel in the model's order. Arrays are not resized or converted;
/// [`ArrayNumbers`](super::ArrayNumbers) determines which of them hold pixels, to which the formula is applied as well.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocessing {
    /// Number of channels; 1 (grey) or 3 (red, green, blue) for image files.
    pub channels: usize,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// Resizing of images of another shape.
    pub resize: Resize,
    /// Factor on values from 0 to 1: 1, or 255 for a model trained on bytes.
    pub scale: f32,
    /// Values subtracted after scaling, one per channel.
    pub mean: Vec<f32>,
    /// Divisors applied after subtracting the mean, one per channel.
    pub std: Vec<f32>,
    /// Order of the colour channels, if there are three.
    pub order: ChannelOrder,
}

const KEYS: [&str; 8] = ["channels", "height", "width", "resize", "scale", "mean", "std", "channel_order"];

impl Preprocessing {
    /// Returns preprocessing that keeps values from 0 to 1 unchanged and squashes images to
    /// `[channels, height, width]`.
    pub fn new([channels, height, width]: [usize; 3]) -> Self {
        let (mean, std) = (vec![0.0; channels], vec![1.0; channels]);
        Self {
            channels,
            height,
            width,
            resize: Resize::Squash,
            scale: 1.0,
            mean,
            std,
            order: ChannelOrder::Rgb,
        }
    }

    /// Returns the model's input shape, `[channels, height, width]`.
    pub fn shape(&self) -> [usize; 3] {
        [self.channels, self.height, self.width]
    }

    /// Checks that every setting is valid: sizes of at least 1, a finite scale, and a mean and a non-zero standard
    /// deviation per channel.
    pub fn validate(&self) -> Result<(), DataError> {
        for (key, size) in [("channels", self.channels), ("height", self.height), ("width", self.width)] {
            if !(1..=super::MAX_SIDE).contains(&size) {
                return Err(invalid(key, &size.to_string(), &format!("1 to {}", super::MAX_SIDE)));
            }
        }
        if let Resize::Shorter(side) = self.resize
            && !(self.height.max(self.width)..=super::MAX_SIDE).contains(&side)
        {
            let expected = format!(
                "shorter: and {} to {}, so that it covers the model's {} × {}",
                self.height.max(self.width),
                super::MAX_SIDE,
                self.height,
                self.width
            );
            return Err(invalid("resize", &self.resize.to_string(), &expected));
        }
        if !self.scale.is_finite() || self.scale == 0.0 {
            return Err(invalid("scale", &self.scale.to_string(), "a finite number other than 0"));
        }
        for (key, values, usable) in
            [("mean", &self.mean, |v: f32| v.is_finite()), ("std", &self.std, |v| v.is_finite() && v != 0.0)]
                as [(&str, &Vec<f32>, fn(f32) -> bool); 2]
        {
            if values.len() != self.channels || !values.iter().all(|&value| usable(value)) {
                let expected =
                    format!("one finite number for each of {} channels (std not 0)", self.channels);
                return Err(invalid(key, &join(values), &expected));
            }
        }
        Ok(())
    }

    /// Returns the settings as pairs of strings for a model file's metadata. [`Preprocessing::from_pairs`] restores
    /// them exactly.
    pub fn to_pairs(&self) -> BTreeMap<String, String> {
        let values = [
            self.channels.to_string(),
            self.height.to_string(),
            self.width.to_string(),
            self.resize.to_string(),
            self.scale.to_string(),
            join(&self.mean),
            join(&self.std),
            self.order.name().to_owned(),
        ];
        KEYS.iter().map(|key| (*key).to_owned()).zip(values).collect()
    }

    /// Parses the pairs written by [`Preprocessing::to_pairs`]. Sizes are required; other missing settings take the
    /// values of [`Preprocessing::new`]. A single mean or std applies to all channels. Unknown keys are ignored.
    pub fn from_pairs(pairs: &BTreeMap<String, String>) -> Result<Self, DataError> {
        let size = |key: &str| number(pairs, key)?.ok_or_else(|| invalid(key, "missing", "a whole number"));
        let shape = [size("channels")?, size("height")?, size("width")?];
        if shape.iter().any(|side| !(1..=super::MAX_SIDE).contains(side)) {
            return Err(invalid(
                "shape",
                &format!("{shape:?}"),
                &format!("sides of 1 to {}", super::MAX_SIDE),
            ));
        }
        let mut read = Self::new(shape);
        if let Some(text) = pairs.get("resize") {
            read.resize = text.parse().map_err(|_| invalid("resize", text, "squash, crop or shorter:256"))?;
        }
        if let Some(text) = pairs.get("channel_order") {
            read.order = text.parse().map_err(|_| invalid("channel_order", text, "rgb or bgr"))?;
        }
        if let Some(scale) = number(pairs, "scale")? {
            read.scale = scale;
        }
        for (key, target) in [("mean", &mut read.mean), ("std", &mut read.std)] {
            let Some(text) = pairs.get(key) else { continue };
            let values: Result<Vec<f32>, _> = text.split(',').map(|value| value.trim().parse()).collect();
            let values = values.map_err(|_| invalid(key, text, "numbers separated by commas"))?;
            *target = if let [value] = values[..] { vec![value; shape[0]] } else { values };
        }
        read.validate()?;
        Ok(read)
    }

    /// Returns the image as the model sees it, before scaling and normalisation (for display) and after (as model
    /// input).
    pub fn apply(&self, raster: Raster) -> Result<(Raster, Vec<f32>), DataError> {
        if !matches!(self.channels, 1 | 3) {
            return Err(invalid(
                "channels",
                &self.channels.to_string(),
                "1 or 3, since pictures are grey or colour; use an array",
            ));
        }
        // Reduce channels first: resizing is linear, and grey takes a third of the work.
        let raster = if self.channels == 1 { raster.with_channels(1) } else { raster };
        let seen = raster
            .resized(self.height, self.width, self.resize)
            .ok_or_else(|| {
                invalid(
                    "height, width",
                    &format!("{} × {}", self.height, self.width),
                    "a size pictures can have",
                )
            })?
            .with_channels(self.channels);
        let mut pixels = seen.values.clone();
        self.prepare(&mut pixels);
        Ok((seen, pixels))
    }

    /// Converts pixels from 0 to 1, `c*h*w` values, to the model's input: channel order, scale, mean and standard
    /// deviation.
    pub fn prepare(&self, pixels: &mut [f32]) {
        let area = (self.height * self.width).max(1);
        if let (ChannelOrder::Bgr, [red, _, blue]) =
            (self.order, pixels.chunks_exact_mut(area).collect::<Vec<_>>().as_mut_slice())
        {
            red.swap_with_slice(blue);
        }
        for ((plane, mean), std) in pixels.chunks_exact_mut(area).zip(&self.mean).zip(&self.std) {
            for value in plane {
                *value = (*value * self.scale - mean) / std;
            }
        }
    }

    /// True if pixels from 0 to 1 are passed in unchanged.
    pub fn keeps_values(&self) -> bool {
        let plain = Self::new(self.shape());
        (self.scale, &self.mean, &self.std, self.order) == (plain.scale, &plain.mean, &plain.std, plain.order)
    }

    /// Describes range, mean and standard deviation of the values for the user: `0…1, less 0.485, 0.456, 0.406`.
    pub fn in_words(&self) -> String {
        let mut text = format!("0…{}", self.scale);
        let numbers = |values: &[f32]| {
            let same = values.iter().all(|v| Some(v) == values.first());
            let shown = if same { values.get(..1).unwrap_or_default() } else { values };
            shown.iter().map(f32::to_string).collect::<Vec<_>>().join(", ")
        };
        // Writing to a String cannot fail.
        if self.mean.iter().any(|&v| v != 0.0) {
            let _ = write!(text, ", less {}", numbers(&self.mean));
        }
        if self.std.iter().any(|&v| v != 1.0) {
            let _ = write!(text, ", divided by {}", numbers(&self.std));
        }
        if self.order == ChannelOrder::Bgr {
            text.push_str(", blue first");
        }
        text
    }
}

fn number<T: FromStr>(pairs: &BTreeMap<String, String>, key: &str) -> Result<Option<T>, DataError> {
    let Some(text) = pairs.get(key) else { return Ok(None) };
    text.trim().parse().map(Some).map_err(|_| invalid(key, text, "a number"))
}

fn invalid(key: &str, found: &str, expected: &str) -> DataError {
    DataError::Preprocessing { key: key.to_owned(), found: found.to_owned(), expected: expected.to_owned() }
}

fn join(values: &[f32]) -> String {
    let mut text = String::new();
    for (position, value) in values.iter().enumerate() {
        let comma = if position == 0 { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imagenet() -> Preprocessing {
        let mut settings = Preprocessing::new([3, 2, 2]);
        settings.mean = vec![0.485, 0.456, 0.406];
        settings.std = vec![0.229, 0.224, 0.225];
        settings.resize = Resize::Crop;
        settings
    }

    #[test]
    fn pairs_read_back_exactly() {
        let mut settings = imagenet();
        settings.scale = 255.0 / 3.0;
        assert_eq!(Preprocessing::from_pairs(&settings.to_pairs()).unwrap(), settings);
    }

    #[test]
    fn the_formula() {
        let mut settings = imagenet();
        settings.scale = 2.0;
        let white = Raster { channels: 1, height: 2, width: 2, values: vec![1.0; 4] };
        let (seen, pixels) = settings.apply(white).unwrap();
        assert_eq!(seen.values, [1.0; 12]);
        for (channel, plane) in pixels.chunks_exact(4).enumerate() {
            assert_eq!(plane, [(2.0 - settings.mean[channel]) / settings.std[channel]; 4]);
        }
    }

    #[test]
    fn shorter_sides_are_torchvisions() {
        // torchvision: Resize(256) gives (256, int(256 · 640 / 427)) = (256, 383); CenterCrop(224) starts at round(16)
        // and round(79.5), which Python rounds to 80.
        let found = Resize::Shorter(256).scaled([427, 640], [224, 224]);
        assert_eq!(found, Some(([256, 383], [16, 80])));
        // round(0.5) is 0, round(1.5) is 2, round(2.5) is 2.
        for (long, at) in [(5, 0), (7, 2), (9, 2), (8, 2)] {
            assert_eq!(Resize::Shorter(4).scaled([4, long], [4, 4]), Some(([4, long], [0, at])), "{long}");
        }
        let window = Resize::Shorter(256).window([512, 1024], [224, 224]);
        assert_eq!(window, [32.0, 288.0, 448.0, 448.0]);
        assert_eq!("shorter:256".parse(), Ok(Resize::Shorter(256)));
        assert!("shorter:0".parse::<Resize>().is_err());
        let mut settings = Preprocessing::new([3, 224, 224]);
        settings.resize = Resize::Shorter(200);
        assert!(settings.validate().unwrap_err().to_string().contains("covers the model's 224 × 224"));
        settings.resize = Resize::Shorter(256);
        assert_eq!(Preprocessing::from_pairs(&settings.to_pairs()).unwrap(), settings);
    }

    #[test]
    fn nonsense_is_refused() {
        let refused = |key: &str, value: &str| {
            let mut pairs = imagenet().to_pairs();
            pairs.insert(key.to_owned(), value.to_owned());
            assert!(Preprocessing::from_pairs(&pairs).is_err(), "{key} = {value}");
        };
        refused("channels", "three");
        refused("height", "0");
        refused("width", "99999999999");
        refused("resize", "stretch");
        refused("channel_order", "gbr");
        refused("scale", "nan");
        refused("mean", "0.1,0.2");
        refused("mean", "0.1,,0.2");
        refused("std", "0");
        let mut pairs = imagenet().to_pairs();
        pairs.remove("width");
        assert!(Preprocessing::from_pairs(&pairs).unwrap_err().to_string().contains("width is missing"));
        pairs = BTreeMap::from(
            [("channels", "3"), ("height", "4"), ("width", "5"), ("std", "2")]
                .map(|(k, v)| (k.into(), v.into())),
        );
        assert_eq!(Preprocessing::from_pairs(&pairs).unwrap().std, [2.0; 3]);
    }
}
