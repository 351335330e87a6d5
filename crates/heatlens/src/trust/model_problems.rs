//! Problems in a model's outputs and activations, with advice: saturated or constant outputs, and dead layers.

use std::fmt;

/// Total probability of all other classes below which the winner's rounds to 1 in `f32`: half the distance from 1
/// to the next smaller number.
const LOST_BESIDE_ONE: f64 = 1.0 / (1u64 << 25) as f64;

/// A problem in a model's outputs over a set of images.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum OutputProblem {
    /// Infinite or NaN outputs.
    NotFinite {
        /// Number of affected images.
        images: usize,
        /// Number of images.
        of: usize,
    },
    /// Logits so large that the probability rounds to exactly 0 or 1 in `f32`.
    Saturated {
        /// Number of affected images.
        images: usize,
        /// Number of images.
        of: usize,
    },
    /// The same logits for every image.
    Constant {
        /// Number of images.
        of: usize,
    },
}

/// Finds problems in logits of shape `n k`.
#[must_use]
pub fn output_problems(logits: &[f32], outputs: usize) -> Vec<OutputProblem> {
    let rows: Vec<&[f32]> = logits.chunks_exact(outputs.max(1)).collect();
    let of = rows.len();
    let count = |wrong: &dyn Fn(&[f32]) -> bool| rows.iter().filter(|r| wrong(r)).count();
    let mut problems = Vec::new();
    let images = count(&|row| row.iter().any(|z| !z.is_finite()));
    if images > 0 {
        problems.push(OutputProblem::NotFinite { images, of });
    }
    let images = count(&is_saturated);
    if images > 0 {
        problems.push(OutputProblem::Saturated { images, of });
    }
    if of > 1 && rows.windows(2).all(|pair| same(rows[0], pair[1])) {
        problems.push(OutputProblem::Constant { of });
    }
    problems
}

/// Returns true if the most probable class of a row of finite logits has a probability of exactly 1 in `f32`.
#[must_use]
pub fn is_saturated(row: &[f32]) -> bool {
    if row.iter().any(|z| !z.is_finite()) {
        return false;
    }
    if let [z] = row {
        return (-f64::from(z.abs())).exp() < LOST_BESIDE_ONE;
    }
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let all: f64 = row.iter().map(|&z| (f64::from(z) - f64::from(largest)).exp()).sum();
    row.len() > 1 && all - 1.0 < LOST_BESIDE_ONE
}

/// Returns true if the rows are equal up to the rounding of `f32` sums.
fn same(a: &[f32], b: &[f32]) -> bool {
    a.iter().zip(b).all(|(x, y)| (x - y).abs() <= 1e-6 * x.abs().max(y.abs()))
}

impl fmt::Display for OutputProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFinite { images, of } => write!(
                f,
                "the model's output is infinite or not a number for {images} of {of} images: check the images and the preprocessing; a model that diverged in training needs a lower learning rate"
            ),
            Self::Saturated { images, of } => write!(
                f,
                "for {images} of {of} images the model is so confident that the probability rounds to \
                 exactly 0 or 1: gradients of the probability vanish there, so explain the logit (the \
                 default score), and check that the images are scaled as in training"
            ),
            Self::Constant { of } => write!(
                f,
                "the model gives the same output for all {of} images: it ignores them; check the scaling of the images, or train again with another seed or a lower learning rate"
            ),
        }
    }
}

/// Maximum number of channels named; the rest is counted.
const NAMED: usize = 10;
/// Maximum number of layers with dead channels named.
const NAMED_LAYERS: usize = 3;

/// A layer, or some of its channels, that is zero on every image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadChannels {
    /// Name of the layer.
    pub layer: String,
    /// Dead channels, ascending.
    pub dead: Vec<usize>,
    /// Number of channels of the layer.
    pub of: usize,
}

/// Updates the largest magnitude of each channel with one sample's activations of shape `c …`, with c =
/// `peaks.len()`. Start from zeros.
pub fn update_peaks(peaks: &mut [f32], activations: &[f32]) {
    let area = activations.len() / peaks.len().max(1);
    if area == 0 {
        return;
    }
    for (peak, channel) in peaks.iter_mut().zip(activations.chunks_exact(area)) {
        // A channel with NaN is not dead.
        let alive = |top: f32, a: &f32| if a.is_nan() { f32::INFINITY } else { top.max(a.abs()) };
        *peak = channel.iter().fold(*peak, alive);
    }
}

/// Returns the channels whose peak over the data is zero, if any.
#[must_use]
pub fn dead_channels(layer: &str, peaks: &[f32]) -> Option<DeadChannels> {
    let dead: Vec<usize> = (0..peaks.len()).filter(|&c| peaks[c] == 0.0).collect();
    (!dead.is_empty()).then(|| DeadChannels { layer: layer.to_owned(), dead, of: peaks.len() })
}

impl DeadChannels {
    /// Returns true if no channel of the layer is ever active.
    #[must_use]
    pub fn whole_layer(&self) -> bool {
        self.dead.len() == self.of
    }
}

/// Describes dead channels: one sentence for layers that are entirely dead, one for the others. Advice on training
/// is only given in training.
#[must_use]
pub fn dead_channel_problems(dead: &[DeadChannels], in_training: bool) -> Vec<String> {
    let (whole, part): (Vec<&DeadChannels>, Vec<&DeadChannels>) = dead.iter().partition(|d| d.whole_layer());
    let sentence = |layers: &[&DeadChannels], advice: &str| {
        let text = match layers {
            [] => return None,
            [one] => one.to_string(),
            [first, ..] if first.whole_layer() => format!(
                "{} layers are dead, all their channels zero on every image, so nothing can be seen there: {}",
                layers.len(),
                list(layers, |d| format!("{:?}", d.layer))
            ),
            _ => format!(
                "{} of {} channels in {} layers are zero on every image and add nothing to maps: {}",
                layers.iter().map(|d| d.dead.len()).sum::<usize>(),
                layers.iter().map(|d| d.of).sum::<usize>(),
                layers.len(),
                list(layers, |d| format!("{:?} {} of {}", d.layer, d.dead.len(), d.of))
            ),
        };
        Some(if in_training { format!("{text}; {advice}") } else { text })
    };
    [
        sentence(&whole, "train again with a lower learning rate or another seed"),
        sentence(&part, "a lower learning rate keeps more of them alive"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Lists the first few layers and the number of further ones.
fn list(layers: &[&DeadChannels], name: impl Fn(&DeadChannels) -> String) -> String {
    let shown: Vec<String> = layers.iter().take(NAMED_LAYERS).map(|d| name(d)).collect();
    match layers.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

impl fmt::Display for DeadChannels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { layer, dead, of } = self;
        if self.whole_layer() {
            return write!(
                f,
                "layer {layer:?} is dead: all {of} channels are zero on every image, so nothing can be seen there"
            );
        }
        let shown: Vec<String> = dead.iter().take(NAMED).map(usize::to_string).collect();
        let more = match dead.len() - shown.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        write!(
            f,
            "{} of {of} channels of layer {layer:?} are zero on every image (channels {}{more}) and add nothing to its maps",
            dead.len(),
            shown.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saturation_is_where_f32_rounds_to_one() {
        for z in [17.0f32, 17.3, 17.35, 18.0, 40.0, 1000.0] {
            #[allow(clippy::cast_possible_truncation)]
            let rounds = (1.0 / (1.0 + (-f64::from(z)).exp())) as f32 == 1.0;
            assert_eq!(is_saturated(&[z]), rounds, "{z}");
            assert_eq!(is_saturated(&[-z]), rounds, "{z}");
            assert_eq!(is_saturated(&[1.0, 1.0 + z, 1.0 - z]), rounds, "{z}");
        }
        assert!(!is_saturated(&[500.0, 500.0, 0.0]));
        assert!(!is_saturated(&[f32::INFINITY]) && !is_saturated(&[]) && !is_saturated(&[1e9, f32::NAN]));
    }

    #[test]
    fn problems_of_outputs_are_told_apart() {
        use OutputProblem::{Constant, NotFinite, Saturated};
        assert_eq!(output_problems(&[0.5, -3.0, 16.0], 1), []);
        assert_eq!(output_problems(&[0.5, -30.0, 40.0], 1), [Saturated { images: 2, of: 3 }]);
        assert_eq!(output_problems(&[0.5, f32::NAN, f32::INFINITY], 1), [NotFinite { images: 2, of: 3 }]);
        assert_eq!(output_problems(&[0.5, 0.500_000_1, 0.5], 1), [Constant { of: 3 }]);
        assert_eq!(output_problems(&[0.5, 0.501, 0.5], 1), []);
        assert_eq!(output_problems(&[1.0, 2.0, 1.0, 2.0], 2), [Constant { of: 2 }]);
        assert_eq!(output_problems(&[0.5], 1), [], "one image can't tell");
        assert_eq!(output_problems(&[], 1), []);
    }

    #[test]
    fn dead_channels_are_those_never_seen_alive() {
        let mut peaks = [0.0; 3];
        update_peaks(&mut peaks, &[0.0, 0.0, 0.0, -2.0, 0.0, 0.0]);
        assert_eq!(dead_channels("relu_2", &peaks).unwrap().dead, [0, 2]);
        update_peaks(&mut peaks, &[f32::NAN, 0.0, 0.0, 0.0, 0.0, 0.0]);
        let found = dead_channels("relu_2", &peaks).unwrap();
        assert!(found.to_string().starts_with("1 of 3 channels of layer \"relu_2\" are zero"), "{found}");
        assert_eq!(dead_channels("relu_2", &[1.0, 2.0]), None);
        assert!(dead_channels("relu_2", &[0.0; 20]).unwrap().to_string().contains("all 20 channels"));
        let many: Vec<f32> = (0..50).map(|c| if c < 47 { 0.0 } else { 1.0 }).collect();
        let named = dead_channels("relu_2", &many).unwrap().to_string();
        assert!(named.contains("(channels 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 37 more)"), "{named}");
    }

    #[test]
    fn a_network_from_elsewhere_gets_one_line_and_no_advice_how_to_train() {
        let layer = |name: &str, dead: usize| DeadChannels {
            layer: name.to_owned(),
            dead: (0..dead).collect(),
            of: 8,
        };
        let many: Vec<DeadChannels> = (0..10).map(|i| layer(&format!("relu_{i}"), 3)).collect();
        let found = dead_channel_problems(&many, false);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("30 of 80 channels in 10 layers are zero"), "{found:?}");
        assert!(found[0].ends_with("and 7 more") && !found[0].contains("learning rate"), "{found:?}");
        let trained = dead_channel_problems(&[layer("a", 8), layer("b", 1)], true);
        assert_eq!(trained.len(), 2);
        assert!(trained.iter().all(|text| text.contains("learning rate")), "{trained:?}");
        assert_eq!(dead_channel_problems(&[], true), Vec::<String>::new());
    }
}
