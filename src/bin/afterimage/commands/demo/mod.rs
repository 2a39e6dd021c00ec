//! `demo`.
use afterimage::Result;
use crate::args::DemoArgs;
use crate::context::Context;
pub fn run(_context: &mut Context, _args: &DemoArgs) -> Result<u8> { Ok(0) }
