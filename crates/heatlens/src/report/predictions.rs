//! Predictions of the model for each image.

use crate::explain::ImageAttributions;

/// Number of classes kept per image.
const TOP: usize = 5;

/// The prediction for one image.
#[derive(Clone, Debug)]
pub struct ImagePrediction {
    /// Short name of the image.
    pub name: String,
    /// Class of the image, if known.
    pub label: Option<usize>,
    /// Predicted class.
    pub predicted: usize,
    /// At most five classes with their probabilities, most probable first.
    pub top: Vec<(usize, f64)>,
}

/// The predictions for all images.
#[derive(Clone, Debug, Default)]
pub struct ImagePredictions {
    /// Names of the classes.
    pub class_names: Vec<String>,
    /// One row per image.
    pub rows: Vec<ImagePrediction>,
}

impl ImagePrediction {
    /// Returns the prediction an explanation was made for.
    #[must_use]
    pub fn of(name: String, label: Option<usize>, explanation: &ImageAttributions) -> Self {
        let mut top: Vec<(usize, f64)> = explanation.probabilities.iter().copied().enumerate().collect();
        top.sort_by(|a, b| b.1.total_cmp(&a.1)); // stable: ties keep class order
        top.truncate(TOP);
        Self { name, label, predicted: explanation.predicted, top }
    }
}

impl ImagePredictions {
    /// Creates an empty list for these classes.
    #[must_use]
    pub fn new(class_names: &[String]) -> Self {
        Self { class_names: class_names.to_vec(), rows: Vec::new() }
    }

    /// Returns the name of a class, or its index if it has none.
    #[must_use]
    pub fn class_name(&self, class: usize) -> String {
        self.class_names.get(class).cloned().unwrap_or_else(|| class.to_string())
    }

    /// Returns the names of the classes that occur as a label or a prediction, in class order.
    #[must_use]
    pub fn occurring(&self) -> Vec<String> {
        let mut classes: Vec<usize> =
            self.rows.iter().flat_map(|row| row.label.into_iter().chain([row.predicted])).collect();
        classes.sort_unstable();
        classes.dedup();
        classes.into_iter().map(|class| self.class_name(class)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_five_are_kept_in_order() {
        let explanation = ImageAttributions {
            logits: vec![0.0; 7],
            probabilities: vec![0.1, 0.3, 0.05, 0.1, 0.2, 0.15, 0.1],
            predicted: 1,
            attributions: Vec::new(),
            tensors: None,
        };
        let answer = ImagePrediction::of("a".to_owned(), Some(4), &explanation);
        let classes: Vec<usize> = answer.top.iter().map(|(class, _)| *class).collect();
        assert_eq!((classes.as_slice(), answer.predicted), (&[1, 4, 5, 0, 3][..], 1));
        let names = ["u", "v"].map(str::to_owned);
        let answers = ImagePredictions { class_names: names.to_vec(), rows: vec![answer] };
        assert_eq!(answers.occurring(), ["v", "4"], "a class without a name goes by its number");
    }
}
