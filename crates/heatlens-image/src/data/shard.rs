//! Splitting of a large run over processes.

use std::fmt;
use std::str::FromStr;

/// Every n-th item of a data set, in the usual notation: `1/3`, `2/3` and `3/3` are the three shards of a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Number of the shard, from 1.
    pub number: usize,
    /// Total number of shards.
    pub of: usize,
}

impl Shard {
    /// True if the item at this position belongs to the shard. Neighbouring items go to different shards, so that each
    /// gets about the same share of every folder.
    #[must_use]
    pub fn holds(self, position: usize) -> bool {
        position % self.of == self.number - 1
    }
}

/// Maximum number of shards. It prevents a damaged file from causing a count to 2⁶⁴.
const MOST: usize = 10_000;

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(n, of)| Some((n.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((number, of)) if of <= MOST && (1..=of).contains(&number) => Ok(Self { number, of }),
            Some((_, of)) if of > MOST => Err(format!("expected at most {MOST} shards, found {text:?}")),
            _ => Err(format!("expected a number and how many there are, as 1/3, 2/3 or 3/3, found {text:?}")),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_in_one_shard() {
        let shards: Vec<Shard> = ["1/3", "2/3", "3/3"].iter().map(|text| text.parse().unwrap()).collect();
        for item in 0..10 {
            assert_eq!(shards.iter().filter(|shard| shard.holds(item)).count(), 1, "{item}");
        }
        assert!(shards[1].holds(1) && shards[1].holds(4));
        assert_eq!(shards[2].to_string(), "3/3");
        for wrong in ["0/3", "4/3", "1/0", "3", "a/3", "1/3/4", "-1/3", "", "1/18446744073709551615"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
