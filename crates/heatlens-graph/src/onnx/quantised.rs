//! Integer operators, expressed as the floating-point operators they approximate.
//!
//! A quantised product is the product of its dequantised operands, quantised again. So `QLinearConv` is read as
//! `DequantizeLinear`, `Conv`, `QuantizeLinear`, computed in single precision with the rounding of the integers. The
//! operators of onnxruntime's quantiser (domain `com.microsoft`) are handled in the same way.

use super::inline::Body;
use super::proto::attribute_proto::AttributeType;
use super::proto::{AttributeProto, NodeProto};
use super::tensor;
use crate::error::OpError;
use crate::op::invalid;
use crate::tensor::Tensor;

/// Operator set of the nodes created here.
pub(super) const OPSET: i64 = 13;

/// Returns the replacement of a quantised node; `None` for other nodes.
pub(super) fn expand(node: &NodeProto, name: &str) -> Option<Result<Body, OpError>> {
    let mut e = Expansion { node, name, body: Body::default() };
    let done = match (node.domain(), node.op_type()) {
        ("" | "ai.onnx", "QLinearConv") => e.conv(),
        ("" | "ai.onnx", "QLinearMatMul") => e.matmul(),
        ("" | "ai.onnx", "ConvInteger") => e.integer("Conv", 0),
        ("" | "ai.onnx", "MatMulInteger") => e.integer("MatMul", -1),
        ("" | "ai.onnx", "DynamicQuantizeLinear") => e.dynamic(),
        ("com.microsoft", "QLinearAdd") => e.pair("Add"),
        ("com.microsoft", "QLinearMul") => e.pair("Mul"),
        ("com.microsoft", "QLinearSigmoid") => e.single("Sigmoid", &[]),
        ("com.microsoft", "QLinearLeakyRelu") => e.single("LeakyRelu", &["alpha"]),
        ("com.microsoft", "QLinearSoftmax") => e.single("Softmax", &["axis"]),
        ("com.microsoft", "QLinearGlobalAveragePool") => e.pool("GlobalAveragePool", &[]),
        ("com.microsoft", "QLinearAveragePool") => e.pool(
            "AveragePool",
            &["auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides"],
        ),
        ("com.microsoft", "QLinearConcat") => e.concat(),
        ("com.microsoft", "QGemm") => e.gemm(),
        _ => return None,
    };
    Some(done.map(|()| e.body))
}

/// True if an unsupported operator belongs to a quantised model.
pub(super) fn is_quantised(node: &NodeProto) -> bool {
    let op = node.op_type();
    op.starts_with("QLinear") || op.contains("Integer") || op.contains("Quant") || op.starts_with("QAtt")
}

struct Expansion<'a> {
    node: &'a NodeProto,
    name: &'a str,
    body: Body,
}

type Done = Result<(), OpError>;

impl Expansion<'_> {
    /// Returns the name of the input at `index`; empty if omitted.
    fn input(&self, index: usize) -> String {
        self.node.input.get(index).cloned().unwrap_or_default()
    }

    fn output(&self) -> Result<String, OpError> {
        let output = self.node.output.first().filter(|name| !name.is_empty());
        output.cloned().ok_or_else(|| invalid("found no output"))
    }

    fn inner(&self, part: &str) -> String {
        format!("{}/{part}", self.name)
    }

    fn push(&mut self, op: &str, inputs: &[String], output: &str, attribute: Vec<AttributeProto>) {
        self.body.nodes.push(NodeProto {
            op_type: Some(op.to_owned()),
            name: Some(if self.output().as_deref() == Ok(output) {
                self.name.to_owned()
            } else {
                output.to_owned()
            }),
            input: inputs.to_vec(),
            output: vec![output.to_owned()],
            attribute,
            ..NodeProto::default()
        });
    }

    /// Adds (x − zero point) · scale of the inputs starting at `index`.
    fn dequantized(&mut self, index: usize, part: &str, axis: i64) -> String {
        let (inputs, output) = ([0, 1, 2].map(|i| self.input(index + i)), self.inner(part));
        self.push("DequantizeLinear", &inputs, &output, vec![int("axis", axis)]);
        output
    }

    /// Adds the output, quantised with the scale and zero point at `index`.
    fn quantized(&mut self, value: String, index: usize) -> Done {
        let inputs = [value, self.input(index), self.input(index + 1)];
        let output = self.output()?;
        self.push("QuantizeLinear", &inputs, &output, Vec::new());
        Ok(())
    }

    /// Adds an integer bias, scaled by the product of both scales.
    fn bias(&mut self, bias: usize, scales: [usize; 2]) -> String {
        let (cast, half, whole) = (self.inner("bias/Cast"), self.inner("bias/Mul"), self.inner("bias"));
        self.push("Cast", &[self.input(bias)], &cast, vec![int("to", 1)]);
        self.push("Mul", &[cast, self.input(scales[0])], &half, Vec::new());
        self.push("Mul", &[half, self.input(scales[1])], &whole, Vec::new());
        whole
    }

    /// Returns the node's attributes with the given names.
    fn attributes(&self, names: &[&str]) -> Vec<AttributeProto> {
        self.node.attribute.iter().filter(|a| names.contains(&a.name())).cloned().collect()
    }

    fn conv(&mut self) -> Done {
        let mut inputs = vec![self.dequantized(0, "x", 1), self.dequantized(3, "w", 0)];
        if !self.input(8).is_empty() {
            inputs.push(self.bias(8, [1, 4]));
        }
        let product = self.inner("Conv");
        self.push("Conv", &inputs, &product, self.node.attribute.clone());
        self.quantized(product, 6)
    }

    fn matmul(&mut self) -> Done {
        let inputs = [self.dequantized(0, "a", -2), self.dequantized(3, "b", -1)];
        let product = self.inner("MatMul");
        self.push("MatMul", &inputs, &product, Vec::new());
        self.quantized(product, 6)
    }

    /// Adds a product of integers minus their zero points.
    fn integer(&mut self, op: &str, axis: i64) -> Done {
        let one = self.inner("one");
        self.body.initializers.push(tensor::write(&one, &Tensor::scalar(1.0)));
        let mut inputs = Vec::new();
        for (i, axis) in [(0, 1), (1, axis)] {
            let part = self.inner(["x", "w"][i]);
            let given = [self.input(i), one.clone(), self.input(i + 2)];
            self.push("DequantizeLinear", &given, &part, vec![int("axis", axis)]);
            inputs.push(part);
        }
        let output = self.output()?;
        self.push(op, &inputs, &output, self.node.attribute.clone());
        Ok(())
    }

    /// Passes the values through unrounded: scales that depend on the image would make the images of a batch interact.
    fn dynamic(&mut self) -> Done {
        self.body.aliases.push((self.output()?, self.input(0)));
        for (output, value) in self.node.output.iter().skip(1).zip([1.0, 0.0]) {
            if !output.is_empty() {
                self.body.initializers.push(tensor::write(output, &Tensor::scalar(value)));
            }
        }
        Ok(())
    }

    fn pair(&mut self, op: &str) -> Done {
        let inputs = [self.dequantized(0, "a", 1), self.dequantized(3, "b", 1)];
        let result = self.inner(op);
        self.push(op, &inputs, &result, Vec::new());
        self.quantized(result, 6)
    }

    fn single(&mut self, op: &str, attributes: &[&str]) -> Done {
        let x = self.dequantized(0, "x", 1);
        let result = self.inner(op);
        self.push(op, &[x], &result, self.attributes(attributes));
        self.quantized(result, 3)
    }

    fn pool(&mut self, op: &str, attributes: &[&str]) -> Done {
        let last = self.node.attribute.iter().any(|a| a.name() == "channels_last" && a.i() != 0);
        if last {
            return Err(OpError::Unsupported("channels behind the places (\"channels_last\")".to_owned()));
        }
        self.single(op, attributes)
    }

    fn concat(&mut self) -> Done {
        let parts = self.node.input.len().saturating_sub(2) / 3;
        let parts: Vec<String> =
            (0..parts).map(|i| self.dequantized(2 + 3 * i, &format!("x{i}"), 1)).collect();
        let joined = self.inner("Concat");
        self.push("Concat", &parts, &joined, self.attributes(&["axis"]));
        self.quantized(joined, 0)
    }

    fn gemm(&mut self) -> Done {
        let column = self.node.attribute.iter().any(|a| a.name() == "transB" && a.i() != 0);
        let axis = i64::from(!column);
        let mut inputs = vec![self.dequantized(0, "a", 1), self.dequantized(3, "b", axis)];
        if !self.input(6).is_empty() {
            inputs.push(self.bias(6, [1, 4]));
        }
        let attributes = self.attributes(&["alpha", "transA", "transB"]);
        if self.input(7).is_empty() {
            let output = self.output()?;
            self.push("Gemm", &inputs, &output, attributes);
            return Ok(());
        }
        let product = self.inner("Gemm");
        self.push("Gemm", &inputs, &product, attributes);
        self.quantized(product, 7)
    }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(AttributeType::Int.into()),
        i: Some(value),
        ..AttributeProto::default()
    }
}
