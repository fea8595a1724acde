//! Patterns for host names in known_hosts files and proxy rules

/// `*` matches any characters, `?` matches one. Letters of the pattern match in either case; `name` is in lower case. It
/// backtracks only to the last `*`, so no pattern takes long.
pub(crate) fn wildcard_matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.to_ascii_lowercase().chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(character) = name.get(seen) {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(wanted) if *wanted == '?' || wanted == character => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((star_at, star_seen)) = star else {
                    return false;
                };
                star = Some((star_at, star_seen + 1));
                at = star_at + 1;
                seen = star_seen + 1;
            }
        }
    }
    pattern.iter().skip(at).all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_pattern_of_stars_takes_no_time() {
        let pattern = "*a".repeat(2000);
        assert!(!wildcard_matches(&pattern, &"a".repeat(1999)));
    }
}
