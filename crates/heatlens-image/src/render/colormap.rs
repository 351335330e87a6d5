//! Colormaps.
//!
//! The default for heat is `Inferno`. Its lightness rises evenly with the value, so equal steps look equal, also in
//! greyscale print and to colour-blind readers, and it starts at black, so pixels without heat are dark. Signed
//! maps use `RedBlue`, whose ends remain distinguishable under all common forms of colour blindness and whose
//! middle is a neutral light grey. `Turbo` and `Jet` are rainbow maps: they show small differences but have no
//! natural order, and `Jet` shows edges that the data do not have. They are provided for comparison with older
//! pictures.
//!
//! Inferno, magma, plasma and viridis are the published tables of 256 colours.

use serde::{Deserialize, Serialize};

/// A colormap; see the module documentation for how to choose one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colormap {
    /// Black through purple and orange to pale yellow, for values from 0 to 1.
    #[default]
    Inferno,
    /// Black through purple and pink to pale yellow, for values from 0 to 1.
    Magma,
    /// Blue through magenta to yellow, for values from 0 to 1.
    Plasma,
    /// Dark blue through green to yellow, for values from 0 to 1.
    Viridis,
    /// Rainbow from dark blue to dark red with smooth lightness, for values from 0 to 1.
    Turbo,
    /// The older rainbow, blue through green to red, for values from 0 to 1; not perceptually uniform.
    Jet,
    /// Black to white, for values from 0 to 1.
    Grey,
    /// Blue for −1, neutral for 0, red for 1.
    RedBlue,
}

/// Evenly spaced colours of Turbo (A. Mikhailov, Google, Apache-2.0),
/// <https://research.google/blog/turbo-an-improved-rainbow-colormap-for-visualization/>. Linear interpolation
/// between them differs from the table of 256 by at most 2 of 255 levels.
const TURBO: [[u8; 3]; 33] = [
    [48, 18, 59],
    [57, 42, 115],
    [64, 64, 162],
    [68, 86, 199],
    [70, 107, 227],
    [70, 128, 246],
    [66, 147, 255],
    [55, 167, 250],
    [40, 187, 236],
    [29, 204, 217],
    [24, 220, 195],
    [30, 232, 176],
    [49, 242, 153],
    [76, 249, 126],
    [107, 254, 100],
    [138, 255, 76],
    [162, 252, 60],
    [184, 247, 53],
    [204, 237, 52],
    [222, 224, 55],
    [237, 208, 58],
    [247, 192, 58],
    [253, 173, 53],
    [254, 152, 44],
    [251, 128, 34],
    [245, 104, 24],
    [236, 82, 15],
    [225, 65, 9],
    [210, 49, 5],
    [193, 35, 2],
    [172, 23, 1],
    [149, 13, 1],
    [122, 4, 3],
];

/// ColorBrewer's `RdBu` with 11 classes, from blue to red (C. Brewer, Apache-2.0), <https://colorbrewer2.org>.
const RED_BLUE: [[u8; 3]; 11] = [
    [5, 48, 97],
    [33, 102, 172],
    [67, 147, 195],
    [146, 197, 222],
    [209, 229, 240],
    [247, 247, 247],
    [253, 219, 199],
    [244, 165, 130],
    [214, 96, 77],
    [178, 24, 43],
    [103, 0, 31],
];

impl Colormap {
    /// Names, descriptions and values of the colormaps for heat, the default first.
    pub const HEAT: [(&'static str, &'static str, Self); 7] = [
        (
            "inferno",
            "Black through purple and orange to pale yellow; its lightness rises evenly",
            Self::Inferno,
        ),
        ("magma", "Black through purple and pink to pale yellow", Self::Magma),
        ("plasma", "Blue through magenta to yellow", Self::Plasma),
        ("viridis", "Dark blue through green to yellow", Self::Viridis),
        ("turbo", "A rainbow with smooth lightness", Self::Turbo),
        ("jet", "The rainbow of older pictures; shows edges where there are none", Self::Jet),
        ("grey", "Black to white", Self::Grey),
    ];

    /// Returns the colour of `value`; values outside the map's range are clamped.
    pub fn color(self, value: f32) -> [u8; 3] {
        let low = f64::from(self.low());
        let t = ((f64::from(value) - low) / (1.0 - low)).clamp(0.0, 1.0);
        match self {
            Self::Inferno => published(&colorous::INFERNO, t),
            Self::Magma => published(&colorous::MAGMA, t),
            Self::Plasma => published(&colorous::PLASMA, t),
            Self::Viridis => published(&colorous::VIRIDIS, t),
            Self::Turbo => between(&TURBO, t),
            Self::Jet => [3.0, 2.0, 1.0].map(|peak| byte(1.5 - (4.0 * t - peak).abs())),
            Self::Grey => [byte(t); 3],
            Self::RedBlue => between(&RED_BLUE, t),
        }
    }

    /// Returns a lookup table of the colours, for drawing whole pictures.
    pub fn table(self) -> ColorTable {
        let (low, steps) = (self.low(), ColorTable::STEPS);
        let value = |step: u16| low + (1.0 - low) * f32::from(step) / f32::from(steps);
        ColorTable { low, colors: (0..=steps).map(|step| self.color(value(step))).collect() }
    }

    /// Returns the lowest value of the map: −1 for signed maps, otherwise 0. The highest is 1.
    pub fn low(self) -> f32 {
        if self == Self::RedBlue { -1.0 } else { 0.0 }
    }
}

/// Colours of evenly spaced values, 0 among them.
#[derive(Debug, Clone)]
pub struct ColorTable {
    low: f32,
    colors: Vec<[u8; 3]>,
}

impl ColorTable {
    /// Number of steps from the lowest value to 1: enough that no step is visible, and few enough that a heat map
    /// with its caption stays within 256 colours, one byte per pixel in a PNG.
    const STEPS: u16 = 200;

    /// Returns the index of the step nearest to `value`, clamped to the map's range.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the table")]
    #[inline]
    pub fn step(&self, value: f32) -> usize {
        let share = ((value - self.low) / (1.0 - self.low)).clamp(0.0, 1.0);
        (share * f32::from(Self::STEPS) + 0.5) as usize
    }

    /// Returns the values of the steps in order.
    pub fn values(&self) -> impl Iterator<Item = f32> {
        let low = self.low;
        (0..=Self::STEPS).map(move |step| low + (1.0 - low) * f32::from(step) / f32::from(Self::STEPS))
    }

    /// Returns the colours of the steps in order.
    pub fn colors(&self) -> &[[u8; 3]] {
        &self.colors
    }

    /// Returns the colour of the step nearest to `value`.
    #[inline]
    pub fn color(&self, value: f32) -> [u8; 3] {
        self.colors[self.step(value)]
    }
}

fn published(gradient: &colorous::Gradient, t: f64) -> [u8; 3] {
    gradient.eval_continuous(t).into_array()
}

/// Interpolates linearly between evenly spaced colours.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a position among the colours")]
fn between(colors: &[[u8; 3]], t: f64) -> [u8; 3] {
    let position = t * (colors.len() - 1) as f64;
    let below = (position.floor() as usize).min(colors.len() - 2);
    let share = position - below as f64;
    let [low, high] = [colors[below], colors[below + 1]];
    [0, 1, 2].map(|i| byte((f64::from(low[i]) * (1.0 - share) + f64::from(high[i]) * share) / 255.0))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=255")]
fn byte(value: f64) -> u8 {
    (value * 255.0).round().clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_those_of_the_published_tables() {
        // Matplotlib 3.11: entries 0, 64, 128, 192 and 255 of each table of 256, in 255ths.
        let tables = [
            (Colormap::Inferno, 1, [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]]),
            (Colormap::Magma, 1, [[0, 0, 4], [81, 18, 124], [183, 55, 121], [252, 137, 97], [252, 253, 191]]),
            (
                Colormap::Plasma,
                1,
                [[13, 8, 135], [126, 3, 168], [204, 71, 120], [248, 149, 64], [240, 249, 33]],
            ),
            (
                Colormap::Viridis,
                1,
                [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]],
            ),
            (Colormap::Turbo, 2, [[48, 18, 59], [40, 188, 235], [164, 252, 60], [251, 126, 33], [122, 4, 3]]),
        ];
        for (map, most, table) in tables {
            for (entry, expected) in [0_u8, 64, 128, 192, 255].into_iter().zip(table) {
                let found = map.color(f32::from(entry) / 255.0);
                let off = found.iter().zip(expected).map(|(a, b)| a.abs_diff(b)).max();
                assert!(off <= Some(most), "{map:?} {entry}: {found:?}, published {expected:?}");
            }
        }
    }

    #[test]
    fn heat_grows_lighter_all_the_way() {
        let luma = |t: f32| {
            let [r, g, b] = Colormap::Inferno.color(t).map(f64::from);
            0.2126 * r + 0.7152 * g + 0.0722 * b
        };
        for step in 0..64_u8 {
            assert!(luma(f32::from(step) / 64.0) < luma(f32::from(step + 1) / 64.0), "{step}");
        }
    }

    #[test]
    fn looked_up_colours_are_the_computed_ones() {
        for map in [Colormap::Inferno, Colormap::Turbo, Colormap::Grey, Colormap::Jet, Colormap::RedBlue] {
            let table = map.table();
            for value in [-9.0, -1.0, 0.0, f32::MIN_POSITIVE, 1.0, 9.0] {
                assert_eq!(table.color(value), map.color(value), "{map:?} {value}");
            }
            let half = (1.0 - map.low()) / 200.0 * 0.501;
            for value in (0..999_u16).map(|i| f32::from(i) / 499.0 - 1.0).filter(|v| *v >= map.low()) {
                let step = table.values().nth(table.step(value)).unwrap();
                assert!((step - value.min(1.0)).abs() <= half, "{map:?} {value}: {step}");
                assert_eq!(table.color(value), map.color(step), "{map:?} {value}");
            }
        }
    }

    #[test]
    fn zero_is_neutral_and_the_ends_are_red_and_blue() {
        let [r, g, b] = Colormap::RedBlue.color(0.0);
        assert!(r == g && g == b);
        assert_eq!(Colormap::RedBlue.color(1.0), [103, 0, 31]);
        assert_eq!(Colormap::RedBlue.color(-7.0), [5, 48, 97]);
        assert_eq!(Colormap::RedBlue.color(f32::MIN_POSITIVE), [r, g, b]);
        assert_eq!(Colormap::Jet.color(0.5), [128, 255, 128]);
    }
}
