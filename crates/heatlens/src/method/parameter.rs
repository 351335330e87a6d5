//! What can be set on a method: named numbers and choices with defaults.
//!
//! Rows of the registry list their [`Parameter`]s; [`Settings`] hold what a person chose, checked
//! against the rows, and a method reads its own through [`Chosen`].

use crate::method::{METHODS, Method, MethodError};
use crate::model::Placing;
use crate::nearest::nearest;

/// A value that can be set, or its default.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Setting {
    /// Any finite number.
    Number(f64),
    /// How many of something, from 1 to [`MAX_COUNT`].
    Count(usize),
    /// One of several words; the first is the default.
    Choice(&'static [&'static str]),
}

/// The largest count that can be set: work without end is a mistake in typing.
pub const MAX_COUNT: usize = 10_000_000;

/// Something that can be set on a method.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// What people type.
    pub name: &'static str,
    /// What it is if nobody sets it.
    pub default: Setting,
    /// What it does, in a few words.
    pub summary: &'static str,
}

/// What a person has set, and the seed of everything random.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Seed of masks, noise and samples.
    pub seed: u64,
    /// How maps of a layer's size are laid over the image, in methods that do so and wherever such a map leaves the layer.
    pub placing: Placing,
    /// Method, name and value, later ones first.
    set: Vec<(&'static str, &'static str, String)>,
}

impl Settings {
    /// Settings with another seed.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// The same settings with maps laid over the image this way.
    #[must_use]
    pub fn placed(self, placing: Placing) -> Self {
        Self { placing, ..self }
    }

    /// Takes `name=value`, for every method that has such a parameter and takes such a value, or
    /// `method.name=value`.
    ///
    /// # Errors
    /// If no method has such a parameter, or none of them takes the value.
    pub fn set(&mut self, assignment: &str) -> Result<(), MethodError> {
        let wrong = |reason: String| MethodError::Setting { assignment: assignment.to_owned(), reason };
        let (name, value) = assignment
            .split_once('=')
            .ok_or_else(|| wrong("expected NAME=VALUE or METHOD.NAME=VALUE".to_owned()))?;
        let (method, name) = match name.split_once('.') {
            Some((method, name)) => (Some(super::find(method)?), name),
            None => (None, name),
        };
        let rows = METHODS.iter().copied().filter(|m| method.is_none_or(|chosen| chosen.id == m.id));
        let (mut others, mut refusals, mut taken) = (Vec::new(), Vec::new(), false);
        for (row, parameter) in rows.flat_map(|row| row.parameters.iter().map(move |p| (row, p))) {
            if parameter.name != name {
                if !others.contains(&parameter.name) {
                    others.push(parameter.name);
                }
                continue;
            }
            match parameter.default.check(value) {
                Ok(()) => {
                    self.set.insert(0, (row.id, parameter.name, value.to_owned()));
                    taken = true;
                }
                Err(reason) => refusals.push(format!("{}: {reason}", row.id)),
            }
        }
        match (taken, refusals.is_empty(), others.is_empty()) {
            (true, ..) => Ok(()),
            (_, false, _) => Err(wrong(refusals.join("; "))),
            (.., true) => Err(wrong("there is nothing to set on it".to_owned())),
            _ => {
                let near = nearest(name, others, 5).join(", ");
                let of = method.map_or("NAME", |m| m.id);
                let more = format!("`heatlens methods {of}` lists them");
                Err(wrong(format!("there is no such parameter; the nearest are {near} ({more})")))
            }
        }
    }

    /// What holds for one method.
    #[must_use]
    pub fn of(&self, method: &'static Method) -> Chosen<'_> {
        Chosen { settings: self, method }
    }
}

impl Setting {
    /// Checks a text against what this setting takes.
    fn check(self, text: &str) -> Result<(), String> {
        match self {
            Self::Number(_) => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(()),
                _ => Err(format!("expected a number, found {text:?}")),
            },
            Self::Count(_) => match text.parse::<usize>() {
                Ok(count) if (1..=MAX_COUNT).contains(&count) => Ok(()),
                _ => Err(format!("expected a whole number from 1 to {MAX_COUNT}, found {text:?}")),
            },
            Self::Choice(words) if words.contains(&text) => Ok(()),
            Self::Choice(words) => Err(format!("expected {}, found {text:?}", words.join(" or "))),
        }
    }
}

/// One method's settings.
#[derive(Clone, Copy, Debug)]
pub struct Chosen<'a> {
    settings: &'a Settings,
    method: &'static Method,
}

impl Chosen<'_> {
    /// The seed of everything random.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.settings.seed
    }

    /// The id of the method.
    pub(super) fn id(&self) -> &'static str {
        self.method.id
    }

    /// Whether a person has set something under that name.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.text(name).is_some()
    }

    /// A number.
    ///
    /// # Errors
    /// If the method's row lists no number of that name.
    pub fn number(&self, name: &'static str) -> Result<f64, MethodError> {
        match (self.default(name)?, self.text(name)) {
            (Setting::Number(_), Some(text)) => text.parse().map_err(|_| self.unlisted(name)),
            (Setting::Number(default), None) => Ok(default),
            _ => Err(self.unlisted(name)),
        }
    }

    /// A number between `low` and `high`.
    ///
    /// # Errors
    /// If it is outside, or the method's row lists no number of that name.
    pub fn number_between(&self, name: &'static str, low: f64, high: f64) -> Result<f64, MethodError> {
        let number = self.number(name)?;
        if (low..=high).contains(&number) {
            return Ok(number);
        }
        Err(self.wrong(name, format!("expected a number from {low} to {high}")))
    }

    /// A count of at most `most`.
    ///
    /// # Errors
    /// If it is larger, or the method's row lists no count of that name.
    pub fn count_up_to(&self, name: &'static str, most: usize) -> Result<usize, MethodError> {
        let count = self.count(name)?;
        if count <= most {
            return Ok(count);
        }
        Err(self.wrong(name, format!("expected a whole number from 1 to {most}")))
    }

    /// The error that what is set under `name`, or its default, cannot be used here.
    #[must_use]
    pub fn wrong(&self, name: &'static str, reason: impl Into<String>) -> MethodError {
        let default = |setting: Setting| match setting {
            Setting::Number(number) => number.to_string(),
            Setting::Count(count) => count.to_string(),
            Setting::Choice(words) => words.first().copied().unwrap_or_default().to_owned(),
        };
        let value = match (self.text(name), self.default(name)) {
            (Some(text), _) => text.to_owned(),
            (None, found) => found.map(default).unwrap_or_default(),
        };
        MethodError::Setting {
            assignment: format!("{}.{name}={value}", self.method.id),
            reason: reason.into(),
        }
    }

    /// A number that must be at least `lowest`, in single precision.
    ///
    /// # Errors
    /// If it is less or too large, or the method's row lists no number of that name.
    #[allow(clippy::cast_possible_truncation)] // the range is checked
    pub fn number_from(&self, name: &'static str, lowest: f64) -> Result<f32, MethodError> {
        let number = self.number(name)?;
        if number >= lowest && (number as f32).is_finite() {
            return Ok((number as f32).max(lowest as f32));
        }
        Err(self.wrong(name, format!("expected a number from {lowest:e} on, in single precision")))
    }

    /// A count.
    ///
    /// # Errors
    /// If the method's row lists no count of that name.
    pub fn count(&self, name: &'static str) -> Result<usize, MethodError> {
        match (self.default(name)?, self.text(name)) {
            (Setting::Count(_), Some(text)) => text.parse().map_err(|_| self.unlisted(name)),
            (Setting::Count(default), None) => Ok(default),
            _ => Err(self.unlisted(name)),
        }
    }

    /// One of the words that a choice offers.
    ///
    /// # Errors
    /// If the method's row lists no choice of that name.
    pub fn choice(&self, name: &'static str) -> Result<&'static str, MethodError> {
        let Setting::Choice(words) = self.default(name)? else { return Err(self.unlisted(name)) };
        let chosen = match self.text(name) {
            Some(text) => words.iter().find(|word| **word == text),
            None => words.first(),
        };
        chosen.copied().ok_or_else(|| self.unlisted(name))
    }

    fn default(&self, name: &'static str) -> Result<Setting, MethodError> {
        let found = self.method.parameters.iter().find(|p| p.name == name);
        found.map(|p| p.default).ok_or_else(|| self.unlisted(name))
    }

    /// What was set last.
    fn text(&self, name: &str) -> Option<&str> {
        let found = self.settings.set.iter().find(|(of, known, _)| *of == self.method.id && *known == name);
        found.map(|(_, _, value)| value.as_str())
    }

    fn unlisted(&self, name: &str) -> MethodError {
        self.method.not_applicable(format!("its row lists no such parameter {name:?}"))
    }
}
