//! Names in messages: shortens them, and suggests the names that the user probably meant.

use plain_text::closest;

/// The most characters of a user's text that a message repeats.
const MAX_SHOWN: usize = 64;

/// The text, shortened if it is too long for a message.
pub(crate) fn clip(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// “did you mean …” if a candidate is close; otherwise the list of candidates.
pub(crate) fn did_you_mean<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
) -> String {
    match closest(written, candidates.clone()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => format!("known here: {}", list(candidates)),
    }
}

/// The names in backquotes, separated by commas.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_between_characters() {
        let long = "ä".repeat(100);
        assert_eq!(clip(&long), format!("{}…", "ä".repeat(64)));
        assert_eq!(clip("short"), "short");
    }
}
