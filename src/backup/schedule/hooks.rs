//! What is to be told when a backup begins, succeeds or fails. Data only; nothing is run here.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, code};

/// At most so many hooks for each occasion.
pub const HOOKS_MAX: usize = 16;

const WORDS_MAX: usize = 256;
const BYTES_MAX: usize = 8 << 10;

/// Somebody to tell: a command, run without a shell, or an address that is called.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hook {
    /// A program and its arguments.
    Command(Vec<String>),
    /// An `http` or `https` address.
    Url(String),
}

/// Addresses and arguments may carry secrets, so that only what comes before them is shown.
impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(words) => {
                let program = words.first().map_or("", String::as_str);
                write!(f, "Command({program:?}, ...)")
            }
            Self::Url(url) => {
                let host = url.split('/').nth(2).unwrap_or_default();
                let host = host.rsplit('@').next().unwrap_or_default();
                write!(f, "Url({host:?}, ...)")
            }
        }
    }
}

/// Whom to tell what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hooks {
    /// Before a backup; if one fails, no backup is made.
    pub before: Vec<Hook>,
    /// After a backup that succeeded: a heartbeat, whose absence is noticed elsewhere.
    pub succeeded: Vec<Hook>,
    /// After one that failed.
    pub failed: Vec<Hook>,
}

impl Hooks {
    /// Whether all of them can be carried out, as far as that can be said beforehand.
    ///
    /// # Errors
    /// `Invalid`, naming the occasion.
    pub fn check(&self) -> Result<()> {
        let occasions =
            [("before", &self.before), ("succeeded", &self.succeeded), ("failed", &self.failed)];
        for (occasion, hooks) in occasions {
            if hooks.len() > HOOKS_MAX || !hooks.iter().all(is_usable) {
                let message = format!(
                    "hooks `{occasion}`: at most {HOOKS_MAX}, each a program with its arguments or \
                     an address that begins with http:// or https://"
                );
                return Err(Error::new(&code::INVALID_OPTION, message));
            }
        }
        Ok(())
    }
}

fn is_usable(hook: &Hook) -> bool {
    match hook {
        Hook::Command(words) => {
            let bytes: usize = words.iter().map(String::len).sum();
            words.len() <= WORDS_MAX
                && bytes <= BYTES_MAX
                && words.first().is_some_and(|program| !program.is_empty())
                && !words.iter().any(|word| word.contains('\0'))
        }
        Hook::Url(url) => {
            let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
            url.len() <= BYTES_MAX
                && rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
                && !url.chars().any(|c| c.is_control() || c.is_whitespace())
        }
    }
}
