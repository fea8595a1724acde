//! A program on a pseudo-terminal, with somebody at the keyboard.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::num::NonZero;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::Context;
use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcgetwinsize, tcsetwinsize};
pub use vt100;

use crate::process::Process;
use crate::programs::SETSID;

/// What Ctrl-C sends.
const CTRL_C: &str = "\x03";

/// What Ctrl-D sends.
const CTRL_D: &str = "\x04";

/// The size of a terminal that nobody has made larger.
const SIZE: Winsize = Winsize {
    ws_row: 24,
    ws_col: 80,
    ws_xpixel: 0,
    ws_ypixel: 0,
};

/// A program whose terminal this is; dropping it kills the program.
pub struct Terminal {
    process: Process,
    keyboard: File,
}

impl Terminal {
    /// Starts a program as the leader of a session on a new terminal.
    ///
    /// # Errors
    /// When there is no terminal to be had or the program cannot be started.
    pub fn spawn(command: &Command) -> anyhow::Result<Self> {
        Self::open(command, None)
    }

    /// As [`Terminal::spawn`], where the terminal has so many columns and rows.
    ///
    /// # Errors
    /// As [`Terminal::spawn`].
    pub fn spawn_sized(command: &Command, columns: u16, rows: u16) -> anyhow::Result<Self> {
        Self::open(command, Some((columns, rows)))
    }

    fn open(command: &Command, size: Option<(u16, u16)>) -> anyhow::Result<Self> {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&keyboard)?;
        unlockpt(&keyboard)?;
        tcsetwinsize(&keyboard, SIZE)?;
        let path = OsString::from_vec(ptsname(&keyboard, Vec::new())?.into_bytes());
        let no_control = i32::try_from(OFlags::NOCTTY.bits())?;
        let terminal = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(no_control)
            .open(path)?;
        let keyboard = File::from(keyboard);
        if let Some((columns, rows)) = size {
            set_size(&keyboard, columns, rows)?;
        }
        let process =
            Process::spawn_on_terminal(in_own_session(command)?, &terminal, keyboard.try_clone()?)?;
        Ok(Self { process, keyboard })
    }

    /// Types a line.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn type_line(&self, text: &str) -> anyhow::Result<()> {
        self.send(&format!("{text}\n"))
    }

    /// Presses Ctrl-C.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn interrupt(&self) -> anyhow::Result<()> {
        self.send(CTRL_C)
    }

    /// Presses Ctrl-D.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn end_input(&self) -> anyhow::Result<()> {
        self.send(CTRL_D)
    }

    /// Presses keys, of which the program hears at once if it wants to.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn press(&self, keys: &str) -> anyhow::Result<()> {
        self.send(keys)
    }

    /// Gives the terminal another size, of which the program is told.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn resize(&self, columns: u16, rows: u16) -> anyhow::Result<()> {
        set_size(&self.keyboard, columns, rows)
    }

    fn send(&self, keys: &str) -> anyhow::Result<()> {
        let sent = (&self.keyboard).write_all(keys.as_bytes());
        sent.context("nobody has the terminal open")
    }

    /// Whether what is typed is shown.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn echoes(&self) -> anyhow::Result<bool> {
        let modes = tcgetattr(&self.keyboard)?.local_modes;
        Ok(modes.contains(LocalModes::ECHO))
    }

    /// All that has been shown so far.
    #[must_use]
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.process.stdout()).into_owned()
    }

    /// What is on the terminal, as a person sees it: the program can have overwritten what it has shown.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn display(&self) -> anyhow::Result<vt100::Screen> {
        let size = tcgetwinsize(&self.keyboard)?;
        Ok(interpreted(&self.process.stdout(), size))
    }

    /// Waits until what is on the terminal is as `expected`, and returns it.
    ///
    /// # Errors
    /// When the program ends or `limit` passes before; the message shows the terminal.
    pub async fn displays(
        &self,
        expected: impl Fn(&vt100::Screen) -> bool,
        limit: Duration,
    ) -> anyhow::Result<vt100::Screen> {
        let size = tcgetwinsize(&self.keyboard)?;
        let seen = |bytes: &[u8]| expected(&interpreted(bytes, size));
        let seen = self.process.stdout_becomes(seen, limit).await;
        let display = self.display()?;
        let shown = display.contents();
        anyhow::ensure!(seen, "the terminal shows something else:\n{shown}");
        Ok(display)
    }

    /// Waits until a text is shown.
    ///
    /// # Errors
    /// When the program ends or `limit` passes before; the message shows the screen.
    pub async fn shows(&self, text: &str, limit: Duration) -> anyhow::Result<()> {
        self.shows_times(text, 1, limit).await
    }

    /// Waits until a text has been shown so many times.
    ///
    /// # Errors
    /// As [`Terminal::shows`].
    pub async fn shows_times(
        &self,
        text: &str,
        times: usize,
        limit: Duration,
    ) -> anyhow::Result<()> {
        self.process.wait_stdout(text, times, limit).await
    }

    /// The program, for signals.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Waits for the program's end.
    ///
    /// # Errors
    /// When it still runs after `limit`.
    pub async fn wait(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let ended = self.process.wait(limit).await;
        ended.with_context(|| format!("it shows:\n{}", self.screen()))
    }

    /// Kills the program.
    pub fn kill(&mut self) {
        self.process.kill();
    }
}

fn set_size(terminal: &File, columns: u16, rows: u16) -> anyhow::Result<()> {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    Ok(tcsetwinsize(terminal, size)?)
}

/// What a terminal of this size shows after this output.
fn interpreted(output: &[u8], size: Winsize) -> vt100::Screen {
    let [rows, columns] =
        [size.ws_row, size.ws_col].map(|it| it.try_into().unwrap_or(NonZero::<u16>::MIN));
    let mut parser = vt100::Parser::new(rows, columns, 0);
    parser.process(output);
    parser.screen().clone()
}

/// The same command as the leader of a new session, whose terminal is that of its standard input.
fn in_own_session(command: &Command) -> anyhow::Result<Command> {
    let mut leader = Command::new(SETSID.find()?);
    leader
        .arg("--ctty")
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => leader.env(name, value),
            None => leader.env_remove(name),
        };
    }
    Ok(leader)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    fn shell(script: &str) -> Terminal {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Terminal::spawn(&command).unwrap()
    }

    #[tokio::test]
    async fn lines_are_typed_and_echoed_as_the_program_wants() {
        let script = "read one </dev/tty; stty -echo; echo ready; read two; echo got $one $two";
        let mut terminal = shell(script);
        terminal.type_line("seen").unwrap();
        terminal.shows("ready", LIMIT).await.unwrap();
        assert!(!terminal.echoes().unwrap());
        terminal.type_line("unseen").unwrap();
        terminal.shows("got seen unseen", LIMIT).await.unwrap();
        assert!(terminal.wait(LIMIT).await.unwrap().success());
        assert_eq!(terminal.screen().matches("unseen").count(), 1);
        assert!(terminal.screen().matches("seen").count() >= 3);
    }

    #[tokio::test]
    async fn what_was_overwritten_is_no_longer_on_the_display() {
        let mut command = Command::new("sh");
        let script =
            "stty -echo; stty size; printf 'first\\r'; read x; printf 'other\\033[31mred'; read x";
        command.args(["-c", script]);
        let mut terminal = Terminal::spawn_sized(&command, 40, 5).unwrap();
        let shows = |text: &'static str| {
            move |screen: &vt100::Screen| screen.contents().lines().nth(1) == Some(text)
        };
        terminal.displays(shows("first"), LIMIT).await.unwrap();
        assert!(terminal.screen().starts_with("5 40"));
        terminal.resize(20, 4).unwrap();
        terminal.press("\n").unwrap();
        let wanted = |screen: &vt100::Screen| screen.contents().contains("otherred");
        let screen = terminal.displays(wanted, LIMIT).await.unwrap();
        assert!(
            !screen.contents().contains("first"),
            "{}",
            screen.contents()
        );
        assert_eq!(screen.rows(0, 20).count(), 4);
        terminal.press("\n").unwrap();
        assert!(terminal.wait(LIMIT).await.unwrap().success());
    }

    #[tokio::test]
    async fn an_interrupt_reaches_the_program() {
        let mut terminal = shell("trap 'exit 3' INT; echo ready; while :; do sleep 0.1; done");
        terminal.shows("ready", LIMIT).await.unwrap();
        terminal.interrupt().unwrap();
        assert_eq!(terminal.wait(LIMIT).await.unwrap().code(), Some(3));
    }
}
