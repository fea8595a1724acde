//! Names in messages: shortens them, and suggests the names that the user probably meant.

/// The most characters of a user's text that a message repeats.
const MAX_SHOWN: usize = 64;

/// The text, shortened if it is too long for a message.
pub(crate) fn clip(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The candidate closest to the written name, if it is close enough: the name is its beginning, or differs in at most a
/// third of the characters.
pub fn closest<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if written.len() > MAX_SHOWN {
        return None;
    }
    let written = written.to_lowercase();
    let length = written.chars().count();
    let allowed = length.div_ceil(3);
    candidates
        .into_iter()
        .map(|candidate| (distance(&written, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The number of different characters; none if the text is a beginning of the name with some length.
fn distance(written: &str, candidate: &str) -> usize {
    /// The shortest beginning that counts as a name.
    const MIN_BEGINNING: usize = 4;
    if written.len() >= MIN_BEGINNING && candidate.starts_with(written) {
        return 0;
    }
    strsim::damerau_levenshtein(written, candidate)
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
    fn finds_what_was_meant() {
        let names = ["local-tunnel", "remote-tunnel"];
        assert_eq!(closest("local-tunel", names), Some("local-tunnel"));
        assert_eq!(closest("Local-Tunnel", names), Some("local-tunnel"));
        assert_eq!(closest("gateway", names), None);
        assert_eq!(closest(&"x".repeat(1000), names), None);
    }

    #[test]
    fn clips_between_characters() {
        let long = "ä".repeat(100);
        assert_eq!(clip(&long), format!("{}…", "ä".repeat(64)));
        assert_eq!(clip("short"), "short");
    }
}
