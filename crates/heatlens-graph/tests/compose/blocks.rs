use heatlens_graph::compose::blocks::{Order, col2im, depth_to_space, space_to_depth, tile};
use heatlens_graph::op::window::Window;
use heatlens_graph::{Dim, Shape};

use crate::common::{Array, check, refusal};

/// Returns the source channel of pixel (row, column) in a block of 2, with `left` depths.
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

/// Overlapping, dilated blocks of 2×3 with asymmetric padding.
#[test]
fn columns_add_up_to_an_image() {
    let window = Window {
        dilations: vec![2, 1],
        pads_end: vec![0, 2],
        ..Window::new(&[2, 3]).strides(&[1, 2]).pads(&[1, 0])
    };
    let (image, places) = ([4, 5], [3, 3]);
    let naive = |x: &[Array]| {
        let mut y = Array::from_fn(&[x[0].shape[0], 2, 4, 5], |_| 0.0);
        crate::common::each(&x[0].shape, |i| {
            let (channel, row, column) = (i[1] / 6, i[1] % 6 / 3, i[1] % 3);
            let down = (i[2] / places[1] + 2 * row).checked_sub(1).filter(|&d| d < image[0]);
            let right = i[2] % places[1] * 2 + column;
            if let Some(down) = down.filter(|_| right < image[1]) {
                y.values[((i[0] * 2 + channel) * image[0] + down) * image[1] + right] += x[0].at(i);
            }
        });
        y
    };
    let build = |b: &mut heatlens_graph::Builder<'_>, x: &[heatlens_graph::ValueId]| {
        col2im(b, x[0], &window, &image).unwrap()
    };
    check("col2im", &[Shape::batched(&[12, 9])], build, naive);
    let refused =
        |shape: &[usize]| refusal(&[Shape::batched(shape)], |b, x| col2im(b, x[0], &window, &image));
    assert!(refused(&[12, 8]).contains("12×8"));
    assert!(refused(&[13, 9]).contains("13×9"));
    assert!(refused(&[12, 3, 3]).contains("expected N×(C·block)×windows"));
    assert!(refused(&[6 << 21, 9]).contains("too many"));
}
