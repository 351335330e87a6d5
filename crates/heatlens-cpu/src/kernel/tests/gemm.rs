//! Tests of matrix products.

use proptest::prelude::*;

use super::{BOTH, assert_close, isas, numbers, reference, scratch};
use crate::kernel::{Gemm, GemmShape, Isa, Right, Workers};

fn product(
    shape: GemmShape,
    isa: Isa,
    workers: Workers,
    a: &[f32],
    b: &[f32],
    start: Option<f32>,
) -> Vec<f32> {
    let gemm = Gemm::new(shape, isa);
    let mut c = vec![start.unwrap_or(f32::NAN); shape.m * shape.n];
    let mut scratch_room = scratch(gemm.scratch_len());
    gemm.run(a, Right::Plain(b), &mut c, start.is_some(), &mut scratch_room, workers);
    if let Some(len) = gemm.packed_right_len() {
        let (mut packed, mut again) = (scratch(len), vec![start.unwrap_or(f32::NAN); shape.m * shape.n]);
        gemm.pack_right(b, &mut packed);
        gemm.run(a, Right::Packed(&packed), &mut again, start.is_some(), &mut scratch_room, workers);
        assert!(again == c, "a packed factor changes no bit: {shape:?}");
    }
    c
}

fn check(shape: GemmShape) {
    let (a, b) = (numbers(shape.m * shape.k, 1), numbers(shape.k * shape.n, 2));
    let expected = reference::gemm(&shape, &a, &b);
    let added: Vec<f64> = expected.iter().map(|v| v + 0.5).collect();
    for (isa, workers) in isas().into_iter().flat_map(|isa| BOTH.map(|workers| (isa, workers))) {
        let what = format!("{isa:?} {workers:?} {shape:?}");
        assert_close(&product(shape, isa, workers, &a, &b, None), &expected, 10.0, &what);
        assert_close(&product(shape, isa, workers, &a, &b, Some(0.5)), &added, 10.0, &what);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_shape_agrees_with_plain_loops(
        m in 1..30_usize, k in 0..60_usize, n in 1..80_usize, trans_a: bool, trans_b: bool,
    ) {
        check(GemmShape { m, k, n, trans_a, trans_b });
    }

    #[test]
    fn rows_and_columns_agree_with_plain_loops(
        wide in 1..200_usize, k in 1..200_usize, is_row: bool, trans_a: bool, trans_b: bool,
    ) {
        let (m, n) = if is_row { (1, wide) } else { (wide, 1) };
        check(GemmShape { m, k, n, trans_a, trans_b });
    }
}

/// More terms than are computed in one go; the last part is of any length.
#[test]
fn many_terms_agree_with_plain_loops() {
    for (m, k, n) in [(13, 2049, 40), (1, 3000, 70), (30, 2304, 5), (70, 2200, 33)] {
        for (trans_a, trans_b) in [(false, false), (true, true)] {
            let shape = GemmShape { m, k, n, trans_a, trans_b };
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            let expected = reference::gemm(&shape, &a, &b);
            for isa in isas() {
                let found = product(shape, isa, Workers::Serial, &a, &b, None);
                assert_close(&found, &expected, 25.0, &format!("{isa:?} {shape:?}"));
            }
        }
    }
}

#[test]
fn threads_change_no_bit() {
    for (trans_a, trans_b) in [(false, false), (false, true), (true, false), (true, true)] {
        // The second has more packed rows than a task keeps in the cache.
        for (m, k, n) in [(65, 300, 170), (61, 2500, 40), (130, 2200, 170), (3, 700, 900), (900, 700, 1)] {
            let shape = GemmShape { m, k, n, trans_a, trans_b };
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            let run = |workers| product(shape, Isa::best(), workers, &a, &b, None);
            let serial = run(Workers::Serial);
            for threads in [1, 2, 5] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                assert!(pool.install(|| run(Workers::Pool)) == serial, "{shape:?}");
            }
        }
    }
}

/// Summed one by one, 8192 products of random sign have a relative error of 1.5e-6; in blocks, 2.5e-7.
#[test]
fn long_sums_round_little() {
    let (m, k, n) = (6, 8192, 32);
    for (isa, trans_b) in isas().into_iter().flat_map(|isa| [(isa, false), (isa, true)]) {
        let shape = GemmShape { m, k, n, trans_a: false, trans_b };
        let (a, b) = (numbers(m * k, 5), numbers(k * n, 6));
        let found = product(shape, isa, Workers::Serial, &a, &b, None);
        let expected = reference::gemm(&shape, &a, &b);
        let off: f64 = found.iter().zip(&expected).map(|(&f, e)| (f64::from(f) - e).powi(2)).sum();
        let error = (off / expected.iter().map(|e| e * e).sum::<f64>()).sqrt();
        assert!(error < 5e-7, "{isa:?}, B transposed: {trans_b}: off by {error:.1e}");
    }
}
