//! Measurements of a model and its explanations.

use std::time::Duration;

use serde_json::{Value, json};

use super::{OperatorTime, StepTime, Timing, by_operator, instruction_set, peak_flops};
use crate::explain::{ExplainError, ExplainOptions, Explainer};
use crate::method::Method;
use crate::model::Model;
use crate::predict::Predictor;

/// Maximum number of operators and of nodes listed.
const LISTED: usize = 10;

/// Times of the forward pass and of explanations on this machine, together with properties of the machine (threads,
/// instruction set, peak performance).
#[derive(Clone, Debug)]
pub struct BenchReport {
    /// Batch size.
    pub batch_size: usize,
    /// Number of timed runs, after one to warm up.
    pub repeat: usize,
    /// Peak floating-point operations per second of all threads together.
    pub peak: f64,
    /// The forward pass, followed by the methods, one by one and together.
    pub rows: Vec<Row>,
}

/// Measurements of one kind of work.
#[derive(Clone, Debug)]
pub struct Row {
    /// `forward pass`, a method's id, or `together`.
    pub name: String,
    /// Duration of a batch.
    pub timing: Timing,
    /// Kernels of the shared program, for the whole batch.
    pub steps: Vec<StepTime>,
    /// Buffer size per image in bytes.
    pub bytes_per_image: u128,
}

impl Row {
    /// Returns the number of floating-point operations per batch.
    #[must_use]
    pub fn flops(&self) -> u64 {
        self.steps.iter().map(|s| s.flops).sum()
    }

    /// Returns the floating-point operations per second.
    #[must_use]
    pub fn speed(&self) -> f64 {
        self.flops() as f64 / self.timing.median().as_secs_f64()
    }
}

/// Measures the model and the methods of `options`, one by one and together, on `batch_size` images of noise. If some
/// methods may not apply (`options.skip_inapplicable`), they are measured together only.
///
/// # Errors
/// If an operator has no kernel or a method does not apply.
pub fn measure(
    model: &Model,
    options: &ExplainOptions,
    batch_size: usize,
    repeat: usize,
) -> Result<BenchReport, ExplainError> {
    let images = noise(model, batch_size);
    let predictor = Predictor::new(model)?;
    let mut rows = vec![Row {
        name: "forward pass".to_owned(),
        timing: Timing::of(repeat, || predictor.logits(&images, batch_size).map(drop))?,
        steps: predictor.profile(&images, batch_size)?,
        bytes_per_image: predictor.bytes_per_image(),
    }];
    let mut explained = |name: &str, methods: &[&'static Method]| {
        let explainer =
            Explainer::new(model, &ExplainOptions { methods: methods.to_vec(), ..options.clone() })?;
        rows.push(Row {
            name: name.to_owned(),
            timing: Timing::of(repeat, || explainer.explain(&images, batch_size).map(drop))?,
            steps: explainer.profile(&images, batch_size)?,
            bytes_per_image: explainer.bytes_per_image(),
        });
        Ok::<_, ExplainError>(())
    };
    let alone = if options.skip_inapplicable { &[][..] } else { &options.methods };
    alone.iter().try_for_each(|method| explained(method.id, &[method]))?;
    if options.methods.len() > 1 {
        explained("together", &options.methods)?;
    }
    Ok(BenchReport { batch_size, repeat, peak: peak_flops(), rows })
}

/// Returns images of noise; their content does not affect the time.
fn noise(model: &Model, n: usize) -> Vec<f32> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from((state >> 16) as u16) / 65_535.0
    };
    (0..n * model.shape().iter().product::<usize>()).map(|_| next()).collect()
}

/// Converts a duration to milliseconds.
fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn percent(part: Duration, whole: Duration) -> f64 {
    100.0 * part.as_secs_f64() / whole.as_secs_f64().max(f64::MIN_POSITIVE)
}

impl BenchReport {
    /// Returns the report as text; operators and nodes are those of the last row.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = vec![
            format!(
                "machine  {} threads, {}, at most {:.0} GFLOP/s together (measured)",
                rayon::current_num_threads(),
                instruction_set(),
                self.peak / 1e9
            ),
            format!("images   {} at a time, {} runs after one to warm up", self.batch_size, self.repeat),
        ];
        lines.extend(self.row_lines());
        if let Some(last) = self.rows.last() {
            lines.extend(self.operator_lines(last));
            lines.extend(slowest_lines(last));
        }
        lines.join("\n")
    }

    fn row_lines(&self) -> Vec<String> {
        let column = self.rows.iter().map(|r| r.name.chars().count()).max().unwrap_or(0).max(12);
        let mut lines = vec![format!(
            "\n{:<column$} {:>10} {:>8} {:>8} {:>10} {:>7} {:>8} {:>8} {:>8}",
            "", "median ms", "fastest", "slowest", "per image", "GFLOP", "GFLOP/s", "of peak", "buffers"
        )];
        lines.extend(self.rows.iter().map(|row| {
            let [median, fastest, slowest] =
                [row.timing.median(), row.timing.fastest(), row.timing.slowest()].map(ms);
            format!(
                "{:<column$} {median:>10.2} {fastest:>8.2} {slowest:>8.2} {:>10.2} {:>7.2} {:>8.1} {:>6.0} % {:>5} MiB",
                row.name,
                median / self.batch_size as f64,
                row.flops() as f64 / 1e9,
                row.speed() / 1e9,
                100.0 * row.speed() / self.peak,
                row.bytes_per_image >> 20,
            )
        }));
        lines
    }

    fn operator_lines(&self, row: &Row) -> Vec<String> {
        let whole: Duration = row.steps.iter().map(|s| s.time).sum();
        let operators = by_operator(&row.steps);
        let (first, others) = operators.split_at(operators.len().min(LISTED));
        let mut lines = vec![format!("\ntime by operator ({})", row.name)];
        for OperatorTime { op, nodes, time, flops } in first {
            let speed = *flops as f64 / time.as_secs_f64().max(f64::MIN_POSITIVE);
            let speed = match flops {
                0 => String::new(),
                _ => format!(" {:>7.1} GFLOP/s, {:.0} % of peak", speed / 1e9, 100.0 * speed / self.peak),
            };
            let (time, share) = (ms(*time), percent(*time, whole));
            lines.push(format!("  {op:<20} {nodes:>4} nodes {time:>9.2} ms {share:>4.0} %{speed}"));
        }
        if !others.is_empty() {
            let time: Duration = others.iter().map(|o| o.time).sum();
            let (name, more, share) = ("others", others.len(), percent(time, whole));
            lines.push(format!("  {name:<20} {more:>4} kinds {:>9.2} ms {share:>4.0} %", ms(time)));
        }
        lines
    }

    /// Returns the report as JSON, with times in milliseconds.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let operator =
            |o: OperatorTime| json!({"op": o.op, "nodes": o.nodes, "ms": ms(o.time), "flops": o.flops});
        let row = |row: &Row| {
            json!({
                "name": row.name,
                "median_ms": ms(row.timing.median()),
                "fastest_ms": ms(row.timing.fastest()),
                "slowest_ms": ms(row.timing.slowest()),
                "flops": row.flops(),
                "bytes_per_image": u64::try_from(row.bytes_per_image).unwrap_or(u64::MAX),
                "operators": by_operator(&row.steps).into_iter().map(operator).collect::<Vec<_>>(),
            })
        };
        json!({
            "threads": rayon::current_num_threads(),
            "instruction_set": instruction_set(),
            "peak_flops": self.peak,
            "batch_size": self.batch_size,
            "repeat": self.repeat,
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }
}

fn slowest_lines(row: &Row) -> Vec<String> {
    let whole: Duration = row.steps.iter().map(|s| s.time).sum();
    let mut steps: Vec<&StepTime> = row.steps.iter().collect();
    steps.sort_by_key(|s| std::cmp::Reverse(s.time));
    let line = |step: &&StepTime| {
        format!(
            "  {:>9.2} ms {:>4.0} % {:<16} {}",
            ms(step.time),
            percent(step.time, whole),
            step.op,
            step.node
        )
    };
    std::iter::once("\nslowest nodes".to_owned()).chain(steps.iter().take(LISTED).map(line)).collect()
}
