//! Parsers of flag values.

use std::str::FromStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

/// Words of a flag, each with the sentence that `--help` prints beside it.
pub(super) type Words = &'static [(&'static str, &'static str)];

/// Reads one of these words.
pub(super) fn one_of(words: Words) -> PossibleValuesParser {
    listed(words.iter().copied())
}

/// Reads one of these words as the type it names.
pub(super) fn parsed<T>(
    words: impl IntoIterator<Item = (&'static str, &'static str)>,
) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err = String> + Clone + Send + Sync + 'static,
{
    listed(words).try_map(|word| word.parse::<T>())
}

/// Reads the value beside one of these words.
pub(super) fn words<T: Clone + Send + Sync + 'static>(
    table: &'static [(&'static str, &'static str, T)],
) -> impl TypedValueParser<Value = T> {
    listed(table.iter().map(|(word, about, _)| (*word, *about))).try_map(|given| {
        let found = table.iter().find(|(word, ..)| *word == given);
        found.map(|(.., value)| value.clone()).ok_or("not one of the words")
    })
}

fn listed(words: impl IntoIterator<Item = (&'static str, &'static str)>) -> PossibleValuesParser {
    words.into_iter().map(|(word, about)| PossibleValue::new(word).help(about)).collect::<Vec<_>>().into()
}

/// Reads a number of bytes.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let units = [("GiB", 30), ("GB", 30), ("G", 30), ("MiB", 20), ("MB", 20), ("M", 20)];
    let (number, shift) = units
        .iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)))
        .ok_or("expected a number and a unit, such as 4GiB or 500MiB")?;
    let number: u64 =
        number.trim().parse().map_err(|_| "expected a whole number before the unit".to_owned())?;
    number
        .checked_shl(shift)
        .filter(|b| *b >= 1 << 20 && b >> shift == number)
        .ok_or("expected 1MiB or more".to_owned())
}

/// Reads a number from 0 to 1.
pub(super) fn share(text: &str) -> Result<f32, String> {
    let number = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    number.ok_or_else(|| format!("found {text:?}, expected a number from 0 to 1"))
}

/// Reads a whole number from 1 on.
pub(super) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err(format!("expected a whole number from 1 on, found {text:?}")),
        Ok(number) => Ok(number),
    }
}
