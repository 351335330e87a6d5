//! `heatlens demo`: training and explaining on images with known object positions.

use std::fs;
use std::path::Path;

use heatlens::data::write_file;
use heatlens::demo;
use heatlens::model::Model;
use heatlens::run::{self, FolderLock};
use heatlens::train::fit::Ending;

use crate::arguments::Demo;
use crate::command::{again, summary, train};
use crate::failure::Failure;
use crate::output;
use crate::progress::Terminal;

/// Name of a file that marks a folder as created by the demo, so that the next demo may replace it.
const MARK: &str = "made-by-heatlens-demo";

pub(crate) fn run(options: &Demo) -> Result<(), Failure> {
    let out = &options.out;
    let _lock = prepare(out)?;
    output::line(
        "Is there a small ring in the clutter? The model is told yes or no for each training image, never \
         where the ring is.",
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
    let file = trained.join("model.onnx");
    let model = Model::open(&file)?;
    let rows = demo::localise(&model, &images)?;
    let (command, terminal) = (again::line(&again::words()), Terminal::default());
    let origin = (options.seed, command.as_str());
    let summary = demo::explain_held_out(&model, &file, &folders, &images, &rows, origin, out, &terminal)?;
    summary::tell(&summary, images.len(), &out.join("explain"), false)?;
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
        file.display()
    ));
    Ok(())
}

/// Replaces the folder of an earlier demo, but no other folder.
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
