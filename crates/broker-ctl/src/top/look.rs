//! How the screen looks: colours if the user wants them, and characters that the terminal has.

use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::{bar, border};
use unicode_width::UnicodeWidthStr;

use crate::table::fit::{prefix, shortened};

/// What a text means, whatever shows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Tone {
    #[default]
    Plain,
    /// It works.
    Good,
    /// Somebody should look.
    Caution,
    /// It has failed.
    Bad,
    /// It is over, or only a label.
    Quiet,
    /// A graph.
    Graph,
    /// What has the focus.
    Title,
}

/// What of a text matters if there is no room for all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    Begin,
    Ends,
}

/// In the place of what is left out.
const LEFT_OUT: &str = "…";

/// The same in ASCII.
const ASCII_LEFT_OUT: &str = "~";

/// Colours and characters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) colour: bool,
    pub(super) ascii: bool,
}

/// Lines of ASCII around a box.
const ASCII_BORDER: border::Set<'_> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

/// The heights of a graph, lowest first.
const BARS: [&str; 8] = [
    bar::ONE_EIGHTH,
    bar::ONE_QUARTER,
    bar::THREE_EIGHTHS,
    bar::HALF,
    bar::FIVE_EIGHTHS,
    bar::THREE_QUARTERS,
    bar::SEVEN_EIGHTHS,
    bar::FULL,
];

/// The same in ASCII.
const ASCII_BARS: [&str; 8] = ["_", ".", ":", "-", "=", "+", "*", "#"];

impl Look {
    pub(super) fn style(self, tone: Tone) -> Style {
        let style = Style::new();
        let coloured = |colour: Color| match self.colour {
            true => style.fg(colour),
            false => style,
        };
        match tone {
            Tone::Plain => style,
            Tone::Good => coloured(Color::Green),
            Tone::Caution => coloured(Color::Yellow),
            Tone::Bad => coloured(Color::Red).add_modifier(Modifier::BOLD),
            Tone::Quiet => style.add_modifier(Modifier::DIM),
            Tone::Graph => coloured(Color::Cyan),
            Tone::Title => coloured(Color::Cyan).add_modifier(Modifier::BOLD),
        }
    }

    pub(super) fn border(self) -> border::Set<'static> {
        match self.ascii {
            true => ASCII_BORDER,
            false => border::PLAIN,
        }
    }

    /// The first of the two texts if the terminal has its characters, otherwise the second one.
    pub(super) fn either(self, text: &'static str, ascii: &'static str) -> &'static str {
        if self.ascii { ascii } else { text }
    }

    /// The last values as bars, in the width given; the highest value has the highest bar.
    pub(super) fn graph(self, values: impl Iterator<Item = u64> + Clone, width: usize) -> String {
        let count = values.clone().count();
        let seen = values.skip(count.saturating_sub(width));
        let highest = seen.clone().max().unwrap_or(0).max(1);
        seen.map(|value| self.bar(value, highest)).collect()
    }

    /// A character of what others have named, as the terminal can show it.
    pub(super) fn symbol(self, symbol: &str) -> Option<&'static str> {
        match symbol {
            _ if !self.ascii || symbol.is_ascii() => None,
            LEFT_OUT => Some(ASCII_LEFT_OUT),
            _ => Some("?"),
        }
    }

    fn bar(self, value: u64, highest: u64) -> &'static str {
        let bars = if self.ascii { ASCII_BARS } else { BARS };
        let steps = bars.len() as u128 - 1;
        let height = u128::from(value) * steps / u128::from(highest);
        let bar = usize::try_from(height).ok().and_then(|it| bars.get(it));
        bar.copied().unwrap_or(" ")
    }

    /// The text in at most this width.
    pub(super) fn fit(self, text: &str, width: usize, keep: Keep) -> String {
        match keep {
            Keep::Ends => shortened(text, width),
            Keep::Begin if text.width() <= width => text.to_owned(),
            Keep::Begin => prefix(text, width.saturating_sub(1)).to_owned() + LEFT_OUT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Look = Look {
        colour: true,
        ascii: false,
    };

    #[test]
    fn a_message_keeps_its_beginning_and_a_path_both_ends() {
        let path = "/home/alice/report.pdf";
        assert_eq!(LOOK.fit(path, 6, Keep::Begin), "/home…");
        assert_eq!(LOOK.fit(path, 16, Keep::Ends), "/home…report.pdf");
        assert_eq!(LOOK.fit("日本.txt", 5, Keep::Begin), "日本…");
        assert_eq!(LOOK.fit("same", 4, Keep::Begin), "same");
    }

    #[test]
    fn a_graph_shows_the_last_values() {
        let values = [8, 0, 1, 4, 8];
        assert_eq!(LOOK.graph(values.into_iter(), 4), "▁▁▄█");
        let ascii = Look {
            ascii: true,
            ..LOOK
        };
        assert_eq!(ascii.graph(values.into_iter(), 9), "#__-#");
        assert_eq!(LOOK.graph([0, 0].into_iter(), 9), "▁▁");
        assert_eq!(LOOK.graph([u64::MAX].into_iter(), 9), "█");
    }

    #[test]
    fn without_colour_a_failure_still_stands_out() {
        let plain = Look {
            colour: false,
            ..LOOK
        };
        assert_eq!(plain.style(Tone::Good), Style::new());
        assert_eq!(plain.style(Tone::Bad), Style::new().bold());
    }
}
