//! Tests of `--shard` and `heatlens merge`: a split run has the bytes of an unsplit one, or the error says why not.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{Run, Trained, class_folder, files, heatlens, save_png};

/// Flags for all outputs that span several images, with methods of several kinds.
const ALL: &str = "--method grad_cam,gradient,rise --set rise.masks=4 --class all --report --save png,npz,tensors,boxes,masks";

struct Case {
    trained: Trained,
    images: PathBuf,
}

impl Case {
    /// Creates a model, and images in class folders, one of them broken.
    fn new() -> Self {
        let trained = Trained::new(2);
        let images = trained.path("images");
        class_folder(&images, &["0", "1"], 5);
        fs::write(images.join("0/002.png"), "no picture").unwrap();
        Self { trained, images }
    }

    fn run(&self, command: &str, flags: &str, out: &str) -> Run {
        let out = self.trained.path(out);
        heatlens(
            &format!("{command} {flags}"),
            &[&self.trained.model, &self.images, Path::new("--out"), &out],
        )
    }

    fn merge(&self, shards: &[&str], out: &str) -> Run {
        let mut paths: Vec<PathBuf> = shards.iter().map(|name| self.trained.path(name)).collect();
        paths.extend([PathBuf::from("--out"), self.trained.path(out)]);
        heatlens("merge", &paths)
    }

    fn files(&self, out: &str) -> std::collections::BTreeMap<String, Vec<u8>> {
        files(&self.trained.path(out))
    }
}

#[test]
fn merged_shards_are_one_run() {
    let case = Case::new();
    let whole = case.run("explain", ALL, "whole");
    whole.says(1, &["1 of 10 images could not be read"]);
    for n in 1..=3 {
        let shard = case.run("explain", &format!("{ALL} --shard {n}/3 --threads {n}"), &n.to_string());
        shard.says(i32::from(n == 3), &["images explained"]);
    }
    let merged = case.merge(&["3", "1", "2"], "merged");
    merged.says(1, &["1 of 10 images could not be read"]);
    assert_eq!(merged.stdout.replace("merged", "whole"), whole.stdout);
    let (whole, merged) = (case.files("whole"), case.files("merged"));
    // With this many methods the sheet exceeds 2 MB.
    assert!(whole.contains_key("report.html") && whole.contains_key("sheet.jpg"), "{:?}", whole.keys());
    for name in
        ["tensors.npz", "maps.npz", "channels.csv", "annotations_grad_cam#0.json", "0_000_0/mask_rise#1.png"]
    {
        assert!(whole.contains_key(name), "{name}: {:?}", whole.keys());
    }
    assert_eq!(whole.keys().collect::<Vec<_>>(), merged.keys().collect::<Vec<_>>());
    for (name, bytes) in &whole {
        assert!(*bytes == merged[name], "{name} differs");
    }
}

#[test]
fn merged_shards_are_one_audit() {
    let case = Case::new();
    let flags = "--images 7 --method grad_cam,gradient";
    case.run("audit", flags, "whole").ends(1);
    for n in 1..=3 {
        let shard = case.run("audit", &format!("{flags} --shard {n}/3"), &n.to_string());
        shard.says(shard.code, &["of 7 images measured", "heatlens merge"]);
    }
    case.merge(&["1", "2", "3"], "merged").says(1, &["recommended: ", "could not be read"]);
    let (whole, merged) = (case.files("whole"), case.files("merged"));
    assert_eq!(whole.keys().collect::<Vec<_>>(), merged.keys().collect::<Vec<_>>());
    for (name, bytes) in whole.iter().filter(|(name, _)| *name != "timing.json") {
        assert!(*bytes == merged[name], "{name} differs");
    }
    case.run("audit", "--images 2 --method cam --shard 3/3", "empty").says(1, &["is empty", "fewer shards"]);
}

#[test]
fn what_is_no_whole_run_is_not_merged() {
    let case = Case::new();
    let shard = |flags: &str, out: &str| case.run("explain", &format!("--save npz {flags}"), out).ends(0);
    case.run("explain", "--save npz --shard 1/3", "a").ends(0);
    case.run("explain", "--save npz --shard 2/3", "b").ends(0);
    case.run("explain", "--save npz --shard 3/3", "c").says(1, &["002.png"]);
    let refuses = |shards: &[&str], words: &[&str]| {
        case.merge(shards, "merged").says(1, words);
        assert!(!case.trained.path("merged").join("manifest.jsonl").exists());
    };
    refuses(&["a", "b"], &["found 2 of 3 shards, 3/3 missing"]);
    refuses(&["a", "b", "a", "c"], &["are both shard 1/3"]);
    refuses(&["a", "images"], &["images is not a finished shard", "--shard"]);
    fs::create_dir(case.trained.path("table")).unwrap();
    fs::write(case.trained.path("table").join("part-0.parquet"), b"PAR1").unwrap();
    refuses(&["table"], &["table is not a finished shard", "merged by `python -m heatlens.merge`"]);
    shard("--shard 2/4", "quarter");
    refuses(&["a", "quarter", "c"], &["come from different runs", "1/3", "2/4"]);
    shard("--shard 2/3 --method cam", "other");
    refuses(
        &["a", "other", "c"],
        &["come from different runs", "methods", "\"cam\"", "with the same command"],
    );
    let damaged = case.trained.path("c").join("run.json");
    let text = fs::read_to_string(&damaged).unwrap();
    fs::write(&damaged, text.replace("3/3", "7/3")).unwrap();
    refuses(&["a", "b", "c"], &["run.json is damaged", "7/3"]);
    fs::write(&damaged, text.replace("\"version\": \"", "\"version\": \"1")).unwrap();
    refuses(&["a", "b", "c"], &["different runs: version is"]);
    fs::write(&damaged, &text).unwrap();
    for wrong in ["0/3", "4/3", "x"] {
        case.run("explain", &format!("--shard {wrong}"), "wrong").says(2, &["as 1/3, 2/3 or 3/3", wrong]);
    }

    // A shard that was interrupted, and images that changed.
    let cut = case.trained.path("b").join("explanations.bin");
    let bytes = fs::read(&cut).unwrap();
    fs::write(&cut, &bytes[..bytes.len() - 9]).unwrap();
    case.merge(&["a", "b", "c"], "cut").says(1, &["explanations.bin", "make that shard again"]);
    let mut odd = bytes.clone();
    odd[20] ^= 1;
    fs::write(&cut, &odd).unwrap();
    case.merge(&["a", "b", "c"], "odd").says(1, &["explanations.bin", "whose checksum is wrong"]);
    fs::write(&cut, &bytes).unwrap();
    save_png(&case.images.join("1/001.png"), 30, 1);
    case.merge(&["a", "b", "c"], "changed").says(1, &["image number 6", "have changed", "again"]);
    save_png(&case.images.join("1/001.png"), 1, 1);
    save_png(&case.images.join("1/100.png"), 1, 1);
    refuses(&["a", "b", "c"], &["made from 10 images, but now there are 11"]);
    fs::remove_file(case.images.join("1/100.png")).unwrap();
    case.merge(&["a", "b", "c"], "merged").says(1, &["9 of 10 images explained", "002.png"]);
}
