//! Tests of boxes and masks: output, pixel coordinates, and reading of COCO files.

use std::fs;
use std::path::Path;

use image::imageops::{FilterType, resize};

use crate::common::{Trained, columns, explain, files, json, manifest, save_png};

/// Writes images of 40 × 24 pixels, which the model resizes to 16 × 16.
fn pictures(folder: &Path) {
    for n in 0..4 {
        let path = folder.join(format!("photo {n}.png"));
        save_png(&path, n, n % 2);
        let small = image::open(&path).unwrap().to_luma8();
        resize(&small, 40, 24, FilterType::Triangle).save(&path).unwrap();
    }
}

#[test]
fn boxes_and_masks_lie_on_the_pictures_as_they_are_on_disk() {
    let trained = Trained::new(2);
    let (photos, out) = (trained.path("photos"), trained.path("out"));
    pictures(&photos);
    let flags = "--save boxes,masks --method grad_cam --class 1 --threshold 0.5 --components all";
    explain(&trained.model, &photos, &out, flags).ends(0);
    let masks = (0..4).map(|n| format!("photo_{n}_{n}/mask_grad_cam.png"));
    let mut expected: Vec<String> =
        ["annotations.json", "manifest.jsonl", "run.json"].map(str::to_owned).into();
    expected.extend(masks);
    expected.sort_unstable();
    assert_eq!(files(&out).into_keys().collect::<Vec<_>>(), expected);

    let coco = json(&out.join("annotations.json"));
    assert_eq!(coco["categories"][1]["name"], "1");
    let (images, annotations) = (coco["images"].as_array().unwrap(), coco["annotations"].as_array().unwrap());
    assert_eq!(images.len(), 4);
    let mut found = 0;
    for (n, image) in images.iter().enumerate() {
        assert_eq!((&image["width"], &image["height"]), (&40.into(), &24.into()));
        assert!(image["file_name"].as_str().unwrap().ends_with(&format!("photo {n}.png")));
        let mask = image::open(out.join(format!("photo_{n}_{n}/mask_grad_cam.png"))).unwrap().to_luma8();
        assert_eq!(mask.dimensions(), (40, 24));
        let own = annotations.iter().filter(|a| a["image_id"] == image["id"]);
        let area: u64 = own.clone().map(|a| a["area"].as_u64().unwrap()).sum();
        assert_eq!(area, mask.pixels().filter(|p| p.0[0] == 255).count() as u64);
        for annotation in own {
            let [x, y, w, h] = [0, 1, 2, 3].map(|i| annotation["bbox"][i].as_u64().unwrap());
            assert!(x + w <= 40 && y + h <= 24 && w * h >= annotation["area"].as_u64().unwrap());
            assert_eq!(annotation["category_id"], 2);
            found += 1;
        }
    }
    let empty = manifest(&out).iter().filter(|line| line["maps"][0]["empty_because"].is_string()).count();
    assert!(found >= 4 - empty && found > 0, "{found} boxes, {empty} empty maps");
}

#[test]
fn what_was_written_covers_itself_and_only_itself() {
    let trained = Trained::new(2);
    let (photos, first) = (trained.path("photos"), trained.path("first"));
    pictures(&photos);
    let flags = "--save boxes,masks --method grad_cam --class 1";
    explain(&trained.model, &photos, &first, flags).ends(0);
    let compare = |name: &str, truth: &Path, flags: &str| {
        let out = trained.path(name);
        let flags = format!("{flags} --truth {}", truth.display());
        let said = explain(&trained.model, &photos, &out, &flags).ends(0);
        (said, fs::read_to_string(out.join("iou.csv")).unwrap_or_default())
    };
    let (said, table) =
        compare("same", &first.join("annotations.json"), "--save npz --method grad_cam --class 1");
    assert!(said.contains("mean IoU of masks 1.000"), "{said}");
    assert!(columns(&table, "mask_iou").iter().all(|iou| *iou == 1.0), "{table}");
    assert_eq!(
        files(&trained.path("same")).keys().collect::<Vec<_>>(),
        ["iou.csv", "manifest.jsonl", "maps.npz", "run.json"]
    );
    // The same masks as images in a folder.
    let folder = trained.path("masks");
    fs::create_dir(&folder).unwrap();
    for n in 0..4 {
        let mask = first.join(format!("photo_{n}_{n}/mask_grad_cam.png"));
        fs::copy(mask, folder.join(format!("photo {n}.png"))).unwrap();
    }
    let (_, table) = compare("folder", &folder, "--save npz --method grad_cam --class 1");
    assert!(columns(&table, "mask_iou").iter().all(|iou| *iou == 1.0), "{table}");
    let (_, table) = compare("looser", &folder, "--save npz --method grad_cam --class 1 --threshold q0.1");
    let ious = columns(&table, "mask_iou");
    let other = |iou: &f64| *iou > 0.0 && *iou < 1.0;
    assert!(ious.iter().all(|iou| (0.0..=1.0).contains(iou)) && ious.iter().any(other), "{table}");
    let report = explain(
        &trained.model,
        &photos,
        &trained.path("report"),
        &format!("--report --save npz --method grad_cam --truth {}", folder.display()),
    );
    report.ends(0);
    let html = fs::read_to_string(trained.path("report").join("report.html")).unwrap();
    assert!(html.contains("How well do the hot pixels cover the true objects?"));
    assert!(html.contains("outline of the true object"), "the cards show it");
}

#[test]
fn wrong_words_and_files_are_named() {
    let trained = Trained::new(2);
    let run = |flags: &str| explain(&trained.model, &trained.data, &trained.path("none"), flags);
    run("--threshold 7 --save boxes").says(2, &["--threshold", "\"7\"", "otsu"]);
    run("--components some --save boxes").says(2, &["--components", "largest, all"]);
    let wrong = trained.path("wrong.json");
    fs::write(&wrong, "{\"images\": []}").unwrap();
    run(&format!("--truth {}", wrong.display())).says(1, &["wrong.json", "annotations", "COCO"]);
    fs::write(&wrong, r#"{"images": [], "annotations": [{"image_id": 3}]}"#).unwrap();
    run(&format!("--truth {}", wrong.display())).says(1, &["image_id", "3"]);
    fs::write(&wrong, r#"{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "segmentation": {"size": [99999999, 99999999], "counts": "0"}}]}"#).unwrap();
    run(&format!("--truth {}", wrong.display())).says(1, &["segmentation"]);
    assert!(!trained.path("none").exists());
    // A mask of another size is an error.
    let small = trained.path("small");
    save_png(&small.join("data_0.png"), 0, 0);
    let bigger = trained.path("bigger");
    pictures(&bigger);
    fs::rename(small.join("data_0.png"), small.join("photo 0.png")).unwrap();
    let wrong = format!("--save npz --method grad_cam --force --truth {}", small.display());
    explain(&trained.model, &bigger, &trained.path("none"), &wrong).says(1, &["16 × 16", "24 × 40"]);
    fs::remove_dir_all(trained.path("none")).unwrap();
    // Ground truth for other images does not apply to these.
    let folder = trained.path("empty");
    fs::create_dir(&folder).unwrap();
    run(&format!("--rows 0:2 --save npz --method grad_cam --truth {}", folder.display()))
        .says(0, &["names none of these images"]);
}
