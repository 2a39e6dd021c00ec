//! How errors are told: what happened, why, and what to do next.

use std::error::Error as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use afterimage::{Error, code};

use crate::args::Globals;

/// Whether the reader of a pipe went away: one that has seen enough, as `head` does, is no failure.
pub(crate) fn reader_left(error: &Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return error.kind() == io::ErrorKind::BrokenPipe;
        }
        cause = error.source();
    }
    false
}

/// Ends with the exit code that belongs to the error.
pub(crate) fn report(error: &Error, globals: &Globals) -> ExitCode {
    let code = error.code();
    let exit = code.kind.exit_code();
    let mut causes = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    let mut out = anstream::stderr().lock();
    let told = if globals.json {
        let document = serde_json::json!({"error": {
            "code": code.id, "exit": exit, "message": error.to_string(),
            "cause": causes, "help": code.help,
        }});
        writeln!(out, "{document}")
    } else {
        let (red, dim, plain) = ("\x1b[1;31m", "\x1b[2m", "\x1b[0m");
        let mut lines = vec![format!("{red}error[{}]{plain}: {error}", code.id)];
        lines.extend(causes.iter().map(|cause| format!("  because: {cause}")));
        lines.push(format!("  {dim}help:{plain} {}\n", code.help));
        let text = lines.join("\n");
        out.write_all(text.as_bytes())
    };
    // With standard error closed there is nobody to tell; the exit code still says it.
    drop(told);
    ExitCode::from(exit)
}

/// What clap says about arguments it does not understand; help and version are no errors.
pub(crate) fn of_arguments(error: &clap::Error, json: bool) -> ExitCode {
    if !error.use_stderr() {
        drop(error.print());
        return ExitCode::SUCCESS;
    }
    if json {
        let text = error.render().to_string();
        let message = text.trim_start_matches("error: ").trim();
        let document = serde_json::json!({"error": {
            "code": code::USAGE.id, "exit": 2, "message": message,
            "cause": [], "help": code::USAGE.help,
        }});
        drop(writeln!(io::stderr(), "{document}"));
    } else {
        let text = error.render().ansi().to_string();
        let coded = format!("error[{}]:", code::USAGE.id);
        drop(write!(anstream::stderr(), "{}", text.replacen("error:", &coded, 1)));
    }
    ExitCode::from(2)
}

/// An error of the command line itself.
pub(crate) fn usage(message: impl Into<String>) -> Error {
    Error::new(&code::USAGE, message)
}
