//! Layer names, as given by the model's author.
//!
//! Exporters store the author's names in different places. PyTorch's older exporter writes them into node names
//! (`/layer4/layer4.1/conv2/Conv`), its newer one into node metadata as a list of scopes (`['', 'layer4', 'layer4.1',
//! 'layer4.1.relu', 'relu_16']`), and Keras and TensorFlow into names with slashes (`resnet50/conv5_block3_out/Relu`).
//! All of them are converted to a module and the name of a step within it.

use heatlens_graph::{Graph, Node};

/// Metadata key under which PyTorch's newer exporter stores the modules around a node.
const SCOPES: &str = "pkg.torch.onnx.name_scopes";

/// Module that computes a node, and the node's name within it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Path of the module, separated by dots; empty at the top level.
    pub(super) module: String,
    /// Step within the module; empty if the node is the whole module.
    pub(super) step: String,
}

impl Place {
    /// Returns the place of a node whose name starts with `skip` meaningless parts.
    pub(super) fn of(node: &Node, skip: usize) -> Self {
        let scopes = node.metadata.get(SCOPES).and_then(|text| from_scopes(text));
        scopes.or_else(|| from_path(&node.name)).unwrap_or_else(|| from_slashes(&node.name, skip))
    }

    /// Returns module and step as one name.
    pub(super) fn full(&self) -> String {
        match (self.module.as_str(), self.step.as_str()) {
            (module, "") => module.to_owned(),
            ("", step) => step.to_owned(),
            (module, step) => format!("{module}/{step}"),
        }
    }
}

/// Parses `['', 'layer4', 'layer4.1', 'layer4.1.relu', 'relu_16']`: the full path of each module, followed by the
/// node's own name.
fn from_scopes(text: &str) -> Option<Place> {
    let list = text.trim().strip_prefix('[')?.strip_suffix(']')?;
    let unquote = |item: &str| item.trim().trim_matches(['\'', '"']).to_owned();
    let mut items: Vec<String> = list.split(',').map(unquote).collect();
    let step = items.pop()?;
    let module = items.into_iter().rfind(|item| !item.starts_with('_')).unwrap_or_default();
    Some(Place { module, step })
}

/// Parses `/layer4/layer4.1/conv2/Conv`. A part that extends the previous one replaces it.
fn from_path(name: &str) -> Option<Place> {
    let mut parts: Vec<&str> = name.strip_prefix('/')?.split('/').collect();
    let step = parts.pop()?.to_owned();
    let mut modules: Vec<&str> = Vec::new();
    for part in parts {
        let goes_on = |last: &&&str| part.strip_prefix(**last).is_some_and(|rest| rest.starts_with('.'));
        if modules.last().filter(goes_on).is_some() {
            modules.pop();
        }
        modules.push(part);
    }
    Some(Place { module: modules.join("."), step })
}

/// Parses `resnet50/conv5_block3_out/Relu`, or a plain name. The last part is a step only if it is the name of an
/// operator.
fn from_slashes(name: &str, skip: usize) -> Place {
    let parts: Vec<&str> = name.split('/').filter(|part| !part.is_empty()).collect();
    let (module, step) = match parts.as_slice() {
        [modules @ .., step] if !modules.is_empty() && is_operator(step) => (modules, *step),
        parts => (parts, ""),
    };
    let module = module.get(skip.min(module.len().saturating_sub(1))..).unwrap_or_default();
    Place { module: module.join("/"), step: step.to_owned() }
}

/// True if the last part of a name is that of an operator: `Conv2D`, `BiasAdd`, `add_1`.
fn is_operator(part: &str) -> bool {
    let plain = part.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('_');
    let lower = matches!(plain, "add" | "mul" | "sub" | "truediv" | "concat" | "mean" | "max");
    lower || part.starts_with(|c: char| c.is_ascii_uppercase())
}

/// Returns the number of leading parts shared by all names with slashes (`StatefulPartitionedCall/model/…`).
pub(super) fn common_parts(graph: &Graph) -> usize {
    let names = graph.nodes().iter().map(|n| n.name.as_str());
    let mut names = names.filter(|n| n.contains('/') && !n.starts_with('/'));
    let Some(first) = names.next() else { return 0 };
    let first: Vec<&str> = first.split('/').collect();
    let shared = |name: &str, most: usize| {
        first.iter().zip(name.split('/')).take(most).take_while(|(a, b)| *a == b).count()
    };
    let start = first.len().saturating_sub(1);
    let (count, shared) = names.fold((1, start), |(count, most), name| (count + 1, shared(name, most)));
    // A prefix shared by few nodes is a part of the network rather than its name.
    if 2 * count > graph.nodes().len() && count > 1 { shared } else { 0 }
}

/// True if `name` ends in `part`, at a boundary of parts separated by `/` or `.`.
pub(super) fn ends_with_part(name: &str, part: &str) -> bool {
    name.strip_suffix(part).is_some_and(|front| front.is_empty() || front.ends_with(['/', '.']))
}

/// True if the module `path` is `module` or lies within it.
pub(super) fn is_within(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '/']))
}

/// Maximum number of nested modules that are searched. Real models are not nested deeper, but a name in a malicious
/// file can have a million parts.
const MOST_LEVELS: usize = 64;

/// Returns a module and its ancestors, innermost first: `a.b.c`, `a.b`, `a`. At most the innermost 64 are returned.
pub(super) fn enclosing(module: &str) -> impl Iterator<Item = &str> {
    let whole = Some(module).filter(|m| !m.is_empty());
    std::iter::successors(whole, |path| path.rsplit_once(['.', '/']).map(|(front, _)| front))
        .take(MOST_LEVELS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(module: &str, step: &str) -> Place {
        Place { module: module.to_owned(), step: step.to_owned() }
    }

    #[test]
    fn names_of_every_exporter() {
        for (name, module, step) in [
            ("/layer4/layer4.1/conv2/Conv", "layer4.1.conv2", "Conv"),
            ("/layer4/layer4.1/Add", "layer4.1", "Add"),
            ("/stages/stages.0/blocks/blocks.0/mlp/fc1/MatMul", "stages.0.blocks.0.mlp.fc1", "MatMul"),
            ("/features/features.1/features.1.0/norm1/Add_1", "features.1.0.norm1", "Add_1"),
            ("/Concat_1", "", "Concat_1"),
        ] {
            assert_eq!(from_path(name), Some(place(module, step)), "{name}");
        }
        assert_eq!(from_path("conv1"), None);
        let scopes = "['', 'layer4', 'layer4.1', 'layer4.1.relu', 'relu_16']";
        assert_eq!(from_scopes(scopes), Some(place("layer4.1.relu", "relu_16")));
        assert_eq!(from_scopes("['', 'cat']"), Some(place("", "cat")));
        let unnamed = "['_empty_nn_module_stack_from_metadata_hook', 'sym_size_int_1']";
        assert_eq!(from_scopes(unnamed), Some(place("", "sym_size_int_1")));
        assert_eq!(from_scopes("layer4"), None);
        assert_eq!(from_slashes("conv2d_1", 0), place("conv2d_1", ""));
        assert_eq!(from_slashes("call/resnet50/conv5_out/Relu", 2), place("conv5_out", "Relu"));
        assert_eq!(from_slashes("resnet50/add/add_1", 0), place("resnet50/add", "add_1"));
        assert_eq!(from_slashes("body/a_2", 0), place("body/a_2", ""));
        assert_eq!(from_slashes("Relu", 2), place("Relu", ""));
    }

    #[test]
    fn only_whole_parts_count() {
        assert!(ends_with_part("/layer4/layer4.1/conv2/Conv", "conv2/Conv"));
        assert!(ends_with_part("block.relu", "relu"));
        assert!(!ends_with_part("block_relu", "relu"));
        assert!(is_within("layer4.1.conv2", "layer4") && is_within("layer4", "layer4"));
        assert!(!is_within("layer41", "layer4"));
        assert_eq!(enclosing("a.b.c").collect::<Vec<_>>(), ["a.b.c", "a.b", "a"]);
        assert_eq!(enclosing("").count(), 0);
        assert_eq!(enclosing(&"a.".repeat(1000)).count(), MOST_LEVELS);
    }
}
