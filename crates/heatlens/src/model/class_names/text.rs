//! Class names in plain text and in tables.

use std::collections::BTreeSet;

/// Decodes the bytes of a file: UTF-8 or UTF-16, with or without a byte order mark.
pub(super) fn decode(bytes: &[u8]) -> Result<String, String> {
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        // In UTF-16 without a byte order mark, one byte of each Latin letter is 0; plain text has no zeros.
        [0, second, ..] if *second != 0 => utf16(bytes, u16::from_be_bytes),
        [first, 0, ..] if *first != 0 => utf16(bytes, u16::from_le_bytes),
        _ => utf8(bytes),
    }
}

fn utf8(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        format!("the text is neither UTF-8 nor UTF-16 (byte {at}), perhaps Latin-1: save it as UTF-8")
    })
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, String> {
    let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
    String::from_utf16(&units).map_err(|_| "damaged UTF-16 text: save it as UTF-8".to_owned())
}

/// Parses one name per line, or a table of numbers (or `WordNet` identifiers) and names, with or without a heading.
pub(super) fn lines(text: &str, expected: usize) -> Vec<String> {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let headed = lines.len() == expected + 1;
    [Some(lines.as_slice()), lines.get(1..).filter(|_| headed)]
        .into_iter()
        .flatten()
        .find_map(table)
        .unwrap_or_else(|| lines.iter().map(|line| unquoted(line)).collect())
}

/// Returns the names of a table whose first or last column numbers them, ordered by number.
fn table(lines: &[&str]) -> Option<Vec<String>> {
    let names = [',', ';', '\t', ':', ' '].into_iter().find_map(|mark| {
        let first: Option<Vec<_>> = lines.iter().map(|line| line.split_once(mark)).collect();
        let first = first?;
        identified(&first).or_else(|| numbered(&first)).or_else(|| {
            // A number after a space is part of a name: "class 1".
            if matches!(mark, ':' | ' ') {
                return None;
            }
            let last = lines.iter().map(|line| line.rsplit_once(mark).map(|(name, key)| (key, name)));
            numbered(&last.collect::<Option<Vec<_>>>()?)
        })
    })?;
    let inner: Vec<(&str, &str)> =
        names.iter().filter_map(|name| name.split_once([',', ';', '\t', ' '])).collect();
    Some(identified(&inner).filter(|inner| inner.len() == names.len()).unwrap_or(names))
}

/// Returns the names that follow WordNet identifiers, in the order of the lines.
fn identified(rows: &[(&str, &str)]) -> Option<Vec<String>> {
    let all = !rows.is_empty() && rows.iter().all(|(key, _)| is_word_net(&unquoted(key)));
    all.then(|| rows.iter().map(|(_, name)| unquoted(name)).collect())
}

/// Returns the names ordered by their numbers. If most names are equal, the numbers are part of the names: "0 rings",
/// "1 rings".
fn numbered(rows: &[(&str, &str)]) -> Option<Vec<String>> {
    let pairs = rows.iter().map(|(key, name)| Some((unquoted(key).parse().ok()?, unquoted(name))));
    let names = super::in_order(pairs)?;
    let distinct: BTreeSet<&String> = names.iter().collect();
    (2 * distinct.len() > names.len()).then_some(names)
}

/// True for a WordNet identifier such as `n01440764`.
fn is_word_net(text: &str) -> bool {
    text.strip_prefix('n')
        .is_some_and(|digits| digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// Returns a field without surrounding quotes (RFC 4180).
fn unquoted(text: &str) -> String {
    let text = text.trim();
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    inner.map_or_else(|| text.to_owned(), |inner| inner.replace("\"\"", "\""))
}
