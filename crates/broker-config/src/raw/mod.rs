//! What one file says, value by value, before anything is made of it.

mod general;
mod hostkey;
mod key_hash;
mod profile;
mod settings;
mod tunnel;

pub(crate) use general::{DeprecatedPolicy, RawGeneral};
pub(crate) use profile::RawProfile;
pub(crate) use settings::RawSettings;
pub(crate) use tunnel::{RawStaticTunnel, RawTunnel, read_local};

use crate::choices::LogType;
use crate::config::LogTarget;
use crate::tree::Element;
use crate::values::Values;

/// What one file says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Document {
    pub(crate) general: RawGeneral,
    pub(crate) defaults: RawSettings,
    pub(crate) profiles: Vec<RawProfile>,
    pub(crate) static_tunnels: Vec<RawStaticTunnel>,
    /// `None` if the file does not speak of logging.
    pub(crate) logging: Option<Vec<LogTarget>>,
}

/// Takes everything out of the tree.
pub(crate) fn read(root: &Element, values: &mut Values<'_>) -> Document {
    let profiles = root.child("profiles");
    let tunnels = root.child("static-tunnels");
    Document {
        general: root
            .child("general")
            .map(|it| general::read(it, values))
            .unwrap_or_default(),
        defaults: root
            .child("default-settings")
            .map(|it| settings::read(it, values))
            .unwrap_or_default(),
        profiles: profiles
            .iter()
            .flat_map(|it| it.children_named("profile"))
            .map(|it| profile::read(it, values))
            .collect(),
        static_tunnels: tunnels
            .iter()
            .flat_map(|it| it.children_named("tunnel"))
            .map(|it| tunnel::read_static(it, values))
            .collect(),
        logging: root.child("logging").map(|it| read_logging(it, values)),
    }
}

fn read_logging(element: &Element, values: &mut Values<'_>) -> Vec<LogTarget> {
    element
        .children_named("log-target")
        .filter_map(|target| {
            let kind = values.choice(target, "type").map(|kind| kind.value);
            let file = values.path(target, "file");
            match (kind, file) {
                (Some(LogType::File) | None, Some(file)) => Some(LogTarget::File(file)),
                (Some(LogType::Syslog), _) => Some(LogTarget::Syslog),
                (Some(LogType::Discard), _) => Some(LogTarget::Discard),
                (Some(LogType::File) | None, None) => {
                    report_no_file(target, values);
                    None
                }
            }
        })
        .collect()
}

fn report_no_file(target: &Element, values: &mut Values<'_>) {
    if target.attribute("file").is_none() {
        values
            .findings
            .error(
                target.span,
                "a log target of type `file` lacks the attribute `file`",
            )
            .help(r#"write `type="file" file="…"`, or another type: `syslog`, `discard`"#);
    }
}
