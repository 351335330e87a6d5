use heatlens_graph::Shape;
use heatlens_graph::compose::einsum::einsum;

use crate::common::{Array, check, refusal};

fn case(equation: &str, inputs: &[Shape], naive: impl Fn(&[Array]) -> Array) {
    check(equation, inputs, |b, x| einsum(b, equation, x).unwrap(), naive);
}

fn batched(dims: &[usize]) -> Shape {
    Shape::batched(dims)
}

fn fixed(dims: &[usize]) -> Shape {
    Shape::fixed(dims)
}

#[test]
fn products_of_two() {
    case("bij,bjk->bik", &[batched(&[2, 3]), batched(&[3, 4])], |x| {
        Array::from_fn(&[x[0].shape[0], 2, 4], |i| {
            (0..3).map(|j| x[0].at(&[i[0], i[1], j]) * x[1].at(&[i[0], j, i[2]])).sum()
        })
    });
    // Two axes are summed over, in a different order in each operand, and the batch is not the first axis.
    case("nhqd,khnd->hnqk", &[batched(&[2, 3, 4]), fixed(&[5, 2, 1, 4])], |x| {
        Array::from_fn(&[2, x[0].shape[0], 3, 5], |i| {
            (0..4).map(|d| x[0].at(&[i[1], i[0], i[2], d]) * x[1].at(&[i[3], i[0], 0, d])).sum()
        })
    });
    case("nab,cba -> nc", &[batched(&[2, 3]), fixed(&[4, 3, 2])], |x| {
        Array::from_fn(&[x[0].shape[0], 4], |i| {
            let mut sum = 0.0;
            crate::common::each(&[2, 3], |j| {
                sum += x[0].at(&[i[0], j[0], j[1]]) * x[1].at(&[i[1], j[1], j[0]]);
            });
            sum
        })
    });
    // The samples of a batch are rows of one product; the batch axis follows another axis.
    case(
        "anb,bc->acn",
        &[Shape(vec![2.into(), heatlens_graph::Dim::Batch(1), 3.into()]), fixed(&[3, 4])],
        |x| {
            Array::from_fn(&[2, 4, x[0].shape[1]], |i| {
                (0..3).map(|b| x[0].at(&[i[0], i[2], b]) * x[1].at(&[b, i[1]])).sum()
            })
        },
    );
    case("ni,nj->nij", &[batched(&[2]), batched(&[3])], |x| {
        Array::from_fn(&[x[0].shape[0], 2, 3], |i| x[0].at(&[i[0], i[1]]) * x[1].at(&[i[0], i[2]]))
    });
    case("i,j", &[fixed(&[2]), fixed(&[3])], |x| {
        Array::from_fn(&[2, 3], |i| x[0].at(&i[..1]) * x[1].at(&i[1..]))
    });
}

#[test]
fn sums_transposes_and_diagonals() {
    case("nij->nji", &[batched(&[2, 3])], |x| {
        Array::from_fn(&[x[0].shape[0], 3, 2], |i| x[0].at(&[i[0], i[2], i[1]]))
    });
    case("nij->n", &[batched(&[2, 3])], |x| {
        Array::from_fn(&x[0].shape[..1], |i| {
            let mut sum = 0.0;
            crate::common::each(&[2, 3], |j| sum += x[0].at(&[i[0], j[0], j[1]]));
            sum
        })
    });
    case("nii->ni", &[batched(&[3, 3])], |x| {
        Array::from_fn(&[x[0].shape[0], 3], |i| x[0].at(&[i[0], i[1], i[1]]))
    });
    case("ii", &[fixed(&[3, 3])], |x| Array::from_fn(&[], |_| (0..3).map(|i| x[0].at(&[i, i])).sum()));
    case("iji,ii->j", &[fixed(&[2, 3, 2]), fixed(&[2, 2])], |x| {
        Array::from_fn(&[3], |j| (0..2).map(|i| x[0].at(&[i, j[0], i]) * x[1].at(&[i, i])).sum())
    });
    case("iii->i", &[fixed(&[2, 2, 2])], |x| Array::from_fn(&[2], |i| x[0].at(&[i[0], i[0], i[0]])));
    // Implicit output is in alphabetical order: the result of "ba" is transposed.
    case("ba", &[fixed(&[2, 3])], |x| Array::from_fn(&[3, 2], |i| x[0].at(&[i[1], i[0]])));
}

#[test]
fn three_operands_and_dots() {
    case("ni,ij,nj->n", &[batched(&[2]), fixed(&[2, 3]), batched(&[3])], |x| {
        Array::from_fn(&x[0].shape[..1], |n| {
            let mut sum = 0.0;
            crate::common::each(&[2, 3], |i| {
                sum += x[0].at(&[n[0], i[0]]) * x[1].at(i) * x[2].at(&[n[0], i[1]]);
            });
            sum
        })
    });
    case("n...d,de->n...e", &[batched(&[2, 2, 3]), fixed(&[3, 2])], |x| {
        Array::from_fn(&[x[0].shape[0], 2, 2, 2], |i| {
            (0..3).map(|d| x[0].at(&[i[0], i[1], i[2], d]) * x[1].at(&[d, i[3]])).sum()
        })
    });
    // The axes of the dots are aligned at the back and broadcast.
    case("...i,...i", &[batched(&[4, 2, 3]), fixed(&[4, 1, 3])], |x| {
        Array::from_fn(&x[0].shape[..3], |i| {
            (0..3).map(|k| x[0].at(&[i[0], i[1], i[2], k]) * x[1].at(&[i[1], 0, k])).sum()
        })
    });
    case("n...->...n", &[batched(&[2, 3])], |x| {
        Array::from_fn(&[2, 3, x[0].shape[0]], |i| x[0].at(&[i[2], i[0], i[1]]))
    });
}

#[test]
fn what_does_not_fit_is_refused() {
    for (equation, shapes, expected) in [
        ("ij,jk->ik", vec![fixed(&[2, 3])], "2 operands, found 1"),
        ("ij->i", vec![fixed(&[2, 3, 4])], "\"ij\" for 3 axes"),
        ("i1->i", vec![fixed(&[2, 3])], "'1'"),
        ("ij,jk->ik", vec![fixed(&[2, 3]), fixed(&[4, 2])], "sizes 3 and 4"),
        ("ij->ik", vec![fixed(&[2, 3])], "absent or named twice"),
        ("ij->ii", vec![fixed(&[2, 3])], "absent or named twice"),
        ("i...j...->i", vec![fixed(&[2, 3])], "'.'"),
        ("ijk...->i", vec![fixed(&[2, 3])], "for 2 axes"),
        ("ii->i", vec![batched(&[3])], "an axis has sizes N and 3"),
        ("", vec![fixed(&[2])], "\"\" for 1 axes"),
    ] {
        let error = refusal(&shapes, |b, x| einsum(b, equation, x));
        assert!(error.contains(expected), "{equation}: {error}");
    }
}
