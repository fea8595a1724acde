//! Prompts: from the connection attempt that needs an answer to the person who can give it, and back.

mod queue;
mod wording;

pub(crate) use queue::{ClientResponder, PromptQueue};
