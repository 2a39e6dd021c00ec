//! The command line of `afterimage`. Uses the public API of the library and nothing else.

mod address;
mod args;
mod commands;
mod context;
mod failure;
mod files;
mod output;
mod progress;
mod render;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let json = std::env::args_os().any(|arg| arg == "--json");
            return failure::of_arguments(&error, json);
        }
    };
    let globals = args.globals.clone();
    match commands::run(args) {
        Ok(code) => ExitCode::from(code),
        Err(error) if failure::reader_left(&error) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error, &globals),
    }
}
