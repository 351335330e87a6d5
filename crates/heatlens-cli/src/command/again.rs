//! Command line reduced to the arguments that affect results (no output path, no thread count).

/// Flags that do not affect results, and whether each takes a value.
const ASIDE: [(&str, bool); 10] = [
    ("--out", true),
    ("-o", true),
    ("--shard", true),
    ("--threads", true),
    ("--memory", true),
    ("--force", false),
    ("--resume", false),
    ("--json", false),
    ("--quiet", false),
    ("-q", false),
];

/// Returns the relevant arguments of this process's command line, without the program name.
pub(crate) fn words() -> Vec<String> {
    // Non-Unicode names are converted lossily, which is enough for a page; a merge then reports that they do not exist.
    what_counts(std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()))
}

fn what_counts(all: impl Iterator<Item = String>) -> Vec<String> {
    let (mut words, mut rest) = (Vec::new(), all);
    while let Some(word) = rest.next() {
        if word == "--" {
            words.push(word);
            words.extend(rest);
            break;
        }
        // The value of a short flag may follow without a space. Only -o takes a value.
        if word.starts_with("-o") && word.len() > 2 {
            continue;
        }
        let (name, value) = word.split_once('=').map_or((word.as_str(), None), |(n, v)| (n, Some(v)));
        match ASIDE.iter().find(|(flag, _)| *flag == name) {
            Some((_, true)) if value.is_none() => drop(rest.next()),
            Some(_) => {}
            None => words.push(word),
        }
    }
    words
}

/// Formats the command for a shell.
pub(crate) fn line(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!("heatlens {}", words.join(" "))
}

/// Quotes a word for a shell, if needed.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_and_how_fast_is_left_out() {
        let given = "--threads 2 explain m.onnx a --out x --shard=1/3 --force --method cam -- --out";
        let words = what_counts(given.split(' ').map(str::to_owned));
        assert_eq!(words.join(" "), "explain m.onnx a --method cam -- --out");
        for out in ["-o x", "-ox", "-o=x", "--out=x"] {
            let given = format!("explain m.onnx {out} a");
            assert_eq!(
                what_counts(given.split(' ').map(str::to_owned)).join(" "),
                "explain m.onnx a",
                "{out}"
            );
        }
        assert_eq!(line(&["explain".to_owned(), "it's".to_owned()]), r"heatlens explain 'it'\''s'");
    }
}
