//! Values that a later block computes again instead of reading them from memory.
//!
//! A value that a later block reads would be kept for all samples: for a batch, that is more than the caches hold. Many such
//! values follow from others in less time than it takes to write and read them: functions of single elements, poolings, a
//! convolution of a grey image. A copy of their steps is put into the block that reads them. Bits do not change.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::lower::{Lowered, LoweredValue, Rate, Slot, Source, Step};

/// Elements read or written in the cache while one is written to memory and read again later.
const WORTH: u64 = 10;
/// Floating-point operations in the time in which an element in the cache is read.
const FLOPS_PER_ELEMENT: u64 = 16;
/// Maximum number of steps copied for one value.
const MOST_STEPS: usize = 32;

/// Values that a block computes again.
type Again = HashSet<usize>;

/// Replaces values that are cheaper to compute again than to keep.
pub(crate) fn recompute(lowered: Lowered) -> Lowered {
    let last = lowered.steps.iter().map(|step| step.block).max().unwrap_or(0);
    if last == 0 {
        return lowered;
    }
    let mut read: Vec<Vec<usize>> = vec![Vec::new(); last + 1];
    for step in &lowered.steps {
        read[step.block].extend(step.inputs.iter().map(|input| input.0));
    }
    let mut choice = Choice::new(&lowered);
    let again: Vec<Again> =
        read.into_iter().enumerate().map(|(block, read)| choice.of_block(block, read)).collect();
    let (values, steps) = (lowered.values.clone(), Vec::with_capacity(lowered.steps.len()));
    Copies { lowered: &lowered, again: &again, values, steps, made: HashMap::new() }.finish()
}

/// Decides which values are kept.
struct Choice<'a> {
    lowered: &'a Lowered,
    kept: Vec<bool>,
}

/// Cost of having a value in a block.
#[derive(Default)]
struct Effort {
    /// Values to compute.
    computed: Vec<usize>,
    /// Elements of values that would have to be kept in addition.
    kept: usize,
    work: u64,
    /// Steps seen.
    steps: usize,
}

impl<'a> Choice<'a> {
    /// Everything is kept that is an output, or is read by a later block and cannot be computed again cheaply.
    fn new(lowered: &'a Lowered) -> Self {
        let mut choice = Self { lowered, kept: vec![false; lowered.values.len()] };
        lowered.outputs.iter().for_each(|output| choice.kept[output.0] = true);
        for step in &lowered.steps {
            for input in &step.inputs {
                let maker = choice.maker(input.0, step.block);
                choice.kept[input.0] |=
                    maker.is_some_and(|maker| work(lowered, maker) > limit(lowered, input.0));
            }
        }
        choice
    }

    /// Returns the step that computes a value per sample in an earlier block.
    fn maker(&self, value: usize, block: usize) -> Option<&'a Step> {
        let Source::Step(maker) = self.lowered.values[value].source else { return None };
        let maker = &self.lowered.steps[maker];
        (maker.rate == Rate::Sample && maker.block < block).then_some(maker)
    }

    /// Returns which of the values that the block reads, and of those they follow from, it computes again. The largest
    /// values are decided first.
    fn of_block(&mut self, block: usize, mut read: Vec<usize>) -> Again {
        let mut again = Again::new();
        read.retain(|&value| self.maker(value, block).is_some());
        read.sort_unstable_by_key(|&value| (std::cmp::Reverse(self.lowered.values[value].len), value));
        read.dedup();
        for value in read {
            if self.kept[value] {
                continue;
            }
            let mut effort = Effort::default();
            self.add_effort(value, block, &again, &mut effort);
            let len = self.lowered.values[value].len;
            let pays = effort.kept <= len && effort.work <= limit(self.lowered, value);
            if pays && effort.steps <= MOST_STEPS {
                self.keep_inputs_of(&effort.computed, block, &mut again);
            } else if !again.contains(&value) {
                self.kept[value] = true;
            }
        }
        again
    }

    /// Adds what it takes to compute the value in the block, down to values that are there already.
    fn add_effort(&self, value: usize, block: usize, again: &Again, effort: &mut Effort) {
        let Some(maker) = self.maker(value, block) else { return };
        let is_there = self.kept[value] || again.contains(&value) || effort.computed.contains(&value);
        if is_there || effort.steps > MOST_STEPS {
            return;
        }
        let own = work(self.lowered, maker);
        if own > limit(self.lowered, value) {
            effort.kept += self.lowered.values[value].len;
            return;
        }
        effort.work += own;
        effort.steps += 1;
        maker.inputs.iter().for_each(|input| self.add_effort(input.0, block, again, effort));
        effort.computed.push(value); // after its inputs
    }

    /// Makes the block compute the values, and keeps what they follow from otherwise.
    fn keep_inputs_of(&mut self, computed: &[usize], block: usize, again: &mut Again) {
        again.extend(computed);
        for &value in computed {
            let inputs = self.maker(value, block).map_or(&[][..], |maker| &maker.inputs);
            for input in inputs.iter().filter(|input| !again.contains(&input.0)) {
                self.kept[input.0] |= self.maker(input.0, block).is_some();
            }
        }
    }
}

/// Returns the elements that a step reads and writes for a sample, or could in the time it takes.
fn work(lowered: &Lowered, step: &Step) -> u64 {
    let values = step.inputs.iter().chain([&step.output]).map(|slot| &lowered.values[slot.0]);
    let elements: usize = values.filter(|value| value.per_sample).map(|value| value.len).sum();
    elements as u64 + step.kernel.flops() / FLOPS_PER_ELEMENT
}

/// Returns the work that keeping a value is worth.
fn limit(lowered: &Lowered, value: usize) -> u64 {
    WORTH * lowered.values[value].len as u64
}

/// The steps with copies of those that are computed again.
struct Copies<'a> {
    lowered: &'a Lowered,
    /// For each block, the values that it computes again.
    again: &'a [Again],
    values: Vec<LoweredValue>,
    steps: Vec<Step>,
    /// Copies by block and value.
    made: HashMap<(usize, usize), Slot>,
}

impl Copies<'_> {
    fn finish(mut self) -> Lowered {
        let lowered = self.lowered;
        for step in &lowered.steps {
            step.inputs.iter().for_each(|input| self.make(input.0, step.block));
            self.push(step, step.block, step.output);
        }
        // Without steps that nothing reads any more.
        let mut needed = vec![false; self.values.len()];
        lowered.outputs.iter().for_each(|output| needed[output.0] = true);
        let mut is_needed: Vec<bool> = Vec::with_capacity(self.steps.len());
        for step in self.steps.iter().rev() {
            is_needed.push(needed[step.output.0]);
            step.inputs.iter().for_each(|input| needed[input.0] |= needed[step.output.0]);
        }
        let steps = self.steps.into_iter().zip(is_needed.into_iter().rev());
        let steps: Vec<Step> = steps.filter(|(_, needed)| *needed).map(|(step, _)| step).collect();
        for (index, step) in steps.iter().enumerate() {
            self.values[step.output.0].source = Source::Step(index);
        }
        Lowered { values: self.values, steps, outputs: lowered.outputs.clone() }
    }

    /// Adds the copies with which the block computes the value again, if it does.
    fn make(&mut self, value: usize, block: usize) {
        let lowered = self.lowered;
        let mut open = vec![value];
        while let Some(&value) = open.last() {
            let missing = |value: &usize| {
                self.again[block].contains(value) && !self.made.contains_key(&(block, *value))
            };
            let Source::Step(maker) = lowered.values[value].source else { break };
            if !missing(&value) {
                open.pop();
                continue;
            }
            let maker = &lowered.steps[maker];
            let before = open.len();
            open.extend(maker.inputs.iter().map(|input| input.0).filter(missing));
            if open.len() == before {
                let copy = Slot(self.values.len());
                self.values.push(LoweredValue { block, ..lowered.values[value].clone() });
                self.push(maker, block, copy);
                self.made.insert((block, value), copy);
            }
        }
    }

    /// Adds a step to the block, whose inputs have been made.
    fn push(&mut self, step: &Step, block: usize, output: Slot) {
        let read = |input: &Slot| self.made.get(&(block, input.0)).copied().unwrap_or(*input);
        let inputs = step.inputs.iter().map(read).collect();
        let (node, kernel) = (step.node.clone(), Arc::clone(&step.kernel));
        self.steps.push(Step { node, op: step.op, kernel, inputs, output, rate: step.rate, block });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use heatlens_graph::op::batch_normalization::BatchNormalization;
    use heatlens_graph::op::conv::Conv;
    use heatlens_graph::op::pool::MaxPool;
    use heatlens_graph::op::window::Window;
    use heatlens_graph::rewrite::batch_statistics::with_batch_statistics;
    use heatlens_graph::rewrite::simplify;
    use heatlens_graph::{Builder, DefaultRules, Fact, Graph, Shape, Tensor, ValueId, differentiate};

    use crate::program::Program;

    fn numbers(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919) % 1009) as f32 / 500.0 - 0.9).collect()
    }

    /// Two blocks of convolution, normalisation, ReLU and pooling, and the gradients of both kernels.
    fn training() -> Graph {
        let mut graph = Graph::new("net");
        let mut x = graph.add_input("x", Fact::f32(Shape::batched(&[1, 22, 18])));
        let mut kernels: Vec<ValueId> = Vec::new();
        for (inputs, outputs) in [(1, 8), (8, 16)] {
            let mut add = |name: &str, shape: &[usize]| {
                graph.add_constant(name, Tensor::f32(shape, numbers(shape.iter().product())))
            };
            let kernel = add("kernel", &[outputs, inputs, 3, 3]);
            let parts = ["scale", "bias", "mean", "variance"].map(|name| add(name, &[outputs]));
            let mut b = Builder::new(&mut graph, "n");
            let conv = Conv { window: Window::new(&[3, 3]).pads(&[1, 1]), group: 1 };
            x = b.apply(conv, &[x, kernel]).unwrap();
            let [scale, bias, mean, variance] = parts;
            x = b.apply(BatchNormalization { epsilon: 1e-3 }, &[x, scale, bias, mean, variance]).unwrap();
            x = b.relu(x).unwrap();
            let pool = MaxPool { window: Window::new(&[2, 2]).strides(&[2, 2]), ceil_mode: false };
            x = b.apply(pool, &[x]).unwrap();
            kernels.push(kernel);
        }
        graph.set_outputs(&[x]);
        let mut training = with_batch_statistics(&graph).unwrap();
        let (y, kernels) = (training.map[x.index()], [0, 1].map(|i| training.map[kernels[i].index()]));
        kernels.iter().for_each(|&kernel| training.graph.make_input(kernel));
        let seed = training.graph.add_input("seed", Fact::f32(Shape::batched(&[16, 5, 4])));
        let gradients = differentiate(&mut training.graph, "d", y, seed, &kernels, &DefaultRules).unwrap();
        simplify(&training.graph, &gradients).unwrap().graph
    }

    #[test]
    fn computing_again_keeps_less_and_the_bits() {
        let (graph, n) = (training(), 9);
        let feeds: Vec<Vec<f32>> =
            graph.inputs().iter().map(|&i| numbers(graph.fact(i).shape.at(n).iter().product())).collect();
        let feeds: Vec<&[f32]> = feeds.iter().map(Vec::as_slice).collect();
        let per_sample = || graph.values().iter().map(|v| v.fact.shape.has_batch()).collect();
        let plain = Program::of(&graph, crate::lower::lower(&graph, per_sample()).unwrap()).unwrap();
        let program = Program::compile(&graph).unwrap();
        let kept = |program: &Program| program.plan.kept.iter().sum::<usize>();
        // Of the first block, only a quarter of an image of 8 channels: its maxima, or their gradient.
        assert!(2 * kept(&program) < kept(&plain), "{} of {}", kept(&program), kept(&plain));
        let bits = |program: &Program| -> Vec<Vec<u32>> {
            let found = program.run(&feeds, n).unwrap();
            found.iter().map(|values| values.iter().map(|v| v.to_bits()).collect()).collect()
        };
        assert_eq!(bits(&program), bits(&plain));
    }
}
