//! Today's spellings, and comments for the reader of the new file.

use broker_settings::HostKeyPolicy;

use crate::choices::Choice;
use crate::tree::Element;

/// The elements for the methods that older files name in an attribute.
const METHODS: [(&str, &str); 3] = [
    ("publickey", "auth-publickey"),
    ("password", "auth-password"),
    ("keyboard-interactive", "auth-keyboard-interactive"),
];

/// The switches that the host key policy replaces.
const SWITCHES: [&str; 3] = [
    "strict-host-key-checking",
    "host-key-always-ask",
    "accept-unknown-host-keys",
];

/// Writes what older files spell in another way.
pub(super) fn spell(root: &mut Element, policy: HostKeyPolicy) {
    rename_methods(root);
    join_rules(root);
    let general = root.child("general");
    if general.is_some_and(|it| SWITCHES.iter().any(|name| it.child(name).is_some())) {
        set_policy(root, policy);
    }
}

fn rename_methods(element: &mut Element) {
    let is_list = element.name == "authentication-methods";
    for child in &mut element.children {
        let named = child.attribute("name").map(|name| name.value.as_str());
        let method = METHODS.iter().find(|(name, _)| Some(*name) == named);
        if let (true, Some((_, modern))) = (is_list, method) {
            (*modern).clone_into(&mut child.name);
            child.attributes.clear();
        }
        rename_methods(child);
    }
}

/// Proxy rules over several lines have their indentation in the value.
fn join_rules(element: &mut Element) {
    let rules = element.attributes.iter_mut();
    for rules in rules.filter(|it| it.name == "ruleset") {
        let words: Vec<_> = rules.value.split_whitespace().collect();
        rules.value = words.join(" ");
    }
    element.children.iter_mut().for_each(join_rules);
}

/// Sets the policy of the default settings, as the switches set it.
fn set_policy(root: &mut Element, policy: HostKeyPolicy) {
    let mut words = HostKeyPolicy::WORDS.iter();
    let Some((word, _)) = words.find(|(_, it)| *it == policy) else {
        return;
    };
    let path = [
        "default-settings",
        "server-authentication-methods",
        "auth-server-publickey",
    ];
    at(root, &path, &mut |place| {
        if place.attribute("policy").is_none() {
            let made = std::mem::replace(place, Element::new(""));
            *place = made.with("policy", word);
        }
    });
}

/// Changes the element at a path, and makes what is missing of it.
fn at(element: &mut Element, path: &[&str], change: &mut dyn FnMut(&mut Element)) {
    let [name, rest @ ..] = path else {
        return change(element);
    };
    if element.child(name).is_none() {
        element.children.push(Element::new(name));
    }
    let mut children = element.children.iter_mut();
    if let Some(child) = children.find(|child| child.name == *name) {
        at(child, rest, change);
    }
}

/// What the parts of a file are for.
const PARTS: [(&str, &str); 5] = [
    ("general", "Where keys and known hosts are."),
    ("default-settings", "Settings for all servers."),
    ("profiles", "The servers, and the tunnels through each."),
    ("static-tunnels", "Further tunnels through these servers."),
    ("logging", "Where the log goes."),
];

/// Adds a comment to each part that has none, and says what is not in the file.
pub(super) fn add_comments(root: &mut Element, heading: &str, left_out: &[String]) {
    let place = |name: &str| PARTS.iter().position(|(part, _)| *part == name);
    root.children.sort_by_key(|child| place(&child.name));
    for child in &mut root.children {
        let part = PARTS.iter().find(|(name, _)| *name == child.name);
        if let (true, Some((_, comment))) = (child.comments.is_empty(), part) {
            child.comments.push((*comment).to_owned());
        }
    }
    let mut comment = plain_text::printable(heading);
    for line in left_out {
        comment.push_str("\n- ");
        comment.push_str(line);
    }
    // Two hyphens would end the comment.
    root.comments.insert(0, comment.replace("--", "- -"));
}
