//! A detector's boxes in many images, as CSV or COCO JSON.

use serde_json::{Value, json};

use super::ImageResults;
use super::predictions::quoted;
use crate::data::Dataset;
use crate::detector::{Detection, Detector, ImageDetections};
use crate::explain::ExplainError;
use crate::model::Model;
use crate::run::Monitor;

/// The boxes in the images of a data set, in the order of the images; within an image the most confident box comes
/// first.
#[derive(Clone, Debug)]
pub struct Detections {
    class_names: Vec<String>,
    images: Vec<Image>,
    /// Images that could not be read, each with its source and the reason.
    pub broken: Vec<(String, String)>,
    /// True if the monitor requested a stop; the images end there.
    pub stopped: bool,
}

#[derive(Clone, Debug)]
struct Image {
    input: String,
    index: usize,
    found: ImageDetections,
}

impl Detections {
    /// Runs the model on every image of `data`. Unreadable images are reported to `monitor` immediately.
    ///
    /// # Errors
    /// If the model is not a detector, an operator has no kernel, or the images do not have the model's input size.
    pub fn of(model: &Model, data: &dyn Dataset, monitor: &dyn Monitor) -> Result<Self, ExplainError> {
        let ImageResults { images, broken, stopped } = Detector::new(model)?.of_images(data, monitor)?;
        let image = |(item, found)| Image { input: data.source(item), index: data.index(item), found };
        let class_names = model.class_names.clone();
        Ok(Self { class_names, images: images.into_iter().map(image).collect(), broken, stopped })
    }

    /// Returns the boxes as CSV, one per line, with a header.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let mut text = "input,index,rank,class,p,x,y,width,height\n".to_owned();
        for Image { input, index, found } in &self.images {
            for (rank, (detection, [x0, y0, x1, y1])) in found.placed.iter().enumerate() {
                let class = self.class_names.get(detection.class).map_or("", String::as_str);
                text += &format!(
                    "{},{index},{},{},{:.7},{x0:.2},{y0:.2},{:.2},{:.2}\n",
                    quoted(input),
                    rank + 1,
                    quoted(class),
                    detection.confidence,
                    x1 - x0,
                    y1 - y0
                );
            }
        }
        text
    }

    /// Returns COCO's object of images, annotations and categories; ids start at 1.
    #[must_use]
    pub fn to_coco(&self) -> Value {
        let image = |(id, image): (usize, &Image)| {
            let [height, width] = image.found.size;
            json!({"id": id + 1, "file_name": image.input, "width": width, "height": height})
        };
        let images = self.images.iter().enumerate();
        let boxes = images.flat_map(|(id, image)| image.found.placed.iter().map(move |placed| (id, placed)));
        let annotation =
            |(id, (image, (detection, [x0, y0, x1, y1]))): (usize, (usize, &(Detection, [f64; 4])))| {
                json!({
                    "id": id + 1,
                    "image_id": image + 1,
                    "category_id": detection.class + 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": (x1 - x0) * (y1 - y0),
                    "iscrowd": 0,
                    "score": detection.confidence,
                })
            };
        let category =
            |(id, name): (usize, &String)| json!({"id": id + 1, "name": name, "supercategory": ""});
        json!({
            "info": {"description": "boxes found by heatlens predict"},
            "images": self.images.iter().enumerate().map(image).collect::<Vec<_>>(),
            "annotations": boxes.enumerate().map(annotation).collect::<Vec<_>>(),
            "categories": self.class_names.iter().enumerate().map(category).collect::<Vec<_>>(),
        })
    }
}
