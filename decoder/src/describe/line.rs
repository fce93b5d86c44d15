//! One line for a log, of a message as [`values`](super::values) wrote it: what is secret is
//! masked there already.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json};

use super::MAX_LINE;
use super::packet;
use super::printable::printable;
use crate::protocol::grpc_status::short_digest;

/// What is said of a message of no bytes.
pub(super) const EMPTY: &str = "(empty)";
/// Longest value of one field, in characters.
const MAX_VALUE: usize = 72;
/// Longest name of a step, in characters.
const MAX_NAME: usize = 48;
/// How many of many things are named.
const MAX_NAMED: usize = 6;
/// How much of a line is put together, in bytes: more than is ever shown.
const ENOUGH: usize = 1 << 10;

/// What `message`, of the type `name`, says.
pub(super) fn line(name: &str, message: &Json) -> String {
    let m = Fields(message);
    let mut line = Line::default();
    match name {
        "moby.buildkit.v1.SolveRequest" => {
            line.fields(m, &["Ref=ref", "Session=session", "Frontend=frontend"]);
            line.list("exporters", m.items("Exporters").map(|e| e.text("Type")));
            line.list(
                "cache-to",
                m.at("Cache").items("Exports").map(|e| e.text("Type")),
            );
            line.list(
                "cache-from",
                m.at("Cache").items("Imports").map(|e| e.text("Type")),
            );
            line.graph(m.at("Definition"));
            line.options(m.at("FrontendAttrs"));
        }
        "moby.buildkit.v1.frontend.SolveRequest" => {
            line.fields(
                m,
                &["Frontend=frontend", "Evaluate=evaluate", "Final=final"],
            );
            line.graph(m.at("Definition"));
            line.options(m.at("FrontendOpt"));
            line.list("inputs", m.at("FrontendInputs").keys());
        }
        "moby.buildkit.v1.SolveResponse" => {
            let response = m.at("ExporterResponse");
            if let Some(digest) = response.text("containerimage.digest") {
                line.pair("containerimage.digest", &digest);
            }
            line.list("keys", response.keys());
        }
        "moby.buildkit.v1.frontend.SolveResponse" => {
            line.fields(m, &["ref"]);
            let result = m.at("result");
            line.fields(result.at("ref"), &["id=ref"]);
            line.list("refs", result.at("refs").at("refs").keys());
            line.list("metadata", result.at("metadata").keys());
        }
        "moby.buildkit.v1.frontend.ReturnRequest" => {
            line.status(m.at("error"));
            let result = m.at("result");
            line.fields(result.at("ref"), &["id=ref"]);
            line.list("refs", result.at("refs").at("refs").keys());
            line.list("metadata", result.at("metadata").keys());
        }
        "moby.buildkit.v1.StatusResponse" => line.progress(m),
        "moby.buildkit.v1.frontend.ResolveImageConfigRequest" => {
            line.fields(m, &["Ref=ref", "ResolveMode=mode", "LogName=log"]);
            line.platform(m.at("Platform"));
        }
        "moby.buildkit.v1.frontend.ResolveSourceMetaRequest" => {
            line.fields(m.at("Source"), &["identifier"]);
            line.fields(m, &["ResolveMode=mode", "LogName=log"]);
            line.platform(m.at("Platform"));
        }
        "moby.buildkit.v1.frontend.ResolveImageConfigResponse" => {
            line.fields(m, &["Ref=ref", "Digest=digest"]);
            line.sizes(m, &["Config=config"]);
        }
        "moby.buildkit.v1.frontend.ResolveSourceMetaResponse" => {
            line.fields(m.at("Source"), &["identifier"]);
            line.fields(m.at("Image"), &["Digest=digest"]);
            line.fields(m.at("Git"), &["Checksum=commit", "Ref=ref"]);
            line.fields(m.at("HTTP"), &["Checksum=checksum", "Filename=file"]);
        }
        "moby.buildkit.v1.frontend.ReadFileRequest" => {
            line.fields(m, &["FilePath=path", "Ref=ref"]);
            line.fields(m.at("Range"), &["Offset=offset", "Length=length"]);
        }
        "moby.buildkit.v1.frontend.ReadDirRequest" => {
            line.fields(m, &["DirPath=path", "IncludePattern=include", "Ref=ref"]);
        }
        "moby.buildkit.v1.frontend.StatFileRequest" => line.fields(m, &["Path=path", "Ref=ref"]),
        "moby.buildkit.v1.frontend.ReadDirResponse" => {
            line.counted(m.items("entries").count(), "entry", "entries");
            line.names(m.items("entries").map(|entry| entry.text("path")));
        }
        "moby.buildkit.v1.frontend.PongResponse" => {
            line.counted(
                m.items("FrontendAPICaps").count(),
                "frontend cap",
                "frontend caps",
            );
            line.counted(m.items("LLBCaps").count(), "LLB cap", "LLB caps");
            line.counted(m.items("Workers").count(), "worker", "workers");
        }
        "moby.buildkit.v1.ListWorkersResponse" => {
            line.counted(m.items("record").count(), "worker", "workers");
            line.names(m.items("record").map(|worker| {
                let version = worker.at("BuildkitVersion").text("version");
                let id = worker.text("ID")?;
                Some(version.map_or(id.clone(), |version| format!("{id} ({version})")))
            }));
        }
        "moby.buildkit.v1.InfoResponse" => {
            let version = m.at("buildkitVersion");
            line.fields(
                version,
                &[
                    "version",
                    "revision",
                    "package",
                    "dockerfileVersion=dockerfile",
                ],
            );
        }
        "moby.buildkit.v1.DiskUsageResponse" => {
            line.counted(m.items("record").count(), "record", "records");
        }
        "moby.buildkit.v1.BuildHistoryEvent" => {
            line.fields(m, &["type"]);
            line.fields(m.at("record"), &["Ref=ref", "Frontend=frontend"]);
            line.status(m.at("record").at("error"));
        }
        "moby.buildkit.secrets.v1.GetSecretRequest" | "moby.sshforward.v1.CheckAgentRequest" => {
            line.fields(m, &["ID=id"]);
        }
        "moby.buildkit.secrets.v1.GetSecretResponse" => line.bare(m, "data"),
        "moby.buildkit.v1.BytesMessage"
        | "moby.filesync.v1.BytesMessage"
        | "moby.upload.v1.BytesMessage"
        | "moby.sshforward.v1.BytesMessage" => line.bare(m, "data"),
        "moby.filesync.v1.CredentialsRequest" => line.fields(m, &["Host=host"]),
        "moby.filesync.v1.CredentialsResponse" => {
            line.fields(m, &["Username=username", "Secret=secret"]);
        }
        "moby.filesync.v1.FetchTokenRequest" => {
            line.fields(m, &["Host=host"]);
            line.list("scopes", m.strings("Scopes"));
            line.fields(m, &["Service=service", "Realm=realm", "ClientID=client"]);
        }
        "moby.filesync.v1.FetchTokenResponse" => {
            line.fields(m, &["Token=token", "ExpiresIn=expires_in"]);
        }
        "moby.filesync.v1.GetTokenAuthorityRequest"
        | "moby.filesync.v1.VerifyTokenAuthorityRequest" => {
            line.fields(m, &["Host=host", "Payload=payload", "Salt=salt"]);
        }
        "moby.filesync.v1.GetTokenAuthorityResponse" => line.sizes(m, &["PublicKey=public key"]),
        "moby.filesync.v1.VerifyTokenAuthorityResponse" => line.fields(m, &["Signed=signed"]),
        "grpc.health.v1.HealthCheckResponse" => line.bare(m, "status"),
        "google.rpc.Status" => line.status(m),
        "fsutil.types.Packet" => line.push(&packet::packet(&packet::from_json(message))),
        "containerd.services.content.v1.InfoResponse"
        | "containerd.services.content.v1.UpdateRequest"
        | "containerd.services.content.v1.UpdateResponse" => {
            line.fields(m.at("info"), &["digest", "size"]);
        }
        "containerd.services.content.v1.StatusResponse" => {
            line.fields(m.at("status"), &["ref", "offset", "total", "expected"]);
        }
        "containerd.services.content.v1.ReadContentResponse"
        | "containerd.services.content.v1.WriteContentRequest"
        | "containerd.services.content.v1.WriteContentResponse" => {
            line.fields(
                m,
                &["action", "digest", "ref", "expected", "offset", "total"],
            );
            line.sizes(m, &["data"]);
        }
        "opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest" => line.spans(m),
        _ => line.anything(m),
    }
    if line.0.is_empty() {
        line.anything(m);
    }
    if let Some(unknown) = m.text("_unknown") {
        line.push(&format!("unknown fields {unknown}"));
    }
    match line.0.is_empty() {
        true => EMPTY.to_owned(),
        false => line.0,
    }
}

/// A message inside the JSON; one that is not there has no fields.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a Json);

impl<'a> Fields<'a> {
    fn members(self) -> Option<&'a Map<String, Json>> {
        self.0.as_object()
    }

    fn at(self, name: &str) -> Fields<'a> {
        Fields(self.0.get(name).unwrap_or(&Json::Null))
    }

    fn text(self, name: &str) -> Option<String> {
        scalar(self.0.get(name)?)
    }

    fn items(self, name: &str) -> impl Iterator<Item = Fields<'a>> {
        let list = self.0.get(name).and_then(Json::as_array);
        list.into_iter().flatten().map(Fields)
    }

    fn strings(self, name: &str) -> impl Iterator<Item = Option<String>> {
        self.items(name).map(|item| scalar(item.0))
    }

    fn keys(self) -> impl Iterator<Item = Option<String>> {
        let keys = self.members().into_iter().flat_map(Map::keys);
        keys.map(|key| Some(key.clone()))
    }
}

/// A value that is not made of others, as text.
fn scalar(json: &Json) -> Option<String> {
    Some(match json {
        Json::String(text) => short(&shorten_digest(text), MAX_VALUE),
        Json::Number(number) => number.to_string(),
        Json::Bool(value) => value.to_string(),
        Json::Object(members) => match members.get("bytes")?.as_u64()? {
            bytes if members.len() <= 2 => size(bytes),
            _ => return None,
        },
        Json::Null | Json::Array(_) => return None,
    })
}

pub(super) fn shorten_digest(text: &str) -> String {
    match text.strip_prefix("sha256:") {
        Some(hex) if hex.len() == 64 && hex.chars().all(|c| c.is_ascii_hexdigit()) => {
            short_digest(text)
        }
        _ => text.to_owned(),
    }
}

/// A line in the making.
#[derive(Default)]
struct Line(String);

impl Line {
    fn push(&mut self, part: &str) {
        if part.is_empty() || self.0.len() > ENOUGH {
            return;
        }
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        self.0.push_str(part);
    }

    fn pair(&mut self, name: &str, value: &str) {
        // What has spaces in it needs its ends marked; a mask does not.
        match value.contains(char::is_whitespace) && !value.starts_with("***") {
            true => self.push(&format!("{name}=\"{value}\"")),
            false => self.push(&format!("{name}={value}")),
        }
    }

    /// Fields that are there, each as `field` or `field=name`.
    fn fields(&mut self, of: Fields<'_>, fields: &[&str]) {
        for field in fields {
            let (field, name) = field.split_once('=').unwrap_or((field, field));
            if let Some(value) = of.text(field).filter(|value| !value.is_empty()) {
                self.pair(name, &value);
            }
        }
    }

    /// How long fields are, whatever they are shown as.
    fn sizes(&mut self, of: Fields<'_>, fields: &[&str]) {
        for field in fields {
            let (field, name) = field.split_once('=').unwrap_or((field, field));
            match of.0.get(field) {
                Some(Json::String(text)) => {
                    self.push(&format!("{name} of {}", size(text.len() as u64)));
                }
                Some(Json::Object(members)) if members.len() <= 2 => {
                    if let Some(bytes) = members.get("bytes").and_then(Json::as_u64) {
                        self.push(&format!("{name} of {}", size(bytes)));
                    }
                }
                Some(Json::Object(_)) => self.push(&format!("{name} in JSON")),
                _ => {}
            }
        }
    }

    /// A field's value without its name; `masked` and the length for a masked one.
    fn bare(&mut self, of: Fields<'_>, field: &str) {
        let Some(value) = of.text(field) else {
            return;
        };
        let length = value
            .strip_prefix("*** (")
            .and_then(|length| length.strip_suffix(')'));
        match length {
            Some(length) => self.push(&format!("{length}, masked")),
            None => self.push(&value),
        }
    }

    /// `name=a,b,c`, if there are any.
    fn list(&mut self, name: &str, items: impl Iterator<Item = Option<String>>) {
        let list = join(items, ",");
        if !list.is_empty() {
            self.push(&format!("{name}={list}"));
        }
    }

    /// `2 vertexes`, if there are any, with a comma to what is there before.
    fn counted(&mut self, count: usize, one: &str, many: &str) {
        if count == 0 {
            return;
        }
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.push(&format!("{count} {}", if count == 1 { one } else { many }));
    }

    /// `: a, b`, if there are any.
    fn names(&mut self, names: impl Iterator<Item = Option<String>>) {
        let names = join(names, ", ");
        if !names.is_empty() {
            _ = write!(self.0, ": {names}");
        }
    }

    /// How large a build graph is, which is shown as lines.
    fn graph(&mut self, definition: Fields<'_>) {
        let ops = definition.0.as_array().map_or(0, Vec::len);
        if ops > 0 {
            self.push(&format!(
                "llb={ops} {}",
                if ops == 1 { "op" } else { "ops" }
            ));
        }
    }

    /// Options of a frontend: those that say what is built, then the others by name.
    fn options(&mut self, options: Fields<'_>) {
        const FIRST: [&str; 6] = [
            "source",
            "cmdline",
            "filename",
            "target",
            "platform",
            "requestid",
        ];
        self.fields(options, &FIRST);
        let others = options.keys().flatten();
        let others = others.filter(|name| !FIRST.contains(&name.as_str()));
        self.list("opts", others.map(Some));
    }

    fn platform(&mut self, platform: Fields<'_>) {
        let parts = ["OS", "Architecture", "Variant"].map(|part| platform.text(part));
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if !parts.is_empty() {
            self.pair("platform", &parts.join("/"));
        }
    }

    fn status(&mut self, status: Fields<'_>) {
        let Some(code) = status.text("name").or_else(|| status.text("code")) else {
            return;
        };
        self.push(&code);
        if let Some(message) = status.text("message").filter(|text| !text.is_empty()) {
            self.push(&message);
        }
    }

    /// The progress of a build.
    fn progress(&mut self, m: Fields<'_>) {
        for (field, one, many) in [
            ("vertexes", "vertex", "vertexes"),
            ("statuses", "status", "statuses"),
            ("logs", "log", "logs"),
            ("warnings", "warning", "warnings"),
        ] {
            self.counted(m.items(field).count(), one, many);
        }
        if m.items("vertexes").next().is_some() {
            self.names(m.items("vertexes").map(|vertex| {
                let name = vertex.text("name").or_else(|| vertex.text("digest"))?;
                let state = match () {
                    () if vertex.text("error").is_some() => " ERROR",
                    () if vertex.text("cached").is_some() => " CACHED",
                    () if vertex.text("completed").is_some() => " done",
                    () if vertex.text("started").is_some() => " started",
                    () => "",
                };
                Some(format!("{}{state}", short(&name, MAX_NAME)))
            }));
        } else if m.items("logs").next().is_some() {
            self.names(m.items("logs").map(|log| {
                let text = log.text("msg")?;
                Some(text.trim().to_owned())
            }));
        } else if m.items("warnings").next().is_some() {
            self.names(m.items("warnings").map(|warning| warning.text("short")));
        } else {
            self.names(m.items("statuses").map(|status| {
                let name = status.text("name").or_else(|| status.text("ID"))?;
                let name = short(&name, MAX_NAME);
                let number = |field| status.0.get(field).and_then(Json::as_u64);
                Some(match (number("current"), number("total")) {
                    (current, Some(total)) => {
                        format!("{name} {}/{}", size(current.unwrap_or(0)), size(total))
                    }
                    (Some(current), None) => format!("{name} {}", size(current)),
                    (None, None) => name,
                })
            }));
        }
    }

    /// The names of the spans that are exported.
    fn spans(&mut self, m: Fields<'_>) {
        let spans: Vec<Fields<'_>> = m
            .items("resource_spans")
            .flat_map(|resource| resource.items("scope_spans"))
            .flat_map(|scope| scope.items("spans"))
            .collect();
        self.counted(spans.len(), "span", "spans");
        self.names(spans.into_iter().map(|span| span.text("name")));
    }

    /// Of a message about which nothing is known: its scalar fields, then how many of what else.
    fn anything(&mut self, m: Fields<'_>) {
        let Some(members) = m.members() else {
            if let Some(value) = scalar(m.0) {
                self.push(&value);
            }
            return;
        };
        let fields = || members.iter().filter(|(name, _)| !name.starts_with('_'));
        for (name, value) in fields() {
            if let Some(value) = scalar(value) {
                self.pair(name, &value);
            }
        }
        for (name, value) in fields().filter(|(_, value)| scalar(value).is_none()) {
            match value {
                Json::Array(list) => self.push(&format!("{name}[{}]", list.len())),
                Json::Object(members) => self.push(&format!("{name}{{{}}}", members.len())),
                _ => {}
            }
        }
    }
}

/// The first few items, and how many more there are.
fn join(items: impl Iterator<Item = Option<String>>, separator: &str) -> String {
    let mut items = items.flatten().filter(|item| !item.is_empty());
    let mut all: Vec<String> = items.by_ref().take(MAX_NAMED).collect();
    let more = items.count();
    if more > 0 {
        all.push(format!("{more} more"));
    }
    all.join(separator)
}

/// Bytes for people: `12 bytes`, `1.2 KiB`, `32 KiB`.
pub fn size(bytes: u64) -> String {
    let mut unit = "";
    let mut tenths = u128::from(bytes).saturating_mul(10);
    for next in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        if tenths < 10_240 {
            break;
        }
        tenths = tenths.div_euclid(1024);
        unit = next;
    }
    let (whole, tenth) = (tenths.div_euclid(10), tenths.rem_euclid(10));
    match (unit, whole, tenth) {
        ("", 1, _) => "1 byte".to_owned(),
        ("", ..) => format!("{whole} bytes"),
        (_, _, 0) | (_, 100.., _) => format!("{whole} {unit}"),
        _ => format!("{whole}.{tenth} {unit}"),
    }
}

/// The beginning of `text`, of `limit` characters at most.
pub(super) fn short(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some((end, _)) => {
            let mut start = text.get(..end).unwrap_or_default().to_owned();
            start.pop();
            start.push('…');
            start
        }
    }
}

/// One line of at most [`MAX_LINE`] characters that cannot disturb a terminal. `cut` is said at
/// its end.
pub(super) fn finish(line: &str, cut: bool) -> String {
    let mut words = String::new();
    for word in line.split_whitespace() {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(word);
    }
    let remark = if cut { " (cut)" } else { "" };
    let room = MAX_LINE.saturating_sub(remark.len());
    let mut line = short(&printable(&words), room);
    line.push_str(remark);
    line
}
