//! `import-config`: makes a clean file from one of the commercial connection broker.

use std::path::Path;

use broker_config::{Environment, Imported, import};

use crate::cli::NewFile;
use crate::failure::Reported;
use crate::new_file;
use crate::output::Output;

/// Writes a clean file, and reports what it leaves out. Fails if the old file has errors.
pub(crate) fn import_config(old: &Path, new: &NewFile, output: &Output) -> anyhow::Result<()> {
    match import(old, &Environment::current()) {
        Ok(imported) => finish(&imported, new, output),
        Err(report) => {
            output.passage(report.render(false).trim_end());
            output.error(format_args!(
                "{} has errors: correct them, then import it again",
                old.display()
            ));
            Err(Reported::failed().into())
        }
    }
}

/// Writes the file, then reports what is not in it.
pub(crate) fn finish(imported: &Imported, new: &NewFile, output: &Output) -> anyhow::Result<()> {
    new_file::write(new, &imported.text, imported.has_secrets, output)?;
    for line in imported.left_out.iter().chain(&imported.open) {
        output.progress(line);
    }
    Ok(())
}
