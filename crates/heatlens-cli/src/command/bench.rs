//! `heatlens bench`: how fast a model and its explanations run on this machine.

use std::time::{Duration, Instant};

use heatlens::bench::{OperatorTime, StepTime, Timing, by_operator, instruction_set, peak_flops};
use heatlens::explain::{ExplainOptions, Explainer};
use heatlens::method::Method;
use heatlens::model::Model;
use heatlens::predict::Predictor;
use serde_json::{Value, json};

use crate::arguments::Bench;
use crate::command::{explain, open};
use crate::failure::Failure;
use crate::output;

/// Operators and nodes that are listed, at most.
const LISTED: usize = 10;

/// What was measured of one kind of work.
struct Row {
    name: String,
    timing: Timing,
    /// Kernels of the shared program, for the whole batch.
    steps: Vec<StepTime>,
    bytes: u128,
}

impl Row {
    fn flops(&self) -> u64 {
        self.steps.iter().map(|s| s.flops).sum()
    }

    /// Floating-point operations a second.
    fn speed(&self) -> f64 {
        self.flops() as f64 / self.timing.median().as_secs_f64()
    }
}

pub(crate) fn run(options: &Bench) -> Result<(), Failure> {
    let start = Instant::now();
    let model = open::ports(&options.model, &options.ports)?;
    let opened = start.elapsed();
    let methods = match options.method.as_slice() {
        [] => heat_map(&model),
        named => explain::methods(named)?,
    };
    let each = options.method != ["all"];
    let images = images(&model, options.batch_size);
    let mut rows = vec![forward(&model, &images, options)?];
    for method in methods.iter().filter(|_| each) {
        rows.push(explained(&model, &images, options, &[method], method.id.to_owned())?);
    }
    if methods.len() > 1 {
        rows.push(explained(&model, &images, options, &methods, "together".to_owned())?);
    }
    let peak = peak_flops();
    if options.json {
        output::line(serde_json::to_string_pretty(&as_json(options, opened, peak, &rows))?);
        return Ok(());
    }
    print_machine(options, opened, peak);
    print_rows(&rows, options.batch_size, peak);
    if let Some(last) = rows.last() {
        print_operators(last, peak);
        print_slowest(last);
    }
    Ok(())
}

/// The first of the methods that `explain` takes if none is named.
fn heat_map(model: &Model) -> Vec<&'static Method> {
    let mut options = ExplainOptions::new(&[]);
    options.take_default_methods(model).iter().for_each(output::note);
    options.methods.into_iter().take(1).collect()
}

/// Images of noise: what they show does not change the time.
fn images(model: &Model, n: usize) -> Vec<f32> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from((state >> 16) as u16) / 65_535.0
    };
    (0..n * model.shape().iter().product::<usize>()).map(|_| next()).collect()
}

fn forward(model: &Model, images: &[f32], options: &Bench) -> Result<Row, Failure> {
    let (predictor, n) = (Predictor::new(model)?, options.batch_size);
    let timing = Timing::of(options.repeat, || predictor.logits(images, n).map(drop))?;
    let (steps, bytes) = (predictor.profile(images, n)?, predictor.bytes_per_image());
    Ok(Row { name: "forward pass".to_owned(), timing, steps, bytes })
}

fn explained(
    model: &Model,
    images: &[f32],
    options: &Bench,
    methods: &[&'static Method],
    name: String,
) -> Result<Row, Failure> {
    let asked =
        ExplainOptions { skip_inapplicable: options.method == ["all"], ..ExplainOptions::new(methods) };
    let (explainer, n) = (Explainer::new(model, &asked)?, options.batch_size);
    let timing = Timing::of(options.repeat, || explainer.explain(images, n).map(drop))?;
    let (steps, bytes) = (explainer.profile(images, n)?, explainer.bytes_per_image());
    Ok(Row { name, timing, steps, bytes })
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn print_machine(options: &Bench, opened: Duration, peak: f64) {
    let threads = rayon::current_num_threads();
    output::line(format!("model    {}, opened in {:.0} ms", options.model.display(), milliseconds(opened)));
    output::line(format!(
        "machine  {threads} threads, {}, at most {:.0} GFLOP/s together (measured)",
        instruction_set(),
        peak / 1e9
    ));
    output::line(format!(
        "images   {} at a time, {} runs after one to warm up",
        options.batch_size, options.repeat
    ));
}

fn print_rows(rows: &[Row], batch: usize, peak: f64) {
    let column = rows.iter().map(|r| r.name.chars().count()).max().unwrap_or(0).max(12);
    output::line(format!(
        "\n{:<column$} {:>10} {:>8} {:>8} {:>10} {:>7} {:>8} {:>8} {:>8}",
        "", "median ms", "fastest", "slowest", "per image", "GFLOP", "GFLOP/s", "of peak", "buffers"
    ));
    for row in rows {
        let timing = &row.timing;
        output::line(format!(
            "{:<column$} {:>10.2} {:>8.2} {:>8.2} {:>10.2} {:>7.2} {:>8.1} {:>6.0} % {:>5} MiB",
            row.name,
            milliseconds(timing.median()),
            milliseconds(timing.fastest()),
            milliseconds(timing.slowest()),
            milliseconds(timing.median()) / batch as f64,
            row.flops() as f64 / 1e9,
            row.speed() / 1e9,
            100.0 * row.speed() / peak,
            row.bytes >> 20,
        ));
    }
}

fn share(part: Duration, whole: Duration) -> f64 {
    100.0 * part.as_secs_f64() / whole.as_secs_f64().max(f64::MIN_POSITIVE)
}

fn print_operators(row: &Row, peak: f64) {
    let whole: Duration = row.steps.iter().map(|s| s.time).sum();
    output::line(format!("\ntime by operator ({})", row.name));
    let operators = by_operator(&row.steps);
    for OperatorTime { op, nodes, time, flops } in operators.iter().take(LISTED) {
        let speed = *flops as f64 / time.as_secs_f64().max(f64::MIN_POSITIVE);
        let speed = match flops {
            0 => String::new(),
            _ => format!("{:>7.1} GFLOP/s, {:.0} % of peak", speed / 1e9, 100.0 * speed / peak),
        };
        let line = format!(
            "  {op:<20} {nodes:>4} nodes {:>9.2} ms {:>4.0} % {speed}",
            milliseconds(*time),
            share(*time, whole)
        );
        output::line(line.trim_end());
    }
    if operators.len() > LISTED {
        let rest: Duration = operators.iter().skip(LISTED).map(|o| o.time).sum();
        let (name, more) = ("others", operators.len() - LISTED);
        output::line(format!(
            "  {name:<20} {more:>4} kinds {:>9.2} ms {:>4.0} %",
            milliseconds(rest),
            share(rest, whole)
        ));
    }
}

fn print_slowest(row: &Row) {
    let whole: Duration = row.steps.iter().map(|s| s.time).sum();
    let mut steps: Vec<&StepTime> = row.steps.iter().collect();
    steps.sort_by_key(|s| std::cmp::Reverse(s.time));
    output::line("\nslowest nodes");
    for step in steps.iter().take(LISTED) {
        output::line(format!(
            "  {:>9.2} ms {:>4.0} % {:<16} {}",
            milliseconds(step.time),
            share(step.time, whole),
            step.op,
            step.node
        ));
    }
}

fn as_json(options: &Bench, opened: Duration, peak: f64, rows: &[Row]) -> Value {
    let operators = |row: &Row| -> Vec<Value> {
        let operators = by_operator(&row.steps).into_iter();
        operators
            .map(|o| json!({"op": o.op, "nodes": o.nodes, "ms": milliseconds(o.time), "flops": o.flops}))
            .collect()
    };
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "name": row.name,
                "median_ms": milliseconds(row.timing.median()),
                "fastest_ms": milliseconds(row.timing.fastest()),
                "slowest_ms": milliseconds(row.timing.slowest()),
                "flops": row.flops(),
                "bytes_per_image": u64::try_from(row.bytes).unwrap_or(u64::MAX),
                "operators": operators(row),
            })
        })
        .collect();
    json!({
        "model": options.model.display().to_string(),
        "opened_ms": milliseconds(opened),
        "threads": rayon::current_num_threads(),
        "instruction_set": instruction_set(),
        "peak_flops": peak,
        "batch_size": options.batch_size,
        "repeat": options.repeat,
        "rows": rows,
    })
}
