//! One sentence that combines a method's caveats from the literature with its measurement on this model.

use crate::method::Method;
use crate::trust::audit::{Audit, MethodAudit};

/// Returns true if a method's caveat is a published finding, which may or may not apply to the model at hand. Other
/// caveats are limitations of the formula, which apply to every model.
#[must_use]
pub fn is_finding(caution: &str) -> bool {
    caution.contains("et al.")
}

/// Returns the caveat of a method, `None` if it has none. A published finding is combined with the measurement on
/// this model, or with a remark that there is none.
#[must_use]
pub fn sentence(method: &Method, audit: Option<&Audit>) -> Option<String> {
    let (title, caution) = (method.title, method.caution?);
    if !is_finding(caution) {
        return Some(format!("{title}: {caution}."));
    }
    let measured = audit.and_then(|audit| audit.methods.iter().find(|m| m.id == method.id));
    Some(match measured {
        Some(row) => {
            format!("{title}: measured on this model: {}; in the literature: {caution}.", measurement(row))
        }
        None => format!(
            "{title}: in the literature: {caution}; on this model: not measured (heatlens audit measures it)."
        ),
    })
}

fn measurement(row: &MethodAudit) -> String {
    let kept = row.randomisation.as_ref().map(|r| {
        format!(" ({:.0} % of its maps' similarity is kept under random weights)", 100.0 * r.share_kept())
    });
    format!("{}{}", row.verdict.words(), kept.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::find;
    use crate::stats::MeanEstimate;
    use crate::trust::audit::MethodVerdict;

    #[test]
    fn a_published_finding_stands_beside_the_measurement() {
        let method = find("guided_grad_cam").unwrap();
        let unmeasured = sentence(method, None).unwrap();
        assert!(
            unmeasured.contains("in the literature: ") && unmeasured.contains("on this model: not measured"),
            "{unmeasured}"
        );
        let row = MethodAudit {
            id: "guided_grad_cam".to_owned(),
            title: String::new(),
            control: false,
            verdict: MethodVerdict::Faithful,
            score: MeanEstimate { mean: 1.0, low: 1.0, high: 1.0, images: 1 },
            metrics: std::collections::BTreeMap::new(),
            randomisation: None,
        };
        let audit = Audit { methods: vec![row], ..Audit::default() };
        let measured = sentence(method, Some(&audit)).unwrap();
        assert!(
            measured.starts_with("Guided Grad-CAM: measured on this model: faithful; in the literature: "),
            "{measured}"
        );
        // Limitations of a formula need no measurement.
        let full = sentence(find("full_grad").unwrap(), Some(&audit)).unwrap();
        assert!(!full.contains("literature"), "{full}");
        assert_eq!(sentence(find("grad_cam").unwrap(), None), None);
    }
}
