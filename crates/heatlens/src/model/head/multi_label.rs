//! Independent classes, each with its own sigmoid.

use heatlens_graph::Graph;

use super::kind::{Guess, HeadKind, Row};
use super::{Activation, End, Scores};

pub(super) const ROW: Row = Row {
    kind: HeadKind::MultiLabel,
    name: "multi-label",
    summary: "Scores of independent labels",
    about: "the score of a class; each class is present or absent, independently of the others",
    quantity: false,
    refuses,
    guess,
    dense: None,
};

fn refuses(outputs: usize, scores: &Scores) -> Option<String> {
    let softmax = matches!(scores.activation, Activation::Softmax | Activation::LogSoftmax);
    match outputs {
        1 => Some("there is one score".to_owned()),
        _ if softmax => {
            Some("the scores go through one softmax, so the classes exclude each other".to_owned())
        }
        _ => None,
    }
}

fn guess(_: &Graph, end: &End<'_>) -> Option<Guess> {
    let each =
        matches!(end.scores.activation, Activation::Sigmoid | Activation::HardSigmoid | Activation::LogOdds);
    (end.outputs > 1 && each && !end.scores.exclusive).then(|| Guess::sure(HeadKind::MultiLabel))
}
