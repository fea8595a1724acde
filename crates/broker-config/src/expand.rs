//! Variables in values: `%NAME%`, `$NAME`, `${NAME:-default}`, and specials such as `%U` and `%D`.

use crate::environment::Environment;

/// A value with its variables replaced.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Expanded {
    pub(crate) text: String,
    /// The names of unset `$` variables, which were replaced by nothing.
    pub(crate) unset: Vec<String>,
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
    };
    let mut rest = text;
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
        .or_else(|| match name.to_ascii_lowercase().as_str() {
            "username" => Some(env.user.clone()),
            "homedir" => Some(env.home.display().to_string()),
            "userid" => Some(env.user_id.to_string()),
            _ => None,
        })?;
    Some((value, name.len() + 2))
}

/// Specials such as `%U`, which have no closing sign and end with the word.
fn short(text: &str, env: &Environment) -> Option<(String, usize)> {
    let word = text.strip_prefix('%')?;
    let length = word
        .find(|c: char| !c.is_ascii_alphanumeric())
        .unwrap_or(word.len());
    let name = word.get(..length)?;
    let value = env.variables.get(name).cloned().or_else(|| match name {
        "U" => Some(env.user.clone()),
        "G" => Some(env.group.clone()),
        "D" => Some(env.home.display().to_string()),
        "IU" => Some(env.user_id.to_string()),
        "IG" => Some(env.group_id.to_string()),
        _ => None,
    });
    let special = matches!(name, "U" | "G" | "D" | "IU" | "IG");
    value.filter(|_| special).map(|value| (value, length + 1))
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
    value.cloned().unwrap_or_else(|| {
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
        check("%nothing%", "%nothing%", &[]);
        check("100%", "100%", &[]);
        check("50% of %Documents%", "50% of %Documents%", &[]);
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
