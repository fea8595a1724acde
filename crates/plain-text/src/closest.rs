//! The name that somebody probably meant.

/// The most bytes of a text that can be a misspelt name.
const MAX_NAME: usize = 64;

/// The candidate closest to the written name, if it is close enough: the name is its beginning, or differs in at most a
/// third of the characters.
pub fn closest<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if written.len() > MAX_NAME {
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
}
