//! The terminal while the screen has it. It is restored however the program ends.

use std::io::{self, IsTerminal};
use std::thread;

use anyhow::{Context, ensure};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, enable_raw_mode};
use ratatui::layout::{Position, Rect};
use rustix::process::{Signal, kill_current_process_group};
use tokio::sync::mpsc;

use super::draw::draw;
use super::model::Model;
use crate::output::Output;

/// Keys that were pressed and not yet read. Further ones wait in the terminal.
const KEYS: usize = 16;

/// What to run instead.
const INSTEAD: &str = "run broker-ctl events for one line per event";

/// The terminal in full-screen mode. Dropping it restores the terminal, and so does a panic.
pub(super) struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    pub(super) fn open() -> anyhow::Result<Self> {
        let terminal = ratatui::try_init().context("cannot use the terminal")?;
        Ok(Self { terminal })
    }

    pub(super) fn draw(&mut self, model: &Model) -> io::Result<()> {
        self.terminal.draw(|frame| draw(frame, model)).map(drop)
    }

    /// Makes the next drawing draw everything. The library's `clear` asks the terminal where its cursor is, and the thread that
    /// reads keys would take the answer.
    pub(super) fn redraw(&mut self) -> io::Result<()> {
        let size = self.terminal.size()?;
        self.terminal.resize(Rect::from((Position::ORIGIN, size)))
    }

    /// Gives the terminal back to the shell until the shell continues this process. Where no shell could, as in a session
    /// that runs nothing else, the system ignores the signal, and the screen is there again at once.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        self.terminal.show_cursor()?;
        ratatui::try_restore()?;
        kill_current_process_group(Signal::TSTP)?;
        self.resume()
    }

    /// Takes the terminal back, whatever another program has done with it.
    pub(super) fn resume(&mut self) -> io::Result<()> {
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen)?;
        self.terminal.hide_cursor()?;
        self.redraw()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // If the terminal is gone, there is nothing to restore.
        let _ = self.terminal.show_cursor();
        let _ = ratatui::try_restore();
    }
}

/// Refuses where no screen can be drawn.
pub(super) fn check(output: &Output) -> anyhow::Result<()> {
    ensure!(
        output.is_for_people(),
        "top draws a screen for a person: for a program run broker-ctl events --json"
    );
    ensure!(
        io::stdout().is_terminal(),
        "top needs a terminal, and standard output is not one: {INSTEAD}"
    );
    let kind = std::env::var("TERM").unwrap_or_default();
    ensure!(
        !kind.is_empty() && kind != "dumb",
        "top needs a terminal that can move its cursor, and TERM is \"{kind}\": {INSTEAD}"
    );
    Ok(())
}

/// What the person does with the terminal. The thread that reads it ends with the program.
pub(super) fn input() -> mpsc::Receiver<io::Result<Event>> {
    let (sender, events) = mpsc::channel(KEYS);
    thread::spawn(move || {
        loop {
            let event = event::read();
            let over = event.is_err();
            if sender.blocking_send(event).is_err() || over {
                return;
            }
        }
    });
    events
}
