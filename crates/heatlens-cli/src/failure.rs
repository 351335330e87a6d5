//! Errors of commands, with exit codes.

use std::any::Any;
use std::fmt::Display;
use std::process::ExitCode;

use heatlens::run::RunError;

/// Error of a command: message and exit code (1 failure, 2 wrong usage, 130 interrupted by Ctrl-C).
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// Creates the error of a command that failed.
    pub(crate) fn new(message: impl Display) -> Self {
        Self { message: message.to_string(), code: 1 }
    }

    /// Creates the error of an invalid command line.
    pub(crate) fn usage(message: impl Display) -> Self {
        Self { message: message.to_string(), code: 2 }
    }

    /// Creates the error of a command interrupted by Ctrl-C, with the exit code that a shell reports for SIGINT
    /// (128 + 2).
    pub(crate) fn interrupted(message: impl Display) -> Self {
        Self { message: message.to_string(), code: 130 }
    }

    /// Prints the message and returns the exit code.
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
