//! How a gRPC call ended: the trailers `grpc-status`, `grpc-message` and
//! `grpc-status-details-bin`, and the typed errors that BuildKit puts into the last of them.
//!
//! BuildKit writes the details as JSON inside `google.protobuf.Any`, with type URLs that end in
//! `+json` (BuildKit `util/grpcerrors/grpcerrors.go`); protobuf is understood as well.

use std::fmt;

use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, Engine as _, GeneralPurpose, GeneralPurposeConfig};
use buildtap_proto::google::rpc;
use buildtap_proto::moby::buildkit::v1::frontend::ExitMessage;
use buildtap_proto::moby::buildkit::v1::sourcepolicy::policysession::DecisionResponse;
use buildtap_proto::{errdefs, pb, stack};
use percent_encoding::percent_decode;
use prost::Message;
use prost_reflect::{DeserializeOptions, DynamicMessage};

use super::llb;

/// Most details of one status that are kept.
pub const MAX_DETAILS: usize = 256;

/// The names of the status codes, by number (grpc `doc/statuscodes.md`).
pub(crate) const CODE_NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Padded or not: gRPC says that both must be accepted.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The name of a status code: `NOT_FOUND` of 5. None for numbers without a meaning.
pub fn code_name(code: u32) -> Option<&'static str> {
    CODE_NAMES.get(usize::try_from(code).ok()?).copied()
}

/// The text of a `grpc-message`, whose bytes outside printable ASCII are percent-encoded. What is
/// not UTF-8 is replaced.
pub fn decode_message(value: &[u8]) -> String {
    percent_decode(value).decode_utf8_lossy().into_owned()
}

/// How a call ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GrpcStatus {
    /// The status code; 0 is success. A value that is no number counts as 2, `UNKNOWN`.
    pub code: u32,
    /// What the callee says, not masked.
    pub message: String,
    /// What it says in types, in the order sent.
    pub details: Vec<Detail>,
}

impl GrpcStatus {
    /// Reads trailers, or the headers of a response that has nothing else. None without
    /// `grpc-status`. Details that cannot be decoded are left out.
    pub fn from_trailers<N, V>(trailers: impl IntoIterator<Item = (N, V)>) -> Option<Self>
    where
        N: AsRef<str>,
        V: AsRef<[u8]>,
    {
        let mut code = None;
        let mut status = GrpcStatus::default();
        for (name, value) in trailers {
            let value = value.as_ref();
            match name.as_ref().to_ascii_lowercase().as_str() {
                "grpc-status" => {
                    let digits = std::str::from_utf8(value).ok();
                    code = Some(digits.and_then(|digits| digits.parse().ok()).unwrap_or(2));
                }
                "grpc-message" => status.message = decode_message(value),
                "grpc-status-details-bin" => {
                    let Some(inner) = decode_details(value) else {
                        continue;
                    };
                    status.details = details(&inner);
                    if status.message.is_empty() {
                        status.message = inner.message;
                    }
                }
                _ => {}
            }
        }
        status.code = code?;
        Some(status)
    }

    /// The name of the code, or `code 99` for one without a name.
    pub fn code_name(&self) -> String {
        code_name(self.code).map_or_else(|| format!("code {}", self.code), str::to_owned)
    }
}

/// Decodes the value of `grpc-status-details-bin`: base64, padded or not, of an encoded
/// `google.rpc.Status`.
pub fn decode_details(value: &[u8]) -> Option<rpc::Status> {
    let bytes = BASE64.decode(value.trim_ascii()).ok()?;
    rpc::Status::decode(bytes.as_slice()).ok()
}

/// The details of a status, at most [`MAX_DETAILS`] of them.
pub fn details(status: &rpc::Status) -> Vec<Detail> {
    status
        .details
        .iter()
        .take(MAX_DETAILS)
        .map(|any| Detail::decode(&any.type_url, &any.value))
        .collect()
}

/// A typed error of BuildKit. Displays as one line for people.
#[derive(Clone, Debug, PartialEq)]
pub enum Detail {
    /// Where in the program the error arose; one for each process it passed through.
    Stack(stack::Stack),
    /// The vertex that failed.
    Vertex {
        /// Its digest.
        digest: String,
    },
    /// The place in the source that failed.
    Source {
        /// The name of the file: `Dockerfile`.
        file: String,
        /// First and last line of each range, from 1.
        ranges: Vec<(i32, i32)>,
        /// The text of the first line of the first range, if the file came along; not masked.
        text: Option<String>,
    },
    /// The operation that failed.
    Solve {
        /// What it does, in one line and masked, if it came along.
        op: Option<String>,
        /// For a file operation, which of its actions failed; from 0.
        file_action: Option<i64>,
        /// References to the inputs, for debugging in a container.
        input_ids: Vec<String>,
        /// References to the mounts, likewise.
        mount_ids: Vec<String>,
    },
    /// The frontend that failed.
    Frontend {
        /// Its name: `dockerfile.v0`, `gateway.v0`.
        name: String,
        /// The image it came from.
        source: String,
    },
    /// The frontend, or what it asked for, needs something that is not there.
    Unsupported {
        /// What kind of thing: `capability`, `subrequest`.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A command ended with this code.
    ExitCode(u32),
    /// A policy denied a source.
    Denied {
        /// The reasons.
        messages: Vec<String>,
    },
    /// Another type, or a known one that could not be decoded.
    Other {
        /// Its type URL.
        type_url: String,
        /// Its value: JSON text, or an encoded protobuf message.
        value: Vec<u8>,
    },
}

impl Detail {
    /// Decodes a `google.protobuf.Any` by its type URL.
    pub fn decode(type_url: &str, value: &[u8]) -> Detail {
        Self::decode_known(type_url, value).unwrap_or_else(|| Detail::Other {
            type_url: type_url.to_owned(),
            value: value.to_vec(),
        })
    }

    fn decode_known(type_url: &str, value: &[u8]) -> Option<Detail> {
        // `github.com/moby/buildkit/errdefs.Vertex+json`
        let name = type_url.rsplit('/').next()?;
        let name = name.strip_suffix("+json").unwrap_or(name);
        Some(match name.rsplit('.').next()? {
            "Stack" => Detail::Stack(message("stack.Stack", value)?),
            "Vertex" => {
                let errdefs::Vertex { digest } = message("errdefs.Vertex", value)?;
                Detail::Vertex { digest }
            }
            "Source" => source(message("errdefs.Source", value)?),
            "Solve" => solve(message("errdefs.Solve", value)?),
            "Frontend" => {
                let errdefs::Frontend { name, source } = message("errdefs.Frontend", value)?;
                Detail::Frontend { name, source }
            }
            "FrontendCap" => {
                let errdefs::FrontendCap { name } = message("errdefs.FrontendCap", value)?;
                let what = "capability";
                Detail::Unsupported { what, name }
            }
            "Subrequest" => {
                let errdefs::Subrequest { name } = message("errdefs.Subrequest", value)?;
                let what = "subrequest";
                Detail::Unsupported { what, name }
            }
            "ExitMessage" => {
                let exit: ExitMessage = message("moby.buildkit.v1.frontend.ExitMessage", value)?;
                Detail::ExitCode(exit.code)
            }
            "DecisionResponse" => {
                let name = "moby.buildkit.v1.sourcepolicy.policysession.DecisionResponse";
                let decision: DecisionResponse = message(name, value)?;
                let reasons = decision.deny_messages.into_iter();
                Detail::Denied {
                    messages: reasons.map(|reason| reason.message).collect(),
                }
            }
            _ => return None,
        })
    }
}

/// Decodes a message of type `name`, which must be that of `M`, from JSON or protobuf.
fn message<M: Message + Default>(name: &str, value: &[u8]) -> Option<M> {
    if !value.starts_with(b"{") {
        return M::decode(value).ok();
    }
    // Go's plain JSON and protobuf's canonical JSON agree on these messages.
    let descriptor = buildtap_proto::pool().get_message_by_name(name)?;
    let mut json = serde_json::Deserializer::from_slice(value);
    let options = DeserializeOptions::new().deny_unknown_fields(false);
    DynamicMessage::deserialize_with_options(descriptor, &mut json, &options)
        .ok()?
        .transcode_to()
        .ok()
}

fn source(source: errdefs::Source) -> Detail {
    let info = source.info.unwrap_or_default();
    let line = |position: Option<pb::Position>| position.unwrap_or_default().line;
    let ranges: Vec<(i32, i32)> = source
        .ranges
        .into_iter()
        .map(|range| (line(range.start), line(range.end)))
        .collect();
    let text = ranges.first().and_then(|(first, _)| {
        let before = usize::try_from(first.checked_sub(1)?).ok()?;
        let line = info.data.split(|&b| b == b'\n').nth(before)?;
        Some(String::from_utf8_lossy(line.trim_ascii()).into_owned())
    });
    Detail::Source {
        file: info.filename,
        ranges,
        text,
    }
}

fn solve(solve: errdefs::Solve) -> Detail {
    Detail::Solve {
        op: solve.op.as_ref().map(llb::describe),
        file_action: match solve.subject {
            Some(errdefs::solve::Subject::File(action)) => Some(action.index),
            Some(errdefs::solve::Subject::Cache(_)) | None => None,
        },
        input_ids: solve.input_i_ds,
        mount_ids: solve.mount_i_ds,
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Detail::Stack(stack) => {
                let program = stack.cmdline.first().map_or("", String::as_str);
                let program = program.rsplit('/').next().unwrap_or_default();
                write!(f, "stack of {program} {}", stack.version)?;
                match stack.frames.first() {
                    Some(frame) => write!(f, " at {}", frame.name),
                    None => Ok(()),
                }
            }
            Detail::Vertex { digest } => write!(f, "vertex {}", short_digest(digest)),
            Detail::Source { file, ranges, .. } => {
                f.write_str(if file.is_empty() { "source" } else { file })?;
                for (at, (first, last)) in ranges.iter().enumerate() {
                    write!(f, "{}{first}", if at == 0 { ":" } else { "," })?;
                    if last > first {
                        write!(f, "-{last}")?;
                    }
                }
                Ok(())
            }
            Detail::Solve {
                op, file_action, ..
            } => {
                write!(
                    f,
                    "while solving {}",
                    op.as_deref().unwrap_or("an operation")
                )?;
                match file_action {
                    Some(index) => write!(f, " (action {index})"),
                    None => Ok(()),
                }
            }
            Detail::Frontend { name, source } if source.is_empty() => {
                write!(f, "frontend {name}")
            }
            Detail::Frontend { name, source } => write!(f, "frontend {name} of {source}"),
            Detail::Unsupported { what, name } => write!(f, "{what} {name} is not supported"),
            Detail::ExitCode(code) => write!(f, "exit code {code}"),
            Detail::Denied { messages } if messages.is_empty() => f.write_str("denied by policy"),
            Detail::Denied { messages } => {
                write!(f, "denied by policy: {}", messages.join("; "))
            }
            Detail::Other { type_url, value } => {
                write!(f, "{type_url}, {} bytes", value.len())
            }
        }
    }
}

/// A digest for people: `sha256:0123456789ab…`.
pub fn short_digest(digest: &str) -> String {
    let (algorithm, hex) = digest.split_once(':').unwrap_or(("", digest));
    let colon = if algorithm.is_empty() { "" } else { ":" };
    match hex.get(..12) {
        Some(start) if start.len() < hex.len() => format!("{algorithm}{colon}{start}…"),
        _ => digest.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};

    use super::*;

    fn json(name: &str, json: &str) -> Detail {
        let type_url = format!("github.com/moby/buildkit/{name}+json");
        Detail::decode(&type_url, json.as_bytes())
    }

    #[test]
    fn codes() {
        assert_eq!(code_name(0), Some("OK"));
        assert_eq!(code_name(5), Some("NOT_FOUND"));
        assert_eq!(code_name(16), Some("UNAUTHENTICATED"));
        assert_eq!(code_name(17), None);
        assert_eq!(decode_message(b"caf%C3%A9 100%25 %zz"), "café 100% %zz");
    }

    #[test]
    fn trailers() {
        let inner = rpc::Status {
            code: 2,
            message: "inner".into(),
            details: vec![prost_types::Any {
                type_url: "github.com/moby/buildkit/errdefs.Vertex+json".into(),
                value: br#"{"digest":"sha256:00112233445566778899"}"#.to_vec(),
            }],
        };
        let encoded = inner.encode_to_vec();
        for details in [
            BASE64_STANDARD.encode(&encoded),
            BASE64_STANDARD_NO_PAD.encode(&encoded),
        ] {
            let status = GrpcStatus::from_trailers([
                ("grpc-status", "2"),
                ("grpc-message", ""),
                ("Grpc-Status-Details-Bin", &details),
            ])
            .unwrap();
            assert_eq!(
                (status.code_name().as_str(), status.message.as_str()),
                ("UNKNOWN", "inner")
            );
            assert_eq!(status.details[0].to_string(), "vertex sha256:001122334455…");
        }
        assert_eq!(GrpcStatus::from_trailers([("te", "trailers")]), None);
        let odd =
            GrpcStatus::from_trailers([("grpc-status", "x"), ("grpc-status-details-bin", "!")]);
        assert_eq!(odd.unwrap().code, 2);
    }

    #[test]
    fn source_of_an_error() {
        let data = BASE64_STANDARD.encode("FROM scratch\n  RUN exit 3\n");
        let detail = json(
            "errdefs.Source",
            &format!(
                r#"{{"info":{{"filename":"Dockerfile","data":"{data}","definition":{{"def":["EgA="]}},"language":"Dockerfile"}},
                "ranges":[{{"start":{{"line":2}},"end":{{"line":2}}}},{{"start":{{"line":4}},"end":{{"line":6,"character":1}}}}]}}"#
            ),
        );
        assert_eq!(detail.to_string(), "Dockerfile:2,4-6");
        let Detail::Source { text, .. } = detail else {
            panic!()
        };
        assert_eq!(text.as_deref(), Some("RUN exit 3"));
    }

    #[test]
    fn the_other_types() {
        for (name, value, text) in [
            (
                "stack.Stack",
                r#"{"frames":[{"Name":"main.run","File":"/src/main.go","Line":12}],"cmdline":["/usr/bin/buildkitd","--x"],
                "pid":1,"version":"v0.23.0","revision":"abc"}"#,
                "stack of buildkitd v0.23.0 at main.run",
            ),
            (
                "errdefs.Solve",
                r#"{"inputIDs":["a"],"mountIDs":["b"],"op":{"inputs":[{"digest":"sha256:1","index":"0"}],
                "exec":{"meta":{"args":["/bin/sh","-c","exit 3"],"cwd":"/"},"mounts":[{"dest":"/"}]},"new":1}}"#,
                "while solving exit 3",
            ),
            (
                "errdefs.Solve",
                r#"{"file":{"index":"1"}}"#,
                "while solving an operation (action 1)",
            ),
            (
                "errdefs.Frontend",
                r#"{"name":"gateway.v0","source":"docker/dockerfile:1"}"#,
                "frontend gateway.v0 of docker/dockerfile:1",
            ),
            (
                "errdefs.FrontendCap",
                r#"{"name":"moby.x"}"#,
                "capability moby.x is not supported",
            ),
            (
                "errdefs.Subrequest",
                r#"{"name":"frontend.x"}"#,
                "subrequest frontend.x is not supported",
            ),
            ("gatewayapi.ExitMessage", r#"{"Code":137}"#, "exit code 137"),
            (
                "policysession.DecisionResponse",
                r#"{"action":1,"denyMessages":[{"message":"no"}]}"#,
                "denied by policy: no",
            ),
            (
                "errdefs.Vertex",
                "{broken",
                "github.com/moby/buildkit/errdefs.Vertex+json, 7 bytes",
            ),
            (
                "errdefs.New",
                "{}",
                "github.com/moby/buildkit/errdefs.New+json, 2 bytes",
            ),
        ] {
            assert_eq!(json(name, value).to_string(), text);
        }
    }

    #[test]
    fn protobuf_is_understood_too() {
        let exit = ExitMessage {
            code: 3,
            error: None,
        };
        let detail = Detail::decode(
            "moby.buildkit.v1.frontend.ExitMessage",
            &exit.encode_to_vec(),
        );
        assert_eq!(detail, Detail::ExitCode(3));
    }
}
