//! Checksums of files that a run reads back, so that corrupted data is detected.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::report::hexadecimal;

/// Key of the checksum in a sealed record.
const KEY: &str = "checksum";

/// Returns the first eight bytes of a SHA-256 hash.
pub(super) fn checksum(bytes: &[u8]) -> [u8; 8] {
    let mut first = [0; 8];
    first.copy_from_slice(&Sha256::digest(bytes)[..8]);
    first
}

/// Returns the checksum of pixels or other numbers.
pub(super) fn checksum_of(values: &[f32]) -> [u8; 8] {
    checksum(&values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())
}

/// Returns a record with its checksum added.
pub(super) fn sealed(mut record: Value) -> Value {
    let sum = hexadecimal(&checksum(record.to_string().as_bytes()));
    if let Some(fields) = record.as_object_mut() {
        fields.insert(KEY.to_owned(), sum.into());
    }
    record
}

/// Reads a sealed record. Returns `None` if it is truncated, damaged or not sealed.
pub(super) fn unsealed(text: &[u8]) -> Option<Value> {
    let mut record: Value = serde_json::from_slice(text).ok()?;
    let sum = record.as_object_mut()?.remove(KEY)?;
    (sum == hexadecimal(&checksum(record.to_string().as_bytes()))).then_some(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_record_comes_back_and_a_damaged_one_does_not() {
        let record = serde_json::json!({"b": [0.1 + 0.2, 1e-300, null], "a": "grün \n"});
        let text = sealed(record.clone()).to_string();
        assert_eq!(unsealed(text.as_bytes()), Some(record.clone()));
        assert_eq!(unsealed(record.to_string().as_bytes()), None);
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let read = unsealed(&bytes);
            assert!(read.is_none() || read == Some(record.clone()), "bit of byte {at}");
            assert_eq!(unsealed(&text.as_bytes()[..at]), None);
        }
    }
}
