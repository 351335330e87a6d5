//! The verdict on a model by the images that were explained.

use crate::report::answers::{Answers, Share};
use crate::report::parts::{Headline, Tone};
use crate::trust::chance::{ALPHA, Untestable, Verdict};

impl Headline {
    /// Says whether there is anything to explain, by the images of the page; `unseen` says that the model was not
    /// trained on them.
    #[must_use]
    pub fn of(answers: &Answers, unseen: bool) -> Self {
        let judgement = answers.judgement();
        let (tone, title) = match judgement.verdict {
            Verdict::Learned => (Tone::Good, "The model knows something"),
            Verdict::Chance => (Tone::Bad, "There is nothing to explain"),
            Verdict::Unknown(_) => (Tone::Unsure, "Whether the model knows anything is open"),
        };
        let mut sentences = Vec::new();
        match (judgement.verdict, answers.right()) {
            (Verdict::Unknown(why), _) => sentences.push(unknown(why, answers.rows.len())),
            (verdict, Some((right, of))) => {
                let share = Share::of(right, of);
                sentences.push(format!(
                    "It is right on {right} of {of} images ({}, 95 % interval {} to {}). Always answering “{}” would be right on {}.",
                    percent(share.value), percent(share.low), percent(share.high), judgement.largest_class, judgement.largest
                ));
                let sign = if verdict == Verdict::Learned { "below" } else { "above" };
                sentences.push(format!(
                    "Chance alone would do as well with a probability of at most {}, {sign} the limit of {ALPHA}.",
                    probability(judgement.p_value)
                ));
            }
            _ => {}
        }
        if judgement.verdict == Verdict::Chance {
            sentences.push("The maps below show where a model looks that has learned nothing.".to_owned());
        } else if judgement.verdict == Verdict::Learned && !unseen {
            sentences.push(
                "If the model was trained on these very images, that says little: judge by images it never saw.".to_owned(),
            );
        }
        Self { tone, title: title.to_owned(), sentences }
    }

    /// Knowing something is not enough if it is known by a shortcut.
    #[must_use]
    pub fn doubted(mut self) -> Self {
        if self.tone == Tone::Good {
            self.tone = Tone::Unsure;
            self.title = "The model knows something, perhaps the wrong thing".to_owned();
        }
        self
    }
}

fn unknown(why: Untestable, images: usize) -> String {
    match why {
        Untestable::NoLabels => format!(
            "The classes of these {images} images are not known, so its answers cannot be checked. Explain images in class folders, or an array with labels."
        ),
        Untestable::Mismatch => {
            "The labels do not fit the model's classes: check their order and number.".to_owned()
        }
        Untestable::OneClass => "All labelled images are of one class: add images of the others.".to_owned(),
        Untestable::TooFew => {
            "The labelled images are too few for any answer to count: explain more of them.".to_owned()
        }
        Untestable::NotFinite => {
            "The model's output is infinite or not a number: check the images and how they are scaled."
                .to_owned()
        }
    }
}

/// A share as people write it.
pub(super) fn percent(share: f64) -> String {
    let value = 100.0 * share;
    if value == 0.0 || (value - 100.0).abs() < 1e-9 {
        format!("{value:.0} %")
    } else {
        format!("{value:.1} %")
    }
}

/// A probability with as many digits as it deserves.
pub(super) fn probability(p: f64) -> String {
    match p {
        p if p >= 0.1 => format!("{p:.2}"),
        p if p >= 0.001 => format!("{p:.4}"),
        p if p < 1e-300 => "1e−300".to_owned(),
        p => format!("{p:.0e}").replace('-', "−"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::answers::Answer;

    fn answers(right: usize, wrong: usize) -> Answers {
        let mut answers = Answers::new(&["a".to_owned(), "b".to_owned()]);
        for i in 0..right + wrong {
            let (label, miss) = (i % 2, i >= right);
            let predicted = if miss { 1 - label } else { label };
            let logits = vec![if predicted == 1 { 1.0 } else { -1.0 }];
            answers.rows.push(Answer { label: Some(label), predicted, probability: 0.7, logits });
        }
        answers
    }

    #[test]
    fn the_verdict_follows_the_answers() {
        let good = Headline::of(&answers(58, 2), true);
        assert_eq!((good.tone, good.clone().doubted().tone), (Tone::Good, Tone::Unsure));
        assert_eq!(Headline::of(&answers(58, 2), false).sentences.len(), good.sentences.len() + 1);
        assert!(
            good.sentences[0].starts_with("It is right on 58 of 60 images (96.7 %"),
            "{:?}",
            good.sentences
        );
        let bad = Headline::of(&answers(30, 30), true);
        assert_eq!((bad.tone, bad.title.as_str()), (Tone::Bad, "There is nothing to explain"));
        assert_eq!(Headline::of(&answers(2, 0), true).tone, Tone::Unsure);
        assert_eq!(Headline::of(&Answers::new(&[]), true).tone, Tone::Unsure);
    }
}
