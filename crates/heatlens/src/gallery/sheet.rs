//! The contact sheet: the first images of a run at a glance.

use std::path::{Path, PathBuf};

use crate::data::{Dataset, Sample};
use crate::explain::{Explainer, Explanation};
use crate::gallery::pictures::{concepts_picture, input_picture, layer_map, reason};
use crate::gallery::{GalleryError, Truth};
use crate::method::MapKind;
use crate::render::{ColorBar, HeatStyle, Sheet, SheetRow, enlarge, heatmap, overlay, save_png, sheet_rows};
use crate::trust::literature;

/// Rows as they come, up to what one sheet holds.
#[derive(Debug)]
pub(super) struct SheetRows {
    columns: Vec<String>,
    rows: Vec<SheetRow>,
    most: usize,
    /// Whether there are so many maps that each is shown once, over the image.
    strip: bool,
}

/// More maps than this are shown once each.
const LONG: usize = 6;

impl SheetRows {
    pub(super) fn new(explainer: &Explainer, most: usize) -> Self {
        let strip = explainer.maps().len() > LONG;
        let mut columns = vec!["original".to_owned()];
        for spec in explainer.maps() {
            // A title says neither layer nor class.
            let several = spec.several_layers || spec.several_classes;
            let title = if several { spec.name(explainer.model()) } else { spec.method.title.to_owned() };
            if spec.method.kind == MapKind::Layer && !strip {
                columns.extend([title.clone(), format!("{title} over image"), format!("{title}, signed")]);
            } else {
                columns.push(title);
            }
        }
        let most = most.min(sheet_rows(columns.len()));
        Self { columns, rows: Vec::new(), most, strip }
    }

    pub(super) fn push(
        &mut self,
        explainer: &Explainer,
        data: &dyn Dataset,
        item: usize,
        sample: &Sample,
        explanation: &Explanation,
        truth: Option<&Truth<'_>>,
    ) -> Result<(), GalleryError> {
        if self.rows.len() >= self.most {
            return Ok(());
        }
        let original = enlarge(&sample.display);
        let mut pictures = vec![Some(original.clone())];
        for attribution in &explanation.attributions {
            if attribution.method.kind == MapKind::Concepts {
                pictures.push(Some(concepts_picture(attribution, &original)));
            } else if attribution.is_layer_map() && self.strip {
                let (map, reason) = (layer_map(attribution)?, reason(attribution));
                pictures.push(Some(overlay(&map, &original, HeatStyle::POSITIVE, &reason)));
            } else if attribution.is_layer_map() {
                let (map, reason) = (layer_map(attribution)?, reason(attribution));
                let (width, height) = original.dimensions();
                pictures.push(Some(heatmap(&map, width, height, HeatStyle::POSITIVE, &reason)));
                pictures.push(Some(overlay(&map, &original, HeatStyle::POSITIVE, &reason)));
                pictures.push(Some(heatmap(&map, width, height, HeatStyle::SIGNED, &reason)));
            } else {
                pictures.push(Some(input_picture(attribution)?));
            }
        }
        let caption = caption(explainer, data, item, explanation);
        self.rows.push(SheetRow { caption, pictures, truth: truth.and_then(|t| t(item)) });
        Ok(())
    }

    /// Draws and saves the sheet, if there is a row for it.
    pub(super) fn save(
        self,
        explainer: &Explainer,
        out: &Path,
        images: usize,
    ) -> Result<Option<PathBuf>, GalleryError> {
        let shown = self.rows.len();
        let outlined = self.rows.iter().any(|row| row.truth.is_some());
        let sheet = Sheet {
            title: if shown < images {
                format!("What the model looked at: {shown} of {images} images")
            } else {
                "What the model looked at".to_owned()
            },
            legend: legend(explainer, outlined),
            columns: self.columns,
            color_bars: color_bars(explainer),
            rows: self.rows,
        };
        let path = out.join("sheet.png");
        match sheet.draw().first() {
            Some(picture) => {
                save_png(picture, &path)?;
                Ok(Some(path))
            }
            None => Ok(None),
        }
    }
}

fn caption(explainer: &Explainer, data: &dyn Dataset, item: usize, explanation: &Explanation) -> Vec<String> {
    let names = &explainer.model().class_names;
    let name = |k: usize| names.get(k).map_or("?", String::as_str);
    let probability = explanation.probabilities.get(explanation.predicted).copied().unwrap_or(f64::NAN);
    let mut lines = vec![data.name(item)];
    if let Some(label) = data.label(item) {
        let verdict = if label == explanation.predicted { "right" } else { "wrong" };
        lines.push(format!("is: {}", name(label)));
        lines.push(format!("model says: {} ({verdict})", name(explanation.predicted)));
    } else {
        lines.push(format!("model says: {}", name(explanation.predicted)));
    }
    lines.push(format!("probability {probability:.3}"));
    let class = explanation.attributions.first().map(|a| a.class);
    if let Some(class) = class.filter(|&k| k != explanation.predicted) {
        lines.push(format!("explained: {}", name(class)));
    }
    lines
}

fn legend(explainer: &Explainer, outlined: bool) -> String {
    let mut text = String::from(
        "Each row is one image. Bright heat marks what speaks for the class that the row explains; \
         in the signed map red speaks for it and blue against. Grey pictures show single pixels: lighter raises the score, darker lowers it.",
    );
    if outlined {
        text.push_str(" The green outline is where the answer is; the model never saw it.");
    }
    let layers: Vec<&str> =
        explainer.maps().iter().filter_map(|m| m.layer.as_ref()).map(|l| l.name.as_str()).collect();
    if let Some(first) = layers.first().filter(|first| layers.iter().all(|l| l == *first)) {
        text.push_str(&format!(" Layer: {first}."));
    }
    for spec in explainer.maps() {
        if let Some(sentence) = literature::sentence(spec.method, None) {
            text.push_str(&format!(" {sentence}"));
        }
    }
    text
}

fn color_bars(explainer: &Explainer) -> Vec<ColorBar> {
    if !explainer.maps().iter().any(|m| m.shape.len() == 2) {
        return Vec::new();
    }
    let mut heat = ColorBar::positive(
        HeatStyle::POSITIVE.colormap,
        1.0,
        "evidence for the class, each map by its own maximum",
    );
    "strongest".clone_into(&mut heat.high);
    let mut signed = ColorBar::signed(1.0, "blue: against the class · red: for it");
    "against".clone_into(&mut signed.low);
    "for".clone_into(&mut signed.high);
    vec![heat, signed]
}
