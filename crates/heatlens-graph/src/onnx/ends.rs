//! Outputs that hold a class instead of scores, and the scores they are computed from.
//!
//! Exporters of classifiers often return a decision: `ArgMax`, the five best classes (`TopK`), a name selected from a
//! list (`ArrayFeatureExtractor`), a table of names and scores (`ZipMap`). None of these is differentiable, and some
//! are not in the standard, but all are computed from scores that can be read.

use std::collections::BTreeMap;

use super::proto::{GraphProto, NodeProto};

/// Metadata key for class names stored in a node, one per line.
pub(super) const CLASS_LABELS: &str = "onnx.class_labels";

/// Scores that an output is computed from.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// Name of the value.
    pub(super) name: String,
    /// Class names, if a node on the path lists them.
    pub(super) labels: Option<Vec<String>>,
}

/// Nodes by the names of their outputs.
pub(super) struct Producers<'a>(BTreeMap<&'a str, &'a NodeProto>);

impl<'a> Producers<'a> {
    pub(super) fn of(graph: &'a GraphProto) -> Self {
        Self(graph.node.iter().flat_map(|node| node.output.iter().map(move |o| (o.as_str(), node))).collect())
    }

    /// Returns the node that computes a value.
    pub(super) fn node(&self, name: &str) -> Option<&'a NodeProto> {
        self.0.get(name).copied()
    }

    /// Returns the scores that the output `name` is computed from, if it holds a class, an index or a name instead.
    pub(super) fn source(&self, name: &str) -> Option<Source> {
        let (mut at, mut chosen, mut labels) = (name, false, None);
        // Each step goes to an earlier node, so the loop is bounded by the number of nodes.
        for _ in 0..=self.0.len() {
            let Some(node) = self.0.get(at) else { break };
            labels = labels.or_else(|| class_labels(node));
            let input = match (node.domain(), node.op_type()) {
                ("" | "ai.onnx", "ArgMax" | "TopK" | "Hardmax") | ("ai.onnx.ml", "ZipMap" | "Binarizer") => {
                    chosen = true;
                    0
                }
                ("ai.onnx.ml", "ArrayFeatureExtractor") => 1,
                ("ai.onnx.ml", "LabelEncoder")
                | (
                    "" | "ai.onnx",
                    "Cast" | "Identity" | "Squeeze" | "Unsqueeze" | "Reshape" | "Flatten" | "OneHot",
                ) => 0,
                _ => break,
            };
            match node.input.get(input) {
                Some(next) if !next.is_empty() => at = next,
                _ => break,
            }
        }
        chosen.then(|| Source { name: at.to_owned(), labels })
    }
}

/// Returns the class names of a `ZipMap`.
fn class_labels(node: &NodeProto) -> Option<Vec<String>> {
    if node.op_type() != "ZipMap" {
        return None;
    }
    let of = |name: &str| node.attribute.iter().find(move |a| a.name() == name);
    let texts = of("classlabels_strings")
        .map(|a| a.strings.iter().map(|s| String::from_utf8_lossy(s).replace('\n', " ")).collect::<Vec<_>>());
    let numbers = || of("classlabels_int64s").map(|a| a.ints.iter().map(ToString::to_string).collect());
    texts.filter(|t| !t.is_empty()).or_else(numbers).filter(|names| !names.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(domain: &str, op: &str, input: &[&str], output: &[&str]) -> NodeProto {
        let names = |list: &[&str]| list.iter().map(|&n| n.to_owned()).collect();
        NodeProto {
            op_type: Some(op.to_owned()),
            domain: Some(domain.to_owned()),
            input: names(input),
            output: names(output),
            ..NodeProto::default()
        }
    }

    #[test]
    fn a_class_is_traced_to_its_scores() {
        let graph = GraphProto {
            node: vec![
                node("", "Softmax", &["z"], &["p"]),
                node("", "ArgMax", &["p"], &["place"]),
                node("ai.onnx.ml", "ArrayFeatureExtractor", &["names", "place"], &["name"]),
                node("", "TopK", &["p", "k"], &["values", "places"]),
                node("", "Cast", &["z"], &["copy"]),
            ],
            ..GraphProto::default()
        };
        let producers = Producers::of(&graph);
        for output in ["name", "place", "values", "places"] {
            assert_eq!(producers.source(output).map(|s| s.name).as_deref(), Some("p"), "{output}");
        }
        assert_eq!(producers.source("p"), None);
        assert_eq!(producers.source("copy"), None, "a copy is not a choice");
    }
}
