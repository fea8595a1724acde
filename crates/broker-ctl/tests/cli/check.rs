//! `check-config`, from a file to an exit status.
