//! Helpers shared by several tests: golden folders, `.npy` files, and comparison of arrays.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic)] // each test binary uses a part

use std::fs;
use std::path::{Path, PathBuf};

/// Tolerance of an array comparison, as a share of the expected array's largest absolute value.
#[derive(Clone, Copy, Debug)]
pub struct Tol(pub f64);

impl Tol {
    /// Identical bits.
    pub const EXACT: Self = Self(0.0);
    /// Single-precision rounding through a few operations.
    pub const F32: Self = Self(1e-5);
    /// For other frameworks: different summation orders through a whole network.
    pub const FRAMEWORK: Self = Self(1e-4);
    /// For completeness: a sum of contributions compared with the value it should equal.
    pub const COMPLETE: Self = Self(1e-3);
}

/// Returns the folder of the golden case called `name`.
pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Reads the description of a golden case.
pub fn description(case: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(case.join("case.json")).unwrap()).unwrap()
}

/// Reads shape and elements of an f32 `.npy` file in C order, without using the code under test.
pub fn npy(path: &Path) -> (Vec<usize>, Vec<f32>) {
    let bytes = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00", "{}", path.display());
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..start]).unwrap();
    assert!(header.contains("'<f4'") && header.contains("'fortran_order': False"), "{header}");
    let shape = header.split("'shape': (").nth(1).unwrap().split(')').next().unwrap();
    let shape: Vec<usize> = shape.split(',').filter_map(|d| d.trim().parse().ok()).collect();
    let values: Vec<f32> =
        bytes[start..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!(values.len(), shape.iter().product::<usize>());
    (shape, values)
}

/// Fails unless `found` is within `tol` of `expected`; reports the worst element.
pub fn assert_close(what: &str, found: &[f32], expected: &[f32], tol: Tol) {
    assert_eq!(found.len(), expected.len(), "{what}: number of elements");
    let largest = expected.iter().fold(0.0f64, |m, v| m.max(f64::from(v.abs())));
    let mut worst = (0, 0.0f64);
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert_eq!(f.is_nan(), e.is_nan(), "{what}[{i}]: found {f}, expected {e}");
        let difference = (f64::from(*f) - f64::from(*e)).abs();
        if difference > worst.1 {
            worst = (i, difference);
        }
    }
    let (i, off) = worst;
    let allowed = tol.0 * largest;
    let at = (found.get(i), expected.get(i));
    assert!(off <= allowed, "{what}[{i}]: found and expected {at:?}, off by {off:e}, allowed {allowed:e}");
}
