//! Classes that denote absence, such as "ok" or "no ring". The evidence for them has no location.

/// Whole class names that denote absence.
const NAMES: [&str; 16] = [
    "absent",
    "background",
    "benign",
    "clean",
    "empty",
    "fine",
    "good",
    "healthy",
    "intact",
    "neg",
    "negative",
    "none",
    "normal",
    "nothing",
    "ok",
    "okay",
];
/// First words of such names: "no ring", "without crack", "non-ship".
const BEGINNINGS: [&str; 5] = ["no", "non", "not", "without", "undamaged"];

/// Returns true if a class of this name denotes absence.
#[must_use]
pub fn means_absence(name: &str) -> bool {
    let lower = name.to_lowercase();
    let mut words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let Some(first) = words.next() else { return false };
    match words.next() {
        None => NAMES.contains(&first) || first == "no" || first == "undamaged",
        // "no ring" and "normal tissue", but not "good morning" or "background dog".
        Some(_) => {
            BEGINNINGS.contains(&first) || matches!(first, "normal" | "healthy" | "negative" | "benign")
        }
    }
}

/// Returns the positive class of a two-class model: class 1, unless its name denotes absence and that of class 0
/// does not.
#[must_use]
pub fn positive_class(class_names: &[String]) -> usize {
    match class_names {
        [zero, one] => usize::from(!means_absence(one) || means_absence(zero)),
        _ => 1,
    }
}

/// Explains the diffuse heat of classes that denote absence; `None` if the model has no such class.
#[must_use]
pub fn paragraph(class_names: &[String]) -> Option<String> {
    let absent: Vec<&String> = class_names.iter().filter(|name| means_absence(name)).collect();
    let name = absent.first()?;
    let looked_for = match class_names {
        [a, b] => format!("'{}'", if means_absence(a) { b } else { a }),
        _ => "anything else".to_owned(),
    };
    Some(format!(
        "Why is the heat for '{name}' spread over the image? The class means that something is absent, and \
         absence has no location: every part without {looked_for} is a little evidence for '{name}', \
         background and borders too. So such a map has no object to point at. To see what decides, look at \
         the map for {looked_for} (--class), also on images of '{name}': it is hot where the model sees \
         signs of it, and its negative side shows the evidence against it."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mean_absence() {
        for name in [
            "ok",
            "OK",
            "no ring",
            "no_ship",
            "non-defect",
            "Normal",
            "normal tissue",
            "negative",
            "good",
            "without crack",
        ] {
            assert!(means_absence(name), "{name}");
        }
        for name in
            ["ring", "defect", "notebook", "nozzle", "oklahoma", "good dog", "1", "", "north", "positive"]
        {
            assert!(!means_absence(name), "{name}");
        }
    }

    #[test]
    fn the_class_that_is_looked_for() {
        let names = |a: &str, b: &str| [a.to_owned(), b.to_owned()];
        assert_eq!(positive_class(&names("no ring", "ring")), 1);
        assert_eq!(positive_class(&names("defect", "ok")), 0);
        assert_eq!(positive_class(&names("cat", "dog")), 1);
        assert_eq!(positive_class(&names("ok", "normal")), 1);
        assert_eq!(positive_class(&[]), 1);
    }

    #[test]
    fn the_paragraph_names_both_classes() {
        let text = paragraph(&["defect".to_owned(), "ok".to_owned()]).unwrap();
        assert!(text.contains("heat for 'ok'") && text.contains("map for 'defect'"), "{text}");
        assert_eq!(paragraph(&["cat".to_owned(), "dog".to_owned()]), None);
    }
}
