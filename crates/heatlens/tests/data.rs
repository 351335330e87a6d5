//! User-supplied data sets: accepted formats, rejected ones, and the isolation of broken items.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::path::{Path, PathBuf};

use heatlens::data::{
    Dataset, Layout, NpzWriter, OpenOptions, Preprocessing, Resize, npy_bytes, open_inputs, open_training,
};
use image::{GrayImage, Luma, RgbImage};

fn options() -> OpenOptions {
    OpenOptions::default()
}

fn error_of(result: Result<Box<dyn Dataset>, heatlens::data::DataError>) -> String {
    result.map(|data| data.len()).unwrap_err().to_string()
}

/// Returns an array with the value n + i / 1000 at row n and element i.
fn array(shape: &[usize]) -> Vec<f32> {
    let row: usize = shape[1..].iter().product();
    (0..shape[0] * row).map(|at| (at / row) as f32 + (at % row) as f32 / 1000.0).collect()
}

fn write_npy(path: &Path, shape: &[usize], values: &[f32]) {
    std::fs::write(path, npy_bytes(shape, values)).unwrap();
}

fn case_folder(x: &[usize], y: &[usize], labels: &[f32]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_npy(&folder.path().join("X.npy"), x, &array(x));
    write_npy(&folder.path().join("y.npy"), y, labels);
    folder
}

fn class_folder(counts: &[(&str, usize)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (class, count) in counts {
        std::fs::create_dir(folder.path().join(class)).unwrap();
        for item in 0..*count {
            let picture = GrayImage::from_fn(6, 5, |x, y| Luma([(x * 7 + y + item as u32) as u8]));
            picture.save(folder.path().join(class).join(format!("{item:03}.png"))).unwrap();
        }
    }
    folder
}

#[test]
fn channels_last_and_first_give_the_same_samples() {
    let folder = tempfile::tempdir().unwrap();
    let last = array(&[2, 6, 5, 3]);
    let mut first = vec![0.0; last.len()];
    for (at, value) in last.iter().enumerate() {
        let (n, rest) = (at / 90, at % 90);
        first[n * 90 + rest % 3 * 30 + rest / 3] = *value;
    }
    let (a, b) = (folder.path().join("a.npy"), folder.path().join("b.npy"));
    write_npy(&a, &[2, 6, 5, 3], &last);
    write_npy(&b, &[2, 3, 6, 5], &first);
    let open = |path: &PathBuf| open_inputs(std::slice::from_ref(path), &options()).unwrap();
    assert_eq!(open(&a).shape(), [3, 6, 5]);
    assert_eq!(open(&a).load(1).unwrap().pixels, open(&b).load(1).unwrap().pixels);
    assert_eq!(open(&b).load(1).unwrap().pixels, first[90..]);
}

#[test]
fn rows_keep_their_original_index_and_labels() {
    let folder = case_folder(&[10, 5, 5, 1], &[10, 1], &[0., 1., 0., 1., 0., 1., 0., 1., 1., 1.]);
    let options = OpenOptions { rows: Some("7:".parse().unwrap()), ..options() };
    for path in [folder.path().to_path_buf(), folder.path().join("X.npy")] {
        let data = open_inputs(&[path], &options).unwrap();
        assert_eq!((data.len(), data.index(0), data.label(0), data.name(0).as_str()), (3, 7, Some(1), "X_7"));
        assert_eq!(data.class_names(), ["0", "1"]);
        // Floats above 1 are bytes, whichever rows are selected.
        assert_eq!(data.load(2).unwrap().pixels[3], (9.0 + 3.0 / 1000.0) / 255.0);
        assert!(data.load(3).is_err());
    }
    // Rows 7 to 9 are all of class 1: training must fail although the file has two classes.
    assert!(error_of(open_training(folder.path(), &options)).contains("only class \"1\""));
    assert_eq!(open_training(folder.path(), &OpenOptions::default()).unwrap().len(), 10);
}

#[test]
fn an_npz_holds_images_and_labels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("case.npz");
    let mut writer = NpzWriter::create(&path).unwrap();
    for row in 0..4_u8 {
        writer.push("X", &[3, 3], &[f32::from(row) / 4.0; 9]).unwrap();
        writer.push_integers("y", &[1], &[i64::from(row % 2)]).unwrap();
    }
    writer.finish().unwrap();
    let data = open_training(&path, &options()).unwrap();
    assert_eq!((data.len(), data.shape(), data.label(3)), (4, [1, 3, 3], Some(1)));
    let sample = data.load(2).unwrap();
    assert_eq!(sample.pixels, [0.5; 9]);
    assert_eq!(sample.display.get_pixel(1, 1).0, [128; 3]);
}

#[test]
fn labels_that_do_not_fit_are_refused() {
    let train = |x: &[usize], y: &[usize], labels: &[f32]| {
        error_of(open_training(case_folder(x, y, labels).path(), &options()))
    };
    assert!(train(&[3, 5, 5], &[2], &[0., 1.]).contains("3 images but 2 labels"));
    assert!(train(&[3, 5, 5], &[3], &[0., 0.5, 1.]).contains("the label of row 1 is 0.5"));
    assert!(train(&[3, 5, 5], &[3], &[0., -1., 1.]).contains("-1"));
    assert!(train(&[3, 5, 5], &[3], &[0., f32::NAN, 1.]).contains("NaN"));
    assert!(train(&[3, 5, 5], &[3], &[0., 1e9, 1.]).contains("whole number"));
    assert!(train(&[3, 5, 5], &[3, 2], &[0.; 6]).contains("shape 3×2"));
    assert!(train(&[3, 5, 5], &[3], &[1.; 3]).contains("at least two classes"));
}

#[test]
fn a_pixel_that_is_no_number_costs_its_own_image_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("X.npy");
    let mut values = array(&[3, 6, 5, 3]);
    values[90 + 2 * 15 + 3 * 3 + 1] = f32::NAN;
    write_npy(&path, &[3, 6, 5, 3], &values);
    let data = open_inputs(&[path], &options()).unwrap();
    let message = data.load(1).unwrap_err().to_string();
    assert!(message.contains("X.npy[1] holds NaN at channel 1, line 2, column 3"), "{message}");
    assert!(data.load(0).is_ok() && data.load(2).is_ok());
}

#[test]
fn arrays_must_fit_the_model() {
    let folder = case_folder(&[3, 8, 8, 3], &[3], &[0., 1., 0.]);
    let open = |shape| {
        let options = OpenOptions { preprocessing: Some(Preprocessing::new(shape)), ..options() };
        open_inputs(&[folder.path().to_path_buf()], &options)
    };
    assert!(open([3, 8, 8]).is_ok());
    assert!(error_of(open([1, 8, 8])).contains("1 channels"));
    assert!(error_of(open([3, 9, 9])).contains("arrays are not resized: resize them or save"));
    let ambiguous = case_folder(&[3, 3, 8, 3], &[3], &[0., 1., 0.]);
    assert!(error_of(open_training(ambiguous.path(), &options())).contains("--layout"));
    let options = OpenOptions { layout: Some(Layout::Nchw), ..options() };
    assert_eq!(open_training(ambiguous.path(), &options).unwrap().shape(), [3, 8, 3]);
}

#[test]
fn class_folders_are_classes() {
    let folder = class_folder(&[("dog", 3), ("cat", 2)]);
    std::fs::write(folder.path().join("cat/.DS_Store"), "x").unwrap();
    std::fs::create_dir(folder.path().join(".cache")).unwrap();
    let data = open_training(folder.path(), &options()).unwrap();
    assert_eq!(data.class_names(), ["cat", "dog"]);
    assert_eq!((data.len(), data.shape(), data.label(1), data.label(2)), (5, [1, 5, 6], Some(0), Some(1)));
    assert_eq!(data.name(2), "dog_000_2");
    let sample = data.load(3).unwrap();
    assert_eq!(sample.pixels[1], 8.0 / 255.0);
    assert_eq!(sample.display.dimensions(), (6, 5));
    // The model's classes label a folder for prediction, in the model's order.
    let options =
        OpenOptions { class_names: Some(["dog", "cat", "owl"].map(str::to_owned).to_vec()), ..options() };
    let data = open_inputs(&[folder.path().to_path_buf()], &options).unwrap();
    assert_eq!((data.len(), data.label(0), data.label(2)), (5, Some(1), Some(0)));
}

#[test]
fn folders_that_cannot_be_trained_on() {
    let empty = class_folder(&[("cat", 2), ("dog", 0)]);
    assert!(error_of(open_training(empty.path(), &options())).contains("dog holds no image"));
    assert!(
        error_of(open_training(class_folder(&[("cat", 2)]).path(), &options()))
            .contains("at least two classes")
    );
    assert!(error_of(open_training(class_folder(&[]).path(), &options())).contains("an empty folder"));
    assert!(error_of(open_training(Path::new("/no/such"), &options())).contains("/no/such"));
    let rows = OpenOptions { rows: Some("0:1".parse().unwrap()), ..options() };
    let folder = class_folder(&[("cat", 2), ("dog", 2)]);
    assert!(error_of(open_training(folder.path(), &rows)).contains("arrays only"));
}

#[test]
fn one_truncated_picture_among_a_hundred_is_one_error() {
    let folder = class_folder(&[("cat", 50), ("dog", 51)]);
    let broken = folder.path().join("cat/007.png");
    let bytes = std::fs::read(&broken).unwrap();
    std::fs::write(&broken, &bytes[..bytes.len() / 2]).unwrap();
    std::fs::write(folder.path().join("dog/notes.txt"), "not a picture").unwrap();
    let data = open_training(folder.path(), &options()).unwrap();
    let errors: Vec<String> =
        (0..data.len()).filter_map(|item| Some(data.load(item).err()?.to_string())).collect();
    assert_eq!((data.len(), errors.len()), (101, 1), "{errors:?}");
    assert!(errors[0].contains("007.png") && errors[0].contains("PNG"), "{}", errors[0]);
    let notes = data.notes().join("\n");
    assert!(
        notes.contains("an entry that is not an image is left out") && notes.contains("notes.txt"),
        "{notes}"
    );
}

#[test]
fn pictures_of_several_sizes_need_a_size() {
    let folder = class_folder(&[("cat", 1), ("dog", 1)]);
    RgbImage::new(20, 10).save(folder.path().join("dog/wide.png")).unwrap();
    assert!(error_of(open_training(folder.path(), &options())).contains("--size"));
    let mut wanted = Preprocessing::new([3, 8, 8]);
    wanted.resize = Resize::Crop;
    let data =
        open_training(folder.path(), &OpenOptions { preprocessing: Some(wanted), ..options() }).unwrap();
    assert!((0..3).all(|item| data.load(item).unwrap().pixels.len() == 3 * 8 * 8));
}

#[test]
fn inputs_of_several_kinds_keep_their_order_and_get_unique_names() {
    let pictures = class_folder(&[("a", 1)]);
    let (first, second) =
        (case_folder(&[2, 5, 6], &[2], &[0., 1.]), case_folder(&[2, 5, 6], &[2], &[1., 0.]));
    let paths = [first.path().join("X.npy"), pictures.path().join("a/000.png"), second.path().join("X.npy")];
    let data = open_inputs(&paths, &options()).unwrap();
    let names: Vec<String> = (0..data.len()).map(|item| data.name(item)).collect();
    assert_eq!(names, ["X_0", "X_1", "000_0", "X_0~2", "X_1~2"]);
    assert_eq!((data.label(1), data.label(2), data.label(3)), (Some(1), None, Some(1)));
    assert_eq!(data.load(4).unwrap().pixels[0], 1.0);
    assert!(data.load(5).is_err());
    assert!(error_of(open_inputs(&[""; 0], &options())).contains("no image"));
}

#[test]
fn an_item_is_read_once_for_the_model_and_for_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let colour = RgbImage::from_fn(24, 16, |x, y| image::Rgb([(x * 10) as u8, (y * 15) as u8, 77]));
    colour.save(at("a.png")).unwrap();
    colour.save(at("b.jpg")).unwrap();
    GrayImage::from_fn(30, 40, |x, y| Luma([(x * y) as u8])).save(at("c.png")).unwrap();
    image::RgbaImage::from_pixel(9, 9, image::Rgba([250, 0, 100, 128])).save(at("d.png")).unwrap();
    write_npy(&at("e.npy"), &[2, 8, 6, 3], &array(&[2, 8, 6, 3]));
    write_npy(&at("f.npy"), &[1, 3, 8, 6], &[f32::NAN; 144]);
    let paths: Vec<PathBuf> = ["a.png", "b.jpg", "c.png", "d.png", "e.npy", "f.npy"].map(at).to_vec();
    let wanted = OpenOptions { preprocessing: Some(Preprocessing::new([3, 8, 6])), ..options() };
    let data = open_inputs(&paths, &wanted).unwrap();
    assert_eq!(data.len(), 7);
    for item in 0..6 {
        let (sample, original) = data.load_with_original(item).unwrap();
        let (alone, drawn) = (data.load(item).unwrap(), data.original(item).unwrap());
        assert_eq!((sample.pixels, sample.display), (alone.pixels, alone.display), "{item}");
        assert_eq!((original.picture, original.lossy), (drawn.picture, drawn.lossy), "{item}");
    }
    for item in [6, 7] {
        let message = data.load(item).unwrap_err().to_string();
        assert_eq!(data.load_with_original(item).unwrap_err().to_string(), message);
    }
}
