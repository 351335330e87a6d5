//! Step-by-step configuration of an explainer.

use crate::explain::{ExplainError, ExplainOptions, Explainer, Fusion};
use crate::method::Method;
use crate::model::{Model, Placing};
use crate::target::{Score, Target};

impl Explainer {
    /// Returns a builder to which [`Method`]s, layers and classes are added one by one.
    pub fn builder(model: &Model) -> ExplainerBuilder<'_> {
        ExplainerBuilder {
            model,
            options: ExplainOptions::new(&[]),
            layers: Vec::new(),
            class: Target::Predicted.into(),
            against: None,
            assignments: Vec::new(),
        }
    }
}

/// A class to explain: a number, a name as parsed by [`Target::parse`], or a [`Target`].
#[derive(Clone, Debug)]
pub enum ClassChoice {
    /// A target.
    Target(Target),
    /// The name of a class.
    Named(String),
}

impl From<Target> for ClassChoice {
    fn from(target: Target) -> Self {
        Self::Target(target)
    }
}

impl From<usize> for ClassChoice {
    fn from(class: usize) -> Self {
        Self::Target(Target::Class(class))
    }
}

impl From<&str> for ClassChoice {
    fn from(name: &str) -> Self {
        Self::Named(name.to_owned())
    }
}

impl From<String> for ClassChoice {
    fn from(name: String) -> Self {
        Self::Named(name)
    }
}

impl ClassChoice {
    fn target(self, model: &Model) -> Result<Target, ExplainError> {
        match self {
            Self::Target(target) => Ok(target),
            Self::Named(name) => Ok(Target::parse(&name, model)?),
        }
    }
}

/// Builder of an [`Explainer`]. The defaults are the methods that suit the model, its last layer with rows and columns,
/// the predicted class, and the logit.
#[derive(Clone, Debug)]
#[must_use = "call build"]
pub struct ExplainerBuilder<'m> {
    model: &'m Model,
    options: ExplainOptions,
    layers: Vec<String>,
    class: ClassChoice,
    against: Option<ClassChoice>,
    assignments: Vec<String>,
}

impl ExplainerBuilder<'_> {
    /// Adds a method.
    pub fn method(mut self, method: &'static Method) -> Self {
        self.options.methods.push(method);
        self
    }

    /// Adds several methods.
    pub fn methods(mut self, methods: impl IntoIterator<Item = &'static Method>) -> Self {
        self.options.methods.extend(methods);
        self
    }

    /// Adds a layer, by its name in the file or the name given by the model's author.
    pub fn layer(mut self, name: impl Into<String>) -> Self {
        self.layers.push(name.into());
        self
    }

    /// Explains this class in every image.
    pub fn class(mut self, class: impl Into<ClassChoice>) -> Self {
        self.class = class.into();
        self
    }

    /// Explains a class only in images in which its probability exceeds this one; elsewhere its map is
    /// [absent](crate::explain::ZeroMap::is_absent).
    pub fn at_least(mut self, probability: f64) -> Self {
        self.options.at_least = Some(probability);
        self
    }

    /// Explains why the explained class is chosen over this one.
    pub fn against(mut self, class: impl Into<ClassChoice>) -> Self {
        self.against = Some(class.into());
        self
    }

    /// Explains what lowers the score instead of what raises it.
    pub fn counterfactual(mut self) -> Self {
        self.options.counterfactual = true;
        self
    }

    /// Explains the logit or the probability.
    pub fn score(mut self, score: Score) -> Self {
        self.options.score = score;
        self
    }

    /// Sets the seed of masks, noise and samples.
    pub fn seed(mut self, seed: u64) -> Self {
        self.options.settings.seed = seed;
        self
    }

    /// Sets a parameter of the methods: `name=value` or `method.name=value`.
    pub fn set(mut self, assignment: impl Into<String>) -> Self {
        self.assignments.push(assignment.into());
        self
    }

    /// Sets the placement of layer maps over the image.
    pub fn placement(mut self, placing: Placing) -> Self {
        self.options.settings.placing = placing;
        self
    }

    /// Fuses the maps of several layers into one.
    pub fn fusion(mut self, fusion: Fusion) -> Self {
        self.options.fusion = Some(fusion);
        self
    }

    /// Omits methods that do not apply to the model, with a note, instead of failing.
    pub fn skip_inapplicable(mut self) -> Self {
        self.options.skip_inapplicable = true;
        self
    }

    /// Compiles the explainer. Its [notes](Explainer::notes) begin with those on the model.
    ///
    /// # Errors
    /// If a layer, class or setting does not exist, or as for [`Explainer::new`].
    pub fn build(self) -> Result<Explainer, ExplainError> {
        let Self { model, mut options, layers, class, against, assignments } = self;
        options.layers = layers.iter().map(|name| model.layer(name)).collect::<Result<_, _>>()?;
        options.target = class.target(model)?;
        options.against = against.map(|class| class.target(model)).transpose()?;
        for assignment in &assignments {
            options.settings.set(assignment)?;
        }
        let mut notes = model.notes();
        if options.methods.is_empty() {
            notes.extend(options.take_default_methods(model));
        }
        Ok(Explainer::new(model, &options)?.with_notes_before(notes))
    }
}
