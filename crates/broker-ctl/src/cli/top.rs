//! What `top` takes.

use clap::Args;

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct TopArgs {
    /// Draw with ASCII characters only [default: only if the locale is not UTF-8]
    #[arg(long)]
    pub(crate) ascii: bool,
}
