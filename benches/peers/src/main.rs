//! afterimage beside other embedded engines: the same workloads, each measurement in a process of
//! its own. See README.md.

mod args;
mod corruption;
mod engine;
mod engines;
mod html;
mod limits;
mod measure;
mod report;
mod results;
mod rows;
mod run;
mod workloads;

use std::process::ExitCode;

use args::Args;
use engine::Outcome;
use results::Results;

fn main() -> ExitCode {
    match act() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn act() -> Outcome<()> {
    let mut given = std::env::args().skip(1).peekable();
    if given.peek().is_some_and(|first| first == run::CHILD) {
        return run::be_child(&given.nth(1).ok_or("a child needs an order")?);
    }
    if given.peek().is_some_and(|first| first == corruption::CHILD) {
        return corruption::be_child(&given.nth(1).ok_or("a child needs an order")?);
    }
    if given.peek().is_some_and(|first| first == corruption::COMMAND) {
        return corruption::run(given.skip(1));
    }
    let Some(args) = args::parse(given)? else { return Ok(()) };
    let results = run::all(&args, |results| save(&args, results))?;
    println!("{}", report::markdown(&results));
    Ok(())
}

fn save(args: &Args, results: &Results) -> Outcome<()> {
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_string_pretty(results)?)?;
    }
    if let Some(path) = &args.html {
        std::fs::write(path, html::page(results))?;
    }
    Ok(())
}
