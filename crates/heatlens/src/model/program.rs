//! Compiled networks that take any number of images, whatever the batch size of the file.

use std::borrow::Cow;

use heatlens_cpu::{CompileError, ExecutionError, Program, StepTime};
use heatlens_graph::rewrite::simplify;
use heatlens_graph::{Dim, Graph, GraphError, ValueId};
use thiserror::Error;

/// Error on compiling or running a program.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// A constant expression cannot be computed.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// An operator has no kernel.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The inputs do not fit.
    #[error(transparent)]
    Run(#[from] ExecutionError),
}

/// A compiled graph whose first input is an image (or a layer). A file with a fixed batch size B runs in groups of B,
/// and the last group is filled up with copies of the last image.
#[derive(Debug)]
pub(crate) struct ImageProgram {
    program: Program,
    /// Number of images in a group; 1 if the batch size is open.
    group: usize,
}

impl ImageProgram {
    /// Compiles the part of the graph needed by `outputs`, each of which has the batch as its first axis.
    pub(crate) fn compile(graph: &Graph, image: ValueId, outputs: &[ValueId]) -> Result<Self, ProgramError> {
        let simple = simplify(graph, outputs)?.graph;
        Ok(match graph.fact(image).shape.0.first() {
            Some(&Dim::Fixed(group)) => {
                Self { program: Program::compile_in_groups(&simple)?, group: group.max(1) }
            }
            _ => Self { program: Program::compile(&simple)?, group: 1 },
        })
    }

    /// Runs `n` images, stored one after the other like all other inputs. Returns the outputs in order, with `n` rows
    /// each.
    pub(crate) fn run(&self, feeds: &[&[f32]], n: usize) -> Result<Vec<Vec<f32>>, ProgramError> {
        let (padded, groups) = self.in_groups(feeds, n);
        let padded: Vec<&[f32]> = padded.iter().map(Cow::as_ref).collect();
        let mut outputs = self.program.run(&padded, groups)?;
        for output in &mut outputs {
            output.truncate(output.len() / (groups * self.group).max(1) * n);
        }
        Ok(outputs)
    }

    /// Runs `n` images and returns the time of each kernel.
    pub(crate) fn profile(&self, feeds: &[&[f32]], n: usize) -> Result<Vec<StepTime>, ProgramError> {
        let (padded, groups) = self.in_groups(feeds, n);
        let padded: Vec<&[f32]> = padded.iter().map(Cow::as_ref).collect();
        Ok(self.program.profile(&padded, groups)?)
    }

    /// Returns the bytes used per image while running, without weights.
    pub(crate) fn bytes_per_image(&self) -> u128 {
        self.program.bytes_per_sample() / self.group as u128
    }

    /// Returns the inputs, filled up to whole groups, and the number of groups.
    fn in_groups<'a>(&self, feeds: &[&'a [f32]], n: usize) -> (Vec<Cow<'a, [f32]>>, usize) {
        let groups = n.div_ceil(self.group);
        (feeds.iter().map(|feed| fill_up(feed, n, groups * self.group)).collect(), groups)
    }
}

/// Repeats the last image until there are `wanted`.
fn fill_up(pixels: &[f32], n: usize, wanted: usize) -> Cow<'_, [f32]> {
    let len = pixels.len() / n.max(1);
    let mut filled = Cow::Borrowed(pixels);
    for _ in n..wanted {
        filled.to_mut().extend_from_slice(&pixels[pixels.len() - len..]);
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;
    use heatlens_graph::{Builder, Fact, Shape};

    /// Returns the network x·2 + Σ x over the image, for images of 3 numbers.
    fn network(shape: Shape) -> (Graph, ValueId, ValueId) {
        let mut graph = Graph::new("net");
        let x = graph.add_input("x", Fact::f32(shape));
        let mut b = Builder::new(&mut graph, "f");
        let twice = b.scale(x, 2.0).unwrap();
        let sum = b.sum(x, &[1], true).unwrap();
        let y = b.add(twice, sum).unwrap();
        (graph, x, y)
    }

    #[test]
    fn a_fixed_batch_gives_what_an_open_one_gives() {
        let pixels: Vec<f32> = (0u8..15).map(f32::from).collect();
        let run = |shape: Shape, n: usize| {
            let (graph, x, y) = network(shape);
            ImageProgram::compile(&graph, x, &[y]).unwrap().run(&[&pixels[..3 * n]], n).unwrap()
        };
        for n in 0..=5 {
            let expected = run(Shape::batched(&[3]), n);
            assert_eq!(expected[0].len(), 3 * n);
            for group in [1, 2, 4] {
                assert_eq!(run(Shape::fixed(&[group, 3]), n), expected, "{n} images in groups of {group}");
            }
        }
    }
}
