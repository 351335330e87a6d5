//! From a number to a colour.
//!
//! The default for heat is `Inferno`: its lightness rises evenly with the value, so that equal steps look equal, also
//! in grey print and to colour-blind eyes, and it starts at black: no heat, no light. Signed maps use `RedBlue`, whose
//! two ends stay apart in every common colour blindness and whose middle is a neutral light grey. `Jet` invents edges
//! where the data have none and is there for comparison with older pictures only.

/// A colour map; see the module for which to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Colormap {
    /// Black through purple and orange to pale yellow, for values from 0 to 1.
    #[default]
    Inferno,
    /// Dark blue through green to yellow, for values from 0 to 1.
    Viridis,
    /// Black to white, for values from 0 to 1.
    Grey,
    /// Blue through green to red, for values from 0 to 1; not perceptually uniform.
    Jet,
    /// Blue for −1, neutral for 0, red for 1.
    RedBlue,
}

/// Coefficients by ascending power of polynomials fitted to Matplotlib's maps by M. Zucker (CC0),
/// <https://www.shadertoy.com/view/WlfXRN>; at most 3 % off the tables.
type Polynomial = [[f64; 3]; 7];

const VIRIDIS: Polynomial = [
    [0.277_727_327_2, 0.005_407_344_5, 0.334_099_805_3],
    [0.105_093_043_1, 1.404_613_529_9, 1.384_590_162_6],
    [-0.330_861_828_7, 0.214_847_559_5, 0.095_095_163_0],
    [-4.634_230_499_0, -5.799_100_973_4, -19.332_440_956_3],
    [6.228_269_936_3, 14.179_933_366_8, 56.690_552_600_7],
    [4.776_384_997_7, -13.745_145_377_7, -65.353_032_633_4],
    [-5.435_455_855_9, 4.645_852_612_2, 26.312_435_249_6],
];

const INFERNO: Polynomial = [
    [0.000_218_940_4, 0.001_651_004_6, -0.019_480_898_4],
    [0.106_513_419_5, 0.563_956_436_8, 3.932_712_388_9],
    [11.602_493_082_5, -3.972_853_965_7, -15.942_394_106_3],
    [-41.703_996_131_4, 17.436_398_882_1, 44.354_145_198_7],
    [77.162_935_699_4, -33.402_358_942_1, -81.807_309_257_4],
    [-71.319_428_245_0, 32.626_064_264_0, 73.209_519_858_0],
    [25.131_126_224_8, -12.242_668_952_4, -23.070_325_002_9],
];

/// ColorBrewer's `RdBu` of 11 classes from blue to red (C. Brewer, Apache-2.0), <https://colorbrewer2.org>.
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
    /// The colour of `value`; values beyond the map's range take the colour of its end.
    pub fn color(self, value: f32) -> [u8; 3] {
        let t = f64::from(value).clamp(0.0, 1.0);
        match self {
            Self::Inferno => polynomial(&INFERNO, t),
            Self::Viridis => polynomial(&VIRIDIS, t),
            Self::Grey => [byte(t); 3],
            Self::Jet => [3.0, 2.0, 1.0].map(|peak| byte(1.5 - (4.0 * t - peak).abs())),
            Self::RedBlue => red_blue(f64::from(value).clamp(-1.0, 1.0)),
        }
    }

    /// The colours looked up instead of computed: for whole pictures.
    pub fn table(self) -> Table {
        let (low, steps) = (self.low(), Table::STEPS);
        let value = |step: u16| low + (1.0 - low) * f32::from(step) / f32::from(steps);
        Table { low, colors: (0..=steps).map(|step| self.color(value(step))).collect() }
    }

    /// The least value the map shows: −1 for signed maps, otherwise 0. The largest is 1.
    pub fn low(self) -> f32 {
        if self == Self::RedBlue { -1.0 } else { 0.0 }
    }
}

/// The colours of evenly spaced values; 0 is one of them.
#[derive(Debug, Clone)]
pub struct Table {
    low: f32,
    colors: Vec<[u8; 3]>,
}

impl Table {
    /// Steps from the least value to 1: finer than the 256 levels of a colour.
    const STEPS: u16 = 1 << 11;

    /// The colour of the entry nearest to `value`; values beyond the map's range take the colour of its end.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the table")]
    pub fn color(&self, value: f32) -> [u8; 3] {
        let share = ((value - self.low) / (1.0 - self.low)).clamp(0.0, 1.0);
        self.colors[(share * f32::from(Self::STEPS) + 0.5) as usize]
    }
}

fn polynomial(coefficients: &Polynomial, t: f64) -> [u8; 3] {
    let mut color = [0.0; 3];
    for row in coefficients.iter().rev() {
        for (value, coefficient) in color.iter_mut().zip(row) {
            *value = *value * t + coefficient;
        }
    }
    color.map(byte)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 9")]
fn red_blue(value: f64) -> [u8; 3] {
    let position = (value + 1.0) * 5.0;
    let below = (position.floor() as usize).min(RED_BLUE.len() - 2);
    let share = position - below as f64;
    let [low, high] = [RED_BLUE[below], RED_BLUE[below + 1]];
    [0, 1, 2].map(|i| byte((f64::from(low[i]) * (1.0 - share) + f64::from(high[i]) * share) / 255.0))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=255")]
fn byte(value: f64) -> u8 {
    (value * 255.0).round().clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: [u8; 3], expected: [f64; 3]) -> bool {
        found
            .iter()
            .zip(expected)
            .all(|(&found, expected)| (f64::from(found) / 255.0 - expected).abs() < 0.03)
    }

    #[test]
    fn polynomials_follow_the_published_tables() {
        // Matplotlib 3: entries 0, 64, 128, 192 and 255 of each table.
        let inferno = [
            [0.001462, 0.000466, 0.013866],
            [0.341500, 0.062325, 0.429425],
            [0.735683, 0.215906, 0.330245],
            [0.978422, 0.557937, 0.034931],
            [0.988362, 0.998364, 0.644924],
        ];
        let viridis = [
            [0.267004, 0.004874, 0.329415],
            [0.229739, 0.322361, 0.545706],
            [0.127568, 0.566949, 0.550556],
            [0.369214, 0.788888, 0.382914],
            [0.993248, 0.906157, 0.143936],
        ];
        for (i, t) in [0.0, 64.0 / 255.0, 128.0 / 255.0, 192.0 / 255.0, 1.0].into_iter().enumerate() {
            assert!(
                near(Colormap::Inferno.color(t), inferno[i]),
                "inferno {t}: {:?}",
                Colormap::Inferno.color(t)
            );
            assert!(
                near(Colormap::Viridis.color(t), viridis[i]),
                "viridis {t}: {:?}",
                Colormap::Viridis.color(t)
            );
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
        let maps = [Colormap::Inferno, Colormap::Viridis, Colormap::Grey, Colormap::Jet, Colormap::RedBlue];
        for map in maps {
            let table = map.table();
            for value in [-9.0, -1.0, 0.0, f32::MIN_POSITIVE, 1.0, 9.0] {
                assert_eq!(table.color(value), map.color(value), "{map:?} {value}");
            }
            for value in (0..999_u16).map(|i| f32::from(i) / 499.0 - 1.0) {
                let near = |(a, b): (u8, u8)| a.abs_diff(b) <= 1;
                let pairs = table.color(value).into_iter().zip(map.color(value));
                assert!(pairs.into_iter().all(near), "{map:?} {value}");
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
