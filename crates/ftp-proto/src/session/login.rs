//! Who is logged in, and in which directory, as far as commands and their replies show it.

use super::directory::Directory;
use crate::kind::CommandKind;
use crate::sent::Sent;
use crate::text::printable_line;

/// The login of a session at the server.
#[derive(Debug, Default)]
pub(super) struct Login {
    /// The name in the last `USER`.
    named: Option<String>,
    directory: Directory,
}

/// What the answer to a command says about the login.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LoginNews {
    /// The server has accepted it.
    Accepted {
        /// The name, if there was a `USER`.
        user: Option<String>,
    },
    /// The server has refused it.
    Refused {
        /// The name, if there was a `USER`.
        user: Option<String>,
    },
}

impl Login {
    /// The server answered this command, which is not a transfer.
    pub(super) fn answered(&mut self, sent: &Sent, code: u16, line: &[u8]) -> Option<LoginNews> {
        let (verb, argument) = sent.words();
        match verb {
            "USER" | "PASS" | "ACCT" => return self.login(verb, argument, code),
            _ if !(200..300).contains(&code) => {}
            "CWD" | "XCWD" => self.directory.enter(argument),
            "CDUP" | "XCUP" => self.directory.leave(),
            "PWD" | "XPWD" if code == 257 => self.directory.named(&printable_line(line)),
            "REIN" => *self = Self::default(),
            // A spelling of another command, perhaps.
            _ if verb == "SMNT" || sent.kind == CommandKind::Unknown => self.directory.forget(),
            _ => {}
        }
        None
    }

    /// The server continued without an answer to this command.
    pub(super) fn skipped(&mut self, sent: &Sent) {
        let (verb, _) = sent.words();
        if matches!(
            verb,
            "CWD" | "XCWD" | "CDUP" | "XCUP" | "SMNT" | "REIN" | "USER" | "PASS" | "ACCT"
        ) {
            self.directory.forget();
        }
    }

    /// The path of the file or directory that a transfer is about, if it is known. The server chooses the name for `STOU`.
    pub(super) fn path(&self, sent: &Sent) -> Option<String> {
        let (verb, argument) = sent.words();
        match verb {
            "STOU" => None,
            "LIST" | "NLST" => self.directory.path_of(without_options(argument)),
            _ => self.directory.path_of(argument),
        }
    }

    fn login(&mut self, verb: &str, argument: &str, code: u16) -> Option<LoginNews> {
        if verb == "USER" {
            self.named = Some(argument.to_owned());
        }
        if code >= 400 {
            let user = self.named.clone();
            return Some(LoginNews::Refused { user });
        }
        self.directory.forget();
        (200..300).contains(&code).then(|| LoginNews::Accepted {
            user: self.named.clone(),
        })
    }
}

/// The argument of a listing behind options for `ls`, which many servers know.
fn without_options(argument: &str) -> &str {
    let mut rest = argument;
    while rest.starts_with('-') {
        rest = rest
            .split_once(' ')
            .map_or("", |(_, rest)| rest.trim_start());
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;

    fn sent(line: &str) -> Sent {
        let command = Command::parse(line.as_bytes()).unwrap();
        Sent::new(command.shown(line.as_bytes()), command.kind)
    }

    /// The path of a transfer after commands and the replies to them.
    fn path(exchange: &[(&str, &str)], transfer: &str) -> Option<String> {
        let mut login = Login::default();
        for (command, reply) in exchange {
            let code = reply[..3].parse().unwrap();
            login.answered(&sent(command), code, reply.as_bytes());
        }
        login.path(&sent(transfer))
    }

    #[test]
    fn accepted_commands_lead_to_a_path() {
        let home = ("PWD", "257 \"/home/a\"\r\n");
        for (exchange, transfer, expected) in [
            (&[home][..], "RETR a b", Some("/home/a/a b")),
            (&[home], "LIST", Some("/home/a")),
            (&[home], "LIST -la", Some("/home/a")),
            (&[home], "NLST -a sub", Some("/home/a/sub")),
            (&[home], "STOU", None),
            (&[home, ("CWD x", "550 no")], "RETR f", Some("/home/a/f")),
            (&[home, ("CWD x", "250 ok")], "RETR f", Some("/home/a/x/f")),
            (&[home, ("XCUP", "200 ok")], "RETR f", Some("/home/f")),
            (
                &[home, ("MKD x", "257 \"/x\"")],
                "RETR f",
                Some("/home/a/f"),
            ),
            (&[home, ("USER x", "331 ok")], "RETR f", None),
            (&[home, ("REIN", "220 ok")], "RETR f", None),
            (&[home, ("GOTO x", "250 ok")], "RETR f", None),
        ] {
            let found = path(exchange, transfer);
            assert_eq!(found.as_deref(), expected, "{exchange:?} {transfer}");
        }
    }

    #[test]
    fn the_user_is_the_one_whom_the_server_accepted() {
        let mut login = Login::default();
        let mut answer = |command, code| login.answered(&sent(command), code, b"");
        let accepted = |user: &str| {
            Some(LoginNews::Accepted {
                user: Some(user.to_owned()),
            })
        };
        let refused = |user: &str| {
            Some(LoginNews::Refused {
                user: Some(user.to_owned()),
            })
        };
        assert_eq!(answer("USER alice", 331), None);
        assert_eq!(answer("PASS x", 230), accepted("alice"));
        assert_eq!(answer("USER ftp", 230), accepted("ftp"));
        assert_eq!(answer("USER bob", 331), None);
        assert_eq!(answer("PASS x", 530), refused("bob"));
        assert_eq!(answer("NOOP", 200), None);
    }
}
