//! Order of the nodes: each after the nodes whose outputs it reads.
//!
//! ONNX requires this order, but converters that insert nodes (of half precision, for example) append them at the end,
//! and runtimes accept such files.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::inline;
use super::proto::NodeProto;

/// Returns the nodes in an order in which each follows those it reads from; unchanged if they are in such an order
/// already, or if there is none.
pub(super) fn sorted(nodes: &[NodeProto]) -> Cow<'_, [NodeProto]> {
    let mut producer: BTreeMap<&str, usize> = BTreeMap::new();
    for (i, node) in nodes.iter().enumerate() {
        node.output.iter().filter(|name| !name.is_empty()).for_each(|name| {
            producer.insert(name, i);
        });
    }
    let needs: Vec<BTreeSet<usize>> = nodes.iter().map(|node| needs(node, &producer)).collect();
    if needs.iter().enumerate().all(|(i, needs)| needs.iter().all(|&other| other < i)) {
        return Cow::Borrowed(nodes);
    }
    match order(&needs) {
        Some(order) => Cow::Owned(order.into_iter().filter_map(|i| nodes.get(i).cloned()).collect()),
        None => Cow::Borrowed(nodes),
    }
}

/// Returns the nodes that a node, or a branch inside it, reads from.
fn needs(node: &NodeProto, producer: &BTreeMap<&str, usize>) -> BTreeSet<usize> {
    let mut read = BTreeSet::new();
    inline::names_read(std::slice::from_ref(node), &mut read);
    read.iter().filter_map(|name| producer.get(name.as_str()).copied()).collect()
}

/// Returns an order in which every entry follows those it needs, the smallest number first among several that could
/// come next; `None` if some need each other.
fn order(needs: &[BTreeSet<usize>]) -> Option<Vec<usize>> {
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); needs.len()];
    let mut open: Vec<usize> = needs.iter().map(BTreeSet::len).collect();
    for (i, needs) in needs.iter().enumerate() {
        needs.iter().for_each(|&other| readers[other].push(i));
    }
    let mut ready: BTreeSet<usize> = (0..needs.len()).filter(|&i| open[i] == 0).collect();
    let mut order = Vec::with_capacity(needs.len());
    while let Some(next) = ready.pop_first() {
        order.push(next);
        for &reader in &readers[next] {
            open[reader] -= 1;
            if open[reader] == 0 {
                ready.insert(reader);
            }
        }
    }
    (order.len() == needs.len()).then_some(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(input: &[&str], output: &str) -> NodeProto {
        let input = input.iter().map(|&name| name.to_owned()).collect();
        NodeProto { input, output: vec![output.to_owned()], ..NodeProto::default() }
    }

    fn outputs(nodes: &[NodeProto]) -> String {
        sorted(nodes).iter().map(|node| node.output[0].as_str()).collect()
    }

    #[test]
    fn nodes_follow_what_they_read() {
        assert_eq!(outputs(&[node(&["x"], "a"), node(&["a"], "b")]), "ab");
        assert!(matches!(sorted(&[node(&["x"], "a")]), Cow::Borrowed(_)));
        let appended = [node(&["d"], "a"), node(&["a"], "b"), node(&["x"], "c"), node(&["c", "x"], "d")];
        assert_eq!(outputs(&appended), "cdab");
        assert_eq!(outputs(&[node(&["b"], "a"), node(&["a"], "b")]), "ab", "a cycle stays as it is");
        assert_eq!(outputs(&[node(&["a"], "a"), node(&["b"], "c"), node(&["x"], "b")]), "acb", "likewise");
    }
}
