//! docker's contexts: named daemons that the docker CLI keeps in files.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::UpstreamError;
use super::environment::Environment;

/// The context that stands for "no context": the default socket.
const DEFAULT: &str = "default";

/// `config.json`, as far as it matters here.
#[derive(Deserialize)]
struct Config {
    #[serde(default, rename = "currentContext")]
    current_context: String,
}

/// `contexts/meta/ID/meta.json`, as far as it matters here.
#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "Name")]
    name: String,
    #[serde(default, rename = "Endpoints")]
    endpoints: Endpoints,
}

#[derive(Default, Deserialize)]
struct Endpoints {
    docker: Option<Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(default, rename = "Host")]
    host: String,
}

/// The daemon of the context in effect.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) name: String,
    /// What chose it: `DOCKER_CONTEXT`, or the path of the configuration.
    pub(super) chosen_by: String,
    /// The address, as written.
    pub(super) host: String,
}

/// The context that docker would use, unless it is the default one: `DOCKER_CONTEXT`, else
/// `currentContext` of the configuration. That `DOCKER_HOST` comes before either is for the
/// caller to know.
pub(super) fn in_effect(environment: &Environment) -> Result<Option<Context>, UpstreamError> {
    let Some(directory) = config_directory(environment) else {
        return Ok(None);
    };
    let (name, chosen_by) = match environment.variable("DOCKER_CONTEXT") {
        Some(name) => (name.to_owned(), "DOCKER_CONTEXT".to_owned()),
        None => {
            let path = directory.join("config.json");
            (
                current_context(environment, &path)?,
                path.display().to_string(),
            )
        }
    };
    if name.is_empty() || name == DEFAULT {
        return Ok(None);
    }
    let mut known = Vec::new();
    // docker names the directory by a digest of the name, and finds a context either way.
    for path in environment
        .system
        .list(&directory.join("contexts/meta"))
        .unwrap_or_default()
    {
        let Some(meta) = read_meta(environment, &path) else {
            continue;
        };
        if meta.name != name {
            known.push(meta.name);
            continue;
        }
        if let Some(id) = path.file_name() {
            let material = directory.join("contexts/tls").join(id).join("docker");
            let list = environment.system.list(&material).unwrap_or_default();
            if !list.is_empty() {
                return Err(UpstreamError::Tls {
                    reason: format!(
                        "the docker context {name:?} has certificates in {}",
                        material.display()
                    ),
                });
            }
        }
        let host = meta
            .endpoints
            .docker
            .unwrap_or(Endpoint {
                host: String::new(),
            })
            .host;
        return Ok(Some(Context {
            name,
            chosen_by,
            host,
        }));
    }
    known.sort_unstable();
    Err(UpstreamError::NoSuchContext {
        name,
        chosen_by,
        known,
    })
}

fn config_directory(environment: &Environment) -> Option<PathBuf> {
    match environment.variable("DOCKER_CONFIG") {
        Some(directory) => Some(directory.into()),
        None => Some(environment.home.as_ref()?.join(".docker")),
    }
}

/// Empty if the configuration names none. docker itself goes on with a warning if the file
/// cannot be parsed; that would silently be another daemon than the user chose.
fn current_context(environment: &Environment, path: &Path) -> Result<String, UpstreamError> {
    let unreadable = |reason: String| UpstreamError::Config {
        path: path.to_owned(),
        reason,
    };
    match environment.system.read(path) {
        Ok(text) => serde_json::from_str::<Config>(&text)
            .map(|config| config.current_context)
            .map_err(|e| unreadable(e.to_string())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(e) => Err(unreadable(e.to_string())),
    }
}

fn read_meta(environment: &Environment, directory: &Path) -> Option<Meta> {
    let text = environment.system.read(&directory.join("meta.json")).ok()?;
    serde_json::from_str(&text).ok()
}
