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
            if let Some(Field { content: Content::Message(_, graph), .. }) =
                fields.iter_mut().find(|f| f.number == 7)
            {
                let input = graph.iter().find(|f| f.number == 11).cloned();
                if let Some(Field { content: Content::Message(_, info), .. }) = input {
                    let name = info.iter().find_map(|f| match (&f.content, f.number) {
                        (Content::Bytes(name), 1) => Some(name.clone()),
                        _ => None,
                    });
                    let call = vec![
                        text(1, &name.unwrap_or_default()),
                        text(2, b"fy"),
                        text(4, b"f"),
                        text(7, b"own"),
                    ];
                    graph.push(message(Node, 1, call));
                }
            }
        }
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
