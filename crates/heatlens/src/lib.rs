//! heatlens shows which parts of an image a classifier uses, and measures how far such explanations can be trusted.
//!
//! ```standalone_crate
//! # let folder = std::env::temp_dir().join(format!("heatlens-front-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! # std::env::set_current_dir(&folder)?;
//! # let network = heatlens::train::arch::find("gap-cnn").ok_or("no network")?.build([3, 32, 32], 2, 0)?;
//! # std::fs::write("resnet18.onnx", heatlens::Model::from_graph(network)?.to_onnx()?)?;
//! # heatlens::render::save_picture(&image::RgbImage::new(40, 30), heatlens::render::FileFormat::Jpeg, "cat.jpg")?;
//! use heatlens::{Explainer, Method, Model, Preset};
//!
//! let model = Model::open("resnet18.onnx")?.with_preset(Preset::Imagenet)?;
//! let explainer = Explainer::builder(&model).method(Method::GRAD_CAM).build()?;
//! let explanation = explainer.explain_image("cat.jpg")?;
//! explanation.heatmap(Method::GRAD_CAM)?.overlay().save("cat_grad_cam.png")?;
//! # assert!(std::path::Path::new("cat_grad_cam.png").exists());
//! # std::env::set_current_dir("..")?;
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Opening a model
//!
//! [`Model::open`] reads an ONNX or Keras file and detects which input is the image, where the scores are before any
//! sigmoid or softmax, and which values have rows and columns. Guesses are listed in [`Model::notes`]: print them.
//! [`Model::layers`] are the layers that can be explained, and [`Model::read_class_names`] reads class names that the
//! file lacks. Ambiguous files are opened with [`ModelOptions`](model::ModelOptions).
//!
//! # Preprocessing
//!
//! A model whose pixels are in a different range than in training makes confident but wrong predictions, and its maps
//! are wrong as well. Most ONNX files do not state the range. It is set by a [`Preset`], or by a
//! [`Preparation`](model::Preparation) with mean and standard deviation. Without either, pixels are passed in from 0 to
//! 1, and the notes say that this is an assumption:
//!
//! ```
//! # let network = heatlens::train::arch::find("gap-cnn").ok_or("no network")?.build([3, 32, 32], 2, 0)?;
//! # let model = heatlens::Model::from_graph(network)?;
//! use heatlens::Preset;
//!
//! assert!(model.notes()[0].contains("does not say how images are prepared"));
//! let model = model.with_preset(Preset::Imagenet)?;
//! assert!(model.notes().is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`data`] opens folders and arrays, and [`predict::check_plausibility`] tries a few images to see if another preset would
//! make the model more confident.
//!
//! # Explaining images
//!
//! [`Explainer::builder`] takes methods, layers and a class, and compiles them with the network into one program, which
//! computes common parts of the methods once. If no method is named, suitable ones for the model are chosen. Images are
//! given as files, as an [`Image`], several at once, or as an array:
//!
//! ```
//! # let network = heatlens::train::arch::find("gap-cnn").ok_or("no network")?.build([1, 32, 32], 2, 0)?;
//! # let model = heatlens::Model::from_graph(network)?;
//! use heatlens::{Explainer, Image, Method};
//!
//! let explainer = Explainer::builder(&model)
//!     .methods([Method::GRAD_CAM, Method::RISE])
//!     .class(1)
//!     .set("rise.masks=50")
//!     .seed(7)
//!     .build()?;
//! let grey = Image::from_bytes([20, 30, 1], &[128; 600])?;
//! let explanation = explainer.explain_pixels(grey)?;
//! assert_eq!(explanation.heatmaps().count(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The lower-level module [`explain`] takes preprocessed pixels and returns numbers only.
//!
//! # Reading a heat map
//!
//! A [`Heatmap`] keeps the signed values of the formula at the layer's size: [`Heatmap::raw`]. Drawing does not change
//! it: the positive part is divided by its maximum, upsampled so that each cell lies over its receptive field, and
//! drawn over the part of the image that the model sees. A map without a positive part is not drawn black;
//! [`Heatmap::why_empty`] gives the reason.
//!
//! ```
//! # let network = heatlens::train::arch::find("gap-cnn").ok_or("no network")?.build([1, 32, 32], 2, 0)?;
//! # let model = heatlens::Model::from_graph(network)?;
//! # use heatlens::{Explainer, Image, Method};
//! # let explainer = Explainer::builder(&model).method(Method::GRAD_CAM).build()?;
//! # let explanation = explainer.explain_pixels(Image::from_bytes([20, 30, 1], &[128; 600])?)?;
//! let heatmap = explanation.heatmap(Method::GRAD_CAM)?;
//! assert_eq!(heatmap.raw().shape, [6, 6]);
//! println!("for {}: from {} to {}", heatmap.class_name(), heatmap.min(), heatmap.max());
//! match (heatmap.heat(), heatmap.why_empty()) {
//!     (Some(heat), _) => assert_eq!((heat.height(), heat.width()), (20, 30)),
//!     (None, reason) => println!("nothing to see: {reason:?}"),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`run`] explains whole data sets into a folder of pictures. [`localise`] turns maps into boxes and masks,
//! [`dataset`] analyses the maps of all images together, and [`report`] summarises everything on one page.
//!
//! # Trust
//!
//! A sharp map proves nothing: some methods produce much the same map whatever the weights are. [`trust`] first checks
//! if the model has learned anything at all, then measures on your images which method is faithful to it, compared with
//! baselines that ignore the model. The example `audit` does both and writes a page.
//!
//! # Training
//!
//! [`train`] trains a model on a folder of images, with settings derived from their number:
//!
//! ```
//! # use heatlens::{Image, demo_data::{CLASS_NAMES, SIDE, generate}, render::save_png};
//! # let folder = std::env::temp_dir().join(format!("heatlens-train-{}", std::process::id()));
//! # let (photos, run) = (folder.join("photos"), folder.join("run"));
//! # std::fs::create_dir_all(&run)?;
//! # for (i, image) in generate(24, 0).iter().enumerate() {
//! #     let class = photos.join(CLASS_NAMES[image.label]);
//! #     std::fs::create_dir_all(&class)?;
//! #     let picture = Image::from_bytes([SIDE, SIDE, 1], &image.pixels)?.to_picture(0.0, 1.0);
//! #     save_png(&picture, class.join(format!("{i}.png")))?;
//! # }
//! use heatlens::data::{OpenOptions, open_training};
//! use heatlens::train::TrainingSet;
//! use heatlens::train::fit::Trainer;
//! use heatlens::train::recipe::{Choices, RECIPES};
//!
//! let (recipe, choices) = (&RECIPES[0], Choices::default());
//! # let choices = Choices { epochs: Some(1), ..choices };
//! let data = open_training(&photos, &OpenOptions::default())?;
//! let set = TrainingSet::split_by(data.as_ref(), |counts| recipe.split(&choices, counts), choices.seed)?;
//! let settings = recipe.settings(&choices, &set.class_counts(), set.validation.len())?;
//! let mut trainer = Trainer::new(settings, &set, &run)?;
//! trainer.run(&mut ())?;
//! let model = trainer.model()?; // also written to run/model.onnx
//! # assert!(run.join("model.onnx").exists() && model.notes().is_empty());
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Export
//!
//! Methods whose map is a formula can be written into the model: [`export::with_explanation`] returns an ONNX file with
//! an additional output, which any runtime can compute.
//!
//! # Further reading
//!
//! `examples/` contains a program for each of these steps, and one with a custom [`Method`] (see [`method`]). The
//! graph, its derivatives and the model formats are re-exported as [`graph`].

#![forbid(unsafe_code)]

#[doc(hidden)] // for the command and the tests of this repository
pub mod bench;
pub mod dataset;
#[doc(hidden)] // for the command and the tests of this repository
pub mod demo;
#[doc(hidden)] // for the command and the tests of this repository
pub mod demo_data;
#[doc(hidden)] // for the command and the tests of this repository
pub mod detector;
pub mod explain;
pub mod export;
mod facade;
pub mod localise;
pub mod method;
pub mod metric;
pub mod model;
pub mod predict;
mod reference;
pub mod report;
pub mod rule;
pub mod run;
pub mod stats;
pub mod target;
pub mod train;
pub mod trust;

pub use data::{Preset, Raster as Image};
pub use explain::Explainer;
pub use facade::{ClassChoice, Drawing, ExplainerBuilder, Explanation, Heatmap};
pub use heatlens_cpu::{instruction_set, pin_instruction_set, with_pool};
pub use heatlens_graph as graph;
#[doc(hidden)] // for the command and the tests of this repository
pub use heatlens_image::{bilinear, extremes, nearest, random};
pub use heatlens_image::{data, render};
pub use method::Method;
pub use model::Model;
