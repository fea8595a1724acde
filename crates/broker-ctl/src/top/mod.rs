//! `top`: the daemon's state on the whole screen. The daemon's events are all that it is made of, as for any other program.

mod close;
mod draw;
mod keys;
mod layout;
mod link;
mod look;
mod model;
mod overlay;
mod request;
mod rows;
mod screen;
mod world;

use std::time::Duration;

use anyhow::Context;
use ratatui::crossterm::event::Event;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep_until};

use self::keys::{Action, Key};
use self::link::Link;
use self::look::Look;
use self::model::{Heard, Model};
use self::request::Request;
use self::screen::Screen;
use crate::cli::TopArgs;
use crate::daemon::Daemon;
use crate::failure::Reported;
use crate::terminal::is_utf8_locale;
use crate::units;

/// How often the time on the screen changes.
const TICK: Duration = Duration::from_secs(1);

/// The shortest time between two drawings for events: nobody reads faster, and a busy daemon has hundreds of events a
/// second.
const DRAW: Duration = Duration::from_millis(100);

/// Events that wait to be shown. Further ones wait in the daemon.
const HEARD: usize = 64;

/// Requests that wait to be sent: more than a person makes in a moment.
const ASKED: usize = 4;

/// Shows the daemon until the person ends it.
pub(crate) async fn top(daemon: &Daemon<'_>, args: TopArgs) -> anyhow::Result<()> {
    screen::check(daemon.output())?;
    let link = Link::open(daemon.another()).await?;
    let (heard, hears) = mpsc::channel(HEARD);
    let (asks, asked) = mpsc::channel(ASKED);
    let show = show(Model::new(look(args), units::now()), hears, asks);
    tokio::select! {
        ended = show => ended,
        () = link.run(heard, asked) => Ok(()),
    }
}

fn look(args: TopArgs) -> Look {
    let colour = anstream::AutoStream::choice(&std::io::stdout());
    // Otherwise the library decides as well.
    ratatui::crossterm::style::force_color_output(true);
    Look {
        colour: colour != anstream::ColorChoice::Never,
        ascii: args.ascii || !is_utf8_locale(),
    }
}

/// Draws the model, and changes it by what comes from the daemon and from the person.
async fn show(
    mut model: Model,
    mut heard: mpsc::Receiver<Heard>,
    asks: mpsc::Sender<Request>,
) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let mut screen = Screen::open()?;
    let mut input = screen::input();
    let mut tick = interval(TICK);
    let mut drawn = Instant::now();
    let mut changed = false;
    loop {
        tokio::select! {
            event = input.recv() => {
                let event = event.context("the terminal is gone")??;
                if turn(&mut model, &mut screen, &asks, &event)? {
                    return Ok(());
                }
            }
            Some(news) = heard.recv() => {
                model.hear(news);
                changed = true;
                continue;
            }
            () = sleep_until(drawn + DRAW), if changed => {}
            _ = tick.tick() => model.tick(units::now()),
            caught = signals.next() => match caught {
                Caught::Continued => screen.resume()?,
                Caught::End(status) => return Err(Reported::with_status(status).into()),
            },
        }
        screen.draw(&model)?;
        drawn = Instant::now();
        changed = false;
    }
}

/// Does what an event of the terminal means. Returns true if it ends the program.
fn turn(
    model: &mut Model,
    screen: &mut Screen,
    asks: &mpsc::Sender<Request>,
    event: &Event,
) -> anyhow::Result<bool> {
    let key = event.as_key_event().and_then(Key::of);
    match key.and_then(|key| keys::press(model, key)) {
        Some(Action::End) => return Ok(true),
        Some(Action::Suspend) => screen.suspend()?,
        Some(Action::Redraw) => screen.redraw()?,
        Some(Action::Ask(request)) => ask(model, asks, request),
        None => {}
    }
    Ok(false)
}

/// What shells add to the number of a signal to get the exit status.
const SIGNALLED: u8 = 128;

/// A signal.
enum Caught {
    /// The process was stopped, and another program may have used the terminal.
    Continued,
    /// The program ends with this exit status.
    End(u8),
}

fn ask(model: &mut Model, asks: &mpsc::Sender<Request>, request: Request) {
    if asks.try_send(request).is_err() {
        model.tell("The last request must end first", true);
    }
}

/// The signals that end the program or continue it.
struct Signals {
    interrupted: Signal,
    terminated: Signal,
    hung_up: Signal,
    continued: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        // tokio has no name for the one that continues a stopped process.
        let continued = SignalKind::from_raw(rustix::process::Signal::CONT.as_raw());
        Ok(Self {
            interrupted: signal(SignalKind::interrupt())?,
            terminated: signal(SignalKind::terminate())?,
            hung_up: signal(SignalKind::hangup())?,
            continued: signal(continued)?,
        })
    }

    async fn next(&mut self) -> Caught {
        tokio::select! {
            _ = self.interrupted.recv() => Caught::End(SIGNALLED + 2),
            _ = self.terminated.recv() => Caught::End(SIGNALLED + 15),
            _ = self.hung_up.recv() => Caught::End(SIGNALLED + 1),
            _ = self.continued.recv() => Caught::Continued,
        }
    }
}

#[cfg(test)]
mod tests;
