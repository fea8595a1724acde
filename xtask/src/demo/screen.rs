//! What the demo shows: headings, facts, marks and progress

use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const GREEN: &str = "\x1b[32m";
const PLAIN: &str = "\x1b[0m";

/// Opens a chapter.
pub(super) fn heading(text: &str) {
    anstream::println!("\n{BOLD}── {text}{PLAIN}");
}

/// A thing and its name.
pub(super) fn fact(name: &str, value: impl std::fmt::Display) {
    anstream::println!("   {name:<18}{value}");
}

/// Something that was checked and holds.
pub(super) fn holds(text: &str) {
    anstream::println!("   {GREEN}✓{PLAIN} {text}");
}

/// A sentence about what comes.
pub(super) fn say(text: &str) {
    anstream::println!("   {text}");
}

/// A command as one would type it, and what it printed.
pub(super) fn command(line: &str, output: &str) {
    anstream::println!("\n   {DIM}${PLAIN} {BOLD}{line}{PLAIN}");
    block(output);
}

/// Several lines, set apart.
pub(super) fn block(text: &str) {
    for line in text.trim_end().lines() {
        anstream::println!("     {line}");
    }
}

/// A progress bar for one transfer. Half-way it gives way to a closer look, once.
pub(super) struct Progress<'a> {
    bar: ProgressBar,
    label: String,
    started: Instant,
    /// The time that the closer look took, which is not the transfer's.
    looked: Duration,
    look: Option<&'a dyn Fn()>,
}

impl<'a> Progress<'a> {
    /// For `total` bytes. `look` is called when half of them have passed.
    pub(super) fn new(label: &str, total: u64, look: Option<&'a dyn Fn()>) -> Self {
        let bar = ProgressBar::new(total);
        let template = "   {msg} {bar:32} {bytes:>10} of {total_bytes} {binary_bytes_per_sec:>13}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(format!("{label:<18}"));
        Self {
            bar,
            label: label.to_owned(),
            started: Instant::now(),
            looked: Duration::ZERO,
            look,
        }
    }

    /// Counts `bytes` that have passed.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.bar.inc(bytes as u64);
        let half = self.bar.length().unwrap_or(0) / 2;
        if self.bar.position() >= half
            && let Some(look) = self.look.take()
        {
            let began = Instant::now();
            self.bar.suspend(|| {
                look();
                say("");
            });
            self.looked = began.elapsed();
        }
    }

    /// Replaces the bar by one line that stays.
    pub(super) fn finish(self) {
        self.bar.finish_and_clear();
        let bytes = self.bar.position();
        let seconds = (self.started.elapsed().saturating_sub(self.looked))
            .as_secs_f64()
            .max(0.001);
        let rate = HumanBytes((bytes as f64 / seconds) as u64);
        fact(
            &self.label,
            format!("{} in {seconds:.1} s, {rate}/s", HumanBytes(bytes)),
        );
    }
}
