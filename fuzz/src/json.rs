//! Damage to the structure of JSON: it remains valid JSON with nonsensical content.

use serde_json::{Map, Value, json};

use crate::random::Random;

/// Keys of sizes, axes and layer names, with which a reader computes.
const TELLING: [&str; 38] = [
    "arguments",
    "attention_axes",
    "axes",
    "axis",
    "batch_input_shape",
    "batch_shape",
    "class_name",
    "config",
    "cropping",
    "data_format",
    "depth_multiplier",
    "dilation_rate",
    "dims",
    "factor",
    "filters",
    "groups",
    "height",
    "inbound_nodes",
    "input_layers",
    "interpolation",
    "kernel_size",
    "key_dim",
    "keras_history",
    "layers",
    "max_value",
    "n",
    "name",
    "num_heads",
    "output_layers",
    "output_padding",
    "padding",
    "pool_size",
    "size",
    "strides",
    "target_shape",
    "training",
    "units",
    "width",
];

/// Damages `value` in one to five places; `other` is a document to take parts from.
pub fn structure(random: &mut Random, value: &mut Value, other: &Value) {
    for _ in 0..=random.below(5) {
        once(random, value, other);
    }
}

fn once(random: &mut Random, root: &mut Value, other: &Value) {
    // Parts are copied first, because the place to change is borrowed from the same document.
    let own = pick(random, root).clone();
    let foreign = pick(random, other).clone();
    let class = class(random, root);
    let telling = random.below(3) > 0;
    let target = if telling { telling_place(random, root) } else { place(random, root) };
    let Some(target) = target else { return };
    match random.below(12) {
        0..=2 => *target = number_like(random, target),
        3 => *target = wrong(random),
        4 => *target = own,
        5 => *target = foreign,
        6 => *target = class,
        _ => members(random, target, own, foreign),
    }
}

/// Adds, removes, repeats or moves members of a list or an object; turns anything else into a list.
fn members(random: &mut Random, target: &mut Value, own: Value, foreign: Value) {
    match target {
        Value::Array(list) => {
            let at = random.below(list.len() + 1);
            let inner = at % list.len().max(1);
            match random.below(6) {
                0 => list.insert(at, own),
                1 => list.insert(at, foreign),
                2 if at < list.len() => drop(list.remove(at)),
                3 if !list.is_empty() => list.rotate_left(inner),
                4 if !list.is_empty() => {
                    let copies = *random.of(&[1, 2, 100, 3000]);
                    let one = list[inner].clone();
                    // Large parts are repeated less often: the number of copies matters, not the length.
                    let copies = if size(&one) > 50 { copies.min(20) } else { copies };
                    list.extend(std::iter::repeat_n(one, copies));
                }
                _ => list.truncate(at),
            }
        }
        Value::Object(map) => {
            let keys: Vec<String> = map.keys().cloned().collect();
            let key = if keys.is_empty() { "x".to_owned() } else { random.of(&keys).clone() };
            match random.below(4) {
                0 => drop(map.remove(&key)),
                1 => drop(map.insert(key, own)),
                2 => drop(map.insert((*random.of(&TELLING)).to_owned(), foreign)),
                _ => {
                    let old = std::mem::take(map);
                    *map = Map::from_iter([(key, Value::Object(old))]);
                }
            }
        }
        other => *other = Value::Array(vec![other.clone(); *random.of(&[1, 2, 3, 5, 40])]),
    }
}

/// Returns a replacement for the number `old`: near it, so that the rest may still fit, or an edge case.
fn number_like(random: &mut Random, old: &Value) -> Value {
    if let Some(old) = old.as_i64().filter(|_| random.below(2) == 0) {
        return json!(old.wrapping_add(random.below(5) as i64 - 2));
    }
    match random.below(12) {
        0 => json!(0.5),
        1 => json!(1e300),
        2 => json!(-0.0),
        3 => json!(1u64 << 24),
        4 => json!(1u64 << 30),
        5 => json!(u64::MAX),
        6 => json!([random.below(4), random.below(4)]),
        _ => json!(random.integer() as i64),
    }
}

/// Returns a value of an unexpected type.
fn wrong(random: &mut Random) -> Value {
    match random.below(12) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(false),
        3 => json!(""),
        4 => json!("\u{0}\u{fffd}../../etc/passwd"),
        5 => json!([]),
        6 => json!({}),
        7 => json!([[null, 1], ["a", 0, 0]]),
        8 => deep(100),
        9 => json!("a".repeat(5000)),
        10 => json!([null, 1u64 << 30, 1u64 << 30, 3]),
        _ => json!({"class_name": "__keras_tensor__", "config": {"keras_history": ["dense", 0, 0]}}),
    }
}

/// Returns nested lists.
fn deep(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| Value::Array(vec![inner]))
}

/// Returns a class name: one of the document, or one that runs code or denotes a model.
fn class(random: &mut Random, root: &Value) -> Value {
    const OTHERS: [&str; 12] = [
        "Lambda",
        "Functional",
        "Sequential",
        "Model",
        "TFOpLambda",
        "InputLayer",
        "Reshape",
        "Concatenate",
        "UpSampling2D",
        "ZeroPadding2D",
        "RepeatVector",
        "Flatten",
    ];
    let mut names = Vec::new();
    walk(root, &mut |key, value| {
        if key == "class_name" {
            names.push(value.clone());
        }
    });
    if names.is_empty() || random.below(2) == 0 {
        json!(random.of(&OTHERS))
    } else {
        random.of(&names).clone()
    }
}

/// Returns the number of values in a document.
pub fn size(value: &Value) -> usize {
    let mut count = 1;
    walk(value, &mut |_, _| count += 1);
    count
}

fn walk<'a>(value: &'a Value, visit: &mut dyn FnMut(&'a str, &'a Value)) {
    match value {
        Value::Array(list) => list.iter().for_each(|inner| {
            visit("", inner);
            walk(inner, visit);
        }),
        Value::Object(map) => map.iter().for_each(|(key, inner)| {
            visit(key, inner);
            walk(inner, visit);
        }),
        _ => {}
    }
}

/// Returns a random part of a document.
fn pick<'a>(random: &mut Random, root: &'a Value) -> &'a Value {
    let mut all = vec![root];
    walk(root, &mut |_, value| all.push(value));
    all[random.below(all.len())]
}

/// Returns the value reached after counting down `number`, in the order of [`walk`], among those that `wanted` accepts.
fn nth<'a>(value: &'a mut Value, number: &mut usize, wanted: &dyn Fn(&str) -> bool) -> Option<&'a mut Value> {
    let members: Vec<(bool, &mut Value)> = match value {
        Value::Array(list) => list.iter_mut().map(|inner| (wanted(""), inner)).collect(),
        Value::Object(map) => map.iter_mut().map(|(key, inner)| (wanted(key), inner)).collect(),
        _ => return None,
    };
    for (counts, inner) in members {
        if counts && *number == 0 {
            return Some(inner);
        }
        *number -= usize::from(counts);
        if let Some(found) = nth(inner, number, wanted) {
            return Some(found);
        }
    }
    None
}

fn place<'a>(random: &mut Random, root: &'a mut Value) -> Option<&'a mut Value> {
    let mut number = random.below(size(root).saturating_sub(1));
    nth(root, &mut number, &|_| true)
}

/// Returns a value under one of the [`TELLING`] keys, or a value inside it.
fn telling_place<'a>(random: &mut Random, root: &'a mut Value) -> Option<&'a mut Value> {
    let wanted = |key: &str| TELLING.contains(&key);
    let mut count = 0;
    walk(root, &mut |key, _| count += usize::from(wanted(key)));
    let mut number = random.below(count);
    let found = nth(root, &mut number, &wanted)?;
    let inside = size(found) - 1;
    if (1..20).contains(&inside) && random.below(2) == 0 {
        let mut number = random.below(inside);
        return nth(found, &mut number, &|_| true);
    }
    Some(found)
}
