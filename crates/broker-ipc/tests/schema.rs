//! docs/ipc-schema.json against the types that it is made from.
//!
//! `SNAPSHOTS=overwrite cargo test -p broker-ipc --test schema` writes it anew.

use std::path::Path;

use serde_json::Value;

#[test]
fn the_schema_is_that_of_the_code() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ipc-schema.json");
    let expected = broker_ipc::schema::document();
    if std::env::var_os("SNAPSHOTS").is_some_and(|it| it == "overwrite") {
        let text = serde_json::to_string_pretty(&expected).unwrap();
        std::fs::write(&file, text + "\n").unwrap();
    } else {
        let written = std::fs::read_to_string(&file).unwrap();
        let written: Value = serde_json::from_str(&written).unwrap();
        assert!(
            written == expected,
            "docs/ipc-schema.json differs from the code: run SNAPSHOTS=overwrite cargo test -p broker-ipc --test schema"
        );
    }
}
