//! Several files: which wins, what adds up, and what a broken one does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use broker_config::{
    Config, Environment, Exposed, HostKeyPolicy, Identity, Report, Severity, Sources, TunnelKind,
    load,
};
use tempfile::TempDir;

/// A directory with a global file and two of the user's.
struct Files {
    directory: TempDir,
}

impl Files {
    fn new() -> Self {
        Self {
            directory: TempDir::new().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name).join(Sources::FILE_NAME)
    }

    /// Writes one of `global`, `platform`, `home`.
    fn write(&self, name: &str, content: &str) -> &Self {
        let path = self.path(name);
        let private = Permissions::from_mode(0o700);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::set_permissions(path.parent().unwrap(), private.clone()).unwrap();
        std::fs::write(&path, format!("<secsh-broker>{content}</secsh-broker>")).unwrap();
        std::fs::set_permissions(path, private).unwrap();
        self
    }

    fn load(&self) -> Report {
        let user = vec![self.path("platform"), self.path("home")];
        let sources = Sources::Merged {
            global: self.path("global"),
            user,
        };
        load(
            &sources,
            &Environment {
                user: "anna".to_owned(),
                ..Environment::default()
            },
            Exposed::Refused,
        )
    }

    #[track_caller]
    fn config(&self) -> Config {
        let report = self.load();
        let shown = report.render(false);
        report.config.expect(&shown)
    }
}

#[test]
fn no_file_at_all_is_fine() {
    let config = Files::new().config();
    assert_eq!(
        config,
        Config {
            default_user: Some("anna".to_owned()),
            ..Config::default()
        }
    );
}

#[test]
fn later_settings_win_one_by_one() {
    let files = Files::new();
    files.write(
        "global",
        r#"<default-settings user="global"><keepalive-interval time="7"/>
           <idle-timeout time="70"/><ciphers><cipher name="aes128-ctr"/></ciphers></default-settings>"#,
    );
    files.write(
        "platform",
        r#"<default-settings><idle-timeout time="80"/></default-settings>"#,
    );
    files.write(
        "home",
        r#"<default-settings user="home"><ciphers><cipher name="aes256-ctr"/></ciphers>
           </default-settings>"#,
    );
    let config = files.config();
    assert_eq!(config.default_user.as_deref(), Some("home"));
    assert_eq!(
        config.defaults.keepalive_interval.map(|it| it.as_secs()),
        Some(7)
    );
    assert_eq!(config.defaults.pool.idle_timeout.as_secs(), 80);
    assert_eq!(config.defaults.algorithms.ciphers, ["aes256-ctr"]);
}

#[test]
fn profiles_add_up_and_the_users_replaces_its_namesake() {
    let files = Files::new();
    files.write(
        "global",
        r#"<profiles><profile id="1" name="work" host="global"/>
           <profile id="2" host="kept"/><profile id="3" name="old" host="replaced"/></profiles>
           <static-tunnels><tunnel type="ftp" profile="2" listen-port="2121" dst-host="a"/>
           <tunnel type="ftp" profile="2" listen-port="2122"/></static-tunnels>"#,
    );
    files.write(
        "home",
        r#"<profiles><profile id="mine" name="work" host="home"/><profile id="3" host="new"/>
           </profiles>
           <static-tunnels><tunnel type="ftp" profile="mine" listen-port="2121" dst-host="b"/>
           </static-tunnels>"#,
    );
    let config = files.config();
    let hosts: Vec<_> = config
        .profiles
        .iter()
        .map(|profile| profile.host.as_str())
        .collect();
    assert_eq!(hosts, ["kept", "home", "new"]);
    assert_eq!(
        config.profile("work").map(|profile| profile.id.as_str()),
        Some("mine")
    );
    let tunnels: Vec<_> = config
        .static_tunnels
        .iter()
        .map(|it| it.profile.as_str())
        .collect();
    assert_eq!(tunnels, ["2", "mine"]);
}

#[test]
fn a_global_profile_takes_the_users_default_settings() {
    let files = Files::new();
    files.write(
        "global",
        r#"<profiles><profile id="1" host="h"/></profiles>"#,
    );
    files.write(
        "home",
        r#"<default-settings user="home"><server-authentication-methods>
           <auth-server-publickey policy="strict"/></server-authentication-methods>
           </default-settings>"#,
    );
    let config = files.config();
    let profile = config.profile("1").unwrap();
    assert_eq!(profile.user.as_deref(), Some("home"));
    assert_eq!(profile.settings.host_key_policy, HostKeyPolicy::Strict);
}

#[test]
fn paths_are_relative_to_the_file_they_stand_in() {
    let files = Files::new();
    let profile = |id: &str| {
        format!(
            r#"<profiles><profile id="{id}" host="h"><user-identities><identity file="key"/>
               </user-identities></profile></profiles>"#
        )
    };
    files
        .write("global", &profile("g"))
        .write("home", &profile("h"));
    let config = files.config();
    for (id, directory) in [("g", "global"), ("h", "home")] {
        let expected = Identity::File(files.path(directory).with_file_name("key"));
        assert_eq!(config.profile(id).unwrap().identities, [expected]);
    }
}

#[test]
fn a_malformed_global_file_is_ignored_with_warnings() {
    for broken in [
        "<profiles>",
        r#"<profiles><profile id="1" host="a b"/></profiles>"#,
        r#"<profiles><profile id="1" host="a"/><profile id="1" host="b"/></profiles>"#,
    ] {
        let files = Files::new();
        files.write("global", broken);
        files.write("home", r#"<profiles><profile id="1" host="h"/></profiles>"#);
        let report = files.load();
        assert!(!report.has_errors(), "{}", report.render(false));
        let warnings: Vec<_> = report.diagnostics.iter().map(|it| it.severity).collect();
        assert!(warnings.len() >= 2 && warnings.iter().all(|it| *it == Severity::Warning));
        assert!(report.render(false).contains("has errors and is ignored"));
        assert_eq!(report.config.unwrap().profile("1").unwrap().host, "h");
    }
}

#[test]
fn a_malformed_user_file_is_refused() {
    let files = Files::new();
    files.write(
        "global",
        r#"<profiles><profile id="1" host="h"/></profiles>"#,
    );
    files.write("home", "<profiles>");
    let report = files.load();
    assert!(report.config.is_none());
    let error = report.diagnostics.first().unwrap();
    assert_eq!((error.severity, error.line), (Severity::Error, 1));
    assert_eq!(error.file, files.path("home"));
}

#[test]
fn complaints_may_refer_to_another_file() {
    let files = Files::new();
    let tunnel = |id: &str| {
        format!(
            r#"<profiles><profile id="{id}" host="h"><tunnels><local-tunnel type="ftp"
               listen-port="1234"/></tunnels></profile></profiles>"#
        )
    };
    files
        .write("global", &tunnel("g"))
        .write("home", &tunnel("h"));
    let report = files.load();
    let error = report.diagnostics.first().unwrap();
    assert_eq!(error.related.as_ref().unwrap().file, files.path("global"));
    let shown = report.render(false);
    for name in ["global", "home"] {
        assert!(
            shown.contains(&files.path(name).display().to_string()),
            "{shown}"
        );
    }
}

#[test]
fn the_named_file_must_exist() {
    let files = Files::new();
    let report = load(
        &Sources::Only(files.path("absent")),
        &Environment::default(),
        Exposed::Refused,
    );
    assert!(report.has_errors());
    let shown = report.render(false);
    assert!(
        shown.contains("cannot read") && shown.contains("absent"),
        "{shown}"
    );
}

#[test]
fn too_large_a_file_is_refused() {
    let files = Files::new();
    files.write("home", &" ".repeat(1024 * 1024));
    let shown = files.load().render(false);
    assert!(shown.contains("is larger than 1048576 bytes"), "{shown}");
}

#[test]
fn profiles_are_found_by_name_before_id() {
    let files = Files::new();
    files.write(
        "home",
        r#"<profiles><profile id="a" host="by-id"/><profile id="b" name="a" host="by-name"/>
           </profiles>"#,
    );
    let config = files.config();
    assert_eq!(config.profile("a").unwrap().host, "by-name");
    assert_eq!(config.profile("b").unwrap().host, "by-name");
    assert_eq!(config.profile_by_id("a").unwrap().host, "by-id");
    assert_eq!(config.profile("c"), None);
}

#[test]
fn a_target_without_profile_takes_the_default_settings() {
    let files = Files::new();
    files.write(
        "home",
        r#"<default-settings><keepalive-interval time="9"/></default-settings>"#,
    );
    let config = files.config();
    let profile = config.adhoc(None, "server", None);
    assert_eq!(profile.id, "anna@server#22");
    assert_eq!(
        profile.settings.keepalive_interval.map(|it| it.as_secs()),
        Some(9)
    );
    assert_eq!(
        config.adhoc(Some("bert"), "server", Some(2222)).id,
        "bert@server#2222"
    );
}

#[test]
fn equal_meaning_is_equal_wherever_it_stands() {
    let profile = |tunnel: &str| {
        format!(
            r#"<profiles><profile id="1" host="h"><password string="a"/><tunnels>{tunnel}</tunnels>
               </profile></profiles>"#
        )
    };
    let files = Files::new();
    let tunnel = r#"<local-tunnel type="ftp" listen-port="1"/>"#;
    let before = files.write("home", &profile(tunnel)).config();
    let moved = files
        .write("home", &profile(&format!("<!-- moved -->\n\n{tunnel}")))
        .config();
    assert_eq!(before, moved);
    let changed = files
        .write("home", &profile(&tunnel.replace('1', "2")))
        .config();
    assert_ne!(before, changed);
    let password = profile(tunnel).replace(r#"string="a""#, r#"string="b""#);
    assert_ne!(before, files.write("home", &password).config());
}

#[test]
fn secrets_are_shown_nowhere() {
    let files = Files::new();
    files.write(
        "home",
        r#"<profiles><profile id="1" host="h"><password string="geheim$VAR_GEHEIM"/>
           <tunnels><local-tunnel listen-port="1"/></tunnels></profile></profiles>"#,
    );
    let report = files.load();
    assert!(report.has_errors());
    assert!(
        !report.render(true).to_lowercase().contains("geheim"),
        "{}",
        report.render(false)
    );
    assert!(!format!("{report:?}").to_lowercase().contains("geheim"));
    files.write(
        "home",
        r#"<profiles><profile id="1" host="h"><password string="geheim"/></profile></profiles>"#,
    );
    assert!(!format!("{:?}", files.config()).contains("geheim"));
}

#[test]
fn an_unlimited_number_of_faults_makes_a_limited_report() {
    let files = Files::new();
    let faults = "<x/>".repeat(1000);
    files.write(
        "home",
        &format!(r#"{faults}<default-settings><rekey bytes="-"/></default-settings>"#),
    );
    let report = files.load();
    assert_eq!(report.diagnostics.len(), 101);
    assert!(
        report
            .render(false)
            .contains("901 more messages are not shown")
    );
}

#[test]
fn an_ftp_tunnel_goes_to_port_21_unless_told_otherwise() {
    let files = Files::new();
    files.write(
        "home",
        r#"<profiles><profile id="1" host="h"><tunnels>
           <local-tunnel type="FTP" listen-port="1"/></tunnels></profile></profiles>"#,
    );
    let config = files.config();
    let tunnel = config
        .profile("1")
        .unwrap()
        .tunnels
        .first()
        .unwrap()
        .clone();
    assert!(matches!(tunnel.kind, TunnelKind::Ftp(_)));
    assert_eq!(
        (tunnel.dst_host.as_str(), tunnel.dst_port),
        ("localhost", 21)
    );
}

#[cfg(unix)]
#[test]
fn file_access_control_keeps_the_users_file_to_its_owner() {
    let files = Files::new();
    let access = r#"<general><file-access-control enable="yes"/></general>"#;
    let chmod = |name: &str, mode: u32| {
        let permissions = Permissions::from_mode(mode);
        std::fs::set_permissions(files.path(name), permissions).unwrap();
    };
    files.write("global", access).write("home", "");
    chmod("global", 0o644);
    for (mode, allowed) in [(0o600, true), (0o400, true), (0o640, false), (0o602, false)] {
        chmod("home", mode);
        let report = files.load();
        assert_eq!(!report.has_errors(), allowed, "{mode:o}");
        let shown = report.render(false);
        assert_eq!(!shown.contains("chmod 600"), allowed, "{shown}");
    }
    files.write("global", "");
    chmod("home", 0o644);
    assert!(
        !files.load().has_errors(),
        "it is off unless it is asked for"
    );
}
