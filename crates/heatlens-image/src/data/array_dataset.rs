//! Images and labels in NumPy arrays.

use std::io::{BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::naming::{name_of_row, safe_stem};
use super::npy::{CheckedHeader, read_header};
use super::npz::{entry_names, with_entry};
use super::numbers::{Range as Values, Reading, depends_on_range, full_value, reading};
use super::{
    ArrayNumbers, DataError, Dataset, ElementType, Layout, MAX_CLASSES, MAX_SIDE, OpenOptions, Original,
    Preprocessing, Raster, Sample,
};
use crate::extremes::extremes;

/// Maximum number of elements, from the beginning of an array, that are examined to find their range: 1 GiB as f32.
const MAX_LOOKED_AT: usize = 1 << 28;

/// File location of an array.
#[derive(Debug, Clone)]
enum Source {
    Npy(PathBuf),
    Npz { path: PathBuf, name: &'static str },
}

/// Rows of an array, as stored.
struct Stored {
    rows: Range<usize>,
    layout: Layout,
    shape: [usize; 3],
    element: ElementType,
    values: Vec<f32>,
}

/// Images (and labels) of an array, read at once and kept as stored. Rows are converted to model inputs one at a time.
///
/// The interpretation of the numbers is determined for the whole array, even if only some rows are selected: see
/// [`ArrayNumbers`].
#[derive(Debug)]
pub struct ArrayDataset {
    path: PathBuf,
    stem: String,
    /// Number of rows of the whole array.
    all_rows: usize,
    rows: Range<usize>,
    layout: Layout,
    values: Vec<f32>,
    reading: Reading,
    notes: Vec<String>,
    labels: Option<Vec<usize>>,
    /// One mask of h×w per row.
    masks: Option<Vec<bool>>,
    class_names: Vec<String>,
    preprocessing: Preprocessing,
}

impl ArrayDataset {
    /// Opens an `.npz` archive with the images `X`, optional labels `y` and optional object masks `mask` (N×h×w).
    pub fn open_npz(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Self, DataError> {
        let path = path.as_ref();
        let names = entry_names(path)?;
        let has = |wanted: &str| names.iter().any(|name| name == wanted);
        if !has("X") {
            let reason = format!("expected an array X (and y for labels), found {}", list(&names));
            return Err(DataError::malformed(path, reason));
        }
        let source = |name| Source::Npz { path: path.to_path_buf(), name };
        let mut data = Self::read(&source("X"), has("y").then(|| source("y")).as_ref(), options)?;
        if has("mask") {
            data.masks = data.read_masks(&source("mask"))?;
        }
        Ok(data)
    }

    /// Reads the masks of the selected rows. Returns `None` if the array does not hold masks of the images' size.
    fn read_masks(&self, source: &Source) -> Result<Option<Vec<bool>>, DataError> {
        let [_, height, width] = self.shape();
        let rows = self.rows.clone();
        source.with(|header, reader| {
            let planes = header.header.shape.iter().skip(1).filter(|side| **side != 1);
            if header.rows < rows.end || !planes.eq([height, width].iter().filter(|side| **side != 1)) {
                return Ok(None);
            }
            let values = header.read_rows(reader, rows, source.path())?;
            Ok(Some(values.iter().map(|v| *v > 0.5).collect()))
        })
    }

    /// Opens an `.npy` file. If it is called `X.npy`, a file `y.npy` in the same folder holds its labels.
    pub fn open_npy(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Self, DataError> {
        let path = path.as_ref();
        let labels = path.with_file_name("y.npy");
        let labelled = path.file_name().is_some_and(|name| name == "X.npy") && labels.is_file();
        Self::read(
            &Source::Npy(path.to_path_buf()),
            labelled.then_some(Source::Npy(labels)).as_ref(),
            options,
        )
    }

    fn read(images: &Source, labels: Option<&Source>, options: &OpenOptions) -> Result<Self, DataError> {
        let path = images.path();
        let (stored, rows_in_file) = images.with(|header, reader| {
            let (layout, shape) = arrangement(path, &header.header.shape, options)?;
            let rows = pick(header.rows, options, path)?;
            let values = header.read_rows(reader, rows.clone(), path)?;
            Ok((Stored { rows, layout, shape, element: header.header.element, values }, header.rows))
        })?;
        let range = match depends_on_range(stored.element) && stored.rows.len() < rows_in_file {
            true => images.with(|header, reader| header.range(reader, MAX_LOOKED_AT, path))?,
            false => Values::of(&stored.values),
        };
        let mut data = Self::of(path, rows_in_file, stored, range, options);
        let (labels, classes) = match labels {
            Some(source) => read_labels(source, rows_in_file, data.rows.clone())?,
            None => (None, 0),
        };
        if options.class_names.is_none() {
            data.class_names = (0..classes).map(|class| class.to_string()).collect();
        }
        if labels.is_some() && classes > data.class_names.len() {
            let names = data.class_names.len();
            let reason = format!("labels reach {}, but the model has {names} classes", classes - 1);
            return Err(DataError::malformed(path, reason));
        }
        data.labels = labels;
        Ok(data)
    }

    /// Uses the images of an array in memory in the same way as [`open_npy`](Self::open_npy) reads them from a file.
    /// `values` are in C order for `shape`; `element` is their original type. `name` replaces the file name in names
    /// and errors.
    ///
    /// # Errors
    /// As for [`open_npy`](Self::open_npy), and if the number of values does not match the shape.
    pub fn from_values(
        name: &str,
        shape: &[usize],
        element: ElementType,
        mut values: Vec<f32>,
        options: &OpenOptions,
    ) -> Result<Self, DataError> {
        let path = Path::new(name);
        let (layout, image) = arrangement(path, shape, options)?;
        if shape.iter().try_fold(1_usize, |all, side| all.checked_mul(*side)) != Some(values.len()) {
            let reason = format!("{} values, which do not fill it", values.len());
            return Err(DataError::Shape { path: path.to_path_buf(), shape: shape.to_vec(), reason });
        }
        let all_rows = shape.first().copied().unwrap_or(0);
        let rows = pick(all_rows, options, path)?;
        let range = Values::of(&values);
        let size: usize = image.iter().product();
        values.truncate(rows.end * size);
        values.drain(..rows.start * size);
        let stored = Stored { rows, layout, shape: image, element, values };
        Ok(Self::of(path, all_rows, stored, range, options))
    }

    /// Creates a data set without labels from an array whose numbers lie in `range`.
    fn of(
        path: &Path,
        all_rows: usize,
        stored: Stored,
        range: Option<Values>,
        options: &OpenOptions,
    ) -> Self {
        let Stored { rows, layout, shape, element, values } = stored;
        let mut preprocessing = options.preprocessing.clone().unwrap_or_else(|| Preprocessing::new(shape));
        if options.preprocessing.is_none() && options.numbers == ArrayNumbers::Raw {
            preprocessing.scale = full_value(element, range, &preprocessing);
        }
        let (reading, note) = reading(element, range, options.numbers, &preprocessing);
        let notes = note.map(|note| format!("{}: {note}", path.display())).into_iter().collect();
        Self {
            path: path.to_path_buf(),
            stem: safe_stem(path),
            all_rows,
            rows,
            layout,
            values,
            reading,
            notes,
            labels: None,
            masks: None,
            class_names: options.class_names.clone().unwrap_or_default(),
            preprocessing,
        }
    }

    /// Returns the item's pixels as stored, with the channel axis moved to the front.
    fn pixels(&self, item: usize) -> Result<Vec<f32>, DataError> {
        let [channels, height, width] = self.shape();
        let (area, size) = (height * width, channels * height * width);
        let row = item.checked_mul(size).and_then(|start| self.values.get(start..start + size));
        let row = row.ok_or(DataError::NoSuchItem { item, len: self.len() })?;
        let mut pixels = Vec::with_capacity(size);
        match self.layout {
            Layout::Nhwc if channels > 1 => {
                for channel in 0..channels {
                    pixels.extend(row.iter().skip(channel).step_by(channels));
                }
            }
            _ => pixels.extend_from_slice(row),
        }
        // Without an early end, which would keep the compiler from using vector instructions.
        if pixels.iter().fold(true, |finite, value| finite & value.is_finite()) {
            return Ok(pixels);
        }
        let at = pixels.iter().position(|value| !value.is_finite()).unwrap_or(0);
        Err(DataError::NotFinite {
            path: self.path.clone(),
            row: self.index(item),
            position: [at / area, at % area / width, at % width],
            value: pixels[at],
        })
    }
}

impl Dataset for ArrayDataset {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn name(&self, item: usize) -> String {
        name_of_row(&self.stem, self.index(item), self.all_rows)
    }

    fn source(&self, item: usize) -> String {
        format!("{}[{}]", self.path.display(), self.index(item))
    }

    fn index(&self, item: usize) -> usize {
        self.rows.start.saturating_add(item)
    }

    fn label(&self, item: usize) -> Option<usize> {
        self.labels.as_ref()?.get(item).copied()
    }

    fn mask(&self, item: usize) -> Option<&[bool]> {
        let area = self.shape()[1] * self.shape()[2];
        self.masks.as_ref()?.get(item * area..(item + 1) * area)
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn load(&self, item: usize) -> Result<Sample, DataError> {
        let shape @ [channels, height, width] = self.shape();
        let mut raster = Raster { channels, height, width, values: self.pixels(item)? };
        match self.reading {
            Reading::AsTheyAre => {
                let (low, high) = display_window(&raster.values);
                let display = raster.to_picture(low, high);
                Ok(Sample { pixels: raster.values, shape, display })
            }
            Reading::Pixels(full) => {
                raster.values.iter_mut().for_each(|value| *value /= full);
                let display = raster.to_picture(0.0, 1.0);
                self.preprocessing.prepare(&mut raster.values);
                Ok(Sample { pixels: raster.values, shape, display })
            }
        }
    }

    fn load_with_original(&self, item: usize) -> Result<(Sample, Original), DataError> {
        let sample = self.load(item)?;
        let picture = sample.display.clone();
        Ok((sample, Original { picture, lossy: false, room: None }))
    }
}

impl Source {
    fn path(&self) -> &Path {
        match self {
            Self::Npy(path) | Self::Npz { path, .. } => path,
        }
    }

    fn with<T>(
        &self,
        read: impl FnOnce(&CheckedHeader, &mut dyn Read) -> Result<T, DataError>,
    ) -> Result<T, DataError> {
        match self {
            Self::Npz { path, name } => with_entry(path, name, read),
            Self::Npy(path) => {
                let file = heatlens_graph::open_regular(path).map_err(DataError::io(path, "open"))?;
                let length = file.metadata().map_err(DataError::io(path, "read"))?.len();
                let mut reader = BufReader::new(file);
                let header = read_header(&mut reader, length, path)?;
                read(&header, &mut reader)
            }
        }
    }
}

fn pick(rows: usize, options: &OpenOptions, path: &Path) -> Result<Range<usize>, DataError> {
    match options.rows {
        Some(range) => range.resolve(rows),
        None if rows == 0 => Err(DataError::malformed(path, "the array has no rows")),
        None => Ok(0..rows),
    }
}

/// Returns the layout and the image shape of an array of `shape`.
fn arrangement(
    path: &Path,
    shape: &[usize],
    options: &OpenOptions,
) -> Result<(Layout, [usize; 3]), DataError> {
    let (layout, image) = Layout::resolve(shape, options.layout, options.channels(), path)?;
    check_shape(path, shape, image, options)?;
    Ok((layout, image))
}

/// Rejects images whose size differs from the model's: arrays are not resized.
fn check_shape(
    path: &Path,
    found: &[usize],
    image: [usize; 3],
    options: &OpenOptions,
) -> Result<(), DataError> {
    let error = |reason| DataError::Shape { path: path.to_path_buf(), shape: found.to_vec(), reason };
    if image.iter().any(|&side| side > MAX_SIDE) {
        return Err(error(format!("an image side is longer than the limit of {MAX_SIDE}")));
    }
    match &options.preprocessing {
        Some(wanted) if wanted.shape() != image => {
            let ([_, h, w], [_, wanted_h, wanted_w]) = (image, wanted.shape());
            Err(error(format!(
                "images of {h} × {w}, but the model takes {wanted_h} × {wanted_w}; arrays are not resized: resize \
                 them or save them as image files; a model that takes any size is opened with --input-size {h}x{w}"
            )))
        }
        _ => Ok(()),
    }
}

/// Reads the classes of the `picked` rows, and the number of classes in the whole file, which is the largest label plus
/// 1.
fn read_labels(
    source: &Source,
    images: usize,
    picked: Range<usize>,
) -> Result<(Option<Vec<usize>>, usize), DataError> {
    let path = source.path();
    let values = source.with(|header, reader| {
        let shape = &header.header.shape;
        if !matches!(shape[..], [_] | [_, 1]) {
            let reason = "expected labels as (N,) or (N, 1), one class number for each image".to_owned();
            return Err(DataError::Shape { path: path.to_path_buf(), shape: shape.clone(), reason });
        }
        if header.rows != images {
            return Err(DataError::LabelCount { path: path.to_path_buf(), images, labels: header.rows });
        }
        header.read_rows(reader, 0..header.rows, path)
    })?;
    let mut classes = Vec::with_capacity(values.len());
    for (row, &value) in values.iter().enumerate() {
        let whole = value.fract() == 0.0 && (0.0..MAX_CLASSES as f32).contains(&value);
        if !whole {
            return Err(DataError::Label { path: path.to_path_buf(), row, value });
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number below MAX_CLASSES"
        )]
        classes.push(value as usize);
    }
    let count = classes.iter().max().map_or(0, |largest| largest + 1);
    Ok((classes.get(picked).map(<[usize]>::to_vec), count))
}

/// Returns the values displayed as black and as full intensity: 0 to 1 or 0 to 255 if the image fits, otherwise its
/// minimum and maximum. They depend on the image alone; an image of zeros and ones is black and white in any element
/// type.
fn display_window(values: &[f32]) -> (f32, f32) {
    let [low, high] = extremes(values);
    match (low >= 0.0, high) {
        (true, high) if high <= 1.0 => (0.0, 1.0),
        (true, high) if high <= 255.0 => (0.0, 255.0),
        _ => (low, high),
    }
}

fn list(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(10).map(String::as_str).collect();
    if shown.is_empty() { "no array".to_owned() } else { shown.join(", ") }
}
