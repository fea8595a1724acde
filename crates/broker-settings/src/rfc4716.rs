//! Public keys in the file format of RFC 4716

/// First and last line of a key (section 3.1).
const BEGIN: &str = "---- BEGIN SSH2 PUBLIC KEY ----";
const END: &str = "---- END SSH2 PUBLIC KEY ----";

/// The base64 of the first key in the text, without its headers, which may continue after a backslash; `None` if the
/// text does not begin with a key in this format.
pub fn rfc4716_base64(text: &str) -> Option<String> {
    let mut lines = text.trim().lines().map(str::trim);
    if lines.next() != Some(BEGIN) {
        return None;
    }
    let mut base64 = String::new();
    let mut in_header = false;
    for line in lines.take_while(|line| *line != END) {
        let header = in_header || line.contains(':');
        in_header = header && line.ends_with('\\');
        if !header {
            base64.push_str(line);
        }
    }
    Some(base64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_do_not_count() {
        let text = format!(
            "\n  {BEGIN}\r\nSubject: me\nComment: \"a long \\\ncontinued: one\"\n  AAAA\nBBBB\n{END}\nmore\n"
        );
        assert_eq!(rfc4716_base64(&text).as_deref(), Some("AAAABBBB"));
        assert_eq!(rfc4716_base64("ssh-rsa AAAA"), None);
    }
}
