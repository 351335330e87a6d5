//! Max pooling with positions, and its inverse.

use super::*;
use crate::{DefaultRules, differentiate};

/// `MaxPool` of x over `kernel` without overlaps, with positions `i`.
fn pool(kernel: [i64; 2]) -> NodeProto {
    let pool = with_ints(node("MaxPool", &["x"], &["p", "i"]), "kernel_shape", &kernel);
    with_ints(pool, "strides", &kernel)
}

/// `MaxUnpool` of the negated maxima.
fn unpool(kernel: [i64; 2], inputs: &[&str]) -> Vec<NodeProto> {
    let unpool = with_ints(node("MaxUnpool", inputs, &["y"]), "kernel_shape", &kernel);
    vec![node("Neg", &["p"], &["v"]), with_ints(unpool, "strides", &kernel)]
}

fn both(kernel: [i64; 2], inputs: &[&str]) -> Vec<NodeProto> {
    [vec![pool(kernel)], unpool(kernel, inputs)].concat()
}

#[test]
fn values_return_to_the_positions_of_the_maxima() {
    let opened = opened(&model(both([1, 3], &["v", "i"]), Vec::new())).unwrap();
    // x grows along the rows, so the last column holds the maxima.
    let expected = (0..48).map(|i| if i % 3 == 2 { -f64::from(i) } else { 0.0 });
    assert_eq!(output(&opened).to_f64(), expected.collect::<Vec<f64>>());
}

#[test]
fn the_derivative_is_read_at_the_positions() {
    let mut graph = opened(&model(both([1, 3], &["v", "i"]), Vec::new())).unwrap().graph;
    let (x, y) = (graph.inputs()[0], graph.outputs()[0]);
    let seed = graph.add_input("seed", graph.fact(y).clone());
    let grad = differentiate(&mut graph, "d", y, seed, &[x], &DefaultRules).unwrap();
    let values = |i: u16| Tensor::f32(&[1, 4, 2, 3], (i..i + 24).map(f32::from).collect());
    let found = reference::run(&graph, &[values(0), values(100)], 1, &grad).unwrap().remove(0);
    let expected = (0..24).map(|i| if i % 3 == 2 { -f64::from(100 + i) } else { 0.0 });
    assert_eq!(found.to_f64(), expected.collect::<Vec<f64>>());
}

#[test]
fn a_size_that_is_given_settles_which_of_several_is_meant() {
    // Windows of two leave the third column over.
    let nodes = [vec![node("Shape", &["x"], &["size"])], both([1, 2], &["v", "i", "size"])].concat();
    assert_eq!(output_shape(&model(nodes, Vec::new())), Shape::batched(&[4, 2, 3]));
    let error = opened(&model(both([1, 2], &["v", "i"]), Vec::new())).unwrap_err().to_string();
    assert!(error.contains("unpooling to N×4×2×2 by positions in N×4×2×3"), "{error}");
}

#[test]
fn other_positions_and_other_uses_are_refused() {
    let ones = || vec![ints("ones", &[1, 1])];
    let overlapping = with_ints(node("MaxPool", &["x"], &["p", "i"]), "kernel_shape", &[1, 2]);
    for (nodes, expected) in [
        (
            both([1, 3], &["v", "ones"]),
            "unpooling to positions other than the second output of a MaxPool (\"ones\")",
        ),
        (both([1, 3], &["v", "v"]), "other than the second output of a MaxPool (\"v\")"),
        (both([1, 3], &["x", "i"]), "unpooling to N×4×2×9 by positions in N×4×2×3"),
        (
            [vec![node("Shape", &["x"], &["size"])], both([1, 3], &["x", "i", "size"])].concat(),
            "N×4×2×3 to the positions of maxima in N×4×2×3",
        ),
        (
            [vec![node("Shape", &["x"], &["size"]), overlapping], unpool([1, 2], &["v", "i", "size"])]
                .concat(),
            "windows that overlap",
        ),
        (
            [vec![with_int(pool([1, 3]), "storage_order", 1)], unpool([1, 3], &["v", "i"])].concat(),
            "\"i\": a storage_order of 1 is not supported",
        ),
        (
            vec![pool([1, 3]), node("Add", &["i", "ones"], &["y"])],
            "positions of maxima, in any place but an unpooling is not supported",
        ),
    ] {
        let error = opened(&model(nodes, ones())).unwrap_err().to_string();
        assert!(error.contains(expected), "expected {expected}, found {error}");
    }
}

#[test]
fn positions_that_are_an_output_are_left_aside() {
    let mut model = model(vec![pool([1, 3])], Vec::new());
    let graph = model.graph.as_mut().unwrap();
    let fact = Fact::f32(Shape::batched(&[4, 2, 1]));
    graph.output = ["p", "i"].map(|name| value_info::write(name, &fact)).to_vec();
    let opened = opened(&model).unwrap();
    assert_eq!(opened.graph.outputs().len(), 1);
    assert!(opened.lost_outputs["i"].contains("positions of maxima"), "{:?}", opened.lost_outputs);
}

/// Unpooling as PyTorch's exporter writes it, with the number of elements of a channel, and what the zeros are made from.
fn of_pytorch(channel: i64, zeros: &str) -> ModelProto {
    let unit = with_ints(node("MaxPool", &["x"], &["same", "every"]), "kernel_shape", &[1, 1]);
    let nodes = vec![
        pool([1, 3]),
        node("Neg", &["p"], &["v"]),
        unit,
        node("Slice", &["every", "zeros", "ones", "spatial"], &["firsts"]),
        node("Sub", &["i", "firsts"], &["in_channel"]),
        with_int(with_int(node("Shape", &["x"], &["batch"]), "start", 0), "end", 1),
        node("Squeeze", &["batch"], &["n"]),
        node("Mul", &["n", "four"], &["count"]),
        node("Range", &["zero", "count", "one"], &["numbers"]),
        node("Reshape", &["numbers", "per_channel"], &["channels"]),
        node("Mul", &["channels", "channel"], &["starts"]),
        node("Add", &["in_channel", "starts"], &["from_first"]),
        node("Reshape", &["from_first", "list"], &["to"]),
        with_int(node("Concat", &["batch", "rest"], &["size"]), "axis", 0),
        node("ConstantOfShape", &["size"], &["nothing"]),
        node("Reshape", &[zeros, "list"], &["whole"]),
        node("Reshape", &["v", "list"], &["values"]),
        node("Unsqueeze", &["to", "list"], &["rows"]),
        node("ScatterND", &["whole", "rows", "values"], &["written"]),
        node("Reshape", &["written", "image"], &["y"]),
    ];
    let arrays = vec![
        ints("zeros", &[0, 0]),
        ints("ones", &[1, 1]),
        ints("spatial", &[2, 3]),
        whole("four", 4),
        whole("zero", 0),
        whole("one", 1),
        ints("per_channel", &[-1, 4, 1, 1]),
        whole("channel", channel),
        ints("list", &[-1]),
        ints("rest", &[4, 2, 3]),
        ints("image", &[-1, 4, 2, 3]),
    ];
    model(nodes, arrays)
}

#[test]
fn unpooling_as_pytorch_writes_it_is_recognised() {
    let direct = opened(&model(both([1, 3], &["v", "i"]), Vec::new())).unwrap();
    let opened = opened(&of_pytorch(6, "nothing")).unwrap();
    assert_eq!(output(&opened), output(&direct));
    assert!(needed(&opened).contains(&"MaxUnpool"), "{:?}", needed(&opened));
}

#[test]
fn positions_written_otherwise_are_refused() {
    let refusal = |model: &ModelProto| opened(model).unwrap_err().to_string();
    let error = refusal(&of_pytorch(5, "nothing"));
    assert!(error.contains("Add (operator set 18): \"in_channel\", positions of maxima"), "{error}");
    let error = refusal(&of_pytorch(6, "x"));
    assert!(error.contains("ScatterND (operator set 18): writing to positions of maxima"), "{error}");
}

#[test]
fn positions_within_channels_are_refused_by_the_standards_operator() {
    let nodes = [
        vec![
            with_ints(node("MaxPool", &["x"], &["same", "every"]), "kernel_shape", &[1, 1]),
            node("Slice", &["every", "zeros", "ones", "spatial"], &["firsts"]),
            pool([1, 3]),
            node("Sub", &["i", "firsts"], &["in_channel"]),
        ],
        unpool([1, 3], &["v", "in_channel"]),
    ];
    let arrays = vec![ints("zeros", &[0, 0]), ints("ones", &[1, 1]), ints("spatial", &[2, 3])];
    let error = opened(&model(nodes.concat(), arrays)).unwrap_err().to_string();
    assert!(error.contains("other than the second output of a MaxPool (\"in_channel\")"), "{error}");
}
