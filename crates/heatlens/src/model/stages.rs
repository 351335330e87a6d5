//! Outline of a network: its feature map sizes, and the ends of its blocks.

use std::collections::{BTreeMap, BTreeSet};

use heatlens_graph::ValueId;

use crate::model::names::enclosing;
use crate::model::{Layer, Model, SpatialLayout};

/// Consecutive layers of the same size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Height and width of the layers.
    pub size: [usize; 2],
    /// Number of channels of the last layer.
    pub channels: usize,
    /// Layout of the last layer.
    pub grid: SpatialLayout,
    /// Name of the first layer.
    pub first: String,
    /// Name of the last layer.
    pub last: String,
    /// Number of layers.
    pub layers: usize,
}

/// Number of layers up to which a network is listed completely.
const FEW: usize = 24;
/// Maximum number of block ends in an outline.
const MANY: usize = 48;

/// Groups layers into stages.
#[must_use]
pub fn stages(layers: &[Layer]) -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    for layer in layers.iter().filter(|l| !l.view) {
        let [channels, h, w] = layer.shape;
        let (name, grid) = (layer.name.clone(), layer.grid);
        match stages.last_mut().filter(|stage| stage.size == [h, w]) {
            Some(stage) => {
                (stage.channels, stage.grid, stage.last) = (channels, grid, name);
                stage.layers += 1;
            }
            None => {
                stages.push(Stage {
                    size: [h, w],
                    channels,
                    grid,
                    first: name.clone(),
                    last: name,
                    layers: 1,
                });
            }
        }
    }
    stages
}

impl Model {
    /// Returns the most informative layers: all layers of a small network, or the ends of blocks and stages of a large
    /// one. `default` is always among them.
    #[must_use]
    pub fn outline<'l>(&self, layers: &'l [Layer], default: Option<&Layer>) -> Vec<&'l Layer> {
        let own: Vec<&Layer> = layers.iter().filter(|l| !l.view).collect();
        if own.len() <= FEW {
            return own;
        }
        let ends = stage_ends(&own);
        let mut chosen: BTreeSet<ValueId> = block_ends(&own);
        if chosen.len() < 2 {
            // If names contain no modules, the result of a block is a value read both by the next block and by a
            // shortcut.
            let uses = self.graph.uses();
            chosen = own.iter().map(|l| l.value).filter(|&v| uses.of(v).len() > 1).collect();
        }
        if chosen.len() > MANY {
            chosen.clear();
        }
        chosen.extend(ends);
        chosen.extend(default.map(|l| l.value));
        layers.iter().filter(|l| chosen.contains(&l.value)).collect()
    }
}

impl Model {
    /// Returns the last layer of each size, in order.
    #[must_use]
    pub fn stage_layers(&self) -> Vec<Layer> {
        stage_layers(&self.layers())
    }
}

/// Returns the last of the layers of each size, in order.
pub(crate) fn stage_layers(layers: &[Layer]) -> Vec<Layer> {
    let own: Vec<&Layer> = layers.iter().filter(|l| !l.view).collect();
    let ends = stage_ends(&own);
    own.into_iter().filter(|l| ends.contains(&l.value)).cloned().collect()
}

/// Returns the last layer of each size.
fn stage_ends(layers: &[&Layer]) -> Vec<ValueId> {
    let changes = layers.windows(2).filter(|pair| pair[0].shape[1..] != pair[1].shape[1..]);
    changes.map(|pair| pair[0].value).chain(layers.last().map(|l| l.value)).collect()
}

/// Returns the results of modules at the top level or directly below it, and of numbered modules.
fn block_ends(layers: &[&Layer]) -> BTreeSet<ValueId> {
    // Number of layers in each module, and the last of them.
    let mut modules: BTreeMap<&str, (usize, ValueId)> = BTreeMap::new();
    for layer in layers {
        for path in enclosing(&layer.module) {
            let (count, last) = modules.entry(path).or_insert((0, layer.value));
            *count += 1;
            *last = layer.value;
        }
    }
    let blocks = modules.into_iter().filter(|(path, (count, _))| *count > 1 && is_block(path));
    blocks.map(|(_, (_, last))| last).collect()
}

fn is_block(path: &str) -> bool {
    let parts: Vec<&str> = path.split(['.', '/']).collect();
    let is_number = |part: &&&str| part.bytes().all(|b| b.is_ascii_digit());
    let numbers = parts.iter().filter(is_number).count();
    let numbered = parts.last().as_ref().is_some_and(is_number) && numbers <= 2 && parts.len() <= 4;
    let side = parts.iter().any(|part| matches!(*part, "downsample" | "shortcut"));
    (parts.len() <= 2 || numbered) && !side
}
