use heatlens_graph::Shape;
use heatlens_graph::compose::norm::{global_pool, pool};
use heatlens_graph::op::window::Window;

use crate::common::{Array, check, refusal};

#[test]
fn windows() {
    let padded = Window { pads_begin: vec![1, 0], pads_end: vec![0, 1], ..Window::new(&[2, 3]) };
    for (window, ceil) in [
        (Window::new(&[2, 2]), false),
        (padded.strides(&[2, 1]), false),
        (Window::new(&[2, 2]).strides(&[3, 2]), true),
        (Window { dilations: vec![2, 1], ..Window::new(&[2, 2]) }, false),
    ] {
        for p in [1, 2, 3] {
            let naive = |x: &[Array]| {
                let sizes = window.output_sizes(&[5, 4], ceil).unwrap();
                Array::from_fn(&[x[0].shape[0], 2, sizes[0], sizes[1]], |i| {
                    let mut sum: f64 = 0.0;
                    crate::common::each(&window.kernel, |k| {
                        let at = |a: usize| {
                            (i[2 + a] * window.strides[a] + k[a] * window.dilations[a])
                                .checked_sub(window.pads_begin[a])
                        };
                        if let (Some(row @ 0..5), Some(column @ 0..4)) = (at(0), at(1)) {
                            sum += x[0].at(&[i[0], i[1], row, column]).abs().powi(p);
                        }
                    });
                    sum.powf(f64::from((1.0 / f64::from(p)) as f32))
                })
            };
            let build = |b: &mut heatlens_graph::Builder<'_>, x: &[heatlens_graph::ValueId]| {
                pool(b, x[0], &window, ceil, p.into()).unwrap()
            };
            check("LpPool", &[Shape::batched(&[2, 5, 4])], build, naive);
        }
    }
    let error = refusal(&[Shape::batched(&[2, 5, 4])], |b, x| pool(b, x[0], &Window::new(&[2, 2]), false, 0));
    assert!(error.contains("found 0"), "{error}");
}

#[test]
fn whole_planes() {
    check(
        "GlobalLpPool",
        &[Shape::batched(&[2, 3, 4])],
        |b, x| global_pool(b, x[0], 2).unwrap(),
        |x| {
            Array::from_fn(&[x[0].shape[0], 2, 1, 1], |i| {
                let mut sum: f64 = 0.0;
                crate::common::each(&[3, 4], |k| sum += x[0].at(&[i[0], i[1], k[0], k[1]]).powi(2));
                sum.sqrt()
            })
        },
    );
    assert!(refusal(&[Shape::batched(&[2])], |b, x| global_pool(b, x[0], 2)).contains("N×2"));
}
