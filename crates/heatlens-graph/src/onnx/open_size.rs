//! Image inputs whose height and width the file leaves open.

use std::collections::BTreeMap;

use super::error::OnnxError;
use super::proto::tensor_shape_proto::dimension;
use super::proto::type_proto;
use super::proto::{GraphProto, NodeProto, ValueInfoProto};

/// Usual image sizes of networks, most frequent first; tried in this order if the size is not specified.
pub(super) const USUAL: [[usize; 2]; 14] = [
    [224, 224],
    [256, 256],
    [299, 299],
    [320, 320],
    [384, 384],
    [448, 448],
    [512, 512],
    [640, 640],
    [128, 128],
    [96, 96],
    [64, 64],
    [48, 48],
    [32, 32],
    [28, 28],
];

/// Returns the result of `build` for the first usual size that it accepts.
///
/// # Errors
/// The error for the most frequent size, if every size is rejected; the first [`OnnxError::TooLarge`], because reaching a
/// limit once for each size would take too long.
pub(super) fn first_accepted<T>(
    mut build: impl FnMut([usize; 2]) -> Result<T, OnnxError>,
) -> Result<T, OnnxError> {
    let is_settled =
        |result: &Result<T, OnnxError>| matches!(result, Ok(_) | Err(OnnxError::TooLarge { .. }));
    let [first, others @ ..] = USUAL;
    let first = build(first);
    if is_settled(&first) {
        return first;
    }
    others.into_iter().map(build).find(is_settled).unwrap_or(first)
}

/// Returns the declared sizes of an input; `None` for an open one.
fn declared(info: &ValueInfoProto) -> Option<Vec<Option<usize>>> {
    let type_proto::Value::TensorType(tensor) = info.r#type.as_ref()?.value.as_ref()? else { return None };
    let size = |value: &Option<dimension::Value>| match value {
        Some(dimension::Value::DimValue(size)) if *size > 0 => usize::try_from(*size).ok(),
        _ => None,
    };
    Some(tensor.shape.as_ref()?.dim.iter().map(|dim| size(&dim.value)).collect())
}

/// True if an input holds images of open height or width.
pub(super) fn is_open(info: &ValueInfoProto) -> bool {
    declared(info).is_some_and(|sizes| sizes.len() == 4 && sizes[1..].iter().any(Option::is_none))
}

/// Returns a size for every axis of an input that may hold images of `[height, width]`; an axis of unknown size stays
/// `None`.
pub(super) fn closed(
    graph: &GraphProto,
    info: &ValueInfoProto,
    [height, width]: [usize; 2],
) -> Vec<Option<usize>> {
    let Some(mut sizes) = declared(info).filter(|sizes| sizes.len() == 4) else { return Vec::new() };
    let reader = reader(graph, info.name());
    let few = |size: Option<usize>| matches!(size, Some(1 | 3 | 4));
    let channels = match reader {
        Some((axis, _)) => axis,
        None if few(sizes[3]) && !few(sizes[1]) => 3,
        None => 1,
    };
    let mut places = [height, width].into_iter();
    for (axis, size) in sizes.iter_mut().enumerate().skip(1) {
        let known = if axis == channels { reader.and_then(|(_, size)| size) } else { places.next() };
        *size = size.or(known);
    }
    sizes
}

/// Returns the axis of an input that the first convolution uses as channels, and the number of channels it reads.
fn reader(graph: &GraphProto, input: &str) -> Option<(usize, Option<usize>)> {
    let weights: BTreeMap<&str, &[i64]> =
        graph.initializer.iter().map(|t| (t.name(), t.dims.as_slice())).collect();
    let mut orders: BTreeMap<&str, [usize; 4]> = BTreeMap::from([(input, [0, 1, 2, 3])]);
    for node in &graph.node {
        let Some(&order) = node.input.iter().find_map(|name| orders.get(name.as_str())) else { continue };
        let order = match node.op_type() {
            "Conv" => {
                let dims = node.input.get(1).and_then(|name| weights.get(name.as_str()));
                let groups = int(node, "group").unwrap_or(1);
                let size = dims.and_then(|dims| usize::try_from(dims.get(1)? * groups).ok());
                return Some((order[1], size));
            }
            "Transpose" => match permutation(node) {
                Some(perm) => perm.map(|axis| order[axis]),
                None => continue,
            },
            "Cast" | "Identity" | "Add" | "Sub" | "Mul" | "Div" | "Pad" | "BatchNormalization" | "Clip"
            | "Relu" | "Resize" | "Concat" | "Split" | "Slice" | "Gather" | "QuantizeLinear"
            | "DequantizeLinear" => order,
            _ => continue,
        };
        orders.extend(node.output.iter().map(|name| (name.as_str(), order)));
    }
    None
}

fn int(node: &NodeProto, name: &str) -> Option<i64> {
    node.attribute.iter().find(|a| a.name() == name).map(super::proto::AttributeProto::i)
}

fn permutation(node: &NodeProto) -> Option<[usize; 4]> {
    let perm = node.attribute.iter().find(|a| a.name() == "perm")?;
    let perm: Option<Vec<usize>> =
        perm.ints.iter().map(|&p| usize::try_from(p).ok().filter(|&p| p < 4)).collect();
    perm?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_tried_until_one_is_accepted_or_a_limit_is_reached() {
        let limit = || OnnxError::TooLarge { what: "a model", found: 2, limit: 1 };
        let tried = |accepted: usize, limited: usize| {
            let mut tried = Vec::new();
            let result = first_accepted(|size| {
                tried.push(size);
                match tried.len() {
                    n if n == accepted => Ok(size),
                    n if n == limited => Err(limit()),
                    n => Err(OnnxError::Malformed(n.to_string())),
                }
            });
            (tried.len(), result.map_err(|error| error.to_string()))
        };
        assert_eq!(tried(3, 0), (3, Ok(USUAL[2])));
        assert_eq!(tried(0, 3), (3, Err(limit().to_string())));
        assert_eq!(tried(0, 0), (USUAL.len(), Err(OnnxError::Malformed("1".to_owned()).to_string())));
    }
}
