//! Learning curves: the metrics of a training run by epoch.

use image::RgbImage;

use super::canvas::{INK, MUTED, PAPER, RULE, dashes, fill, line, paper};
use super::text::{draw_text, line_height, shorten, text_width};

const PANEL: [f32; 2] = [600.0, 400.0];
const TITLE: f32 = 24.0;
const TEXT: f32 = 15.0;
/// Margins around the axes within a panel: left, top, right, bottom.
const AROUND: [f32; 4] = [72.0, 70.0, 24.0, 56.0];
/// Colours distinguishable under any colour blindness (Okabe and Ito 2008): blue, vermilion, green, purple.
const COLORS: [[u8; 3]; 4] = [[0, 114, 178], [213, 94, 0], [0, 158, 115], [204, 121, 167]];

/// One line of a plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Name in the legend.
    pub name: String,
    /// One value per epoch, starting with the first; non-finite values are left out.
    pub values: Vec<f32>,
}

/// One pair of axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// Label of the vertical axis.
    pub title: String,
    /// Lines.
    pub curves: Vec<Curve>,
    /// A dashed reference level and its name, such as the accuracy of chance.
    pub reference: Option<(f32, String)>,
}

/// A learning curve of one or more panels side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct LearningCurve {
    /// Title, such as the name of the run.
    pub title: String,
    /// The panels, usually loss and accuracy.
    pub panels: Vec<Panel>,
    /// An epoch (starting at 1) to mark in every panel and its name, such as the epoch whose weights were saved.
    pub mark: Option<(usize, String)>,
}

impl LearningCurve {
    /// Draws the plot; each panel takes 600 × 400 pixels.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes of a picture")]
    pub fn draw(&self) -> RgbImage {
        let count = self.panels.len().max(1);
        let head = 24.0 + line_height(TITLE);
        let mut picture = paper((PANEL[0] * count as f32) as u32, (PANEL[1] + head) as u32);
        let room = PANEL[0] * count as f32 - 2.0 * AROUND[2];
        draw_text(&mut picture, AROUND[2], 16.0, TITLE, INK, &shorten(&self.title, TITLE, room));
        for (place, panel) in self.panels.iter().enumerate() {
            Axes::of(panel, [place as f32 * PANEL[0], head]).draw(&mut picture, panel, self.mark.as_ref());
        }
        picture
    }
}

/// Transform from values to positions in the picture.
struct Axes {
    left: f32,
    top: f32,
    right: f32,
    bottom: f32,
    epochs: usize,
    low: f32,
    high: f32,
}

impl Axes {
    fn of(panel: &Panel, [x, y]: [f32; 2]) -> Self {
        let values = panel.curves.iter().flat_map(|curve| curve.values.iter().copied());
        let shown =
            values.chain(panel.reference.iter().map(|(level, _)| *level)).filter(|value| value.is_finite());
        let (low, high) = shown.fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(v), high.max(v)));
        let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
        let pad = ((high - low) * 0.06).max(high.abs() * 1e-3).max(1e-6);
        Self {
            left: x + AROUND[0],
            top: y + AROUND[1],
            right: x + PANEL[0] - AROUND[2],
            bottom: y + PANEL[1] - AROUND[3],
            epochs: panel.curves.iter().map(|curve| curve.values.len()).max().unwrap_or(0).max(1),
            low: low - pad,
            high: high + pad,
        }
    }

    /// Returns the position of `value` at epoch `epoch` (starting at 1).
    fn point(&self, epoch: usize, value: f32) -> [f32; 2] {
        let inset = 12.0;
        let span = (self.epochs - 1).max(1) as f32;
        let x = self.left + inset + (self.right - self.left - 2.0 * inset) * (epoch.max(1) - 1) as f32 / span;
        [x, self.bottom - (self.bottom - self.top) * (value - self.low) / (self.high - self.low)]
    }

    fn draw(&self, picture: &mut RgbImage, panel: &Panel, mark: Option<&(usize, String)>) {
        self.draw_grid(picture);
        if let Some((epoch, _)) = mark
            && (1..=self.epochs).contains(epoch)
        {
            let x = self.point(*epoch, self.low)[0];
            dashes(picture, [x, self.bottom], [x, self.top], 1.2, MUTED);
        }
        if let Some((level, _)) = panel.reference.as_ref().filter(|(level, _)| level.is_finite()) {
            let y = self.point(1, *level)[1];
            dashes(picture, [self.left, y], [self.right, y], 1.6, MUTED);
        }
        for (curve, color) in panel.curves.iter().zip(COLORS.into_iter().cycle()) {
            self.draw_curve(picture, curve, color);
        }
        draw_text(picture, self.left, self.top - 62.0, 18.0, INK, &panel.title);
        self.draw_legend(picture, panel, mark);
    }

    fn draw_grid(&self, picture: &mut RgbImage) {
        for tick in value_ticks(self.low, self.high) {
            let y = self.point(1, tick.0)[1].round() + 0.5;
            line(picture, [self.left, y], [self.right, y], 1.0, RULE);
            let x = self.left - 10.0 - text_width(&tick.1, TEXT);
            draw_text(picture, x, y - line_height(TEXT) / 2.0, TEXT, MUTED, &tick.1);
        }
        line(picture, [self.left, self.bottom + 0.5], [self.right, self.bottom + 0.5], 1.0, MUTED);
        for epoch in epoch_ticks(self.epochs) {
            let x = self.point(epoch, self.low)[0].round() + 0.5;
            line(picture, [x, self.bottom], [x, self.bottom + 5.0], 1.0, MUTED);
            let label = epoch.to_string();
            draw_text(picture, x - text_width(&label, TEXT) / 2.0, self.bottom + 8.0, TEXT, MUTED, &label);
        }
        let middle = (self.left + self.right - text_width("epoch", TEXT)) / 2.0;
        draw_text(picture, middle, self.bottom + 30.0, TEXT, MUTED, "epoch");
    }

    fn draw_curve(&self, picture: &mut RgbImage, curve: &Curve, color: [u8; 3]) {
        let points: Vec<Option<[f32; 2]>> = (1..)
            .zip(&curve.values)
            .map(|(epoch, &value)| value.is_finite().then(|| self.point(epoch, value)))
            .collect();
        for pair in points.windows(2) {
            if let [Some(from), Some(to)] = *pair {
                line(picture, from, to, 2.4, color);
            }
        }
        if points.len() <= 40 {
            for point in points.into_iter().flatten() {
                line(picture, point, point, 9.0, PAPER);
                line(picture, point, point, 6.5, color);
            }
        }
    }

    /// Draws the legend in one row above the axes: a dash of each colour and its name.
    #[expect(clippy::cast_possible_truncation, reason = "positions within a picture")]
    fn draw_legend(&self, picture: &mut RgbImage, panel: &Panel, mark: Option<&(usize, String)>) {
        let y = self.top - 34.0;
        let middle = y + line_height(TEXT) / 2.0;
        let mut x = self.left;
        for (curve, color) in panel.curves.iter().zip(COLORS.into_iter().cycle()) {
            fill(picture, x as i32, middle as i32 - 1, 22, 3, color, 1.0);
            draw_text(picture, x + 28.0, y, TEXT, INK, &curve.name);
            x += 28.0 + text_width(&curve.name, TEXT) + 20.0;
        }
        let dashed =
            panel.reference.iter().map(|(_, name)| (name, true)).chain(mark.map(|(_, name)| (name, false)));
        for (name, level) in dashed {
            let (from, to) = if level {
                ([x, middle], [x + 22.0, middle])
            } else {
                ([x + 11.0, middle - 9.0], [x + 11.0, middle + 9.0])
            };
            dashes(picture, from, to, 1.6, MUTED);
            draw_text(
                picture,
                x + 28.0,
                y,
                TEXT,
                INK,
                &shorten(name, TEXT, (self.right - x - 28.0).max(0.0)),
            );
            x += 28.0 + text_width(name, TEXT) + 20.0;
        }
    }
}

/// Returns four to nine round values between `low` and `high`, with their labels.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a handful of ticks")]
fn value_ticks(low: f32, high: f32) -> Vec<(f32, String)> {
    let (low, high) = (f64::from(low), f64::from(high));
    // The largest round step that fits at least four ticks.
    let widest = (high - low) / 3.5;
    let power = 10_f64.powf(widest.log10().floor());
    let step = [5.0, 2.0, 1.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|step| *step <= widest)
        .unwrap_or(widest);
    let digits = (-step.log10().floor()).clamp(0.0, 8.0) as usize;
    let first = (low / step).ceil();
    let count = ((high / step).floor() - first).clamp(0.0, 20.0) as usize;
    (0..=count)
        .map(|i| (first + i as f64) * step)
        .map(|tick| (tick as f32, format!("{tick:.digits$}").replace('-', "−")))
        .collect()
}

/// Returns the epochs to label: the first, then round ones, at most about ten.
fn epoch_ticks(epochs: usize) -> Vec<usize> {
    let step = [1, 2, 5, 10, 20, 50, 100, 200, 500]
        .into_iter()
        .find(|step| epochs / step <= 10)
        .unwrap_or(epochs / 8);
    let mut ticks: Vec<usize> = (step..=epochs).step_by(step).collect();
    if step > 1 {
        ticks.insert(0, 1);
    }
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(values: &[f32]) -> Curve {
        Curve { name: "training".to_owned(), values: values.to_vec() }
    }

    fn plot(curves: Vec<Curve>, reference: Option<(f32, String)>) -> RgbImage {
        let panel = Panel { title: "loss".to_owned(), curves, reference };
        LearningCurve { title: "t".to_owned(), panels: vec![panel], mark: Some((2, "best".to_owned())) }
            .draw()
    }

    #[test]
    fn ticks_are_round() {
        let labels =
            |low, high| value_ticks(low, high).into_iter().map(|(_, label)| label).collect::<Vec<_>>();
        assert_eq!(labels(0.48, 1.02), ["0.5", "0.6", "0.7", "0.8", "0.9", "1.0"]);
        assert_eq!(labels(-0.1, 0.11), ["−0.10", "−0.05", "0.00", "0.05", "0.10"].map(str::to_owned));
        assert_eq!(labels(0.0, 100.0), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(epoch_ticks(5), [1, 2, 3, 4, 5]);
        assert_eq!(epoch_ticks(60), [1, 10, 20, 30, 40, 50, 60]);
        assert!(epoch_ticks(100_000).len() < 12);
    }

    #[test]
    fn a_falling_loss_falls_in_the_picture() {
        let values = [0.9, 0.5, 0.2, 0.1];
        let picture = plot(vec![curve(&values)], None);
        let panel = Panel { title: String::new(), curves: vec![curve(&values)], reference: None };
        let axes = Axes::of(&panel, [0.0, 24.0 + line_height(TITLE)]);
        for (epoch, &value) in (1..).zip(&values) {
            let [x, y] = axes.point(epoch, value);
            assert_eq!(picture.get_pixel(x as u32, y as u32).0, COLORS[0], "epoch {epoch}");
        }
        assert!(axes.point(1, 0.9)[1] < axes.point(2, 0.5)[1]);
    }

    #[test]
    fn degenerate_runs_are_drawn() {
        let size = plot(vec![curve(&[0.9, 0.2])], None).dimensions();
        let inked = |curves: Vec<Curve>, reference: Option<(f32, String)>| {
            let picture = plot(curves, reference);
            assert_eq!(picture.dimensions(), size);
            picture.pixels().filter(|pixel| pixel.0 == COLORS[0]).count()
        };
        let legend = inked(vec![curve(&[])], Some((f32::NAN, "x".to_owned())));
        assert_eq!(inked(vec![], None), 0);
        let values: [&[f32]; 4] = [&[0.5], &[f32::NAN, f32::INFINITY, 1.0], &[0.0; 1000], &[1e30, -1e30]];
        for values in values {
            let chance = Some((0.5, "chance".to_owned()));
            assert!(inked(vec![curve(values)], chance) > legend, "nothing was drawn of {values:?}");
        }
        // Their difference is infinite: no scale shows both.
        assert_eq!(inked(vec![curve(&[f32::MAX, f32::MIN])], None), legend);
    }
}
