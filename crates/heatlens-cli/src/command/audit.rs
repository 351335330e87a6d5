//! `heatlens audit`: is the model worth explaining, and which method is faithful to it?

mod clock;
mod judging;
mod kept;
mod page;
mod table;

use heatlens::bench::{in_words, seconds};
use heatlens::data::{Dataset, Shard, write_atomically};
use heatlens::method::{self, Method};
use heatlens::model::Model;
use heatlens::report::Training;
use heatlens::trust::audit::{Audit as Outcome, Auditor, Findings, Record, Settings, conclude};
use heatlens::trust::chance::{Untestable, Verdict};
use heatlens::trust::dependence::Dependence;

use crate::arguments::Audit;
use crate::command::shards::{Finished, Shards};
use crate::command::{again, explain, folder, open};
use crate::failure::Failure;
use crate::output;
use crate::progress::{Bar, interrupted};
use clock::Clock;
use kept::Kept;

/// Images that the methods are measured on if nobody says how many.
const IMAGES: usize = 64;

pub(crate) fn run(options: &Audit) -> Result<(), Failure> {
    audit(options, &again::words(), None)
}

/// Makes one audit of the shards of many: what they measured is taken, and the rest done as after `--resume`.
pub(crate) fn merge(options: &Audit, shards: &Shards) -> Result<(), Failure> {
    audit(options, &shards.words, Some(shards))
}

fn audit(options: &Audit, words: &[String], shards: Option<&Shards>) -> Result<(), Failure> {
    let mut model = open::model(&options.model, &options.ports, &options.pixels)?;
    let data = open::data(&mut model, &options.data, &options.input)?;
    let auditor = Auditor::new(&model, settings(options)?)?;
    auditor.notes().iter().for_each(output::note);
    let wanted = match (options.images, options.full) {
        (Some(images), _) => images,
        (None, true) => data.len(),
        (None, false) => IMAGES,
    };
    let chosen = auditor.choose(data.len(), wanted);
    let kept = Kept::new(&options.out, kept::settings(options, &auditor, &chosen)?);
    if options.resume {
        kept.check_same()?;
    } else {
        shards.map_or(Ok(()), |shards| shards.check_images(data.len()))?;
        folder::prepare(&options.out, options.force)?;
        kept.start()?;
    }
    let unfinished = Finished::clear(&options.out)?;
    shards.map_or(Ok(()), |shards| kept.gather(&shards.folders))?;
    let mut work =
        Work { auditor: &auditor, data: data.as_ref(), kept: &kept, clock: Clock::default(), broken: 0 };
    if let Some(shard) = options.shard {
        let measured = work.shard(shard, &chosen, options.json)?;
        unfinished.write(shard, words, &options.model, data.len())?;
        if !options.json {
            let total = chosen.len();
            output::line(format!("{measured} of {total} images measured: `heatlens merge` ends the audit"));
        }
        return work.outcome(measured);
    }
    if shards.is_none() {
        work.estimate(&chosen, options.json)?;
    }
    let judged = judging::judge(&auditor, data.as_ref(), options, &mut work.clock)?;
    let dependence = work.dependence(&chosen)?;
    let records = work.measure(&chosen)?;
    let findings = Findings {
        model: judged,
        methods: &auditor.methods(),
        records: &records,
        dependence: Some(&dependence),
        seed: options.seed,
        notes: auditor.notes().to_vec(),
    };
    let mut audit = conclude(findings);
    audit.seconds = work.clock.seconds();
    let gallery = page::Gallery::explain(&model, data.as_ref(), &audit, options)?;
    if let Some(gallery) = &gallery {
        audit.shortcuts = gallery.shortcuts(data.as_ref(), options.seed);
    }
    let text = format!("{:#}\n", audit.to_json());
    let path = options.out.join("audit.json");
    write_atomically(&path, text.as_bytes())
        .map_err(|e| Failure::new(format!("cannot write {}: {e}", path.display())))?;
    work.clock.write(&options.out.join("timing.json"))?;
    if options.json {
        output::line(text.trim_end());
    } else {
        table::print(&audit, when_trained(options, &audit).as_deref());
        output::line(format!("\nthe numbers are in {}", path.display()));
    }
    if let Some(gallery) = gallery {
        gallery.write(data.as_ref(), &audit, options, words)?;
    }
    work.outcome(chosen.len())
}

/// What was found when the model was trained, where these images cannot judge it.
fn when_trained(options: &Audit, audit: &Outcome) -> Option<String> {
    let unlabelled = audit.model.judgement.verdict == Verdict::Unknown(Untestable::NoLabels);
    // A history that cannot be read is named with the page.
    unlabelled.then(|| Training::beside(&options.model).ok().flatten()?.sentence).flatten()
}

/// What is set on methods.
fn method_settings(options: &Audit) -> Result<method::Settings, Failure> {
    let placing = explain::placing(&options.placement)?;
    Ok(explain::settings(options.seed, &options.set)?.placed(placing))
}

fn settings(options: &Audit) -> Result<Settings, Failure> {
    let find = |id: &String| method::find(id).map_err(|e| Failure::usage(e.to_string()));
    let methods: Vec<&'static Method> = match options.method.as_slice() {
        [] if options.full => method::METHODS.to_vec(),
        [] => method::judged_by_default(),
        [all] if all == "all" => method::METHODS.to_vec(),
        ids => ids.iter().map(find).collect::<Result<_, _>>()?,
    };
    let settings = method_settings(options)?;
    Ok(if options.full { Settings::full(&methods, settings) } else { Settings::quick(&methods, settings) })
}

/// The audit's parts, one after the other; each is kept on disk as soon as it is done.
struct Work<'w> {
    auditor: &'w Auditor,
    data: &'w dyn Dataset,
    kept: &'w Kept<'w>,
    clock: Clock,
    broken: usize,
}

impl Work<'_> {
    /// Measures a part of the images; the first shard also compares with random networks.
    fn shard(&mut self, shard: Shard, chosen: &[usize], quiet: bool) -> Result<usize, Failure> {
        let mine = chosen.iter().enumerate().filter(|(at, _)| shard.holds(*at));
        let part: Vec<usize> = mine.map(|(_, item)| *item).collect();
        if part.is_empty() {
            let total = chosen.len();
            return Err(Failure::new(format!("shard {shard} of {total} images is empty: take fewer shards")));
        }
        self.estimate(&part, quiet)?;
        if shard.number == 1 {
            self.dependence(chosen)?;
        }
        Ok(self.measure(&part)?.len())
    }

    /// Broken images make the command fail after everything else is done.
    fn outcome(&self, wanted: usize) -> Result<(), Failure> {
        match self.broken {
            0 => Ok(()),
            n => Err(Failure::new(format!("{n} of {wanted} images could not be read"))),
        }
    }

    fn model(&self) -> &Model {
        self.auditor.model()
    }

    /// Says how long it will take, from one try of each kind of pass.
    #[allow(clippy::cast_precision_loss)]
    fn estimate(&self, chosen: &[usize], quiet: bool) -> Result<(), Failure> {
        let mut reason = None;
        let readable = |&item: &usize| match self.data.load(item) {
            Ok(sample) => Some(sample),
            Err(e) => {
                reason.get_or_insert_with(|| output::named(&self.data.source(item), &e.to_string()));
                None
            }
        };
        let Some(sample) = chosen.iter().find_map(readable) else {
            let first = reason.unwrap_or_default();
            return Err(Failure::new(format!("none of the images can be read; the first: {first}")));
        };
        let copies = sample.pixels.repeat(16);
        // The first run also touches memory for the first time.
        let trial = |n: usize| self.auditor.logits(&copies[..n * sample.pixels.len()], n);
        trial(2)?;
        let score = seconds(|| trial(16))? / 16.0;
        self.auditor.try_out(&sample.pixels)?;
        let map = seconds(|| self.auditor.try_out(&sample.pixels))?;
        let load = self.auditor.workload();
        let methods = self.auditor.methods().len() as f64;
        // A method alone passes through the network itself; the filling in of pixels takes about half a pass more.
        let single = map / methods + 2.0 * score;
        let image =
            1.3 * load.scores as f64 * score + load.maps as f64 * map + load.single_maps as f64 * single;
        let random = self.auditor.dependence_maps(chosen.len()) as f64 * map;
        // The model answers to all images, and the page shows some methods' maps of them.
        let all = score + page::SHOWN as f64 * single;
        let seconds = image * chosen.len() as f64 + random + self.data.len() as f64 * all;
        if !quiet {
            let (images, methods) = (chosen.len(), self.auditor.methods().len());
            output::line(format!(
                "{images} images, {methods} methods, {} passes through the model for each image: about {}",
                load.scores + load.maps + load.single_maps,
                in_words(seconds)
            ));
        }
        Ok(())
    }

    /// The comparison with random networks, kept or made.
    fn dependence(&mut self, chosen: &[usize]) -> Result<Dependence, Failure> {
        if let Some(known) = self.kept.dependence()? {
            return Ok(known);
        }
        let (mut pixels, mut n) = (Vec::new(), 0);
        for &item in chosen {
            if n == self.auditor.dependence_images() {
                break;
            }
            if let Ok(sample) = self.data.load(item) {
                pixels.extend(sample.pixels);
                n += 1;
            }
        }
        let bar = Bar::new(self.auditor.dependence_maps(n), "images explained for random networks");
        let found = self.clock.time("random networks", || {
            self.auditor.depend(&pixels, n, &|images| {
                bar.add(images);
                !interrupted()
            })
        });
        bar.finish();
        let found = found?.ok_or_else(stopped)?;
        self.kept.keep_dependence(&found)?;
        Ok(found)
    }

    /// The metrics of all chosen images, kept or made.
    fn measure(&mut self, chosen: &[usize]) -> Result<Vec<Record>, Failure> {
        let mut records = self.kept.records()?;
        let load = self.auditor.workload();
        let passes = load.scores + load.maps + load.single_maps;
        let bar = Bar::new(passes * chosen.len(), "passes");
        bar.add(passes * records.len());
        for &item in chosen {
            if records.iter().any(|r| r.item == item) {
                continue;
            }
            let sample = match self.data.load(item) {
                Ok(sample) => sample,
                Err(reason) => {
                    self.broken += 1;
                    output::broken(&self.data.source(item), &reason.to_string());
                    continue;
                }
            };
            let listener = self.clock.listener(|passes| {
                bar.add(passes);
                !interrupted()
            });
            let mask = self.data.mask(item).filter(|mask| mask.contains(&true));
            let measured = self.auditor.measure(item, &sample.pixels, mask, &listener)?;
            let Some(measured) = measured else {
                bar.finish();
                return Err(stopped());
            };
            let (source, label) = (self.data.source(item), self.data.label(item));
            let record = Record { item, source, label, measured };
            self.kept.keep(&record)?;
            records.push(record);
        }
        bar.finish();
        records.sort_by_key(|r| r.item);
        if records.is_empty() {
            return Err(Failure::new(format!("nothing could be measured for {:?}", self.model().graph.name)));
        }
        Ok(records)
    }
}

fn stopped() -> Failure {
    Failure::interrupted("interrupted; what is finished is kept: go on with --resume")
}
