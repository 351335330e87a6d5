//! `annotations.json` in COCO format.

use serde_json::{Value, json};

use crate::localise::Mask;
use crate::localise::rle::encode;

/// A COCO file under construction.
#[derive(Clone, Debug, Default)]
pub(super) struct Coco {
    images: Vec<Value>,
    annotations: Vec<Value>,
}

impl Coco {
    /// Adds an image; ids start at 1.
    pub(super) fn push_image(&mut self, id: usize, file_name: &str, [height, width]: [usize; 2]) {
        self.images.push(json!({ "id": id, "file_name": file_name, "width": width, "height": height }));
    }

    /// Adds a region of an image; `score` is the probability of the class.
    pub(super) fn push(&mut self, image: usize, class: usize, score: f64, part: &Mask) {
        let Some(bounds) = part.bounds() else { return };
        self.annotations.push(json!({
            "id": self.annotations.len() + 1,
            "image_id": image,
            "category_id": class + 1,
            "bbox": [bounds.x, bounds.y, bounds.width, bounds.height],
            "area": part.area(),
            "segmentation": { "size": [part.height, part.width], "counts": encode(part) },
            "iscrowd": 0,
            "score": score,
        }));
    }

    /// Returns the complete file.
    pub(super) fn to_json(&self, about: &str, class_names: &[String]) -> Value {
        let category =
            |(id, name): (usize, &String)| json!({ "id": id + 1, "name": name, "supercategory": "" });
        json!({
            "info": { "description": about },
            "images": self.images,
            "annotations": self.annotations,
            "categories": class_names.iter().enumerate().map(category).collect::<Vec<_>>(),
        })
    }
}
