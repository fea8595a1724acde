//! No text whatever makes the reader panic, hang or accept and refuse at once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::io::Write;
use std::time::{Duration, Instant};

use broker_config::{Environment, Exposed, check};
use proptest::prelude::*;
use tempfile::NamedTempFile;

/// Files that between them use most of the vocabulary.
const SEEDS: [&str; 4] = [
    include_str!("../../../config/ssh-broker-config.xml"),
    include_str!("../../../tests/config/valid/ftp-options.xml"),
    include_str!("../../../tests/config/valid/not-supported-yet.xml"),
    include_str!("../../../tests/config/invalid/wrong-values.xml"),
];

/// What mutations put in: pieces of markup and values that mean something.
const PIECES: [&str; 20] = [
    "<",
    ">",
    "/>",
    "</",
    "\"",
    "'",
    "&",
    "&amp;",
    "&#0;",
    "]]>",
    "<![CDATA[",
    "<!--",
    "-->",
    "<?",
    "<!DOCTYPE x [",
    "%U",
    "${",
    "$HOME",
    "ä",
    "\u{feff}",
];

/// Checks the bytes as a file, shows the report both ways, and sees whether it agrees with itself.
fn read(bytes: &[u8]) {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let report = check(file.path(), &Environment::default(), Exposed::Accepted);
    assert_eq!(report.has_errors(), report.config.is_none());
    assert_eq!(
        report.diagnostics.is_empty(),
        report.render(false).is_empty()
    );
    assert!(report.render(true).len() >= report.render(false).len());
}

/// The edge of a character at or before a part of the text.
fn edge(text: &str, part: f64) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss
    )]
    let at = (text.len() as f64 * part) as usize;
    (0..=at.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_beginning_of_a_file(seed in 0..SEEDS.len(), part in 0.0..1.0) {
        let text = SEEDS[seed];
        read(&text.as_bytes()[..edge(text, part)]);
    }

    #[test]
    fn any_piece_anywhere(
        seed in 0..SEEDS.len(),
        changes in prop::collection::vec((0.0..1.0_f64, 0.0..0.02_f64, 0..PIECES.len()), 1..6),
    ) {
        let mut text = SEEDS[seed].to_owned();
        for (at, removed, piece) in changes {
            let start = edge(&text, at);
            let end = edge(&text, (at + removed).min(1.0)).max(start);
            text.replace_range(start..end, PIECES[piece]);
        }
        read(text.as_bytes());
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read(&bytes);
    }

    #[test]
    fn any_markup(pieces in prop::collection::vec(0..PIECES.len(), 0..60)) {
        let text: String = pieces.into_iter().map(|piece| PIECES[piece]).collect();
        read(text.as_bytes());
    }
}

/// Ample for files of half a megabyte on a slow machine, and far too little for anything whose
/// effort grows with the square of the size.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn large_files_are_read_in_time() {
    let began = Instant::now();
    for unit in [
        "<",
        "<a",
        "<a ",
        "<a b=\"",
        "<a>",
        "</a>",
        "&",
        "${",
        "<profile/>",
        "<a/>",
    ] {
        let body = unit.repeat(512 * 1024 / unit.len());
        read(body.as_bytes());
        read(format!("<secsh-broker><profiles>{body}").as_bytes());
        read(format!("<secsh-broker><default-settings user=\"{body}\"/>").as_bytes());
    }
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}
