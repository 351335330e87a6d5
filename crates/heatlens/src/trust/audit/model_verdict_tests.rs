//! Tests of the sentences and JSON of hand-made verdicts.

use super::*;
use crate::stats::interval::share_interval;

#[test]
fn thresholds_close_to_the_ends_keep_their_digits() {
    assert_eq!([0.13, 0.000_42, 0.9997].map(probability_text), ["0.13", "4.2e-4", "1 − 3.0e-4"]);
}

#[test]
fn the_json_holds_the_old_keys_and_the_new() {
    let verdict = ModelVerdict {
        accuracy: share_interval(3, 4),
        confusion: ConfusionMatrix::of(&[0, 0, 1, 1], &[0, 1, 1, 1]),
        positive: Some(1),
        class_names: vec!["a".to_owned(), "b".to_owned()],
        threshold: Some(BetterThreshold { probability: 0.25, accuracy: 1.0, right: 4 }),
        ..ModelVerdict::default()
    };
    let json = verdict.to_json();
    for key in [
        "verdict",
        "sentence",
        "p_value",
        "accuracy",
        "accuracy_interval",
        "majority",
        "auc",
        "auc_interval",
        "calibration",
        "images",
        "problems",
        "dead_channels",
        "unchecked",
    ] {
        assert!(json.get(key).is_some(), "{key}");
    }
    assert_eq!((json["verdict"].as_str(), json["accuracy"].as_f64()), (Some("unknown"), Some(0.75)));
    assert_eq!(json["sensitivity"]["mean"], 1.0);
    assert_eq!(json["specificity"]["mean"], 0.5);
    assert_eq!(json["precision"]["images"], 3);
    assert_eq!(json["better_threshold"]["probability"], 0.25);
    assert_eq!(
        json["confusions"][0],
        serde_json::json!({ "label": "a", "predicted": "b", "images": 1, "of": 2 })
    );
}
