//! Parts of an audit, in order; each is on disk as soon as it is done.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use crate::bench::{in_words, seconds};
use crate::data::{DataError, Dataset, Shard};
use crate::report::hexadecimal;
use crate::run::audit::page::SHOWN;
use crate::run::audit::records::Records;
use crate::run::audit::timing::Clock;
use crate::run::checksum::checksum_of;
use crate::run::with_source;
use crate::run::{Monitor, RunError};
use crate::trust::audit::{Auditor, ImageRecord};
use crate::trust::model_randomization::RandomizationTest;

pub(super) struct Work<'w> {
    pub(super) auditor: &'w Auditor,
    pub(super) data: &'w dyn Dataset,
    records: &'w Records<'w>,
    pub(super) monitor: &'w dyn Monitor,
    pub(super) clock: Clock,
    /// Images that could not be read.
    broken: RefCell<BTreeSet<usize>>,
}

impl<'w> Work<'w> {
    pub(super) fn new(
        auditor: &'w Auditor,
        data: &'w dyn Dataset,
        records: &'w Records<'w>,
        monitor: &'w dyn Monitor,
    ) -> Self {
        Self { auditor, data, records, monitor, clock: Clock::default(), broken: RefCell::default() }
    }

    /// Reports an image that cannot be read, once for all parts of the audit.
    pub(super) fn report_broken(&self, item: usize, reason: &DataError) {
        if self.broken.borrow_mut().insert(item) {
            self.monitor.broken(&self.data.source(item), &reason.to_string());
        }
    }

    /// Returns the number of images that could not be read.
    pub(super) fn broken(&self) -> usize {
        self.broken.borrow().len()
    }

    /// Measures the images of a shard. The first shard also does the comparison with random networks.
    pub(super) fn shard(&mut self, shard: Shard, chosen: &[usize]) -> Result<usize, RunError> {
        let mine = chosen.iter().enumerate().filter(|(at, _)| shard.holds(*at));
        let part: Vec<usize> = mine.map(|(_, item)| *item).collect();
        if part.is_empty() {
            let total = chosen.len();
            return Err(RunError::NoImages(format!(
                "shard {shard} of {total} images is empty: use fewer shards"
            )));
        }
        self.estimate(&part)?;
        if shard.number == 1 {
            self.randomization(chosen)?;
        }
        Ok(self.measure(&part)?.len())
    }

    /// Announces the expected duration, from one trial of each kind of pass.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn estimate(&self, chosen: &[usize]) -> Result<(), RunError> {
        let mut reason = None;
        let readable = |&item: &usize| match self.data.load(item) {
            Ok(sample) => Some(sample),
            Err(e) => {
                reason.get_or_insert_with(|| with_source(&self.data.source(item), &e.to_string()));
                None
            }
        };
        let Some(sample) = chosen.iter().find_map(readable) else {
            let first = reason.unwrap_or_default();
            return Err(RunError::NoImages(format!("none of the images can be read; the first: {first}")));
        };
        let copies = sample.pixels.repeat(16);
        // The first run is slower because memory is touched for the first time.
        let trial = |n: usize| self.auditor.logits(&copies[..n * sample.pixels.len()], n);
        trial(2)?;
        let score = seconds(|| trial(16))? / 16.0;
        let stop = || self.monitor.is_stopped();
        self.auditor.try_out(&sample.pixels, &stop)?;
        let map = seconds(|| self.auditor.try_out(&sample.pixels, &stop))?;
        let load = self.auditor.workload();
        let methods = self.auditor.methods().len() as f64;
        // A single method needs its own pass through the network; filling in pixels takes about half a pass more.
        let single = map / methods + 2.0 * score;
        let image =
            1.3 * load.scores as f64 * score + load.maps as f64 * map + load.single_maps as f64 * single;
        let random = self.auditor.randomization_maps(chosen.len()) as f64 * map;
        // All images are classified, and the page shows some methods' maps of them.
        let all = score + SHOWN as f64 * single;
        let seconds = image * chosen.len() as f64 + random + self.data.len() as f64 * all;
        let (images, methods) = (chosen.len(), self.auditor.methods().len());
        let noun = if images == 1 { "image" } else { "images" };
        self.monitor.line(&format!(
            "{images} {noun}, {methods} methods, {} passes through the model for each image: about {}",
            load.scores + load.maps + load.single_maps,
            in_words(seconds)
        ));
        Ok(())
    }

    /// Returns the comparison with random networks, from disk or newly computed.
    pub(super) fn randomization(&mut self, chosen: &[usize]) -> Result<RandomizationTest, RunError> {
        let (mut pixels, mut n) = (Vec::new(), 0);
        for &item in chosen {
            if n == self.auditor.randomization_images() {
                break;
            }
            if let Ok(sample) = self.data.load(item) {
                pixels.extend(sample.pixels);
                n += 1;
            }
        }
        let checksum = hexadecimal(&checksum_of(&pixels));
        if let Some(known) = self.records.randomization(&checksum)? {
            return Ok(known);
        }
        self.unchanged(chosen)?;
        self.monitor.begin(self.auditor.randomization_maps(n), "images explained for random networks");
        let found = self.clock.time("random networks", || {
            self.auditor.test_randomization(&pixels, n, &|images| self.monitor.advance(images))
        });
        self.monitor.end();
        let found = found?;
        self.records.keep_randomization(&found, &checksum)?;
        Ok(found)
    }

    /// Checks that the measured images still have the same pixels, before anything is rewritten.
    fn unchanged(&self, chosen: &[usize]) -> Result<(), RunError> {
        let known = known(&self.records.all()?);
        for item in chosen {
            let (Some(pixels), Ok(sample)) = (known.get(item), self.data.load(*item)) else { continue };
            if *pixels != hexadecimal(&checksum_of(&sample.pixels)) {
                return Err(self.records.of_other_images(*item));
            }
        }
        Ok(())
    }

    /// Returns the metrics of all chosen images, from disk or newly measured.
    pub(super) fn measure(&mut self, chosen: &[usize]) -> Result<Vec<ImageRecord>, RunError> {
        let mut records = self.records.all()?;
        let known = known(&records);
        let load = self.auditor.workload();
        let passes = load.scores + load.maps + load.single_maps;
        self.monitor.begin(passes * chosen.len(), "passes");
        self.monitor.advance(passes * records.len());
        for &item in chosen {
            let sample = match self.data.load(item) {
                Ok(sample) => sample,
                Err(reason) => {
                    self.report_broken(item, &reason);
                    continue;
                }
            };
            let pixels = hexadecimal(&checksum_of(&sample.pixels));
            match known.get(&item) {
                Some(measured) if *measured == pixels => continue,
                Some(_) => return Err(self.records.of_other_images(item)),
                None => {}
            }
            let listener = self.clock.listener(|passes| self.monitor.advance(passes));
            let mask = self.data.mask(item).filter(|mask| mask.contains(&true));
            let measured = self.auditor.measure(item, &sample.pixels, mask, &listener);
            let measured = measured.inspect_err(|_| self.monitor.end())?;
            let (source, label) = (self.data.source(item), self.data.label(item));
            let record = ImageRecord { item, source, label, pixels, measured };
            self.records.keep(&record)?;
            records.push(record);
        }
        self.monitor.end();
        records.sort_by_key(|r| r.item);
        if records.is_empty() {
            let name = &self.auditor.model().graph.name;
            return Err(RunError::NoImages(format!("nothing could be measured for {name:?}")));
        }
        Ok(records)
    }
}

/// Returns the checksum of each measured image's pixels.
fn known(records: &[ImageRecord]) -> HashMap<usize, String> {
    records.iter().map(|record| (record.item, record.pixels.clone())).collect()
}
