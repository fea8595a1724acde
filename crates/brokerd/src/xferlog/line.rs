//! One transfer as a line of an xferlog: the format in which wu-ftpd, and later vsftpd and ProFTPD, log transfers
//! (xferlog(5)).

use std::fmt;
use std::time::SystemTime;

use broker::{TransferKind, TransferRecord, TransferResult};
use chrono::{DateTime, TimeZone};

/// Names with which clients log in anonymously (RFC 1635).
const ANONYMOUS: [&str; 2] = ["anonymous", "ftp"];

/// The line of a transfer, with its end, in this time zone. `None` for what FTP servers do not log: a listing, and what
/// the server refused before it began.
pub(super) fn line<Z: TimeZone<Offset: fmt::Display>>(
    record: &TransferRecord,
    zone: &Z,
) -> Option<String> {
    let direction = match record.kind {
        TransferKind::Upload => 'i',
        TransferKind::Download => 'o',
        TransferKind::Listing | TransferKind::Unknown => return None,
    };
    let status = match record.result {
        TransferResult::Complete => 'c',
        TransferResult::Failed | TransferResult::Aborted | TransferResult::Cut => 'i',
        TransferResult::Refused => return None,
    };
    let user = record.ftp_user.as_deref().unwrap_or("?");
    let ended: SystemTime = record.started + record.duration;
    Some(format!(
        "{time} {seconds} {client} {bytes} {name} {kind} _ {direction} {access} {user} ftp 0 * {status}\n",
        time = DateTime::<chrono::Utc>::from(ended)
            .with_timezone(zone)
            .format("%a %b %e %H:%M:%S %Y"),
        // Readers divide by it, so servers round up.
        seconds = record.duration.as_secs().max(1),
        client = record.client.ip(),
        bytes = record.bytes,
        name = word(file(record)),
        kind = if record.text { 'a' } else { 'b' },
        access = if is_anonymous(user) { 'a' } else { 'r' },
        user = word(user),
    ))
}

/// The file, or what the command names if the broker does not know the path.
fn file(record: &TransferRecord) -> &str {
    let argument = || record.command.split_once(' ').map(|(_, name)| name);
    record.path.as_deref().or_else(argument).unwrap_or("?")
}

fn is_anonymous(user: &str) -> bool {
    ANONYMOUS.iter().any(|it| it.eq_ignore_ascii_case(user))
}

/// The text as one word, since spaces separate the fields.
fn word(text: &str) -> String {
    let blank = |c: char| c.is_whitespace() || c.is_control();
    match text {
        "" => "?".to_owned(),
        text => text.replace(blank, "_"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use broker::TransferStart;
    use chrono::Utc;

    use super::*;

    fn record(change: impl FnOnce(&mut TransferStart, &mut TransferRecord)) -> Option<String> {
        let mut start = TransferStart {
            id: 9,
            session: 1,
            tunnel: 1,
            profile: "p".into(),
            server: "localhost:21".into(),
            client: ([192, 0, 2, 7], 40000).into(),
            client_uid: None,
            ftp_user: Some("alice".into()),
            command: "RETR big.bin".into(),
            path: Some("/pub/big.bin".into()),
            kind: TransferKind::Download,
            size: None,
            text: false,
        };
        let mut record = TransferRecord {
            start: Arc::new(start.clone()),
            started: SystemTime::UNIX_EPOCH + Duration::from_secs(1_793_836_800),
            bytes: 4096,
            duration: Duration::from_millis(2500),
            result: TransferResult::Complete,
            reply: "226 ok".into(),
            reason: None,
            fault: None,
        };
        change(&mut start, &mut record);
        record.start = Arc::new(start);
        line(&record, &Utc)
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut TransferStart, &mut TransferRecord), expected: &str) {
        assert_eq!(record(change).unwrap(), format!("{expected}\n"));
    }

    #[test]
    fn a_line_has_the_fields_of_the_format() {
        check(
            |_, _| {},
            "Thu Nov  5 00:00:02 2026 2 192.0.2.7 4096 /pub/big.bin b _ o r alice ftp 0 * c",
        );
    }

    #[test]
    fn a_broken_upload_is_incomplete() {
        let change = |start: &mut TransferStart, record: &mut TransferRecord| {
            start.kind = TransferKind::Upload;
            start.text = true;
            record.result = TransferResult::Cut;
            record.duration = Duration::ZERO;
        };
        check(
            change,
            "Thu Nov  5 00:00:00 2026 1 192.0.2.7 4096 /pub/big.bin a _ i r alice ftp 0 * i",
        );
    }

    #[test]
    fn a_name_is_one_word_and_one_line() {
        let change = |start: &mut TransferStart, _: &mut TransferRecord| {
            start.path = None;
            start.command = "RETR my file\t\u{a0}x".into();
            start.ftp_user = Some("Anonymous".into());
        };
        check(
            change,
            "Thu Nov  5 00:00:02 2026 2 192.0.2.7 4096 my_file__x b _ o a Anonymous ftp 0 * c",
        );
    }

    #[test]
    fn an_unknown_user_is_still_a_field() {
        let change = |start: &mut TransferStart, _: &mut TransferRecord| start.ftp_user = None;
        assert!(record(change).unwrap().contains(" o r ? ftp 0 * c"));
        let change =
            |start: &mut TransferStart, _: &mut TransferRecord| start.ftp_user = Some("".into());
        assert!(record(change).unwrap().contains(" o r ? ftp 0 * c"));
    }

    #[test]
    fn only_files_that_moved_are_logged() {
        assert_eq!(record(|start, _| start.kind = TransferKind::Listing), None);
        let refused = record(|_, record| record.result = TransferResult::Refused);
        assert_eq!(refused, None);
    }
}
