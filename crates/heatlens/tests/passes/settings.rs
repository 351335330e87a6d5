//! Invalid settings are rejected with a reason.

use heatlens::explain::{ExplainOptions, Explainer};
use heatlens::method::{self, MethodSettings};

use crate::nets::Case;

#[test]
fn settings_without_sense_are_refused_by_name() {
    let case = Case::twin("no_gap", 1);
    for (id, set, said) in [
        ("smooth_grad", "samples=0", "from 1 to"),
        ("smooth_grad", "noise=-1", "from 0 to 10"),
        ("var_grad", "samples=1", "2 or more"),
        ("integrated_gradients", "steps=10001", "from 1 to 10000"),
        ("integrated_gradients", "baseline=grey", "zero or mean or blur or uniform"),
        ("occlusion", "window=33", "32 pixels high"),
        ("occlusion", "stride=17", "pixels uncovered"),
        ("rise", "grid=33", "32 pixels high"),
        ("rise", "probability=1", "between 0 and 1"),
        ("ss_cam", "noise=11", "from 0 to 10"),
        ("lime", "segments=501", "from 1 to 500"),
        ("lime", "width=0", "from 0.01"),
        ("lime", "ridge=0", "from 0.000000001"),
        ("kernel_shap", "shapes=hexagons", "grid or slic"),
        ("sobol", "samples=1", "2 or more"),
        ("sobol", "grid=33", "from 1 to 32"),
        ("hsic", "samples=5001", "from 1 to 5000"),
        ("extremal_perturbation", "area=2", "from 0 to 1"),
        ("blur_ig", "blur=2", "from 0 to 1"),
        ("guided_ig", "fraction=1.5", "from 0 to 1"),
        ("expected_gradients", "reference=others", "shuffled or"),
    ] {
        let refusal = case.explainer(id, &[set]).map(|_| ()).unwrap_err();
        assert!(refusal.contains(said), "{id} {set}: {refusal}");
        let name = set.split('=').next().unwrap();
        assert!(refusal.contains(name), "{id} {set}: {refusal}");
    }
}

#[test]
fn too_few_coalitions_are_refused_before_the_first_image() {
    let case = Case::twin("no_gap", 1);
    for shapes in ["shapes=grid", "shapes=slic"] {
        let few = case.explainer("kernel_shap", &["segments=30", "samples=56", shapes]);
        let refusal = few.map(|_| ()).unwrap_err();
        assert!(refusal.contains("samples=56") && refusal.contains("use 58 or more"), "{refusal}");
        // The stated minimum suffices for any image, whichever coalitions are drawn.
        let enough = case.explain("kernel_shap", &["segments=30", "samples=58", shapes]);
        assert!(enough.iter().flatten().all(|v| v.is_finite()));
    }
}

#[test]
fn all_methods_go_on_without_the_one_that_cannot() {
    let case = Case::twin("no_gap", 1);
    let mut settings = MethodSettings::with_seed(1);
    settings.set("kernel_shap.samples=5").unwrap();
    let options = ExplainOptions {
        skip_inapplicable: true,
        settings,
        ..ExplainOptions::new(&["kernel_shap", "grad_cam"].map(|id| method::find(id).unwrap()))
    };
    let explainer = Explainer::new(&case.model, &options).unwrap();
    let kept: Vec<&str> = explainer.maps().iter().map(|map| map.method.id).collect();
    assert_eq!(kept, ["grad_cam"]);
    assert!(explainer.notes()[0].contains("kernel_shap.samples=5"), "{:?}", explainer.notes());
}
