//! `password`: of a profile, or inside the method that uses it.

use broker_settings::PasswordSource;
use secrecy::SecretString;

use crate::findings::Remedy;
use crate::table::{Rule, rows, rule};
use crate::tree::Element;
use crate::values::{Field, Values};

pub(super) static PASSWORD: Rule<Option<PasswordSource>> = rule("password", rows! { Option<PasswordSource>:
    "string": "the password itself, see [Passwords](#passwords)", |it, f| *it = inline_password(f);
    "file": "or: a file with the password in its first line", |it, f| *it = f.path().map(PasswordSource::File);
    "command": "or: a command that prints it as its first line", |it, f| *it = f.word().map(PasswordSource::Command);
})
.before(|_, e, v| PASSWORD.exactly_one(e, v));

/// Reads the password inside `auth-password` of the element. A `password` of the element itself counts more.
pub(super) fn inside_method(
    password: &mut Option<PasswordSource>,
    element: &Element,
    values: &mut Values<'_>,
) {
    let method = element
        .child("authentication-methods")
        .and_then(|methods| methods.child("auth-password"));
    let Some(inside) = method.and_then(|method| method.child(PASSWORD.facts.name)) else {
        return;
    };
    PASSWORD.apply(password, inside, values);
    if let Some(own) = element.child(PASSWORD.facts.name) {
        values
            .findings
            .warning(
                inside.span,
                "this password is not used, since the profile has another",
            )
            .related(own.span, "the other one")
            .help("remove one of the two")
            .remedy(Remedy::Remove);
    }
}

fn inline_password(field: &mut Field<'_, '_>) -> Option<PasswordSource> {
    let password = field.text()?;
    if password.is_empty() {
        field.report_empty();
        return None;
    }
    if field.values.open_to_others {
        field
            .warning("other users can read this file, and so this password")
            .help("run chmod 600 on the file, or put the password into a separate one: `<password file=\"…\"/>`");
    }
    Some(PasswordSource::Inline(SecretString::from(password)))
}
