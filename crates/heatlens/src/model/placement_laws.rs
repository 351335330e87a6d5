//! Test of the placement: over random weights, the centroid of a cell's squared input gradient is at the cell's
//! position.

use std::path::{Path, PathBuf};

use heatlens_graph::op::Kind;
use heatlens_graph::op::conv::Conv;
use heatlens_graph::op::window::Window;
use heatlens_graph::{Builder, DefaultRules, Fact, Graph, Shape, Tensor, differentiate, reference};

use crate::model::program::ImageProgram;
use crate::model::{Cells, Layer, Model};
use crate::random::{Key, Use};
use crate::trust::randomise::Randomiser;

/// Number of random weights, each of which is also used with flipped convolution kernels.
const DRAWS: u64 = 3;
/// Number of draws if these few leave a cell off its position: random deviations average out, a wrong position does
/// not.
const MORE_DRAWS: u64 = 16;
const IMAGES: usize = 4;
/// Number of cells tested per layer.
const CELLS: usize = 4;
/// Number of layers tested per network.
const LAYERS: usize = 6;

/// Returns the central cells of an axis whose receptive fields lie within the image.
fn interior(layer: &Layer, axis: usize, side: usize) -> Vec<usize> {
    let Some(cells) = layer.cells[axis] else { return Vec::new() };
    let inside = |i: &usize| {
        let [first, last] = cells.sees(*i as f64);
        first >= 0.0 && last <= (side - 1) as f64
    };
    let found: Vec<usize> = (0..layer.shape[1 + axis]).filter(inside).collect();
    let skip = found.len().saturating_sub(CELLS) / 2;
    found.into_iter().skip(skip).take(CELLS).collect()
}

/// Returns the mean distance, in rows and columns, between the centroid of the squared input gradient and the position
/// of a cell, over interior cells and `draws` random weights. Returns `None` if the receptive field of every cell
/// exceeds the image.
fn missed(model: &Model, layer: &Layer, draws: u64) -> Option<[f64; 2]> {
    let [c, h, w] = model.shape();
    let [rows, columns] = [interior(layer, 0, h), interior(layer, 1, w)];
    // The diagonal is sufficient.
    let cells: Vec<[usize; 2]> = rows.into_iter().zip(columns).map(|(r, c)| [r, c]).collect();
    if cells.is_empty() {
        return None;
    }
    let randomiser = Randomiser::new(model).unwrap();
    let mut missed = [0.0; 2];
    let mut energy = vec![vec![0.0; h * w]; cells.len()];
    for (draw, turned) in (0..draws).flat_map(|draw| [(draw, false), (draw, true)]) {
        let key = Key::new(draw, Use::Audit);
        let mut rng = key.at(1).rng();
        let pixels: Vec<f32> = (0..IMAGES * c * h * w).map(|_| rng.normal() as f32).collect();
        let mut model = randomiser.randomised(0..randomiser.layers(), key.at(2), &pixels, IMAGES).unwrap();
        if turned {
            turn(&mut model);
        }
        let mut graph = model.graph.clone();
        let fact = graph.fact(layer.value).clone();
        let len: usize = fact.shape.at(1)[1..].iter().product();
        let direction = graph.add_input("direction", fact);
        let gradient =
            differentiate(&mut graph, "gradient", layer.value, direction, &[model.image], &DefaultRules)
                .ok()?[0];
        let program = ImageProgram::compile(&graph, model.image, &[gradient]).unwrap();
        for (cell, energy) in cells.iter().zip(&mut energy) {
            let mut directions = vec![0.0; IMAGES * len];
            for image in directions.chunks_mut(len) {
                for channel in 0..layer.shape[0] {
                    image[layer.offset(channel, cell[0] * layer.shape[2] + cell[1])] = rng.normal() as f32;
                }
            }
            let found = program.run(&[&pixels, &directions], IMAGES).unwrap().swap_remove(0);
            // Every image has the same weight, however steep its gradient is.
            for image in found.chunks(c * h * w) {
                let total: f64 = image.iter().map(|&g| f64::from(g).powi(2)).sum();
                for (i, &g) in image.iter().enumerate() {
                    energy[i % (h * w)] += f64::from(g).powi(2) / total.max(f64::MIN_POSITIVE);
                }
            }
        }
    }
    for (cell, energy) in cells.iter().zip(&energy) {
        let total: f64 = energy.iter().sum();
        let centroid = energy.iter().enumerate().fold([0.0; 2], |[y, x], (i, e)| {
            [y + (i / w) as f64 * e / total, x + (i % w) as f64 * e / total]
        });
        for axis in 0..2 {
            let place = layer.cells[axis]?.pixel(cell[axis] as f64);
            missed[axis] += (centroid[axis] - place) / cells.len() as f64;
        }
    }
    Some(missed)
}

/// Flips every convolution kernel. The resulting weights are equally likely, and the deviation of a cell's gradient
/// from its position changes sign, so that random deviations average out with far fewer draws.
fn turn(model: &mut Model) {
    let weights: Vec<_> = model
        .graph
        .nodes()
        .iter()
        .filter(|n| matches!(n.op.kind(), Kind::Conv(_)))
        .filter_map(|n| n.inputs[1])
        .collect();
    for value in weights {
        let Some(tensor) = model.graph.constant(value).cloned() else { continue };
        let window: usize = tensor.shape()[2..].iter().product();
        let mut values = tensor.as_f32().unwrap().to_vec();
        values.chunks_mut(window.max(1)).for_each(<[f32]>::reverse);
        model.graph.set_constant(value, Tensor::f32(tensor.shape(), values));
    }
}

/// Returns some layers of a network, evenly spaced from first to last.
fn some(model: &Model) -> Vec<Layer> {
    let layers: Vec<Layer> = model.layers().into_iter().filter(|l| !l.view).collect();
    let few = LAYERS.min(layers.len().max(1));
    (0..few).filter_map(|i| layers.get((i + 1) * layers.len() / few - 1)).cloned().collect()
}

fn families() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/zoo");
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    found.sort();
    found
}

/// A cell that depends on its receptive field only is less than half a pixel off. If other places are mixed in
/// (attention, gates, branches that were not followed), random weights pull the centroid towards the middle of the
/// image, but by less than half a cell.
#[test]
fn over_the_zoo_a_cell_stands_where_its_gradient_comes_from() {
    let (mut told, mut wrong, mut strict, mut loose) = (Vec::new(), Vec::new(), 0, 0);
    for folder in families() {
        let case = std::fs::read_to_string(folder.join("case.json")).unwrap();
        let case: serde_json::Value = serde_json::from_str(&case).unwrap();
        let model = Model::open(&folder.join(case["file"].as_str().unwrap())).unwrap();
        let family = folder.file_name().unwrap().to_string_lossy().into_owned();
        for layer in some(&model) {
            let place = super::placement::describe(&layer.cells);
            let off = |found: Option<[f64; 2]>| {
                let (Some(missed), [Some(rows), Some(columns)]) = (found, layer.cells) else { return false };
                let mixed = rows.mixed || columns.mixed;
                let limit = |cells: &Cells| if mixed { cells.step / 2.0 } else { 0.5 };
                missed[0].abs() > limit(&rows) || missed[1].abs() > limit(&columns)
            };
            let mut found = missed(&model, &layer, DRAWS);
            if off(found) {
                found = missed(&model, &layer, MORE_DRAWS);
            }
            let line = format!("{family} {} {:?}: {place}, missed by {found:.2?}", layer.name, layer.shape);
            if let (Some(_), [Some(rows), Some(columns)]) = (found, layer.cells) {
                *if rows.mixed || columns.mixed { &mut loose } else { &mut strict } += 1;
            }
            if off(found) {
                wrong.push(line.clone());
            }
            told.push(line);
        }
    }
    println!("{}", told.join("\n"));
    assert!(wrong.is_empty(), "{} layers:\n{}", wrong.len(), wrong.join("\n"));
    assert!(
        strict >= 60 && loose >= 30,
        "only {strict} and {loose} layers with cells that see the image alone"
    );
}

/// Returns a network without rectifiers and with symmetric kernels. Each window is given with its stride, dilation and
/// padding.
fn symmetric(windows: &[[usize; 4]], seed: u64) -> Model {
    let mut rng = Key::new(seed, Use::Audit).rng();
    let mut graph = Graph::new("symmetric");
    let mut x = graph.add_input("image", Fact::f32(Shape::batched(&[1, SIDE, SIDE])));
    let mut b = Builder::new(&mut graph, "net");
    for &[kernel, stride, dilation, pad] in windows {
        // Half of the values are random, the others are mirrored.
        let half: Vec<f32> = (0..kernel.div_ceil(2).pow(2)).map(|_| rng.normal() as f32).collect();
        let side = kernel.div_ceil(2);
        let fold = |i: usize| i.min(kernel - 1 - i);
        let values = (0..kernel * kernel).map(|i| half[fold(i / kernel) * side + fold(i % kernel)]).collect();
        let w = b.constant(Tensor::f32(&[1, 1, kernel, kernel], values));
        let mut window = Window::new(&[kernel; 2]).strides(&[stride; 2]).pads(&[pad; 2]);
        window.dilations = vec![dilation; 2];
        x = b.apply(Conv { window, group: 1 }, &[x, w]).unwrap();
    }
    let y = b.mean(x, &[2, 3], false).unwrap();
    graph.set_outputs(&[y]);
    Model::from_graph(graph).unwrap()
}

const SIDE: usize = 48;

/// With symmetric kernels a cell's gradient is symmetric as well, so its centroid is exactly at the position.
#[test]
fn with_symmetric_kernels_the_place_is_exact() {
    let networks: [&[[usize; 4]]; 4] = [
        &[[3, 1, 1, 0], [3, 1, 1, 0], [2, 2, 1, 0], [3, 1, 1, 0]],
        &[[3, 2, 1, 1], [3, 1, 1, 1], [3, 2, 1, 1]],
        &[[5, 2, 1, 2], [3, 1, 2, 2], [3, 1, 4, 4]],
        &[[4, 4, 1, 0], [1, 1, 1, 0], [3, 1, 1, 1]],
    ];
    for (windows, seed) in networks.iter().flat_map(|w| [(w, 1), (w, 2), (w, 3)]) {
        let model = symmetric(windows, seed);
        let layer = model.layers().into_iter().rfind(|l| l.op == "Conv").unwrap();
        let cells = interior(&layer, 0, SIDE);
        assert!(!cells.is_empty(), "{windows:?}: no cell sees the image alone");
        let mut graph = model.graph.clone();
        let direction = graph.add_input("direction", graph.fact(layer.value).clone());
        let gradient =
            differentiate(&mut graph, "gradient", layer.value, direction, &[model.image], &DefaultRules)
                .unwrap();
        for cell in cells {
            let mut directions = vec![0.0; layer.shape.iter().product()];
            directions[layer.offset(0, cell * layer.shape[2] + cell)] = 1.0;
            let feeds = [
                Tensor::f32(&[1, 1, SIDE, SIDE], vec![0.5; SIDE * SIDE]),
                Tensor::f32(&[1, 1, layer.shape[1], layer.shape[2]], directions),
            ];
            let found = reference::run(&graph, &feeds, 1, &gradient).unwrap()[0].to_f64();
            let total: f64 = found.iter().map(|g| g * g).sum();
            let rows = found.iter().enumerate().map(|(i, g)| (i / SIDE) as f64 * g * g).sum::<f64>() / total;
            let place = layer.cells[0].unwrap().pixel(cell as f64);
            assert!((rows - place).abs() < 1e-3, "{windows:?}, cell {cell}: {rows}, not {place}");
        }
    }
}
