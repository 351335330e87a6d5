//! Time of every step of a training pass, forward and backward, through ONNX files of classifiers with one image input, such
//! as `heatlens train` writes. `cargo bench -p heatlens-cpu --bench training -- ISA THREADS BATCH REPEAT FILE…`.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::path::Path;
use std::time::{Duration, Instant};

use heatlens_cpu::Program;
use heatlens_graph::op::Kind;
use heatlens_graph::rewrite::batch_statistics::with_batch_statistics;
use heatlens_graph::rewrite::simplify;
use heatlens_graph::{Builder, DefaultRules, Graph, Origin, ValueId, differentiate};

/// Returns the program of the gradients of Σ z² for the scores z before the last node, and arrays for its inputs.
fn training(network: &Graph, batch: usize) -> (Program, Vec<Vec<f32>>) {
    let last = network.node(network.producer(network.outputs()[0]).unwrap());
    let scores = last.inputs[0].unwrap();
    let training = with_batch_statistics(network).unwrap();
    let mut graph = training.graph;
    let trained =
        |kind: Kind<'_>| matches!(kind, Kind::Conv(_) | Kind::Gemm(_) | Kind::BatchNormalization(_));
    let of = |node: &heatlens_graph::Node| node.inputs[1..node.inputs.len().min(3)].to_vec();
    let nodes = network.nodes().iter().filter(|node| trained(node.op.kind()));
    let parameters: Vec<ValueId> = nodes.flat_map(of).flatten().map(|v| training.map[v.index()]).collect();
    let values: Vec<Vec<f32>> =
        parameters.iter().map(|&p| graph.constant(p).unwrap().as_f32().unwrap().to_vec()).collect();
    parameters.iter().for_each(|&p| graph.make_input(p));
    let scores = training.map[scores.index()];
    let mut b = Builder::new(&mut graph, "loss");
    let square = b.mul(scores, scores).unwrap();
    let loss = b.sum(square, &[0, 1], false).unwrap();
    let one = b.scalar(1.0);
    let gradients = differentiate(&mut graph, "gradient", loss, one, &parameters, &DefaultRules).unwrap();
    let names: Vec<String> = parameters.iter().map(|&p| graph.value(p).name.clone()).collect();
    let graph = simplify(&graph, &gradients).unwrap().graph;
    let feed = |&input: &ValueId| {
        let value = graph.value(input);
        match names.iter().position(|name| *name == value.name) {
            Some(parameter) => values[parameter].clone(),
            None if value.fact.shape.rank() == 0 => vec![1.0 / batch as f32],
            None => {
                let len: usize = value.fact.shape.at(batch).iter().product();
                (0..len).map(|i| ((i * 7919) % 1009) as f32 / 500.0 - 1.0).collect()
            }
        }
    };
    debug_assert!(graph.inputs().iter().all(|&i| matches!(graph.value(i).origin, Origin::Input)));
    let feeds = graph.inputs().iter().map(feed).collect();
    (Program::compile(&graph).unwrap(), feeds)
}

fn measure(file: &str, batch: usize, repeat: usize) {
    let (program, feeds) = training(&heatlens_graph::onnx::read_file(Path::new(file)).unwrap(), batch);
    let feeds: Vec<&[f32]> = feeds.iter().map(Vec::as_slice).collect();
    let fastest = (0..=repeat).map(|_| {
        let start = Instant::now();
        program.run(&feeds, batch).unwrap();
        start.elapsed()
    });
    let (fastest, n) = (fastest.min().unwrap(), u32::try_from(batch).unwrap());
    println!(
        "{file}: {:?} for each of {n} images, {} KiB kept for each",
        fastest / n,
        program.bytes_per_sample() >> 10
    );
    let runs: Vec<_> = (0..=repeat).map(|_| program.profile(&feeds, batch).unwrap()).collect();
    for (i, step) in runs[0].iter().enumerate() {
        let time = runs.iter().map(|run| run[i].time).min().unwrap() / n;
        if time > Duration::from_micros(2) {
            let rate = step.flops as f64 / f64::from(n) / time.as_secs_f64() / 1e9;
            println!("  {time:10.1?} {rate:7.1} GFLOP/s  {:16} {}", step.op, step.node);
        }
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let [isa, threads, batch, repeat, files @ ..] = words.as_slice() else { return };
    heatlens_cpu::pin_instruction_set(isa).unwrap();
    rayon::ThreadPoolBuilder::new().num_threads(threads.parse().unwrap()).build_global().unwrap();
    files.iter().for_each(|file| measure(file, batch.parse().unwrap(), repeat.parse().unwrap()));
}
