//! The nodes that a file's outputs need, in an order in which each follows those it reads from.
//!
//! ONNX requires this order, but converters that insert nodes (of half precision, for example) append them at the end,
//! and runtimes accept such files. Nodes that no output needs are left out, as runtimes do.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use super::inline;
use super::proto::NodeProto;

/// Returns the nodes that `outputs` need, each after those it reads from. The nodes are unchanged if there is no such
/// order, or if two of them compute the same name: the errors of such files are reported where they are read.
pub(super) fn needed<'n>(nodes: &'n [NodeProto], outputs: &[&str]) -> Cow<'n, [NodeProto]> {
    let mut producer: HashMap<&str, usize> = HashMap::new();
    for (i, node) in nodes.iter().enumerate() {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if producer.insert(name, i).is_some() {
                return Cow::Borrowed(nodes);
            }
        }
    }
    let needs: Vec<Vec<usize>> = nodes.iter().map(|node| needs(node, &producer)).collect();
    let wanted = reachable(outputs.iter().filter_map(|name| producer.get(name).copied()), &needs);
    let in_order = needs.iter().enumerate().all(|(i, needs)| needs.iter().all(|&other| other < i));
    if in_order && wanted.iter().all(|&wanted| wanted) {
        return Cow::Borrowed(nodes);
    }
    match order(&needs) {
        Some(order) => {
            let wanted = order.into_iter().filter(|&i| wanted[i]);
            Cow::Owned(wanted.filter_map(|i| nodes.get(i).cloned()).collect())
        }
        None => Cow::Borrowed(nodes),
    }
}

/// Returns for each node whether one of `roots` needs it.
fn reachable(roots: impl Iterator<Item = usize>, needs: &[Vec<usize>]) -> Vec<bool> {
    let mut wanted = vec![false; needs.len()];
    let mut open: Vec<usize> = roots.collect();
    while let Some(next) = open.pop() {
        if !std::mem::replace(&mut wanted[next], true) {
            open.extend(&needs[next]);
        }
    }
    wanted
}

/// Returns the nodes that a node, or a branch inside it, reads from, each once.
fn needs(node: &NodeProto, producer: &HashMap<&str, usize>) -> Vec<usize> {
    let mut needs = Vec::new();
    inline::names_read(std::slice::from_ref(node), &mut |name| needs.extend(producer.get(name)));
    needs.sort_unstable();
    needs.dedup();
    needs
}

/// Returns an order in which every entry follows those it needs, the smallest number first among several that could
/// come next; `None` if some need each other.
fn order(needs: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); needs.len()];
    let mut open: Vec<usize> = needs.iter().map(Vec::len).collect();
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

    fn names(nodes: &[NodeProto], outputs: &[&str]) -> String {
        needed(nodes, outputs).iter().map(|node| node.output[0].as_str()).collect()
    }

    #[test]
    fn nodes_follow_what_they_read() {
        let in_order = [node(&["x"], "a"), node(&["a"], "b")];
        assert_eq!(names(&in_order, &["b"]), "ab");
        assert!(matches!(needed(&in_order, &["b"]), Cow::Borrowed(_)));
        let appended = [node(&["d"], "a"), node(&["a"], "b"), node(&["x"], "c"), node(&["c", "x"], "d")];
        assert_eq!(names(&appended, &["b"]), "cdab");
        assert_eq!(names(&[node(&["b"], "a"), node(&["a"], "b")], &["b"]), "ab", "a cycle stays as it is");
        assert_eq!(
            names(&[node(&["a"], "a"), node(&["b"], "c"), node(&["x"], "b")], &["c"]),
            "acb",
            "likewise"
        );
    }

    #[test]
    fn nodes_that_no_output_needs_are_left_out() {
        let nodes = [node(&["x"], "a"), node(&["a"], "b"), node(&["a"], "c"), node(&["c"], "d")];
        assert_eq!(names(&nodes, &["b"]), "ab");
        assert_eq!(names(&nodes, &["d"]), "acd");
        assert_eq!(names(&nodes, &["b", "c"]), "abc");
        let doubled = [node(&["x"], "a"), node(&["x"], "a")];
        assert_eq!(names(&doubled, &["a"]), "aa", "left for the reader to refuse");
    }
}
