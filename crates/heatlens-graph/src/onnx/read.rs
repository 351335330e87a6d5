//! Conversion of decoded messages to a graph.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use prost::bytes::Bytes;

use super::ends::{CLASS_LABELS, Producers};
use super::error::{NodeError, OnnxError};
use super::external::External;
use super::importer::{self, Importer, define};
use super::proto::{GraphProto, ModelProto, to_map};
use super::scope::{Problem, Reading, Slot};
use super::value_info::Batch;
use super::{OnnxModel, OnnxOptions, WHOLE_PIXELS, limits, open_size, selection, single_image};
use crate::builder::Builder;
use crate::error::OpError;
use crate::fact::{DType, Dim, Fact, Shape};
use crate::graph::ValueId;

/// Reads a model from the bytes of its file.
///
/// # Errors
/// If the bytes are not an ONNX model, exceed a limit, are inconsistent, or contain unsupported nodes; the error lists
/// all of these nodes.
///
/// ```
/// let error = heatlens_graph::onnx::open(b"\x89PNG\r\n\x1a\n".to_vec()).unwrap_err();
/// assert!(error.to_string().starts_with("expected an ONNX file, found a PNG image"));
/// ```
pub fn open(bytes: Vec<u8>) -> Result<OnnxModel, OnnxError> {
    open_with(bytes, &External::default, OnnxOptions::default())
}

/// Reads a model whose arrays may be stored in other files.
pub(super) fn open_with(
    bytes: Vec<u8>,
    external: &dyn Fn() -> External,
    options: OnnxOptions,
) -> Result<OnnxModel, OnnxError> {
    let bytes = Bytes::from(bytes);
    match decode(bytes.clone()) {
        Ok((model, graph)) => {
            let file = Source { bytes: bytes.len() as u64, external };
            build_sized(&model, &graph, &file, options)
        }
        Err(too_large @ OnnxError::TooLarge { .. }) => Err(too_large),
        Err(error) => Err(match crate::sniff::looks_like(&bytes) {
            Some((looks_like, advice)) => OnnxError::NotOnnx { looks_like, advice },
            None => error,
        }),
    }
}

/// Reads the graph for images of the chosen size. If neither the file nor the user specifies it, uses the first usual
/// size that the network accepts.
fn build_sized(
    model: &ModelProto,
    proto: &GraphProto,
    file: &Source<'_>,
    options: OnnxOptions,
) -> Result<OnnxModel, OnnxError> {
    let stored: BTreeSet<&str> = proto.initializer.iter().map(|t| t.name()).collect();
    let open = proto.input.iter().any(|i| !stored.contains(i.name()) && open_size::is_open(i));
    if !open || options.input_size.is_some() {
        return build(model, proto, file, options.input_size);
    }
    open_size::first_accepted(|size| {
        let opened = build(model, proto, file, Some(size))?;
        Ok(OnnxModel { assumed_size: Some(size), ..opened })
    })
}

/// Decodes the message and separates the graph from it.
fn decode(bytes: Bytes) -> Result<(ModelProto, GraphProto), OnnxError> {
    limits::check(&bytes)?;
    let damaged = |what: String| OnnxError::Damaged { at: None, what };
    let mut model = ModelProto::decode(bytes).map_err(|e| damaged(e.to_string()))?;
    let graph = model.graph.take();
    let graph = graph
        .ok_or_else(|| damaged("there is no graph in it (cut off, or another protobuf file)".to_owned()))?;
    Ok((model, graph))
}

/// Length of a file, and location of its external arrays.
struct Source<'a> {
    bytes: u64,
    external: &'a dyn Fn() -> External,
}

fn build(
    model: &ModelProto,
    proto: &GraphProto,
    file: &Source<'_>,
    size: Option<[usize; 2]>,
) -> Result<OnnxModel, OnnxError> {
    let opset = importer::opset(&model.opset_import)?;
    let mut reading = Reading { external: (file.external)(), ..Reading::default() };
    proto.name().clone_into(&mut reading.graph.name);
    reading.graph.metadata = to_map(&model.metadata_props);
    initializers(&mut reading, proto)?;
    inputs(&mut reading, proto, size)?;
    let outputs: Vec<&str> = proto.output.iter().map(|o| o.name()).collect();
    let mut importer = Importer::new(reading, &model.functions, file.bytes);
    importer.body(&proto.node, &outputs, opset, 0)?;
    let Importer { mut reading, errors, .. } = importer;
    let lost_outputs = set_outputs(&mut reading, proto, errors)?;
    let warnings = reading.warnings;
    Ok(OnnxModel { graph: reading.graph, warnings, lost_outputs, assumed_size: None })
}

fn initializers(reading: &mut Reading, proto: &GraphProto) -> Result<(), OnnxError> {
    for initializer in &proto.initializer {
        importer::initializer(reading, initializer)?;
    }
    for sparse in &proto.sparse_initializer {
        let name = sparse.values.as_ref().map_or("", |v| v.name());
        define(reading, name, Slot::Unreadable(OpError::Unsupported("a sparse array".to_owned())))?;
    }
    Ok(())
}

fn inputs(reading: &mut Reading, proto: &GraphProto, size: Option<[usize; 2]>) -> Result<(), OnnxError> {
    let mut batch = Batch::default();
    for info in &proto.input {
        // An input with a stored default is a weight (in old files, all weights were inputs).
        if reading.slots.contains_key(info.name()) {
            continue;
        }
        let sizes = size.map(|size| open_size::closed(proto, info, size)).unwrap_or_default();
        let mut input = batch.input(info, &sizes)?;
        if input.other_precision {
            reading.warn(format!("input {:?} is computed in single precision", info.name()));
        }
        if input.fact.dtype == DType::I64 && takes_pixels(proto, info.name(), &input.fact) {
            input.fact.dtype = DType::F32;
            reading.graph.metadata.insert(WHOLE_PIXELS.to_owned(), info.name().to_owned());
            reading.warn(format!("input {:?} takes whole numbers; pixels are not rounded", info.name()));
        }
        let id = match single_image::batched(proto, info.name(), &input.fact) {
            Some(shape) => one_image(reading, info.name(), input.fact, shape)?,
            None => reading.graph.add_input(info.name(), input.fact),
        };
        define(reading, info.name(), Slot::Value(id))?;
    }
    Ok(())
}

/// Adds an input for a single image with a batch axis of 1; returns the image without it.
fn one_image(reading: &mut Reading, name: &str, fact: Fact, shape: Shape) -> Result<ValueId, OnnxError> {
    reading.warn(format!("input {name:?} ({}) holds one image; it is read as {shape}", fact.shape));
    let image = reading.graph.add_input(name, Fact { dtype: fact.dtype, shape });
    let image = Builder::new(&mut reading.graph, name).reshape(image, fact.shape);
    image.map_err(|e| OnnxError::Malformed(e.to_string()))
}

/// True if an integer input holds pixels that are only rearranged before conversion to floating point: then the result
/// is the same if they are floating point from the start.
fn takes_pixels(proto: &GraphProto, name: &str, fact: &Fact) -> bool {
    let mut whole = BTreeSet::from([name]);
    let mut cast = false;
    for node in &proto.node {
        if !node.input.iter().any(|input| whole.contains(input.as_str())) {
            continue;
        }
        match node.op_type() {
            "Cast" => cast = true,
            "Transpose" | "Identity" | "Squeeze" | "Unsqueeze" | "Slice" | "Reshape" | "Flatten"
            | "Concat" | "Split" => {
                whole.extend(node.output.iter().map(String::as_str));
            }
            "Shape" => {}
            _ => return false,
        }
    }
    cast && matches!(fact.shape.rank(), 3 | 4)
}

/// Sets the declared outputs, and the scores of outputs that hold a class. Outputs that cannot be read are dropped if
/// another one can be; returns the dropped ones with the reasons.
fn set_outputs(
    reading: &mut Reading,
    proto: &GraphProto,
    errors: Vec<NodeError>,
) -> Result<BTreeMap<String, String>, OnnxError> {
    let refused = OnnxError::Nodes(errors);
    let mut outputs = Vec::with_capacity(proto.output.len());
    let mut lost = BTreeMap::new();
    let chosen: Vec<String> = proto
        .output
        .iter()
        .map(|info| info.name().to_owned())
        .filter(|o| reading.candidates.contains_key(o))
        .collect();
    for info in &proto.output {
        match reading.value(info.name()) {
            Ok(_) if chosen.iter().any(|name| name == info.name()) => {
                lost.insert(info.name().to_owned(), refused.to_string());
            }
            Ok(id) => outputs.push(id),
            Err(Problem::Upstream) => {
                lost.insert(info.name().to_owned(), refused.to_string());
            }
            Err(Problem::Own(error)) => {
                let what = format!("output {:?}: {error}", info.name());
                if !reading.slots.contains_key(info.name()) {
                    let unread = matches!(&refused, OnnxError::Nodes(nodes) if !nodes.is_empty());
                    return Err(if unread { refused } else { OnnxError::Malformed(what) });
                }
                lost.insert(info.name().to_owned(), what);
            }
        }
    }
    sources(reading, proto, &mut outputs);
    let chooses = |node: &NodeError| CHOOSING.contains(&node.op.as_str());
    let ends = |nodes: &[NodeError]| !nodes.iter().any(|node| matches!(node.source, OpError::SecondStage));
    let detects = matches!(&refused, OnnxError::Nodes(nodes) if nodes.iter().any(chooses) && ends(nodes));
    // Beside a list of scores for the whole image, choices are of no interest.
    let whole = |&id: &ValueId| reading.graph.fact(id).shape.rank() <= 2;
    if detects && !lost.is_empty() && !outputs.iter().any(whole) {
        let mut lists = selection::lists(reading, &chosen);
        // With boxes and scores, inner lists are of no interest.
        if lists.len() < 2 {
            lists.extend(last_readable(reading, proto, &lost));
        }
        if !lists.is_empty() {
            reading.warn("the lists that these outputs are selected from are read instead".to_owned());
        }
        outputs.splice(0..0, lists);
    }
    if outputs.is_empty() {
        return Err(match refused {
            OnnxError::Nodes(nodes) if nodes.is_empty() => {
                let none = || "the graph has no outputs".to_owned();
                OnnxError::Malformed(lost.into_values().next().unwrap_or_else(none))
            }
            refused => refused,
        });
    }
    if !lost.is_empty() {
        let names: Vec<String> = lost.keys().map(|name| format!("{name:?}")).collect();
        reading.warn(format!("ignored outputs that cannot be read: {}", names.join(", ")));
    }
    reading.graph.set_outputs(&outputs);
    Ok(lost)
}

/// Final operators of object detectors, which select boxes by score.
const CHOOSING: [&str; 3] = ["NonMaxSuppression", "NonZero", "TopK"];

/// Finds lists of boxes and scores (of rank 3) that lost outputs are computed from: detectors end in operators that
/// select among them and have no derivative.
fn last_readable(reading: &Reading, proto: &GraphProto, lost: &BTreeMap<String, String>) -> Vec<ValueId> {
    let producers = Producers::of(proto);
    let inputs = reading.graph.inputs().iter().map(|&id| &reading.graph.fact(id).shape.0);
    let samples: Vec<Dim> = inputs.filter(|dims| dims.len() == 4).map(|dims| dims[0]).collect();
    let of_images = |shape: &Shape| shape.0.first().is_some_and(|first| samples.contains(first));
    let mut open: Vec<&str> = lost.keys().map(String::as_str).collect();
    let mut seen: BTreeSet<&str> = open.iter().copied().collect();
    let mut found = Vec::new();
    while let Some(name) = open.pop() {
        let follow = match reading.slots.get(name) {
            Some(Slot::Value(id)) => {
                let fact = reading.graph.fact(*id);
                // The scores that NonMaxSuppression reads for a single class, 1×1×P, are those of a list, turned.
                let list = fact.dtype == DType::F32
                    && fact.shape.rank() == 3
                    && of_images(&fact.shape)
                    && fact.shape.0[1] != Dim::Fixed(1);
                if list && reading.graph.producer(*id).is_some() {
                    found.push(*id);
                }
                // Before the lists come the feature maps they are computed from.
                fact.shape.rank() < 4
            }
            Some(Slot::Lost | Slot::Chosen { .. }) => true,
            _ => false,
        };
        let inputs = producers.node(name).filter(|_| follow).map_or(&[][..], |node| &node.input);
        open.extend(inputs.iter().map(String::as_str).filter(|input| seen.insert(input)));
    }
    // Values closest to the end come first.
    found.sort_unstable();
    found.reverse();
    found.dedup();
    found
}

/// Adds the scores of outputs that hold a class, an index or a name.
fn sources(reading: &mut Reading, proto: &GraphProto, outputs: &mut Vec<ValueId>) {
    let producers = Producers::of(proto);
    for info in &proto.output {
        let Some(source) = producers.source(info.name()) else { continue };
        let Ok(id) = reading.value(&source.name) else { continue };
        // An input of the graph is not a score.
        if reading.graph.fact(id).dtype != DType::F32 || reading.graph.inputs().contains(&id) {
            continue;
        }
        if let Some(labels) = source.labels {
            reading.graph.metadata.insert(CLASS_LABELS.to_owned(), labels.join("\n"));
        }
        if !outputs.contains(&id) {
            reading.warn(format!(
                "the output {:?} holds a class, not scores; the scores it is computed from, {:?}, are read \
                 too",
                info.name(),
                source.name
            ));
            outputs.push(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto::NodeProto;
    use crate::onnx::proto::attribute_proto::AttributeType;
    use crate::onnx::proto::tensor_proto::DataLocation;
    use crate::onnx::proto::{AttributeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto};
    use crate::onnx::{tensor, value_info};
    use crate::tensor::Tensor;

    fn node(op: &str, input: &[&str], output: &[&str]) -> NodeProto {
        let names = |list: &[&str]| list.iter().map(|&n| n.to_owned()).collect();
        NodeProto {
            op_type: Some(op.to_owned()),
            name: Some(format!("the {op}")),
            input: names(input),
            output: names(output),
            ..NodeProto::default()
        }
    }

    /// Model from `x` (N×2×3×3) to `y`.
    fn model(opset: i64, nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> ModelProto {
        let fact = Fact::f32(Shape::batched(&[2, 3, 3]));
        let graph = GraphProto {
            node: nodes,
            initializer,
            input: vec![value_info::write("x", &fact)],
            output: vec![value_info::write("y", &fact)],
            ..GraphProto::default()
        };
        let opset = OperatorSetIdProto { domain: None, version: Some(opset) };
        ModelProto { graph: Some(graph), opset_import: vec![opset], ..ModelProto::default() }
    }

    fn open_model(model: &ModelProto) -> Result<OnnxModel, OnnxError> {
        open(model.encode_to_vec())
    }

    fn refusal(opset: i64, nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> String {
        open_model(&model(opset, nodes, initializer)).unwrap_err().to_string()
    }

    fn statistics(last: &str) -> (Vec<TensorProto>, NodeProto) {
        let ones = Tensor::f32(&[2], vec![1.0; 2]);
        let arrays = ["s", "b", "m", "v"].map(|name| tensor::write(name, &ones)).to_vec();
        (arrays, node("BatchNormalization", &["x", "s", "b", "m", "v"], &["y", last]))
    }

    #[test]
    fn nodes_after_a_lost_one_are_checked_but_not_blamed() {
        let mut odd = node("Relu", &["a"], &["b"]);
        odd.attribute.push(AttributeProto { name: Some("slope".to_owned()), ..AttributeProto::default() });
        let foreign = NodeProto { domain: Some("com.example".to_owned()), ..node("Magic", &["b"], &["c"]) };
        let nodes = vec![node("Nonsense", &["x"], &["a"]), odd, foreign, node("Relu", &["c"], &["y"])];
        let Err(OnnxError::Nodes(nodes)) = open_model(&model(17, nodes, Vec::new())) else {
            panic!("expected a list")
        };
        let found: Vec<String> = nodes.iter().map(|n| format!("{}: {}", n.op, n.source)).collect();
        assert_eq!(
            found,
            [
                "Nonsense: this operator is not supported",
                "Relu: attribute \"slope\" is not supported",
                "com.example.Magic: an operator from outside the standard is not supported",
            ]
        );
    }

    #[test]
    fn inconsistent_files_are_refused() {
        let relu = |from: &str, to: &str| node("Relu", &[from], &[to]);
        let y = Tensor::scalar(1.0);
        let external = TensorProto {
            data_location: Some(DataLocation::External.into()),
            external_data: vec![StringStringEntryProto {
                key: Some("location".to_owned()),
                value: Some("w.bin".to_owned()),
            }],
            ..tensor::write("w", &y)
        };
        for (opset, nodes, arrays, expected) in [
            (17, vec![relu("x", "y"), relu("x", "y")], vec![], "is used for two values"),
            (
                17,
                vec![relu("z", "y"), relu("y", "z")],
                vec![],
                "\"z\" is read but not computed by any earlier node",
            ),
            (17, vec![relu("x", "z")], vec![], "output \"y\""),
            (6, vec![relu("x", "y")], vec![], "expected 7 to 28"),
            (29, vec![relu("x", "y")], vec![], "expected 7 to 28"),
            (17, vec![node("Relu", &["x", "x"], &["y"])], vec![], "found 2 inputs"),
            (17, vec![node("Dropout", &["x"], &["d", "m"]), relu("m", "y")], vec![], "output 1 (\"m\")"),
            (11, vec![node("GreaterOrEqual", &["x", "x"], &["y"])], vec![], "from operator set 12 on"),
            (17, vec![node("Reshape", &["x", "x"], &["y"])], vec![], "a shape that is computed"),
            (17, vec![node("Add", &["x", "w"], &["y"])], vec![external], "\"w.bin\""),
        ] {
            let error = refusal(opset, nodes, arrays);
            assert!(error.contains(expected), "expected {expected}, found {error}");
        }
    }

    #[test]
    fn training_mode_runs_as_inference_and_says_so() {
        let (arrays, mut norm) = statistics("");
        norm.attribute.push(AttributeProto {
            name: Some("training_mode".to_owned()),
            r#type: Some(AttributeType::Int.into()),
            i: Some(1),
            ..AttributeProto::default()
        });
        let opened = open_model(&model(15, vec![norm], arrays)).unwrap();
        assert!(opened.warnings[0].contains("exported in training mode"), "{:?}", opened.warnings);
        let (arrays, norm) = statistics("running");
        let opened = open_model(&model(9, vec![norm], arrays.clone())).unwrap();
        assert_eq!(opened.warnings.len(), 1);
        let (_, norm) = statistics("");
        assert!(open_model(&model(9, vec![norm], arrays)).unwrap().warnings.is_empty());
    }

    #[test]
    fn weights_of_old_files_are_inputs_with_a_default() {
        let w = Tensor::f32(&[1], vec![2.0]);
        let mut model = model(8, vec![node("Mul", &["x", "w"], &["y"])], vec![tensor::write("w", &w)]);
        let fact = Fact::f32(Shape::fixed(&[1]));
        model.graph.as_mut().unwrap().input.push(value_info::write("w", &fact));
        let graph = open_model(&model).unwrap().graph;
        assert_eq!(graph.inputs().len(), 1);
        assert_eq!(graph.constant(graph.find("w").unwrap()), Some(&w));
    }

    /// Model with the given outputs, of any type.
    fn with_outputs(nodes: Vec<NodeProto>, outputs: &[&str]) -> ModelProto {
        let mut model = model(17, nodes, Vec::new());
        let fact = Fact::f32(Shape::batched(&[2]));
        model.graph.as_mut().unwrap().output = outputs.iter().map(|o| value_info::write(o, &fact)).collect();
        model
    }

    #[test]
    fn outputs_that_cannot_be_read_are_left_aside() {
        let labels = AttributeProto {
            name: Some("classlabels_strings".to_owned()),
            r#type: Some(AttributeType::Strings.into()),
            strings: vec![Bytes::from_static(b"cat"), Bytes::from_static(b"dog")],
            ..AttributeProto::default()
        };
        let map = NodeProto {
            domain: Some("ai.onnx.ml".to_owned()),
            attribute: vec![labels],
            ..node("ZipMap", &["p"], &["map"])
        };
        let nodes = || vec![node("Relu", &["x"], &["p"]), map.clone(), node("ArgMax", &["p"], &["best"])];
        let opened = open_model(&with_outputs(nodes(), &["best", "map", "p"])).unwrap();
        let names = |opened: &OnnxModel| -> Vec<String> {
            opened.graph.outputs().iter().map(|&o| opened.graph.value(o).name.clone()).collect()
        };
        assert_eq!(names(&opened), ["p"]);
        assert!(opened.lost_outputs["map"].contains("ZipMap"), "{:?}", opened.lost_outputs);
        assert!(opened.warnings.iter().any(|w| w.contains("ignored outputs")), "{:?}", opened.warnings);
        let alone = open_model(&with_outputs(nodes(), &["map"])).unwrap();
        assert_eq!(names(&alone), ["p"], "the scores behind a map");
        assert_eq!(alone.graph.metadata[CLASS_LABELS], "cat\ndog");
        let foreign = NodeProto { domain: Some("com.example".to_owned()), ..node("Magic", &["x"], &["y"]) };
        let error = open_model(&with_outputs(vec![foreign], &["y"])).unwrap_err().to_string();
        assert!(error.contains("Magic"), "nothing is left: {error}");
    }

    /// Model with an input of the given sizes, `None` for an open one, before a convolution of three channels.
    fn sized(sizes: [Option<i64>; 4], elem_type: i32, nodes: Vec<NodeProto>) -> ModelProto {
        use crate::onnx::proto::tensor_shape_proto::{Dimension, dimension};
        use crate::onnx::proto::type_proto;
        let weight = tensor::write("w", &Tensor::f32(&[2, 3, 1, 1], vec![1.0; 6]));
        let mut model = model(17, nodes, vec![weight]);
        let input = &mut model.graph.as_mut().unwrap().input[0];
        if let Some(type_proto::Value::TensorType(t)) = &mut input.r#type.as_mut().unwrap().value {
            let name = |axis: usize| dimension::Value::DimParam(format!("axis{axis}"));
            let dim = |(axis, size): (usize, &Option<i64>)| Dimension {
                value: Some(size.map_or_else(|| name(axis), dimension::Value::DimValue)),
                denotation: None,
            };
            t.shape.as_mut().unwrap().dim = sizes.iter().enumerate().map(dim).collect();
            t.elem_type = Some(elem_type);
        }
        model
    }

    #[test]
    fn open_height_and_width_are_closed() {
        let conv = || vec![node("Conv", &["x", "w"], &["y"])];
        let turned = || {
            let mut turn = node("Transpose", &["x"], &["t"]);
            turn.attribute.push(AttributeProto {
                name: Some("perm".to_owned()),
                r#type: Some(AttributeType::Ints.into()),
                ints: vec![0, 3, 1, 2],
                ..AttributeProto::default()
            });
            vec![turn, node("Conv", &["t", "w"], &["y"])]
        };
        let shape = |model: &ModelProto, size: Option<[usize; 2]>| {
            let options = OnnxOptions { input_size: size };
            let opened = open_with(model.encode_to_vec(), &External::default, options).unwrap();
            (opened.graph.fact(opened.graph.inputs()[0]).shape.to_string(), opened.assumed_size)
        };
        let first = sized([None, None, None, None], 1, conv());
        assert_eq!(shape(&first, Some([32, 40])), ("N×3×32×40".to_owned(), None));
        assert_eq!(shape(&first, None), ("N×3×224×224".to_owned(), Some([224, 224])));
        let last = sized([None, None, None, None], 1, turned());
        assert_eq!(shape(&last, Some([32, 40])).0, "N×32×40×3");
        let closed = sized([None, Some(3), Some(8), Some(8)], 1, conv());
        assert_eq!(shape(&closed, None), ("N×3×8×8".to_owned(), None));
        // Flattened into a matrix with 3·32·32 rows: only one of the usual sizes fits.
        let nodes = || vec![node("Flatten", &["x"], &["f"]), node("MatMul", &["f", "m"], &["y"])];
        let mut flat = sized([None, Some(3), None, None], 1, nodes());
        let matrix = tensor::write("m", &Tensor::f32(&[3072, 1], vec![1.0; 3072]));
        flat.graph.as_mut().unwrap().initializer.push(matrix);
        assert_eq!(shape(&flat, None).1, Some([32, 32]));
    }

    #[test]
    fn pixels_as_whole_numbers_become_floating_point() {
        const UINT8: i32 = 2;
        let mut cast = node("Cast", &["x"], &["f"]);
        cast.attribute.push(AttributeProto {
            name: Some("to".to_owned()),
            r#type: Some(AttributeType::Int.into()),
            i: Some(1),
            ..AttributeProto::default()
        });
        let sizes = [None, Some(3), Some(8), Some(8)];
        let opened =
            open_model(&sized(sizes, UINT8, vec![cast.clone(), node("Conv", &["f", "w"], &["y"])])).unwrap();
        let input = opened.graph.inputs()[0];
        assert_eq!(
            (opened.graph.fact(input).dtype, opened.graph.metadata[WHOLE_PIXELS].as_str()),
            (DType::F32, "x")
        );
        // Integer arithmetic differs from floating-point arithmetic.
        let nodes = vec![node("Mul", &["x", "x"], &["s"]), cast.clone()];
        let opened =
            open_model(&sized(sizes, UINT8, [nodes, vec![node("Relu", &["f"], &["y"])]].concat())).unwrap();
        assert_eq!(opened.graph.fact(opened.graph.inputs()[0]).dtype, DType::I64);
    }
}
