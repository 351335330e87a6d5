//! Which maps are computed, and which of them are handed out.

use crate::explain::attribution::Probes;
use crate::explain::{ExplainOptions, fusion};
use crate::method::{MapKind, Method};
use crate::model::{Layer, Model, Placement};
use crate::target::Goal;

/// One map that the program computes.
#[derive(Clone, Debug)]
pub struct MapSpec {
    /// The method.
    pub method: &'static Method,
    /// The layer, for methods that use one.
    pub layer: Option<Layer>,
    /// What is explained.
    pub goal: Goal,
    /// Sizes of one sample's map: `[h, w]` or `[c, h, w]`.
    pub shape: Vec<usize>,
    /// Where the cells of a layer's map stand in the image.
    pub placement: Placement,
    /// Whether the method was asked for at several layers, so that its name needs the layer.
    pub several_layers: bool,
    /// Whether several classes were asked for, so that its name needs the class.
    pub several_classes: bool,
    pub(super) source: MapSource,
    /// Outputs that tell why a map is empty.
    pub(super) probes: Option<Probes<usize>>,
}

/// Where a map's numbers come from.
#[derive(Clone, Copy, Debug)]
pub(super) enum MapSource {
    /// An output of the shared program.
    Output(usize),
    /// Passes of their own (their number in the list of all), for the target that this output holds.
    Passes { number: usize, target: usize },
}

/// What is handed out: the parts, or one map for those that several layers have in common.
pub(super) fn shown(
    parts: &[MapSpec],
    options: &ExplainOptions,
    model: &Model,
) -> (Vec<MapSpec>, Vec<Vec<usize>>) {
    let mut maps: Vec<MapSpec> = Vec::new();
    let mut made_of: Vec<Vec<usize>> = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let fuses = options.fusion.is_some() && part.several_layers && part.method.kind == MapKind::Layer;
        let same = |map: &MapSpec| map.method.id == part.method.id && map.goal == part.goal;
        let known = maps.iter().position(|map| fuses && part.layer.is_some() && same(map));
        match known {
            Some(known) => made_of[known].push(number),
            None => {
                maps.push(part.clone());
                made_of.push(vec![number]);
            }
        }
    }
    for (map, of) in maps.iter_mut().zip(&made_of) {
        if of.len() > 1 {
            map.layer = None;
            map.several_layers = false;
            let largest = fusion::largest(of.iter().map(|&part| parts[part].shape.as_slice()));
            if let Some(part) = largest.and_then(|at| parts.get(*of.get(at)?)) {
                (map.shape, map.placement) = (part.shape.clone(), part.placement);
            }
        }
        if let (Some(compat), MapKind::Layer) = (options.compat, map.method.kind) {
            let [_, h, w] = model.shape();
            map.shape = compat.shape(&map.shape, [h, w]);
            map.placement = Placement::EVEN;
        }
    }
    (maps, made_of)
}
