//! Unique names.

use std::collections::HashMap;

/// Names of a graph's values, or of its nodes, with the id each belongs to.
#[derive(Clone, Debug)]
pub(super) struct NameTable<T> {
    owners: HashMap<String, T>,
    /// For each requested name that was taken, the first numeric suffix not yet tried.
    next: HashMap<String, usize>,
    /// Total length of all names in bytes.
    bytes: usize,
}

impl<T> Default for NameTable<T> {
    fn default() -> Self {
        Self { owners: HashMap::new(), next: HashMap::new(), bytes: 0 }
    }
}

impl<T: Copy> NameTable<T> {
    /// Returns the owner of a name.
    pub(super) fn find(&self, name: &str) -> Option<T> {
        self.owners.get(name).copied()
    }

    /// Registers the wanted name for `owner`, with a number appended if it is taken, and returns it. Numbers start at
    /// `count`, the number of names registered before, so that the first one is usually free. No number is tried twice
    /// for the same name, so names chosen to collide cannot cause quadratic time.
    pub(super) fn give(&mut self, wanted: &str, owner: T, count: usize) -> String {
        let name = self.first_free(wanted, count);
        self.bytes += name.len();
        self.owners.insert(name.clone(), owner);
        name
    }

    /// Releases a name.
    pub(super) fn take_back(&mut self, name: &str) {
        if self.owners.remove(name).is_some() {
            self.bytes -= name.len();
        }
    }

    /// Returns the total length of all names in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn first_free(&mut self, wanted: &str, count: usize) -> String {
        if !self.owners.contains_key(wanted) {
            return wanted.to_owned();
        }
        let mut number = count.max(self.next.get(wanted).copied().unwrap_or(0));
        loop {
            let name = format!("{wanted}_{number}");
            number += 1;
            if !self.owners.contains_key(&name) {
                self.next.insert(wanted.to_owned(), number);
                return name;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_name_gets_the_count_behind_it() {
        let mut names = NameTable::default();
        assert_eq!(names.give("conv", 0, 0), "conv");
        assert_eq!(names.give("conv", 1, 1), "conv_1");
        assert_eq!(names.give("relu", 2, 2), "relu");
        assert_eq!(names.give("conv", 3, 3), "conv_3");
        names.take_back("conv");
        assert_eq!(names.give("conv", 4, 4), "conv");
        assert_eq!((names.find("conv_3"), names.find("conv_2")), (Some(3), None));
    }

    /// Taken numbers are skipped once, not once per name.
    #[test]
    fn names_in_the_way_are_tried_once() {
        let mut names = NameTable::default();
        let count = 2000;
        for i in 0..count {
            names.give(&format!("n_{}", i + count), i, i);
        }
        names.give("n", 0, 0);
        let given: Vec<String> = (0..count).map(|i| names.give("n", i, count)).collect();
        assert_eq!(given.first().map(String::as_str), Some("n_4000"));
        assert_eq!(names.next.get("n"), Some(&(3 * count)), "one number for each name, none tried again");
        assert_eq!(given.last().map(String::as_str), Some("n_5999"));
    }
}
