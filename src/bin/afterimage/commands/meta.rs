//! `explain`, `completions`, `man`, `version`.

use afterimage::{Code, Error, Result, code};
use clap::CommandFactory as _;

use super::DONE;
use crate::args::{Args, CompletionsArgs, ExplainArgs, ManArgs};
use crate::context::Context;
use crate::failure::usage;
use crate::files;

pub(super) fn explain(context: &mut Context, args: &ExplainArgs) -> Result<u8> {
    let Some(wanted) = &args.code else {
        for code in code::ALL {
            show_line(context, code)?;
        }
        return Ok(DONE);
    };
    let Some(found) = code::find(wanted) else {
        return Err(usage(format!(
            "there is no error code `{}`; `afterimage explain` lists them",
            wanted.escape_debug()
        )));
    };
    if context.out.json {
        return context.out.document(&document(found)).map(|()| DONE);
    }
    let exit = found.kind.exit_code();
    context.out.line(&format!("{}: {} (exit code {exit})\n", found.id, found.title))?;
    context.out.line(&format!("{}\n", found.explanation))?;
    context.out.line(&format!("What to do: {}", found.help))?;
    Ok(DONE)
}

fn document(code: &Code) -> serde_json::Value {
    serde_json::json!({
        "code": code.id,
        "exit": code.kind.exit_code(),
        "title": code.title,
        "explanation": code.explanation,
        "help": code.help,
    })
}

fn show_line(context: &mut Context, code: &Code) -> Result<()> {
    if context.out.json {
        return context.out.document(&document(code));
    }
    context.out.line(&format!("{}  exit {:>2}  {}", code.id, code.kind.exit_code(), code.title))
}

pub(super) fn completions(context: &mut Context, args: &CompletionsArgs) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "afterimage", &mut script);
    context.out.bytes(&script)?;
    Ok(DONE)
}

pub(super) fn man(context: &mut Context, args: &ManArgs) -> Result<u8> {
    let mut command = Args::command();
    command.build();
    write_pages(&command, "afterimage", args)?;
    context.out.say(&format!("wrote the manual pages to {}", args.directory.display()));
    Ok(DONE)
}

/// A page for a command and one for each of its subcommands.
fn write_pages(command: &clap::Command, name: &str, args: &ManArgs) -> Result<()> {
    let mut page = Vec::new();
    let titled = clap_mangen::Man::new(command.clone().display_name(name)).title(name);
    titled.render(&mut page).map_err(|source| {
        Error::new(&code::IO, "could not write a manual page").with_source(source)
    })?;
    files::write_page(&args.directory, &format!("{name}.1"), &page)?;
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        write_pages(sub, &format!("{name}-{}", sub.get_name()), args)?;
    }
    Ok(())
}

pub(super) fn version(context: &mut Context) -> Result<u8> {
    let version = env!("CARGO_PKG_VERSION");
    let format = afterimage::FORMAT_VERSION;
    if context.out.json {
        let document = serde_json::json!({
            "version": version,
            "format": format,
            "formats_read": [format],
        });
        context.out.document(&document)?;
    } else {
        context.out.line(&format!("afterimage {version}, reads and writes format {format}"))?;
    }
    Ok(DONE)
}
