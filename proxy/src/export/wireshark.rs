//! Settings for Wireshark and tshark: which port speaks what, and our `.proto` files.
//!
//! The folder is a whole configuration (`WIRESHARK_CONFIG_DIR`) and, as both have the same files,
//! a profile (in `~/.config/wireshark/profiles/`) as well.
//!
//! Facts: Wireshark User's Guide, "Files and Folders", and the comments of the files that Wireshark
//! 4.0 writes there itself.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::nested::{EXEC_PORT, SESSION_PORT, Speaks, Written};

/// The first line of the settings: by it a folder is known to be of buildtap.
const MARK: &str = "# Written by buildtap export";

/// What our schemas import of Google's. Wireshark brings those too, but not in every package.
const GOOGLE: [(&str, &str); 4] = [
    (
        "google/protobuf/any.proto",
        include_str!("google/protobuf/any.proto"),
    ),
    (
        "google/protobuf/empty.proto",
        include_str!("google/protobuf/empty.proto"),
    ),
    (
        "google/protobuf/field_mask.proto",
        include_str!("google/protobuf/field_mask.proto"),
    ),
    (
        "google/protobuf/timestamp.proto",
        include_str!("google/protobuf/timestamp.proto"),
    ),
];

/// The declaration of `FileSend.DiffCopy`, and what it stands for where a tree is sent.
const FILE_SEND: (&str, &str, &str) = (
    "moby/filesync/v1.proto",
    "rpc DiffCopy(stream BytesMessage) returns (stream BytesMessage);",
    "rpc DiffCopy(stream fsutil.types.Packet) returns (stream fsutil.types.Packet);",
);

const PREFERENCES: &str = "\
# What they are for: WIRESHARK_CONFIG_DIR=<this folder> wireshark <the capture>

protobuf.preload_protos: TRUE
# Fields have names to filter by, such as pbf.fsutil.types.Stat.path
protobuf.pbf_as_hf: TRUE
tcp.desegment_tcp_streams: TRUE
gui.column.format:
\t\"No.\", \"%m\",
\t\"Time\", \"%t\",
\t\"Conversation\", \"%Cus:tcp.stream:0:R\",
\t\"Source\", \"%s\",
\t\"Destination\", \"%d\",
\t\"Protocol\", \"%p\",
\t\"Length\", \"%L\",
\t\"Message\", \"%Cus:protobuf.message.name:1:R\",
\t\"Info\", \"%i\"
";

/// Why the settings cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The system refuses.
    #[error("cannot write Wireshark's settings to {} ({error}); name another folder with --profile", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Somebody else's.
    #[error(
        "{} holds settings of Wireshark that buildtap did not write, and leaves alone; name \
         another folder with --profile",
        .0.display()
    )]
    NotOurs(PathBuf),
}

/// Where the settings for a file go, if nothing else is said: beside it.
pub fn beside(file: &Path) -> PathBuf {
    let mut folder = file.to_owned();
    if folder.extension().is_some_and(|ending| ending == "zst") {
        folder.set_extension("");
    }
    folder.set_extension("wireshark");
    folder
}

/// A folder with settings.
#[derive(Debug)]
pub struct Profile {
    folder: PathBuf,
}

impl Profile {
    /// Looks whether they may be written there. Nothing is written yet.
    pub fn at(folder: PathBuf) -> Result<Self, ProfileError> {
        let preferences = folder.join("preferences");
        match File::open(&preferences) {
            Ok(file) => {
                let mut start = Vec::new();
                let read = file.take(MARK.len() as u64).read_to_end(&mut start);
                if read.is_err() || start != MARK.as_bytes() {
                    return Err(ProfileError::NotOurs(folder));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let path = preferences;
                return Err(ProfileError::Write { path, error });
            }
        }
        Ok(Profile { folder })
    }

    /// Where it is.
    pub fn into_folder(self) -> PathBuf {
        self.folder
    }

    /// Writes the settings for a file in which this is written.
    pub fn write(&self, written: &Written) -> Result<(), ProfileError> {
        let schemas = self.folder.join("proto");
        for (name, text) in buildtap_proto::SOURCES.iter().chain(&GOOGLE) {
            let (file_send, declared, meant) = FILE_SEND;
            let path = schemas.join(name);
            match written.sends_packets && *name == file_send {
                true => put(&path, text.replace(declared, meant).as_bytes())?,
                false => put(&path, text.as_bytes())?,
            }
        }
        // Wireshark takes relative paths to be relative to where it was started.
        let schemas = schemas
            .canonicalize()
            .map_err(|error| ProfileError::Write {
                path: schemas.clone(),
                error,
            })?;
        self.put(
            "preferences",
            &format!("{MARK} {}\n{PREFERENCES}", env!("CARGO_PKG_VERSION")),
        )?;
        self.put("protobuf_search_paths", &search_path(&schemas))?;
        self.put("decode_as_entries", &decode_as(written))?;
        self.put("dfilter_buttons", &buttons(written))
    }

    fn put(&self, name: &str, text: &str) -> Result<(), ProfileError> {
        put(&self.folder.join(name), text.as_bytes())
    }
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), ProfileError> {
    let parent = path.parent().map_or(Ok(()), fs::create_dir_all);
    let written = parent.and_then(|()| fs::write(path, bytes));
    written.map_err(|error| ProfileError::Write {
        path: path.to_owned(),
        error,
    })
}

/// A row of the table of folders with schemas; all files in them are loaded.
fn search_path(folder: &Path) -> String {
    format!(
        "{MARK}\n\"{}\",\"TRUE\"\n",
        quoted(folder.as_os_str().as_bytes())
    )
}

/// The inside of a string in a table of Wireshark: other bytes than plain ones in hexadecimal.
fn quoted(bytes: &[u8]) -> String {
    let mut out = String::new();
    for byte in bytes {
        match byte {
            b'"' | b'\\' | ..0x20 | 0x7f.. => {
                let _ = write!(out, "\\x{byte:02x}");
            }
            plain => out.push(char::from(*plain)),
        }
    }
    out
}

/// Which port speaks what. What is taken for HTTP turns into HTTP/2 where it begins as that.
fn decode_as(written: &Written) -> String {
    let mut out = format!("{MARK}\n");
    for (port, speaks) in &written.ports {
        let dissector = match speaks {
            Speaks::Http1 => "HTTP",
            Speaks::Http2 => "HTTP2",
        };
        let _ = writeln!(out, "decode_as_entry: tcp.port,{port},(none),{dissector}");
    }
    out
}

/// Buttons beside the field for display filters.
fn buttons(written: &Written) -> String {
    let mut out = format!("{MARK}\n\"TRUE\",\"gRPC\",\"grpc\",\"\"\n");
    for (port, label) in [(SESSION_PORT, "Sessions"), (EXEC_PORT, "Exec tunnels")] {
        if written.ports.contains_key(&port) {
            let _ = writeln!(out, "\"TRUE\",\"{label}\",\"tcp.port == {port}\",\"\"");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_beside_the_file() {
        for (file, folder) in [
            ("a/nested.pcapng", "a/nested.wireshark"),
            ("nested.pcapng.zst", "nested.wireshark"),
            ("/x.y/b.c.pcapng", "/x.y/b.c.wireshark"),
        ] {
            assert_eq!(beside(Path::new(file)), Path::new(folder));
        }
    }

    #[test]
    fn paths_are_quoted() {
        let path = search_path(Path::new("/tmp/a \"b\"\\ü"));
        assert!(
            path.ends_with("\n\"/tmp/a \\x22b\\x22\\x5c\\xc3\\xbc\",\"TRUE\"\n"),
            "{path}"
        );
    }

    #[test]
    fn the_declaration_that_is_replaced_is_there() {
        let (name, declared, _) = FILE_SEND;
        let (_, text) = buildtap_proto::SOURCES
            .iter()
            .find(|(found, _)| *found == name)
            .unwrap();
        assert!(text.contains(declared));
    }

    #[test]
    fn settings_of_others_are_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().to_owned();
        let profile = Profile::at(folder.clone()).unwrap();
        profile.write(&Written::default()).unwrap();
        // Again, as with any output.
        Profile::at(folder.clone()).unwrap();
        fs::write(folder.join("preferences"), "gui.qt.font_name: x\n").unwrap();
        let error = Profile::at(folder).unwrap_err().to_string();
        assert!(error.contains("name another folder"), "{error}");
    }

    /// Every file that a schema imports is in the folder, under the name that it is imported by.
    #[test]
    fn imports_are_there() {
        let all: Vec<_> = buildtap_proto::SOURCES.iter().chain(&GOOGLE).collect();
        for (name, text) in &all {
            for line in text.lines() {
                let import = line.strip_prefix("import \"");
                let Some(import) = import.and_then(|rest| rest.strip_suffix("\";")) else {
                    continue;
                };
                assert!(
                    all.iter().any(|(found, _)| *found == import),
                    "{name} imports {import}"
                );
            }
        }
    }
}
