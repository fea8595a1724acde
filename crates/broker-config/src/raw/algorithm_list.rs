//! Lists of algorithms: `ciphers`, `macs`, `kexs`, `hostkey-algorithms`.

use crate::algorithms::{CIPHERS, Family, HOST_KEYS, KEXS, MACS, Meaning};
use crate::findings::Remedy;
use crate::suggest::{clip, did_you_mean, list};
use crate::table::{Attribute, Child, Rule, rows, rule};
use crate::tree::Element;
use crate::values::{Field, Values};

/// A list of algorithms while it is read.
pub(super) struct Names {
    family: Family,
    list: Vec<String>,
    /// Whether a name in it is an error.
    wrong: bool,
}

pub(super) static CIPHER_LIST: Rule<Names> = Rule::new(CIPHERS.list)
    .meaning(
        "contains `cipher` elements with `name`, in order of preference",
        "today's safe ones: AES-GCM first if the processor has instructions for it, otherwise ChaCha20-Poly1305",
    )
    .children(&[Child::Same(&item(&CIPHERS))]);
pub(super) static MAC_LIST: Rule<Names> = Rule::new(MACS.list)
    .meaning("the same with `mac`", SAFE)
    .children(&[Child::Same(&item(&MACS))]);
pub(super) static KEX_LIST: Rule<Names> = Rule::new(KEXS.list)
    .meaning("the same with `kex`: key exchanges", SAFE)
    .children(&[Child::Same(&item(&KEXS))]);
pub(super) static HOST_KEY_LIST: Rule<Names> = Rule::new(HOST_KEYS.list)
    .meaning("the same with `hostkey-algorithm`", SAFE)
    .children(&[Child::Same(&item(&HOST_KEYS))]);

const SAFE: &str = "today's safe ones";

/// An element with only a name, in a list of names.
const fn item(family: &Family) -> Rule<Names> {
    rule(family.item, NAME).many()
}

const NAME: &[Attribute<Names>] =
    rows! { Names: "name" required: "see the next table", add_algorithm; };

/// The names in a list of algorithms that the broker can offer.
pub(super) fn algorithms(
    rule: &Rule<Names>,
    family: Family,
    element: &Element,
    values: &mut Values<'_>,
) -> Vec<String> {
    let mut names = Names {
        family,
        list: Vec::new(),
        wrong: false,
    };
    rule.apply(&mut names, element, values);
    let named = |child: &Element| child.attribute("name").is_some();
    if names.list.is_empty() && !names.wrong && element.children.iter().all(named) {
        report_nothing_usable(element, family, values);
    }
    names.list
}

fn report_nothing_usable(element: &Element, family: Family, values: &mut Values<'_>) {
    let message = if element.children.is_empty() {
        format!(
            "`<{}>` is empty, so the broker could offer nothing",
            family.list
        )
    } else {
        format!("`<{}>` names nothing that the broker offers", family.list)
    };
    let help = format!(
        "remove the list to use today's safe ones, or name at least one of {}",
        list(family.good.iter().copied())
    );
    values.findings.error(element.span, message).help(help);
}

fn add_algorithm(names: &mut Names, field: &mut Field<'_, '_>) {
    let name = field.word();
    let meaning = name.as_deref().and_then(|name| names.family.meaning(name));
    let usable = match (&name, meaning) {
        (Some(name), Some(meaning)) => usable(name, meaning, field),
        (name, _) => {
            names.wrong = true;
            if let Some(name) = name {
                report_unknown(name, names.family, field);
            }
            None
        }
    };
    let Some(usable) = usable else {
        return;
    };
    if !names.list.iter().any(|it| it == usable) {
        names.list.push(usable.to_owned());
    } else if matches!(meaning, Some(Meaning::Offered(_))) {
        field
            .warning("this name is already in the list")
            .remedy(Remedy::Remove);
    }
}

/// The name to offer, if there is one. Reports a name under which the broker does not offer it.
fn usable(name: &str, meaning: Meaning, field: &mut Field<'_, '_>) -> Option<&'static str> {
    match meaning {
        Meaning::Offered(name) => return Some(name),
        Meaning::Twin(standard) => {
            let message = format!("`{name}` has the standard name `{standard}`, which is used");
            field
                .note(message)
                .remedy(Remedy::Replace(standard.to_owned()));
            return Some(standard);
        }
        Meaning::Broken(instead) => field
            .warning(format!("`{name}` is insecure, so it is left out"))
            .help(format!("remove it, or write `{instead}`"))
            .remedy(Remedy::Remove),
        Meaning::Foreign => field
            .warning(format!("the broker has no `{name}`, so it is left out"))
            .help("remove it")
            .remedy(Remedy::Remove),
    };
    None
}

fn report_unknown(name: &str, family: Family, field: &mut Field<'_, '_>) {
    field
        .error(format!(
            "`{}` is not the name of a known {}",
            clip(name),
            family.item
        ))
        .help(did_you_mean(name, family.good.iter().copied()));
}
