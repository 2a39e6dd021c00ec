//! `doctor`.

use afterimage::{Check, Checkup, Error, Outcome, Result, Store, code, support_bundle};

use crate::args::DoctorArgs;
use crate::context::Context;
use crate::files;
use crate::render::{count, safe};

/// Columns of the longest name of a check.
const NAME_WIDTH: usize = 16;

pub(super) fn run(context: &mut Context, args: &DoctorArgs) -> Result<u8> {
    let (path, options) = (context.path()?, Store::options());
    let Some(file) = &args.bundle else {
        return show(context, &afterimage::doctor(&path, &options));
    };
    let bundle = support_bundle(&path, &options, args.names);
    let text = serde_json::to_string_pretty(&bundle).map_err(|source| {
        Error::new(&code::ENCODE, "the bundle can't be written").with_source(source)
    })?;
    files::write_private(file, &path, text.as_bytes())?;
    context.out.say(&format!("wrote {}; look at it before you send it", file.display()));
    show(context, &bundle.checkup)
}

fn show(context: &mut Context, checkup: &Checkup) -> Result<u8> {
    if context.out.json {
        context.out.document(checkup)?;
        return Ok(checkup.exit_code());
    }
    for check in &checkup.checks {
        show_check(context, check)?;
    }
    let number = |outcome| {
        let all = checkup.checks.iter().filter(|check| check.outcome == outcome);
        all.count() as u64
    };
    let verdict = if checkup.healthy { "healthy" } else { "NOT HEALTHY" };
    let problems = count(number(Outcome::Problem), "problem");
    let warnings = count(number(Outcome::Warning), "warning");
    context.out.line(&format!("{verdict}: {problems}, {warnings}"))?;
    Ok(checkup.exit_code())
}

fn show_check(context: &mut Context, check: &Check) -> Result<()> {
    let (color, word) = match check.outcome {
        Outcome::Ok => ("32", "ok"),
        Outcome::Warning => ("33", "warning"),
        Outcome::Problem => ("31", "PROBLEM"),
        Outcome::Skipped => ("2", "skipped"),
    };
    let word = context.out.paint(color, &format!("{word:<7}"));
    let (name, found) = (check.name, safe(&check.found));
    context.out.line(&format!("{word}  {name:<NAME_WIDTH$}  {found}"))?;
    if let Some(help) = &check.help {
        context.out.line(&format!("{:9}{:NAME_WIDTH$}  help: {}", "", "", safe(help)))?;
    }
    Ok(())
}
