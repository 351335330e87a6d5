//! Mutually exclusive classes: a softmax over the logits, or one sigmoid of a single logit.

use heatlens_graph::Graph;

use super::kind::{Guess, HeadKind, Row};
use super::{Activation, End};

pub(super) const ROW: Row = Row {
    kind: HeadKind::Classes,
    name: "classes",
    summary: "Scores of classes that exclude one another",
    about: "the score of a class; the classes exclude each other",
    quantity: false,
    refuses: |_, _| None,
    guess,
    dense: None,
};

fn guess(_: &Graph, end: &End<'_>) -> Option<Guess> {
    let kind = HeadKind::Classes;
    let unsaid = end.scores.activation == Activation::None && !end.named;
    Some(match end.outputs {
        1 if unsaid => Guess::with_note(
            kind,
            "the single output has no sigmoid; it is taken as the logit z of class 1 (if it is a quantity, \
             such as an age: --head regression)",
        ),
        outputs if unsaid => Guess::with_note(
            kind,
            format!(
                "the {outputs} scores have no softmax or sigmoid; they are taken as the logits of classes that exclude each other \
                 (--head multi-label or regression if they are not)"
            ),
        ),
        _ => Guess::sure(kind),
    })
}
