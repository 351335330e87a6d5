//! How a command ends when it does not end well.

use std::any::Any;
use std::fmt::Display;
use std::process::ExitCode;

use heatlens::run::RunError;

/// A failed command: what to say, and with which code to end (1 failed, 2 wrong usage, 130 stopped by Ctrl-C).
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// The command was understood but could not be done.
    pub(crate) fn new(message: impl Display) -> Self {
        Self { message: message.to_string(), code: 1 }
    }

    /// The command line does not make sense.
    pub(crate) fn usage(message: impl Display) -> Self {
        Self { message: message.to_string(), code: 2 }
    }

    /// Ctrl-C stopped the command. The code is what a shell reports of a program that the signal ended (128 + 2).
    pub(crate) fn interrupted(message: impl Display) -> Self {
        Self { message: message.to_string(), code: 130 }
    }

    /// Says what happened and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        crate::output::error(&self.message);
        ExitCode::from(self.code)
    }
}

impl<E: Display + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let code = match (&error as &dyn Any).downcast_ref::<RunError>() {
            Some(RunError::Interrupted) => 130,
            Some(wrong) if wrong.is_usage() => 2,
            _ => 1,
        };
        Self { message: error.to_string(), code }
    }
}
