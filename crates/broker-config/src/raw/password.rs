//! `password`: of a profile, or inside the method that uses it.

use broker_settings::PasswordSource;
use secrecy::SecretString;

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
            .help("remove one of the two");
    }
}

fn inline_password(field: &mut Field<'_, '_>) -> Option<PasswordSource> {
    let password = field.text()?;
    if password.is_empty() {
        field.report_empty();
        return None;
    }
    let message = "everybody who can read this file can read the password";
    field
        .warning(message)
        .help("put it into a separate file: `<password file=\"…\"/>`, or use a key");
    Some(PasswordSource::Inline(SecretString::from(password)))
}
