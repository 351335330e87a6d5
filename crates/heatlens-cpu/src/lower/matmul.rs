//! Matrix products.

use heatlens_graph::op::gemm::Gemm as GemmOp;
use heatlens_graph::op::matmul::MatMul;
use heatlens_graph::{Node, ValueId};

use crate::kernel::broadcast::Broadcast;
use crate::kernel::{Gemm, GemmShape, Isa, Workers};
use crate::lower::{Kernel, Lowering, Refusal};

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
        let product = Product { gemm, lens: lens(shape), batches: vec![[0, 0, 0]], accumulate: true };
        lowering.push_sum(node, &inputs, product);
        return Ok(());
    }
    lowering.push(node, &inputs, Dense { gemm, op, addend_walk })
}

/// Elements of A, B and C.
fn lens(shape: GemmShape) -> [usize; 3] {
    [shape.m * shape.k, shape.k * shape.n, shape.m * shape.n]
}

/// Whether the product contracts the batch: both factors have it, the result has not.
fn sums_over_samples(lowering: &Lowering<'_>, node: &Node, factors: &[ValueId]) -> bool {
    factors.iter().all(|&f| lowering.is_per_sample(f)) && !lowering.is_per_sample(node.outputs[0])
}

/// `alpha · A′B′ + beta · C`.
#[derive(Debug)]
struct Dense {
    gemm: Gemm,
    op: GemmOp,
    addend_walk: Option<Broadcast<1>>,
}

impl Kernel for Dense {
    fn scratch_len(&self) -> usize {
        self.gemm.scratch_len()
    }

    fn run(&self, inputs: &[&[f32]], y: &mut [f32], scratch: &mut [f32], workers: Workers) {
        match (&self.addend_walk, inputs.get(2)) {
            (Some(walk), Some(c)) => walk.gather(c, y),
            _ => y.fill(0.0),
        }
        // The product is added to beta ÷ alpha · C, and alpha comes last.
        let GemmOp { alpha, beta, .. } = self.op;
        if beta.to_bits() != alpha.to_bits() {
            y.iter_mut().for_each(|c| *c *= beta / alpha);
        }
        self.gemm.run(inputs[0], inputs[1], y, true, scratch, workers);
        if alpha.to_bits() != 1.0f32.to_bits() {
            y.iter_mut().for_each(|c| *c *= alpha);
        }
    }
}

fn lower_matmul(lowering: &mut Lowering<'_>, node: &Node) -> Result<(), Refusal> {
    let inputs = [lowering.input(node, 0)?, lowering.input(node, 1)?];
    let [a, b] = inputs.map(|i| lowering.shape(i));
    let output = lowering.shape(node.outputs[0]);
    let outer = &output[..output.len() - 2];
    let (m, n, k) = (output[output.len() - 2], output[output.len() - 1], a[a.len() - 1]);
    let shape = GemmShape { m, k, n, trans_a: false, trans_b: false };
    let (gemm, lens) = (Gemm::new(shape, Isa::best()), lens(shape));
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
        lowering.push_sum(node, &inputs, Product { gemm, lens, batches, accumulate: true });
        return Ok(());
    }
    lowering.push(node, &inputs, Product { gemm, lens, batches, accumulate: false })
}

/// One product for each triple of starts in A, B and C.
#[derive(Debug)]
struct Product {
    gemm: Gemm,
    lens: [usize; 3],
    batches: Vec<[usize; 3]>,
    accumulate: bool,
}

impl Kernel for Product {
    fn scratch_len(&self) -> usize {
        self.gemm.scratch_len()
    }

    fn run(&self, inputs: &[&[f32]], y: &mut [f32], scratch: &mut [f32], workers: Workers) {
        let [a_len, b_len, c_len] = self.lens;
        for &[a, b, c] in &self.batches {
            let (a, b) = (&inputs[0][a..a + a_len], &inputs[1][b..b + b_len]);
            self.gemm.run(a, b, &mut y[c..c + c_len], self.accumulate, scratch, workers);
        }
    }
}
