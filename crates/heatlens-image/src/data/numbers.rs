//! Interpretation of an array's numbers: pixels like those of image files, or preprocessed model inputs.

use std::fmt;
use std::str::FromStr;

use super::{ElementType, Preprocessing};
use crate::extremes::extremes;

/// Arrays that are treated as pixels and preprocessed like image files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ArrayNumbers {
    /// Integers of at least 0 and floats from 0 to 255; other floats are passed in unchanged. For training, and for
    /// models with known preprocessing.
    #[default]
    Pixels,
    /// Integers of at least 0. Floats are passed in unchanged, as to the network in Python. For model files without
    /// preprocessing information.
    IntegerPixels,
    /// None: all numbers are passed in unchanged.
    Raw,
}

/// Scale of pixels, as given by the user.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale {
    /// No scaling: arrays are passed in unchanged, image files as bytes from 0 to 255.
    Raw,
    /// Factor on pixels from 0 to 1.
    Factor(f32),
}

impl FromStr for Scale {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if text == "raw" => Ok(Self::Raw),
            Ok(factor) => Ok(Self::Factor(factor)),
            Err(_) => Err(format!("expected a number such as 255, or raw, found \"{text}\"")),
        }
    }
}

/// Upper bound of floats from 0 to 1 after interpolation.
const OVERSHOOT: f32 = 1.5;

/// Conversion of an array's numbers to a model's input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Reading {
    /// Division by this number gives pixels from 0 to 1, which are preprocessed like image files.
    Pixels(f32),
    /// Numbers are passed in unchanged.
    AsTheyAre,
}

/// Smallest and largest finite number of an array.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    pub(super) low: f32,
    pub(super) high: f32,
}

impl Range {
    pub(super) fn of(values: &[f32]) -> Option<Self> {
        let [low, high] = extremes(values);
        if low.is_finite() && high.is_finite() {
            return Some(Self { low, high });
        }
        let finite = values.iter().filter(|v| v.is_finite());
        finite.map(|&v| Self { low: v, high: v }).reduce(Self::and)
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.max(other.high) }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "from {} to {}", self.low, self.high)
    }
}

/// True if the interpretation of an array depends on its range; for bytes and booleans it follows from the type.
pub(super) fn depends_on_range(element: ElementType) -> bool {
    !matches!(element, ElementType::Bool | ElementType::Unsigned(1))
}

/// Returns the interpretation of an array's numbers by type and range, with a note for the user.
pub(super) fn reading(
    element: ElementType,
    range: Option<Range>,
    numbers: ArrayNumbers,
    settings: &Preprocessing,
) -> (Reading, Option<String>) {
    let Some(range) = range else { return (Reading::Pixels(1.0), None) };
    let (reading, note) = match element {
        ElementType::Bool => (Reading::Pixels(1.0), None),
        ElementType::Unsigned(_) | ElementType::Signed(_) => integers(element, range),
        ElementType::Float(_) if numbers == ArrayNumbers::IntegerPixels => (Reading::AsTheyAre, None),
        ElementType::Float(_) => floats(range, settings),
    };
    if numbers == ArrayNumbers::Raw { (Reading::AsTheyAre, None) } else { (reading, note) }
}

/// Returns the number in an array that corresponds to full intensity in an image file, so that a model trained on the
/// unchanged array receives image files in the same range.
pub(super) fn full_value(element: ElementType, range: Option<Range>, settings: &Preprocessing) -> f32 {
    match reading(element, range, ArrayNumbers::Pixels, settings).0 {
        Reading::Pixels(full) => full,
        Reading::AsTheyAre => 1.0,
    }
}

fn integers(element: ElementType, range: Range) -> (Reading, Option<String>) {
    let black = "the integers are all 0 or 1, which is almost black when scaled like image files (divided by \
        255); --scale raw takes 0 and 1 as they are, and so does an array of bool or float";
    match range {
        Range { low, .. } if low < 0.0 => {
            let note = format!(
                "integers {range} are not pixel values (expected 0 to 255 or 65535): they are used as they \
                 are"
            );
            (Reading::AsTheyAre, Some(note))
        }
        Range { high: 1.0, .. } => (Reading::Pixels(255.0), Some(black.to_owned())),
        Range { high, .. } if high <= 255.0 || element == ElementType::Unsigned(1) => {
            (Reading::Pixels(255.0), None)
        }
        Range { high, .. } if high <= 65535.0 => {
            let note = format!(
                "integers {range} are taken as 16-bit pixels and divided by 65535, like 16-bit image files; \
                 --scale raw takes them as they are"
            );
            (Reading::Pixels(65535.0), Some(note))
        }
        _ => {
            let note = format!(
                "integers {range} are not pixel values (expected 0 to 255 or 65535): they are used as they \
                 are"
            );
            (Reading::AsTheyAre, Some(note))
        }
    }
}

fn floats(range: Range, settings: &Preprocessing) -> (Reading, Option<String>) {
    let as_they_are = "--scale raw takes them as they are";
    match range {
        Range { low, high } if low < 0.0 || high > 255.0 => {
            let note = format!(
                "floats {range} are taken as model input that is already prepared: they are used as they \
                 are, while image files go in as {}",
                settings.in_words()
            );
            (Reading::AsTheyAre, Some(note))
        }
        Range { high, .. } if high > OVERSHOOT => {
            let note = format!(
                "floats {range} are taken as pixels from 0 to 255 and divided by 255, like image files; \
                 {as_they_are}"
            );
            (Reading::Pixels(255.0), Some(note))
        }
        Range { high, .. } => {
            let note = format!(
                "floats {range} are taken as pixels from 0 to 1 and prepared like image files ({}); \
                 {as_they_are}",
                settings.in_words()
            );
            (Reading::Pixels(1.0), (high > 1.0 || !settings.keeps_values()).then_some(note))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const U8: ElementType = ElementType::Unsigned(1);
    const I64: ElementType = ElementType::Signed(8);
    const F32: ElementType = ElementType::Float(4);

    fn read(
        element: ElementType,
        [low, high]: [f32; 2],
        numbers: ArrayNumbers,
        settings: &Preprocessing,
    ) -> (Reading, String) {
        let (reading, note) = reading(element, Some(Range { low, high }), numbers, settings);
        (reading, note.unwrap_or_default())
    }

    #[test]
    fn type_and_range_say_what_numbers_are() {
        let plain = Preprocessing::new([3, 2, 2]);
        let (byte, word, unit, raw) =
            (Reading::Pixels(255.0), Reading::Pixels(65535.0), Reading::Pixels(1.0), Reading::AsTheyAre);
        for (element, range, expected, said) in [
            (ElementType::Bool, [0.0, 1.0], unit, ""),
            (U8, [0.0, 255.0], byte, ""),
            (U8, [0.0, 0.0], byte, ""),
            (U8, [0.0, 1.0], byte, "almost black"),
            (I64, [3.0, 200.0], byte, ""),
            (I64, [0.0, 4095.0], word, "divided by 65535"),
            (I64, [-1.0, 200.0], raw, "as they are"),
            (I64, [0.0, 1e6], raw, "as they are"),
            (F32, [0.0, 1.0], unit, ""),
            (F32, [0.0, 1.04], unit, "from 0 to 1.04"),
            (F32, [0.0, 231.5], byte, "divided by 255"),
            (F32, [0.0, 1.6], byte, "divided by 255"),
            (F32, [-2.1, 2.6], raw, "already prepared"),
            (F32, [0.0, 300.0], raw, "already prepared"),
        ] {
            let (found, note) = read(element, range, ArrayNumbers::Pixels, &plain);
            assert_eq!(found, expected, "{element:?} {range:?}");
            assert!(if said.is_empty() { note.is_empty() } else { note.contains(said) }, "{note}");
            assert_eq!(read(element, range, ArrayNumbers::Raw, &plain), (raw, String::new()));
        }
        for range in [[0.0, 1.0], [0.0, 255.0], [-1.0, 1.0]] {
            assert_eq!(read(F32, range, ArrayNumbers::IntegerPixels, &plain), (raw, String::new()));
            assert_eq!(read(U8, [0.0, 9.0], ArrayNumbers::IntegerPixels, &plain).0, byte);
        }
    }

    #[test]
    fn what_is_done_to_floats_is_said_where_they_change() {
        let mut tf = Preprocessing::new([3, 2, 2]);
        super::super::Preset::Tf.apply(&mut tf).unwrap();
        let (found, note) = read(F32, [0.0, 1.0], ArrayNumbers::Pixels, &tf);
        assert_eq!(found, Reading::Pixels(1.0));
        assert!(note.contains("prepared like image files (0…2, less 1)"), "{note}");
        assert!(
            read(F32, [-1.0, 1.0], ArrayNumbers::Pixels, &tf).1.contains("image files go in as 0…2, less 1")
        );
    }

    #[test]
    fn the_range_leaves_out_what_is_no_number() {
        assert_eq!(Range::of(&[f32::NAN, 2.0, -1.0, f32::INFINITY]), Some(Range { low: -1.0, high: 2.0 }));
        assert_eq!(Range::of(&[f32::NAN, 2.0, -1.0]), Some(Range { low: -1.0, high: 2.0 }));
        for values in [&[][..], &[f32::NAN], &[f32::INFINITY, f32::NEG_INFINITY]] {
            assert_eq!(Range::of(values), None, "{values:?}");
        }
        assert_eq!("raw".parse(), Ok(Scale::Raw));
        assert_eq!("0.5".parse(), Ok(Scale::Factor(0.5)));
        assert!("rwa".parse::<Scale>().unwrap_err().contains("raw, found \"rwa\""));
    }
}
