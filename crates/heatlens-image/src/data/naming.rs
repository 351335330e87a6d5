//! Names of an image's outputs.

use std::path::{Component, Path, PathBuf};

/// Maximum length of a name in bytes. File systems allow 255, and a path contains more than this name.
const MOST_BYTES: usize = 116;

/// Returns a name for each file, in order: `<stem>_<index>` or, if the files are in several folders,
/// `<folder>_<stem>_<index>` with the folder relative to the common one. The index is zero-padded to the width of the
/// last one, so that names sort in the order of the files; it makes every name unique.
pub(super) fn names_of_files(paths: &[&Path]) -> Vec<String> {
    let common = common_folder(paths);
    let digits = digits(paths.len());
    let name = |(index, path): (usize, &&Path)| {
        let folder = path.parent().and_then(|parent| parent.strip_prefix(&common).ok()).map(folder_name);
        numbered(&folder.unwrap_or_default(), &safe_stem(path), index, digits)
    };
    paths.iter().enumerate().map(name).collect()
}

/// Returns the name of an array's row: `<stem>_<index>`, with the index zero-padded to the width of the last of `rows`
/// rows.
pub(super) fn name_of_row(stem: &str, index: usize, rows: usize) -> String {
    numbered("", stem, index, digits(rows))
}

/// Returns the number of digits of the last of `count` indices.
fn digits(count: usize) -> usize {
    count.saturating_sub(1).to_string().len()
}

/// Returns the deepest folder that contains all files.
fn common_folder(paths: &[&Path]) -> PathBuf {
    let mut parents = paths.iter().map(|path| path.parent().unwrap_or(Path::new("")));
    let mut common = parents.next().map(Path::to_path_buf).unwrap_or_default();
    for parent in parents {
        while !parent.starts_with(&common) {
            if !common.pop() {
                // One path is absolute and the other is relative.
                return PathBuf::new();
            }
        }
    }
    common
}

/// Returns the components of a relative path, joined into one word.
fn folder_name(path: &Path) -> String {
    let named = path.components().filter(|part| matches!(part, Component::Normal(_)));
    let parts = named.map(|part| safe(&part.as_os_str().to_string_lossy()));
    parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_")
}

/// Joins the words, truncated to the maximum length, and the number.
fn numbered(folder: &str, stem: &str, index: usize, digits: usize) -> String {
    let number = format!("_{index:0digits$}");
    let room = MOST_BYTES.saturating_sub(number.len());
    if folder.is_empty() {
        return format!("{}{number}", cut(stem, room));
    }
    let folder = cut(folder, (room / 3).max(room.saturating_sub(stem.len() + 1)));
    format!("{folder}_{}{number}", cut(stem, room.saturating_sub(folder.len() + 1)))
}

/// Returns the longest prefix of at most `most` bytes.
fn cut(text: &str, most: usize) -> &str {
    let fits = |at: &usize| *at <= most && text.is_char_boundary(*at);
    let end = (0..=text.len()).rev().find(fits).unwrap_or(0);
    &text[..end]
}

/// Returns a path's last component without its extension. Only letters, digits, `-`, `_` and `.` are kept; the result
/// is never empty or hidden.
pub(super) fn safe_stem(path: &Path) -> String {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
    let stem = safe(&stem);
    if stem.is_empty() { "image".to_owned() } else { stem }
}

fn safe(text: &str) -> String {
    let safe = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    text.trim_start_matches('.').chars().map(safe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(paths: &[&str]) -> Vec<String> {
        names_of_files(&paths.iter().map(Path::new).collect::<Vec<_>>())
    }

    #[test]
    fn one_folder_gives_stems_and_several_give_their_names_too() {
        assert_eq!(names(&["img/im0.png", "img/im1.png"]), ["im0_0", "im1_1"]);
        assert_eq!(names(&["a cat.jpg"]), ["a_cat_0"]);
        assert_eq!(
            names(&["d/ok/a.png", "d/ok/b.png", "d/not ok/a.png"]),
            ["ok_a_0", "ok_b_1", "not_ok_a_2"]
        );
        assert_eq!(names(&["d/a.png", "d/x/y/a.png"]), ["a_0", "x_y_a_1"]);
        assert_eq!(names(&["/one/a.png", "two/a.png"]), ["one_a_0", "two_a_1"]);
        assert_eq!(names(&["../a/..png", "../.b/.hidden"]), ["a_image_0", "b_hidden_1"]);
        assert!(names(&[]).is_empty());
    }

    #[test]
    fn numbers_have_the_same_width() {
        let ten = names(&["a.png"; 10]);
        assert_eq!((ten[0].as_str(), ten[9].as_str()), ("a_0", "a_9"));
        let eleven = names(&["a.png"; 11]);
        assert_eq!((eleven[0].as_str(), eleven[10].as_str()), ("a_00", "a_10"));
        assert_eq!([name_of_row("X", 7, 2001), name_of_row("X", 7, 10)], ["X_0007", "X_7"]);
    }

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let long = format!("{}/{}/a.png", "ü".repeat(100), "b".repeat(200));
        let other = format!("{}/{}.png", "c".repeat(100), "ß".repeat(120));
        let found = names(&[&long, &other, "short/name.png"]);
        assert!(found.iter().all(|name| name.len() <= MOST_BYTES), "{found:?}");
        assert!(
            found[0].ends_with("_a_0") && found[1].ends_with("ß_1") && found[2] == "short_name_2",
            "{found:?}"
        );
        assert_eq!(names(&[&format!("{}.png", "x".repeat(300))])[0].len(), MOST_BYTES);
    }
}
