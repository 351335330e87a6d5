//! Output of `-h`, `--help`, `heatlens completions` and `heatlens man`.

use std::collections::BTreeMap;
use std::fs;

use crate::common::heatlens;

const COMMANDS: [&str; 12] = [
    "demo",
    "train",
    "predict",
    "explain",
    "audit",
    "merge",
    "inspect",
    "convert",
    "methods",
    "bench",
    "completions",
    "man",
];

fn help(words: &str) -> String {
    let run = heatlens::<&str>(words, &[]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{words}");
    run.stdout
}

/// The flags of a help text below their headings; lines of a description are indented further than flags.
fn flags(text: &str) -> BTreeMap<String, Vec<String>> {
    let (mut found, mut heading) = (BTreeMap::<_, Vec<_>>::new(), String::new());
    for line in text.lines() {
        if let Some(name) = line.strip_suffix(':').filter(|name| !name.starts_with(' ')) {
            name.clone_into(&mut heading);
        }
        let flag = line.trim_start();
        if flag.starts_with('-') && line.len() - flag.len() <= 6 {
            let name = flag.split([' ', ',']).find(|word| word.starts_with("--")).unwrap_or(flag);
            found.entry(heading.clone()).or_default().push(name.to_owned());
        }
    }
    found
}

#[test]
fn every_flag_stands_below_a_heading() {
    let known = [
        "Input",
        "Model",
        "Method",
        "Target",
        "Output",
        "Pictures",
        "Boxes and masks",
        "Network",
        "Training",
        "Validation",
        "Augmentation",
        "Measurement",
        "Run",
    ];
    for command in COMMANDS.iter().chain(&[""]) {
        let groups = flags(&help(&format!("{command} --help")));
        for (heading, flags) in &groups {
            assert!(known.contains(&heading.as_str()), "{command}: {flags:?} stand below {heading:?}");
        }
        for flag in ["--threads", "--memory", "--isa", "--quiet", "--help"] {
            assert!(groups["Run"].iter().any(|name| name == flag), "{command}: {flag}");
        }
    }
    // Positions have a group of their own.
    for command in COMMANDS {
        let text = help(&format!("{command} -h"));
        let groups = text.split("\n\n").filter(|group| group.contains("\n  <") || group.contains("\n  ["));
        assert!(groups.clone().all(|group| group.starts_with("Arguments:\n")), "{text}");
    }
    let explain = flags(&help("explain --help"));
    for (heading, flag) in
        [("Input", "--rows"), ("Method", "--layer"), ("Target", "--class"), ("Output", "--save")]
    {
        assert!(explain[heading].iter().any(|name| name == flag), "{flag} in {explain:?}");
    }
}

#[test]
fn the_short_help_shows_the_common_flags_and_examples() {
    for command in COMMANDS {
        let (short, long) = (help(&format!("{command} -h")), help(&format!("{command} --help")));
        assert!(short.lines().count() <= 42, "{command} -h has {} lines", short.lines().count());
        let count = |text: &str| flags(text).values().map(Vec::len).sum::<usize>();
        assert!(count(&short) <= 16 && count(&short) <= count(&long), "{command}: {}", count(&short));
        for text in [&short, &long] {
            let (_, examples) = text.split_once("\nExamples:\n").unwrap();
            assert!(examples.contains(&format!("  heatlens {command}")), "{command}: {examples}");
        }
    }
    let short = help("explain -h");
    assert!(short.lines().count() <= 40, "{} lines: {short}", short.lines().count());
    for flag in ["--method", "--layer", "--class", "--out", "--report", "--preset", "--labels"] {
        assert!(short.contains(flag), "{flag}");
    }
    let long = help("explain --help");
    for value in ["- imagenet:", "- receptive-field:", "- multi-label:", "- npz16:", "(ONNX or Keras"] {
        assert!(long.contains(value), "{value}");
    }
}

/// The examples are typed by readers: every flag in them must be one of the command.
#[test]
fn examples_use_flags_that_exist() {
    for command in COMMANDS {
        let text = help(&format!("{command} --help"));
        let (_, examples) = text.split_once("\nExamples:\n").unwrap();
        for line in examples.lines().filter(|line| line.contains(" --")) {
            let mut words = line.split_whitespace().skip(1);
            let of = flags(&help(&format!("{} --help", words.next().unwrap())));
            for flag in words.filter(|word| word.starts_with("--")) {
                assert!(of.values().flatten().any(|known| known == flag), "{flag} in {line:?}");
            }
        }
    }
}

#[test]
fn completions_name_all_commands() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = help(&format!("completions {shell}"));
        for command in COMMANDS {
            assert!(script.contains(command), "{shell}: {command}");
        }
        assert!(script.contains("picture-size"), "{shell}");
    }
    let run = heatlens::<&str>("completions tcsh", &[]);
    run.says(2, &["'tcsh'", "bash", "zsh"]);
}

/// Bash itself completes with the script.
#[cfg(unix)]
#[test]
fn bash_completes_commands_and_values() {
    let complete = |words: &str, last: &str| {
        let all: Vec<&str> = words.split(' ').chain([last]).collect();
        let script = format!(
            "{}\nCOMP_WORDS=({}); COMP_CWORD={}; _heatlens heatlens '{last}' '{}'; echo \"${{COMPREPLY[*]}}\"",
            help("completions bash"),
            all.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
            all.len() - 1,
            all[all.len() - 2],
        );
        let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(complete("heatlens", "exp").trim(), "explain");
    assert_eq!(complete("heatlens explain", "--picture-s").trim(), "--picture-size");
    assert_eq!(complete("heatlens explain --preset", "torch").trim(), "torchvision");
}

#[test]
fn manual_pages_are_printed_and_written() {
    let page = help("man");
    assert!(page.contains(".TH heatlens 1"), "{page}");
    for command in COMMANDS {
        assert!(page.contains(&format!("heatlens\\-{command}(1)")), "{command}");
    }
    let page = help("man explain");
    for words in [
        ".SH METHOD",
        ".SH TARGET",
        ".SH RUN",
        "\\-\\-picture\\-size",
        "Opacity of strong heat",
        ".SH EXAMPLES",
    ] {
        assert!(page.contains(words), "{words} in {page}");
    }
    heatlens::<&str>("man nothing", &[]).says(2, &["no command \"nothing\"", "explain"]);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("man1");
    heatlens("man --out", &[&out]).says(0, &["man1"]);
    let mut written: Vec<_> =
        fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    written.sort();
    let mut expected: Vec<_> = COMMANDS.iter().map(|command| format!("heatlens-{command}.1")).collect();
    expected.push("heatlens.1".to_owned());
    expected.sort();
    assert_eq!(written, expected);
    assert_eq!(fs::read_to_string(out.join("heatlens-explain.1")).unwrap().trim_end(), page.trim_end());
}
