//! Fastest time of every step of ONNX files with one image input of 3×224×224, by operator, and the time of whole passes
//! (median and fastest): the sum is what a pass takes on a machine that does nothing else. With EACH=1 in the environment,
//! every step is listed. `cargo bench -p heatlens-cpu --bench steps -- ISA THREADS REPEAT FILE…`.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;

use heatlens_cpu::Program;

/// Milliseconds, operations and number of steps of an operator.
#[derive(Default)]
struct Total {
    ms: f64,
    flops: u64,
    steps: usize,
}

fn measure(file: &str, isa: &str, repeat: usize) {
    let graph = heatlens_graph::onnx::read_file(Path::new(file)).unwrap();
    let graph = heatlens_graph::rewrite::simplify(&graph, graph.outputs()).unwrap().graph;
    let program = Program::compile(&graph).unwrap();
    let x: Vec<f32> = (0..3 * 224 * 224).map(|i| ((i * 7919) % 1009) as f32 / 500.0 - 1.0).collect();
    let runs: Vec<_> = (0..=repeat).map(|_| program.profile(&[&x], 1).unwrap()).collect();
    let whole = (0..=repeat).map(|_| {
        let start = std::time::Instant::now();
        program.run(&[&x], 1).unwrap();
        start.elapsed()
    });
    let mut whole: Vec<_> = whole.map(|time| 1e3 * time.as_secs_f64()).collect();
    whole.sort_by(f64::total_cmp);
    let mut totals: BTreeMap<&str, Total> = BTreeMap::new();
    for (i, step) in runs[0].iter().enumerate() {
        let fastest = runs.iter().map(|run| run[i].time).min().unwrap_or_default();
        let total = totals.entry(step.op).or_default();
        total.ms += 1e3 * fastest.as_secs_f64();
        total.flops += step.flops;
        total.steps += 1;
    }
    let all: f64 = totals.values().map(|total| total.ms).sum();
    println!("{file}, {isa}: {all:.2} ms; a pass {:.2} ms, fastest {:.2}", whole[repeat / 2], whole[0]);
    if std::env::var_os("EACH").is_some() {
        for (i, step) in runs[0].iter().enumerate() {
            let fastest = runs.iter().map(|run| run[i].time).min().unwrap_or_default().as_secs_f64();
            println!(
                "STEP {:8.3} {:7.1} {:12} {}",
                1e3 * fastest,
                step.flops as f64 / fastest / 1e9,
                step.op,
                step.node
            );
        }
    }
    let mut totals: Vec<_> = totals.into_iter().collect();
    totals.sort_by(|a, b| b.1.ms.total_cmp(&a.1.ms));
    for (op, Total { ms, flops, steps }) in totals {
        println!("  {op:24} {steps:4} {ms:8.2} ms {:7.1} GFLOP/s", flops as f64 / ms / 1e6);
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let [isa, threads, repeat, files @ ..] = words.as_slice() else { return };
    heatlens_cpu::pin_instruction_set(isa).unwrap();
    rayon::ThreadPoolBuilder::new().num_threads(threads.parse().unwrap()).build_global().unwrap();
    files.iter().for_each(|file| measure(file, isa, repeat.parse().unwrap()));
}
