//! Writes asterisks over the secrets in a file's text before a part of it is shown.
//!
//! It works on the text instead of the tree, because a malformed file has no tree but is shown too. In doubt it masks:
//! a misspelt attribute of `<password>` can contain the password.

use std::ops::Range;

use plain_text::closest;

/// Elements that contain secrets, including misspelt ones.
const SECRET_ELEMENTS: [&str; 4] = ["password", "auth-password", "passphrase", "proxy"];

/// The attribute of any element that contains a secret, also misspelt, and one that only names its place.
const SOCKS_ATTRIBUTES: [&str; 2] = ["socks-password", "socks-password-file"];

/// What begins the declaration of an entity.
const ENTITY: &str = "!ENTITY";

/// The shortest name to compare with them: a file of the wrong kind can have a hundred thousand short names.
const SHORTEST: usize = 4;

/// Attributes of these elements that name the place of a secret, not the secret.
const HARMLESS: [&str; 2] = ["file", "command"];

/// Whether an attribute of an element, or its text if `attribute` is empty, can contain a secret.
pub(crate) fn is_secret(element: &str, attribute: &str) -> bool {
    let of_element = SECRET_ELEMENTS.contains(&element) && !HARMLESS.contains(&attribute);
    let [secret, _] = SOCKS_ATTRIBUTES;
    of_element || attribute == secret
}

/// The text with its secrets masked. Bytes keep their places, and line breaks stay.
pub(crate) fn mask(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for secret in secrets(text) {
        let secret = bytes.get_mut(secret).into_iter().flatten();
        secret
            .filter(|byte| **byte != b'\n')
            .for_each(|byte| *byte = b'*');
    }
    // Only whole characters are masked, so this never fails.
    String::from_utf8(bytes).unwrap_or_default()
}

/// The places of secrets.
fn secrets(text: &str) -> Vec<Range<usize>> {
    let mut scan = Scan {
        text,
        at: 0,
        found: Vec::new(),
    };
    while scan.next_tag() {
        scan.tag();
    }
    scan.found
}

/// A walk through the text, from tag to tag.
struct Scan<'a> {
    text: &'a str,
    at: usize,
    found: Vec<Range<usize>>,
}

impl<'a> Scan<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Skips matching characters, and returns them.
    fn skip(&mut self, like: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !like(c)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    /// Skips past the next `<`; false if there is none.
    fn next_tag(&mut self) -> bool {
        self.skip(|c| c != '<');
        let found = !self.rest().is_empty();
        self.at += usize::from(found);
        found
    }

    /// Reads a tag, starting at its name, and the secret text after it.
    fn tag(&mut self) {
        let name = self.skip(|c| !c.is_whitespace() && !"<>/=\"'".contains(c));
        if name == ENTITY {
            return self.entity();
        }
        let may_be_meant = name.len() >= SHORTEST;
        let element = may_be_meant
            .then(|| closest(name, SECRET_ELEMENTS))
            .flatten();
        while self.attribute(element) {}
        if element.is_some() && !self.is_empty_element() {
            self.content();
        }
    }

    /// Reads the declaration of an entity, whose text can become a password.
    fn entity(&mut self) {
        self.skip(|c| !"<>\"'".contains(c));
        if self.rest().starts_with(['"', '\'']) {
            let value = self.value();
            self.found.push(value);
        }
    }

    /// Reads one attribute; false at the end of the tag.
    fn attribute(&mut self, element: Option<&str>) -> bool {
        self.skip(|c| c.is_whitespace() || c == '/');
        let start = self.at;
        let name = self.skip(|c| !c.is_whitespace() && !"<>/=".contains(c));
        let named = start..self.at;
        self.skip(char::is_whitespace);
        if !self.rest().starts_with('=') {
            // A value without a name.
            self.found.extend(element.map(|_| named.clone()));
            return !named.is_empty();
        }
        self.at += 1;
        self.skip(char::is_whitespace);
        let value = self.value();
        let secret = self
            .text
            .get(value.clone())
            .and_then(|text| secret(element, name, text));
        let place = |part: Range<usize>| value.start + part.start..value.start + part.end;
        self.found.extend(secret.map(place));
        true
    }

    /// Skips past a value. Returns its place, without its quotation marks.
    fn value(&mut self) -> Range<usize> {
        let quote = self
            .rest()
            .chars()
            .next()
            .filter(|c| matches!(c, '"' | '\''));
        let Some(quote) = quote else {
            let start = self.at;
            self.skip(|c| !c.is_whitespace() && !"<>".contains(c));
            return start..self.at;
        };
        self.at += 1;
        let start = self.at;
        let inside = self.skip(|c| c != quote);
        let end = self.at;
        self.at = match inside.find('<') {
            // A quotation mark is missing, so this is already another tag.
            Some(tag) => start + tag,
            None => end + usize::from(!self.rest().is_empty()),
        };
        start..end
    }

    /// Whether the tag just read has no content.
    fn is_empty_element(&self) -> bool {
        let tag = self.text.get(..self.at).unwrap_or_default();
        tag.trim_end().ends_with('/')
    }

    /// Skips past the text of an element that contains secrets, including CDATA and comments.
    fn content(&mut self) {
        self.at += usize::from(self.rest().starts_with('>'));
        let start = self.at;
        loop {
            self.skip(|c| c != '<');
            let end = [("<![CDATA[", "]]>"), ("<!--", "-->")]
                .into_iter()
                .find(|(begin, _)| self.rest().starts_with(begin))
                .map(|(_, end)| end);
            let Some(end) = end else { break };
            let rest = self.rest();
            self.at += rest.find(end).map_or(rest.len(), |at| at + end.len());
        }
        let inside = self.text.get(start..self.at).unwrap_or_default();
        let blank = inside.len() - inside.trim_start().len();
        self.found
            .push(start + blank..start + blank.max(inside.trim_end().len()));
    }
}

/// The secret part of an attribute's value.
fn secret(element: Option<&str>, name: &str, value: &str) -> Option<Range<usize>> {
    let name = name.to_ascii_lowercase();
    if name == "ruleset" {
        return Some(logins(value));
    }
    let holds_one = ["string", "password", "passwd", "secret"].contains(&name.as_str())
        || closest(&name, SOCKS_ATTRIBUTES) == Some("socks-password");
    let may_hold_one = element.is_some() && !HARMLESS.contains(&name.as_str());
    (holds_one || may_hold_one).then_some(0..value.len())
}

/// The logins in proxy rules: from the first to the last, with everything between them.
fn logins(value: &str) -> Range<usize> {
    let end = value.rfind('@').unwrap_or(0);
    let start = value.find("://").map_or(0, |at| at + "://".len());
    start.min(end)..end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, shown: &str) {
        assert_eq!(mask(text), shown);
        assert_eq!(shown.len(), text.len(), "{text}");
    }

    #[test]
    fn masks_every_password_and_keeps_places() {
        check(
            "<password string = 'gähn'/>\n<password string=\"a'b\"/><x y=\"string\"/>",
            "<password string = '*****'/>\n<password string=\"***\"/><x y=\"string\"/>",
        );
    }

    #[test]
    fn masks_a_password_under_any_name() {
        for (text, shown) in [
            ("<password sting='s3cret'/>", "<password sting='******'/>"),
            ("<password String='s3cret'/>", "<password String='******'/>"),
            ("<pasword sting='s3cret'/>", "<pasword sting='******'/>"),
            ("<auth-password x='s3cret'/>", "<auth-password x='******'/>"),
            (
                "<tunnel socks-password='s3cret'/>",
                "<tunnel socks-password='******'/>",
            ),
            (
                "<tunnel sock-pasword='s3cret'/>",
                "<tunnel sock-pasword='******'/>",
            ),
            (
                "<profile password='s3cret'/>",
                "<profile password='******'/>",
            ),
            ("<password s3cret/>", "<password ******/>"),
            ("<password string=s3cret />", "<password string=****** />"),
            (
                "<proxy rulset='s5://u:p@h'/>",
                "<proxy rulset='**********'/>",
            ),
        ] {
            check(text, shown);
        }
    }

    #[test]
    fn masks_a_password_that_stands_as_text() {
        for (text, shown) in [
            ("<password>s3cret</password>", "<password>******</password>"),
            (
                "<password file='f'>\n s3\n</password>",
                "<password file='f'>\n **\n</password>",
            ),
            ("<auth-password>s3cret<x/>", "<auth-password>******<x/>"),
            ("<proxy>u:p@h</proxy>", "<proxy>*****</proxy>"),
            (
                "<password><![CDATA[a<b]]></password>",
                "<password>***************</password>",
            ),
            (
                "<password><!-- s3 --></password>",
                "<password>***********</password>",
            ),
        ] {
            check(text, shown);
        }
    }

    #[test]
    fn masks_the_text_of_entities() {
        check(
            "<!DOCTYPE x [<!ENTITY pw 'geheim'> <!ENTITY a SYSTEM \"b\">]><a b='c'/>",
            "<!DOCTYPE x [<!ENTITY pw '******'> <!ENTITY a SYSTEM \"*\">]><a b='c'/>",
        );
    }

    #[test]
    fn what_says_where_a_secret_is_can_be_seen() {
        for text in [
            "<password file='/etc/x'/>",
            "<password command='pass show x'/>",
            "<tunnel socks-user='me' socks-password-file='/etc/x'/>",
            "<profile id='a' host='h'><tunnels>x</tunnels></profile>",
            "<user-keys passphrase-timeout='5'/>",
        ] {
            check(text, text);
        }
    }

    #[test]
    fn masks_the_logins_of_proxies() {
        for (ruleset, shown) in [
            ("socks5://u:p@h:1/10.0.0.0/8", "socks5://***@h:1/10.0.0.0/8"),
            (
                "direct:///a;socks5://u:p@h:1/",
                "direct://***************@h:1/",
            ),
            ("socks5://u:p@ss;w@h:1/", "socks5://********@h:1/"),
            ("socks5://h:1/", "socks5://h:1/"),
            ("u:p@h", "***@h"),
        ] {
            check(
                &format!("<proxy ruleset='{ruleset}'/>"),
                &format!("<proxy ruleset='{shown}'/>"),
            );
        }
    }

    #[test]
    fn masks_a_password_whose_quote_is_missing() {
        check(
            "<password string=\"geheim\n>",
            "<password string=\"******\n*",
        );
        check(
            "<a b=\"c>\n<password sting=\"geheim\"/>",
            "<a b=\"c>\n<password sting=\"******\"/>",
        );
        check("<password string=\"a<b\"/>", "<password string=\"***\"/>");
    }
}
