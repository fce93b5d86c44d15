use std::collections::BTreeMap;
use std::io;

use super::*;

/// Files, directories and sockets that a test names; nothing else exists.
#[derive(Debug, Default)]
struct FakeSystem {
    files: BTreeMap<PathBuf, String>,
    sockets: BTreeMap<PathBuf, Probe>,
}

impl System for FakeSystem {
    fn read(&self, path: &Path) -> io::Result<String> {
        self.files
            .get(path)
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let mut below: Vec<_> = self
            .files
            .keys()
            .filter_map(|file| {
                let name = file.strip_prefix(path).ok()?.components().next()?;
                Some(path.join(name))
            })
            .collect();
        below.dedup();
        Ok(below)
    }

    fn probe(&self, path: &Path) -> Probe {
        let missing = Probe::Failed(io::ErrorKind::NotFound);
        self.sockets.get(path).cloned().unwrap_or(missing)
    }
}

/// An environment of `variables`, `files` (path, text) and `sockets`.
fn environment(
    variables: &[(&str, &str)],
    files: &[(&str, &str)],
    sockets: &[(&str, Probe)],
) -> Environment {
    Environment {
        variables: variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        home: Some("/home/me".into()),
        uid: 1000,
        system: Box::new(FakeSystem {
            files: files
                .iter()
                .map(|(path, text)| (path.into(), (*text).to_owned()))
                .collect(),
            sockets: sockets
                .iter()
                .map(|(path, probe)| (path.into(), probe.clone()))
                .collect(),
        }),
    }
}

/// Role and address of what is found, or the error's sentence.
fn found(environment: &Environment) -> Result<Vec<(Role, String)>, String> {
    resolve(environment, None)
        .map(|upstreams| {
            upstreams
                .found
                .into_iter()
                .map(|upstream| (upstream.role, upstream.address.to_string()))
                .collect()
        })
        .map_err(|e| e.to_string())
}

fn engine_at(address: &str) -> Result<Vec<(Role, String)>, String> {
    Ok(vec![(Role::Engine, address.to_owned())])
}

const CONFIG: &str = "/home/me/.docker/config.json";
const META: (&str, &str) = (
    "/home/me/.docker/contexts/meta/7692c3/meta.json",
    r#"{"Name":"one","Metadata":{},"Endpoints":{"docker":{"Host":"unix:///one.sock","SkipTLSVerify":false}}}"#,
);

#[test]
fn docker_host_comes_before_contexts() {
    let files = [(CONFIG, r#"{"currentContext":"gone"}"#), META];
    let variables = [("DOCKER_HOST", "unix:///h.sock"), ("DOCKER_CONTEXT", "one")];
    assert_eq!(
        found(&environment(&variables, &files, &[])),
        engine_at("unix:///h.sock")
    );
}

#[test]
fn docker_context_comes_before_the_configuration() {
    let files = [(CONFIG, r#"{"auths":{},"currentContext":"gone"}"#), META];
    let variables = [("DOCKER_HOST", ""), ("DOCKER_CONTEXT", "one")];
    assert_eq!(
        found(&environment(&variables, &files, &[])),
        engine_at("unix:///one.sock")
    );
}

#[test]
fn the_configuration_names_a_context() {
    let files = [(CONFIG, r#"{"currentContext":"one"}"#), META];
    let environment = environment(&[("DOCKER_CONTEXT", "")], &files, &[]);
    assert_eq!(found(&environment), engine_at("unix:///one.sock"));
    let upstreams = resolve(&environment, None).unwrap();
    assert_eq!(
        upstreams.found[0].chosen_by,
        r#"the docker context "one" (from /home/me/.docker/config.json)"#
    );
}

#[test]
fn the_default_context_is_the_default_socket() {
    let files = [(CONFIG, r#"{"currentContext":"one"}"#), META];
    let sockets = [("/var/run/docker.sock", Probe::Live)];
    let environment = environment(&[("DOCKER_CONTEXT", "default")], &files, &sockets);
    assert_eq!(
        found(&environment),
        engine_at("unix:///var/run/docker.sock")
    );
}

#[test]
fn docker_config_moves_the_contexts() {
    let files = [
        ("/elsewhere/config.json", r#"{"currentContext":"two"}"#),
        (
            "/elsewhere/contexts/meta/3fc4/meta.json",
            r#"{"Name":"two","Endpoints":{"docker":{"Host":"tcp://10.0.0.1:2375"}}}"#,
        ),
    ];
    assert_eq!(
        found(&environment(
            &[("DOCKER_CONFIG", "/elsewhere")],
            &files,
            &[]
        )),
        engine_at("tcp://10.0.0.1:2375")
    );
}

#[test]
fn a_context_that_does_not_exist() {
    let environment = environment(&[("DOCKER_CONTEXT", "gone")], &[META], &[]);
    assert_eq!(
        found(&environment).unwrap_err(),
        r#"DOCKER_CONTEXT names the docker context "gone", which does not exist (there are: default, one). Choose one with `docker context use`, or give --upstream"#
    );
}

#[test]
fn a_context_with_certificates_is_refused() {
    let files = [
        META,
        ("/home/me/.docker/contexts/tls/7692c3/docker/ca.pem", "-"),
    ];
    let error = found(&environment(&[("DOCKER_CONTEXT", "one")], &files, &[])).unwrap_err();
    assert!(error.contains("does not speak TLS yet"), "{error}");
    assert!(error.contains("contexts/tls/7692c3/docker"), "{error}");
}

#[test]
fn a_broken_configuration_is_not_passed_over() {
    let error = found(&environment(&[], &[(CONFIG, "{")], &[])).unwrap_err();
    assert!(
        error.starts_with(
            "cannot tell which docker context is in effect: /home/me/.docker/config.json EOF"
        ),
        "{error}"
    );
}

#[test]
fn tls_variables_are_refused_for_tcp_only() {
    let tls = ("DOCKER_TLS_VERIFY", "1");
    let tcp = environment(&[("DOCKER_HOST", "tcp://10.0.0.1:2376"), tls], &[], &[]);
    let error = found(&tcp).unwrap_err();
    assert!(
        error.starts_with("DOCKER_TLS_VERIFY is set for the daemon at tcp://10.0.0.1:2376"),
        "{error}"
    );
    let unix = environment(&[("DOCKER_HOST", "unix:///h.sock"), tls], &[], &[]);
    assert_eq!(found(&unix), engine_at("unix:///h.sock"));
}

#[test]
fn docker_host_in_dockers_short_forms() {
    // What the docker CLI connects to for each, version 28.2.
    for (host, address) in [
        ("unix://", "unix:///var/run/docker.sock"),
        ("tcp://", "tcp://localhost:2375"),
        ("tcp://127.0.0.1", "tcp://127.0.0.1:2375"),
        ("127.0.0.1:1", "tcp://127.0.0.1:1"),
        (":5", "tcp://localhost:5"),
        ("localhost", "tcp://localhost:2375"),
        ("tcp://[::1]:5", "tcp://[::1]:5"),
    ] {
        assert_eq!(
            found(&environment(&[("DOCKER_HOST", host)], &[], &[])),
            engine_at(address),
            "{host}"
        );
    }
}

#[test]
fn unusable_docker_host_is_an_error_with_a_way_out() {
    let error = found(&environment(&[("DOCKER_HOST", "ssh://me@host")], &[], &[])).unwrap_err();
    assert!(
        error.starts_with("DOCKER_HOST is set, but ssh://me@host cannot be tapped directly: run buildtap on that machine"),
        "{error}"
    );
}

#[test]
fn both_daemons_are_found() {
    let sockets = [
        ("/var/run/docker.sock", Probe::Live),
        ("/run/user/1000/buildkit/buildkitd.sock", Probe::Live),
    ];
    assert_eq!(
        found(&environment(&[], &[], &sockets)).unwrap(),
        [
            (Role::Engine, "unix:///var/run/docker.sock".to_owned()),
            (
                Role::Buildkit,
                "unix:///run/user/1000/buildkit/buildkitd.sock".to_owned()
            ),
        ]
    );
}

#[test]
fn buildkit_alone_is_enough() {
    let variables = [("BUILDKIT_HOST", "tcp://127.0.0.1:1234")];
    assert_eq!(
        found(&environment(&variables, &[], &[])).unwrap(),
        [(Role::Buildkit, "tcp://127.0.0.1:1234".to_owned())]
    );
}

#[test]
fn buildkit_inside_the_engine_is_left_to_the_engine() {
    let variables = [
        ("DOCKER_HOST", "unix:///h.sock"),
        ("BUILDKIT_HOST", "docker-container://buildkitd"),
    ];
    let upstreams = resolve(&environment(&variables, &[], &[]), None).unwrap();
    assert_eq!(upstreams.found.len(), 1);
    assert!(
        upstreams.skipped[0].contains("Tap the engine's socket"),
        "{:?}",
        upstreams.skipped
    );
}

#[test]
fn nothing_found_lists_what_was_tried() {
    let sockets = [
        (
            "/var/run/docker.sock",
            Probe::Failed(io::ErrorKind::PermissionDenied),
        ),
        (
            "/xdg/docker.sock",
            Probe::Failed(io::ErrorKind::ConnectionRefused),
        ),
    ];
    let environment = environment(&[("XDG_RUNTIME_DIR", "/xdg")], &[], &sockets);
    assert_eq!(
        found(&environment).unwrap_err(),
        "found no daemon to talk to. Tried:
  DOCKER_HOST: not set
  docker context: the default one
  /var/run/docker.sock: exists, but you may not connect to it
  /xdg/docker.sock: exists, but nobody listens on it
  BUILDKIT_HOST: not set
  /run/buildkit/buildkitd.sock: no such socket
  /xdg/buildkit/buildkitd.sock: no such socket
Start one, or name it with --upstream, as in --upstream unix:///path/to/docker.sock"
    );
}

#[test]
fn a_named_upstream_is_the_only_one() {
    let variables = [("DOCKER_HOST", "ssh://unusable")];
    let environment = environment(&variables, &[], &[]);
    for (address, role) in [
        ("unix:///var/run/docker.sock", Role::Engine),
        ("unix:///run/user/1000/podman/podman.sock", Role::Engine),
        ("unix:///run/buildkit/buildkitd.sock", Role::Buildkit),
        ("tcp://127.0.0.1:1234", Role::Buildkit),
        ("tcp://127.0.0.1:2375", Role::Engine),
        ("tcp://127.0.0.1:9999", Role::Either),
    ] {
        let upstreams = resolve(&environment, Some(&address.parse().unwrap())).unwrap();
        let roles: Vec<_> = upstreams.found.iter().map(|found| found.role).collect();
        assert_eq!(roles, [role], "{address}");
    }
}

#[test]
fn clients_are_led_by_variables() {
    let address: Address = "unix:///tap.sock".parse().unwrap();
    let mut changes = EnvironmentChanges::default();
    Role::Buildkit.lead_to(&address, &mut changes);
    assert_eq!(
        changes.set,
        [("BUILDKIT_HOST", "unix:///tap.sock".to_owned())]
    );
    assert!(changes.remove.is_empty());
    Role::Engine.lead_to(&address, &mut changes);
    assert_eq!(
        changes.set[1],
        ("DOCKER_HOST", "unix:///tap.sock".to_owned())
    );
    assert!(changes.remove.contains(&"DOCKER_CONTEXT"));
}
