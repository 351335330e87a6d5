//! Location of a layer's arrays in the file.
//!
//! `.keras` files number layers by class (`layers/conv2d_1/vars/0`) and store nested models in subfolders. `.h5` files
//! have one group per layer of the outermost model; arrays of nested models are in one list, under their own names.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::KerasError;
use super::spec::LayerSpec;
use super::store::Store;

/// Location of the arrays of a layer or model.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// Folder of a `.keras` file.
    Folder(String),
    /// Group of the outermost model of an `.h5` file.
    Groups(String),
    /// Arrays of an `.h5` file: their group and their names in it.
    Names { group: String, names: Arc<[Arc<str>]> },
}

impl Place {
    /// Returns the location of the arrays of each layer of a model.
    pub(super) fn children(&self, store: &Store, layers: &[LayerSpec<'_>]) -> Result<Vec<Self>, KerasError> {
        match self {
            Self::Folder(folder) => folders(store, folder, layers),
            Self::Groups(group) => {
                layers.iter().map(|layer| named_group(store, group, &layer.name)).collect()
            }
            Self::Names { group, names } => {
                // Every name is compared with every layer.
                let names_length: u64 = names.iter().map(|name| 8 + name.len() as u64 / 16).sum();
                store.spend(names_length.saturating_mul(layers.len() as u64))?;
                Ok(by_owner(layers, names)
                    .into_iter()
                    .map(|names| Self::Names { group: group.clone(), names })
                    .collect())
            }
        }
    }

    /// Returns the paths of a layer's arrays in the order of their creation; `parts` are its sublayers.
    pub(super) fn arrays(&self, store: &Store, parts: &[&str]) -> Result<Vec<String>, KerasError> {
        match self {
            Self::Folder(folder) => {
                let mut found = numbered(store, &format!("{folder}/vars"))?;
                for part in parts {
                    for spelling in [(*part).to_owned(), format!("_{part}")] {
                        found.extend(numbered(store, &format!("{folder}/{spelling}/vars"))?);
                    }
                }
                Ok(found)
            }
            Self::Groups(_) => Ok(Vec::new()),
            Self::Names { group, names } => Ok(names.iter().map(|name| format!("{group}/{name}")).collect()),
        }
    }
}

/// Returns the names of the arrays of each layer. Nested models come first: if a nested model and the surrounding one
/// have layers of the same name, `base/conv/kernel` belongs to the nested model's.
fn by_owner(layers: &[LayerSpec<'_>], names: &Arc<[Arc<str>]>) -> Vec<Arc<[Arc<str>]>> {
    let mut taken = vec![false; names.len()];
    let mut own: Vec<Option<Arc<[Arc<str>]>>> = vec![None; layers.len()];
    for models in [true, false] {
        for (layer, own) in layers.iter().zip(&mut own).filter(|(layer, _)| layer.is_model() == models) {
            let belongs = |at: &usize| belongs_to(&names[*at], &layer.name);
            let all: Vec<usize> = (0..names.len()).filter(belongs).collect();
            let free: Vec<usize> = all.iter().copied().filter(|&at| !taken[at]).collect();
            let found = if models || free.is_empty() { all } else { free };
            if models {
                found.iter().for_each(|&at| taken[at] = true);
            }
            *own = Some(found.into_iter().map(|at| Arc::clone(&names[at])).collect());
        }
    }
    let whole = |(layer, own): (&LayerSpec<'_>, Option<Arc<[Arc<str>]>>)| match own {
        Some(own) if !own.is_empty() || !layer.is_model() => own,
        // Weights are named after their layers; the names of surrounding models may be missing.
        _ => Arc::clone(names),
    };
    layers.iter().zip(own).map(whole).collect()
}

/// True if a weight's name (`outer/conv/kernel:0`) contains `layer` as one of its owners.
fn belongs_to(name: &str, layer: &str) -> bool {
    let owner = name.rsplit_once('/').map_or("", |(owner, _)| owner);
    let starts = std::iter::once(0).chain(owner.match_indices('/').map(|(at, _)| at + 1));
    let mut rest = starts.filter_map(|at| owner[at..].strip_prefix(layer));
    rest.any(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns the paths of the arrays `0`, `1`, `2` … of a group.
fn numbered(store: &Store, folder: &str) -> Result<Vec<String>, KerasError> {
    let mut numbers: Vec<usize> = store.arrays(folder)?.iter().filter_map(|n| n.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers.into_iter().map(|n| format!("{folder}/{n}")).collect())
}

/// Returns the folders of a model's layers: by the name stored in newer files, otherwise by counting classes.
fn folders(store: &Store, folder: &str, layers: &[LayerSpec<'_>]) -> Result<Vec<Place>, KerasError> {
    let mut base = format!("{folder}/layers");
    let mut found = store.groups(&base)?;
    if found.is_empty() {
        base = format!("{folder}/_layer_checkpoint_dependencies");
        found = store.groups(&base)?;
    }
    let mut by_name = BTreeMap::new();
    for child in &found {
        let path = format!("{base}/{child}");
        if let Some(name) = store.text(&format!("{path}/vars"), "name")? {
            by_name.insert(name, path);
        }
    }
    let mut used: BTreeMap<String, usize> = BTreeMap::new();
    let mut places = Vec::with_capacity(layers.len());
    for layer in layers {
        if layer.is_function {
            places.push(Place::Folder(String::new()));
            continue;
        }
        let class = snake_case(layer.class);
        let count = used.entry(class.clone()).or_default();
        let counted = if *count == 0 { format!("{base}/{class}") } else { format!("{base}/{class}_{count}") };
        *count += 1;
        places.push(Place::Folder(by_name.get(&layer.name).cloned().unwrap_or(counted)));
    }
    Ok(places)
}

/// Returns the group of a layer in an `.h5` file, with the names of its arrays.
fn named_group(store: &Store, group: &str, layer: &str) -> Result<Place, KerasError> {
    let group = format!("{group}/{layer}");
    let mut names = store.texts(&group, "weight_names")?.unwrap_or_default();
    // Lists too long for one attribute are split.
    let mut part = 0;
    while let Some(more) = store.texts(&group, &format!("weight_names{part}"))? {
        names.extend(more);
        part += 1;
    }
    Ok(Place::Names { group, names: names.into_iter().map(Arc::from).collect() })
}

/// Converts `BatchNormalization` to `batch_normalization`, by the rule of Keras.
fn snake_case(class: &str) -> String {
    let chars: Vec<char> = class.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut out = String::new();
    for (i, &c) in chars.iter().enumerate() {
        let before = i.checked_sub(1).and_then(|j| chars.get(j));
        let starts_word = c.is_ascii_uppercase() && chars.get(i + 1).is_some_and(char::is_ascii_lowercase);
        let after_lower = c.is_ascii_uppercase() && before.is_some_and(char::is_ascii_lowercase);
        if before.is_some() && (starts_word || after_lower) {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_names_become_folders_by_keras_rule() {
        for (class, folder) in [
            ("Conv2D", "conv2d"),
            ("BatchNormalization", "batch_normalization"),
            ("ReLU", "re_lu"),
            ("PReLU", "p_re_lu"),
            ("LeakyReLU", "leaky_re_lu"),
            ("RMSNormalization", "rms_normalization"),
            ("Conv2DTranspose", "conv2d_transpose"),
            ("DepthwiseConv2D", "depthwise_conv2d"),
            ("UpSampling2D", "up_sampling2d"),
            ("Functional", "functional"),
        ] {
            assert_eq!(snake_case(class), folder);
        }
    }

    #[test]
    fn weights_belong_to_the_layer_in_their_name() {
        assert!(belongs_to("conv/kernel:0", "conv"));
        assert!(belongs_to("outer/block/conv/kernel", "block/conv"));
        assert!(belongs_to("attention/query/kernel:0", "attention"));
        assert!(!belongs_to("conv_1/kernel:0", "conv"));
        assert!(!belongs_to("conv", "conv"));
    }
}
