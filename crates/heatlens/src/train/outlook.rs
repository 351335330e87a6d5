//! Checks before training: can the held-out images show that a model learned, and is the data set misleading?

use std::collections::BTreeMap;
use std::fmt;

use crate::train::TrainingSet;
use crate::train::class_weight::ClassWeight;
use crate::train::fit::TrainingSettings;
use crate::trust::significance::{Evidence, Judgement, Verdict};

/// Recommended minimum number of training images per class.
const FEW_OF_A_CLASS: usize = 20;
/// Ratio of the largest to the smallest class that causes a warning without class weights.
const UNBALANCED: usize = 3;
/// The same ratio with class weights.
const VERY_UNBALANCED: usize = 30;

/// A reason why the result may be inconclusive or misleading. `Display` writes a sentence with advice.
#[derive(Clone, Debug, PartialEq)]
pub enum Concern {
    /// No images are held out.
    NoValidation,
    /// So few images are held out that even a perfect model would not be significantly better than chance.
    Inconclusive {
        /// Number of held-out images.
        held_out: usize,
    },
    /// Classes with few training images, and their numbers.
    SmallClasses(Vec<(String, usize)>),
    /// The numbers of images per class differ widely.
    Unbalanced {
        /// Ratio of the largest to the smallest class.
        ratio: usize,
        /// True if class weights compensate for it.
        weighted: bool,
    },
    /// Images that are identical to the last pixel.
    Copies {
        /// Number of images that equal an earlier one.
        images: usize,
        /// Number of these with a different label.
        contradictory: usize,
        /// Number of held-out images that are also trained on.
        leaked: usize,
    },
}

impl Concern {
    /// Returns all concerns that can be found before training.
    #[must_use]
    pub fn all(set: &TrainingSet, settings: &TrainingSettings) -> Vec<Self> {
        let mut found = Vec::new();
        found.extend(held_out(set, settings));
        found.extend(classes(set, settings));
        found.extend(copies(set));
        found
    }
}

/// Returns a concern if a perfect model could not be shown to have learned.
fn held_out(set: &TrainingSet, settings: &TrainingSettings) -> Option<Concern> {
    if set.validation.is_empty() {
        return Some(Concern::NoValidation);
    }
    let labels: Vec<usize> = set.validation.iter().map(|&i| set.labels[i]).collect();
    let outputs = set.class_names.len().max(2);
    let perfect: Vec<f32> = labels
        .iter()
        .flat_map(|&label| (0..outputs).map(move |class| if class == label { 1.0 } else { 0.0 }))
        .collect();
    let epochs = usize::try_from(settings.epochs).unwrap_or(usize::MAX);
    let judgement = Judgement::of(Evidence {
        logits: &perfect,
        outputs,
        labels: &labels,
        class_names: &set.class_names,
        selected_among: if settings.keep_best { epochs.max(1) } else { 1 },
    });
    (judgement.verdict != Verdict::Learned).then_some(Concern::Inconclusive { held_out: labels.len() })
}

fn classes(set: &TrainingSet, settings: &TrainingSettings) -> Vec<Concern> {
    let counts = set.class_counts();
    let present = || set.class_names.iter().zip(&counts).filter(|(_, images)| **images > 0);
    let small = present().filter(|(_, images)| **images < FEW_OF_A_CLASS);
    let small: Vec<_> = small.map(|(class, &images)| (class.clone(), images)).collect();
    let mut found = Vec::new();
    if !small.is_empty() {
        found.push(Concern::SmallClasses(small));
    }
    let (Some(smallest), Some(largest)) = (present().map(|(_, n)| *n).min(), counts.iter().max()) else {
        return found;
    };
    let (ratio, weighted) = (largest / smallest, settings.class_weight != ClassWeight::None);
    if ratio >= if weighted { VERY_UNBALANCED } else { UNBALANCED } {
        found.push(Concern::Unbalanced { ratio, weighted });
    }
    found
}

fn copies(set: &TrainingSet) -> Option<Concern> {
    let mut first: BTreeMap<u64, usize> = BTreeMap::new();
    let (mut images, mut contradictory, mut leaked) = (0, 0, 0);
    for &i in set.train.iter().chain(&set.validation) {
        let earlier = *first.entry(fingerprint(set.image(i))).or_insert(i);
        if earlier == i || set.image(earlier) != set.image(i) {
            continue;
        }
        images += 1;
        contradictory += usize::from(set.labels[earlier] != set.labels[i]);
        let held_out = |item: usize| set.validation.binary_search(&item).is_ok();
        leaked += usize::from(held_out(i) && !held_out(earlier));
    }
    (images > 0).then_some(Concern::Copies { images, contradictory, leaked })
}

/// Returns the 64-bit FNV-1a hash of the pixels' bits.
fn fingerprint(image: &[f32]) -> u64 {
    let add = |hash: u64, v: &f32| (hash ^ u64::from(v.to_bits())).wrapping_mul(0x0000_0100_0000_01b3);
    image.iter().fold(0xcbf2_9ce4_8422_2325, add)
}

impl fmt::Display for Concern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoValidation => write!(
                f,
                "no images are held out, so it will stay unknown whether the model learned; \
                 --validation-split 0.2 holds out a fifth"
            ),
            Self::Inconclusive { held_out } => write!(
                f,
                "{held_out} images are held out: too few to tell a perfect model from chance; hold out half \
                 (--validation-split 0.5) or add images"
            ),
            Self::SmallClasses(classes) => {
                let all: Vec<String> =
                    classes.iter().map(|(class, n)| format!("{n} of \"{class}\"")).collect();
                write!(
                    f,
                    "only {} to train on: add images ({FEW_OF_A_CLASS} of a class are a minimum, 100 better), or vary \
                     them by --horizontal-flip --shift 0.1 where that changes no class",
                    all.join(", ")
                )
            }
            Self::Unbalanced { ratio, weighted: false } => write!(
                f,
                "the largest class has {ratio} times as many images as the smallest, so that always answering it \
                 looks good; --class-weight balanced makes up for it"
            ),
            Self::Unbalanced { ratio, weighted: true } => write!(
                f,
                "the largest class has {ratio} times as many images as the smallest: class weights help little \
                 beyond some {VERY_UNBALANCED} times; add images of the smallest"
            ),
            Self::Copies { images, contradictory, leaked } => {
                write!(f, "exact copies of an earlier image: {images}")?;
                if *contradictory > 0 {
                    write!(f, ", {contradictory} of them under another class")?;
                }
                if *leaked > 0 {
                    write!(f, ", {leaked} are both trained on and held out, which flatters the accuracy")?;
                }
                write!(f, "; remove the copies")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Preprocessing;
    use crate::train::recipe::{Choices, RECIPES};

    /// Creates single-pixel images with distinct values; the last of each class are held out.
    fn set(train: [usize; 2], held_out: [usize; 2]) -> TrainingSet {
        let classes = |counts: [usize; 2]| [vec![0; counts[0]], vec![1; counts[1]]].concat();
        let labels = [classes(train), classes(held_out)].concat();
        let cut = train[0] + train[1];
        TrainingSet {
            images: (0..labels.len()).map(|i| i as f32).collect(),
            class_names: vec!["ok".to_owned(), "defect".to_owned()],
            preprocessing: Preprocessing::new([1, 1, 1]),
            train: (0..cut).collect(),
            validation: (cut..labels.len()).collect(),
            broken: Vec::new(),
            labels,
        }
    }

    fn concerns(set: &TrainingSet, choices: &Choices) -> Vec<Concern> {
        let settings = RECIPES[0].settings(choices, &set.class_counts(), set.validation.len()).unwrap();
        Concern::all(set, &settings)
    }

    #[test]
    fn enough_images_are_no_concern() {
        assert_eq!(concerns(&set([60, 60], [20, 20]), &Choices::default()), []);
        assert_eq!(concerns(&set([216, 24], [54, 6]), &Choices::default()), []);
    }

    #[test]
    fn few_images_are() {
        let default = Choices::default();
        assert_eq!(concerns(&set([60, 60], [0, 0]), &default), [Concern::NoValidation]);
        assert_eq!(concerns(&set([60, 60], [4, 4]), &default), [Concern::Inconclusive { held_out: 8 }]);
        let small = Concern::SmallClasses(vec![("defect".to_owned(), 7)]);
        assert_eq!(concerns(&set([60, 7], [20, 20]), &default), [small]);
    }

    #[test]
    fn unbalanced_classes_are_unless_weighted() {
        let unweighted = Choices { class_weight: Some(ClassWeight::None), ..Choices::default() };
        let ratio = |ratio, weighted| [Concern::Unbalanced { ratio, weighted }];
        assert_eq!(concerns(&set([216, 24], [54, 6]), &unweighted), ratio(9, false));
        assert_eq!(concerns(&set([800, 20], [54, 6]), &Choices::default()), ratio(40, true));
    }

    #[test]
    fn copies_are() {
        let mut copied = set([60, 60], [20, 20]);
        copied.images[1] = copied.images[0];
        copied.images[130] = copied.images[0];
        copied.images[70] = copied.images[2];
        let found = concerns(&copied, &Choices::default());
        assert_eq!(found, [Concern::Copies { images: 3, contradictory: 1, leaked: 1 }]);
        let said = found[0].to_string();
        assert!(said.contains("1 of them under another class") && said.contains("held out"), "{said}");
    }
}
