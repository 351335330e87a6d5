//! Optimizers.
//!
//! An [`Optimizer`] holds the moments of every parameter by name; [`Optimizer::state`] returns all state that the
//! next step depends on, so a checkpoint restores it bit for bit. The learning rate of each step comes from
//! [`super::schedule`].

use std::collections::BTreeMap;

use thiserror::Error;

/// An update rule. All values are dimensionless; see the papers for their meaning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Algorithm {
    /// v ← μ·v + g, then θ ← θ − η·v, or θ ← θ − η·(g + μ·v) with Nesterov momentum (Sutskever et al. 2013, in
    /// PyTorch's form, where η scales the whole velocity).
    Sgd {
        /// μ in [0, 1); 0 is plain gradient descent without state.
        momentum: f32,
        /// True for Nesterov momentum.
        nesterov: bool,
    },
    /// Kingma and Ba 2015, algorithm 1, as in PyTorch: θ ← θ − η·m̂ / (√v̂ + ε). Keras adds ε to the uncorrected √v
    /// instead; the two agree unless gradients are about as small as ε.
    Adam {
        /// Decay rates β₁ and β₂ of the two moments, in [0, 1).
        betas: [f32; 2],
        /// ε.
        epsilon: f32,
    },
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019): first θ ← θ − η·λ·θ.
    AdamW {
        /// Decay rates β₁ and β₂ of the two moments, in [0, 1).
        betas: [f32; 2],
        /// ε.
        epsilon: f32,
        /// λ.
        weight_decay: f32,
    },
}

impl Default for Algorithm {
    /// Adam with the defaults of Keras.
    fn default() -> Self {
        Self::Adam { betas: [0.9, 0.999], epsilon: 1e-7 }
    }
}

impl Algorithm {
    /// Names on the command line; `sgd` takes `momentum`, and `adamw` takes `weight_decay`.
    pub const NAMES: [&str; 3] = ["adam", "adamw", "sgd"];

    /// Returns the algorithm of that name, with default values for the other parameters; `None` if there is none.
    #[must_use]
    pub fn named(name: &str, momentum: f32, weight_decay: f32) -> Option<Self> {
        let (betas, epsilon) = ([0.9, 0.999], 1e-7);
        match name {
            "adam" => Some(Self::default()),
            "adamw" => Some(Self::AdamW { betas, epsilon, weight_decay }),
            "sgd" => Some(Self::Sgd { momentum, nesterov: false }),
            _ => None,
        }
    }

    /// Returns the name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Adam { .. } => "adam",
            Self::AdamW { .. } => "adamw",
            Self::Sgd { .. } => "sgd",
        }
    }
}

/// One parameter in one step.
#[derive(Debug)]
pub struct Update<'a> {
    /// Name, under which its moments are stored.
    pub name: &'a str,
    /// Values, updated in place.
    pub values: &'a mut [f32],
    /// ∂loss/∂values, of the same length.
    pub gradient: &'a [f32],
    /// True if weight decay applies: to kernels, not to biases and normalizations.
    pub decays: bool,
}

/// State of an optimizer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OptimizerState {
    /// Number of steps made.
    pub step: u64,
    /// Moments: `velocity/NAME`, or `first_moment/NAME` and `second_moment/NAME`.
    pub arrays: BTreeMap<String, Vec<f32>>,
}

/// An algorithm with its state.
#[derive(Clone, Debug)]
pub struct Optimizer {
    algorithm: Algorithm,
    state: OptimizerState,
}

impl Optimizer {
    /// Creates an optimizer without state.
    ///
    /// # Errors
    /// If a value of the algorithm is out of range.
    pub fn new(algorithm: Algorithm) -> Result<Self, OptimizerError> {
        check(algorithm)?;
        Ok(Self { algorithm, state: OptimizerState::default() })
    }

    /// Restores an optimizer from a [`state`](Self::state).
    ///
    /// # Errors
    /// If a value of the algorithm is out of range.
    pub fn restore(algorithm: Algorithm, state: OptimizerState) -> Result<Self, OptimizerError> {
        check(algorithm)?;
        Ok(Self { algorithm, state })
    }

    /// Returns the state to store in a checkpoint.
    #[must_use]
    pub fn state(&self) -> &OptimizerState {
        &self.state
    }

    /// Updates every parameter by one step. On error, nothing changes.
    ///
    /// # Errors
    /// If a gradient or a stored moment does not have the length of its parameter.
    pub fn step(&mut self, learning_rate: f32, updates: &mut [Update<'_>]) -> Result<(), OptimizerError> {
        for update in &*updates {
            self.check_lengths(update)?;
        }
        self.state.step += 1;
        for update in updates {
            match self.algorithm {
                Algorithm::Sgd { momentum, nesterov } => self.sgd(learning_rate, momentum, nesterov, update),
                Algorithm::Adam { betas, epsilon } => self.adam(learning_rate, betas, epsilon, update),
                Algorithm::AdamW { betas, epsilon, weight_decay } => {
                    if update.decays {
                        let keep = 1.0 - learning_rate * weight_decay;
                        update.values.iter_mut().for_each(|v| *v *= keep);
                    }
                    self.adam(learning_rate, betas, epsilon, update);
                }
            }
        }
        Ok(())
    }

    fn sgd(&mut self, rate: f32, momentum: f32, nesterov: bool, update: &mut Update<'_>) {
        let pairs = update.values.iter_mut().zip(update.gradient);
        if momentum == 0.0 {
            pairs.for_each(|(value, g)| *value -= rate * g);
            return;
        }
        let velocity = moment(&mut self.state.arrays, VELOCITY, update.name, update.gradient.len());
        for ((value, g), v) in pairs.zip(velocity) {
            *v = momentum * *v + g;
            *value -= rate * if nesterov { g + momentum * *v } else { *v };
        }
    }

    #[allow(clippy::cast_possible_truncation)]
    fn adam(&mut self, rate: f32, [beta1, beta2]: [f32; 2], epsilon: f32, update: &mut Update<'_>) {
        let correction = |beta: f32| 1.0 - power(f64::from(beta), self.state.step);
        let step_size = (f64::from(rate) / correction(beta1)) as f32;
        let root = correction(beta2).sqrt() as f32;
        let n = update.gradient.len();
        // Two moments in one map cannot be borrowed at once; the first is put back below.
        let mut first = std::mem::take(moment(&mut self.state.arrays, FIRST, update.name, n));
        let second = moment(&mut self.state.arrays, SECOND, update.name, n);
        let moments = first.iter_mut().zip(second);
        for ((value, &g), (m, v)) in update.values.iter_mut().zip(update.gradient).zip(moments) {
            *m = beta1 * *m + (1.0 - beta1) * g;
            *v = beta2 * *v + (1.0 - beta2) * (g * g);
            *value -= step_size * *m / (v.sqrt() / root + epsilon);
        }
        *moment(&mut self.state.arrays, FIRST, update.name, 0) = first;
    }

    fn check_lengths(&self, update: &Update<'_>) -> Result<(), OptimizerError> {
        let expected = update.values.len();
        let wrong = |what: &str, found: usize| OptimizerError::Length {
            what: format!("{what}{}", update.name),
            found,
            expected,
        };
        if update.gradient.len() != expected {
            return Err(wrong("gradient of ", update.gradient.len()));
        }
        for what in [VELOCITY, FIRST, SECOND] {
            let stored = self.state.arrays.get(&format!("{what}{}", update.name));
            if let Some(stored) = stored.filter(|s| s.len() != expected) {
                return Err(wrong(what, stored.len()));
            }
        }
        Ok(())
    }
}

const VELOCITY: &str = "velocity/";
const FIRST: &str = "first_moment/";
const SECOND: &str = "second_moment/";

fn moment<'a>(
    arrays: &'a mut BTreeMap<String, Vec<f32>>,
    what: &str,
    name: &str,
    len: usize,
) -> &'a mut Vec<f32> {
    arrays.entry(format!("{what}{name}")).or_insert_with(|| vec![0.0; len])
}

/// Returns `base` to the power of `exponent` by squaring, with the same bits on every platform, unlike `powi`.
fn power(mut base: f64, mut exponent: u64) -> f64 {
    let mut result = 1.0;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result *= base;
        }
        base *= base;
        exponent >>= 1;
    }
    result
}

fn check(algorithm: Algorithm) -> Result<(), OptimizerError> {
    let ranges: &[(&'static str, f32, f32)] = &match algorithm {
        Algorithm::Sgd { momentum, .. } => vec![("momentum", momentum, 1.0)],
        Algorithm::Adam { betas: [b1, b2], epsilon } => {
            vec![("beta 1", b1, 1.0), ("beta 2", b2, 1.0), ("epsilon", epsilon, f32::INFINITY)]
        }
        Algorithm::AdamW { betas: [b1, b2], epsilon, weight_decay } => vec![
            ("beta 1", b1, 1.0),
            ("beta 2", b2, 1.0),
            ("epsilon", epsilon, f32::INFINITY),
            ("weight decay", weight_decay, f32::INFINITY),
        ],
    };
    match ranges.iter().find(|(_, value, below)| !(0.0..*below).contains(value)) {
        Some(&(name, found, below)) => Err(OptimizerError::Range { name, found, below }),
        None => Ok(()),
    }
}

/// An error of an optimizer.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum OptimizerError {
    /// A value outside 0 ≤ x < `below`.
    #[error("the optimiser's {name} is {found}, expected 0 or more and less than {below}")]
    Range {
        /// Name of the value.
        name: &'static str,
        /// The value.
        found: f32,
        /// Upper bound, excluded.
        below: f32,
    },
    /// An array that does not match its parameter.
    #[error(
        "{what} has {found} values, expected {expected} as in the parameter; does the checkpoint belong to this network?"
    )]
    Length {
        /// Name of the array.
        what: String,
        /// Length of the array.
        found: usize,
        /// Length of the parameter.
        expected: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs steps on one parameter, with one gradient per step.
    fn run(algorithm: Algorithm, rate: f32, start: f32, gradients: &[f32], decays: bool) -> f32 {
        let mut optimizer = Optimizer::new(algorithm).unwrap();
        let mut values = [start];
        for g in gradients {
            let update = Update { name: "w", values: &mut values, gradient: &[*g], decays };
            optimizer.step(rate, &mut [update]).unwrap();
        }
        values[0]
    }

    fn close(found: f32, expected: f32) {
        assert!((found - expected).abs() <= 2e-7 * expected.abs().max(1.0), "{found} {expected}");
    }

    #[test]
    fn sgd_by_hand() {
        // 1 − 0.1·2 = 0.8; 0.8 − 0.1·3 = 0.5.
        close(run(Algorithm::Sgd { momentum: 0.0, nesterov: false }, 0.1, 1.0, &[2.0, 3.0], false), 0.5);
        // v: 2, 0.5·2 + 3 = 4. 1 − 0.2 − 0.4.
        close(run(Algorithm::Sgd { momentum: 0.5, nesterov: false }, 0.1, 1.0, &[2.0, 3.0], false), 0.4);
        // 1 − 0.1·(2 + 0.5·2) − 0.1·(3 + 0.5·4).
        close(run(Algorithm::Sgd { momentum: 0.5, nesterov: true }, 0.1, 1.0, &[2.0, 3.0], false), 0.2);
    }

    #[test]
    fn adam_by_hand() {
        // The first step is η·g/(|g| + ε), whatever the size of g.
        let adam = |epsilon| Algorithm::Adam { betas: [0.9, 0.999], epsilon };
        close(run(adam(0.0), 0.01, 1.0, &[1e-6], false), 0.99);
        close(run(adam(1e-6), 0.01, 1.0, &[1e-6], false), 0.995);
        // β = (1/2, 1/2), ε = 0, g = 1, −3, η = 1:
        // m̂ = 1, v̂ = 1, so θ = 0 − 1; then m = −5/4, m̂ = −5/3, v = 19/4, v̂ = 19/3, and
        // θ = −1 + (5/3)/√(19/3) = −0.337734…
        let half = Algorithm::Adam { betas: [0.5, 0.5], epsilon: 0.0 };
        close(run(half, 1.0, 0.0, &[1.0, -3.0], false), -1.0 + (5.0 / 3.0) / (19.0f32 / 3.0).sqrt());
    }

    #[test]
    fn adam_as_numpy_has_it() {
        // In 64-bit floats: for t, g in enumerate([.3, -.2, .05, .4, -.7], 1):
        //   m = .9*m + .1*g; v = .999*v + .001*g*g
        //   w -= .05 * (m/(1-.9**t)) / (np.sqrt(v/(1-.999**t)) + 1e-7)
        // starting at w = 0.5; AdamW with λ = 0.1 first multiplies w by 1 − .05·.1.
        let gradients = [0.3, -0.2, 0.05, 0.4, -0.7];
        close(run(Algorithm::default(), 0.05, 0.5, &gradients, true), ADAM);
        let adamw = Algorithm::AdamW { betas: [0.9, 0.999], epsilon: 1e-7, weight_decay: 0.1 };
        close(run(adamw, 0.05, 0.5, &gradients, true), ADAMW);
        close(run(adamw, 0.05, 0.5, &gradients, false), ADAM);
    }

    const ADAM: f32 = 0.413_544_2;
    const ADAMW: f32 = 0.402_502_8;

    #[test]
    fn a_restored_optimiser_goes_on_with_the_same_bits() {
        for algorithm in [
            Algorithm::default(),
            Algorithm::Sgd { momentum: 0.9, nesterov: true },
            Algorithm::AdamW { betas: [0.9, 0.99], epsilon: 1e-8, weight_decay: 0.01 },
        ] {
            let step = |optimizer: &mut Optimizer, values: &mut [f32; 3], t: f32| {
                let gradient = [t.sin(), (2.0 * t).cos(), 1e-3 * t];
                optimizer
                    .step(0.1, &mut [Update { name: "w", values, gradient: &gradient, decays: true }])
                    .unwrap();
            };
            let (mut whole, mut values) = (Optimizer::new(algorithm).unwrap(), [1.0, 2.0, 3.0]);
            (0u8..7).for_each(|t| step(&mut whole, &mut values, f32::from(t)));
            let (mut first, mut resumed_values) = (Optimizer::new(algorithm).unwrap(), [1.0, 2.0, 3.0]);
            (0u8..3).for_each(|t| step(&mut first, &mut resumed_values, f32::from(t)));
            let mut second = Optimizer::restore(algorithm, first.state().clone()).unwrap();
            (3u8..7).for_each(|t| step(&mut second, &mut resumed_values, f32::from(t)));
            assert_eq!(values.map(f32::to_bits), resumed_values.map(f32::to_bits));
            assert_eq!(whole.state(), second.state());
            let mut forgetful = Optimizer::restore(
                algorithm,
                OptimizerState { arrays: BTreeMap::new(), ..first.state().clone() },
            )
            .unwrap();
            let mut other = [1.0, 2.0, 3.0];
            (3u8..7).for_each(|t| step(&mut forgetful, &mut other, f32::from(t)));
            assert_ne!(values, other);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        let mut optimizer = Optimizer::new(Algorithm::default()).unwrap();
        let (mut a, mut b) = ([1.0; 2], [1.0; 3]);
        let error = optimizer
            .step(
                0.1,
                &mut [
                    Update { name: "a", values: &mut a, gradient: &[1.0; 2], decays: false },
                    Update { name: "b", values: &mut b, gradient: &[1.0; 2], decays: false },
                ],
            )
            .unwrap_err();
        assert!(error.to_string().contains("gradient of b has 2 values, expected 3"), "{error}");
        assert_eq!((a, b, optimizer.state()), ([1.0; 2], [1.0; 3], &OptimizerState::default()));
        let stale = OptimizerState { step: 3, arrays: [("second_moment/a".into(), vec![0.0; 5])].into() };
        let mut optimizer = Optimizer::restore(Algorithm::default(), stale).unwrap();
        let update = Update { name: "a", values: &mut a, gradient: &[1.0; 2], decays: false };
        assert!(optimizer.step(0.1, &mut [update]).unwrap_err().to_string().contains("second_moment/a"));
        assert!(Optimizer::new(Algorithm::Sgd { momentum: 1.0, nesterov: false }).is_err());
        assert!(Optimizer::new(Algorithm::Adam { betas: [0.9, f32::NAN], epsilon: 0.0 }).is_err());
    }
}
