//! Passwords, as people and programs give them: never on a command line, where every user of the machine sees them.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, IsTerminal, Write, stdin};

use anyhow::{Context, Result, bail, ensure};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// A new password: the first line of standard input, or twice what somebody types.
pub(crate) fn new(user: &str) -> Result<String> {
    if !stdin().is_terminal() {
        let password = first_line(&mut stdin().lock()).context("standard input")?;
        ensure!(
            !password.is_empty(),
            "standard input has no password in its first line"
        );
        return Ok(password);
    }
    let password = typed(&format!("New password of {user}: "))?;
    ensure!(
        !password.is_empty(),
        "a password is not empty; --no-password adds a user who has none"
    );
    match typed("Once more: ")? == password {
        true => Ok(password),
        false => bail!("these are two passwords, and not one twice"),
    }
}

/// What somebody types at the terminal, which does not show it.
pub(crate) fn typed(prompt: &str) -> Result<String> {
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty");
    let terminal = terminal.context("there is no terminal to ask for a password at")?;
    let _hidden = Hidden::new(&terminal)?;
    let mut shown = &terminal;
    write!(shown, "{prompt}")?;
    let typed = first_line(&mut BufReader::new(&terminal));
    writeln!(shown)?;
    typed
}

/// Without its line break.
pub(crate) fn first_line(input: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// The terminal shows nothing until this goes.
struct Hidden<'a> {
    terminal: &'a File,
    before: Termios,
}

impl Hidden<'_> {
    fn new(terminal: &File) -> Result<Hidden<'_>> {
        let before = tcgetattr(terminal).context("the terminal cannot be told to hide a password")?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &hidden)
            .context("the terminal cannot be told to hide a password")?;
        Ok(Hidden { terminal, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        // If that fails, there is nothing left to do about it.
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_a_line_without_its_end() {
        for (text, password) in [("a b\r\nc", "a b"), (" x ", " x "), ("", ""), ("\n", "")] {
            assert_eq!(first_line(&mut text.as_bytes()).unwrap(), password);
        }
    }
}
