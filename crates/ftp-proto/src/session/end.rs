//! Where one side's end stands.

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum End {
    /// The side may say more.
    #[default]
    Open,
    /// It has ended, and some of what it said may wait yet.
    Came,
    /// Its end was passed on.
    Passed,
}

impl End {
    /// The side's end came.
    pub(super) fn came(&mut self) {
        if *self == Self::Open {
            *self = Self::Came;
        }
    }
}
