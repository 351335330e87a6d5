//! Tests of `heatlens bench`, as text and as JSON.

use serde_json::Value;

use crate::common::{Trained, heatlens};

#[test]
fn times_and_work_are_told_for_every_method() {
    let trained = Trained::new(2);
    let model = trained.path("run/model.onnx");
    let words = "bench --json --repeat 3 --batch-size 2 --method grad_cam,gradient";
    let said: Value = serde_json::from_str(&heatlens(words, &[&model]).ends(0)).unwrap();
    let rows = said["rows"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["forward pass", "grad_cam", "gradient", "together"]);
    for row in rows {
        let [fastest, median, slowest] =
            ["fastest_ms", "median_ms", "slowest_ms"].map(|name| row[name].as_f64().unwrap());
        assert!(0.0 < fastest && fastest <= median && median <= slowest, "{row}");
        let operators = row["operators"].as_array().unwrap();
        let flops: u64 = operators.iter().map(|o| o["flops"].as_u64().unwrap()).sum();
        assert_eq!(row["flops"].as_u64().unwrap(), flops);
    }
    // The backward pass takes at least about twice the work of the forward pass.
    let flops = |row: usize| rows[row]["flops"].as_u64().unwrap();
    assert!(flops(2) > 3 * flops(0) / 2, "{} and {}", flops(2), flops(0));
    assert!(flops(3) < flops(1) + flops(2), "what methods share is computed once");
    assert!(said["peak_flops"].as_f64().unwrap() > 1e8);
}

#[test]
fn a_table_is_printed_and_wrong_numbers_are_refused() {
    let trained = Trained::new(2);
    let model = trained.path("run/model.onnx");
    heatlens("bench --repeat 2", &[&model])
        .says(0, &["of peak", "forward pass", "grad_cam", "Conv", "slowest nodes"]);
    heatlens("bench --batch-size 0", &[&model]).says(2, &["from 1 on", "\"0\""]);
    heatlens("bench --method grad_kam", &[&model]).says(2, &["grad_kam", "grad_cam"]);
}
