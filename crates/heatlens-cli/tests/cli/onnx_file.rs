//! ONNX files byte by byte, so that they can hold what no exporter writes.

/// A message of the wire format.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message(pub(crate) Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 128 {
            self.0.push(value as u8 | 128);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// A field with a whole number.
    pub(crate) fn int(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    /// A field with bytes or a text.
    pub(crate) fn bytes(mut self, field: u64, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    /// A field with each of these messages.
    pub(crate) fn all<'m>(self, field: u64, messages: impl IntoIterator<Item = &'m Message>) -> Self {
        messages.into_iter().fold(self, |whole, part| whole.bytes(field, &part.0))
    }
}

/// A node that computes `output` from `inputs`.
pub(crate) fn node(op: &str, inputs: &[&str], output: &str) -> Message {
    let read = inputs.iter().fold(Message::default(), |node, input| node.bytes(1, input));
    read.bytes(2, output).bytes(3, output).bytes(4, op)
}

/// A call of a function of the file.
pub(crate) fn call(function: &str, input: &str, output: &str, name: &str) -> Message {
    Message::default().bytes(1, input).bytes(2, output).bytes(3, name).bytes(4, function).bytes(7, "local")
}

/// A node with a whole number as an attribute.
pub(crate) fn with_int(node: Message, name: &str, value: u64) -> Message {
    node.bytes(5, Message::default().bytes(1, name).int(3, value).int(20, 2).0)
}

/// A function of one argument, `in`, whose last node makes `out`.
pub(crate) fn function(name: &str, body: &[Message]) -> Message {
    Message::default()
        .bytes(1, name)
        .bytes(4, "in")
        .bytes(5, "out")
        .all(7, body)
        .bytes(9, opset("", 17))
        .bytes(9, opset("local", 1))
        .bytes(10, "local")
}

fn opset(domain: &str, version: u64) -> Vec<u8> {
    Message::default().bytes(1, domain).int(2, version).0
}

/// Stored floats, all of the same value.
pub(crate) fn floats(name: &str, shape: &[u64], value: f32) -> Message {
    let count = shape.iter().product::<u64>() as usize;
    let dims = shape.iter().fold(Message::default(), |tensor, size| tensor.int(1, *size));
    dims.int(2, 1).bytes(8, name).bytes(9, value.to_le_bytes().repeat(count))
}

/// Stored whole numbers.
pub(crate) fn ints(name: &str, values: &[i64]) -> Message {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Message::default().int(1, values.len() as u64).int(2, 7).bytes(8, name).bytes(9, raw)
}

fn value(name: &str, sizes: &[Option<u64>]) -> Message {
    let dim = |size: &Option<u64>| match size {
        Some(size) => Message::default().int(1, *size),
        None => Message::default().bytes(2, "N"),
    };
    let shape = Message::default().all(1, &sizes.iter().map(dim).collect::<Vec<_>>());
    let tensor = Message::default().int(1, 1).bytes(2, shape.0);
    Message::default().bytes(1, name).bytes(2, Message::default().bytes(1, tensor.0).0)
}

/// A classifier of two classes: nodes from image `x` to `features`, the mean over whose places is multiplied with weights.
#[derive(Debug, Default)]
pub(crate) struct File {
    pub(crate) nodes: Vec<Message>,
    pub(crate) arrays: Vec<Message>,
    pub(crate) functions: Vec<Message>,
    /// Images at a time; any number if not given.
    pub(crate) batch: Option<u64>,
}

impl File {
    /// The bytes of the file, for images of these channels, rows and columns and features of so many channels.
    pub(crate) fn bytes(mut self, image: [u64; 3], features: u64) -> Vec<u8> {
        self.nodes.push(node("GlobalAveragePool", &["features"], "pooled"));
        self.nodes.push(node("Flatten", &["pooled"], "flat"));
        self.arrays.push(floats("weights", &[features, 2], 0.5));
        self.whole(image)
    }

    /// The same from nodes to `flat`, one row for each image, and its `weights`.
    pub(crate) fn whole(mut self, image: [u64; 3]) -> Vec<u8> {
        self.nodes.push(node("MatMul", &["flat", "weights"], "y"));
        let [c, h, w] = image.map(Some);
        let graph = Message::default()
            .all(1, &self.nodes)
            .bytes(2, "hostile")
            .all(5, &self.arrays)
            .bytes(11, value("x", &[self.batch, c, h, w]).0)
            .bytes(12, value("y", &[self.batch, Some(2)]).0);
        Message::default()
            .int(1, 8)
            .bytes(7, graph.0)
            .bytes(8, opset("", 17))
            .bytes(8, opset("local", 1))
            .all(25, &self.functions)
            .0
    }
}
