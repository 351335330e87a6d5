//! Damage to the structure of ONNX files: the file remains valid protobuf with nonsensical content.

use crate::random::Random;

/// Content of a field.
#[derive(Clone, Debug)]
pub enum Content {
    /// An integer.
    Number(u64),
    /// Four or eight bytes.
    Fixed(Vec<u8>),
    /// A string, raw data or packed numbers.
    Bytes(Vec<u8>),
    /// A message.
    Message(Kind, Vec<Field>),
}

/// A field of a message.
#[derive(Clone, Debug)]
pub struct Field {
    number: u64,
    content: Content,
}

/// The relevant kinds of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Model,
    Opset,
    Function,
    Graph,
    Node,
    Attribute,
    Tensor,
    Entry,
    ValueInfo,
    Type,
    TensorType,
    Shape,
    Dim,
}

use Kind::*;

/// Fields that hold messages: parent kind, field number, child kind.
const FIELDS: [(Kind, u64, Kind); 20] = [
    (Model, 7, Graph),
    (Model, 8, Opset),
    (Model, 14, Entry),
    (Model, 25, Function),
    (Function, 7, Node),
    (Function, 9, Opset),
    (Graph, 1, Node),
    (Graph, 5, Tensor),
    (Graph, 11, ValueInfo),
    (Graph, 12, ValueInfo),
    (Graph, 13, ValueInfo),
    (Node, 5, Attribute),
    (Node, 9, Entry),
    (Attribute, 5, Tensor),
    (Attribute, 6, Graph),
    (Tensor, 13, Entry),
    (ValueInfo, 2, Type),
    (Type, 1, TensorType),
    (TensorType, 2, Shape),
    (Shape, 1, Dim),
];

fn kind_of(parent: Kind, number: u64) -> Option<Kind> {
    FIELDS.iter().find(|(p, n, _)| *p == parent && *n == number).map(|f| f.2)
}

/// Parses a message; `None` if it is not valid.
pub fn parse(kind: Kind, mut bytes: &[u8]) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let number = tag >> 3;
        let content = match tag & 7 {
            0 => Content::Number(varint(&mut bytes)?),
            1 => Content::Fixed(take(&mut bytes, 8)?.to_vec()),
            5 => Content::Fixed(take(&mut bytes, 4)?.to_vec()),
            2 => {
                let len = usize::try_from(varint(&mut bytes)?).ok()?;
                let inner = take(&mut bytes, len)?;
                let message = kind_of(kind, number).and_then(|k| Some(Content::Message(k, parse(k, inner)?)));
                message.unwrap_or_else(|| Content::Bytes(inner.to_vec()))
            }
            _ => return None,
        };
        fields.push(Field { number, content });
    }
    Some(fields)
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (front, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(front)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Encodes a message.
pub fn encode(fields: &[Field]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields {
        let mut block = |wire: u64, bytes: &[u8], len: bool| {
            put(&mut out, field.number << 3 | wire);
            if len {
                put(&mut out, bytes.len() as u64);
            }
            out.extend_from_slice(bytes);
        };
        match &field.content {
            Content::Number(value) => {
                let mut bytes = Vec::new();
                put(&mut bytes, *value);
                block(0, &bytes, false);
            }
            Content::Fixed(bytes) => block(if bytes.len() == 8 { 1 } else { 5 }, bytes, false),
            Content::Bytes(bytes) => block(2, bytes, true),
            Content::Message(_, fields) => block(2, &encode(fields), true),
        }
    }
    out
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Position of a field: the index in each message on the path to it.
type Path = Vec<usize>;

fn paths(kind: Kind, fields: &[Field], at: &mut Path, visit: &mut impl FnMut(Kind, &Field, &Path)) {
    for (i, field) in fields.iter().enumerate() {
        at.push(i);
        visit(kind, field, at);
        if let Content::Message(inner, fields) = &field.content {
            paths(*inner, fields, at, visit);
        }
        at.pop();
    }
}

/// Returns the message that contains the field at `path`.
fn holder<'a>(fields: &'a mut Vec<Field>, path: &[usize]) -> &'a mut Vec<Field> {
    let mut at = fields;
    for &i in &path[..path.len() - 1] {
        match &mut at[i].content {
            Content::Message(_, inner) => at = inner,
            _ => unreachable!("only messages have fields"),
        }
    }
    at
}

/// Operators to substitute for others.
const OPERATORS: [&str; 40] = [
    "Conv",
    "ConvTranspose",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "Gemm",
    "MatMul",
    "Reshape",
    "Expand",
    "Slice",
    "Pad",
    "Concat",
    "Split",
    "Gather",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Flatten",
    "Shape",
    "If",
    "Loop",
    "Constant",
    "ConstantOfShape",
    "Range",
    "Cast",
    "Where",
    "Resize",
    "Einsum",
    "ReduceMean",
    "ReduceMax",
    "Softmax",
    "BatchNormalization",
    "LayerNormalization",
    "Tile",
    "Identity",
    "Add",
    "Pow",
    "Div",
    "QuantizeLinear",
    "Attention",
];

/// Damages the structure in one to five places; `None` if the file is not protobuf.
pub fn structure(random: &mut Random, file: &[u8], other: &[u8]) -> Option<Vec<u8>> {
    let mut model = parse(Model, file)?;
    let donor = parse(Model, other)?;
    for _ in 0..=random.below(5) {
        let mut all: Vec<(Kind, Path)> = Vec::new();
        paths(Model, &model, &mut Vec::new(), &mut |kind, _, path| all.push((kind, path.clone())));
        if all.is_empty() {
            break;
        }
        // Chooses the kind first: otherwise almost all fields would be weights.
        let kinds = [
            Graph, Graph, Node, Node, Node, Attribute, Attribute, Tensor, Tensor, Dim, Dim, ValueInfo, Model,
            Function,
        ];
        let kind = *random.of(&kinds);
        let of_kind: Vec<&(Kind, Path)> = all.iter().filter(|(k, _)| *k == kind).collect();
        let (kind, path) = if of_kind.is_empty() { random.of(&all) } else { *random.of(&of_kind) };
        once(random, &mut model, &donor, *kind, path);
    }
    Some(encode(&model))
}

fn once(random: &mut Random, model: &mut Vec<Field>, donor: &[Field], kind: Kind, path: &[usize]) {
    let texts = texts(model);
    let graph = model.iter().find(|f| f.number == 7).cloned();
    let fields = holder(model, path);
    let i = path[path.len() - 1];
    match random.below(12) {
        0 => drop(fields.remove(i)),
        1 => fields.push(fields[i].clone()),
        2 => {
            let j = random.below(fields.len());
            fields.swap(i, j);
        }
        3 => fields[i].number = 1 + random.below(30) as u64,
        // The corresponding field of another file.
        4 => {
            let mut found = Vec::new();
            let number = fields[i].number;
            paths(Model, donor, &mut Vec::new(), &mut |k, field, _| {
                if k == kind && field.number == number {
                    found.push(field.clone());
                }
            });
            if !found.is_empty() {
                fields[i] = random.of(&found).clone();
            }
        }
        5 => special(random, fields, kind, graph),
        _ => change(random, &mut fields[i], kind, &texts),
    }
}

/// Returns every short string of the file: names, operators.
fn texts(model: &[Field]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    paths(Model, model, &mut Vec::new(), &mut |kind, field, _| {
        if let (Content::Bytes(bytes), true) = (&field.content, kind != Tensor || field.number == 8) {
            if bytes.len() < 100 {
                found.push(bytes.clone());
            }
        }
    });
    found
}

fn change(random: &mut Random, field: &mut Field, kind: Kind, texts: &[Vec<u8>]) {
    match &mut field.content {
        Content::Number(value) => *value = random.integer(),
        Content::Fixed(bytes) => {
            let value: u32 =
                *random.of(&[0, 1, 0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 0x7f7f_ffff, 0xbf80_0000]);
            bytes.splice(..4.min(bytes.len()), value.to_le_bytes());
        }
        Content::Bytes(bytes) if kind == Node && field.number == 4 => {
            *bytes = random.of(&OPERATORS).as_bytes().to_vec();
        }
        Content::Bytes(bytes) => match random.below(6) {
            0 => bytes.clear(),
            1 => *bytes = b"../../../../etc/passwd".to_vec(),
            2 if random.below(2) == 0 => crate::mutate::cut_letter(random, bytes),
            2 => crate::mutate::bytes(random, bytes, b"name"),
            3 => {
                let numbers: Vec<u64> = (0..random.below(6)).map(|_| random.integer()).collect();
                bytes.clear();
                numbers.into_iter().for_each(|n| put(bytes, n));
            }
            _ if !texts.is_empty() => bytes.clone_from(random.of(texts)),
            _ => {}
        },
        Content::Message(..) => crate::mutate::once_in(random, &mut field.number),
    }
}

fn text(number: u64, bytes: &[u8]) -> Field {
    Field { number, content: Content::Bytes(bytes.to_vec()) }
}

fn message(kind: Kind, number: u64, fields: Vec<Field>) -> Field {
    Field { number, content: Content::Message(kind, fields) }
}

fn number(number: u64, value: u64) -> Field {
    Field { number, content: Content::Number(value) }
}

/// Attacks that random damage would not find.
fn special(random: &mut Random, fields: &mut Vec<Field>, kind: Kind, graph: Option<Field>) {
    match kind {
        Tensor => {
            let place: &[u8] = *random.of(&[
                &b"../secret.bin"[..],
                b"/etc/passwd",
                b"link.bin",
                b"weights.bin",
                b"/dev/zero",
                b".",
                b"",
                b"folder/../../secret.bin",
                b"linked/secret.bin",
            ]);
            let entry = |key: &[u8], value: &[u8]| message(Entry, 13, vec![text(1, key), text(2, value)]);
            fields.retain(|f| ![4, 9, 13, 14].contains(&f.number));
            fields.extend([number(14, 1), entry(b"location", place)]);
            for key in [&b"offset"[..], b"length"] {
                if random.below(2) == 0 {
                    let value = (random.integer() as i64).to_string();
                    fields.push(entry(key, value.as_bytes()));
                }
            }
        }
        // Nested branches, many levels deep.
        Node => {
            let Some(Field { content: Content::Message(_, inner), .. }) = graph else { return };
            let mut inner = if random.below(2) == 0 { inner } else { Vec::new() };
            for _ in 0..[1, 3, 20, 70, 200][random.below(5)] {
                let branches = [&b"then_branch"[..], b"else_branch"].map(|name| {
                    message(
                        Attribute,
                        5,
                        vec![text(1, name), message(Graph, 6, inner.clone()), number(20, 5)],
                    )
                });
                let deep = random.below(2) == 0;
                let mut node = vec![text(1, b"condition"), text(2, b"y"), text(4, b"If")];
                node.extend(branches.into_iter().take(if deep { 1 } else { 2 }));
                inner = vec![message(Node, 1, node), message(ValueInfo, 12, vec![text(1, b"y")])];
                if encode(&inner).len() > 200_000 {
                    break;
                }
            }
            if let Some(Field { content: Content::Message(_, node), .. }) = inner.into_iter().next() {
                *fields = node;
            }
        }
        Model if random.below(3) > 0 => {
            if random.below(2) == 0 {
                doubling_functions(random, fields)
            } else {
                long_function(random, fields)
            }
        }
        // Functions that call themselves and each other.
        Model => {
            for (name, callee) in [(&b"f"[..], &b"g"[..]), (b"g", b"f")] {
                let call =
                    || message(Node, 7, vec![text(1, b"x"), text(2, b"y"), text(4, callee), text(7, b"own")]);
                let calls: Vec<Field> = (0..=random.below(3)).map(|_| call()).collect();
                let mut function = vec![text(1, name), text(4, b"x"), text(5, b"y"), text(10, b"own")];
                function.extend(calls);
                fields.push(message(Function, 25, function));
            }
            call(fields, b"f", b"fy", b"");
        }
        Graph if random.below(4) > 0 => match random.below(3) {
            0 => constants(random, fields),
            1 => fixed_batch(random, fields),
            _ => names_in_the_way(random, fields),
        },
        // Other values become outputs, and nodes are reordered.
        Graph => {
            let by = random.below(fields.len());
            fields.rotate_left(by);
        }
        _ => {
            let copies = [2, 100, 3000][random.below(3)];
            if let Some(last) = fields.last().cloned() {
                fields.extend(std::iter::repeat_n(last, copies));
            }
        }
    }
}

/// A function of one argument `x` whose nodes end in `y`.
fn function(name: &[u8], nodes: Vec<Field>) -> Field {
    let opset = |domain: &[u8], version| message(Opset, 9, vec![text(1, domain), number(2, version)]);
    let mut fields = vec![text(1, name), text(4, b"x"), text(5, b"y"), text(10, b"own")];
    fields.extend(nodes);
    fields.extend([opset(b"", 17), opset(b"own", 1)]);
    message(Function, 25, fields)
}

fn node(op: &[u8], from: &[u8], to: &[u8], domain: &[u8]) -> Vec<Field> {
    vec![text(1, from), text(2, to), text(4, op), text(7, domain)]
}

/// The graph's own fields.
fn graph_of(model: &mut [Field]) -> Option<&mut Vec<Field>> {
    model.iter_mut().find(|f| f.number == 7).and_then(|f| match &mut f.content {
        Content::Message(_, graph) => Some(graph),
        _ => None,
    })
}

/// The graph's first input.
fn input_of(graph: &[Field]) -> Option<Vec<u8>> {
    let Content::Message(_, info) = &graph.iter().find(|f| f.number == 11)?.content else { return None };
    info.iter().find_map(|f| match (&f.content, f.number) {
        (Content::Bytes(name), 1) => Some(name.clone()),
        _ => None,
    })
}

/// Calls a function with the first input.
fn call(model: &mut [Field], callee: &[u8], output: &[u8], name: &[u8]) {
    let Some(graph) = graph_of(model) else { return };
    let input = input_of(graph).unwrap_or_default();
    let mut call = node(callee, &input, output, b"own");
    call.push(text(3, name));
    graph.push(message(Node, 1, call));
}

/// Each function calls the one below it twice.
fn doubling_functions(random: &mut Random, model: &mut Vec<Field>) {
    let depth = [2, 8, 16, 20, 40][random.below(5)];
    model.push(function(b"f0", vec![message(Node, 7, node(b"Relu", b"x", b"y", b""))]));
    for level in 1..=depth {
        let below = format!("f{}", level - 1);
        let first = message(Node, 7, node(below.as_bytes(), b"x", b"m", b"own"));
        let second = message(Node, 7, node(below.as_bytes(), b"m", b"y", b"own"));
        model.push(function(format!("f{level}").as_bytes(), vec![first, second]));
    }
    call(model, format!("f{depth}").as_bytes(), b"fy", b"top");
}

/// A call's name stands before every name in the function.
fn long_function(random: &mut Random, model: &mut Vec<Field>) {
    let nodes = [1, 50, 500, 3000][random.below(4)];
    let body = (0..nodes).map(|i| {
        let from = if i == 0 { "x".to_owned() } else { format!("v{i}") };
        let to = if i + 1 == nodes { "y".to_owned() } else { format!("v{}", i + 1) };
        message(Node, 7, node(b"Relu", from.as_bytes(), to.as_bytes(), b""))
    });
    model.push(function(b"long", body.collect()));
    let name = vec![b'n'; [1, 1000, 20_000][random.below(3)]];
    for i in 0..[1, 10, 60][random.below(3)] {
        call(model, b"long", format!("l{i}").as_bytes(), &name);
    }
}

/// Constants that are computed while the file is read, or ahead of running.
fn constants(random: &mut Random, graph: &mut Vec<Field>) {
    let sizes: Vec<u64> = (0..=random.below(3)).map(|_| 1 << random.below(26)).collect();
    let raw: Vec<u8> = sizes.iter().flat_map(|size| size.to_le_bytes()).collect();
    let rank = sizes.len() as u64;
    graph.push(message(Tensor, 5, vec![number(1, rank), number(2, 7), text(8, b"huge"), text(9, &raw)]));
    let one = vec![number(1, 1), number(2, 7), text(8, b"one"), text(9, &1u64.to_le_bytes())];
    graph.push(message(Tensor, 5, one));
    for i in 0..[1, 5, 60][random.below(3)] {
        let output = format!("k{i}");
        let mut made = match random.below(2) {
            0 => node(b"ConstantOfShape", b"huge", output.as_bytes(), b""),
            _ => vec![text(1, b"one"), text(1, b"huge"), text(2, output.as_bytes()), text(4, b"Expand")],
        };
        made.push(text(3, output.as_bytes()));
        graph.push(message(Node, 1, made));
    }
}

/// The first field of these numbers, one inside the other.
fn below<'f>(field: &'f mut Field, numbers: &[u64]) -> Option<&'f mut Field> {
    let Some((first, rest)) = numbers.split_first() else { return Some(field) };
    let Content::Message(_, fields) = &mut field.content else { return None };
    below(fields.iter_mut().find(|f| f.number == *first)?, rest)
}

/// The first size of what goes in and out becomes a number.
fn fixed_batch(random: &mut Random, graph: &mut [Field]) {
    let batch = *random.of(&[1, 2, 7, 4096, 4097, 1 << 20, 1 << 40, u64::MAX >> 1]);
    for value in graph.iter_mut().filter(|f| [11, 12].contains(&f.number)) {
        // A value's type, its array, the array's shape, the first size.
        if let Some(Field { content: Content::Message(Dim, fields), .. }) = below(value, &[2, 1, 2, 1]) {
            *fields = vec![number(1, batch)];
        }
    }
}

/// Names that the search for a free one would try, and names that are equal.
fn names_in_the_way(random: &mut Random, graph: &mut Vec<Field>) {
    let count = [10, 200, 2000][random.below(3)];
    let Some(input) = input_of(graph) else { return };
    let stem = *random.of(&["n", "a/b", "ü", ""]);
    for i in 0..count {
        let name = match random.below(4) {
            0 => format!("{stem}_{i}"),
            1 => format!("{stem}/{i}"),
            2 => format!("{stem}{}", "'".repeat(i % 300)),
            _ => stem.to_owned(),
        };
        let mut made = node(b"Relu", &input, name.as_bytes(), b"");
        made.push(text(3, stem.as_bytes()));
        graph.push(message(Node, 1, made));
    }
}
