//! Suggestion of a command to try next.

use std::path::{Path, PathBuf};

use heatlens::train::advice::Advice;

use crate::command::again;
use crate::output;

/// Flags of `train` that belong to a recipe, each with a value.
const SETTINGS: [&str; 14] = [
    "--recipe",
    "--arch",
    "--epochs",
    "--batch-size",
    "--optimizer",
    "--learning-rate",
    "--lr",
    "--momentum",
    "--weight-decay",
    "--lr-schedule",
    "--patience",
    "--monitor",
    "--class-weight",
    "--validation-split",
];

/// Prints the command as the last line of a run that has not shown that it learned.
pub(crate) fn tell(advice: &Advice, out: &Path) {
    let words = changed(&again::words(), advice, &fresh(out));
    output::line(format!("Next, with {}: {}", advice.reason(), again::line(&words)));
}

/// Returns the command with the suggested flags in place of existing ones, and another output folder.
fn changed(words: &[String], advice: &Advice, out: &Path) -> Vec<String> {
    let flags = advice.flags();
    let replaced = |name: &str| match advice {
        Advice::DefaultRecipe => SETTINGS.contains(&name),
        Advice::HoldOut(_) => matches!(name, "--validation-split" | "--validation-data"),
        _ => flags.iter().any(|flag| flag == name),
    };
    let takes_value = |name: &str| !matches!(name, "--horizontal-flip");
    let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
    let mut kept = Vec::new();
    let mut rest = words[..end].iter();
    while let Some(word) = rest.next() {
        let (name, value) = word.split_once('=').map_or((word.as_str(), None), |(n, v)| (n, Some(v)));
        if !name.starts_with("--") || !replaced(name) {
            kept.push(word.clone());
        } else if value.is_none() && takes_value(name) {
            rest.next();
        }
    }
    kept.extend(flags.iter().cloned());
    kept.extend(["--out".to_owned(), out.display().to_string()]);
    kept.extend(words[end..].iter().cloned());
    kept
}

/// Returns a folder next to `out` that does not exist yet: `run-2`, `run-3` and so on.
fn fresh(out: &Path) -> PathBuf {
    let name = out.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (stem, number) = match name.rsplit_once('-') {
        Some((stem, digits)) if digits.parse::<u32>().is_ok() => {
            (stem.to_owned(), digits.parse().unwrap_or(1))
        }
        _ => (name, 1u32),
    };
    let mut candidates = (number.saturating_add(1)..).map(|n| out.with_file_name(format!("{stem}-{n}")));
    candidates.find(|path| !path.exists()).unwrap_or_else(|| out.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &str, advice: &Advice) -> String {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        changed(&words, advice, Path::new("r-2")).join(" ")
    }

    #[test]
    fn flags_are_replaced() {
        let given = "train d --epochs=9 --arch gap-cnn --channels 1 --horizontal-flip";
        assert_eq!(
            line(given, &Advice::Augment { epochs: 18 }),
            "train d --arch gap-cnn --channels 1 --epochs 18 --horizontal-flip --shift 0.1 --out r-2"
        );
        assert_eq!(
            line(given, &Advice::DefaultRecipe),
            "train d --channels 1 --horizontal-flip --recipe default --out r-2"
        );
        assert_eq!(
            line("train d --validation-data v", &Advice::HoldOut(0.4)),
            "train d --validation-split 0.4 --out r-2"
        );
        assert_eq!(line("train -- -d", &Advice::Enlarge([9, 7])), "train --size 9x7 --out r-2 -- -d");
    }

    #[test]
    fn the_folder_is_a_fresh_one() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        assert_eq!(fresh(&run), folder.path().join("run-2"));
        std::fs::create_dir(folder.path().join("run-2")).unwrap();
        assert_eq!(fresh(&run), folder.path().join("run-3"));
        assert_eq!(fresh(&folder.path().join("run-2")), folder.path().join("run-3"));
    }
}
