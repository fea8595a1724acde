//! What the server says when it refuses to open a channel (RFC 4254 section 5.1)
//!
//! The library reports the code to whoever opens the channel, and a moment later the text to a callback that does not
//! name the channel's target. While all channels being opened have one target, the text is about that target. Otherwise
//! it is dropped, since no text is better than a wrong one.

use std::sync::Mutex;

use plain_text::printable_start;
use tokio::sync::Notify;

use crate::net::lock::lock;

/// How much of the text a message shows: the errors of an operating system fit.
const MAX_TEXT: usize = 160;

/// The channels that one connection is opening, and what the server said about those that it refused.
#[derive(Debug, Default)]
pub(crate) struct RefusedOpens {
    opens: Mutex<Opens>,
    told: Notify,
}

#[derive(Debug, Default)]
struct Opens {
    /// The targets of the channels being opened; `None`: the SSH server itself.
    targets: Vec<Option<String>>,
    /// A text for each refusal whose opener has not taken it yet, at most as many as there are `targets`.
    texts: Vec<RefusalText>,
}

#[derive(Debug, PartialEq, Eq)]
enum RefusalText {
    About(Option<String>, String),
    /// The channels being opened had several targets.
    AboutAny,
}

/// A channel that is being opened.
#[derive(Debug)]
pub(crate) struct OpenInProgress<'a> {
    refused: &'a RefusedOpens,
    target: Option<String>,
}

impl RefusedOpens {
    /// A channel to `target` is being opened, until the returned guard is dropped. `None`: to the SSH server itself.
    pub(crate) fn opening(&self, target: Option<String>) -> OpenInProgress<'_> {
        lock(&self.opens).targets.push(target.clone());
        OpenInProgress {
            refused: self,
            target,
        }
    }

    /// The server has refused one of the channels being opened, with this text.
    pub(crate) fn told(&self, text: &str) {
        let mut opens = lock(&self.opens);
        let Some(first) = opens.targets.first().cloned() else {
            return;
        };
        let only = opens.targets.iter().all(|target| *target == first);
        let text = if only {
            RefusalText::About(first, printable_start(text.trim(), MAX_TEXT))
        } else {
            RefusalText::AboutAny
        };
        opens.texts.push(text);
        drop(opens);
        self.told.notify_waiters();
    }
}

impl OpenInProgress<'_> {
    /// What the server said about this channel, which it has refused. `None`: nothing, or the text may be about another
    /// channel. The text follows the refusal at once.
    pub(crate) async fn text(&self) -> Option<String> {
        loop {
            let told = self.refused.told.notified();
            if let Some(text) = self.take() {
                return match text {
                    RefusalText::About(_, text) => Some(text).filter(|text| !text.is_empty()),
                    RefusalText::AboutAny => None,
                };
            }
            told.await;
        }
    }

    fn take(&self) -> Option<RefusalText> {
        let texts = &mut lock(&self.refused.opens).texts;
        let fits = |text: &RefusalText| match text {
            RefusalText::About(target, _) => *target == self.target,
            RefusalText::AboutAny => true,
        };
        let at = texts.iter().position(fits)?;
        Some(texts.remove(at))
    }
}

impl Drop for OpenInProgress<'_> {
    fn drop(&mut self) {
        let opens = &mut *lock(&self.refused.opens);
        if let Some(at) = opens.targets.iter().position(|it| *it == self.target) {
            opens.targets.swap_remove(at);
        }
        // Whoever gives up leaves its text, which is nobody's.
        if opens.targets.is_empty() {
            opens.texts.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn target(host: &str) -> Option<String> {
        Some(host.to_owned())
    }

    #[tokio::test]
    async fn the_text_belongs_to_the_only_target() {
        let refused = RefusedOpens::default();
        let open = refused.opening(target("a"));
        let again = refused.opening(target("a"));
        assert_eq!(open.text().now_or_never(), None, "nothing was refused yet");
        refused.told("Connection refused\x1b[2J\r\n");
        let text = again.text().await;
        assert_eq!(text.as_deref(), Some("Connection refused\\u{1b}[2J"));
        assert_eq!(open.text().now_or_never(), None, "the text was taken");
    }

    #[tokio::test]
    async fn a_text_that_may_be_about_another_target_is_dropped() {
        let refused = RefusedOpens::default();
        let (first, second) = (refused.opening(target("a")), refused.opening(None));
        refused.told("Connection refused");
        assert_eq!(first.text().await, None);
        drop(first);
        refused.told("no");
        assert_eq!(second.text().await.as_deref(), Some("no"));
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_not_kept() {
        let refused = RefusedOpens::default();
        refused.told("nobody opens a channel");
        drop(refused.opening(target("a")));
        let open = refused.opening(target("a"));
        refused.told(&"x".repeat(9999));
        drop(open);
        assert!(lock(&refused.opens).texts.is_empty());
        let open = refused.opening(target("a"));
        refused.told("");
        assert_eq!(open.text().await, None, "an empty text says nothing");
    }
}
