//! Reads a configuration file up to a limit, and reports what is wrong with it.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use file_access::{Readers, is_open_to_others};

use crate::access::exposure;
use crate::findings::{Findings, Span};
use crate::source::Source;

/// The largest file that is read. Real files have a few kilobytes. The bound keeps a wrong path, such as that of a
/// device or a log, from filling the memory.
const MAX_FILE_SIZE: usize = 1024 * 1024;

/// Reads the file as source number `file`. A missing file gives `None` without an error if `optional`. Every other
/// failure is an error among the findings. The text is returned even if it is not UTF-8, so that it can be shown; see
/// `Findings::has_errors`.
pub(crate) fn read(
    path: &Path,
    file: usize,
    optional: bool,
    findings: &mut Findings,
) -> Option<Source> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_FILE_SIZE).unwrap_or(u64::MAX) + 1;
    let mut open_to_others = false;
    let mut exposed = None;
    let read = open(path).and_then(|(opened, metadata)| {
        open_to_others = is_open_to_others(&metadata, Readers::None);
        exposed = exposure(path, &metadata);
        opened.take(limit).read_to_end(&mut bytes)
    });
    match read {
        Ok(_) => {}
        Err(error) if optional && error.kind() == ErrorKind::NotFound => return None,
        Err(error) => {
            findings
                .error(
                    Span::file(file),
                    format!("cannot read {}: {error}", path.display()),
                )
                .help("check the path, and that the user who runs this program may read the file");
            return Some(Source::new(path.to_owned(), String::new()));
        }
    }
    if bytes.len() > MAX_FILE_SIZE {
        findings
            .error(
                Span::file(file),
                format!("{} is larger than {MAX_FILE_SIZE} bytes", path.display()),
            )
            .help("this cannot be a broker configuration: check the path");
        return Some(Source::new(path.to_owned(), String::new()));
    }
    let mut source = Source::new(path.to_owned(), decode(bytes, file, findings));
    source.open_to_others = open_to_others;
    source.exposure = exposed;
    Some(source)
}

/// Opens a regular file, without waiting: the other end of a pipe may never connect.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    let opened = options.open(path)?;
    let metadata = opened.metadata()?;
    if metadata.is_file() {
        Ok((opened, metadata))
    } else {
        Err(io::Error::other("it is not a regular file"))
    }
}

/// The bytes as text without a byte order mark. Reports where they are not UTF-8.
fn decode(bytes: Vec<u8>, file: usize, findings: &mut Findings) -> String {
    const MARK: char = '\u{feff}';
    let text = String::from_utf8(bytes).unwrap_or_else(|error| {
        let mark = if error.as_bytes().starts_with(b"\xef\xbb\xbf") {
            MARK.len_utf8()
        } else {
            0
        };
        let at = error.utf8_error().valid_up_to().saturating_sub(mark);
        findings
            .error(
                Span::new(file, at, at + 1),
                "the file is not UTF-8 text from here on",
            )
            .help("save the file in the UTF-8 encoding");
        String::from_utf8_lossy(error.as_bytes()).into_owned()
    });
    match text.strip_prefix(MARK) {
        Some(rest) => rest.to_owned(),
        None => text,
    }
}
