use heatlens_graph::compose::blocks::{Order, depth_to_space, space_to_depth, tile};
use heatlens_graph::{Dim, Shape};

use crate::common::{Array, check, refusal};

/// The channel that pixel (row, column) of a block of 2 comes from, of `left` depths.
fn channel(order: Order, depth: usize, row: usize, column: usize, left: usize) -> usize {
    match order {
        Order::Dcr => (row * 2 + column) * left + depth,
        Order::Crd => depth * 4 + row * 2 + column,
    }
}

#[test]
fn depth_becomes_space() {
    for order in [Order::Dcr, Order::Crd] {
        let naive = |x: &[Array]| {
            Array::from_fn(&[x[0].shape[0], 3, 4, 6], |i| {
                x[0].at(&[i[0], channel(order, i[1], i[2] % 2, i[3] % 2, 3), i[2] / 2, i[3] / 2])
            })
        };
        let build = |b: &mut heatlens_graph::Builder<'_>, x: &[heatlens_graph::ValueId]| {
            depth_to_space(b, x[0], 2, order).unwrap()
        };
        check("depth_to_space", &[Shape::batched(&[12, 2, 3])], build, naive);
    }
    let error = refusal(&[Shape::batched(&[6, 2, 2])], |b, x| depth_to_space(b, x[0], 2, Order::Dcr));
    assert!(error.contains("6 channels in blocks of 2"), "{error}");
}

#[test]
fn space_becomes_depth() {
    for order in [Order::Dcr, Order::Crd] {
        let naive = |x: &[Array]| {
            let mut y = Array::from_fn(&[x[0].shape[0], 12, 2, 3], |_| 0.0);
            crate::common::each(&x[0].shape, |i| {
                let c = channel(order, i[1], i[2] % 2, i[3] % 2, 3);
                let place = ((i[0] * 12 + c) * 2 + i[2] / 2) * 3 + i[3] / 2;
                y.values[place] = x[0].at(i);
            });
            y
        };
        let build = |b: &mut heatlens_graph::Builder<'_>, x: &[heatlens_graph::ValueId]| {
            space_to_depth(b, x[0], 2, order).unwrap()
        };
        check("space_to_depth", &[Shape::batched(&[3, 4, 6])], build, naive);
    }
    assert!(
        refusal(&[Shape::batched(&[1, 3, 2])], |b, x| space_to_depth(b, x[0], 2, Order::Dcr)).contains("3×2")
    );
}

#[test]
fn tiles_repeat_the_whole() {
    let naive = |x: &[Array]| {
        Array::from_fn(&[x[0].shape[0], 6, 3, 8], |i| x[0].at(&[i[0], i[1] % 2, i[2], i[3] % 4]))
    };
    let build = |b: &mut heatlens_graph::Builder<'_>, x: &[heatlens_graph::ValueId]| {
        tile(b, x[0], &[1, 3, 1, 2].map(Dim::Fixed)).unwrap()
    };
    check("tile", &[Shape::batched(&[2, 3, 4])], build, naive);
    assert!(refusal(&[Shape::batched(&[2])], |b, x| tile(b, x[0], &[2, 1].map(Dim::Fixed))).contains("N×2"));
    assert!(refusal(&[Shape::batched(&[2])], |b, x| tile(b, x[0], &[Dim::Fixed(1)])).contains("N×2"));
}
