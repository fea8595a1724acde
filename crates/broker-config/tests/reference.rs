//! The tables of docs/configuration.md against those that files are read by.
//!
//! `SNAPSHOTS=overwrite cargo test -p broker-config` writes them anew.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use broker_config::reference;

#[test]
fn the_reference_has_the_tables_of_the_code() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let written = std::fs::read_to_string(&file).unwrap();
    let expected = reference().iter().fold(written.clone(), with_table);
    if std::env::var_os("SNAPSHOTS").is_some_and(|it| it == "overwrite") {
        std::fs::write(&file, expected).unwrap();
    } else {
        assert!(
            written == expected,
            "docs/configuration.md differs from the code: run SNAPSHOTS=overwrite cargo test -p broker-config"
        );
    }
}

/// The page with this table in its place.
fn with_table(page: String, (name, table): &(&str, String)) -> String {
    let begin = format!("<!-- table: {name} -->\n");
    let (before, rest) = page.split_once(&begin).unwrap();
    let (_, after) = rest.split_once("<!-- end of table -->").unwrap();
    format!("{before}{begin}\n{table}\n<!-- end of table -->{after}")
}
