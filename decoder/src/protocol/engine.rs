//! The requests of the Docker Engine API that matter for a build, as far as they can be told
//! from a request's method, target, header fields and JSON bodies (Moby
//! `api/server/router/build`, `session`, `grpc`, `container`).

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde_json::Value;

/// A request's target: which version of the API it asks for, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Major and minor version of the API, if the path names one: `/v1.47/…`.
    pub api_version: Option<(u16, u16)>,
    /// What is asked for.
    pub route: Route,
}

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `GET` or `HEAD /_ping`: which version the daemon speaks, see [`Versions::from_ping`].
    Ping,
    /// `GET /version`, see [`Versions::from_body`].
    Version,
    /// `POST /session`: the connection becomes a session, with the daemon as the caller.
    Session,
    /// `POST /grpc`: the connection becomes HTTP/2, with the client as the caller.
    Grpc,
    /// `POST /build`.
    Build(Box<BuildQuery>),
    /// `POST /build/cancel`.
    BuildCancel {
        /// The `buildid` of the build; empty when missing, which the daemon refuses.
        id: String,
    },
    /// `POST /images/load`: where an image that was built elsewhere goes.
    ImagesLoad,
    /// `POST /containers/{container}/exec`, see [`Exec::from_body`].
    ExecCreate {
        /// The id or name of the container.
        container: String,
    },
    /// `POST /exec/{id}/start`, see [`Exec::from_body`].
    ExecStart {
        /// The id that creating it gave.
        id: String,
    },
    /// Anything else.
    Other,
}

impl Target {
    /// Reads the method and target of a request line. An absolute target (`http://host/path`) is
    /// taken as its path.
    pub fn parse(method: &str, target: &str) -> Target {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = match path.split_once("://") {
            Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
            None => path,
        };
        let (api_version, path) = strip_version(path);
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let route = match (method, segments.as_slice()) {
            ("GET" | "HEAD", ["_ping"]) => Route::Ping,
            ("GET", ["version"]) => Route::Version,
            ("POST", ["session"]) => Route::Session,
            ("POST", ["grpc"]) => Route::Grpc,
            ("POST", ["build"]) => Route::Build(Box::new(BuildQuery::parse(query))),
            ("POST", ["build", "cancel"]) => Route::BuildCancel {
                id: pairs(query)
                    .find(|(name, _)| name == "id")
                    .map(|(_, id)| id)
                    .unwrap_or_default(),
            },
            ("POST", ["images", "load"]) => Route::ImagesLoad,
            ("POST", ["containers", container, "exec"]) => Route::ExecCreate {
                container: percent_decode_str(container)
                    .decode_utf8_lossy()
                    .into_owned(),
            },
            ("POST", ["exec", id, "start"]) => Route::ExecStart {
                id: percent_decode_str(id).decode_utf8_lossy().into_owned(),
            },
            _ => Route::Other,
        };
        Target { api_version, route }
    }
}

/// Takes `/v1.47` off the front of a path.
fn strip_version(path: &str) -> (Option<(u16, u16)>, &str) {
    let version = || {
        let rest = path.strip_prefix("/v")?;
        let (version, _) = rest.split_once('/')?;
        let (major, minor) = version.split_once('.')?;
        let path = rest.get(version.len()..)?;
        Some(((major.parse().ok()?, minor.parse().ok()?), path))
    };
    match version() {
        Some((version, path)) => (Some(version), path),
        None => (None, path),
    }
}

/// Whether a target may be one half of a build whose context comes in a second request: without
/// reading its query.
pub fn is_upload_request(target: &str) -> bool {
    target.contains("upload-request")
}

/// The decoded pairs of a query.
fn pairs(query: &str) -> impl Iterator<Item = (String, String)> + '_ {
    form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
}

/// What `POST /build` is asked to build. Values are as sent, secrets included: show them through
/// [`mask`](super::mask).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildQuery {
    /// Which builder: `1` is the classic one, `2` BuildKit. The daemon's default if absent.
    pub version: Option<String>,
    /// The session that the build may call back on.
    pub session: Option<String>,
    /// The id by which the build can be cancelled, or `upload-request:<id>` for the request that
    /// only carries the context.
    pub build_id: Option<String>,
    /// Where the context comes from.
    pub remote: Remote,
    /// Path of the Dockerfile in the context.
    pub dockerfile: Option<String>,
    /// Names for the image.
    pub tags: Vec<String>,
    /// The exporters that are asked for; None without the parameter.
    pub outputs: Option<Vec<Output>>,
    /// The stage to build.
    pub target: Option<String>,
    /// The platform to build for.
    pub platform: Option<String>,
    /// Build arguments; those without a value are taken from the daemon's environment.
    pub build_args: BTreeMap<String, Option<String>>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// Images to use as cache.
    pub cache_from: Vec<String>,
    /// The network of `RUN` instructions.
    pub network_mode: Option<String>,
    /// Whether the cache is ignored.
    pub no_cache: bool,
    /// Whether base images are looked up even if present.
    pub pull: bool,
    /// Whether nothing is reported until the end.
    pub quiet: bool,
    /// The other parameters, in the order sent.
    pub other: Vec<(String, String)>,
}

/// Where the context of a build comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Remote {
    /// The body of the request is the context, as a tar archive.
    #[default]
    Body,
    /// The session: `FileSync` calls for `context` and `dockerfile`.
    ClientSession,
    /// The body of a second `POST /build`, with the build id `upload-request:<build_id>`.
    UploadRequest,
    /// A Git repository or an archive, which the daemon fetches.
    Url(String),
}

/// One element of the `outputs` parameter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// The exporter: `local`, `tar`, `oci`, `docker`, `image`, `moby`, or `cacheonly` for none.
    pub exporter: String,
    /// Its options.
    pub attrs: BTreeMap<String, String>,
}

impl BuildQuery {
    /// Reads the query of a target: what follows the `?`. Parameters that make no sense are read
    /// as if they were absent; of a repeated one the first counts, except for tags.
    pub fn parse(query: &str) -> BuildQuery {
        let mut build = BuildQuery::default();
        let mut seen = Vec::new();
        for (name, value) in pairs(query) {
            if name == "t" {
                build.tags.push(value);
                continue;
            }
            if seen.contains(&name) {
                continue;
            }
            let text = Some(value.clone()).filter(|value| !value.is_empty());
            match name.as_str() {
                "version" => build.version = text,
                "session" => build.session = text,
                "buildid" => build.build_id = text,
                "remote" => {
                    build.remote = match value.as_str() {
                        "" => Remote::Body,
                        "client-session" => Remote::ClientSession,
                        "upload-request" => Remote::UploadRequest,
                        _ => Remote::Url(value),
                    }
                }
                "dockerfile" => build.dockerfile = text,
                "outputs" => build.outputs = text.and_then(|json| outputs(&json)),
                "target" => build.target = text,
                "platform" => build.platform = text,
                "buildargs" => build.build_args = strings(&value),
                "labels" => {
                    build.labels = strings(&value)
                        .into_iter()
                        .map(|(name, value)| (name, value.unwrap_or_default()))
                        .collect();
                }
                "cachefrom" => build.cache_from = cache_from(&value),
                "networkmode" => build.network_mode = text,
                "nocache" => build.no_cache = boolean(&value),
                "pull" => build.pull = boolean(&value),
                "q" => build.quiet = boolean(&value),
                _ => {
                    build.other.push((name, value));
                    continue;
                }
            }
            seen.push(name);
        }
        build
    }

    /// Whether BuildKit is asked to build.
    pub fn is_buildkit(&self) -> bool {
        self.version.as_deref() == Some("2")
    }

    /// For the request that only uploads a context: the build id of the build that wants it.
    pub fn uploads_for(&self) -> Option<&str> {
        self.build_id.as_deref()?.strip_prefix("upload-request:")
    }

    /// The exporters of the solve that the daemon makes of this: without `outputs` the image goes
    /// into the engine (`moby`), and `cacheonly` is none. The position is the exporter id of
    /// `FileSend` calls.
    pub fn exporters(&self) -> Vec<&str> {
        match &self.outputs {
            None => vec!["moby"],
            Some(outputs) if outputs.is_empty() => vec!["moby"],
            Some(outputs) => outputs
                .iter()
                .map(|output| output.exporter.as_str())
                .filter(|exporter| *exporter != "cacheonly")
                .collect(),
        }
    }
}

/// A boolean as the daemon reads it (Moby `api/server/httputils/form.go`).
fn boolean(value: &str) -> bool {
    let value = value.trim().to_ascii_lowercase();
    !matches!(value.as_str(), "" | "0" | "no" | "false" | "none")
}

/// A JSON object with string or null values.
fn strings(json: &str) -> BTreeMap<String, Option<String>> {
    let Ok(Value::Object(object)) = serde_json::from_str(json) else {
        return BTreeMap::new();
    };
    object
        .into_iter()
        .map(|(name, value)| (name, plain(value)))
        .collect()
}

/// A JSON value as text; None for null.
fn plain(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

/// `cachefrom` as the classic builder gets it, a list of images. BuildKit clients send a list of
/// objects, of which the image is the `ref`.
fn cache_from(json: &str) -> Vec<String> {
    let Ok(Value::Array(list)) = serde_json::from_str(json) else {
        return Vec::new();
    };
    list.into_iter()
        .filter_map(|entry| match field(&entry, "Attrs") {
            Some(attrs) => field(attrs, "ref").cloned().and_then(plain),
            None => plain(entry),
        })
        .collect()
}

/// `outputs`: Go clients write `Type` and `Attrs`, bollard `type` and `attrs`.
fn outputs(json: &str) -> Option<Vec<Output>> {
    let list = match serde_json::from_str(json).ok()? {
        Value::Array(list) => list,
        object @ Value::Object(_) => vec![object],
        _ => return None,
    };
    let output = |value: &Value| {
        let attrs = match field(value, "Attrs") {
            Some(Value::Object(attrs)) => attrs.clone(),
            _ => serde_json::Map::new(),
        };
        Output {
            exporter: string(value, "Type").unwrap_or_default(),
            attrs: attrs
                .into_iter()
                .map(|(name, value)| (name, plain(value).unwrap_or_default()))
                .collect(),
        }
    };
    Some(list.iter().map(output).collect())
}

/// A member of a JSON object, as Go finds it: the exact name, else one that differs in case only.
fn field<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let object = value.as_object()?;
    object.get(name).or_else(|| {
        let mut members = object.iter();
        let found = members.find(|(given, _)| given.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    })
}

/// A member that is a non-empty string.
fn string(value: &Value, name: &str) -> Option<String> {
    let text = field(value, name)?.as_str()?;
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

/// What a request body says about an exec: of creating it (`Cmd`, `Tty`) or of starting it
/// (`Detach`, `Tty`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exec {
    /// The command and its arguments.
    pub cmd: Vec<String>,
    /// Whether there is a terminal. Without one the daemon frames the output, see
    /// [`stdcopy`](crate::wire::stdcopy).
    pub tty: bool,
    /// Whether it is started in the background, so that the connection is not taken over.
    pub detach: bool,
}

impl Exec {
    /// Reads the body of the request. None if it is not a JSON object.
    pub fn from_body(body: &[u8]) -> Option<Exec> {
        let body: Value = serde_json::from_slice(body).ok()?;
        body.as_object()?;
        let flag = |name| field(&body, name).and_then(Value::as_bool).unwrap_or(false);
        let cmd = field(&body, "Cmd").and_then(Value::as_array);
        Some(Exec {
            cmd: cmd
                .into_iter()
                .flatten()
                .map(|argument| argument.as_str().unwrap_or_default().to_owned())
                .collect(),
            tty: flag("Tty"),
            detach: flag("Detach"),
        })
    }

    /// Whether the exec becomes a connection to buildkitd: `buildctl dial-stdio`.
    pub fn is_dial_stdio(&self) -> bool {
        self.cmd.iter().any(|argument| argument == "dial-stdio")
    }

    /// The id in the response to creating an exec, by which it is started.
    pub fn created_id(body: &[u8]) -> Option<String> {
        string(&serde_json::from_slice(body).ok()?, "Id")
    }
}

/// What a daemon says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    /// The version of the engine: `28.5.1`.
    pub engine: Option<String>,
    /// The newest API version that it speaks: `1.51`.
    pub api: Option<String>,
    /// The oldest API version that it speaks.
    pub min_api: Option<String>,
    /// The builder that it prefers: `1` or `2`.
    pub builder: Option<String>,
    /// The `Server` header field: `Docker/28.5.1 (linux)`.
    pub server: Option<String>,
    /// The operating system of containers: `linux`.
    pub os: Option<String>,
    /// The architecture: `amd64`.
    pub arch: Option<String>,
    /// What the engine is made of, names and versions: `containerd`, `runc`.
    pub components: Vec<(String, String)>,
}

impl Versions {
    /// Reads the header fields of the response to `/_ping`; many other responses have them too.
    pub fn from_ping<N, V>(headers: impl IntoIterator<Item = (N, V)>) -> Versions
    where
        N: AsRef<str>,
        V: AsRef<[u8]>,
    {
        let mut versions = Versions::default();
        for (name, value) in headers {
            let place = match name.as_ref().to_ascii_lowercase().as_str() {
                "api-version" => &mut versions.api,
                "builder-version" => &mut versions.builder,
                "server" => &mut versions.server,
                "ostype" => &mut versions.os,
                _ => continue,
            };
            *place = Some(String::from_utf8_lossy(value.as_ref()).into_owned());
        }
        // `Docker/28.5.1 (linux)`
        versions.engine = versions
            .server
            .as_deref()
            .and_then(|server| server.strip_prefix("Docker/")?.split(' ').next())
            .map(str::to_owned);
        versions
    }

    /// Reads the body of the response to `/version`. None if it is not a JSON object.
    pub fn from_body(body: &[u8]) -> Option<Versions> {
        let body: Value = serde_json::from_slice(body).ok()?;
        body.as_object()?;
        let components = field(&body, "Components").and_then(Value::as_array);
        Some(Versions {
            engine: string(&body, "Version"),
            api: string(&body, "ApiVersion"),
            min_api: string(&body, "MinAPIVersion"),
            os: string(&body, "Os"),
            arch: string(&body, "Arch"),
            components: components
                .into_iter()
                .flatten()
                .filter_map(|component| {
                    Some((string(component, "Name")?, string(component, "Version")?))
                })
                .collect(),
            ..Versions::default()
        })
    }
}

/// The text of an error response, `{"message": "…"}`. None if the body is something else.
pub fn error_message(body: &[u8]) -> Option<String> {
    string(&serde_json::from_slice(body).ok()?, "message")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(method: &str, target: &str) -> Route {
        Target::parse(method, target).route
    }

    fn build(query: &str) -> BuildQuery {
        match route("POST", &format!("/v1.47/build?{query}")) {
            Route::Build(build) => *build,
            other => panic!("not a build: {other:?}"),
        }
    }

    #[test]
    fn routes() {
        let version = |target| Target::parse("GET", target).api_version;
        assert_eq!(version("/v1.47/version"), Some((1, 47)));
        assert_eq!(version("/version"), None);
        assert_eq!(version("/v1.x/version"), None);

        assert_eq!(route("HEAD", "/_ping"), Route::Ping);
        assert_eq!(route("GET", "/v1.24/version"), Route::Version);
        assert_eq!(route("POST", "/session"), Route::Session);
        assert_eq!(route("POST", "/v1.53/session"), Route::Session);
        assert_eq!(route("POST", "http://docker/v1.53/grpc"), Route::Grpc);
        assert_eq!(route("GET", "/grpc"), Route::Other);
        assert_eq!(
            route("POST", "/v1.47/images/load?quiet=1"),
            Route::ImagesLoad
        );
        assert_eq!(
            route("POST", "/v1.47/build/cancel?id=a%20b"),
            Route::BuildCancel { id: "a b".into() }
        );
        assert_eq!(
            route("POST", "/v1.47/containers/buildx_buildkit%5F0/exec"),
            Route::ExecCreate {
                container: "buildx_buildkit_0".into()
            }
        );
        assert_eq!(
            route("POST", "/v1.47/exec/00ff/start"),
            Route::ExecStart { id: "00ff".into() }
        );
        assert_eq!(route("POST", ""), Route::Other);
        assert_eq!(route("CONNECT", "d:1"), Route::Other);
    }

    #[test]
    fn a_build_of_the_docker_cli() {
        let build = build(
            "version=2&session=s1&buildid=b1&remote=client-session&dockerfile=Dockerfile&t=a:1&t=b&target=bin\
             &buildargs=%7B%22V%22%3A%221%22%2C%22HOST%22%3Anull%7D&labels=%7B%22l%22%3A%22x+y%22%7D\
             &cachefrom=%5B%22img%22%5D&nocache=1&pull=0&q=false&rm=1&networkmode=host&platform=linux%2Farm64\
             &outputs=%5B%7B%22Type%22%3A%22local%22%2C%22Attrs%22%3A%7B%22mode%22%3A%22delete%22%7D%7D%5D",
        );
        assert!(build.is_buildkit());
        assert_eq!(build.exporters(), ["local"]);
        assert_eq!(
            build,
            BuildQuery {
                version: Some("2".into()),
                session: Some("s1".into()),
                build_id: Some("b1".into()),
                remote: Remote::ClientSession,
                dockerfile: Some("Dockerfile".into()),
                tags: vec!["a:1".into(), "b".into()],
                outputs: Some(vec![Output {
                    exporter: "local".into(),
                    attrs: BTreeMap::from([("mode".into(), "delete".into())]),
                }]),
                target: Some("bin".into()),
                platform: Some("linux/arm64".into()),
                build_args: BTreeMap::from([("HOST".into(), None), ("V".into(), Some("1".into()))]),
                labels: BTreeMap::from([("l".into(), "x y".into())]),
                cache_from: vec!["img".into()],
                network_mode: Some("host".into()),
                no_cache: true,
                pull: false,
                quiet: false,
                other: vec![("rm".into(), "1".into())],
            }
        );
    }

    #[test]
    fn exporters() {
        assert_eq!(build("t=x").exporters(), ["moby"]);
        assert_eq!(build("outputs=").exporters(), ["moby"]);
        assert_eq!(build("outputs=%5B%5D").exporters(), ["moby"]);
        assert_eq!(build("outputs=nonsense").exporters(), ["moby"]);
        assert_eq!(build(r#"outputs=[{"type":"tar"}]"#).exporters(), ["tar"]);
        assert!(
            build(r#"outputs=[{"Type":"cacheonly"}]"#)
                .exporters()
                .is_empty()
        );
    }

    #[test]
    fn contexts() {
        assert_eq!(build("").remote, Remote::Body);
        let url = "https://github.com/x/y.git#main";
        assert_eq!(
            build("remote=https://github.com/x/y.git%23main").remote,
            Remote::Url(url.into())
        );
        let wants = build("remote=upload-request&buildid=7");
        let uploads = build("buildid=upload-request:7");
        assert_eq!(wants.remote, Remote::UploadRequest);
        assert_eq!(wants.uploads_for(), None);
        assert_eq!(uploads.uploads_for(), wants.build_id.as_deref());
        let cache = r#"cachefrom=[{"Type":"registry","Attrs":{"ref":"img"}}]"#;
        assert_eq!(build(cache).cache_from, ["img"]);
    }

    #[test]
    fn execs() {
        let create = br#"{"AttachStdin":true,"Cmd":["buildctl","dial-stdio"]}"#;
        let create = Exec::from_body(create).unwrap();
        assert!(create.is_dial_stdio() && !create.tty);
        let start = Exec::from_body(br#"{"detach":false,"tty":true}"#).unwrap();
        assert!(start.tty && !start.detach && !start.is_dial_stdio());
        assert_eq!(Exec::from_body(b""), None);
        assert_eq!(Exec::created_id(br#"{"Id":"00ff"}"#), Some("00ff".into()));
    }

    #[test]
    fn versions() {
        let ping = Versions::from_ping([
            ("Api-Version", "1.51"),
            ("Builder-Version", "2"),
            ("Ostype", "linux"),
            ("Server", "Docker/28.5.1 (linux)"),
        ]);
        assert_eq!(ping.engine.as_deref(), Some("28.5.1"));
        assert_eq!(ping.api.as_deref(), Some("1.51"));
        assert_eq!(ping.builder.as_deref(), Some("2"));
        let body = br#"{"Components":[{"Name":"runc","Version":"1.3.0"}],"Version":"28.5.1","ApiVersion":"1.51",
            "MinAPIVersion":"1.24","Os":"linux","Arch":"amd64"}"#;
        let body = Versions::from_body(body).unwrap();
        assert_eq!(body.components, [("runc".into(), "1.3.0".into())]);
        assert_eq!(body.min_api.as_deref(), Some("1.24"));
        assert_eq!(
            error_message(br#"{"message":"no upgrade proto in request"}"#).as_deref(),
            Some("no upgrade proto in request")
        );
        assert_eq!(error_message(b"page not found"), None);
    }
}
