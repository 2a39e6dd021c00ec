//! `demo`: history is written, a writer is really killed, an accident happens, and all of it comes
//! back. Everything printed was measured in the run that prints it.

mod hotel;
mod script;
mod take_back;
mod writer;

use std::path::{Path, PathBuf};

use afterimage::{Error, Result};

use super::DONE;
use crate::args::DemoArgs;
use crate::context::Context;

/// Where the demo's stores are.
pub(super) struct Stage {
    pub store: PathBuf,
    pub killed: PathBuf,
    pub restored: PathBuf,
}

impl Stage {
    fn in_directory(directory: &Path) -> Self {
        Self {
            store: directory.join("demo.store"),
            killed: directory.join("killed.store"),
            restored: directory.join("restored.store"),
        }
    }
}

pub(super) fn run(context: &mut Context, args: &DemoArgs) -> Result<u8> {
    let temporary;
    let directory = if let Some(directory) = &args.directory {
        directory.as_path()
    } else {
        temporary =
            tempfile::Builder::new().prefix("afterimage-demo-").tempdir().map_err(|error| {
                Error::from_io(error, "create a temporary directory", Path::new("/tmp"))
            })?;
        temporary.path()
    };
    if args.write_until_killed {
        return writer::write_until_killed(directory, args).map(|()| DONE);
    }
    if args.directory.is_some() {
        crate::files::create_directory(directory)?;
    }
    let summary = script::play(context, &Stage::in_directory(directory), directory, args)?;
    if context.out.json {
        context.out.document(&summary)?;
        return Ok(DONE);
    }
    if args.directory.is_none() {
        context.out.say(
            "\nThe stores were temporary and are gone. To keep them and look around:\n\
             \n    afterimage demo ./hotel\
             \n    afterimage -s ./hotel/demo.store log -n 5 -p\
             \n    afterimage -s ./hotel/demo.store diff HEAD~20..HEAD --stat\
             \n    afterimage -s ./hotel/restored.store scan rooms --limit 5",
        );
    } else {
        let shown = directory.display();
        context.out.say(&format!(
            "\nTry next:\n\
             \n    afterimage -s {shown}/demo.store log -n 5 -p\
             \n    afterimage -s {shown}/demo.store blame rooms/101\
             \n    afterimage -s {shown}/restored.store status"
        ));
    }
    Ok(DONE)
}
