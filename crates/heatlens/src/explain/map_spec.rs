//! Specification of the maps to compute and to return.

use std::collections::BTreeSet;

use crate::explain::attribution::Probes;
use crate::explain::{ExplainOptions, fusion};
use crate::method::{MapKind, Method};
use crate::model::{Layer, Model, Placement};
use crate::target::{Class, Goal};

/// One map that the program computes.
#[derive(Clone, Debug)]
pub struct MapSpec {
    /// Unique name of the map: the method's id, with layer and class if there are several.
    pub name: String,
    /// The name as part of a file name: letters, digits and `-_.@#~`, at most 96 bytes, unique even if case is ignored.
    pub file_name: String,
    /// Method that computes the map.
    pub method: &'static Method,
    /// Layer of the map, for methods that use one.
    pub layer: Option<Layer>,
    /// Explained score.
    pub goal: Goal,
    /// Shape of one sample's map: `[h, w]` or `[c, h, w]`.
    pub shape: Vec<usize>,
    /// Placement of a layer map's cells in the image.
    pub placement: Placement,
    /// True if the method is applied to several layers, so that the name needs the layer.
    pub several_layers: bool,
    /// True if several classes are explained, so that the name needs the class.
    pub several_classes: bool,
    pub(super) source: MapSource,
    /// Outputs from which the reason for an empty map is derived.
    pub(super) probes: Option<Probes<usize>>,
    /// Output with the weight of each place, for dense heads.
    pub(super) places: Option<usize>,
    /// Output that holds the seed, if the class is determined with it.
    pub(super) seed: Option<usize>,
}

impl MapSpec {
    /// Returns the title of the map: that of the method, with layer and class if there are several.
    #[must_use]
    pub fn title(&self, model: &Model) -> String {
        let layer = self.layer.as_ref().filter(|_| self.several_layers).map(|layer| layer.name.as_str());
        let parts: Vec<String> =
            layer.map(str::to_owned).into_iter().chain(self.class(model, "box ")).collect();
        match parts.as_slice() {
            [] => self.method.title.to_owned(),
            parts => format!("{} ({})", self.method.title, parts.join(", ")),
        }
    }

    /// The class or, after `rank`, the rank of the detection, where several were asked for.
    fn class(&self, model: &Model, rank: &str) -> Option<String> {
        match self.goal.class {
            _ if !self.several_classes => None,
            Class::Number(class) => Some(model.class_names.get(class).cloned().unwrap_or_default()),
            Class::OfDetection(number) => Some(format!("{rank}{number}")),
            Class::Predicted | Class::RunnerUp => None,
        }
    }

    fn plain_name(&self, model: &Model) -> String {
        let mut name = self.method.id.to_owned();
        if let Some(layer) = self.layer.as_ref().filter(|_| self.several_layers) {
            name.push_str(&format!("@{}", layer.name));
        }
        if let Some(class) = self.class(model, "") {
            name.push_str(&format!("#{class}"));
        }
        name
    }
}

/// Maximum length, in bytes, of a map's name in a file name.
const MOST_BYTES: usize = 96;

/// Assigns unique names to the maps. Of those with the same file name, all but the first get a number.
fn name_all(maps: &mut [MapSpec], model: &Model) {
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for map in maps {
        let plain = map.plain_name(model);
        let numbered = |number: usize| if number == 1 { String::new() } else { format!("~{number}") };
        let file = |number: usize| file_part(&plain, &numbered(number));
        let number = (1..).find(|number| taken.insert(file(*number).to_lowercase())).unwrap_or(1);
        (map.name, map.file_name) = (plain.clone() + &numbered(number), file(number));
    }
}

/// Returns a name as part of a file name, cut so that the result, including `end`, has at most 96 bytes.
pub(crate) fn file_part(name: &str, end: &str) -> String {
    let safe = |c: char| if c.is_alphanumeric() || "-_.@#".contains(c) { c } else { '_' };
    let mut part = String::new();
    for c in name.chars().map(safe) {
        if part.len() + c.len_utf8() + end.len() > MOST_BYTES {
            break;
        }
        part.push(c);
    }
    part + end
}

/// Source of a map's values.
#[derive(Clone, Copy, Debug)]
pub(super) enum MapSource {
    /// Output of the shared program.
    Output(usize),
    /// Separate passes, given by their index, for the target held by this output.
    Passes { number: usize, target: usize },
}

/// Returns the maps to output, each with the indices of its parts: one map per part, or one for all layers that are
/// fused.
pub(super) fn shown(
    parts: &[MapSpec],
    options: &ExplainOptions,
    model: &Model,
    by_level: bool,
) -> (Vec<MapSpec>, Vec<Vec<usize>>) {
    let mut maps: Vec<MapSpec> = Vec::new();
    let mut made_of: Vec<Vec<usize>> = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let fuses =
            by_level || options.fusion.is_some() && part.several_layers && part.method.kind == MapKind::Layer;
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
    name_all(&mut maps, model);
    (maps, made_of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::{ExplainOptions, Explainer};
    use crate::method::Method;
    use crate::target::Target;
    use crate::train::arch;

    #[test]
    fn every_map_has_a_file_of_its_own() {
        let mut model =
            Model::from_graph(arch::find("gap-cnn").unwrap().build([1, 14, 14], 6, 0).unwrap()).unwrap();
        let long = "x".repeat(300);
        model.class_names =
            ["crane", "crane", "a/b", "a_b", "A b", long.as_str()].map(str::to_owned).to_vec();
        let options = ExplainOptions { target: Target::All, ..ExplainOptions::new(&[Method::GRAD_CAM]) };
        let explainer = Explainer::new(&model, &options).unwrap();
        let names: Vec<&str> = explainer.maps().iter().map(|map| map.name.as_str()).collect();
        let start =
            ["grad_cam#crane", "grad_cam#crane~2", "grad_cam#a/b", "grad_cam#a_b~2", "grad_cam#A b~3"];
        assert_eq!(names[..5], start);
        let files: BTreeSet<String> = explainer.maps().iter().map(|m| m.file_name.to_lowercase()).collect();
        assert!(files.len() == 6 && files.iter().all(|file| file.len() <= MOST_BYTES), "{files:?}");
        assert_eq!(explainer.maps()[4].file_name, "grad_cam#A_b~3");
    }
}
