//! The values of a tunnel that apply only to SOCKS, and how they are read.

use std::ops::RangeInclusive;

use broker_settings::PasswordSource;
use secrecy::SecretString;

use crate::findings::Located;
use crate::proxy::parse_ports;
use crate::suggest::clip;
use crate::values::Field;

/// The FTP port (RFC 959, section 8).
const FTP_PORT: u16 = 21;

/// The most ports and ranges in a list. Each destination is compared with all of them.
const MAX_PORTS: usize = 64;

/// The longest user and password, in bytes: the protocol has one byte for their lengths (RFC 1929 section 2).
const MAX_LOGIN: usize = 255;

/// The values as written.
#[derive(Clone, Debug)]
pub(crate) struct RawSocks {
    pub(crate) ftp_ports: Vec<RangeInclusive<u16>>,
    pub(crate) user: Option<Located<String>>,
    pub(crate) password: Option<Located<PasswordSource>>,
    pub(crate) password_file: Option<Located<PasswordSource>>,
}

impl Default for RawSocks {
    fn default() -> Self {
        Self {
            ftp_ports: vec![FTP_PORT..=FTP_PORT],
            user: None,
            password: None,
            password_file: None,
        }
    }
}

/// Ports and ranges of ports, separated by commas or spaces.
pub(super) fn port_list(field: &mut Field<'_, '_>) -> Option<Vec<RangeInclusive<u16>>> {
    let text = field.text()?;
    let mut list = Vec::new();
    for part in text.split([',', ' ']).filter(|part| !part.is_empty()) {
        let Some(ports) = parse_ports(part).ok().filter(|_| list.len() < MAX_PORTS) else {
            field
                .error(format!("`{}` is not a list of ports", clip(&text)))
                .help(format!(
                    "write at most {MAX_PORTS} ports and ranges, separated by commas: `21, 8021-8029`"
                ));
            return None;
        };
        list.push(ports);
    }
    Some(list)
}

pub(super) fn inline_password(field: &mut Field<'_, '_>) -> Option<PasswordSource> {
    let password = field.text()?;
    if password.is_empty() {
        field.report_empty();
        return None;
    }
    let password = of_login(field, password)?;
    if field.values.open_to_others {
        field
            .warning("other users can read this file, and so this password")
            .help(
                "run chmod 600 on the file, or put the password into a separate one: `socks-password-file=\"…\"`",
            );
    }
    Some(PasswordSource::Inline(SecretString::from(password)))
}

/// The name of a user.
pub(super) fn user(field: &mut Field<'_, '_>) -> Option<String> {
    let user = field.word()?;
    of_login(field, user)
}

/// The text if it fits into a login.
fn of_login(field: &mut Field<'_, '_>, text: String) -> Option<String> {
    if text.len() <= MAX_LOGIN {
        return Some(text);
    }
    field
        .error("the text is too long for a SOCKS login")
        .help(format!("write at most {MAX_LOGIN} bytes"));
    None
}
