//! Plots as SVG.

use maud::{Markup, Render, html};

use crate::stats::MeanEstimate;
use crate::stats::calibration::ReliabilityBin;
use crate::stats::curve::Point;

/// Size of a plot and its margins, in SVG units.
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 36.0;
/// Maximum number of points drawn; longer curves are thinned out.
const MOST_POINTS: usize = 400;

/// Bins of fewer images are drawn hollow.
const FEW_IN_BIN: usize = 10;

/// One line of a plot.
pub(super) struct Line {
    pub(super) name: &'static str,
    /// CSS class, which sets colour and dashes.
    pub(super) class: &'static str,
    pub(super) values: Vec<Option<f64>>,
}

/// Values by epoch.
pub(super) struct LineChart {
    /// Accessible name.
    pub(super) name: &'static str,
    pub(super) lines: Vec<Line>,
    /// Range of the vertical axis; derived from the values if not given.
    pub(super) range: Option<(f64, f64)>,
    /// Epoch to mark, starting at 1.
    pub(super) marker: Option<usize>,
}

impl Render for LineChart {
    fn render(&self) -> Markup {
        let lines: Vec<&Line> = self.lines.iter().filter(|l| l.values.iter().any(usable)).collect();
        let epochs = lines.iter().map(|l| l.values.len()).max().unwrap_or(0);
        let values = || lines.iter().flat_map(|l| &l.values).copied().flatten().filter(|v| v.is_finite());
        let high = values().fold(f64::NEG_INFINITY, f64::max);
        let (low, high) = self.range.unwrap_or((0.0, if high > 0.0 { high * 1.05 } else { 1.0 }));
        let axes = Axes { x: (1.0, epochs.max(2) as f64), y: (low, high) };
        html! {
            svg.plot viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(self.name) {
                (axes.grid("epoch"))
                @if let Some(marker) = self.marker {
                    line.marker x1=(axes.at_x(marker as f64)) x2=(axes.at_x(marker as f64)) y1=(TOP) y2=(HEIGHT - BOTTOM) {}
                }
                @for line in &lines { path.line.(line.class) d=(axes.path(&line.values)) {} }
                @for (i, line) in lines.iter().enumerate() {
                    g transform={ "translate(" (LEFT + 110.0 * i as f64) " 14)" } {
                        path.line.(line.class) d="M0 0H24" {}
                        text x="30" y="4" { (line.name) }
                    }
                }
            }
        }
    }
}

#[expect(clippy::ref_option, reason = "as a filter over a slice wants it")]
fn usable(value: &Option<f64>) -> bool {
    value.is_some_and(f64::is_finite)
}

/// A curve in the unit square, such as ROC.
pub(super) struct UnitCurve<'a> {
    /// Accessible name.
    pub(super) name: &'a str,
    pub(super) points: &'a [Point],
    /// Labels of the horizontal and the vertical axis.
    pub(super) axes: [&'a str; 2],
    /// Ends of the reference line of an uninformative classifier.
    pub(super) reference: [(f64, f64); 2],
    /// Legend entries of the curve and the reference line.
    pub(super) legend: [&'a str; 2],
    /// Operating point at the threshold in use.
    pub(super) mark: Option<(f64, f64)>,
}

impl Render for UnitCurve<'_> {
    fn render(&self) -> Markup {
        let axes = Axes { x: (0.0, 1.0), y: (0.0, 1.0) };
        let at = |(x, y): (f64, f64)| point(axes.at_x(x), axes.at_y(y));
        let step = self.points.len().div_ceil(MOST_POINTS).max(1);
        let last = self.points.len().saturating_sub(1);
        let kept = self.points.iter().enumerate().filter(|(i, _)| i % step == 0 || *i == last);
        let path: Vec<String> = kept.map(|(_, p)| at((p.x, p.y))).collect();
        let [from, to] = self.reference;
        html! {
            svg.plot viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(self.name) {
                (axes.grid(self.axes[0]))
                text.tick x=(LEFT) y=(TOP - 8.0) { (self.axes[1]) }
                path.line.ideal d={ "M" (at(from)) "L" (at(to)) } {}
                path.line.c1 d={ "M" (path.join("L")) } {}
                @if let Some(mark) = self.mark {
                    circle.ring cx=(round(axes.at_x(mark.0))) cy=(round(axes.at_y(mark.1))) r="6" {}
                }
                g transform={ "translate(" (LEFT + 100.0) " 8)" } {
                    path.line.c1 d="M0 0H20" {} text x="25" y="4" { (self.legend[0]) }
                    path.line.ideal d="M76 0H96" {} text x="101" y="4" { (self.legend[1]) }
                    circle.ring cx="168" cy="0" r="5" {} text x="178" y="4" { "threshold 0.5" }
                }
            }
        }
    }
}

/// A reliability diagram: accuracy by confidence.
pub(super) struct Reliability<'a> {
    pub(super) bins: &'a [ReliabilityBin],
}

impl Render for Reliability<'_> {
    fn render(&self) -> Markup {
        let low = self.bins.iter().map(|b| b.confidence.min(b.accuracy.low)).fold(1.0, f64::min);
        let low = (low * 10.0).floor() / 10.0;
        let axes = Axes { x: (low, 1.0), y: (low, 1.0) };
        let points: Vec<String> = self
            .bins
            .iter()
            .map(|b| {
                format!(
                    "confidence {:.2}: accuracy {:.2} of {} images",
                    b.confidence, b.accuracy.mean, b.images
                )
            })
            .collect();
        html! {
            svg.plot viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label={ "Reliability diagram. " (points.join("; ")) } {
                (axes.grid("confidence"))
                path.line.ideal d={ "M" (point(axes.at_x(low), axes.at_y(low))) "L" (point(axes.at_x(1.0), axes.at_y(1.0))) } {}
                @for bin in self.bins {
                    path.error d={ "M" (point(axes.at_x(bin.confidence), axes.at_y(bin.accuracy.low))) "V" (round(axes.at_y(bin.accuracy.high))) } {}
                    circle.dot.hollow[bin.images < FEW_IN_BIN] cx=(round(axes.at_x(bin.confidence))) cy=(round(axes.at_y(bin.accuracy.mean))) r="4" {}
                }
                g transform={ "translate(" (LEFT) " 14)" } {
                    circle.dot cx="8" cy="0" r="4" {}
                    text x="20" y="4" { "accuracy" }
                }
                g transform={ "translate(" (LEFT + 190.0) " 14)" } {
                    path.line.ideal d="M0 0H24" {}
                    text x="30" y="4" { "perfect calibration" }
                }
            }
        }
    }
}

/// A mean with its interval, in a cell of a table.
pub(super) struct IntervalBar {
    pub(super) cell: MeanEstimate,
    /// True if the value is a share, shown in per cent.
    pub(super) percent: bool,
    pub(super) range: (f64, f64),
}

impl Render for IntervalBar {
    fn render(&self) -> Markup {
        let (low, high) = self.range;
        let span = if high > low { high - low } else { 1.0 };
        let at = |v: f64| round(4.0 + 92.0 * ((v - low) / span).clamp(0.0, 1.0));
        let MeanEstimate { mean, low: from, high: to, .. } = self.cell;
        let text = |v: f64| if self.percent { format!("{:.0} %", 100.0 * v) } else { format!("{v:.3}") };
        let whole =
            if from < to { format!("{} ({} to {})", text(mean), text(from), text(to)) } else { text(mean) };
        html! {
            span.value { (text(mean)) }
            svg.interval viewBox="0 0 100 14" role="img" aria-label=(whole) {
                title { (whole) }
                path.zero d={ "M" (at(0.0)) " 1V13" } {}
                path.error d={ "M" (at(from)) " 7H" (at(to)) } {}
                circle.dot cx=(at(mean)) cy="7" r="3.5" {}
            }
        }
    }
}

/// The ranges of both axes.
struct Axes {
    x: (f64, f64),
    y: (f64, f64),
}

impl Axes {
    fn at_x(&self, x: f64) -> f64 {
        LEFT + (x - self.x.0) / (self.x.1 - self.x.0).max(f64::MIN_POSITIVE) * (WIDTH - LEFT - RIGHT)
    }

    fn at_y(&self, y: f64) -> f64 {
        let share = ((y - self.y.0) / (self.y.1 - self.y.0).max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
        HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
    }

    /// Renders grid lines and tick labels.
    fn grid(&self, x_name: &str) -> Markup {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        html! {
            @for tick in ticks(self.y) {
                line.grid x1=(LEFT) x2=(right) y1=(round(self.at_y(tick.0))) y2=(round(self.at_y(tick.0))) {}
                text.tick.end x=(LEFT - 7.0) y=(round(self.at_y(tick.0) + 4.0)) { (tick.1) }
            }
            @for tick in ticks(self.x) {
                text.tick.middle x=(round(self.at_x(tick.0))) y=(bottom + 16.0) { (tick.1) }
            }
            text.tick.end x=(right) y=(HEIGHT - 4.0) { (x_name) }
        }
    }

    /// Returns the path through the values at x = 1, 2, 3 and so on, with gaps at missing values.
    fn path(&self, values: &[Option<f64>]) -> String {
        let step = values.len().div_ceil(MOST_POINTS).max(1);
        let mut path = String::new();
        let mut pen_down = false;
        for (i, value) in values.iter().enumerate() {
            let Some(value) = value.filter(|v| v.is_finite()) else {
                pen_down = false;
                continue;
            };
            if i % step == 0 || i + 1 == values.len() {
                path.push(if pen_down { 'L' } else { 'M' });
                path.push_str(&point(self.at_x(i as f64 + 1.0), self.at_y(value)));
                pen_down = true;
            }
        }
        path
    }
}

/// Rounds a coordinate to one decimal.
fn round(v: f64) -> f64 {
    (v * 10.0).round() / 10.0
}

fn point(x: f64, y: f64) -> String {
    format!("{} {}", round(x), round(y))
}

/// Returns about five round numbers within a range, with their labels.
fn ticks((low, high): (f64, f64)) -> Vec<(f64, String)> {
    let span = high - low;
    if !(span > 0.0 && span.is_finite()) {
        return Vec::new();
    }
    let power = 10.0_f64.powf((span / 5.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| span / s <= 6.0).unwrap_or(span);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of digits")]
    let digits = (-step.log10().floor()).max(0.0) as usize;
    #[expect(clippy::cast_possible_truncation, reason = "a few ticks")]
    let (first, last) = ((low / step).ceil() as i64, (high / step + 1e-9).floor() as i64);
    (first..=last).map(|i| (i as f64 * step, format!("{:.digits$}", i as f64 * step))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        let texts = |low, high| ticks((low, high)).into_iter().map(|t| t.1).collect::<Vec<_>>();
        assert_eq!(texts(0.0, 1.0), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(texts(1.0, 80.0), ["20", "40", "60", "80"]);
        assert_eq!(texts(0.0, 0.05), ["0.00", "0.01", "0.02", "0.03", "0.04", "0.05"]);
        assert!(texts(1.0, 1.0).is_empty() && texts(0.0, f64::NAN).is_empty());
    }

    #[test]
    fn a_line_breaks_where_a_value_is_missing() {
        let axes = Axes { x: (1.0, 3.0), y: (0.0, 1.0) };
        let path = axes.path(&[Some(0.0), None, Some(1.0)]);
        assert_eq!(path, "M46 214M406 34");
        let long: Vec<Option<f64>> = (0..100_000).map(|_| Some(0.5)).collect();
        assert!(axes.path(&long).matches('L').count() <= MOST_POINTS);
    }

    #[test]
    fn values_outside_of_numbers_draw_nothing() {
        let line = Line { name: "x", class: "c1", values: vec![Some(f64::NAN), Some(f64::INFINITY)] };
        let chart = LineChart { name: "x", lines: vec![line], range: None, marker: Some(1) };
        let text = chart.render().into_string();
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }
}
