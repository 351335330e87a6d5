//! List of expected failures.

use std::collections::BTreeMap;

use crate::case::Outcome;

/// One line of the list.
#[derive(Debug)]
struct Entry {
    /// Names of tests; `*` matches any characters.
    names: String,
    /// Names excluded from these.
    but: Option<String>,
    line: usize,
}

/// List of expected failures. A line is `names: reason` or `names !but: reason`; `#` starts a comment.
#[derive(Debug)]
pub(crate) struct Expected(Vec<Entry>);

/// True if a name matches a pattern.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((front, rest)) => name.strip_prefix(front).is_some_and(|left| {
            (0..=left.len()).any(|i| left.get(i..).is_some_and(|left| matches(rest, left)))
        }),
    }
}

impl Expected {
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let mut entries = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let number = index + 1;
            let (names, reason) =
                line.split_once(": ").ok_or_else(|| format!("line {number}: no reason: {line:?}"))?;
            if reason.trim().is_empty() {
                return Err(format!("line {number}: an empty reason"));
            }
            let (names, but) =
                names.split_once(" !").map_or((names, None), |(names, but)| (names, Some(but)));
            let but = but.map(str::to_owned);
            entries.push(Entry { names: names.to_owned(), but, line: number });
        }
        Ok(Self(entries))
    }

    fn lists(&self, name: &str) -> Option<&Entry> {
        let but = |e: &Entry| e.but.as_ref().is_some_and(|but| matches(but, name));
        self.0.iter().find(|e| matches(&e.names, name) && !but(e))
    }

    /// Returns the differences from the list, in both directions.
    pub(crate) fn compare(&self, outcomes: &BTreeMap<String, Outcome>) -> Vec<String> {
        let mut complaints = Vec::new();
        for (name, outcome) in outcomes {
            match (self.lists(name), outcome) {
                (None, Outcome::Failed(reason)) => complaints.push(format!("FAILS: {name}: {reason}")),
                (Some(entry), Outcome::Passed { .. }) => {
                    complaints.push(format!("PASSES, but line {} lists it: {name}", entry.line));
                }
                _ => {}
            }
        }
        for entry in &self.0 {
            let used = outcomes.keys().any(|name| self.lists(name).is_some_and(|e| e.line == entry.line));
            if !used {
                complaints.push(format!("line {} lists no test: {}", entry.line, entry.names));
            }
        }
        complaints
    }
}

#[test]
fn the_list_fails_in_both_directions() {
    let list = Expected::read("# a group\nadd_* !*_new: no such thing\n\nmul: later\n").unwrap();
    let passed = || Outcome::Passed { compiled: false };
    let failed = || Outcome::Failed("why".to_owned());
    let outcomes =
        |pairs: &[(&str, Outcome)]| pairs.iter().map(|(n, o)| ((*n).to_owned(), o.clone())).collect();
    let good =
        outcomes(&[("add_1", failed()), ("add_2", failed()), ("mul", failed()), ("add_new", passed())]);
    assert_eq!(list.compare(&good), [""; 0]);
    let bad = outcomes(&[("add_1", passed()), ("mul", failed()), ("sub", failed())]);
    assert_eq!(list.compare(&bad), ["PASSES, but line 2 lists it: add_1", "FAILS: sub: why"]);
    let stale = outcomes(&[("add_1", failed()), ("sub", passed())]);
    assert_eq!(list.compare(&stale), ["line 4 lists no test: mul"]);
    assert!(Expected::read("add").is_err());
    assert!(
        matches("a*c*", "abcabc") && matches("*c", "abc") && !matches("a*d", "abc") && !matches("ab", "abc")
    );
}
