//! What `tunnel` shows: events as JSON, or lines, or lines above one that changes for each transfer.

use broker_ipc::types::{Event, TunnelListener};

use super::bars::Bars;
use super::lines;
use crate::open;
use crate::output::Output;
use crate::table::ALERT;

pub(super) struct Display<'a> {
    output: &'a Output,
    bars: Bars,
}

impl<'a> Display<'a> {
    pub(super) fn new(output: &'a Output) -> Self {
        let bars = match output.is_live() {
            true => Bars::on_terminal(),
            false => Bars::hidden(),
        };
        Self { output, bars }
    }

    fn is_json(&self) -> bool {
        self.output.is_json()
    }

    /// The lines that change. Clones share them.
    pub(super) fn bars(&self) -> Bars {
        self.bars.clone()
    }

    /// Shows the tunnels that are open now. As JSON, their events do that.
    pub(super) fn opened(&self, tunnels: &[TunnelListener]) -> anyhow::Result<()> {
        for tunnel in tunnels.iter().filter(|_| !self.is_json()) {
            open::show(self.output, tunnel)?;
        }
        Ok(())
    }

    /// Shows an event of one of the tunnels.
    pub(super) fn event(&self, event: &Event, tunnel: &TunnelListener) -> anyhow::Result<()> {
        if self.is_json() {
            return self.output.json(event);
        }
        self.bars.follow(event);
        match lines::line(event, tunnel, self.bars.are_shown()) {
            Some(line) => self.print(&line),
            None => Ok(()),
        }
    }

    /// Shows that events were lost.
    pub(super) fn lost(&self, event: &Event) -> anyhow::Result<()> {
        if self.is_json() {
            return self.output.json(event);
        }
        self.bars.clear();
        self.say(&lines::lost(event));
        Ok(())
    }

    fn print(&self, line: &lines::Line) -> anyhow::Result<()> {
        let lines::Line { text, alert } = line;
        let printed = self.bars.above(|| match alert {
            true => self.output.print(format_args!("{ALERT}{text}{ALERT:#}")),
            false => self.output.print(text),
        });
        Ok(printed?)
    }

    /// Tells a person on standard error what the command does.
    pub(super) fn say(&self, text: &str) {
        self.bars.above(|| self.output.progress(text));
    }

    /// Removes the lines that change.
    pub(super) fn clear(&self) {
        self.bars.clear();
    }
}
