//! The directory of a session at the server, as far as its replies show it.
//!
//! A path is known only if it must be right. So the session follows only paths that begin with `/`, and it keeps `..`
//! behind a name that can be a symbolic link.

use crate::text::MAX_EVENT_TEXT;

/// The server's working directory for this session.
#[derive(Debug, Default)]
pub(super) struct Directory {
    /// An absolute path; `None` if it is unknown.
    path: Option<String>,
    /// How many bytes of the path the server itself has named. None of its parts is a symbolic link.
    named: usize,
}

impl Directory {
    /// The server may have gone anywhere.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// The server has named it (`257`).
    pub(super) fn named(&mut self, reply: &str) {
        self.path = quoted(reply).filter(|path| path.starts_with('/'));
        self.named = self.path.as_ref().map_or(0, String::len);
    }

    /// The server has gone to this place.
    pub(super) fn enter(&mut self, argument: &str) {
        if argument == ".." {
            return self.leave();
        }
        self.path = self.path_of(argument);
        self.named = if argument.starts_with('/') {
            0
        } else {
            self.named
        };
    }

    /// The server has gone to the directory above.
    pub(super) fn leave(&mut self) {
        let above = self.path.as_deref().and_then(|path| {
            let is_named = path.len() == self.named;
            let (above, _) = path.rsplit_once('/').filter(|_| is_named)?;
            Some(if above.is_empty() { "/" } else { above }.to_owned())
        });
        match above {
            Some(above) => {
                self.named = above.len();
                self.path = Some(above);
            }
            None => self.path = self.path_of(".."),
        }
    }

    /// The path of a file or directory with this name, seen from here. No name means the directory itself.
    pub(super) fn path_of(&self, name: &str) -> Option<String> {
        let path = if name.starts_with('/') {
            name.to_owned()
        } else if name.is_empty() {
            self.path.clone()?
        } else if has_own_rules(name) {
            return None;
        } else {
            let directory = self.path.as_deref()?.trim_end_matches('/');
            format!("{directory}/{name}")
        };
        // A text of this length has perhaps been shortened.
        (path.len() < MAX_EVENT_TEXT - '…'.len_utf8()).then_some(path)
    }
}

/// Whether a server may read this name as something else than a path from here: a home directory, a drive, a data set.
fn has_own_rules(name: &str) -> bool {
    let drive = |letter: &u8| letter.is_ascii_alphabetic();
    match name.as_bytes() {
        [b'~' | b'\'' | b'[' | b'\\', ..] => true,
        [letter, b':', ..] => drive(letter),
        _ => false,
    }
}

/// The path between quotes in a `257` (RFC 959, appendix II). Two quotes stand for one. `None` if the server does not
/// write it so.
fn quoted(reply: &str) -> Option<String> {
    let (_, rest) = reply.split_once('"')?;
    let mut path = String::new();
    let mut parts = rest.split('"');
    path.push_str(parts.next()?);
    while let Some(part) = parts.next() {
        if !part.is_empty() {
            return (parts.next().is_none() && part.starts_with(char::is_whitespace))
                .then_some(path);
        }
        match parts.next() {
            Some(more) => {
                path.push('"');
                path.push_str(more);
            }
            None => return Some(path),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The path of `f` after these replies and commands: `=TEXT` is a 257, `^` a CDUP, all others are CWD.
    fn after(steps: &[&str]) -> Option<String> {
        let mut directory = Directory::default();
        for step in steps {
            match (step.strip_prefix('='), *step) {
                (Some(reply), _) => directory.named(reply),
                (None, "^") => directory.leave(),
                (None, argument) => directory.enter(argument),
            }
        }
        directory.path_of("f")
    }

    #[test]
    fn a_path_is_known_only_if_it_must_be_right() {
        for (steps, path) in [
            (&[][..], None),
            (&["=257 \"/home/a\" is here"], Some("/home/a/f")),
            (&["=257 \"/\""], Some("/f")),
            (&["=257 \"/a \"\"b\"\" c\" x"], Some("/a \"b\" c/f")),
            (&["=257 \"/a\"\"\" x"], Some("/a\"/f")),
            (&["=257 \"/a\"b\" x"], None),
            (&["=257 \"/a\" b\" x"], None),
            (&["=257 /a is here"], None),
            (&["=257 \"/a"], None),
            (&["=257 \"DISK:[USER]\""], None),
            (&["sub"], None),
            (&["/pub", "sub"], Some("/pub/sub/f")),
            (&["=257 \"/a/b\"", "^"], Some("/a/f")),
            (&["=257 \"/a/b\"", "..", "^", "^"], Some("/f")),
            (&["=257 \"/a\"", "sub", "^"], Some("/a/sub/../f")),
            (&["=257 \"/a\"", "sub", "=257 \"/x/y\"", "^"], Some("/x/f")),
            (&["/a/b", "^"], Some("/a/b/../f")),
            (&["/a", "~"], None),
            (&["/a", "~", "/b"], Some("/b/f")),
            (&["/a", "'HLQ.'"], None),
            (&["/a", "C:\\x"], None),
        ] {
            assert_eq!(after(steps).as_deref(), path, "{steps:?}");
        }
    }

    #[test]
    fn names_that_are_no_paths_from_here_are_unknown() {
        let mut directory = Directory::default();
        directory.named("257 \"/a\"");
        for (name, path) in [
            ("", Some("/a")),
            ("/b", Some("/b")),
            ("12:30.log", Some("/a/12:30.log")),
            ("~/x", None),
            ("'HLQ.DATA'", None),
            ("D:x", None),
        ] {
            assert_eq!(directory.path_of(name).as_deref(), path, "{name}");
        }
        assert_eq!(directory.path_of(&"x".repeat(2000)), None);
    }

    #[test]
    fn a_path_that_grows_without_end_is_unknown() {
        let mut directory = Directory::default();
        directory.named("257 \"/a\"");
        (0..1000).for_each(|_| directory.enter("sub"));
        assert_eq!(directory.path_of("f"), None);
    }
}
