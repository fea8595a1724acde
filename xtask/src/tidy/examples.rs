//! Examples in Markdown are true: configurations load without an error, and command lines of `broker-ctl` parse

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Result;
use broker_config::{Environment, Exposed, Severity};
use broker_ctl::Cli;
use clap::Parser;
use clap::error::ErrorKind;
use testkit::certificates::Authority;

use super::Fault;

/// A profile around parts of one.
const PROFILE: &str = r#"profile id="-" host="-""#;

/// Where the examples have the broker's certificate. The check puts one into the place of this directory.
const CERTIFICATES: &str = "/etc/ssl/";

/// Placeholders in command lines that are not texts, and what the check reads in their place.
const PLACEHOLDERS: [(&str, &str); 3] = [
    ("ID", "1"),
    ("SECONDS", "1"),
    (
        "SHA256:…",
        "SHA256:Nh0Me49Zh9fDw/VYUfq43IJmI1T+XrjiYONPND8GzaM",
    ),
];

/// Every wrong example of one Markdown file.
pub(super) fn check(path: &Path, text: &str) -> Result<Vec<Fault>> {
    let mut faults = Vec::new();
    let mut complain = |line, message| {
        let path = path.to_path_buf();
        faults.push(Fault {
            path,
            line,
            message,
        });
    };
    for example in examples(text) {
        match example.kind {
            Kind::Block("xml") => {
                if let Some(message) = fault_of_configuration(&example.text)? {
                    complain(example.line, message);
                }
            }
            Kind::Block("sh" | "console") => {
                for (offset, line) in example.text.lines().enumerate() {
                    for message in commands(line).filter_map(fault_of_command) {
                        complain(example.line + offset, message);
                    }
                }
            }
            Kind::Block(_) => {}
            Kind::Mention => {
                if let Some(message) = fault_of_mention(&example.text) {
                    complain(example.line, message);
                }
            }
        }
    }
    Ok(faults)
}

/// A piece of code in Markdown, and the line at which it begins.
#[derive(Debug, PartialEq)]
struct Example<'a> {
    line: usize,
    kind: Kind<'a>,
    text: String,
}

#[derive(Debug, PartialEq)]
enum Kind<'a> {
    /// Between fences, in this language.
    Block(&'a str),
    /// Between backticks in a sentence.
    Mention,
}

fn examples(text: &str) -> Vec<Example<'_>> {
    let mut found = Vec::new();
    let mut block: Option<Example> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let fence = line.trim_start().strip_prefix("```");
        match (fence, &mut block) {
            (Some(_), Some(_)) => found.extend(block.take()),
            (Some(language), None) => {
                let (line, kind) = (number + 1, Kind::Block(language));
                let text = String::new();
                block = Some(Example { line, kind, text });
            }
            (None, Some(block)) => block.text.extend([line, "\n"]),
            (None, None) => found.extend(mentions(number, line)),
        }
    }
    found
}

fn mentions(number: usize, line: &str) -> impl Iterator<Item = Example<'_>> {
    let code = line.split('`').skip(1).step_by(2);
    code.map(move |text| Example {
        line: number,
        kind: Kind::Mention,
        text: text.to_owned(),
    })
}

/// What `check-config` says against the example, as a part of a whole file.
fn fault_of_configuration(example: &str) -> Result<Option<String>> {
    let directory = tempfile::tempdir()?;
    put_certificate(directory.path())?;
    let own = format!("{}/", directory.path().display());
    let file = directory.path().join("broker.xml");
    std::fs::write(&file, whole(example).replace(CERTIFICATES, &own))?;
    std::fs::set_permissions(&file, Permissions::from_mode(0o600))?;
    let report = broker_config::check(&file, &Environment::current(), Exposed::Accepted);
    let mut said = report.diagnostics.iter();
    let error = said.find(|it| it.severity == Severity::Error);
    Ok(error.map(|it| format!("the configuration has an error: {}", it.message)))
}

fn put_certificate(directory: &Path) -> Result<()> {
    let authority = Authority::new()?;
    authority.issue()?;
    std::fs::create_dir(directory.join("private"))?;
    for name in ["ftp.pem", "private/ftp.key"] {
        std::fs::copy(authority.certificate(), directory.join(name))?;
    }
    Ok(())
}

/// The example with all elements around it that its first element needs.
fn whole(example: &str) -> String {
    let name = example.trim_start().trim_start_matches('<');
    let name = name.split(|c: char| c.is_whitespace() || matches!(c, '>' | '/'));
    let around: &[&str] = match name.clone().next() {
        Some("secsh-broker") => &[],
        Some("general" | "default-settings" | "profiles" | "static-tunnels" | "logging") => {
            &["secsh-broker"]
        }
        Some("profile") => &["secsh-broker", "profiles"],
        Some("local-tunnel" | "remote-tunnel") => &["secsh-broker", "profiles", PROFILE, "tunnels"],
        Some("log-target") => &["secsh-broker", "logging"],
        _ => &["secsh-broker", "profiles", PROFILE],
    };
    let begin: String = around.iter().map(|it| format!("<{it}>")).collect();
    let name_of = |it: &str| it.split(' ').next().unwrap_or_default().to_owned();
    let end = around.iter().rev().map(|it| format!("</{}>", name_of(it)));
    begin + example + &end.collect::<String>()
}

/// The arguments of each `broker-ctl` in one line of a script or a terminal.
fn commands(line: &str) -> impl Iterator<Item = Vec<&str>> {
    let line = line.split(" #").next().unwrap_or_default();
    line.split(['|', ';', '&', '(', ')', '<', '>'])
        .filter_map(|command| {
            let words = command
                .split_whitespace()
                .map(|it| it.trim_matches(['\'', '"']));
            let words = words.skip_while(|it| matches!(*it, "$" | "#" | "sudo" | "if" | "!"));
            let mut words = words.skip_while(|it| it.contains('='));
            (words.next() == Some("broker-ctl")).then(|| words.collect())
        })
}

/// Why `broker-ctl` refuses this command line.
fn fault_of_command(arguments: Vec<&str>) -> Option<String> {
    let error = refusal(&arguments)?;
    Some(told(&arguments, &error))
}

/// The same for a command in a sentence, which can leave out what the sentence is not about.
fn fault_of_mention(code: &str) -> Option<String> {
    let arguments: Vec<_> = commands(code).next()?;
    let error = refusal(&arguments)?;
    let left_out = matches!(
        error.kind(),
        ErrorKind::MissingRequiredArgument
            | ErrorKind::MissingSubcommand
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    (!left_out).then(|| told(&arguments, &error))
}

fn refusal(arguments: &[&str]) -> Option<clap::Error> {
    let value = |it| PLACEHOLDERS.into_iter().find(|(name, _)| *name == it);
    let arguments = arguments
        .iter()
        .map(|it| value(*it).map_or(*it, |(_, value)| value));
    let error = Cli::try_parse_from(["broker-ctl"].into_iter().chain(arguments)).err()?;
    let shown = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    (!shown).then_some(error)
}

fn told(arguments: &[&str], error: &clap::Error) -> String {
    let error = error.to_string();
    let reason = error.lines().next().unwrap_or_default();
    format!(
        "`broker-ctl {}` does not work: {reason}",
        arguments.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(text: &str) -> Vec<String> {
        let faults = check(Path::new("a.md"), text).unwrap();
        faults.iter().map(Fault::to_string).collect()
    }

    #[test]
    fn a_fragment_that_loads_is_no_fault() {
        let text = "```xml\n<local-tunnel type=\"ftp\" listen-port=\"1\" tls=\"terminate\" \
            tls-certificate=\"/etc/ssl/ftp.pem\"/>\n```\n";
        assert_eq!(complaints(text), [""; 0]);
    }

    #[test]
    fn a_fragment_with_a_wrong_attribute_is_a_fault() {
        let faults = complaints("\n```xml\n<proxy rules=\"\"/>\n```\n");
        let expected = "a.md:3: the configuration has an error: `<proxy>` lacks";
        assert!(
            matches!(faults.as_slice(), [it] if it.starts_with(expected)),
            "{faults:?}"
        );
    }

    #[test]
    fn a_wrong_command_line_is_a_fault() {
        let faults = complaints("```sh\ntrue\nX=1 broker-ctl status --jsn | cat   # no\n```\n");
        let expected = "a.md:3: `broker-ctl status --jsn` does not work: ";
        assert!(
            matches!(faults.as_slice(), [it] if it.starts_with(expected)),
            "{faults:?}"
        );
    }

    #[test]
    fn a_block_names_all_that_a_command_needs_and_a_sentence_does_not() {
        assert_eq!(
            complaints("Run `broker-ctl probe-key`, or `broker-ctl` alone."),
            [""; 0]
        );
        let faults = complaints("```sh\nbroker-ctl probe-key\n```\nor `broker-ctl prope-key X`");
        assert_eq!(faults.len(), 2, "{faults:?}");
    }
}
