//! The verdict on a model, shown first on the page.

use crate::report::parts::{Headline, Tone};
use crate::trust::audit::ModelVerdict;
use crate::trust::significance::Verdict;

impl Headline {
    /// Builds title and sentences of a verdict; `unseen` is true if the model was certainly not trained on these
    /// images.
    #[must_use]
    pub fn of(verdict: &ModelVerdict, unseen: bool) -> Self {
        let tone = match verdict.judgement.verdict {
            Verdict::Learned if verdict.is_good() && !verdict.is_imprecise() => Tone::Good,
            Verdict::Chance if !verdict.preprocessing_assumed => Tone::Bad,
            _ => Tone::Unsure,
        };
        let mut sentences = verdict.sentences();
        if verdict.judgement.verdict == Verdict::Learned && !unseen {
            sentences.push(
                "These figures are valid only if the model was not trained on these images.".to_owned(),
            );
        }
        Self { tone, title: verdict.title(), sentences }
    }

    /// Returns the headline qualified by a suspected shortcut.
    #[must_use]
    pub fn doubted(mut self) -> Self {
        if self.tone == Tone::Good {
            self.tone = Tone::Unsure;
            self.title = format!("{}, but may rely on a shortcut", self.title);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;
    use crate::train::arch;
    use crate::trust::audit::{Judged, Purpose, judge};

    fn headline(labels: &[usize], logits: &[f32], described: bool, unseen: bool) -> Headline {
        let mut model =
            Model::from_graph(arch::find("gap-cnn").unwrap().build([1, 14, 14], 2, 0).unwrap()).unwrap();
        model.class_names = vec!["ok".to_owned(), "defect".to_owned()];
        model.described = described;
        let labels: Vec<Option<usize>> = labels.iter().copied().map(Some).collect();
        let judged = Judged {
            model: &model,
            logits,
            labels: &labels,
            purpose: Purpose::Given,
            selected_among: 1,
            seed: 0,
        };
        Headline::of(&judge(judged), unseen)
    }

    fn alternating(n: usize) -> Vec<usize> {
        (0..n).map(|i| i % 2).collect()
    }

    fn answers(labels: &[usize], wrong: usize) -> Vec<f32> {
        let sign = |(i, &l): (usize, &usize)| if (l == 1) == (i >= wrong) { 1.0 } else { -1.0 };
        labels.iter().enumerate().map(sign).collect()
    }

    #[test]
    fn a_good_model_is_quoted_by_its_accuracy_first() {
        let labels = alternating(60);
        let good = headline(&labels, &answers(&labels, 2), true, true);
        assert_eq!((good.tone, good.title.as_str()), (Tone::Good, "Accuracy 96.7 %: better than chance"));
        assert_eq!(
            good.sentences[0],
            "Accuracy 96.7 % (58 of 60 images right; 95 % CI 88.6–99.1 %); always answering 'ok' (the majority-class baseline) would give 50 %."
        );
        assert!(good.sentences[1].starts_with("Better than chance (p = "), "{:?}", good.sentences);
        assert_eq!(good.clone().doubted().tone, Tone::Unsure);
        let trained_on = headline(&labels, &answers(&labels, 2), true, false);
        assert_eq!(trained_on.sentences.len(), good.sentences.len() + 1);
    }

    #[test]
    fn one_answer_for_all_is_never_green_however_good_the_ranking() {
        // Every image is predicted as "defect", yet all defects score above all others.
        let labels = alternating(50);
        let logits: Vec<f32> = labels.iter().map(|&l| if l == 1 { 3.0 } else { 1.0 }).collect();
        let found = headline(&labels, &logits, true, true);
        assert_eq!(found.tone, Tone::Unsure);
        assert_eq!(found.title, "Accuracy 50 % at threshold 0.5, which does not suit this model");
        let text = found.sentences.join(" ");
        assert!(text.contains("the ranking is good (ROC-AUC 1.00)"), "{text}");
        // The midpoint of 1 and 3 is 2: σ(2) = 0.88.
        assert!(
            text.contains(
                "at threshold 0.88 ('defect' from that probability on) accuracy would be 100 % (50 of 50)"
            ),
            "{text}"
        );
    }

    #[test]
    fn a_threshold_that_loses_much_is_not_green_even_above_the_baseline() {
        // 40 of 100 "ok" are predicted as "defect", and all of them score below every defect.
        let labels = alternating(200);
        let logit = |(i, &l): (usize, &usize)| {
            if l == 1 {
                3.0
            } else if i < 80 {
                1.0
            } else {
                -1.0
            }
        };
        let logits: Vec<f32> = labels.iter().enumerate().map(logit).collect();
        let found = headline(&labels, &logits, true, true);
        assert_eq!(
            (found.tone, found.title.as_str()),
            (Tone::Unsure, "Accuracy 80 % at threshold 0.5, which does not suit this model")
        );
        assert!(found.sentences[1].starts_with("Better than chance"), "{:?}", found.sentences);
    }

    #[test]
    fn few_images_are_called_few() {
        let labels = alternating(4);
        let few = headline(&labels, &answers(&labels, 0), true, true);
        assert_eq!((few.tone, few.title.as_str()), (Tone::Unsure, "Inconclusive: only 4 labelled images"));
        // 4 + 4 all correct is the smallest significant result: 2 · 2⁻⁸.
        assert!(few.sentences[1].contains("Use at least 8."), "{:?}", few.sentences);
        let labels = alternating(12);
        let wide = headline(&labels, &answers(&labels, 0), true, true);
        assert_eq!(
            (wide.tone, wide.title.as_str()),
            (Tone::Unsure, "Accuracy 100 %: better than chance, but few images")
        );
        let text = wide.sentences.join(" ");
        assert!(
            text.contains(
                "12 images are too few for a precise figure: the interval spans 24 percentage points"
            ),
            "{text}"
        );
    }

    #[test]
    fn chance_under_an_assumed_preset_does_not_blame_the_model() {
        let labels = alternating(60);
        let bad = headline(&labels, &answers(&labels, 30), true, true);
        assert_eq!(
            (bad.tone, bad.title.as_str()),
            (Tone::Bad, "Accuracy 50 %: no evidence that the model learned")
        );
        assert!(bad.sentences.join(" ").contains("explain nothing"));
        let assumed = headline(&labels, &answers(&labels, 30), false, true);
        assert_eq!(assumed.tone, Tone::Unsure);
        let text = assumed.sentences.join(" ");
        assert!(text.contains("0…1 was assumed") && text.contains("--preset"), "{text}");
        assert!(!text.contains("explain nothing"), "{text}");
    }

    #[test]
    fn images_without_labels_judge_nothing() {
        let mut model =
            Model::from_graph(arch::find("gap-cnn").unwrap().build([1, 14, 14], 2, 0).unwrap()).unwrap();
        model.described = true;
        let judged = Judged {
            model: &model,
            logits: &[1.0, -1.0],
            labels: &[None, None],
            purpose: Purpose::Given,
            selected_among: 1,
            seed: 0,
        };
        let found = Headline::of(&judge(judged), true);
        assert_eq!(
            (found.tone, found.title.as_str()),
            (Tone::Unsure, "Not judged: the images have no labels")
        );
    }
}
