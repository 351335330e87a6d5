//! Tests of the images written by `explain`: size, shape, colours, names and bytes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use image::{Rgb, RgbImage};

use crate::common::{Trained, arrays, class_folder, explain, files, heatlens, manifest, noise, save_png};

/// Returns a photograph-like colour image: smooth, with camera noise.
fn photograph(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let (u, v) = (x as f32 / width as f32, y as f32 / height as f32);
        let grain = |k: u64| 14.0 * noise(u64::from(y * width + x) * 3 + k) - 7.0;
        let value = |base: f32, k: u64| (base + grain(k)).clamp(0.0, 255.0) as u8;
        Rgb([
            value(40.0 + 180.0 * u, 0),
            value(60.0 + 90.0 * (6.0 * v).sin().abs(), 1),
            value(200.0 - 150.0 * u * v, 2),
        ])
    })
}

fn picture(files: &BTreeMap<String, Vec<u8>>, name: &str) -> RgbImage {
    let bytes = files.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", files.keys()));
    image::load_from_memory(bytes).unwrap().to_rgb8()
}

/// Explains one file and returns the written files.
fn explained(trained: &Trained, input: &Path, flags: &str) -> BTreeMap<String, Vec<u8>> {
    let out = trained.path("out");
    explain(&trained.model, input, &out, &format!("{flags} --force")).ends(0);
    let written = files(&out);
    fs::remove_dir_all(&out).unwrap();
    written
}

#[test]
fn pictures_have_the_size_shape_and_colours_of_the_image() {
    let trained = Trained::new(2);
    let photo = photograph(400, 300);
    let path = trained.path("photo.png");
    photo.save(&path).unwrap();
    // A model of 16 × 16 greyscale pixels.
    let bare = explained(&trained, &path, "--method grad_cam,gradient --no-color-bar");
    assert!(picture(&bare, "photo_0/original.png") == photo);
    for name in ["heatmap_grad_cam", "overlay_grad_cam", "signed_grad_cam", "gradient"] {
        assert_eq!(picture(&bare, &format!("photo_0/{name}.png")).dimensions(), (400, 300), "{name}");
    }
    let over = picture(&bare, "photo_0/overlay_grad_cam.png");
    assert!(over.pixels().zip(photo.pixels()).filter(|(a, b)| a != b).count() > 10_000);

    let with_bar = explained(&trained, &path, "--method grad_cam");
    for name in ["heatmap_grad_cam", "overlay_grad_cam"] {
        let name = format!("photo_0/{name}.png");
        let (whole, alone) = (picture(&with_bar, &name), picture(&bare, &name));
        assert!(whole.width() == 400 && whole.height() > 330, "{name}: {:?}", whole.dimensions());
        assert!(image::imageops::crop_imm(&whole, 0, 0, 400, 300).to_image() == alone, "{name}");
    }
    // The cropped part is marked, and stays in the image.
    let cropped = explained(&trained, &path, "--method grad_cam --no-color-bar --resize crop");
    let heat = picture(&cropped, "photo_0/heatmap_grad_cam.png");
    assert_eq!(heat.dimensions(), (400, 300));
    assert!((0..49).all(|x| heat.get_pixel(x, 150) == heat.get_pixel(0, 0)));
    assert_ne!(heat.get_pixel(200, 150), heat.get_pixel(0, 0));
}

#[test]
fn size_colours_and_opacity_can_be_set() {
    let trained = Trained::new(2);
    let path = trained.path("photo.png");
    photograph(400, 300).save(&path).unwrap();
    let size = |flags: &str, input: &Path| {
        let written = explained(&trained, input, &format!("--method grad_cam --no-color-bar {flags}"));
        let name = written.keys().find(|name| name.ends_with("overlay_grad_cam.png")).unwrap().clone();
        picture(&written, &name)
    };
    assert_eq!(size("--picture-size 100", &path).dimensions(), (100, 75));
    let small = trained.path("small.png");
    save_png(&small, 1, 0);
    assert_eq!(size("", &small).dimensions(), (320, 320));
    assert_eq!(size("--picture-size original", &small).dimensions(), (16, 16));
    assert_eq!(size("--picture-size 100", &small).dimensions(), (100, 100));

    let original = image::open(&path).unwrap().to_rgb8();
    assert!(size("--opacity 0", &path) == original, "no cover leaves the image as it is");
    let [inferno, turbo] =
        ["inferno", "turbo"].map(|map| size(&format!("--colormap {map} --opacity 1"), &path));
    let differ = inferno.pixels().zip(turbo.pixels()).filter(|(a, b)| a != b).count();
    assert!(differ > 10_000, "{differ} pixels differ");
    // The maximum is light yellow in one colour map and dark red in the other.
    let near = |picture: &RgbImage, color: [u8; 3]| {
        picture.pixels().any(|p| p.0.iter().zip(color).all(|(a, b)| a.abs_diff(b) < 40))
    };
    assert!(near(&inferno, [252, 255, 164]) && near(&turbo, [122, 4, 3]));

    let out = trained.path("none");
    for (flags, words) in [
        ("--picture-size huge", ["huge", "auto, original"]),
        ("--opacity 1.5", ["1.5", "from 0 to 1"]),
        ("--colormap rainbow", ["rainbow", "turbo"]),
        ("--save npz,npz16", ["npz16", "not both"]),
    ] {
        explain(&trained.model, &path, &out, flags).says(2, &words);
    }
    assert!(!out.exists());
}

#[test]
fn pictures_of_a_photograph_are_small() {
    let trained = Trained::new(2);
    let path = trained.path("photo.jpg");
    photograph(320, 240).save(&path).unwrap();
    let methods = "--method grad_cam,guided_backprop,guided_grad_cam";
    let written = explained(&trained, &path, methods);
    let listed: Vec<&str> = written.keys().filter_map(|name| name.strip_prefix("photo_0/")).collect();
    assert_eq!(
        listed,
        [
            "guided_backprop.jpg",
            "guided_grad_cam.jpg",
            "heatmap_grad_cam.png",
            "original.jpg",
            "overlay_grad_cam.jpg",
            "signed_grad_cam.png"
        ]
    );
    let bytes: usize =
        written.iter().filter(|(name, _)| name.contains('/')).map(|(_, file)| file.len()).sum();
    assert!(bytes < 200_000, "{bytes}");
    let over = picture(&written, "photo_0/overlay_grad_cam.jpg");
    assert!(over.width() == 320 && over.height() > 240);
    // On request, all images have one format.
    let png = explained(&trained, &path, &format!("{methods} --picture-format png"));
    assert!(png.keys().filter(|name| name.contains('/')).all(|name| name.ends_with(".png")));
    let jpeg = explained(&trained, &path, &format!("{methods} --picture-format jpeg"));
    assert_eq!(jpeg.keys().collect::<Vec<_>>(), written.keys().collect::<Vec<_>>());
}

#[test]
fn names_say_the_class_and_sort_as_the_images_do() {
    let trained = Trained::new(2);
    let images = trained.path("images");
    class_folder(&images, &["0", "1"], 6);
    let out = trained.path("out");
    explain(&trained.model, &images, &out, "--method grad_cam").ends(0);
    let folders: Vec<String> = manifest(&out)
        .iter()
        .map(|line| line["files"][0].as_str().unwrap().trim_end_matches("/original.png").to_owned())
        .collect();
    assert_eq!((folders[0].as_str(), folders[11].as_str()), ("0_000_00", "1_005_11"));
    let mut sorted = folders.clone();
    sorted.sort();
    assert_eq!(folders, sorted);
}

#[test]
fn sixteen_bit_maps_are_the_maps() {
    let trained = Trained::new(2);
    let images = trained.path("images");
    class_folder(&images, &["0", "1"], 3);
    let run = |flags: &str, out: &str| {
        explain(&trained.model, &images, &trained.path(out), &format!("--method grad_cam,gradient {flags}"))
            .ends(0)
    };
    run("--save npz", "full");
    run("--save npz16", "half");
    let (full, half) = (arrays(&trained.path("full/maps.npz")), arrays(&trained.path("half/maps.npz")));
    for name in ["grad_cam", "gradient"] {
        let ((shape, exact), (half_shape, stored)) = (&full[name], &half[name]);
        let (scale_shape, scales) = &half[&format!("{name}.scale")];
        assert_eq!((half_shape, scale_shape.as_slice()), (shape, &[6][..]));
        let each = exact.len() / 6;
        let largest =
            |row: usize| exact[row * each..][..each].iter().fold(0.0_f64, |most, v| most.max(v.abs()));
        for (i, (value, stored)) in exact.iter().zip(stored).enumerate() {
            let off = (stored * scales[i / each] - value).abs();
            assert!(off <= largest(i / each) / 2048.0, "{name} {i}: {value} {stored}");
        }
    }
    assert_eq!(full["logits"], half["logits"]);
    let bytes = |out: &str| fs::metadata(trained.path(out).join("maps.npz")).unwrap().len();
    assert!(bytes("half") < bytes("full") * 2 / 3);
    // Shards give the same result.
    for n in 1..=2 {
        run(&format!("--save npz16 --shard {n}/2"), &n.to_string());
    }
    heatlens("merge", &[trained.path("1"), trained.path("2"), "--out".into(), trained.path("merged")])
        .ends(0);
    let read = |out: &str| fs::read(trained.path(out).join("maps.npz")).unwrap();
    assert!(read("merged") == read("half"));
}
