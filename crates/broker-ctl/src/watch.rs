//! `--watch`: an answer again and again, in place on a terminal.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use ratatui::crossterm::cursor::{MoveTo, MoveToColumn, MoveUp};
use ratatui::crossterm::queue;
use ratatui::crossterm::style::Print;
use ratatui::crossterm::terminal::{Clear, ClearType};
use rustix::termios::tcgetwinsize;
use tokio::time::MissedTickBehavior;
use unicode_width::UnicodeWidthChar;

use crate::daemon::Daemon;
use crate::lists::{self, List};

/// Shows the answer until Ctrl-C, or until the daemon is gone.
pub(crate) async fn repeat(daemon: &Daemon<'_>, list: List, every: Duration) -> anyhow::Result<()> {
    let mut screen = Screen::of_stdout();
    tokio::select! {
        never = show_each(daemon, list, every, screen.as_mut()) => match never? {},
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    if screen.is_some() {
        // The terminal has shown ^C in this line.
        daemon.output().print("")?;
    }
    Ok(())
}

async fn show_each(
    daemon: &Daemon<'_>,
    list: List,
    every: Duration,
    mut screen: Option<&mut Screen>,
) -> anyhow::Result<std::convert::Infallible> {
    let mut moments = tokio::time::interval(every);
    moments.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let output = daemon.output();
    let mut is_first = true;
    loop {
        moments.tick().await;
        let text = lists::text(daemon, list.clone()).await?;
        match &mut screen {
            Some(screen) if output.is_for_people() => screen.draw(&output.coloured(text))?,
            Some(_) | None => {
                if !is_first && !output.is_json() {
                    output.print("")?;
                }
                output.print(text)?;
            }
        }
        is_first = false;
    }
}

/// Whether standard output is a terminal on which the cursor can be moved.
pub(crate) fn is_screen() -> bool {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    io::stdout().is_terminal() && !is_dumb
}

/// A part of a terminal that is drawn again and again.
struct Screen {
    /// The lines of the last picture.
    drawn: u16,
    size: Size,
}

/// The size of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    columns: u16,
    rows: u16,
}

impl Screen {
    /// Standard output, if it is a terminal on which the cursor can be moved.
    fn of_stdout() -> Option<Self> {
        let size = is_screen().then(Size::of_stdout)?;
        Some(Self { drawn: 0, size })
    }

    /// Draws a picture over the last one. One write for all of it, so that nobody sees a half.
    fn draw(&mut self, text: &str) -> io::Result<()> {
        let size = Size::of_stdout();
        let mut picture = Vec::new();
        if size == self.size {
            begin_again(&mut picture, self.drawn)?;
        } else {
            // The terminal has moved what was drawn.
            queue!(picture, Clear(ClearType::All), MoveTo(0, 0))?;
            self.size = size;
        }
        let lines = size.cut(text);
        for line in &lines {
            // Cleared before: behind a full line, this would clear its last character.
            queue!(picture, Clear(ClearType::UntilNewLine), Print(line))?;
            queue!(picture, Print("\r\n"))?;
        }
        queue!(picture, Clear(ClearType::FromCursorDown))?;
        self.drawn = u16::try_from(lines.len()).unwrap_or(u16::MAX);
        let mut stdout = io::stdout().lock();
        stdout.write_all(&picture)?;
        stdout.flush()
    }
}

/// To where the last picture begins.
fn begin_again(picture: &mut Vec<u8>, drawn: u16) -> io::Result<()> {
    queue!(picture, MoveToColumn(0))?;
    if drawn > 0 {
        queue!(picture, MoveUp(drawn))?;
    }
    Ok(())
}

impl Size {
    /// That of most terminals if the system does not say.
    const USUAL: Self = Self {
        columns: 80,
        rows: 24,
    };

    fn of_stdout() -> Self {
        match tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 1 => Self {
                columns: size.ws_col,
                rows: size.ws_row,
            },
            Ok(_) | Err(_) => Self::USUAL,
        }
    }

    /// As many lines as fit above the cursor's line, each no longer than a line of the terminal.
    fn cut(self, text: &str) -> Vec<String> {
        let room = usize::from(self.rows) - 1;
        let all = text.lines().count();
        let fits = if all <= room { all } else { room - 1 };
        let lines = text.lines().take(fits);
        let mut lines: Vec<String> = lines.map(|line| cut(line, self.columns.into())).collect();
        if fits < all {
            lines.push(format!("… {} more", all - fits));
        }
        lines
    }
}

/// The beginning of a line, with all its styles.
fn cut(line: &str, width: usize) -> String {
    let mut seen = 0;
    let mut in_style = false;
    let fits = |c: &char| {
        if in_style || *c == '\u{1b}' {
            in_style = *c != 'm';
            return true;
        }
        seen += c.width().unwrap_or(0);
        seen <= width
    };
    line.chars().filter(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted() {
        let size = Size {
            columns: 3,
            rows: 4,
        };
        assert_eq!(size.cut("abcd\n日本\n3"), ["abc", "日", "3"]);
        assert_eq!(size.cut("1\n2\n3\n4"), ["1", "2", "… 2 more"]);
    }

    #[test]
    fn a_cut_line_ends_its_style() {
        assert_eq!(cut("\u{1b}[1mabcd\u{1b}[0m e", 2), "\u{1b}[1mab\u{1b}[0m");
    }
}
