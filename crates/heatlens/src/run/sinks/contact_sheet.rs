//! Contact sheet: an overview of some images of a run, balanced over the classes.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::data::write_atomically;
use crate::explain::Explainer;
use crate::method::MapKind;
use crate::render::{
    ColorBar, FileFormat, HeatStyle, MAX_SHEET_COLUMNS, PictureSize, Sheet, SheetRow, sheet_rows,
};
use crate::run::{BaseImage, ExplainedImage, PictureStyle, RunError, Sink};
use crate::trust::literature;

/// Maximum number of maps shown in three columns; with more, each has a single one.
const LONG: usize = 6;
/// Maximum number of cautions given in full; of more, only the methods are named.
const MOST_CAUTIONS: usize = 2;
/// Maximum size of a sheet as PNG, in bytes; a larger one is written as JPEG.
const MOST_BYTES: usize = 2 << 20;

/// Contact sheet in progress, with rows up to the capacity of one sheet.
#[derive(Debug)]
pub(in crate::run) struct ContactSheet {
    columns: Vec<Column>,
    /// Number of columns there would be without a limit.
    all_columns: usize,
    rows: Vec<Row>,
    most: usize,
    style: PictureStyle,
}

/// Row of one image.
#[derive(Debug)]
struct Row {
    class: usize,
    shown: SheetRow,
}

/// Column of the sheet.
#[derive(Debug)]
struct Column {
    name: String,
    look: Look,
}

/// Content of a column, with the index of its map.
#[derive(Clone, Copy, Debug)]
enum Look {
    Image,
    Heat(usize),
    OverImage(usize),
    Signed(usize),
    /// Single picture of a map that is not a heat map.
    Whole(usize),
}

impl ContactSheet {
    pub(in crate::run) fn new(explainer: &Explainer, most: usize, style: PictureStyle) -> Self {
        let mut columns = columns(explainer);
        let all_columns = columns.len();
        columns.truncate(MAX_SHEET_COLUMNS);
        let most = most.min(sheet_rows(columns.len()));
        Self { columns, all_columns, rows: Vec::new(), most, style }
    }

    /// Draws and saves the sheet if it has any rows: as `sheet.png`, or as `sheet.jpg` if the PNG would be large.
    pub(in crate::run) fn save(
        self,
        explainer: &Explainer,
        out: &Path,
        images: usize,
    ) -> Result<Option<PathBuf>, RunError> {
        let shown = self.rows.len();
        let outlined = self.rows.iter().any(|row| row.shown.truth.is_some());
        let sheet = Sheet {
            title: if shown < images {
                format!("What the model looked at: {shown} of {images} images")
            } else {
                "What the model looked at".to_owned()
            },
            legend: self.legend(explainer, outlined, shown < images),
            columns: self.columns.iter().map(|column| column.name.clone()).collect(),
            color_bars: color_bars(explainer, self.style),
            rows: self.rows.into_iter().map(|row| row.shown).collect(),
        };
        let Some(picture) = sheet.draw().into_iter().next() else { return Ok(None) };
        let names = [FileFormat::Png, FileFormat::Jpeg].map(|f| out.join(format!("sheet.{}", f.extension())));
        let encode = |format: FileFormat| format.encode(&picture).map_err(RunError::writing(&names[0]));
        let bytes = encode(FileFormat::Png)?;
        let [(path, bytes), (other, _)] = match names.clone() {
            [png, jpeg] if bytes.len() > MOST_BYTES => [(jpeg, encode(FileFormat::Jpeg)?), (png, Vec::new())],
            [png, jpeg] => [(png, bytes), (jpeg, Vec::new())],
        };
        write_atomically(&path, &bytes).map_err(RunError::writing(&path))?;
        // Remove the sheet that an earlier run left under the other name.
        match fs::remove_file(&other) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(RunError::writing(&other)(e)),
            _ => Ok(Some(path)),
        }
    }

    fn legend(&self, explainer: &Explainer, outlined: bool, chosen: bool) -> String {
        let (bright, signed) = if explainer.model().head.is_quantity() {
            (
                "what makes the quantity larger (or smaller, where the row says so)",
                "red does so and blue the opposite",
            )
        } else {
            ("evidence for the class that the row explains", "red speaks for the class and blue against it")
        };
        let mut text = format!(
            "Each row is one image. Bright heat marks {bright}; in the signed map {signed}. \
             Grey pictures show single pixels: lighter raises the score, darker lowers it.",
        );
        if chosen {
            text.push_str(" The first images of each class are shown in turn.");
        }
        if self.all_columns > self.columns.len() {
            text.push_str(&format!(
                " The first {} of {} columns are shown; the other maps are in the images' folders.",
                self.columns.len(),
                self.all_columns
            ));
        }
        if outlined {
            text.push_str(" The green outline marks the true object; the model never saw it.");
        }
        let layers: Vec<&str> =
            explainer.maps().iter().filter_map(|m| m.layer.as_ref()).map(|l| l.name.as_str()).collect();
        if let Some(first) = layers.first().filter(|first| layers.iter().all(|l| l == *first)) {
            text.push_str(&format!(" Layer: {first}."));
        }
        text.push_str(&cautions(explainer));
        text
    }
}

impl Sink for ContactSheet {
    fn wants_picture(&self) -> bool {
        true
    }

    /// Adds an image if it belongs among those shown.
    fn write(&mut self, seen: &ExplainedImage<'_>) -> Result<(), RunError> {
        let Some(thumbnail) = seen.thumbnail else { return Ok(()) };
        let class = seen.label().unwrap_or(seen.explanation.predicted);
        let known: Vec<usize> = self.rows.iter().map(|row| row.class).collect();
        match place(&known, class, self.most) {
            Place::None => return Ok(()),
            Place::InsteadOf(row) => drop(self.rows.remove(row)),
            Place::Behind => {}
        }
        let BaseImage { picture, view, .. } = thumbnail.sized(PictureSize::Auto);
        let heat = self.style.heat();
        let draw = |column: &Column| {
            let map = |at: usize| &seen.explanation.attributions[at];
            match column.look {
                Look::Image => picture.clone(),
                Look::Heat(at) => map(at).draw(&view, heat),
                Look::OverImage(at) => map(at).draw_over(&picture, &view, heat),
                Look::Signed(at) => map(at).draw(&view, HeatStyle::SIGNED),
                Look::Whole(at) => {
                    map(at).draw_whole(&picture, &view).unwrap_or_else(|| map(at).draw(&view, heat))
                }
            }
        };
        let pictures = self.columns.iter().map(|column| Some(draw(column))).collect();
        let caption = caption(seen);
        let truth = seen.truth.map(|mask| (mask.height, mask.width, mask.inside.clone()));
        self.rows.push(Row { class, shown: SheetRow { caption, pictures, truth } });
        Ok(())
    }
}

/// Returns one column per map. A layer map has three, alone, over the image and signed, unless there are many maps.
fn columns(explainer: &Explainer) -> Vec<Column> {
    let strip = explainer.maps().len() > LONG;
    let mut columns = vec![Column { name: "original".to_owned(), look: Look::Image }];
    for (at, spec) in explainer.maps().iter().enumerate() {
        let title = spec.title(explainer.model());
        let looks = match spec.method.kind {
            MapKind::Layer if strip => vec![(title, Look::OverImage(at))],
            MapKind::Layer => vec![
                (title.clone(), Look::Heat(at)),
                (format!("{title} over image"), Look::OverImage(at)),
                (format!("{title}, signed"), Look::Signed(at)),
            ],
            _ => vec![(title, Look::Whole(at))],
        };
        columns.extend(looks.into_iter().map(|(name, look)| Column { name, look }));
    }
    columns
}

/// Position of an image on the sheet.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// The image is not shown.
    None,
    /// At the end.
    Behind,
    /// At the end, replacing the row with this index.
    InsteadOf(usize),
}

/// Returns the position of the next image, of class `class`, after the images of the classes `known`, at most `most` of
/// them. Classes are balanced: an image of a class with fewer rows replaces the last image of a class with the most
/// rows.
fn place(known: &[usize], class: usize, most: usize) -> Place {
    if known.len() < most {
        return Place::Behind;
    }
    let count = |class: usize| known.iter().filter(|k| **k == class).count();
    let largest = known.iter().map(|class| count(*class)).max().unwrap_or(0);
    if count(class) + 1 >= largest {
        return Place::None;
    }
    known.iter().rposition(|class| count(*class) == largest).map_or(Place::None, Place::InsteadOf)
}

fn caption(seen: &ExplainedImage<'_>) -> Vec<String> {
    let ExplainedImage { explainer, data, item, explanation, .. } = *seen;
    let names = &explainer.model().class_names;
    let name = |k: usize| names.get(k).map_or("?", String::as_str);
    let probability = explanation.probabilities.get(explanation.predicted).copied().unwrap_or(f64::NAN);
    let mut lines = vec![data.name(item)];
    let class = explanation.attributions.first().map(|a| a.class);
    if let Some(measure) = seen.measure() {
        lines.push(measure);
        lines.extend(class.map(|class| format!("explained: {}", name(class))));
        return lines;
    }
    if let Some(label) = data.label(item) {
        let verdict = if label == explanation.predicted { "right" } else { "wrong" };
        lines.push(format!("is: {}", name(label)));
        lines.push(format!("model says: {} ({verdict})", name(explanation.predicted)));
    } else {
        lines.push(format!("model says: {}", name(explanation.predicted)));
    }
    lines.push(format!("probability {probability:.3}"));
    if let Some(class) = class.filter(|&k| k != explanation.predicted) {
        lines.push(format!("explained: {}", name(class)));
    }
    lines
}

/// Returns the caption lines of a model of quantities: the value, and the explained direction.
/// Returns the cautions on the methods: in full for a few methods, by name only for many.
fn cautions(explainer: &Explainer) -> String {
    let mut cautions: Vec<(&str, String)> = Vec::new();
    for method in explainer.maps().iter().map(|spec| spec.method) {
        let new = cautions.iter().all(|known| known.0 != method.title);
        if let Some(sentence) = literature::sentence(method, None).filter(|_| new) {
            cautions.push((method.title, sentence));
        }
    }
    if cautions.len() <= MOST_CAUTIONS {
        return cautions.iter().map(|(_, sentence)| format!(" {sentence}")).collect();
    }
    let titles: Vec<&str> = cautions.iter().map(|(title, _)| *title).collect();
    format!(" Read with care, for the reasons that `heatlens methods` gives: {}.", titles.join(", "))
}

fn color_bars(explainer: &Explainer, style: PictureStyle) -> Vec<ColorBar> {
    if !explainer.maps().iter().any(|m| m.shape.len() == 2) {
        return Vec::new();
    }
    let mut heat =
        ColorBar::positive(style.colormap, 1.0, "evidence for the class, each map by its own maximum");
    "strongest".clone_into(&mut heat.high);
    let mut signed = ColorBar::signed(1.0, "blue: against the class · red: for it");
    "against".clone_into(&mut signed.low);
    "for".clone_into(&mut signed.high);
    vec![heat, signed]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the numbers of the images that are shown.
    fn shown(classes: &[usize], most: usize) -> Vec<usize> {
        let mut rows: Vec<(usize, usize)> = Vec::new();
        for (item, &class) in classes.iter().enumerate() {
            let known: Vec<usize> = rows.iter().map(|row| row.1).collect();
            match place(&known, class, most) {
                Place::None => continue,
                Place::InsteadOf(row) => drop(rows.remove(row)),
                Place::Behind => {}
            }
            rows.push((item, class));
        }
        rows.into_iter().map(|row| row.0).collect()
    }

    #[test]
    fn classes_take_turns_and_the_first_images_of_each_are_shown() {
        // Fifty images of one class, then fifty of the other.
        let sorted: Vec<usize> = (0..100).map(|item| item / 50).collect();
        assert_eq!(shown(&sorted, 6), [0, 1, 2, 50, 51, 52]);
        // All images of a rare class are shown.
        let rare: Vec<usize> = (0..100).map(|item| usize::from(item >= 98)).collect();
        assert_eq!(shown(&rare, 6), [0, 1, 2, 3, 98, 99]);
        // More classes than rows; more rows than images; one class.
        assert_eq!(shown(&[0, 0, 1, 2, 3, 4], 3), [0, 2, 3]);
        assert_eq!(shown(&[1, 0], 9), [0, 1]);
        assert_eq!(shown(&[7; 9], 2), [0, 1]);
        let turns: Vec<usize> = (0..90).map(|item| item % 3).collect();
        assert_eq!(shown(&turns, 5), [0, 1, 2, 3, 4]);
        assert!(shown(&turns, 0).is_empty());
    }
}
