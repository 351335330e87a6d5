//! Annotated objects, from a COCO file or a folder of mask images.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::data::{DataError, Dataset, MAX_IMAGE_PIXELS, read_image};
use crate::localise::polygon::fill;
use crate::localise::rle::{decode, runs_of_text};
use crate::localise::{Mask, PixelBox};

/// Annotated objects by image.
#[derive(Clone, Debug)]
pub enum GroundTruth {
    /// Folder of mask images named after the images; all pixels that are not black are the object.
    Folder(PathBuf),
    /// Annotations of a COCO file.
    Coco(BTreeMap<String, Vec<Object>>),
}

/// An annotated object.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Class of the object.
    pub category: String,
    /// Bounding box.
    pub bounds: Option<PixelBox>,
    /// Shape.
    pub shape: ObjectShape,
}

/// Stored shape of an object.
#[derive(Clone, Debug, PartialEq)]
pub enum ObjectShape {
    /// Only the bounding box is known.
    Unknown,
    /// Polygons of x, y, x, y and so on.
    Polygons(Vec<Vec<f64>>),
    /// Run lengths, and the height and width of their image.
    Runs(Vec<usize>, [usize; 2]),
    /// Complete mask.
    Mask(Mask),
}

impl GroundTruth {
    /// Opens a folder or a COCO file.
    ///
    /// # Errors
    /// If it cannot be read or is neither.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        if path.is_dir() {
            return Ok(Self::Folder(path.to_path_buf()));
        }
        let io = |source| DataError::Io { path: path.to_path_buf(), action: "read", source };
        let file = BufReader::new(heatlens_graph::open_regular(path).map_err(io)?);
        let value: Value = serde_json::from_reader(file).map_err(|reason| {
            malformed(path, format!("{reason}; expected COCO JSON, or a folder of mask pictures"))
        })?;
        coco(&value, path).map(Self::Coco)
    }

    /// Returns the annotated objects of an image; `None` if it is not annotated.
    ///
    /// # Errors
    /// If the mask image cannot be read.
    pub fn objects(&self, source: &str, name: &str) -> Result<Option<Vec<Object>>, DataError> {
        let path = Path::new(source);
        match self {
            Self::Coco(images) => {
                let base = path.file_name().map(|name| name.to_string_lossy().into_owned());
                let known = [Some(source.to_owned()), Some(name.to_owned()), without_zeros(name), base];
                Ok(known.into_iter().flatten().find_map(|name| images.get(&name)).cloned())
            }
            Self::Folder(folder) => {
                let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
                let found = [stem, Some(name.to_owned()), without_zeros(name)].into_iter().flatten();
                let found = found.map(|stem| folder.join(format!("{stem}.png"))).find(|file| file.is_file());
                found.map(|file| mask_picture(&file)).transpose()
            }
        }
    }
}

/// Returns the name of an array row without leading zeros: `X_0007` is also `X_7`.
fn without_zeros(name: &str) -> Option<String> {
    let (stem, row) = name.rsplit_once('_')?;
    Some(format!("{stem}_{}", row.parse::<usize>().ok()?))
}

fn malformed(path: &Path, reason: String) -> DataError {
    DataError::Malformed { path: path.to_path_buf(), reason }
}

fn mask_picture(file: &Path) -> Result<Vec<Object>, DataError> {
    let picture = read_image(file)?.with_channels(1);
    let mask = Mask {
        height: picture.height,
        width: picture.width,
        inside: picture.values.iter().map(|v| *v > 0.0).collect(),
    };
    let bounds = mask.bounds();
    Ok(vec![Object { category: String::new(), bounds, shape: ObjectShape::Mask(mask) }])
}

fn coco(value: &Value, path: &Path) -> Result<BTreeMap<String, Vec<Object>>, DataError> {
    let list = |key: &str| {
        value[key]
            .as_array()
            .ok_or_else(|| malformed(path, format!("found no list {key:?}, expected COCO JSON")))
    };
    let wrong = |what: &str, entry: &Value| {
        let entry: String = entry.to_string().chars().take(80).collect();
        malformed(path, format!("{what} in {entry}"))
    };
    let mut names = BTreeMap::new();
    let mut images: BTreeMap<String, Vec<Object>> = BTreeMap::new();
    for image in list("images")? {
        let (Some(id), Some(name)) = (image["id"].as_i64(), image["file_name"].as_str()) else {
            return Err(wrong("an image needs an id and a file_name", image));
        };
        names.insert(id, name.to_owned());
        images.entry(name.to_owned()).or_default();
    }
    let categories = value["categories"].as_array().map_or(&[] as &[Value], Vec::as_slice);
    let categories: BTreeMap<i64, &str> =
        categories.iter().filter_map(|c| Some((c["id"].as_i64()?, c["name"].as_str()?))).collect();
    for annotation in list("annotations")? {
        let name = annotation["image_id"].as_i64().and_then(|id| names.get(&id));
        let name =
            name.ok_or_else(|| wrong("an annotation needs the image_id of a listed image", annotation))?;
        let category =
            annotation["category_id"].as_i64().and_then(|id| categories.get(&id)).copied().unwrap_or("");
        let shape = shape(&annotation["segmentation"]).ok_or_else(|| {
            wrong("a segmentation is neither polygons nor a run-length encoding with a size", annotation)
        })?;
        let object = Object { category: category.to_owned(), bounds: bounds(&annotation["bbox"]), shape };
        images.entry(name.clone()).or_default().push(object);
    }
    // Annotations often list files by path: their base name also matches, if it is unique.
    let paths: Vec<String> = images.keys().cloned().collect();
    for path in &paths {
        let base = Path::new(path).file_name().map(|b| b.to_string_lossy().into_owned()).unwrap_or_default();
        let same =
            paths.iter().filter(|p| Path::new(p).file_name().is_some_and(|b| b.to_string_lossy() == base));
        if same.count() == 1 && !images.contains_key(&base) {
            let objects = images.get(path).cloned().unwrap_or_default();
            images.insert(base, objects);
        }
    }
    Ok(images)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped at 0; casts saturate")]
fn bounds(value: &Value) -> Option<PixelBox> {
    let numbers: Vec<f64> = value.as_array()?.iter().filter_map(Value::as_f64).collect();
    let &[x, y, width, height] = numbers.as_slice() else { return None };
    let (left, top) = (x.max(0.0).floor(), y.max(0.0).floor());
    let (right, bottom) = ((x + width).ceil().max(left), (y + height).ceil().max(top));
    let cell = |v: f64| v.min(1e9) as usize;
    Some(PixelBox { x: cell(left), y: cell(top), width: cell(right - left), height: cell(bottom - top) })
}

fn shape(value: &Value) -> Option<ObjectShape> {
    match value {
        Value::Null => Some(ObjectShape::Unknown),
        Value::Array(polygons) => {
            let polygon = |p: &Value| p.as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>();
            Some(ObjectShape::Polygons(polygons.iter().map(polygon).collect::<Option<_>>()?))
        }
        Value::Object(runs) => {
            let side = |at: usize| usize::try_from(runs.get("size")?.get(at)?.as_u64()?).ok();
            let size = [side(0)?, side(1)?];
            (size[0].checked_mul(size[1])? as u64 <= MAX_IMAGE_PIXELS).then_some(())?;
            let counts = match runs.get("counts")? {
                Value::String(text) => runs_of_text(text)?,
                Value::Array(counts) => counts
                    .iter()
                    .map(|c| c.as_u64().and_then(|c| usize::try_from(c).ok()))
                    .collect::<Option<_>>()?,
                _ => return None,
            };
            Some(ObjectShape::Runs(counts, size))
        }
        _ => None,
    }
}

impl GroundTruth {
    /// Returns the annotated objects of an image as one mask at its original size; `None` if it is not annotated.
    ///
    /// # Errors
    /// If the image or its mask cannot be read.
    pub fn of_image(&self, data: &dyn Dataset, item: usize) -> Result<Option<Mask>, DataError> {
        let Some(objects) = self.objects(&data.source(item), &data.name(item))? else { return Ok(None) };
        let [height, width] = data.original_size(item)?;
        let mut all = Mask::empty(height, width);
        for object in &objects {
            let shape = object.mask(height, width);
            shape.or_else(|| Some(object.bounds?.filled(height, width))).iter().for_each(|m| all.add(m));
        }
        Ok(Some(all).filter(|mask| mask.area() > 0))
    }
}

impl Object {
    /// Returns the size of the image the shape was drawn on, as rows and columns, if the shape has it.
    #[must_use]
    pub fn size(&self) -> Option<[usize; 2]> {
        match &self.shape {
            ObjectShape::Unknown | ObjectShape::Polygons(_) => None,
            ObjectShape::Runs(_, size) => Some(*size),
            ObjectShape::Mask(mask) => Some([mask.height, mask.width]),
        }
    }

    /// Returns the mask of the object on an image of this size; `None` if the shape is unknown or has another size.
    #[must_use]
    pub fn mask(&self, height: usize, width: usize) -> Option<Mask> {
        match &self.shape {
            ObjectShape::Unknown => None,
            ObjectShape::Polygons(polygons) => Some(fill(polygons, height, width)),
            ObjectShape::Runs(runs, size) => {
                decode(runs, size[0], size[1]).filter(|m| (m.height, m.width) == (height, width))
            }
            ObjectShape::Mask(mask) => Some(mask.clone()).filter(|m| (m.height, m.width) == (height, width)),
        }
    }
}
