//! One function for each command.

mod bench;
mod bisect;
mod care;
mod compact;
mod data;
mod demo;
mod doctor;
mod export;
mod import;
mod meta;
mod past;
mod plan;
mod point;
mod repair;
mod restore;
mod search;
mod shell;
mod telling;
mod undo;

use afterimage::Result;

use crate::args::{Args, Command};
use crate::context::Context;
use crate::failure::reader_left;

/// Everything went as asked.
pub(crate) const DONE: u8 = 0;
/// Done in part; what was skipped is listed.
pub(crate) const IN_PART: u8 = 3;
/// A command of several failed.
pub(crate) const FAILED: u8 = 1;
/// There are differences, and `--check` asked for them.
pub(crate) const DIFFERENT: u8 = 4;
/// The store is damaged.
pub(crate) const DAMAGED: u8 = 13;

/// Runs a command; returns its exit code.
pub(crate) fn run(args: Args) -> Result<u8> {
    run_in(Context::new(args.globals), &args.command)
}

/// Runs a command in a context that is there already.
fn run_in(mut context: Context, command: &Command) -> Result<u8> {
    let code = dispatch(&mut context, command)?;
    match context.out.flush() {
        // What was found, as damage by `verify`, holds whether or not somebody reads it.
        Err(error) if reader_left(&error) => Ok(code),
        flushed => flushed.map(|()| code),
    }
}

fn dispatch(context: &mut Context, command: &Command) -> Result<u8> {
    match command {
        Command::Init(args) => data::init(context, args),
        Command::Put(args) => data::put(context, args),
        Command::Get(args) => data::get(context, args),
        Command::Delete(args) => data::delete(context, args),
        Command::Scan(args) => data::scan(context, args),
        Command::Collections(args) => data::collections(context, args),
        Command::Log(args) => past::log(context, args),
        Command::Show(args) => past::show(context, args),
        Command::Diff(args) => past::diff(context, args),
        Command::Blame(args) => past::blame(context, args),
        Command::Search(args) => search::run(context, args),
        Command::Bisect(args) => bisect::run(context, args),
        Command::Point(command) => point::run(context, command),
        Command::Undo(args) => undo::run(context, args),
        Command::Restore(args) => restore::run(context, args),
        Command::Import(args) => import::run(context, args),
        Command::Export(args) => export::run(context, args),
        Command::Status(args) => care::status(context, args),
        Command::Verify(args) => care::verify(context, args),
        Command::Compact(args) => compact::run(context, args),
        Command::Repair(args) => repair::run(context, args),
        Command::Doctor(args) => doctor::run(context, args),
        Command::Stats(args) => care::stats(context, args),
        Command::Checkpoint(args) => care::checkpoint(context, args),
        Command::Shell(args) => shell::run(context, args),
        Command::Demo(args) => demo::run(context, args),
        Command::Bench(args) => bench::run(context, args),
        Command::Explain(args) => meta::explain(context, args),
        Command::Completions(args) => meta::completions(context, args),
        Command::Man(args) => meta::man(context, args),
        Command::Version => meta::version(context),
    }
}
