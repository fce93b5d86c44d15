//! The metadata of calls: the request headers in which BuildKit says what a call is about.

use std::time::Duration;

use percent_encoding::percent_decode_str;

/// The request header of `LLBBridge` calls that has the ref of their build
/// (BuildKit `frontend/gateway/client/buildid`).
pub const BUILD_ID_HEADER: &str = "buildkit-controlapi-buildid";

/// The request metadata of `FileSync` calls: which directory, and which of its files
/// (BuildKit `session/filesync/filesync.go`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileSync {
    /// The name of the directory that is asked for: `context`, `dockerfile`, or the name of a
    /// further context.
    pub dir_name: Option<String>,
    /// Only files that match one of these, if there are any.
    pub include_patterns: Vec<String>,
    /// No files that match these; in the order sent, the last match counts.
    pub exclude_patterns: Vec<String>,
    /// Paths whose symbolic links are followed.
    pub follow_paths: Vec<String>,
    /// The excludes replace those of the client. Sent by daemons up to BuildKit 0.12.
    pub override_excludes: bool,
}

impl FileSync {
    /// Reads the request metadata of a call.
    pub fn from_headers<N, V>(headers: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: AsRef<str>,
        V: AsRef<[u8]>,
    {
        let mut this = FileSync::default();
        let mut dir_names = Vec::new();
        let mut encoded = [false; 4];
        for (name, value) in headers {
            let name = name.as_ref().to_ascii_lowercase();
            let value = text(value.as_ref());
            let (key, is_encoding) = match name.strip_suffix("-encoded") {
                Some(key) => (key, true),
                None => (name.as_str(), false),
            };
            let (values, encoded) = match (key, &mut encoded) {
                ("dir-name", [encoded, ..]) => (&mut dir_names, encoded),
                ("include-patterns", [_, encoded, ..]) => (&mut this.include_patterns, encoded),
                ("exclude-patterns", [_, _, encoded, _]) => (&mut this.exclude_patterns, encoded),
                ("followpaths", [.., encoded]) => (&mut this.follow_paths, encoded),
                ("override-excludes", _) => {
                    this.override_excludes = value == "true";
                    continue;
                }
                _ => continue,
            };
            if is_encoding {
                *encoded |= value == "1";
            } else {
                values.push(value);
            }
        }
        let lists = [
            &mut dir_names,
            &mut this.include_patterns,
            &mut this.exclude_patterns,
            &mut this.follow_paths,
        ];
        for (values, encoded) in lists.into_iter().zip(encoded) {
            if encoded {
                // All values of a key are escaped, or none (since BuildKit 0.12).
                values.iter_mut().for_each(|value| *value = unescape(value));
            }
        }
        this.dir_name = dir_names.into_iter().next();
        this
    }
}

/// The request metadata of `FileSend` calls: which output of the build this is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileSend {
    /// The position in the exporters of the solve; 0 where the daemon does not say, which those
    /// before BuildKit 0.13 never do.
    pub exporter_id: u64,
    /// Entries of the exporter's response, the prefix `exporter-md-` taken off, in the order
    /// sent. Only for archives.
    pub exporter_metadata: Vec<(String, String)>,
    /// There is a directory for each platform. Since BuildKit 0.31.
    pub multi_platform: bool,
}

impl FileSend {
    /// Reads the request metadata of a call.
    pub fn from_headers<N, V>(headers: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: AsRef<str>,
        V: AsRef<[u8]>,
    {
        let mut this = FileSend::default();
        for (name, value) in headers {
            let name = name.as_ref().to_ascii_lowercase();
            let value = text(value.as_ref());
            match name.as_str() {
                "buildkit-attachable-exporter-id" => {
                    this.exporter_id = value.parse().unwrap_or_default();
                }
                "buildkit-exporter-multi-platform" => this.multi_platform = value == "1",
                _ => {
                    if let Some(key) = name.strip_prefix("exporter-md-") {
                        this.exporter_metadata.push((key.to_owned(), value));
                    }
                }
            }
        }
        this
    }
}

/// The request metadata of `Upload/Pull`: what the daemon wants to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upload {
    /// The path of the URL; its last element is the id under which the client offers the data.
    pub path: String,
    /// The host of the URL: `buildkit-session`.
    pub host: String,
}

impl Upload {
    /// Reads the request metadata of a call.
    pub fn from_headers<N, V>(headers: impl IntoIterator<Item = (N, V)> + Clone) -> Self
    where
        N: AsRef<str>,
        V: AsRef<[u8]>,
    {
        Upload {
            path: first(headers.clone(), "urlpath").unwrap_or_default(),
            host: first(headers, "urlhost").unwrap_or_default(),
        }
    }

    /// The id under which the client offers the data.
    pub fn id(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// The SSH agent or key that `SSH/ForwardAgent` is for: `default` unless said otherwise.
pub fn ssh_id<N, V>(headers: impl IntoIterator<Item = (N, V)>) -> String
where
    N: AsRef<str>,
    V: AsRef<[u8]>,
{
    first(headers, "buildkit.ssh.id")
        .filter(|id| !id.is_empty())
        .unwrap_or_else(|| "default".to_owned())
}

/// The content store of the client that a `Content` call of a session is for: `export`,
/// `oci:<name>` or `local:<directory>`.
pub fn store_id<N, V>(headers: impl IntoIterator<Item = (N, V)>) -> Option<String>
where
    N: AsRef<str>,
    V: AsRef<[u8]>,
{
    first(headers, "buildkit-attachable-store-id")
}

/// The build that an `LLBBridge` call belongs to: the `Ref` of its solve.
pub fn build_id<N, V>(headers: impl IntoIterator<Item = (N, V)>) -> Option<String>
where
    N: AsRef<str>,
    V: AsRef<[u8]>,
{
    first(headers, BUILD_ID_HEADER)
}

/// How long the caller gives a call: up to eight digits and a unit in `grpc-timeout` (gRPC
/// `PROTOCOL-HTTP2.md`).
pub fn timeout<N, V>(headers: impl IntoIterator<Item = (N, V)>) -> Option<Duration>
where
    N: AsRef<str>,
    V: AsRef<[u8]>,
{
    let timeout = first(headers, "grpc-timeout")?;
    let (number, unit) = timeout.split_at_checked(timeout.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number.checked_mul(3_600)?),
        "M" => Duration::from_secs(number.checked_mul(60)?),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// The first value of a key, compared without regard to case.
pub fn first<N, V>(headers: impl IntoIterator<Item = (N, V)>, key: &str) -> Option<String>
where
    N: AsRef<str>,
    V: AsRef<[u8]>,
{
    headers
        .into_iter()
        .find(|(name, _)| name.as_ref().eq_ignore_ascii_case(key))
        .map(|(_, value)| text(value.as_ref()))
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

/// Takes the escaping of a URL's query off.
fn unescape(value: &str) -> String {
    percent_decode_str(&value.replace('+', " "))
        .decode_utf8_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_sync_with_plain_and_escaped_values() {
        let call = FileSync::from_headers([
            ("dir-name", "context"),
            ("exclude-patterns", "a+b%20"),
            ("exclude-patterns", "!keep"),
            ("include-patterns", "caf%C3%A9+x%2B"),
            ("include-patterns-encoded", "1"),
            ("followpaths", "src"),
            ("override-excludes", "true"),
            ("traceparent", "00-1-1-01"),
        ]);
        assert_eq!(
            call,
            FileSync {
                dir_name: Some("context".into()),
                include_patterns: vec!["café x+".into()],
                exclude_patterns: vec!["a+b%20".into(), "!keep".into()],
                follow_paths: vec!["src".into()],
                override_excludes: true,
            }
        );
        let nothing = FileSync::from_headers([("te", "trailers")]);
        assert_eq!(nothing, FileSync::default());
    }

    #[test]
    fn file_send_defaults_to_the_first_exporter() {
        assert_eq!(FileSend::from_headers([("a", "b")]).exporter_id, 0);
        assert_eq!(
            FileSend::from_headers([
                ("buildkit-attachable-exporter-id", "2"),
                ("exporter-md-containerimage.digest", "sha256:00"),
                ("buildkit-exporter-multi-platform", "1"),
            ]),
            FileSend {
                exporter_id: 2,
                exporter_metadata: vec![("containerimage.digest".into(), "sha256:00".into())],
                multi_platform: true,
            }
        );
    }

    #[test]
    fn the_others() {
        let none: [(&str, &str); 0] = [];
        assert_eq!(ssh_id(none), "default");
        assert_eq!(ssh_id([("buildkit.ssh.id", "")]), "default");
        assert_eq!(ssh_id([("buildkit.ssh.id", "work")]), "work");
        assert_eq!(
            store_id([("Buildkit-Attachable-Store-Id", "oci:x")]),
            Some("oci:x".into())
        );
        assert_eq!(build_id(none), None);
        let upload = Upload::from_headers([("urlpath", "/a/xyz"), ("urlhost", "buildkit-session")]);
        assert_eq!(
            (upload.id(), upload.host.as_str()),
            ("xyz", "buildkit-session")
        );
    }
}
