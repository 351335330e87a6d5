//! One training epoch of the two-class case: 1900 images of 95×95 in batches of 64, and 100 validation images. Run
//! with `cargo bench -p heatlens --bench epoch`; `tools/bench/epoch.sh` compares it with Keras and PyTorch.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::time::Instant;

use heatlens::data::Preprocessing;
use heatlens::random::{Key, Use};
use heatlens::train::TrainingSet;
use heatlens::train::arch;
use heatlens::train::augment::Augmentation;
use heatlens::train::class_weight::ClassWeight;
use heatlens::train::fit::{Observer, Trainer, TrainingSettings};
use heatlens::train::history::EpochRecord;
use heatlens::train::optimizer::Algorithm;
use heatlens::train::schedule::Schedule;

const EPOCHS: u64 = 8;

/// Records the seconds of each epoch.
struct Clock {
    started: Instant,
    seconds: Vec<f64>,
}

impl Observer for Clock {
    fn step(&mut self, _: u64, _: usize, _: usize) -> bool {
        true
    }

    fn epoch(&mut self, _: &EpochRecord) {
        self.seconds.push(self.started.elapsed().as_secs_f64());
        self.started = Instant::now();
    }
}

/// Random images of zeros and ones with random labels, of the sizes of the case.
fn case() -> TrainingSet {
    let mut rng = Key::new(37, Use::DemoData).rng();
    let mut bits = |n: usize| (0..n).map(|_| rng.below(2)).collect::<Vec<usize>>();
    TrainingSet {
        labels: bits(2000),
        images: bits(2000 * 95 * 95).into_iter().map(|b| b as f32).collect(),
        class_names: vec!["0".to_owned(), "1".to_owned()],
        preprocessing: Preprocessing::new([1, 95, 95]),
        train: (0..1900).collect(),
        validation: (1900..2000).collect(),
        broken: Vec::new(),
    }
}

fn main() {
    let set = case();
    for id in ["gap-cnn", "gap-cnn-bn"] {
        let folder = tempfile::tempdir().unwrap();
        let settings = TrainingSettings {
            architecture: arch::find(id).unwrap(),
            epochs: EPOCHS,
            batch_size: 64,
            algorithm: Algorithm::default(),
            learning_rate: 1e-4,
            schedule: Schedule::Constant,
            early_stopping: None,
            class_weight: ClassWeight::None,
            augmentation: Augmentation::default(),
            shuffle: true,
            keep_best: true,
            seed: 0,
        };
        let mut trainer = Trainer::new(settings, &set, folder.path()).unwrap();
        let mut clock = Clock { started: Instant::now(), seconds: Vec::new() };
        trainer.run(&mut clock).unwrap();
        let mut seconds = clock.seconds.split_off(1); // the first is the warm-up
        seconds.sort_by(f64::total_cmp);
        let (low, median, high) = (seconds[0], seconds[seconds.len() / 2], seconds[seconds.len() - 1]);
        println!(
            "{id:<12} median {median:.3} s, fastest {low:.3} s, slowest {high:.3} s of {}",
            seconds.len()
        );
    }
}
