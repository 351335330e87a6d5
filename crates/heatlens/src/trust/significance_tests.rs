//! Simulations of both error rates, and the exact wording of the sentences.

use super::*;
use crate::random::{Key, Rng, Use};

fn judge(logits: &[f32], outputs: usize, labels: &[usize], selected_among: usize) -> Judgement {
    Judgement::of(Evidence { logits, outputs, labels, class_names: &[], selected_among })
}

/// Returns the share of `runs` simulated validation sets on which the verdict is `Learned`.
fn share_learned(runs: u64, outputs: usize, simulate: impl Fn(&mut Rng) -> (Vec<f32>, Vec<usize>)) -> f64 {
    let learned = (0..runs).filter(|&run| {
        let (logits, labels) = simulate(&mut Key::new(1, Use::Shuffle).at(run).rng());
        judge(&logits, outputs, &labels, 1).verdict == Verdict::Learned
    });
    #[allow(clippy::cast_precision_loss)]
    let share = learned.count() as f64 / runs as f64;
    share
}

/// Simulates two classes; the logits of class 1 lie `distance` standard deviations above those of class 0.
#[allow(clippy::cast_possible_truncation)]
fn two_classes(rng: &mut Rng, n: usize, share: f64, distance: f64, bias: f64) -> (Vec<f32>, Vec<usize>) {
    let labels: Vec<usize> = (0..n).map(|_| usize::from(rng.uniform_f64() < share)).collect();
    let logit = |&label: &usize, rng: &mut Rng| {
        let mean = if label == 1 { distance / 2.0 } else { -distance / 2.0 };
        (rng.normal() + mean + bias) as f32
    };
    (labels.iter().map(|label| logit(label, rng)).collect(), labels)
}

#[test]
fn random_labels_pass_at_most_once_in_a_hundred() {
    // 0.01 plus three standard errors of 1000 runs.
    let bound = 0.0194;
    for (n, share, bias) in
        [(30, 0.5, 0.0), (100, 0.5, 0.0), (100, 0.8, 0.5), (300, 0.5, 0.0), (100, 0.5, 3.0)]
    {
        let found = share_learned(1000, 1, |rng| two_classes(rng, n, share, 0.0, bias));
        println!("random labels, n = {n}, share {share}, bias {bias}: {found}");
        assert!(found <= bound, "{n} {share}: {found}");
    }
    // Few distinct scores, and three classes.
    let tied = share_learned(1000, 1, |rng| {
        let (logits, labels) = two_classes(rng, 100, 0.5, 0.0, 0.0);
        (logits.iter().map(|z| z.round()).collect(), labels)
    });
    #[allow(clippy::cast_possible_truncation)]
    let three = share_learned(1000, 3, |rng| {
        let labels = (0..90).map(|_| rng.below(3)).collect();
        ((0..270).map(|_| rng.normal() as f32).collect(), labels)
    });
    println!("random labels, ties {tied}, three classes {three}");
    assert!(tied <= bound && three <= bound, "{tied} {three}");
}

#[test]
fn choosing_the_best_of_many_checkpoints_is_corrected_for() {
    let best_of_ten = |corrected: bool| {
        let passes = (0..500u64).filter(|&run| {
            let mut rng = Key::new(2, Use::Shuffle).at(run).rng();
            let labels: Vec<usize> = (0..100).map(|_| rng.below(2)).collect();
            let tries = (0..10).map(|_| {
                let logits: Vec<f32> = (0..100).map(|_| rng.uniform() - 0.5).collect();
                judge(&logits, 1, &labels, if corrected { 10 } else { 1 }).p_value
            });
            tries.fold(1.0, f64::min) <= ALPHA
        });
        passes.count()
    };
    let (naive, corrected) = (best_of_ten(false), best_of_ten(true));
    println!("best of ten: {naive} of 500 uncorrected, {corrected} corrected");
    assert!(naive > 12 && corrected <= 11, "{naive} {corrected}");
}

#[test]
fn a_model_that_has_learned_is_never_called_chance() {
    // AUC 0.92, accuracy 0.84; then with a wrong threshold, so that class 1 is always predicted; then one in ten
    // positive.
    let good = share_learned(500, 1, |rng| two_classes(rng, 100, 0.5, 2.0, 0.0));
    let badly_cut = share_learned(500, 1, |rng| two_classes(rng, 100, 0.5, 2.0, 10.0));
    let rare = share_learned(500, 1, |rng| two_classes(rng, 200, 0.1, 2.0, 0.0));
    let weak = share_learned(500, 1, |rng| two_classes(rng, 100, 0.5, 1.0, 0.0));
    println!("learned: AUC 0.92 {good}, badly cut {badly_cut}, rare {rare}; AUC 0.76 {weak}");
    assert_eq!((good, badly_cut), (1.0, 1.0));
    assert!(rare >= 0.998 && weak >= 0.9, "{rare} {weak}");
}

#[test]
fn the_sentences() {
    // The first 52 are of class 1. Correct: the first 27 of them, and the last 26 of class 0.
    let labels: Vec<usize> = (0..100).map(|i| usize::from(i < 52)).collect();
    let logits: Vec<f32> =
        (0..100).map(|i| if i < 27 || (52..74).contains(&i) { 1.0 } else { -1.0 }).collect();
    let chance = judge(&logits, 1, &labels, 1);
    assert_eq!(chance.verdict, Verdict::Chance);
    // Wilson's interval for 53 of 100.
    assert_eq!(
        chance.to_string(),
        "Accuracy 53 % (53 of 100 images right; 95 % CI 43.3–62.5 %); always answering '1' (the majority-class baseline) would give 52 %. \
         No evidence that the model learned: no better than chance (p = 0.68; significance level 0.01, corrected for 2 comparisons)."
    );

    let perfect: Vec<f32> = labels.iter().map(|&l| if l == 1 { 3.0 } else { -3.0 }).collect();
    let names = ["ship".to_owned(), "no ship".to_owned()];
    let learned = Judgement::of(Evidence {
        logits: &perfect,
        outputs: 1,
        labels: &labels,
        class_names: &names,
        selected_among: 60,
    });
    assert_eq!((learned.verdict, learned.comparisons), (Verdict::Learned, 120));
    let text = learned.to_string();
    assert!(
        text.starts_with("Accuracy 100 % (100 of 100 images right; 95 % CI 96.3–100 %); always answering 'no ship' (the majority-class baseline) would give 52 %. Better than chance (p = "),
        "{text}"
    );
}

#[test]
fn what_cannot_be_told_is_not_told() {
    let verdict = |logits: &[f32], labels: &[usize]| judge(logits, 1, labels, 1).verdict;
    let unknown = Verdict::Unknown;
    assert_eq!(verdict(&[], &[]), unknown(Untestable::NoLabels));
    assert_eq!(verdict(&[1.0], &[1, 0]), unknown(Untestable::Mismatch));
    assert_eq!(verdict(&[1.0, 1.0], &[1, 2]), unknown(Untestable::Mismatch));
    assert_eq!(verdict(&[1.0, 1.0], &[1, 1]), unknown(Untestable::OneClass));
    assert_eq!(verdict(&[1.0, f32::NAN], &[1, 0]), unknown(Untestable::NotFinite));
    // 4 + 4 all correct: 2 · 1/256. 3 + 3: 2 · 1/64, and no better by rank.
    let perfect = |half: usize| {
        let labels: Vec<usize> = (0..2 * half).map(|i| usize::from(i < half)).collect();
        let logits: Vec<f32> = labels.iter().map(|&l| if l == 1 { 1.0 } else { -1.0 }).collect();
        judge(&logits, 1, &labels, 1)
    };
    assert_eq!(perfect(3).verdict, unknown(Untestable::TooFew));
    assert_eq!(perfect(4).verdict, Verdict::Learned);
    let text = perfect(3).to_string();
    assert!(text.contains("6 images are too few") && text.contains("Use at least 8."), "{text}");
}

#[test]
fn of_several_classes_the_one_that_is_ranked_best_is_named() {
    // The third class is always separated, the others never are.
    let labels: Vec<usize> = (0..90).map(|i| i % 3).collect();
    let row = |(i, &l): (usize, &usize)| {
        [(i * 7 % 13) as f32 / 13.0, (i * 5 % 11) as f32 / 11.0, if l == 2 { 9.0 } else { -9.0 }]
    };
    let logits: Vec<f32> = labels.iter().enumerate().flat_map(row).collect();
    let found = judge(&logits, 3, &labels, 1);
    assert_eq!((found.verdict, found.ranked.as_deref(), found.auc), (Verdict::Learned, Some("2"), 1.0));
    // Ranked before the others but never predicted: only the ranking is better than chance.
    let never: Vec<f32> = logits
        .chunks(3)
        .zip(&labels)
        .flat_map(|(r, &l)| [r[0], r[1], if l == 2 { -1.0 } else { -9.0 }])
        .collect();
    let found = judge(&never, 3, &labels, 1);
    assert!(found.verdict == Verdict::Learned && !found.accuracy_is_better(), "{found}");
    let text = "The accuracy is no better than that baseline, but '2' is ranked before the other classes (ROC-AUC 1.00)";
    assert!(found.to_string().contains(text), "{found}");
    assert_eq!(judge(&[1.0, -1.0, 2.0, -2.0], 1, &[1, 0, 1, 0], 1).ranked, None);
}
