//! The numbers behind the pictures: `maps.npz`, `tensors.npz` and `channels.csv`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::data::{Dataset, NpzWriter, write_atomically};
use crate::explain::{Explainer, Explanation, Tensors};
use crate::gallery::{GalleryError, Save};

/// The files while they grow; rows go to disk as they come.
#[derive(Debug)]
pub(super) struct RawWriters {
    maps: Option<NpzWriter>,
    tensors: Option<NpzWriter>,
    channels: Option<(PathBuf, String)>,
}

impl RawWriters {
    pub(super) fn create(out: &Path, save: Save) -> Result<Self, GalleryError> {
        let open = |wanted: bool, name: &str| wanted.then(|| NpzWriter::create(&out.join(name))).transpose();
        let header = "index,channel,w,mean_A,product,dense_weights\n".to_owned();
        Ok(Self {
            maps: open(save.npz, "maps.npz")?,
            tensors: open(save.tensors, "tensors.npz")?,
            channels: save.tensors.then(|| (out.join("channels.csv"), header)),
        })
    }

    pub(super) fn push(
        &mut self,
        explainer: &Explainer,
        data: &dyn Dataset,
        item: usize,
        explanation: &Explanation,
    ) -> Result<(), GalleryError> {
        let index = i64::try_from(data.index(item)).unwrap_or(i64::MAX);
        if let Some(maps) = &mut self.maps {
            for (spec, attribution) in explainer.maps().iter().zip(&explanation.attributions) {
                maps.push(&spec.name(explainer.model()), &attribution.shape, &attribution.values)?;
            }
            maps.push("logits", &[explanation.logits.len()], &explanation.logits)?;
            maps.push_integers("index", &[], &[index])?;
        }
        if let Some(tensors) = &explanation.tensors {
            if let Some(file) = &mut self.tensors {
                push_tensors(file, tensors, explainer.model().shape())?;
                file.push_integers("index", &[], &[index])?;
            }
            if let Some((_, text)) = &mut self.channels {
                push_channels(text, index, tensors);
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<(), GalleryError> {
        for file in [self.maps, self.tensors].into_iter().flatten() {
            file.finish()?;
        }
        if let Some((path, text)) = self.channels {
            write_atomically(&path, text.as_bytes()).map_err(GalleryError::writing(&path))?;
        }
        Ok(())
    }
}

fn push_tensors(file: &mut NpzWriter, t: &Tensors, image: [usize; 3]) -> Result<(), GalleryError> {
    let [c, h, w] = t.layer.shape;
    file.push("conv_output", &[c, h, w], &t.conv_output)?;
    file.push("conv_grad", &[c, h, w], &t.conv_grad)?;
    file.push("input_grad", &image, &t.input_grad)?;
    file.push("weights", &[c], &t.weights)?;
    file.push("cam", &[h, w], &t.cam)?;
    Ok(())
}

/// One row for each channel; on a global-average-pooling head the products sum to the logit minus the bias.
fn push_channels(text: &mut String, index: i64, tensors: &Tensors) {
    for (k, (w, mean)) in tensors.weights.iter().zip(tensors.channel_means()).enumerate() {
        let product = f64::from(*w) * mean;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{index},{k},{w},{mean},{product},{}", tensors.dense_weights);
    }
}
