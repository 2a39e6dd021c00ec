//! Children that try damages, and what becomes of one that breaks.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use super::trial::{BEGIN, Class, END, PANIC, Verdict};
use super::{Batch, CHILD, Order};
use crate::engine::Outcome;

/// A trial that takes longer hangs.
pub(super) const LIMIT: Duration = Duration::from_secs(5);
/// A child tries so many, so that what one leaves behind is not for ever.
const BATCH: usize = 100;

/// Runs a child that only does something.
pub(super) fn obey(order: &Order) -> Outcome<()> {
    let status = command(order)?.status()?;
    if status.success() { Ok(()) } else { Err(format!("a child ended with {status}").into()) }
}

/// The verdicts on all damages of a batch, in their order.
pub(super) fn verdicts(all: &Batch) -> Outcome<Vec<Verdict>> {
    let mut verdicts = Vec::new();
    while verdicts.len() < all.to {
        let from = verdicts.len();
        let part = Batch { from, to: all.to.min(from + BATCH), ..all.clone() };
        let mut tried = tries(&part)?;
        // What broke the child must break a fresh one too, or it was not this damage alone.
        if let Some(last) = tried.last_mut()
            && matches!(last.class, Class::Abort | Class::Hang)
        {
            let number = from + tried.len() - 1;
            if number > from {
                let alone = Batch { from: number, to: number + 1, ..all.clone() };
                *tried.last_mut().ok_or("a verdict")? = only(tries(&alone)?)?;
            }
        }
        verdicts.extend(tried);
    }
    Ok(verdicts)
}

fn only(mut verdicts: Vec<Verdict>) -> Outcome<Verdict> {
    verdicts.pop().ok_or_else(|| "a child tried nothing".into())
}

/// The verdicts of one child, up to the damage that broke it.
fn tries(batch: &Batch) -> Outcome<Vec<Verdict>> {
    let order = Order::Try(batch.clone());
    let mut child = command(&order)?.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let lines = lines(&mut child)?;
    let (mut verdicts, mut begun, mut said) = (Vec::new(), false, String::new());
    loop {
        match lines.recv_timeout(LIMIT) {
            Ok(line) => {
                if line.starts_with(BEGIN) {
                    begun = true;
                } else if let Some(verdict) = line.strip_prefix(END) {
                    verdicts.push(serde_json::from_str(verdict)?);
                    begun = false;
                } else if let Some(words) = line.strip_prefix(PANIC) {
                    words.clone_into(&mut said);
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                child.kill()?;
                child.wait()?;
                if !begun {
                    return Err("a child hangs outside of a trial".into());
                }
                let detail = format!("longer than {} s", LIMIT.as_secs());
                verdicts.push(Verdict::new(Class::Hang, detail));
                return Ok(verdicts);
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let status = child.wait()?;
    if status.success() && verdicts.len() == batch.to - batch.from {
        return Ok(verdicts);
    }
    let broken = Verdict::new(Class::Abort, format!("{status}: {said}"));
    if begun {
        verdicts.push(broken);
    } else if let Some(last) = verdicts.last_mut() {
        // A thread that was left behind broke it.
        *last = broken;
    } else {
        return Err(format!("a child ended with {status} before it tried anything: {said}").into());
    }
    Ok(verdicts)
}

fn command(order: &Order) -> Outcome<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(CHILD).arg(serde_json::to_string(order)?);
    Ok(command)
}

/// The lines of a child's output as they come, read by a thread of their own.
fn lines(child: &mut Child) -> Outcome<Receiver<String>> {
    let output = child.stdout.take().ok_or("a child without an output")?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        // What an engine prints itself need not be text.
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                break;
            }
        }
    });
    Ok(receiver)
}
