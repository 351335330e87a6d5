//! Similar names for an unknown one, and lookup of options by name.

/// Returns up to `most` of the names, the most similar first; ties keep their order. Case is ignored, and names that
/// contain the requested one come before those that are merely similar.
pub fn nearest<'n>(asked: &str, names: impl IntoIterator<Item = &'n str>, most: usize) -> Vec<&'n str> {
    let asked = asked.to_lowercase();
    let score = |name: &str| {
        let name = name.to_lowercase();
        let held = f64::from(u8::from(!asked.is_empty() && name.contains(&asked)));
        held + strsim::jaro_winkler(&name, &asked)
    };
    let mut scored: Vec<(f64, &str)> = names.into_iter().map(|name| (score(name), name)).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().take(most).map(|(_, name)| name).collect()
}

/// A value that users choose by its name: name, meaning in a few words, value.
pub type Named<T> = (&'static str, &'static str, T);

/// Returns the value called `word`, or a message that lists the valid names.
pub fn named<T>(word: &str, all: impl IntoIterator<Item = Named<T>>) -> Result<T, String> {
    let mut words = Vec::new();
    for (name, _, value) in all {
        if name == word {
            return Ok(value);
        }
        words.push(name);
    }
    let last = words.pop().unwrap_or_default();
    Err(format!("expected {} or {last}, found {word:?}", words.join(", ")))
}

/// Returns the name of a value; nothing if it has none.
pub fn name_of<T: PartialEq>(value: &T, all: &[Named<T>]) -> &'static str {
    all.iter().find(|(.., known)| known == value).map_or("", |(name, ..)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_similar_comes_first() {
        let names = ["tabby, tabby cat", "crane (bird)", "Persian cat", "crane (machine)", "dog"];
        assert_eq!(nearest("crain", names, 2), ["crane (bird)", "crane (machine)"]);
        assert_eq!(nearest("CAT", names, 2), ["Persian cat", "tabby, tabby cat"]);
    }

    #[test]
    fn a_word_stands_for_a_value_or_the_others_are_named() {
        let all = [("one", "", 1), ("two", "", 2), ("three", "", 3)];
        assert_eq!(named("two", all), Ok(2));
        assert_eq!(name_of(&3, &all), "three");
        assert_eq!(named("four", all).unwrap_err(), "expected one, two or three, found \"four\"");
    }
}
