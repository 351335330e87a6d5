//! Tests on files built message by message: shape arithmetic, functions, branches, external arrays.

mod max_unpool;
mod second_stage;

use std::fs;

use prost::Message;

use super::proto::attribute_proto::AttributeType;
use super::proto::tensor_proto::DataLocation;
use super::proto::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto, ValueInfoProto,
};
use super::{OnnxError, OnnxModel, open, open_file, tensor, value_info};
use crate::fact::{Dim, Fact, Shape};
use crate::reference;
use crate::tensor::{Data, Tensor};

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|&s| s.to_owned()).collect()
}

fn node(op: &str, input: &[&str], output: &[&str]) -> NodeProto {
    NodeProto {
        op_type: Some(op.to_owned()),
        name: Some(format!("n_{}", output.join("_"))),
        input: strings(input),
        output: strings(output),
        ..NodeProto::default()
    }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), r#type: Some(kind.into()), ..AttributeProto::default() }
}

fn with_int(mut node: NodeProto, name: &str, value: i64) -> NodeProto {
    node.attribute.push(AttributeProto { i: Some(value), ..attribute(name, AttributeType::Int) });
    node
}

fn with_ints(mut node: NodeProto, name: &str, values: &[i64]) -> NodeProto {
    node.attribute.push(AttributeProto { ints: values.to_vec(), ..attribute(name, AttributeType::Ints) });
    node
}

fn with_graph(mut node: NodeProto, name: &str, graph: GraphProto) -> NodeProto {
    node.attribute.push(AttributeProto { g: Some(graph), ..attribute(name, AttributeType::Graph) });
    node
}

fn ints(name: &str, values: &[i64]) -> TensorProto {
    tensor::write(name, &Tensor::i64(values))
}

fn whole(name: &str, value: i64) -> TensorProto {
    tensor::write(name, &Tensor::new(Vec::new(), Data::I64([value].into())).unwrap())
}

fn opsets(version: i64) -> Vec<OperatorSetIdProto> {
    let import =
        |domain: &str| OperatorSetIdProto { domain: Some(domain.to_owned()), version: Some(version) };
    vec![import(""), import("local")]
}

/// Model from `x` (N×4×2×3) to `y`.
fn model(nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> ModelProto {
    let fact = Fact::f32(Shape::batched(&[4, 2, 3]));
    let graph = GraphProto {
        node: nodes,
        initializer,
        input: vec![value_info::write("x", &fact)],
        output: vec![value_info::write("y", &fact)],
        ..GraphProto::default()
    };
    ModelProto { graph: Some(graph), opset_import: opsets(18), ..ModelProto::default() }
}

fn opened(model: &ModelProto) -> Result<OnnxModel, OnnxError> {
    open(model.encode_to_vec())
}

fn output_shape(model: &ModelProto) -> Shape {
    let graph = opened(model).unwrap().graph;
    graph.fact(graph.outputs()[0]).shape.clone()
}

/// Output for x = 0, 1, 2 … of two samples.
fn output(opened: &OnnxModel) -> Tensor {
    let x = Tensor::f32(&[2, 4, 2, 3], (0u8..48).map(f32::from).collect());
    reference::run(&opened.graph, &[x], 2, opened.graph.outputs()).unwrap().remove(0)
}

/// `x.reshape(x.shape[0], 12, 2)` as written by exporters.
fn flatten_by_arithmetic() -> Vec<NodeProto> {
    vec![
        node("Shape", &["x"], &["shape"]),
        with_int(node("Gather", &["shape", "zero"], &["n"]), "axis", 0),
        node("Unsqueeze", &["n", "zero_"], &["n_"]),
        with_int(node("Concat", &["n_", "twelve_", "two_"], &["sizes"]), "axis", 0),
        node("Reshape", &["x", "sizes"], &["y"]),
    ]
}

fn arithmetic_constants() -> Vec<TensorProto> {
    vec![
        whole("zero", 0),
        ints("zero_", &[0]),
        ints("one_", &[1]),
        ints("two_", &[2]),
        ints("twelve_", &[12]),
    ]
}

#[test]
fn sizes_computed_in_the_graph_keep_the_batch_open() {
    let reshaped = model(flatten_by_arithmetic(), arithmetic_constants());
    assert_eq!(output_shape(&reshaped), Shape::batched(&[12, 2]));
    let windows = vec![
        node("Shape", &["x"], &["shape"]),
        with_int(node("Gather", &["shape", "zero_"], &["n"]), "axis", 0),
        node("Mul", &["n", "two_"], &["n2"]),
        with_int(node("Concat", &["n2", "twelve_"], &["sizes"]), "axis", 0),
        node("Reshape", &["x", "sizes"], &["y"]),
    ];
    let shape = output_shape(&model(windows, arithmetic_constants()));
    assert_eq!(shape, Shape(vec![Dim::Batch(2), Dim::Fixed(12)]));
}

#[test]
fn sizes_of_no_multiple_of_the_batch_are_refused() {
    let nodes = vec![
        node("Shape", &["x"], &["shape"]),
        with_int(node("Gather", &["shape", "zero_"], &["n"]), "axis", 0),
        node("Add", &["n", "one_"], &["more"]),
        with_int(node("Concat", &["more", "twelve_"], &["sizes"]), "axis", 0),
        node("Reshape", &["x", "sizes"], &["y"]),
    ];
    let error = opened(&model(nodes, arithmetic_constants())).unwrap_err().to_string();
    assert!(error.contains("not a multiple of the number of samples"), "{error}");
}

/// `(~torch.zeros(n, 1, 2, 3, dtype=bool)).cumsum(2)`, a positional encoding as written by exporters.
#[test]
fn what_is_the_same_for_every_sample_is_computed_while_reading() {
    let nodes = vec![
        node("Shape", &["x"], &["shape"]),
        with_int(node("Gather", &["shape", "zero_"], &["n"]), "axis", 0),
        with_int(node("Concat", &["n", "one_", "two_", "three_"], &["sizes"]), "axis", 0),
        node("ConstantOfShape", &["sizes"], &["zeros"]),
        with_int(node("Cast", &["zeros"], &["mask"]), "to", 9),
        node("Not", &["mask"], &["filled"]),
        with_int(node("Cast", &["filled"], &["ones"]), "to", 1),
        node("CumSum", &["ones", "two_"], &["codes"]),
        node("Add", &["x", "codes"], &["y"]),
    ];
    let stored = [arithmetic_constants(), vec![ints("three_", &[3])]].concat();
    let opened = opened(&model(nodes, stored)).unwrap();
    let x = (0u8..48).map(f64::from);
    let expected: Vec<f64> = x.enumerate().map(|(i, x)| x + if i % 6 < 3 { 1.0 } else { 2.0 }).collect();
    assert_eq!(output(&opened).to_f64(), expected);
    let left: Vec<&str> = needed(&opened).into_iter().filter(|op| !matches!(*op, "Expand" | "Add")).collect();
    assert!(left.is_empty(), "left to run time: {left:?}");
}

/// `range(0, n) * 24`, from which exporters compute positions in a flattened batch.
fn starts_of_samples() -> Vec<NodeProto> {
    vec![
        node("Shape", &["x"], &["shape"]),
        with_int(node("Gather", &["shape", "zero"], &["n"]), "axis", 0),
        node("Range", &["zero", "n", "one"], &["numbers"]),
        node("Mul", &["numbers", "each"], &["starts"]),
        node("Unsqueeze", &["starts", "last_axes"], &["column"]),
    ]
}

fn constants_of_places() -> Vec<TensorProto> {
    let more = [whole("one", 1), whole("each", 24), ints("last_axes", &[1]), ints("open_", &[-1])];
    [arithmetic_constants(), more.to_vec()].concat()
}

/// `x.as_strided(...)` with an open batch size.
#[test]
fn places_in_a_flattened_batch_are_places_in_each_sample() {
    let reading = |offsets: &[i64]| {
        let nodes = vec![
            node("Reshape", &["x", "open_"], &["flat"]),
            node("Add", &["column", "offsets"], &["places"]),
            node("Gather", &["flat", "places"], &["y"]),
        ];
        let stored = [constants_of_places(), vec![ints("offsets", offsets)]].concat();
        opened(&model([starts_of_samples(), nodes].concat(), stored))
    };
    let found = output(&reading(&[5, 0, 23]).unwrap());
    assert_eq!((found.shape(), found.to_f64()), (&[2, 3][..], vec![5.0, 0.0, 23.0, 29.0, 24.0, 47.0]));
    assert_eq!(output(&reading(&[6, 8, 10]).unwrap()).to_f64(), [6.0, 8.0, 10.0, 30.0, 32.0, 34.0]);
    let error = reading(&[24]).unwrap_err().to_string();
    assert!(error.contains("not the same places in every sample"), "{error}");
}

/// `flat[torch.arange(n * 48)]`: too many indices per sample to list them for the batch sizes used for shapes.
#[test]
fn all_places_of_a_flattened_batch_are_counted() {
    let nodes = vec![
        node("Shape", &["x"], &["shape"]),
        with_int(node("Gather", &["shape", "zero"], &["n"]), "axis", 0),
        node("Mul", &["n", "all"], &["end"]),
        node("Range", &["zero", "end", "one"], &["places"]),
        with_int(node("Concat", &["x", "x"], &["both"]), "axis", 1),
        node("Reshape", &["both", "open_"], &["flat"]),
        node("Gather", &["flat", "places"], &["y"]),
    ];
    let reading = |each| {
        let stored = [constants_of_places(), vec![whole("all", each)]].concat();
        opened(&model(nodes.clone(), stored))
    };
    let found = output(&reading(48).unwrap());
    assert_eq!(found.shape(), [96]);
    let expected = (0..96).map(|i| f64::from(i / 48 * 24 + i % 24));
    assert_eq!(found.to_f64(), expected.collect::<Vec<_>>());
    let error = reading(1 << 20).unwrap_err().to_string();
    assert!(error.contains("a range of at most"), "{error}");
}

/// `torch.zeros_like(places)`, with more positions than are computed while reading.
#[test]
fn the_shape_of_a_large_array_of_places_is_known() {
    let nodes = vec![
        node("Add", &["column", "offsets"], &["places"]),
        node("Shape", &["places"], &["sizes"]),
        node("ConstantOfShape", &["sizes"], &["y"]),
    ];
    let stored = [constants_of_places(), vec![ints("offsets", &[0; 30_000])]].concat();
    let shape = output_shape(&model([starts_of_samples(), nodes].concat(), stored));
    assert_eq!(shape, Shape::batched(&[30_000]));
}

/// `x[:, i] += 100` and `x[:, i]`, with an index per element, as written by exporters.
#[test]
fn elements_of_every_sample_are_read_and_written() {
    let rows = vec![
        node("Range", &["zero", "n", "one"], &["row_numbers"]),
        node("Unsqueeze", &["row_numbers", "last_axes"], &["rows"]),
        node("Shape", &["rows"], &["rows_shape"]),
        node("Expand", &["second", "rows_shape"], &["seconds"]),
        with_int(node("Concat", &["rows", "seconds"], &["places"]), "axis", 1),
        node("GatherND", &["x", "places"], &["read"]),
    ];
    let stored = [constants_of_places(), vec![ints("second", &[2])]].concat();
    let add = vec![
        node("Add", &["read", "read"], &["twice"]),
        node("ScatterND", &["x", "places", "twice"], &["y"]),
    ];
    let opened = opened(&model([starts_of_samples(), rows, add].concat(), stored)).unwrap();
    let expected = (0u8..48).map(f64::from).map(|x| if (x as i64) % 24 / 6 == 2 { 2.0 * x } else { x });
    assert_eq!(output(&opened).to_f64(), expected.collect::<Vec<_>>());
}

/// `x[:, [2, 0], [1, -1]]` as written by PyTorch: the indexed axes come first, then the samples.
#[test]
fn places_are_chosen_in_front_of_the_samples() {
    let nodes = vec![
        with_ints(node("Transpose", &["x"], &["turned"]), "perm", &[1, 2, 0, 3]),
        node("GatherND", &["turned", "places"], &["read"]),
        with_ints(node("Transpose", &["read"], &["y"]), "perm", &[1, 0, 2]),
    ];
    let reading = |shape: &[usize], places: &[i64]| {
        let places = tensor::write("places", &Tensor::i64(places).reshaped(shape.to_vec()).unwrap());
        opened(&model(nodes.clone(), vec![places]))
    };
    let read = output(&reading(&[2, 2], &[2, 1, 0, -1]).unwrap());
    assert_eq!(read.shape(), [2, 2, 3]);
    let expected = [15.0, 16.0, 17.0, 3.0, 4.0, 5.0, 39.0, 40.0, 41.0, 27.0, 28.0, 29.0];
    assert_eq!(read.to_f64(), expected);
    assert!(reading(&[1, 2], &[4, 0]).is_err(), "a row that is not there");
    assert!(reading(&[1, 3], &[0, 0, 0]).unwrap_err().to_string().contains("several samples"));
}

/// `code.repeat(n, 1, 1, 1)` as written by exporters.
#[test]
fn an_array_is_tiled_for_every_sample() {
    let nodes = vec![
        node("Shape", &["x"], &["shape"]),
        with_int(node("Gather", &["shape", "zero_"], &["n"]), "axis", 0),
        with_int(node("Concat", &["n", "one_", "two_"], &["times"]), "axis", 0),
        node("Tile", &["code", "times"], &["y"]),
    ];
    let code = tensor::write("code", &Tensor::f32(&[1, 1, 2], vec![1.0, 2.0]));
    let opened = opened(&model(nodes, [arithmetic_constants(), vec![code]].concat())).unwrap();
    assert_eq!(opened.graph.fact(opened.graph.outputs()[0]).shape, Shape::batched(&[1, 4]));
    assert_eq!(output(&opened).to_f64(), [1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0]);
}

/// Operators that the outputs depend on.
fn needed(opened: &OnnxModel) -> Vec<&'static str> {
    let graph = &opened.graph;
    let needed = crate::rewrite::needed_nodes(graph, graph.outputs());
    graph.nodes().iter().zip(needed).filter(|(_, n)| *n).map(|(node, _)| node.op.onnx_form().name).collect()
}

/// `cls.expand(x.shape[0], -1)` as written by exporters.
#[test]
fn a_choice_by_a_comparison_of_sizes_is_made() {
    let mut nodes = vec![
        node("Shape", &["x"], &["shape"]),
        with_int(node("Gather", &["shape", "zero_"], &["n"]), "axis", 0),
        with_int(node("Concat", &["n", "open_"], &["wanted"]), "axis", 0),
        node("Equal", &["wanted", "open2"], &["is_open"]),
        node("ConstantOfShape", &["two_"], &["zeros"]),
        node("Cast", &["zeros"], &["whole_zeros"]),
        node("Add", &["whole_zeros", "one_"], &["ones"]),
        node("Where", &["is_open", "ones", "wanted"], &["sizes"]),
        node("Expand", &["cls", "sizes"], &["y"]),
    ];
    nodes[5] = with_int(nodes[5].clone(), "to", 7);
    let mut constants = arithmetic_constants();
    constants.extend([ints("open_", &[-1]), ints("open2", &[-1, -1])]);
    constants.push(tensor::write("cls", &Tensor::f32(&[1, 5], vec![1.0; 5])));
    assert_eq!(output_shape(&model(nodes, constants)), Shape::batched(&[5]));
}

#[test]
fn all_outputs_of_a_split_are_there() {
    let parts = with_int(node("Split", &["x", "sizes"], &["a", "b"]), "axis", 1);
    let nodes = vec![parts, with_int(node("Concat", &["b", "a"], &["y"]), "axis", 1)];
    let opened = opened(&model(nodes, vec![ints("sizes", &[1, 3])])).unwrap();
    assert_eq!(output(&opened).to_f64()[..3], [6.0, 7.0, 8.0]);
    assert_eq!(output(&opened).shape(), [2, 4, 2, 3]);
    let uneven = with_int(node("Split", &["x", "sizes"], &["a", "b"]), "axis", 1);
    let bad = model(vec![uneven, node("Relu", &["a"], &["y"])], vec![ints("sizes", &[1, 1])]);
    assert!(super::tests::opened(&bad).is_err());
}

/// scaled(a, b) = a · factor + b, with the factor an attribute.
fn function() -> FunctionProto {
    let mut factor = node("Constant", &[], &["f"]);
    factor.attribute.push(AttributeProto {
        ref_attr_name: Some("factor".to_owned()),
        ..attribute("value_float", AttributeType::Float)
    });
    FunctionProto {
        name: Some("scaled".to_owned()),
        domain: Some("local".to_owned()),
        input: strings(&["a", "b"]),
        output: strings(&["sum"]),
        attribute: strings(&["factor"]),
        node: vec![factor, node("Mul", &["a", "f"], &["m"]), node("Add", &["m", "b"], &["sum"])],
        opset_import: opsets(18),
        ..FunctionProto::default()
    }
}

fn call(input: &[&str], output: &str, factor: f32) -> NodeProto {
    let mut call = node("scaled", input, &[output]);
    call.domain = Some("local".to_owned());
    call.attribute.push(AttributeProto { f: Some(factor), ..attribute("factor", AttributeType::Float) });
    call
}

#[test]
fn functions_are_written_out() {
    let mut model = model(vec![call(&["x", "x"], "h", 2.0), call(&["h", "x"], "y", 3.0)], Vec::new());
    model.functions.push(function());
    let opened = opened(&model).unwrap();
    assert_eq!(output(&opened).to_f64()[1], 10.0, "(2 + 1) · 3 + 1");
    assert!(opened.graph.find("y").is_some() && opened.graph.find("n_y/m").is_some());
}

#[test]
fn a_function_that_calls_itself_is_refused() {
    let mut endless = function();
    endless.node.insert(2, call(&["m", "b"], "again", 1.0));
    endless.node[3].input[0] = "again".to_owned();
    let mut model = model(vec![call(&["x", "x"], "y", 2.0)], Vec::new());
    model.functions.push(endless);
    let error = opened(&model).unwrap_err().to_string();
    assert!(error.contains("contains itself"), "{error}");
}

#[test]
fn functions_that_double_are_refused_before_they_fill_the_memory() {
    let mut functions = vec![function()];
    for level in 1..40 {
        let inner = if level == 1 { "scaled".to_owned() } else { format!("f{}", level - 1) };
        let mut body = [node(&inner, &["a", "b"], &["m"]), node(&inner, &["m", "b"], &["sum"])];
        body.iter_mut().for_each(|n| n.domain = Some("local".to_owned()));
        functions.push(FunctionProto {
            name: Some(format!("f{level}")),
            node: body.to_vec(),
            attribute: Vec::new(),
            ..function()
        });
    }
    let mut top = node("f39", &["x", "x"], &["y"]);
    top.domain = Some("local".to_owned());
    let mut model = model(vec![top], Vec::new());
    model.functions = functions;
    let error = opened(&model).unwrap_err().to_string();
    assert!(error.contains("the expansion of the file's functions"), "{error}");
}

/// A call's name prefixes every name in the function: 2 MB of names in a file of 40 KB, and so on.
#[test]
fn names_that_functions_multiply_are_counted() {
    let mut body: Vec<NodeProto> =
        (0..200).map(|i| node("Relu", &[&format!("v{i}")], &[&format!("v{}", i + 1)])).collect();
    body[0].input = strings(&["a"]);
    body.push(node("Add", &["v200", "b"], &["sum"]));
    let long = FunctionProto { node: body, attribute: Vec::new(), ..function() };
    let written_out = |calls: usize, name: usize| {
        let mut nodes: Vec<NodeProto> = Vec::new();
        for i in 0..calls {
            let from = if i == 0 { "x".to_owned() } else { format!("h{i}") };
            let to = if i + 1 == calls { "y".to_owned() } else { format!("h{}", i + 1) };
            let mut call = node("scaled", &[&from, "x"], &[&to]);
            call.domain = Some("local".to_owned());
            call.name = Some(format!("{i:0>name$}"));
            nodes.push(call);
        }
        let mut model = model(nodes, Vec::new());
        model.functions.push(long.clone());
        opened(&model).map(|opened| opened.graph.nodes().len())
    };
    assert_eq!(written_out(40, 10).unwrap(), 40 * 201);
    let error = written_out(40, 20_000).unwrap_err();
    assert!(matches!(error, OnnxError::TooLarge { limit, .. } if limit < 1 << 29), "{error}");
    assert!(error.to_string().contains("functions"), "{error}");
}

/// Integers are computed while a file is read: each node here makes 32 MiB from a few bytes.
#[test]
fn what_nodes_compute_is_counted_in_total() {
    let computed = |count: usize, read: bool| {
        let mut nodes: Vec<NodeProto> =
            (0..count).map(|i| node("Expand", &["one_", "wide"], &[&format!("e{i}")])).collect();
        nodes.push(node("Relu", &["x"], &["y"]));
        let mut model = model(nodes, vec![ints("one_", &[1]), ints("wide", &[1 << 22])]);
        let further =
            (0..count).map(|i| value_info::write(&format!("e{i}"), &Fact::f32(Shape::fixed(&[1 << 22]))));
        model.graph.as_mut().unwrap().output.extend(further.filter(|_| read));
        opened(&model)
    };
    assert!(computed(2, true).is_ok());
    assert!(computed(20, false).is_ok(), "no output needs them");
    let error = computed(20, true).unwrap_err();
    assert!(matches!(error, OnnxError::TooLarge { limit, .. } if limit < 1 << 29), "{error}");
    assert!(error.to_string().contains("compute while the file is read"), "{error}");
}

/// An element of a mask costs as much as an integer, although it takes an eighth of the memory.
#[test]
fn masks_that_nodes_compute_are_counted_by_their_elements() {
    let masks = |count: usize| {
        let size = 1 << 22;
        let mut nodes = vec![node("Expand", &["one_", "wide"], &["numbers"])];
        nodes
            .extend((0..count).map(|i| node("Greater", &["numbers", &format!("n{i}")], &[&format!("m{i}")])));
        nodes.push(node("Relu", &["x"], &["y"]));
        let mut stored = vec![ints("one_", &[1]), ints("wide", &[size])];
        stored.extend((0..count as i64).map(|i| ints(&format!("n{i}"), &[i])));
        let mut model = model(nodes, stored);
        let fact = Fact { dtype: crate::DType::Bool, shape: Shape::fixed(&[size as usize]) };
        let outputs = (0..count).map(|i| value_info::write(&format!("m{i}"), &fact));
        model.graph.as_mut().unwrap().output.extend(outputs);
        opened(&model)
    };
    assert!(masks(5).is_ok());
    let error = masks(20).unwrap_err();
    assert!(matches!(error, OnnxError::TooLarge { .. }), "{error}");
}

/// Packed weights may be unpacked and read under several names; this does not count against the limit.
#[test]
fn stored_arrays_are_not_counted_as_computed() {
    let weights = Tensor::i64(&vec![1; 1 << 22]);
    let names: Vec<String> = (0..40).map(|i| format!("e{i}")).collect();
    let mut nodes: Vec<NodeProto> =
        names.iter().map(|name| node("Reshape", &["weights", "shape"], &[name])).collect();
    nodes.push(node("Relu", &["x"], &["y"]));
    let stored = vec![tensor::write("weights", &weights), ints("shape", &[1 << 11, 1 << 11])];
    let mut model = model(nodes, stored);
    let fact = Fact::f32(Shape::fixed(&[1 << 11, 1 << 11]));
    model.graph.as_mut().unwrap().output.extend(names.iter().map(|name| value_info::write(name, &fact)));
    assert!(opened(&model).is_ok());
}

fn branch(nodes: Vec<NodeProto>, output: &str) -> GraphProto {
    let output = vec![ValueInfoProto { name: Some(output.to_owned()), ..ValueInfoProto::default() }];
    GraphProto { node: nodes, output, ..GraphProto::default() }
}

#[test]
fn the_branch_of_a_known_condition_is_taken() {
    for (rank, expected) in [(4, 2.0), (3, 0.0)] {
        let choice = with_graph(
            node("If", &["is_four"], &["y"]),
            "then_branch",
            branch(vec![node("Add", &["x", "x"], &["inner"])], "inner"),
        );
        let choice =
            with_graph(choice, "else_branch", branch(vec![node("Sub", &["x", "x"], &["inner"])], "inner"));
        let nodes = vec![
            node("Shape", &["x"], &["shape"]),
            node("Size", &["shape"], &["rank"]),
            node("Equal", &["rank", "wanted"], &["is_four"]),
            choice,
        ];
        let opened = opened(&model(nodes, vec![whole("wanted", rank)])).unwrap();
        assert_eq!(output(&opened).to_f64()[1], expected);
        assert!(opened.graph.find("y").is_some());
    }
}

#[test]
fn a_branch_may_hand_out_what_lies_outside() {
    let choice = with_graph(node("If", &["yes"], &["z"]), "then_branch", branch(Vec::new(), "x"));
    let choice = with_graph(choice, "else_branch", branch(Vec::new(), "nowhere"));
    let yes = Tensor::new(Vec::new(), Data::Bool([true].into())).unwrap();
    let nodes = vec![choice, node("Neg", &["z"], &["y"])];
    let good = opened(&model(nodes.clone(), vec![tensor::write("yes", &yes)])).unwrap();
    assert_eq!(output(&good).to_f64()[1], -1.0);
    let no = Tensor::new(Vec::new(), Data::Bool([false].into())).unwrap();
    assert!(opened(&model(nodes, vec![tensor::write("yes", &no)])).is_err());
}

fn external(name: &str, location: &str, offset: &str, length: &str) -> TensorProto {
    let entry = |(key, value): (&str, &str)| StringStringEntryProto {
        key: Some(key.to_owned()),
        value: Some(value.to_owned()),
    };
    TensorProto {
        raw_data: None,
        data_location: Some(DataLocation::External.into()),
        external_data: [("location", location), ("offset", offset), ("length", length)].map(entry).to_vec(),
        ..tensor::write(name, &Tensor::scalar(0.0))
    }
}

fn open_with_external(folder: &std::path::Path, weight: TensorProto) -> Result<OnnxModel, OnnxError> {
    let path = folder.join("model.onnx");
    fs::write(&path, model(vec![node("Mul", &["x", "w"], &["y"])], vec![weight]).encode_to_vec()).unwrap();
    open_file(&path)
}

#[test]
fn arrays_in_another_file_are_read_and_stay_in_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("model");
    fs::create_dir(&inside).unwrap();
    let bytes: Vec<u8> = [9.0f32, 5.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    fs::write(inside.join("w.bin"), &bytes).unwrap();
    fs::write(folder.path().join("secret.bin"), &bytes).unwrap();
    let opened = open_with_external(&inside, external("w", "w.bin", "4", "4")).unwrap();
    assert_eq!(output(&opened).to_f64()[1], 5.0);
    let mut refused = vec![
        ("w.bin", "8", "4"),
        ("w.bin", "18446744073709551615", "4"),
        ("w.bin", "0", "8"),
        ("w.bin", "-4", "4"),
        ("none.bin", "0", "4"),
        ("../secret.bin", "0", "4"),
        ("/dev/zero", "0", "4"),
        (".", "0", "4"),
        ("", "0", "4"),
    ];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(folder.path().join("secret.bin"), inside.join("link.bin")).unwrap();
        refused.push(("link.bin", "0", "4"));
    }
    for (location, offset, length) in refused {
        let result = open_with_external(&inside, external("w", location, offset, length));
        assert!(result.is_err(), "{location:?} {offset} {length}");
    }
}

#[test]
fn a_composition_carries_the_name_of_its_node() {
    let opened = opened(&model(vec![node("Mean", &["x", "x", "x"], &["y"])], Vec::new())).unwrap();
    let graph = &opened.graph;
    let last = graph.producer(graph.outputs()[0]).unwrap();
    assert_eq!((graph.node(last).name.as_str(), graph.value(graph.outputs()[0]).name.as_str()), ("n_y", "y"));
    assert!((output(&opened).to_f64()[5] - 5.0).abs() < 1e-6);
}
