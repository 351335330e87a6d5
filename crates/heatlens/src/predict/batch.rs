//! Batches of a data set's images, and results for all of them.

use rayon::prelude::*;

use crate::data::{DataError, Dataset, Sample};
use crate::explain::ExplainError;
use crate::run::Monitor;

/// Number of images per batch. It affects memory and progress only: each image is computed independently.
const TOGETHER: usize = 32;

/// Images that are read in parallel and computed together.
pub(crate) struct Batch {
    /// Numbers of the images that could be read.
    pub(crate) items: Vec<usize>,
    /// The images that could be read.
    pub(crate) samples: Vec<Sample>,
    /// Numbers of the other images, with the reasons.
    pub(crate) broken: Vec<(usize, DataError)>,
}

impl Batch {
    /// Reads items in parallel.
    pub(crate) fn read(data: &dyn Dataset, items: &[usize]) -> Self {
        let load = |&item: &usize| (item, data.load(item));
        let loaded: Vec<_> = match items {
            [item] => vec![load(item)],
            _ => items.par_iter().map(load).collect(),
        };
        let mut batch = Self { items: Vec::new(), samples: Vec::new(), broken: Vec::new() };
        for (item, sample) in loaded {
            match sample {
                Ok(sample) => {
                    batch.items.push(item);
                    batch.samples.push(sample);
                }
                Err(reason) => batch.broken.push((item, reason)),
            }
        }
        batch
    }

    /// Returns the pixels of the images, one after the other.
    pub(crate) fn pixels(&self) -> Vec<f32> {
        self.samples.iter().map(|sample| sample.pixels.as_slice()).collect::<Vec<_>>().concat()
    }
}

/// Passes all images of `data` to `take`, batch by batch. Returns false if the monitor requested a
/// stop.
pub(crate) fn in_batches(
    data: &dyn Dataset,
    monitor: &dyn Monitor,
    mut take: impl FnMut(Batch) -> Result<(), ExplainError>,
) -> Result<bool, ExplainError> {
    let items: Vec<usize> = (0..data.len()).collect();
    monitor.begin(items.len(), "images");
    for some in items.chunks(TOGETHER) {
        take(Batch::read(data, some))?;
        if !monitor.advance(some.len()) {
            monitor.end();
            return Ok(false);
        }
    }
    monitor.end();
    Ok(true)
}

/// Results for the images of a data set, in the order of the images.
#[derive(Clone, Debug)]
pub struct ImageResults<T> {
    /// Number and result of each image that could be read.
    pub images: Vec<(usize, T)>,
    /// Images that could not be read, each with its source and the reason.
    pub broken: Vec<(String, String)>,
    /// True if the monitor requested a stop; the images end there.
    pub stopped: bool,
}

impl<T> ImageResults<T> {
    /// Collects what `compute` returns for the images of each batch. Unreadable images are reported to `monitor`
    /// immediately.
    pub(crate) fn collect(
        data: &dyn Dataset,
        monitor: &dyn Monitor,
        compute: impl Fn(&Batch) -> Result<Vec<T>, ExplainError>,
    ) -> Result<Self, ExplainError> {
        let (mut images, mut broken) = (Vec::new(), Vec::new());
        let whole = in_batches(data, monitor, |batch| {
            images.extend(batch.items.iter().copied().zip(compute(&batch)?));
            for (item, reason) in batch.broken {
                let (source, reason) = (data.source(item), reason.to_string());
                monitor.broken(&source, &reason);
                broken.push((source, reason));
            }
            Ok(())
        })?;
        Ok(Self { images, broken, stopped: !whole })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Mutex;

    use super::*;
    use crate::data::{OpenOptions, Raster, open_inputs};
    use crate::model::Model;
    use crate::predict::{Predictions, Predictor};
    use crate::render::save_png;
    use crate::train::arch;

    const SIDE: usize = 32;
    /// Number of the file that is no image, in the second batch.
    const BROKEN: usize = TOGETHER + 2;
    const COUNT: usize = 2 * TOGETHER + 1;

    fn model() -> Model {
        Model::from_graph(arch::find("gap-cnn").unwrap().build([1, SIDE, SIDE], 3, 0).unwrap()).unwrap()
    }

    /// Writes different images to a folder, and a file that is none, and opens them for the model.
    fn open(folder: &tempfile::TempDir, model: &Model) -> Box<dyn Dataset> {
        for number in 0..COUNT {
            let path = folder.path().join(format!("{number:03}.png"));
            let bytes: Vec<u8> = (0..SIDE * SIDE).map(|i| (i * (number + 3) % 251) as u8).collect();
            let picture = Raster::from_bytes([SIDE, SIDE, 1], &bytes).unwrap().to_picture(0.0, 1.0);
            save_png(&picture, &path).unwrap();
            if number == BROKEN {
                fs::write(&path, "broken").unwrap();
            }
        }
        let preprocessing = Some(model.preprocessing.clone());
        open_inputs(&[folder.path()], &OpenOptions { preprocessing, ..OpenOptions::default() }).unwrap()
    }

    /// Monitor that stops after some images and keeps what it is told.
    struct Stops(usize, Mutex<(usize, Vec<String>)>);

    impl Monitor for Stops {
        fn broken(&self, input: &str, _: &str) {
            self.1.lock().unwrap().1.push(input.to_owned());
        }

        fn advance(&self, count: usize) -> bool {
            let done = &mut self.1.lock().unwrap().0;
            *done += count;
            *done < self.0
        }
    }

    #[test]
    fn every_image_has_the_result_it_has_alone() {
        let (folder, model) = (tempfile::tempdir().unwrap(), model());
        let (data, predictor) = (open(&folder, &model), Predictor::new(&model).unwrap());
        let monitor = Stops(usize::MAX, Mutex::default());
        let found = predictor.of_images(data.as_ref(), &monitor).unwrap();
        let readable: Vec<usize> = (0..COUNT).filter(|&item| item != BROKEN).collect();
        assert_eq!(found.images.iter().map(|(item, _)| *item).collect::<Vec<_>>(), readable);
        for (item, logits) in &found.images {
            let alone = predictor.logits(&data.load(*item).unwrap().pixels, 1).unwrap();
            assert_eq!((logits.len(), logits), (3, &alone), "image {item}");
        }
        assert_ne!(found.images[0].1, found.images[1].1, "the images differ");
        assert_eq!(found.broken.len(), 1);
        assert_eq!(found.broken[0].0, data.source(BROKEN));
        assert_eq!(*monitor.1.lock().unwrap(), (COUNT, vec![data.source(BROKEN)]));
        assert!(!found.stopped);
        let table = Predictions::of(&model, data.as_ref(), &monitor).unwrap().to_json(None);
        let logits = |(_, logits): &(usize, Vec<f32>)| serde_json::json!(logits);
        let rows = table["images"].as_array().unwrap().iter().map(|row| row["logits"].clone());
        assert_eq!(rows.collect::<Vec<_>>(), found.images.iter().map(logits).collect::<Vec<_>>());
    }

    #[test]
    fn a_stop_ends_the_images_after_a_batch() {
        let (folder, model) = (tempfile::tempdir().unwrap(), model());
        let (data, predictor) = (open(&folder, &model), Predictor::new(&model).unwrap());
        let found = predictor.of_images(data.as_ref(), &Stops(1, Mutex::default())).unwrap();
        assert_eq!((found.images.len(), found.broken.len(), found.stopped), (TOGETHER, 0, true));
    }

    #[test]
    fn images_may_all_be_broken() {
        let (folder, model) = (tempfile::tempdir().unwrap(), model());
        let path = folder.path().join("000.png");
        fs::write(&path, "broken").unwrap();
        let preprocessing = Some(model.preprocessing.clone());
        let data = open_inputs(&[path], &OpenOptions { preprocessing, ..OpenOptions::default() }).unwrap();
        let found = Predictor::new(&model).unwrap().of_images(data.as_ref(), &crate::run::NoMonitor).unwrap();
        assert_eq!((found.images.len(), found.broken.len(), found.stopped), (0, 1, false));
    }
}
