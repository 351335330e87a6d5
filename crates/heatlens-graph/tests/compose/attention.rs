use heatlens_graph::compose::attention::{Options, attend, scaled_dot_product};
use heatlens_graph::{Builder, Data, Shape, Tensor, ValueId};

use crate::common::{Array, check, refusal};

/// Attention by loops; `mask` returns the number added to the score of (head, query, key).
fn naive(x: &[Array], scale: f64, softcap: f64, mask: impl Fn(usize, usize, usize) -> f64) -> Array {
    let (q, k, v) = (&x[0], &x[1], &x[2]);
    let serves = q.shape[1] / k.shape[1];
    let keys = k.shape[2];
    Array::from_fn(&[q.shape[0], q.shape[1], q.shape[2], v.shape[3]], |i| {
        let (n, head, query) = (i[0], i[1], i[2]);
        let score = |key: usize| {
            let dot: f64 =
                (0..q.shape[3]).map(|d| q.at(&[n, head, query, d]) * k.at(&[n, head / serves, key, d])).sum();
            let score = dot * scale;
            let score = if softcap > 0.0 { softcap * (score / softcap).tanh() } else { score };
            score + mask(head, query, key)
        };
        let weights: Vec<f64> = (0..keys).map(|key| score(key).exp()).collect();
        let sum: f64 = weights.iter().sum();
        let mixed: f64 =
            weights.iter().enumerate().map(|(key, w)| w * v.at(&[n, head / serves, key, i[3]])).sum();
        if sum == 0.0 { 0.0 } else { mixed / sum }
    })
}

fn shapes(heads: usize) -> [Shape; 3] {
    [Shape::batched(&[4, 3, 2]), Shape::batched(&[heads, 5, 2]), Shape::batched(&[heads, 5, 3])]
}

#[test]
fn plain_and_grouped_queries() {
    for heads in [4, 2, 1] {
        check(
            "attention",
            &shapes(heads),
            |b, x| scaled_dot_product(b, x[0], x[1], x[2], None, None).unwrap(),
            |x| naive(x, f64::from(1.0 / 2f32.sqrt()), 0.0, |_, _, _| 0.0),
        );
    }
    check(
        "attention with a scale and a cap",
        &shapes(4),
        |b, x| {
            let options = Options { scale: Some(1.5), softcap: 0.5, masks: &[] };
            attend(b, x[0], x[1], x[2], &options).unwrap().output
        },
        |x| naive(x, 1.5, 0.5, |_, _, _| 0.0),
    );
    let error = refusal(&shapes(3), |b, x| scaled_dot_product(b, x[0], x[1], x[2], None, None));
    assert!(error.contains("3 heads of keys for 4 of queries"), "{error}");
    assert!(
        refusal(&[Shape::batched(&[2, 2])], |b, x| scaled_dot_product(b, x[0], x[0], x[0], None, None))
            .contains("found N×2×2")
    );
}

#[test]
fn added_masks() {
    let bias = |head: usize, query: usize, key: usize| (head + 2 * query) as f64 * 0.25 - key as f64 * 0.5;
    let mut values = Vec::new();
    crate::common::each(&[4, 3, 5], |i| values.push(bias(i[0], i[1], i[2]) as f32));
    let mask = Tensor::f32(&[4, 3, 5], values);
    let build = |b: &mut Builder<'_>, x: &[ValueId]| {
        let mask = b.constant(mask.clone());
        scaled_dot_product(b, x[0], x[1], x[2], Some(1.0), Some(mask)).unwrap()
    };
    check("attention with a bias", &shapes(2), build, |x| naive(x, 1.0, 0.0, bias));
}

/// All keys of the second query may be masked: then its row is 0, and so is its gradient.
#[test]
fn masks_that_hide_keys() {
    for hidden_row in [false, true] {
        let sees = |query: usize, key: usize| key <= query && !(hidden_row && query == 1);
        let mut values = Vec::new();
        crate::common::each(&[3, 5], |i| values.push(sees(i[0], i[1])));
        let mask = Tensor::new(vec![3, 5], Data::Bool(values.into())).unwrap();
        let build = |b: &mut Builder<'_>, x: &[ValueId]| {
            let mask = b.constant(mask.clone());
            scaled_dot_product(b, x[0], x[1], x[2], Some(1.0), Some(mask)).unwrap()
        };
        check("attention with a mask", &shapes(2), build, |x| {
            naive(x, 1.0, 0.0, |_, query, key| if sees(query, key) { 0.0 } else { f64::NEG_INFINITY })
        });
    }
}
