//! Parameters of methods: named numbers and choices with defaults.
//!
//! Rows of the registry list their [`MethodParameter`]s. [`MethodSettings`] hold the user's values, validated against the rows,
//! and a method reads its own through [`Chosen`].

use crate::method::{METHODS, Method, MethodError};
use crate::model::Placing;
use crate::nearest::nearest;

/// Type and default value of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Setting {
    /// Any finite number.
    Number(f64),
    /// A count from 1 to [`MAX_COUNT`].
    Count(usize),
    /// One of several words; the first is the default.
    Choice(&'static [&'static str]),
}

/// Maximum value of a count, to catch typing errors.
pub const MAX_COUNT: usize = 10_000_000;

/// A parameter of a method.
#[derive(Clone, Copy, Debug)]
pub struct MethodParameter {
    /// Name used on the command line.
    pub name: &'static str,
    /// Default value.
    pub default: Setting,
    /// Short description.
    pub summary: &'static str,
}

/// Values set by the user, and the random seed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MethodSettings {
    /// Seed of masks, noise and samples.
    pub seed: u64,
    /// Alignment for upsampling layer maps to the image, within methods and wherever such a map is drawn.
    pub placing: Placing,
    /// Method, name and value; the latest assignments first.
    set: Vec<(&'static str, &'static str, String)>,
}

impl MethodSettings {
    /// Returns default settings with the given seed.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Returns the settings with the given alignment.
    #[must_use]
    pub fn placed(self, placing: Placing) -> Self {
        Self { placing, ..self }
    }

    /// Parses `name=value`, which applies to every method with such a parameter that accepts the value, or
    /// `method.name=value`.
    ///
    /// # Errors
    /// If no method has such a parameter, or none accepts the value.
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
            (.., true) => Err(wrong("it has no parameters".to_owned())),
            _ => {
                let near = nearest(name, others, 5).join(", ");
                let of = method.map_or("NAME", |m| m.id);
                let more = format!("`heatlens methods {of}` lists them");
                Err(wrong(format!("there is no such parameter; the nearest are {near} ({more})")))
            }
        }
    }

    /// Returns the settings of one method.
    #[must_use]
    pub fn of(&self, method: &'static Method) -> Chosen<'_> {
        Chosen { settings: self, method }
    }
}

impl Setting {
    /// Checks that a text is a valid value.
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

/// Settings of one method.
#[derive(Clone, Copy, Debug)]
pub struct Chosen<'a> {
    settings: &'a MethodSettings,
    method: &'static Method,
}

impl Chosen<'_> {
    /// Returns the random seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.settings.seed
    }

    /// Returns the id of the method.
    pub(super) fn id(&self) -> &'static str {
        self.method.id
    }

    /// Returns true if the user has set the parameter.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.text(name).is_some()
    }

    /// Returns a number.
    ///
    /// # Errors
    /// If the method has no number of that name.
    pub fn number(&self, name: &'static str) -> Result<f64, MethodError> {
        match (self.default(name)?, self.text(name)) {
            (Setting::Number(_), Some(text)) => text.parse().map_err(|_| self.unlisted(name)),
            (Setting::Number(default), None) => Ok(default),
            _ => Err(self.unlisted(name)),
        }
    }

    /// Returns a number between `low` and `high`.
    ///
    /// # Errors
    /// If it is out of range, or the method has no number of that name.
    pub fn number_between(&self, name: &'static str, low: f64, high: f64) -> Result<f64, MethodError> {
        let number = self.number(name)?;
        if (low..=high).contains(&number) {
            return Ok(number);
        }
        Err(self.wrong(name, format!("expected a number from {low} to {high}")))
    }

    /// Returns a count of at most `most`.
    ///
    /// # Errors
    /// If it is larger, or the method has no count of that name.
    pub fn count_up_to(&self, name: &'static str, most: usize) -> Result<usize, MethodError> {
        let count = self.count(name)?;
        if count <= most {
            return Ok(count);
        }
        Err(self.wrong(name, format!("expected a whole number from 1 to {most}")))
    }

    /// Returns the error that the value of `name`, set or default, cannot be used here.
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

    /// Returns a number of at least `lowest`, in single precision.
    ///
    /// # Errors
    /// If it is smaller or not representable, or the method has no number of that name.
    #[allow(clippy::cast_possible_truncation)] // the range is checked
    pub fn number_from(&self, name: &'static str, lowest: f64) -> Result<f32, MethodError> {
        let number = self.number(name)?;
        if number >= lowest && (number as f32).is_finite() {
            return Ok((number as f32).max(lowest as f32));
        }
        Err(self.wrong(name, format!("expected a number from {lowest:e} on, in single precision")))
    }

    /// Returns a count.
    ///
    /// # Errors
    /// If the method has no count of that name.
    pub fn count(&self, name: &'static str) -> Result<usize, MethodError> {
        match (self.default(name)?, self.text(name)) {
            (Setting::Count(_), Some(text)) => text.parse().map_err(|_| self.unlisted(name)),
            (Setting::Count(default), None) => Ok(default),
            _ => Err(self.unlisted(name)),
        }
    }

    /// Returns a word of a choice.
    ///
    /// # Errors
    /// If the method has no choice of that name.
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

    /// Returns the latest value set by the user.
    fn text(&self, name: &str) -> Option<&str> {
        let found = self.settings.set.iter().find(|(of, known, _)| *of == self.method.id && *known == name);
        found.map(|(_, _, value)| value.as_str())
    }

    fn unlisted(&self, name: &str) -> MethodError {
        self.method.not_applicable(format!("its row lists no such parameter {name:?}"))
    }
}
