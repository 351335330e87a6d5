//! `heatlens demo`: the main job on images whose answer is known.

use std::fs;
use std::path::Path;

use heatlens::data::{OpenOptions, open_inputs, write_file};
use heatlens::demo::{self, DemoFolders, Localisation};
use heatlens::demo_data::SIDE;
use heatlens::localise::Mask;
use heatlens::model::Model;
use heatlens::report::fingerprint;
use heatlens::run::{self, FolderLock, Page, PageSinks, Save};
use heatlens::train::fit::Ending;

use crate::arguments::Demo;
use crate::command::{again, explain, open, train};
use crate::failure::Failure;
use crate::output;
use crate::progress::Terminal;

/// Marks a folder as the demo's own, so that the next demo may replace it.
const MARK: &str = "made-by-heatlens-demo";

pub(crate) fn run(options: &Demo) -> Result<(), Failure> {
    let out = &options.out;
    let _lock = prepare(out)?;
    output::line(
        "Is there a small ring in the clutter? A model is told yes or no for each image, never where.",
    );
    let (folders, images) = demo::write_data(&out.join("data"), options.seed)?;
    output::line(format!("{} images written to {}", demo::IMAGES, folders.train.display()));
    let set = folders.read(options.seed)?;
    let settings =
        demo::settings(options.seed).ok_or_else(|| Failure::new("the demo's network is missing"))?;
    let trained = out.join("run");
    let lock = run::prepare(&trained, true)?;
    let finished = train::train(settings, &set, &trained, false, false)?;
    if finished.report.ending == Ending::Interrupted {
        return Err(Failure::interrupted("interrupted; run the demo again to start over"));
    }
    drop(lock);
    let model = Model::open(&trained.join("model.onnx"))?;
    let rows = demo::localise(&model, &images)?;
    show(&model, &folders, &images, &rows, options)?;
    output::line(format!("\n{}", demo::text(&rows)));
    output::line(format!(
        "\nlook at {}, {} and {}",
        out.join("report.html").display(),
        out.join("explain/sheet.png").display(),
        trained.join("learning_curve.png").display()
    ));
    output::line(format!(
        "every picture is below {}; the model is {}",
        out.join("explain").display(),
        trained.join("model.onnx").display()
    ));
    Ok(())
}

/// Replaces an earlier demo, and nothing else.
fn prepare(out: &Path) -> Result<FolderLock, Failure> {
    let mark = out.join(MARK);
    if mark.exists() {
        let _lock = FolderLock::take(out)?;
        fs::remove_dir_all(out)
            .map_err(|e| Failure::new(format!("cannot replace {}: {e}", out.display())))?;
    }
    let lock = run::prepare(out, false)?;
    write_file(&mark, b"")?;
    Ok(lock)
}

/// Explains the held-out images.
fn show(
    model: &Model,
    folders: &DemoFolders,
    images: &[heatlens::demo_data::DemoImage],
    rows: &[Localisation],
    options: &Demo,
) -> Result<(), Failure> {
    let open = OpenOptions {
        preprocessing: Some(model.preprocessing.clone()),
        class_names: Some(demo::class_names()),
        ..OpenOptions::default()
    };
    let data = open_inputs(std::slice::from_ref(&folders.shown), &open)?;
    let explainer = open::explainer(model)?;
    let ring = |item: usize| {
        let image = images.get(item).filter(|image| image.label == 1)?;
        Some(Mask { height: SIDE, width: SIDE, inside: image.mask.clone() })
    };
    let target = options.out.join("explain");
    let _lock = run::prepare(&target, true)?;
    let save = Save { sheet_rows: 9, ..Save::default() };
    let mut collected = PageSinks::new(&explainer, save.style.heat())?;
    let (data, terminal) = (data.as_ref(), Terminal::default());
    let more = collected.sinks();
    let summary = run::write_explanations(&explainer, data, &target, &save, Some(&ring), more, &terminal)?;
    explain::tell_summary(&summary, data.len(), &target, false)?;
    let file = options.out.join("run/model.onnx");
    let page = Page {
        model: &file,
        fingerprint: &fingerprint(&file)
            .map_err(|e| Failure::new(format!("cannot read {}: {e}", file.display())))?,
        command: &again::line(&again::words()),
        title: format!("{} held-out demo images", data.len()),
        data,
        unseen: true,
        verdict: &run::verdict(model, &summary),
        explainer: &explainer,
        summary: &summary,
        seed: options.seed,
        audit: None,
        tables: vec![demo::table(rows)],
    };
    page.write(collected, options.out.join("report.html"), &terminal)?;
    Ok(())
}
