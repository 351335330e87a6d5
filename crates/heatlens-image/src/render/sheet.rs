//! Contact sheet with a row per image and a column per picture type. If there are more columns than fit on a
//! screen, each row takes several lines, each below its own column names.

use image::RgbImage;

use super::canvas::{INK, MUTED, RULE, fill, frame, paper, paste};
use super::outline::{TRUTH, outline};
use super::size::size_of;
use super::text::{draw_text, line_height, shorten, text_width, wrap};
use super::{ColorBar, scaled};

/// Maximum number of lines of pictures on one sheet; further rows go to further sheets.
pub const MAX_SHEET_ROWS: usize = 24;
/// Maximum number of columns of a sheet: more are not readable, and a sheet of thousands cannot be opened.
pub const MAX_SHEET_COLUMNS: usize = 60;
/// Maximum number of pictures side by side.
const MOST_ACROSS: usize = 10;

/// Side of a square picture in pixels; others have the same area, within limits.
const SIDE: f64 = 200.0;
const MOST_WIDE: f64 = 320.0;
const MOST_HIGH: f64 = 260.0;
/// Minimum width of a column and height of a row, so that names and captions fit.
const LEAST_COLUMN: u32 = 96;
const LEAST_ROW: u32 = 100;
const GAP: u32 = 14;
const MARGIN: u32 = 28;
const CAPTION: u32 = 170;
const TITLE_SIZE: f32 = 26.0;
const HEAD_SIZE: f32 = 16.0;
const TEXT_SIZE: f32 = 14.0;

/// One image and its pictures.
#[derive(Debug, Clone)]
pub struct SheetRow {
    /// Lines beside the pictures, the first highlighted: name, true label, predicted class, probability.
    pub caption: Vec<String>,
    /// One picture per column, of any size; `None` leaves the cell empty.
    pub pictures: Vec<Option<RgbImage>>,
    /// Ground truth, if known: height and width of a mask that covers the whole picture, and its pixels in
    /// row-major order, true inside the object. Outlined in green.
    pub truth: Option<(usize, usize, Vec<bool>)>,
}

/// A contact sheet.
#[derive(Debug, Clone)]
pub struct Sheet {
    /// Title.
    pub title: String,
    /// Instructions for reading the sheet, for first-time readers.
    pub legend: String,
    /// Column names.
    pub columns: Vec<String>,
    /// Colour bars, drawn below the legend.
    pub color_bars: Vec<ColorBar>,
    /// Images.
    pub rows: Vec<SheetRow>,
}

/// Returns the maximum number of rows on one sheet: [`MAX_SHEET_ROWS`], or fewer if a row takes several lines.
#[must_use]
pub fn sheet_rows(columns: usize) -> usize {
    (MAX_SHEET_ROWS / Lines::of(columns).count).max(1)
}

/// Division of a row's columns into lines.
#[derive(Debug, Clone, Copy)]
struct Lines {
    count: usize,
    /// Columns per line.
    across: usize,
}

impl Lines {
    /// Returns as few lines as possible, evenly filled.
    fn of(columns: usize) -> Self {
        let count = columns.div_ceil(MOST_ACROSS).max(1);
        Self { count, across: columns.div_ceil(count) }
    }
}

/// Positions of the pictures on a sheet.
struct Layout {
    lines: Lines,
    /// Width of a column in pixels.
    column: u32,
    /// Height of each row's pictures in pixels.
    rows: Vec<u32>,
    /// Height of the names above each line; 0 if only the first row has names.
    names: u32,
}

impl Layout {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a line of text")]
    fn new(columns: usize, rows: &[SheetRow]) -> Self {
        let lines = Lines::of(columns);
        let cells = |row: &SheetRow| -> Vec<[u32; 2]> {
            row.pictures.iter().take(columns).flatten().map(|picture| cell(size_of(picture))).collect()
        };
        let sizes: Vec<Vec<[u32; 2]>> = rows.iter().map(cells).collect();
        let column = sizes.iter().flatten().map(|[_, width]| *width).fold(LEAST_COLUMN, u32::max);
        let row = |sizes: &Vec<[u32; 2]>| sizes.iter().map(|[height, _]| *height).fold(LEAST_ROW, u32::max);
        let names = if lines.count > 1 { line_height(HEAD_SIZE) as u32 + 6 } else { 0 };
        Self { lines, column, rows: sizes.iter().map(row).collect(), names }
    }

    /// Returns the distance between the lines of a row.
    fn line(&self, row: usize) -> u32 {
        self.rows[row] + GAP + self.names
    }

    /// Returns the height of a row with all its lines.
    fn height(&self, row: usize) -> u32 {
        u32::try_from(self.lines.count).unwrap_or(1) * self.line(row)
    }

    /// Returns the position of a column's picture in a row that starts at `top`.
    fn place(&self, column: usize, row: usize, top: u32) -> (u32, u32) {
        let across = self.lines.across.max(1);
        let at = |place: usize| u32::try_from(place).unwrap_or(0);
        let x = MARGIN + CAPTION + at(column % across) * (self.column + GAP);
        (x, top + at(column / across) * self.line(row))
    }
}

/// Returns the height and width on the sheet of a picture of `[rows, columns]` pixels.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sides of a cell")]
fn cell([rows, columns]: [usize; 2]) -> [u32; 2] {
    let aspect = columns.max(1) as f64 / rows.max(1) as f64;
    let (width, height) = (SIDE * aspect.sqrt(), SIDE / aspect.sqrt());
    let scale = (MOST_WIDE / width).min(MOST_HIGH / height).min(1.0);
    [height, width].map(|side| (side * scale).round().max(1.0) as u32)
}

impl Sheet {
    /// Draws the sheet, split into parts of at most [`sheet_rows`] rows; no parts if there are no rows.
    pub fn draw(&self) -> Vec<RgbImage> {
        let most = sheet_rows(self.columns.len());
        let parts = self.rows.len().div_ceil(most);
        let draw = |(part, rows): (usize, &[SheetRow])| {
            let number = if parts > 1 { format!("  ({} of {parts})", part + 1) } else { String::new() };
            self.draw_part(rows, &format!("{}{number}", self.title))
        };
        self.rows.chunks(most).enumerate().map(draw).collect()
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positions within a picture")]
    fn draw_part(&self, rows: &[SheetRow], title: &str) -> RgbImage {
        let layout = Layout::new(self.columns.len(), rows);
        let across = layout.lines.across as u32 * (layout.column + GAP);
        let width = (2 * MARGIN + CAPTION + across).max(640);
        let room = (width - 2 * MARGIN) as f32;
        let legend = wrap(&self.legend, TEXT_SIZE, room);
        let bar_lines = if self.color_bars.is_empty() { 0.0 } else { 2.0 };
        let head = MARGIN as f32
            + line_height(TITLE_SIZE)
            + 6.0
            + line_height(TEXT_SIZE) * (legend.len() as f32 + bar_lines)
            + 18.0;
        let mut top = (head + line_height(HEAD_SIZE) + 6.0) as u32;
        let height = (0..rows.len()).map(|row| layout.height(row)).sum::<u32>();
        let mut sheet = paper(width, top + height + MARGIN);
        let left = MARGIN as f32;
        draw_text(&mut sheet, left, left, TITLE_SIZE, INK, &shorten(title, TITLE_SIZE, room));
        let mut y = left + line_height(TITLE_SIZE) + 6.0;
        for line in &legend {
            draw_text(&mut sheet, left, y, TEXT_SIZE, MUTED, line);
            y += line_height(TEXT_SIZE);
        }
        self.draw_bars(&mut sheet, y + 6.0, room);
        for (row, content) in rows.iter().enumerate() {
            if row == 0 || layout.lines.count > 1 {
                self.draw_names(&mut sheet, &layout, row, top);
            }
            draw_row(&mut sheet, content, &layout, row, top, self.columns.len());
            top += layout.height(row);
        }
        sheet
    }

    /// Draws the column names above the pictures of the row that starts at `top`.
    fn draw_names(&self, sheet: &mut RgbImage, layout: &Layout, row: usize, top: u32) {
        for (column, name) in self.columns.iter().enumerate() {
            let (x, y) = layout.place(column, row, top);
            let name = shorten(name, HEAD_SIZE, (layout.column + GAP / 2) as f32);
            let x = x as f32 + (layout.column as f32 - text_width(&name, HEAD_SIZE)) / 2.0;
            draw_text(sheet, x, y as f32 - line_height(HEAD_SIZE) - 6.0, HEAD_SIZE, INK, &name);
        }
    }

    /// Draws the colour bars side by side, each followed by its meaning.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positions within a picture")]
    fn draw_bars(&self, sheet: &mut RgbImage, y: f32, room: f32) {
        let share = room / self.color_bars.len().max(1) as f32;
        for (place, bar) in self.color_bars.iter().enumerate() {
            let x = MARGIN as f32 + place as f32 * share;
            paste(sheet, &bar.bar(110, 14), x as u32, y as u32 + 2);
            frame(sheet, x as i32, y as i32 + 2, 110, 14, MUTED);
            let text = shorten(&bar.meaning, TEXT_SIZE, share - 110.0 - 24.0);
            draw_text(sheet, x + 118.0, y, TEXT_SIZE, INK, &text);
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positions within a picture")]
fn draw_row(sheet: &mut RgbImage, content: &SheetRow, layout: &Layout, row: usize, top: u32, columns: usize) {
    let width = sheet.width() - 2 * MARGIN;
    // Above the names, if each line has names.
    let rule = top - GAP / 2 - layout.names;
    fill(sheet, MARGIN as i32, rule as i32, width, 1, RULE, 1.0);
    let texts = content.caption.iter().enumerate().flat_map(|(place, text)| {
        let color = if place == 0 { INK } else { MUTED };
        wrap(text, TEXT_SIZE, (CAPTION - 16) as f32).into_iter().map(move |line| (line, color))
    });
    let mut y = top as f32 + 4.0;
    for (line, color) in texts.take((layout.rows[row] as f32 / line_height(TEXT_SIZE)) as usize) {
        draw_text(sheet, MARGIN as f32, y, TEXT_SIZE, color, &line);
        y += line_height(TEXT_SIZE);
    }
    for (column, picture) in content.pictures.iter().take(columns).enumerate() {
        let Some(mut shown) = picture.as_ref().and_then(fit) else { continue };
        if let Some((height, width, truth)) = &content.truth {
            let (columns, lines) = shown.dimensions();
            let inside = |x: u32, y: u32| {
                let row = y as usize * height / lines as usize;
                let column = x as usize * width / columns as usize;
                truth.get(row * width + column).copied().unwrap_or(false)
            };
            outline(&mut shown, inside, TRUTH);
        }
        let (x, y) = layout.place(column, row, top);
        let centred = |room: u32, side: u32| room.saturating_sub(side) / 2;
        let (right, down) =
            (centred(layout.column, shown.width()), centred(layout.rows[row], shown.height()));
        paste(sheet, &shown, x + right, y + down);
    }
}

/// Scales a picture to its size on the sheet. `None` for an empty picture.
fn fit(picture: &RgbImage) -> Option<RgbImage> {
    let [rows, columns] = size_of(picture);
    let to = cell([rows, columns]).map(|side| side as usize);
    (rows > 0 && columns > 0).then(|| scaled(picture, to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    fn sheet(rows: usize) -> Sheet {
        let row = SheetRow {
            caption: vec!["image_0".to_owned(), "label 1".to_owned()],
            pictures: vec![Some(RgbImage::from_pixel(95, 95, Rgb([90, 0, 0]))), None],
            truth: Some((2, 2, vec![true, false, false, false])),
        };
        Sheet {
            title: "Where the model looks".to_owned(),
            legend: "How to read this.".to_owned(),
            columns: vec!["original".to_owned(), "Grad-CAM".to_owned()],
            color_bars: Vec::new(),
            rows: vec![row; rows],
        }
    }

    #[test]
    fn rows_go_to_further_sheets() {
        let heights = |rows| sheet(rows).draw().iter().map(RgbImage::height).collect::<Vec<_>>();
        assert!(heights(0).is_empty());
        assert_eq!(heights(24).len(), 1);
        let parts = heights(25);
        assert_eq!(parts.len(), 2);
        assert!(parts[1] < parts[0]);
    }

    #[test]
    fn pictures_stand_in_their_cells_with_the_truth_outlined() {
        let drawn = &sheet(1).draw()[0];
        let count = |color| drawn.pixels().filter(|pixel| pixel.0 == color).count();
        let outline = count(TRUTH);
        assert!((380..=420).contains(&outline), "{outline}");
        assert_eq!(count([90, 0, 0]) + outline, 200 * 200);
    }

    #[test]
    fn many_columns_go_to_further_lines() {
        let mut wide = sheet(2);
        wide.columns = (0..23).map(|column| format!("method {column}")).collect();
        let picture = |column: u8| Some(RgbImage::from_pixel(200, 200, Rgb([100 + column, 0, 0])));
        wide.rows.iter_mut().for_each(|row| {
            row.pictures = (0..23).map(picture).collect();
            row.truth = None;
        });
        assert_eq!((sheet_rows(23), sheet_rows(53), sheet_rows(500)), (8, 4, 1));
        let parts = wide.draw();
        assert!(parts.len() == 1 && parts[0].width() < 2500);
        let mut counts = [0; 256];
        for pixel in parts[0].pixels().filter(|pixel| pixel.0[1..] == [0, 0]) {
            counts[usize::from(pixel.0[0])] += 1;
        }
        // Shown in full, in both rows.
        assert!(counts[100..123].iter().all(|&count| count == 2 * 200 * 200), "{counts:?}");
    }

    #[test]
    fn cells_have_the_shape_of_their_pictures() {
        let sizes = [[200, 200], [240, 320], [320, 240], [100, 400], [400, 100], [4000, 1]].map(cell);
        assert_eq!(sizes, [[200, 200], [173, 231], [231, 173], [80, 320], [260, 65], [260, 1]]);
        let width = |picture: RgbImage| {
            let mut wide = sheet(1);
            wide.columns = (0..8).map(|column| format!("map {column}")).collect();
            wide.rows[0].pictures = vec![Some(picture); 8];
            wide.draw()[0].width()
        };
        // Columns of portraits are narrower than those of landscapes.
        assert_eq!(width(RgbImage::new(320, 240)) - width(RgbImage::new(240, 320)), 8 * (231 - 173));
    }

    #[test]
    fn odd_shapes_are_no_trouble() {
        let mut odd = sheet(1);
        odd.rows[0].pictures =
            vec![Some(RgbImage::new(0, 0)), Some(RgbImage::new(1, 4000)), Some(RgbImage::new(2, 2))];
        odd.rows[0].caption = vec!["long ".repeat(500)];
        odd.rows[0].truth = Some((0, 0, Vec::new()));
        odd.title = "W".repeat(1000);
        assert_eq!(odd.draw().len(), 1);
    }
}
