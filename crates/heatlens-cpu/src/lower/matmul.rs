//! Matrix products.

use heatlens_graph::op::gemm::Gemm as GemmOp;
use heatlens_graph::op::matmul::MatMul;
use heatlens_graph::{Node, ValueId};

use crate::kernel::broadcast::Broadcast;
use crate::kernel::{Gemm, GemmShape, Isa, Right, Workers};
use crate::lower::{Kernel, Lowering, Refusal, Slot};

pub(super) fn lower(lowering: &mut Lowering<'_>, node: &Node) -> Option<Result<(), Refusal>> {
    if let Some(gemm) = Lowering::op::<GemmOp>(node) {
        return Some(lower_gemm(lowering, node, *gemm));
    }
    Lowering::op::<MatMul>(node)?;
    Some(lower_matmul(lowering, node))
}

fn lower_gemm(lowering: &mut Lowering<'_>, node: &Node, op: GemmOp) -> Result<(), Refusal> {
    let mut inputs = vec![lowering.input(node, 0)?, lowering.input(node, 1)?];
    let (a, output) = (lowering.shape(inputs[0]), lowering.shape(node.outputs[0]));
    let shape = GemmShape {
        m: output[0],
        k: a[usize::from(!op.trans_a)],
        n: output[1],
        trans_a: op.trans_a,
        trans_b: op.trans_b,
    };
    if op.alpha == 0.0 {
        return Err("a product scaled by 0 is not supported".to_owned());
    }
    let addend = lowering.input(node, 2).ok();
    let addend_walk = addend.map(|c| {
        inputs.push(c);
        Broadcast::new(&output, [&lowering.shape(c)])
    });
    let gemm = Gemm::new(shape, Isa::best());
    if sums_over_samples(lowering, node, &inputs[..2]) {
        if addend.is_some() || op.alpha.to_bits() != 1.0f32.to_bits() {
            return Err("a scaled or shifted product that sums over the batch is not supported".to_owned());
        }
        let product = Product { gemm, shape, is_packed: false, batches: vec![[0, 0, 0]], accumulate: true };
        lowering.push_sum(node, &inputs, product);
        return Ok(());
    }
    let (right, is_packed) = right_factor(lowering, node, inputs[1], &gemm);
    let mut slots = vec![lowering.slot(inputs[0]), right];
    slots.extend(inputs.get(2).map(|&c| lowering.slot(c)));
    let kernel = Dense { gemm, shape, is_packed, op, addend_walk };
    lowering.push_slots(node, node.outputs[0], &slots, kernel)
}

/// Returns the right factor as the product reads it, and whether it is packed: constant weights are packed once.
fn right_factor(lowering: &mut Lowering<'_>, node: &Node, b: ValueId, gemm: &Gemm) -> (Slot, bool) {
    let slot = lowering.slot(b);
    match gemm.packed_right_len() {
        Some(len) if lowering.graph.constant(b).is_some() => {
            (lowering.prepare(node, slot, len, PackRight(gemm.clone())), true)
        }
        _ => (slot, false),
    }
}

#[derive(Debug)]
struct PackRight(Gemm);

impl Kernel for PackRight {
    fn run(&self, inputs: &[&[f32]], packed: &mut [f32], _: &mut [f32], _: Workers) {
        self.0.pack_right(inputs[0], packed);
    }
}

/// Returns the numbers of elements of A, B and C.
fn lens(shape: GemmShape) -> [usize; 3] {
    [shape.m * shape.k, shape.k * shape.n, shape.m * shape.n]
}

fn flops(shape: GemmShape) -> u64 {
    2 * (shape.m * shape.k * shape.n) as u64
}

/// True if the product sums over the batch: both factors are per sample, the result is not.
fn sums_over_samples(lowering: &Lowering<'_>, node: &Node, factors: &[ValueId]) -> bool {
    factors.iter().all(|&f| lowering.is_per_sample(f)) && !lowering.is_per_sample(node.outputs[0])
}

/// `alpha · A′B′ + beta · C`.
#[derive(Debug)]
struct Dense {
    gemm: Gemm,
    shape: GemmShape,
    /// True if B is packed.
    is_packed: bool,
    op: GemmOp,
    addend_walk: Option<Broadcast<1>>,
}

impl Kernel for Dense {
    fn scratch_len(&self) -> usize {
        self.gemm.scratch_len()
    }

    fn flops(&self) -> u64 {
        flops(self.shape)
    }

    fn run(&self, inputs: &[&[f32]], y: &mut [f32], scratch: &mut [f32], workers: Workers) {
        match (&self.addend_walk, inputs.get(2)) {
            (Some(walk), Some(c)) => walk.gather(c, y),
            _ => y.fill(0.0),
        }
        // The product is added to beta ÷ alpha · C; the sum is then multiplied by alpha.
        let GemmOp { alpha, beta, .. } = self.op;
        if beta.to_bits() != alpha.to_bits() {
            y.iter_mut().for_each(|c| *c *= beta / alpha);
        }
        let b = if self.is_packed { Right::Packed(inputs[1]) } else { Right::Plain(inputs[1]) };
        self.gemm.run(inputs[0], b, y, true, scratch, workers);
        if alpha.to_bits() != 1.0f32.to_bits() {
            y.iter_mut().for_each(|c| *c *= alpha);
        }
    }
}

fn lower_matmul(lowering: &mut Lowering<'_>, node: &Node) -> Result<(), Refusal> {
    let inputs = [lowering.input(node, 0)?, lowering.input(node, 1)?];
    let [mut a, mut b] = inputs.map(|i| lowering.shape(i));
    let mut output = lowering.shape(node.outputs[0]);
    let alone = b.iter().rev().skip(2).all(|&d| d == 1);
    if alone {
        // A single B: the rows of all A's are rows of one product, which reads B once.
        for shape in [&mut a, &mut output] {
            let columns = shape.pop().unwrap_or(1);
            *shape = vec![shape.iter().product(), columns];
        }
        b.drain(..b.len() - 2);
    }
    let outer = &output[..output.len() - 2];
    let (m, n, k) = (output[output.len() - 2], output[output.len() - 1], a[a.len() - 1]);
    let shape = GemmShape { m, k, n, trans_a: false, trans_b: false };
    let gemm = Gemm::new(shape, Isa::best());
    let mut batches = Vec::new();
    let walk = Broadcast::new(outer, [&a[..a.len() - 2], &b[..b.len() - 2]]);
    let strides = walk.inner_strides();
    walk.for_each_run(|at, starts, run| {
        for i in 0..run {
            let [x, y] = [0, 1].map(|o: usize| starts[o] + i * strides[o]);
            batches.push([x * m * k, y * k * n, (at + i) * m * n]);
        }
    });
    if sums_over_samples(lowering, node, &inputs) {
        let kernel = Product { gemm, shape, is_packed: false, batches, accumulate: true };
        lowering.push_sum(node, &inputs, kernel);
        return Ok(());
    }
    let (right, is_packed) = if alone {
        right_factor(lowering, node, inputs[1], &gemm)
    } else {
        (lowering.slot(inputs[1]), false)
    };
    let slots = [lowering.slot(inputs[0]), right];
    let kernel = Product { gemm, shape, is_packed, batches, accumulate: false };
    lowering.push_slots(node, node.outputs[0], &slots, kernel)
}

/// One product for each triple of starts in A, B and C.
#[derive(Debug)]
struct Product {
    gemm: Gemm,
    shape: GemmShape,
    /// True if B is packed; then there is only one product.
    is_packed: bool,
    batches: Vec<[usize; 3]>,
    accumulate: bool,
}

impl Kernel for Product {
    fn scratch_len(&self) -> usize {
        self.gemm.scratch_len()
    }

    fn flops(&self) -> u64 {
        flops(self.shape) * self.batches.len() as u64
    }

    fn run(&self, inputs: &[&[f32]], y: &mut [f32], scratch: &mut [f32], workers: Workers) {
        let [a_len, b_len, c_len] = lens(self.shape);
        for &[a, b, c] in &self.batches {
            let b = if self.is_packed {
                Right::Packed(inputs[1])
            } else {
                Right::Plain(&inputs[1][b..b + b_len])
            };
            self.gemm.run(
                &inputs[0][a..a + a_len],
                b,
                &mut y[c..c + c_len],
                self.accumulate,
                scratch,
                workers,
            );
        }
    }
}
