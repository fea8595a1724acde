//! The columns of a list: what a person sees of each, and which go first where there is little room.

/// A column of a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(super) heading: &'static str,
    /// The heading of what a person sees without `--wide`, if that differs.
    pub(super) brief: Option<&'static str>,
    pub(super) place: Place,
    /// The width to which its values can be shortened.
    pub(super) least: Option<usize>,
}

/// Where a person sees a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In each row. Where there is little room, the column with the highest number goes first; 0 stays.
    Row(u8),
    /// In each row, with `--wide` only.
    Wide,
    /// Below the row, without `--wide`.
    Below,
}

impl Column {
    /// A column that is always there.
    pub(crate) const fn new(heading: &'static str) -> Self {
        Self {
            heading,
            brief: None,
            place: Place::Row(0),
            least: None,
        }
    }

    /// A column that a person sees with `--wide` only.
    pub(crate) const fn wide(heading: &'static str) -> Self {
        Self {
            place: Place::Wide,
            ..Self::new(heading)
        }
    }

    /// A text that gets lines of its own below its row, unless a person asks for `--wide`.
    pub(crate) const fn below(heading: &'static str) -> Self {
        Self {
            place: Place::Below,
            ..Self::new(heading)
        }
    }

    /// It goes where there is little room, the one with the highest number first. It also goes if no row has a value.
    pub(crate) const fn goes(self, order: u8) -> Self {
        Self {
            place: Place::Row(order),
            ..self
        }
    }

    /// Its values may be shortened, but to no less than this width.
    pub(crate) const fn shortens(self, least: usize) -> Self {
        Self {
            least: Some(least),
            ..self
        }
    }

    /// The heading of its brief form.
    pub(crate) const fn briefly(self, heading: &'static str) -> Self {
        Self {
            brief: Some(heading),
            ..self
        }
    }

    pub(super) fn is_below(&self) -> bool {
        self.place == Place::Below
    }

    pub(super) fn heading(&self, wide: bool) -> &'static str {
        self.brief.filter(|_| !wide).unwrap_or(self.heading)
    }
}
