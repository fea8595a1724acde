//! Prompts: from the dial that has a question to the person who can answer it, and back.

mod desk;
mod wording;

pub use desk::Attendant;
pub(crate) use desk::Desk;
