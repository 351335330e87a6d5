use heatlens_graph::compose::roi_align::{BinPooling, Region, RoiAlign, roi_align};
use heatlens_graph::{Builder, Shape, ValueId};

use crate::common::{Array, check, compare, dyadic, refusal, with_gradients};

const ROWS: usize = 5;
const COLUMNS: usize = 6;

/// All weights of these regions are exact in single precision: inside, beyond two edges, of size 0, outside, turned.
const REGIONS: [Region; 5] = [
    [2.0, 1.0, 6.0, 5.0],
    [-3.0, 4.0, 5.0, 12.0],
    [4.0, 4.0, 4.0, 4.0],
    [20.0, 20.0, 28.0, 28.0],
    [8.0, 6.0, 4.0, 2.0],
];

/// Returns the four elements around a position with their weights, none if it lies outside.
fn around(y: f64, x: f64) -> Vec<([usize; 2], f64)> {
    let (h, w) = (ROWS as f64, COLUMNS as f64);
    if y < -1.0 || y > h || x < -1.0 || x > w {
        return vec![([0, 0], 0.0)];
    }
    let (y, x) = (y.clamp(0.0, h - 1.0), x.clamp(0.0, w - 1.0));
    let (top, left) = (y.floor(), x.floor());
    let (down, right) = (y - top, x - left);
    let (top, left) = (top as usize, left as usize);
    let (below, after) = ((top + 1).min(ROWS - 1), (left + 1).min(COLUMNS - 1));
    vec![
        ([top, left], (1.0 - down) * (1.0 - right)),
        ([top, after], (1.0 - down) * right),
        ([below, left], down * (1.0 - right)),
        ([below, after], down * right),
    ]
}

/// Returns the elements of a bin with their weights, sample by sample.
fn samples(how: &RoiAlign, region: &Region, bin: [usize; 2]) -> Vec<Vec<([usize; 2], f64)>> {
    let offset = if how.half_pixel { 0.5 } else { 0.0 };
    let side = |from: f32, to: f32, axis: usize| {
        let [start, end] = [from, to].map(|v| f64::from(v) * f64::from(how.scale) - offset);
        let size = if how.half_pixel { end - start } else { (end - start).max(1.0) };
        let step = size / how.bins[axis] as f64;
        let count = how.samples.map_or(step.ceil() as i64, |n| n as i64);
        let at = move |i: i64| start + (bin[axis] as f64 + (i as f64 + 0.5) / count as f64) * step;
        (0..count).map(at).collect::<Vec<f64>>()
    };
    let (rows, columns) = (side(region[1], region[3], 0), side(region[0], region[2], 1));
    rows.iter().flat_map(|&y| columns.iter().map(move |&x| around(y, x))).collect()
}

fn naive(x: &Array, how: &RoiAlign) -> Array {
    let (n, c) = (x.shape[0], x.shape[1]);
    Array::from_fn(&[n * REGIONS.len(), c, how.bins[0], how.bins[1]], |i| {
        let samples = samples(how, &REGIONS[i[0] % REGIONS.len()], [i[2], i[3]]);
        let value = |&([row, column], weight): &([usize; 2], f64)| {
            weight * x.at(&[i[0] / REGIONS.len(), i[1], row, column])
        };
        match how.pooling {
            BinPooling::Mean => {
                samples.iter().flatten().map(value).sum::<f64>() / samples.len().max(1) as f64
            }
            BinPooling::Max => samples.iter().flatten().map(value).reduce(f64::max).unwrap_or(0.0),
        }
    })
}

fn attributes(pooling: BinPooling) -> Vec<RoiAlign> {
    let of = |bins, samples, half_pixel| RoiAlign { pooling, bins, samples, scale: 0.5, half_pixel };
    let each = |half_pixel| {
        [of([2, 1], None, half_pixel), of([2, 4], Some(2), half_pixel), of([1, 2], Some(1), half_pixel)]
    };
    [false, true].into_iter().flat_map(each).collect()
}

#[test]
fn regions_are_pooled_sample_by_sample() {
    for how in [BinPooling::Mean, BinPooling::Max].into_iter().flat_map(attributes) {
        let build = |b: &mut Builder<'_>, x: &[ValueId]| roi_align(b, x[0], &REGIONS, &how).unwrap();
        let what = format!("{how:?}");
        check(&what, &[Shape::batched(&[2, ROWS, COLUMNS])], build, |x| naive(&x[0], &how));
    }
}

#[test]
fn an_image_without_samples_keeps_a_fixed_shape() {
    let how = attributes(BinPooling::Mean)[0];
    let build = |b: &mut Builder<'_>, x: &[ValueId]| {
        let pooled = roi_align(b, x[0], &REGIONS, &how).unwrap();
        assert_eq!(b.shape(pooled), Shape::fixed(&[5, 3, 2, 1]));
        pooled
    };
    check("fixed", &[Shape::fixed(&[1, 3, ROWS, COLUMNS])], build, |x| naive(&x[0], &how));
}

#[test]
fn sizes_beyond_reason_are_refused() {
    let image = [Shape::batched(&[2, ROWS, COLUMNS])];
    let how = attributes(BinPooling::Mean)[0];
    let refused = |image: &[Shape; 1], regions: &[Region], how: RoiAlign, expected: &str| {
        for pooling in [BinPooling::Mean, BinPooling::Max] {
            let how = RoiAlign { pooling, ..how };
            let error = refusal(image, |b, x| roi_align(b, x[0], regions, &how));
            assert!(error.contains(expected), "{how:?}: {error}");
        }
    };
    refused(&image, &[[0.0, 0.0, 1e30, 1e30]], how, "more than 4194304 samples along an axis");
    refused(&image, &REGIONS, RoiAlign { samples: Some(usize::MAX), ..how }, "samples along an axis");
    refused(&image, &REGIONS, RoiAlign { bins: [1 << 40, 1 << 40], ..how }, "[5, 2, 1099511627776, ");
    refused(
        &image,
        &REGIONS,
        RoiAlign { bins: [1 << 18, 1], samples: Some(1), ..how },
        "(more than 4194304)",
    );
    refused(&image, &[[0.0, 0.0, 1e30, 1.0]], RoiAlign { scale: 1e30, ..how }, "finite");
    refused(&image, &[[f32::NAN, 0.0, 1.0, 1.0]], how, "finite");
    refused(&image, &[], how, "0 regions");
    refused(&image, &REGIONS, RoiAlign { bins: [0, 1], ..how }, "0×1 bins");
    refused(&[Shape::fixed(&[2, 2, ROWS, COLUMNS])], &REGIONS, how, "expected an image 1×C×H×W");
}

/// Values and gradients of `torchvision.ops.roi_align`, torchvision 0.29.
#[test]
fn regions_are_pooled_as_by_torchvision() {
    let expected = [
        (
            false,
            None,
            [
                0.73319, 0.13732, 0.48273, 0.30067, 0.64417, 0.41075, 0.10677, 0.20197, 0.86230, 0.70410,
                0.17676, 0.46777,
            ],
            [
                -0.00180, -0.00472, -0.00369, 0.00510, 0.00511, 0.00093, -0.05630, -0.00020, -0.03816,
                0.15969, 0.16018, 0.02917, 0.06640, 0.26095, 0.12309, 0.10527, 0.07891, 0.01437, 0.25424,
                0.23061, 0.39623, -0.02179, -0.08625, -0.01571, 0.10494, -0.00086, 0.31197, -0.06194,
                -0.03211, -0.00585,
            ],
        ),
        (
            true,
            Some(2),
            [
                0.35399, 0.40670, 0.82521, 0.31549, 0.40098, 0.58117, 0.18750, 0.21484, 0.48486, 0.50146,
                0.79565, 0.71118,
            ],
            [
                -0.05364, -0.05691, 0.02398, 0.07752, 0.04749, 0.00000, 0.04643, 0.10725, 0.05242, 0.16946,
                0.10382, 0.00000, 0.37248, 0.34475, 0.05970, -0.01698, -0.01980, 0.00000, 0.32289, 0.36549,
                0.04151, -0.06650, -0.04996, 0.00000, 0.01918, -0.02121, -0.12182, -0.02256, 0.00000,
                0.00000,
            ],
        ),
    ];
    let regions = [[0.3, 1.1, 9.2, 7.7], [-3.0, 4.0, 6.5, 12.3], [2.0, 2.0, 2.5, 9.0]];
    let x = dyadic(&[1, 1, ROWS, COLUMNS], 37, 23, 8.0, 1.0);
    let seed = dyadic(&[3, 1, 2, 2], 5, 7, 4.0, 0.6);
    for (half_pixel, samples, y, slope) in expected {
        let how = RoiAlign { pooling: BinPooling::Mean, bins: [2, 2], samples, scale: 0.5, half_pixel };
        let build = |b: &mut Builder<'_>, x: &[ValueId]| roi_align(b, x[0], &regions, &how).unwrap();
        let found = with_gradients(&[&x], &seed, build);
        compare(&format!("{how:?}"), &found[0], &y, 1e-5);
        compare(&format!("{how:?}: gradient"), &found[1], &slope, 1e-5);
    }
}
