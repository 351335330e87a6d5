//! Mapping of the sub-folders of an image folder to classes.

use std::path::{Path, PathBuf};

use super::DataError;
use super::walk::{file_name, list};

/// Maximum number of names listed in a sentence.
const LISTED: usize = 10;

/// Classes of sub-folders.
#[derive(Debug, Default)]
pub(super) struct Classes {
    /// Class of each folder, if it has one.
    pub(super) of: Vec<Option<usize>>,
    /// Names of all classes, if they are taken from the folders.
    pub(super) names: Option<Vec<String>>,
    /// Notes for the user.
    pub(super) notes: Vec<String>,
}

/// Matches folders with the classes `names`. Names match if they are equal or, unless ambiguous, if they differ only in
/// case, surrounding spaces, or `_` and `-` in place of spaces.
///
/// Placeholder names of unnamed classes (`assumed`) are replaced by the folders' names, sorted as text, if there are as
/// many folders as classes.
///
/// # Errors
/// If the folders are the parts of a data set (`train`, `val`), each with class folders.
pub(super) fn assign(
    parent: &Path,
    folders: &[PathBuf],
    names: &[String],
    assumed: bool,
) -> Result<Classes, DataError> {
    let found: Vec<String> = folders.iter().map(|folder| file_name(folder)).collect();
    if found.is_empty() || names.is_empty() {
        return Ok(Classes { of: vec![None; found.len()], ..Classes::default() });
    }
    refuse_parts(parent, folders, names)?;
    if assumed {
        return Ok(by_order(parent, &found, names.len()));
    }
    let of = by_name(&found, names);
    let strangers: Vec<String> =
        found.iter().zip(&of).filter(|(_, class)| class.is_none()).map(|(name, _)| name.clone()).collect();
    let mut notes = Vec::new();
    if !strangers.is_empty() {
        notes.push(format!(
            "{}: no class of the model is named like the folder{} {}, so the class of the images there is \
             unknown; the classes are {}. Rename the folders, or name the classes after the folders with \
             --labels FILE (one name per line, in the order of the model's outputs)",
            parent.display(),
            if strangers.len() == 1 { "" } else { "s" },
            listed(&strangers),
            listed(names)
        ));
    }
    let differ = |(name, class): (&String, &Option<usize>)| {
        let class = names.get((*class)?)?;
        (class != name).then(|| format!("{name} as {class}"))
    };
    let alike: Vec<String> = found.iter().zip(&of).filter_map(differ).collect();
    if !alike.is_empty() {
        notes.push(format!("{}: folders taken as the model's classes: {}", parent.display(), listed(&alike)));
    }
    Ok(Classes { of, names: None, notes })
}

/// Returns the class that matches the name of each folder.
pub(super) fn by_name(folders: &[String], names: &[String]) -> Vec<Option<usize>> {
    let exact: Vec<Option<usize>> =
        folders.iter().map(|folder| names.iter().position(|name| name == folder)).collect();
    let only = |word: &str, words: &[String]| {
        let mut same = words.iter().enumerate().filter(|(_, other)| plain(other) == plain(word));
        same.next().map(|(at, _)| at).filter(|_| same.next().is_none())
    };
    let alike = |folder: &String| {
        let class = only(folder, names)?;
        let free = !exact.contains(&Some(class)) && only(folder, folders).is_some();
        free.then_some(class)
    };
    folders.iter().zip(&exact).map(|(folder, class)| class.or_else(|| alike(folder))).collect()
}

fn plain(name: &str) -> String {
    name.trim().to_lowercase().replace(['_', '-'], " ")
}

/// Assigns unnamed classes to the folders in the order of their names, sorted as text, as in Keras and torchvision.
fn by_order(parent: &Path, found: &[String], classes: usize) -> Classes {
    let count = found.len();
    if count != classes {
        let note = format!(
            "{}: the model has {classes} classes without names, but there are {count} folders ({}), so the \
             images' classes are unknown; name the classes with --labels FILE (one name per line, in the \
             order of the model's outputs)",
            parent.display(),
            listed(found)
        );
        return Classes { of: vec![None; count], names: None, notes: vec![note] };
    }
    let mut names = found.to_vec();
    names.sort();
    let numbered: Vec<String> = names.iter().enumerate().map(|(k, name)| format!("{k} = {name}")).collect();
    let mut note = format!(
        "{}: the model has no class names; the folders' names, sorted as text as in Keras and torchvision, \
         are taken as its classes: {}. For another order give --labels FILE",
        parent.display(),
        listed(&numbered)
    );
    let numbers: Option<Vec<u64>> = names.iter().map(|name| name.trim().parse().ok()).collect();
    if numbers.is_some_and(|numbers| !numbers.is_sorted()) {
        note.push_str(
            ". The order is a guess: as text, 10 comes before 2; a model trained with numeric order has \
             another order",
        );
    }
    let of = found.iter().map(|folder| names.iter().position(|name| name == folder)).collect();
    Classes { of, names: Some(names), notes: vec![note] }
}

/// Common names for the parts of a data set.
const PARTS: [&str; 8] = ["train", "training", "val", "valid", "validation", "test", "testing", "eval"];

/// Rejects a folder of `train`, `val` and similar parts with class folders: the parts are not classes.
fn refuse_parts(parent: &Path, folders: &[PathBuf], names: &[String]) -> Result<(), DataError> {
    let is_part = |folder: &PathBuf| {
        let name = file_name(folder);
        PARTS.contains(&&*name.to_lowercase()) && !names.contains(&name)
    };
    let holds_folders = |folder: &PathBuf| list(folder).is_ok_and(|listing| !listing.folders.is_empty());
    if !folders.iter().all(is_part) || !folders.iter().any(holds_folders) {
        return Ok(());
    }
    let found: Vec<String> = folders.iter().map(|folder| file_name(folder)).collect();
    let unseen = folders.iter().rev().find(|folder| !file_name(folder).to_lowercase().starts_with("train"));
    let best = unseen.or(folders.first()).map(|folder| folder.display().to_string()).unwrap_or_default();
    Err(DataError::malformed(
        parent,
        format!(
            "holds {}, the parts of a data set, with class folders in them; give one part, such as {best}, or several",
            found.join(" and ")
        ),
    ))
}

/// Lists the first names and, if there are more, the total number.
pub(super) fn listed(names: &[String]) -> String {
    let shown = names.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > LISTED { format!("{shown}, … ({} in all)", names.len()) } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn names_match_without_case_where_that_is_clear() {
        for (folders, classes, expected) in [
            (&["ok", "Defect"][..], &["defect", "OK"][..], &[Some(1), Some(0)][..]),
            (&["white_shark", " tench"], &["tench", "white shark"], &[Some(1), Some(0)]),
            (&["OK", "ok"], &["OK", "bad"], &[Some(0), None]),
            (&["a"], &["A", " a"], &[None]),
            (&["good", "bad"], &["ok", "bad"], &[None, Some(1)]),
        ] {
            assert_eq!(by_name(&names(folders), &names(classes)), expected, "{folders:?}");
        }
    }

    #[test]
    fn classes_without_names_take_the_folders_sorted_as_text() {
        let folders: Vec<PathBuf> = ["10", "2", "0", "1"].iter().map(PathBuf::from).collect();
        let numbers = names(&["0", "1", "2", "3"]);
        let found = assign(Path::new("p"), &folders, &numbers, true).unwrap();
        assert_eq!(found.of, [Some(2), Some(3), Some(0), Some(1)]);
        assert_eq!(found.names, Some(names(&["0", "1", "10", "2"])));
        assert!(found.notes[0].contains("2 = 10") && found.notes[0].contains("guess"), "{:?}", found.notes);
        let fewer = assign(Path::new("p"), &folders[..2], &numbers, true).unwrap();
        assert_eq!((fewer.of, fewer.names), (vec![None; 2], None));
        assert!(
            fewer.notes[0].contains("4 classes without names, but there are 2 folders"),
            "{:?}",
            fewer.notes
        );
    }

    #[test]
    fn folders_of_other_names_are_named_with_both_lists() {
        let folders: Vec<PathBuf> = ["good", "defect"].iter().map(PathBuf::from).collect();
        let found = assign(Path::new("p"), &folders, &names(&["ok", "DEFECT"]), false).unwrap();
        assert_eq!(found.of, [None, Some(1)]);
        let notes = found.notes.join("\n");
        for words in ["folder good,", "classes are ok, DEFECT", "--labels", "defect as DEFECT"] {
            assert!(notes.contains(words), "{words}: {notes}");
        }
    }
}
