//! What the capabilities share.

pub(crate) mod needs;
pub(crate) mod trial;

pub(crate) use needs::Need;
pub(crate) use trial::{trial, trial_within};
