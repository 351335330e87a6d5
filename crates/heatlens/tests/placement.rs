//! Upsampling by receptive field: every consumer of a layer's map places its cells at the same positions.

#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_precision_loss)] // tests may panic

mod common;

use common::{Tol, assert_close, golden, npy};
use heatlens::explain::{Attribution, Compat, ExplainOptions, Explainer, Fusion, ImageAttributions, Target};
use heatlens::method::{MethodSettings, find};
use heatlens::metric::upsampled::UpsampledMap;
use heatlens::model::{Cells, Model, Placing};
use heatlens::render::CropTransform;

/// Convolutions without padding and pools; a residual network with strides; branches.
const CASES: &[&str] = &["gap_cnn", "branchy", "no_gap"];

fn open(case: &str) -> (Model, Vec<f32>, usize) {
    let model = Model::open(&golden(case).join("model.onnx")).unwrap();
    let (shape, pixels) = npy(&golden(case).join("input.npy"));
    (model, pixels, shape[0])
}

fn of(ids: &[&str], placing: Placing) -> ExplainOptions {
    let methods: Vec<_> = ids.iter().map(|id| find(id).unwrap()).collect();
    let settings = MethodSettings::default().placed(placing);
    ExplainOptions { target: Target::Class(1), settings, ..ExplainOptions::new(&methods) }
}

fn explain(model: &Model, pixels: &[f32], n: usize, options: &ExplainOptions) -> Vec<ImageAttributions> {
    Explainer::new(model, options).unwrap().explain(pixels, n).unwrap()
}

/// Returns the value of a map at a point of the image, from the weights of all cells: they decrease with the
/// distance from the point to the cell's position and vanish at the next cell; beyond the outermost cells, these
/// have full weight. [`over`] fades them out from one cell on.
fn at(map: &[f32], [h, w]: [usize; 2], cells: &[Cells; 2], point: [f64; 2]) -> f32 {
    let weight = |axis: usize, n: usize, cell: usize| {
        let at = ((point[axis] - cells[axis].offset) / cells[axis].step).clamp(0.0, n as f64 - 1.0);
        (1.0 - (at - cell as f64).abs()).max(0.0)
    };
    let sum: f64 = (0..h * w).map(|i| weight(0, h, i / w) * weight(1, w, i % w) * f64::from(map[i])).sum();
    sum as f32
}

fn over(map: &[f32], size: [usize; 2], cells: &[Cells; 2], [height, width]: [usize; 2]) -> Vec<f32> {
    let strength = |axis: usize, pixel: usize| {
        let at = (pixel as f64 - cells[axis].offset) / cells[axis].step;
        let beyond = (at - at.clamp(0.0, size[axis] as f64 - 1.0)).abs();
        (1.0 - (beyond - 1.0).max(0.0)).max(0.0) as f32
    };
    let pixel =
        |y: usize, x: usize| at(map, size, cells, [y as f64, x as f64]) * strength(0, y) * strength(1, x);
    (0..height * width).map(|i| pixel(i / width, i % width)).collect()
}

fn cells(map: &Attribution) -> [Cells; 2] {
    map.placement.cells().unwrap()
}

fn size(map: &Attribution) -> [usize; 2] {
    *map.shape.last_chunk().unwrap()
}

#[test]
fn pictures_metrics_and_boxes_see_the_map_at_the_same_place() {
    let mut uneven = 0;
    for case in CASES {
        let (model, pixels, n) = open(case);
        let [_, h, w] = model.shape();
        let mut moved = 0.0f32;
        for e in explain(&model, &pixels, n, &of(&["grad_cam"], Placing::ReceptiveField)) {
            let map = &e.attributions[0];
            let expected = over(&map.values, size(map), &cells(map), [h, w]);
            let plane = map.plane().unwrap();
            assert_close(case, plane.resized(h, w).values(), &expected, Tol::F32);
            assert_close(case, &UpsampledMap::new(map, [h, w]).unwrap().signed, &expected, Tol::F32);
            let view = CropTransform::new([h, w], [h, w], heatlens::data::Resize::Squash);
            assert_close(case, view.project(&plane).values(), &expected, Tol::F32);
            // Drawn three times as large, the middle of three pixels is at the position of the original pixel.
            let large = plane.resized(3 * h, 3 * w);
            let middle: Vec<f32> =
                (0..h * w).map(|i| large.values()[(3 * (i / w) + 1) * 3 * w + 3 * (i % w) + 1]).collect();
            assert_close(case, &middle, &expected, Tol::F32);
            let even = heatlens::bilinear::resize(&map.values, size(map), [h, w]);
            let differs = even.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            moved = moved.max(differs / map.raw_max.abs().max(map.raw_min.abs()));
        }
        // Cells that tile the image like patches are where even upsampling puts them.
        let layer = model.default_layer().unwrap();
        let even = layer.cells.iter().flatten().all(|c| (c.offset - (c.step - 1.0) / 2.0).abs() < 1e-9);
        uneven += usize::from(!even);
        assert!(even == (moved < 1e-5), "{case}: placed or not differs by {moved}");
        assert!(even || moved > 0.01, "{case}: placed or not makes no difference: {moved}");
    }
    assert!(uneven >= 2, "only {uneven} networks say anything of placement");
}

#[test]
fn guided_grad_cam_is_kept_where_the_map_is() {
    for case in CASES {
        let (model, pixels, n) = open(case);
        let [c, h, w] = model.shape();
        let ids = ["guided_backprop", "grad_cam", "guided_grad_cam"];
        for e in explain(&model, &pixels, n, &of(&ids, Placing::ReceptiveField)) {
            let [fine, coarse, both] = [0, 1, 2].map(|i| &e.attributions[i]);
            let positive: Vec<f32> = coarse.values.iter().map(|v| v.max(0.0)).collect();
            let large = over(&positive, size(coarse), &cells(coarse), [h, w]);
            let expected: Vec<f32> = (0..c * h * w).map(|i| fine.values[i] * large[i % (h * w)]).collect();
            assert_close(case, &both.values, &expected, Tol::F32);
        }
    }
}

#[test]
fn layers_are_fused_where_they_look() {
    let (model, pixels, n) = open("branchy");
    let layers: Vec<_> = ["join_relu", "average"].iter().map(|name| model.layer(name).unwrap()).collect();
    let both = ExplainOptions { layers, ..of(&["grad_cam"], Placing::ReceptiveField) };
    let apart = explain(&model, &pixels, n, &both);
    let fused = explain(&model, &pixels, n, &ExplainOptions { fusion: Some(Fusion::Max), ..both });
    for (fused, apart) in fused.iter().zip(&apart) {
        let (fused, [large, small]) = (&fused.attributions[0], [0, 1].map(|i| &apart.attributions[i]));
        let [h, w] = size(large);
        assert_eq!((size(fused), cells(fused)), ([h, w], cells(large)));
        let scaled = |map: &Attribution| -> Vec<f32> {
            map.values.iter().map(|v| v.max(0.0) / map.raw_max.max(1e-30)).collect()
        };
        let (own, other, [rows, columns]) = (scaled(large), scaled(small), cells(large));
        let expected: Vec<f32> = (0..h * w)
            .map(|i| {
                let point = [rows.pixel((i / w) as f64), columns.pixel((i % w) as f64)];
                own[i].max(at(&other, size(small), &cells(small), point))
            })
            .collect();
        assert_close("max", &fused.values, &expected, Tol::F32);
    }
}

/// A cell of the mirrored image sees other pixels than the mirrored cell of the image.
#[test]
fn maps_of_mirrored_copies_are_put_back_where_they_look() {
    let (model, pixels, _) = open("branchy");
    let [c, h, w] = model.shape();
    let image = &pixels[..c * h * w];
    let options = of(&["grad_cam"], Placing::ReceptiveField);
    let found = explain(&model, image, 1, &ExplainOptions { augment: true, ..options.clone() }).remove(0);
    let found = &found.attributions[0];
    let [rows, columns] = cells(found);
    let [mh, mw] = size(found);
    assert!(
        (2.0 * columns.offset - (w as f64 - 1.0 - columns.step * (mw as f64 - 1.0))).abs() > 0.1,
        "symmetric"
    );
    let mut expected = vec![0.0; mh * mw];
    for mirrored in [false, true] {
        for factor in [0.9f32, 1.0, 1.1] {
            let mut copy: Vec<f32> = image.iter().map(|p| p * factor).collect();
            if mirrored {
                copy.chunks_mut(w).for_each(<[f32]>::reverse);
            }
            let map = explain(&model, &copy, 1, &options).remove(0).attributions.remove(0);
            for (i, sum) in expected.iter_mut().enumerate() {
                let x = columns.pixel((i % mw) as f64);
                let x = if mirrored { w as f64 - 1.0 - x } else { x };
                *sum += at(&map.values, [mh, mw], &cells(&map), [rows.pixel((i / mw) as f64), x]) / 6.0;
            }
        }
    }
    assert_close("grad_cam", &found.values, &expected, Tol::FRAMEWORK);
}

#[test]
fn raw_maps_stay_and_peers_are_repeated_as_they_are() {
    let (model, pixels, n) = open("branchy");
    let ids = ["grad_cam", "guided_grad_cam"];
    let placed = explain(&model, &pixels, n, &of(&ids, Placing::ReceptiveField));
    let even = explain(&model, &pixels, n, &of(&ids, Placing::Resize));
    let peers = ExplainOptions { compat: Some(Compat::Captum), ..of(&ids, Placing::ReceptiveField) };
    for ((placed, even), peers) in placed.iter().zip(&even).zip(explain(&model, &pixels, n, &peers)) {
        assert_eq!(placed.attributions[0].values, even.attributions[0].values);
        assert_ne!(placed.attributions[1].values, even.attributions[1].values);
        assert_eq!(peers.attributions[1].values, even.attributions[1].values);
        for map in even.attributions.iter().chain(&peers.attributions) {
            assert_eq!(map.placement.placing(), Placing::Resize);
        }
    }
}
