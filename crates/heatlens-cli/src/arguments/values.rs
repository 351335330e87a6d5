//! Parsers of flag values.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use heatlens::nearest::{Named, named};

/// Reads one of these words.
pub(super) fn one_of<T>(table: impl IntoIterator<Item = Named<T>>) -> PossibleValuesParser {
    table.into_iter().map(|(word, about, _)| PossibleValue::new(word).help(about)).collect::<Vec<_>>().into()
}

/// Reads one of these words as the value it names.
pub(super) fn value<T>(table: impl IntoIterator<Item = Named<T>>) -> impl TypedValueParser<Value = T>
where
    T: Clone + Send + Sync + 'static,
{
    let table: Vec<Named<T>> = table.into_iter().collect();
    one_of(table.iter().cloned()).try_map(move |given| named(&given, table.iter().cloned()))
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
