//! Sink that writes boxes, masks and scores of explained images.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use image::{ExtendedColorType, ImageEncoder};

use crate::data::{DataError, write_atomically};
use crate::localise::coco::Coco;
use crate::localise::{
    Components, CropTransform, GroundTruth, LocalisationScore, Mask, MeanLocalisationScore, Object,
    Threshold, locate,
};
use crate::method::MapKind;
use crate::run::{ExplainedImage, RunError, Sink};

/// Output and settings of localization.
#[derive(Clone, Debug, Default)]
pub struct LocaliserOptions {
    /// True to write `annotations.json`.
    pub boxes: bool,
    /// True to write a mask image beside each image's pictures.
    pub masks: bool,
    /// Threshold for hot pixels.
    pub threshold: Threshold,
    /// Components to keep.
    pub components: Components,
    /// Annotated objects; if given, `iou.csv` is written.
    pub truth: Option<GroundTruth>,
}

impl LocaliserOptions {
    /// Returns true if any output is requested.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.boxes || self.masks || self.truth.is_some()
    }
}

/// Sink that localizes objects and writes the results.
#[derive(Debug)]
pub struct Localiser {
    out: PathBuf,
    options: LocaliserOptions,
    /// Results of each map that has a heat map.
    found: Vec<Found>,
    class_names: Vec<String>,
    table: String,
}

#[derive(Debug)]
struct Found {
    /// Index among the explainer's maps.
    at: usize,
    name: String,
    file_name: String,
    title: String,
    coco: Coco,
    scores: Vec<LocalisationScore>,
}

impl Localiser {
    /// Creates a localiser that writes to `out`, which must exist.
    #[must_use]
    pub fn new(out: impl AsRef<Path>, options: LocaliserOptions) -> Self {
        let out = out.as_ref();
        let table = "input,index,map,class,mask_iou,box_iou\n".to_owned();
        Self { out: out.to_path_buf(), options, found: Vec::new(), class_names: Vec::new(), table }
    }

    /// Writes the files that cover all images; returns the mean scores of each map by title, if there are
    /// annotations.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn finish(self) -> Result<Vec<(String, MeanLocalisationScore)>, RunError> {
        let Self { out, options, found, class_names, table } = self;
        let write = |name: &str, bytes: &[u8]| {
            let path = out.join(name);
            write_atomically(&path, bytes).map_err(RunError::writing(&path))
        };
        if options.boxes {
            for map in &found {
                let about = format!(
                    "hot pixels of {}: threshold {}, components {}",
                    map.title, options.threshold, options.components
                );
                let name = if found.len() == 1 {
                    "annotations.json".to_owned()
                } else {
                    format!("annotations_{}.json", map.file_name)
                };
                write(&name, format!("{}\n", map.coco.to_json(&about, &class_names)).as_bytes())?;
            }
        }
        if options.truth.is_none() {
            return Ok(Vec::new());
        }
        write("iou.csv", table.as_bytes())?;
        Ok(found.into_iter().map(|map| (map.title, MeanLocalisationScore::of(map.scores.iter()))).collect())
    }

    fn one_map(
        &mut self,
        number: usize,
        seen: &ExplainedImage<'_>,
        view: &CropTransform,
        truth: Option<&[Object]>,
    ) -> Result<(), RunError> {
        let found = &mut self.found[number];
        let Some(map) = seen.explanation.attributions.get(found.at) else { return Ok(()) };
        let Some(heat) = map.heat() else { return Ok(()) };
        let [_, h, w] = seen.explainer.model().shape();
        let parts = locate(&heat, [h, w], view, self.options.threshold, self.options.components);
        let class = seen.class_name(map.class);
        if self.options.boxes {
            let sure = seen.explanation.probabilities.get(map.class).copied().unwrap_or(f64::NAN);
            found.coco.push_image(seen.item + 1, &seen.data.source(seen.item), view.original);
            parts.iter().for_each(|part| found.coco.push(seen.item + 1, map.class, sure, part));
        }
        if self.options.masks {
            let folder = self.out.join(seen.data.name(seen.item));
            fs::create_dir_all(&folder).map_err(RunError::writing(&folder))?;
            save_mask(&parts, view.original, &folder.join(format!("mask_{}.png", found.file_name)))?;
        }
        if let Some(truth) = truth {
            // Objects of other classes were not explained; without class names, all objects count.
            let named = |o: &&Object| self.class_names.contains(&o.category);
            let own: Vec<Object> =
                truth.iter().filter(|o| !named(o) || o.category == class).cloned().collect();
            let score = LocalisationScore::of(&parts, view.original, &own);
            found.scores.push(score);
            push_row(&mut self.table, seen, &found.name, &class, score);
        }
        Ok(())
    }
}

impl Sink for Localiser {
    fn write(&mut self, seen: &ExplainedImage<'_>) -> Result<(), RunError> {
        let model = seen.explainer.model();
        if self.found.is_empty() {
            self.class_names.clone_from(&model.class_names);
            self.found = seen
                .explainer
                .maps()
                .iter()
                .enumerate()
                .filter(|(_, spec)| spec.method.kind != MapKind::Concepts)
                .map(|(at, spec)| Found {
                    at,
                    name: spec.name.clone(),
                    file_name: spec.file_name.clone(),
                    title: seen.map_title(at),
                    coco: Coco::default(),
                    scores: Vec::new(),
                })
                .collect();
        }
        let view = CropTransform::new(
            seen.data.original_size(seen.item)?,
            [model.preprocessing.height, model.preprocessing.width],
            model.preprocessing.resize,
        );
        let truth = match &self.options.truth {
            Some(truth) => truth.objects(&seen.data.source(seen.item), &seen.data.name(seen.item))?,
            None => None,
        };
        check_sizes(seen, truth.as_deref().unwrap_or_default(), view.original)?;
        (0..self.found.len()).try_for_each(|number| self.one_map(number, seen, &view, truth.as_deref()))
    }
}

/// Returns an error for a mask whose size differs from that of its image, rather than counting it as a miss.
fn check_sizes(seen: &ExplainedImage<'_>, truth: &[Object], image: [usize; 2]) -> Result<(), RunError> {
    match truth.iter().filter_map(Object::size).find(|size| *size != image) {
        None => Ok(()),
        Some([rows, columns]) => {
            let reason = format!(
                "its true mask is {rows} × {columns} (rows × columns), expected the size of the image, {} × {}",
                image[0], image[1]
            );
            Err(DataError::Malformed { path: PathBuf::from(seen.data.source(seen.item)), reason }.into())
        }
    }
}

fn push_row(table: &mut String, seen: &ExplainedImage<'_>, map: &str, class: &str, score: LocalisationScore) {
    let cell = |value: Option<f64>| value.map_or(String::new(), |v| v.to_string());
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    // Writing to a String cannot fail.
    let _ = writeln!(
        table,
        "{},{},{},{},{},{}",
        quoted(&seen.data.source(seen.item)),
        seen.data.index(seen.item),
        quoted(map),
        quoted(class),
        cell(score.mask),
        cell(score.bounds)
    );
}

/// Saves all regions as one image: white inside, black outside.
fn save_mask(parts: &[Mask], [height, width]: [usize; 2], path: &Path) -> Result<(), RunError> {
    let mut all = Mask::empty(height, width);
    parts.iter().for_each(|part| all.add(part));
    let pixels: Vec<u8> = all.inside.iter().map(|i| if *i { 255 } else { 0 }).collect();
    let side = |s: usize| u32::try_from(s).map_err(std::io::Error::other);
    let encode = || {
        let mut bytes = Vec::new();
        image::codecs::png::PngEncoder::new(&mut bytes)
            .write_image(&pixels, side(width)?, side(height)?, ExtendedColorType::L8)
            .map_err(std::io::Error::other)?;
        write_atomically(path, &bytes)
    };
    encode().map_err(RunError::writing(path))
}
