//! The progress of one side's end.

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum End {
    /// The side can send more.
    #[default]
    Open,
    /// The side has ended, and some of its bytes can still wait.
    Came,
    /// The end was passed on.
    Passed,
}

impl End {
    /// Records the side's end.
    pub(super) fn came(&mut self) {
        if *self == Self::Open {
            *self = Self::Came;
        }
    }
}
