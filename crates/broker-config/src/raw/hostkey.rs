//! `hostkey`: a server's public key, in a file or in the element.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use broker_settings::{PinnedKey, rfc4716_base64};

use crate::table::{Content, Rule, rows};
use crate::tree::Element;
use crate::values::{MAX_VALUE, Values};

/// The keys that a profile pins.
pub(super) static HOSTKEY: Rule<Vec<PinnedKey>> = Rule::<Vec<PinnedKey>>::new("hostkey")
    .meaning("the server's public key, its base64 text inside the element or in a file. With at least one, no other place \
              is searched but for revocations", "")
    .many()
    .content(Content::Text)
    .before(read_inside)
    .attributes(rows! { Vec<PinnedKey>:
        "file": "the file", |it, f| it.extend(f.path().map(PinnedKey::File));
    });

/// Reads the key inside the element; true if there is none, so the file counts.
fn read_inside(keys: &mut Vec<PinnedKey>, element: &Element, values: &mut Values<'_>) -> bool {
    let Some(span) = element.text_span else {
        if element.attribute("file").is_none() {
            values
                .findings
                .error(element.span, "`<hostkey>` has neither a file nor a key")
                .help(r#"write `<hostkey file="…"/>`, or the key's base64 text inside"#);
        }
        return true;
    };
    if let Some(file) = element.attribute("file") {
        values
            .findings
            .error(
                file.name_span,
                "`<hostkey>` has both a file and a key inside",
            )
            .related(span, "the key inside")
            .help("remove one of the two");
        return false;
    }
    let line = (element.text.len() <= MAX_VALUE)
        .then(|| one_line(&element.text))
        .flatten();
    if line.is_none() {
        values
            .findings
            .error(span, "this is not an SSH public key in base64")
            .help("copy the line `ssh-ed25519 AAAA…` from the server's `ssh_host_ed25519_key.pub`");
    }
    keys.extend(line.map(PinnedKey::Inline));
    false
}

/// The key in OpenSSH's one-line form.
///
/// The text is base64, possibly broken into lines, or already in that form, or the content of a file as RFC 4716 has it.
fn one_line(text: &str) -> Option<String> {
    if let Some(base64) = rfc4716_base64(text) {
        return algorithm(&base64).map(|name| format!("{name} {base64}"));
    }
    let mut words = text.split_whitespace();
    let first = words.next()?;
    if let Some(second) = words.next()
        && algorithm(second).as_deref() == Some(first)
    {
        return Some(format!("{first} {second}"));
    }
    let joined: String = text.split_whitespace().collect();
    algorithm(&joined).map(|name| format!("{name} {joined}"))
}

/// The algorithm's name, with which an encoded key begins (RFC 4253, section 6.6).
fn algorithm(base64: &str) -> Option<String> {
    let key = STANDARD.decode(base64).ok()?;
    let (length, rest) = key.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let name = rest.get(..length).filter(|_| rest.len() > length)?;
    let name = String::from_utf8(name.to_vec()).ok()?;
    name.bytes()
        .all(|byte| byte.is_ascii_graphic())
        .then_some(name)
        .filter(|it| !it.is_empty())
}

#[cfg(test)]
mod tests {
    use super::one_line;

    const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIJ0gWzHKQ4mTCIWLLzCN1EFiAYaIFg5Pz8LMBKGTWOO5";

    #[test]
    fn accepts_base64_and_the_one_line_form() {
        let expected = Some(format!("ssh-ed25519 {KEY}"));
        assert_eq!(one_line(KEY), expected);
        assert_eq!(
            one_line(&format!("\n  {}\n  {}\n", &KEY[..30], &KEY[30..])),
            expected
        );
        assert_eq!(one_line(&format!("ssh-ed25519 {KEY} root@host")), expected);
        let whole = format!(
            "\n---- BEGIN SSH2 PUBLIC KEY ----\nComment: \"of a server\"\n{KEY}\n---- END SSH2 PUBLIC KEY ----\n"
        );
        assert_eq!(one_line(&whole), expected);
    }

    #[test]
    fn refuses_what_is_no_key() {
        assert_eq!(one_line("AAAA"), None);
        assert_eq!(one_line("not base64!"), None);
        assert_eq!(one_line(&format!("ssh-rsa {KEY}")), None);
        assert_eq!(one_line(&KEY[..16]), None);
    }
}
