//! Damage to bytes of any format.

use crate::random::Random;

/// Returns a random range of `bytes` with a length of at most `most`.
fn part(random: &mut Random, bytes: &[u8], most: usize) -> std::ops::Range<usize> {
    let start = random.below(bytes.len() + 1);
    let len = random.below((bytes.len() - start).min(most) + 1);
    start..start + len
}

/// Damages `bytes` in one to six places; `other` is a file to take pieces from.
pub fn bytes(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..=random.below(6) {
        once(random, bytes, other);
    }
}

fn once(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = random.below(bytes.len());
    match random.below(11) {
        0 | 1 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
        2 if !bytes.is_empty() => bytes[at] = *random.of(&[0, 1, 0x7f, 0x80, 0xff, b'0', b'-', b'(']),
        3 => bytes.truncate(at),
        4 => {
            let range = part(random, bytes, 64);
            bytes.drain(range);
        }
        5 => {
            let range = part(random, bytes, 256);
            let copy = bytes[range].to_vec();
            bytes.splice(at..at, copy);
        }
        6 => {
            let range = part(random, other, 1024);
            bytes.splice(at..at, other[range].iter().copied());
        }
        7 => {
            let range = part(random, other, 64);
            let end = (at + range.len()).min(bytes.len());
            bytes.splice(at..end, other[range].iter().copied());
        }
        8 => {
            let value = random.integer().to_le_bytes();
            let end = (at + [2, 4, 8][random.below(3)]).min(bytes.len());
            let new = value[..end - at].to_vec();
            bytes.splice(at..end, new);
        }
        9 => cut_letter(random, bytes),
        _ => digits(random, bytes),
    }
}

/// Inserts a character of several bytes, whole or truncated, as in texts that were cut inside a character.
pub(crate) fn cut_letter(random: &mut Random, bytes: &mut Vec<u8>) {
    let letter = *random.of(&["ü", "–", "語", "🙂", "\u{feff}", "\u{202e}"]);
    let kept = 1 + random.below(letter.len());
    let at = random.below(bytes.len() + 1);
    bytes.splice(at..at, letter.bytes().take(kept));
}

/// Replaces a run of decimal digits by another number: sizes in headers and in JSON.
fn digits(random: &mut Random, bytes: &mut Vec<u8>) {
    let from = random.below(bytes.len());
    let is_digit = |b: &u8| b.is_ascii_digit();
    let Some(start) = bytes[from..].iter().position(is_digit).map(|i| from + i) else { return };
    let end = bytes[start..].iter().position(|b| !is_digit(b)).map_or(bytes.len(), |i| start + i);
    let number = (random.integer() as i64).to_string();
    bytes.splice(start..end, number.into_bytes());
}

/// Damages non-zero parts of an HDF5 file in one to four places: most of such a file is unused zeros, and the relevant
/// parts are addresses, sizes and signatures of at most eight bytes.
pub fn hdf5(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..=random.below(4) {
        let from = random.below(bytes.len());
        let Some(at) = bytes[from..].iter().position(|&b| b != 0).map(|i| from + i) else { continue };
        let width = [1, 1, 2, 4, 8][random.below(5)];
        // Numbers of eight bytes are aligned.
        let at = if width == 8 { at & !7 } else { at };
        let end = (at + width).min(bytes.len());
        match random.below(8) {
            0 => bytes[at] ^= 1 << random.below(8),
            1..=3 => bytes[at..end].copy_from_slice(&random.integer().to_le_bytes()[..end - at]),
            // Another address of the same file: groups and heaps that contain each other.
            4 | 5 => {
                let address = if random.below(2) == 0 { signature(random, bytes) } else { at };
                let start = at & !7;
                let end = (start + 8).min(bytes.len());
                bytes[start..end].copy_from_slice(&(address as u64).to_le_bytes()[..end - start]);
            }
            6 => {
                let from = random.below(bytes.len() - (end - at) + 1);
                bytes.copy_within(from..from + (end - at), at);
            }
            _ => once(random, bytes, other),
        }
    }
}

/// Returns the start of some structure of an HDF5 file.
fn signature(random: &mut Random, bytes: &[u8]) -> usize {
    const SIGNATURES: [&[u8]; 9] =
        [b"TREE", b"SNOD", b"HEAP", b"GCOL", b"OHDR", b"FRHP", b"BTHD", b"FADB", b"OCHK"];
    let from = random.below(bytes.len());
    let is_one = |w: &[u8]| SIGNATURES.contains(&w);
    bytes[from..].windows(4).position(is_one).map_or(from, |i| from + i)
}

/// Replaces a field number.
pub(crate) fn once_in(random: &mut Random, number: &mut u64) {
    *number = 1 + random.below(26) as u64;
}
