//! Variables in values: `%NAME%`, `$NAME`, `${NAME:-default}`, and specials such as `%U` and `%D`.

use crate::environment::Environment;

/// A value with its variables replaced.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Expanded {
    pub(crate) text: String,
    /// The names of unset `$` variables, which were replaced by nothing.
    pub(crate) unset: Vec<String>,
    /// What looks like a `%` variable and is none, so it stays as written.
    pub(crate) unknown: Vec<String>,
}

/// Replaces the variables in `text`.
///
/// `%NAME%` matches in any letter case, and stays as written if it is not set. `$NAME` matches exactly, and is replaced
/// by nothing if it is not set. A variable of the environment takes precedence over a special with the same name. The
/// inserted text is not expanded again.
pub(crate) fn expand(text: &str, env: &Environment) -> Expanded {
    let mut expanded = Expanded {
        text: String::with_capacity(text.len()),
        unset: Vec::new(),
        unknown: Vec::new(),
    };
    let mut rest = text;
    // The length of the text after the last look-alike, whose closing sign begins no further one.
    let mut unseen = usize::MAX;
    while let Some(at) = rest.find(['%', '$']) {
        let (before, variable) = rest.split_at(at);
        expanded.text.push_str(before);
        let replaced = if variable.starts_with('%') {
            percent(variable, env)
        } else {
            dollar(variable, env, &mut expanded.unset)
        };
        let length = match replaced {
            Some((value, length)) => {
                expanded.text.push_str(&value);
                length
            }
            None => {
                if let Some(name) = look_alike(variable).filter(|_| variable.len() <= unseen) {
                    expanded.unknown.push(name.to_owned());
                    unseen = variable.len() - name.len();
                }
                expanded.text.extend(variable.chars().next());
                1
            }
        };
        rest = variable.get(length..).unwrap_or_default();
    }
    expanded.text.push_str(rest);
    expanded
}

/// The value of the `%…` at the start of `text`, and the length of the text that it replaces.
fn percent(text: &str, env: &Environment) -> Option<(String, usize)> {
    named(text, env).or_else(|| short(text, env))
}

/// `%NAME%`.
fn named(text: &str, env: &Environment) -> Option<(String, usize)> {
    let name = text.strip_prefix('%')?.split_once('%')?.0;
    let value = env
        .variables
        .get(name)
        .or_else(|| {
            let mut all = env.variables.iter();
            all.find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value)
        })
        .cloned()
        .or_else(|| long_special(&name.to_ascii_lowercase(), env))
        .or_else(|| closed_special(text, name, env))?;
    Some((value, name.len() + 2))
}

/// `%U%`, as some write for `%U`. Before a letter or digit, the second sign begins a variable: `%D%U`.
fn closed_special(text: &str, name: &str, env: &Environment) -> Option<String> {
    let after = text.get(name.len() + 2..)?;
    let ends = !after.starts_with(|c: char| c.is_ascii_alphanumeric());
    short_special(name, env).filter(|_| ends)
}

/// `%NAME%` at the start of the text. Percent-encoded bytes, as in `%C3%A4`, are not variables.
fn look_alike(text: &str) -> Option<&str> {
    let name = text.strip_prefix('%')?.split_once('%')?.0;
    let is_byte = name.len() == 2 && name.bytes().all(|it| it.is_ascii_hexdigit());
    let named = |c: char| is_name_character(c) || c == '-';
    let is_variable = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    (is_variable && !is_byte && name.chars().all(named))
        .then(|| text.get(..name.len() + 2))
        .flatten()
}

/// The value of a special with a long name.
fn long_special(name: &str, env: &Environment) -> Option<String> {
    Some(match name {
        "username" => env.user.clone(),
        "groupname" => env.group.clone(),
        "homedir" => env.home.display().to_string(),
        "userid" => env.user_id.to_string(),
        "groupid" => env.group_id.to_string(),
        _ => return None,
    })
}

/// The value of a special with a short name.
fn short_special(name: &str, env: &Environment) -> Option<String> {
    Some(match name {
        "U" => env.user.clone(),
        "G" => env.group.clone(),
        "D" => env.home.display().to_string(),
        "IU" => env.user_id.to_string(),
        "IG" => env.group_id.to_string(),
        _ => return None,
    })
}

/// Specials such as `%U`, which have no closing sign and end with the word.
fn short(text: &str, env: &Environment) -> Option<(String, usize)> {
    let word = text.strip_prefix('%')?;
    let length = word
        .find(|c: char| !c.is_ascii_alphanumeric())
        .unwrap_or(word.len());
    let name = word.get(..length)?;
    let special = short_special(name, env)?;
    let value = env.variables.get(name).cloned().unwrap_or(special);
    Some((value, length + 1))
}

/// `$NAME`, `${NAME}` or `${NAME:-default}`.
fn dollar(text: &str, env: &Environment, unset: &mut Vec<String>) -> Option<(String, usize)> {
    let after = text.strip_prefix('$')?;
    if let Some(braced) = after.strip_prefix('{') {
        let inside = braced.split_once('}')?.0;
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        let whole = is_name(name).then_some(inside.len() + 3)?;
        return Some((variable(name, default, env, unset), whole));
    }
    let length = after
        .find(|c: char| !is_name_character(c))
        .unwrap_or(after.len());
    let name = after.get(..length).filter(|name| is_name(name))?;
    Some((variable(name, None, env, unset), length + 1))
}

/// The variable's value; the default if it is unset or empty.
fn variable(
    name: &str,
    default: Option<&str>,
    env: &Environment,
    unset: &mut Vec<String>,
) -> String {
    let value = env.variables.get(name);
    if let Some(default) = default {
        return value
            .filter(|value| !value.is_empty())
            .cloned()
            .unwrap_or(default.to_owned());
    }
    let special = || long_special(name, env).or_else(|| short_special(name, env));
    value.cloned().or_else(special).unwrap_or_else(|| {
        unset.push(name.to_owned());
        String::new()
    })
}

fn is_name(text: &str) -> bool {
    text.chars().all(is_name_character) && text.starts_with(|c: char| !c.is_ascii_digit())
}

fn is_name_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> Environment {
        let variables = [
            ("Site", "berlin"),
            ("EMPTY", ""),
            ("userid", "overridden"),
            ("G", "staff"),
        ];
        Environment {
            variables: variables.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            home: "/home/anna".into(),
            user: "anna".to_owned(),
            group: "users".to_owned(),
            user_id: 1000,
            group_id: 100,
            ..Environment::default()
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &str, unset: &[&str]) {
        let expanded = expand(text, &env());
        assert_eq!(expanded.text, expected);
        assert_eq!(expanded.unset, unset);
    }

    #[test]
    fn percent_names_in_any_case() {
        check("a-%SITE%-%site%", "a-berlin-berlin", &[]);
        check("%USERNAME%@%homedir%", "anna@/home/anna", &[]);
    }

    #[test]
    fn an_undefined_percent_name_stays() {
        for (text, unknown) in [
            ("%nothing%", vec!["%nothing%"]),
            ("100%", vec![]),
            ("50% of %Documents%", vec!["%Documents%"]),
            ("a%user-config%b%X_1%", vec!["%user-config%", "%X_1%"]),
            ("socks5://me:%C3%A4%3A%2F@p", vec![]),
        ] {
            let expanded = expand(text, &env());
            assert_eq!(expanded.text, text);
            assert_eq!(expanded.unknown, unknown);
        }
    }

    #[test]
    fn specials_may_be_written_with_a_dollar() {
        check("$username:$homedir", "anna:/home/anna", &[]);
        check("${U}@$D/x", "anna@/home/anna/x", &[]);
        check("%groupname%-%GroupID%", "users-100", &[]);
    }

    #[test]
    fn dollar_names() {
        check("$Site.example", "berlin.example", &[]);
        check("${Site}x", "berlinx", &[]);
        check("<$SITE>", "<>", &["SITE"]);
        check("${SITE:-paris}${EMPTY:-x}${Site:-y}", "parisxberlin", &[]);
    }

    #[test]
    fn what_is_no_variable_stays() {
        check("$", "$", &[]);
        check("$1 $(id) ${ ${Site", "$1 $(id) ${ ${Site", &[]);
        check("${a b}", "${a b}", &[]);
    }

    #[test]
    fn specials() {
        check("%D/.ssh2/%U", "/home/anna/.ssh2/anna", &[]);
        check("%D%U-%IU-%IG", "/home/annaanna-1000-100", &[]);
        check("%U_key", "anna_key", &[]);
        check("%Users", "%Users", &[]);
        check("%D%/keys-%U%", "/home/anna/keys-anna", &[]);
        check("%IU%%IG%", "1000100", &[]);
    }

    #[test]
    fn the_environment_wins_over_a_special() {
        check("%userid% %G", "overridden staff", &[]);
    }

    #[test]
    fn values_are_not_expanded_again() {
        let mut env = env();
        env.variables
            .insert("A".to_owned(), "$Site %Site%".to_owned());
        assert_eq!(expand("$A", &env).text, "$Site %Site%");
    }
}
