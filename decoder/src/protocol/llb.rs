//! Build graphs: what a `pb.Definition` asks to be done, readable for people.
//!
//! A definition is a list of encoded operations (`pb.Op`), each known by the SHA-256 of its
//! encoding, which is also the digest of its vertex in the progress (BuildKit
//! `solver/pb/ops.proto`). All texts here are masked and free of control characters.

mod digests;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::fmt::Write as _;

use buildtap_proto::pb;
use pb::file_action::Action;
use prost::Message;

use super::mask::{mask_text, mask_url, mask_value};
use crate::text::head;

/// Most operations of a definition that are read.
pub const MAX_OPS: usize = 10_000;
/// Longest text about an operation, in characters.
pub const MAX_TEXT: usize = 400;
/// Most mounts or file actions of one operation that are told.
const MAX_PARTS: usize = 32;
/// Longest string of an operation that is looked at, in bytes.
const MAX_READ: usize = 16 << 10;

/// A build graph. Displays as one line for each operation, inputs before their users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// The operations in the order of the definition.
    pub ops: Vec<Op>,
    /// How many operations were not read, being more than [`MAX_OPS`].
    pub left_out: usize,
}

/// An operation of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    /// `sha256:…`, which is also the digest of the vertex.
    pub digest: String,
    /// What kind of operation it is.
    pub kind: Kind,
    /// What it does, in one line.
    pub text: String,
    /// For a command, what it gets besides its file system: secrets, SSH, caches, other mounts; and where its network or
    /// its rights are not the usual ones. For a source, its attributes.
    pub details: Vec<String>,
    /// What the frontend calls it: `[build 2/3] RUN make`.
    pub name: Option<String>,
    /// The platform it is for: `linux/arm64`.
    pub platform: Option<String>,
    /// Where it comes from: `Dockerfile:7`.
    pub location: Option<String>,
    /// What it works on, in its own order.
    pub inputs: Vec<Input>,
}

/// One input of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// The index of the operation in the graph; None if it is not there.
    pub op: Option<usize>,
    /// Which of its outputs.
    pub output: i64,
}

impl fmt::Display for Input {
    /// The number of the operation: its index from 1; `?` if it is not there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.op {
            Some(op) => write!(f, "{}", op.saturating_add(1))?,
            None => f.write_str("?")?,
        }
        match self.output {
            0 => Ok(()),
            output => write!(f, "[{output}]"),
        }
    }
}

/// The kinds of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Something from outside: an image, a directory of the client, a Git repository.
    Source,
    /// A command.
    Exec,
    /// Copying, making and removing files.
    File,
    /// A build inside the build.
    Build,
    /// Layers on top of each other.
    Merge,
    /// The difference of two file systems.
    Diff,
    /// Something handed on as it is.
    Passthrough,
    /// The end of the graph: its input is the result.
    Result,
    /// Could not be decoded.
    Unknown,
}

impl Kind {
    /// The name in lower case: `exec`.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Source => "source",
            Kind::Exec => "exec",
            Kind::File => "file",
            Kind::Build => "build",
            Kind::Merge => "merge",
            Kind::Diff => "diff",
            Kind::Passthrough => "passthrough",
            Kind::Result => "result",
            Kind::Unknown => "unknown",
        }
    }

    fn of(op: &pb::Op) -> Kind {
        match &op.op {
            Some(pb::op::Op::Exec(_)) => Kind::Exec,
            Some(pb::op::Op::Source(_)) => Kind::Source,
            Some(pb::op::Op::File(_)) => Kind::File,
            Some(pb::op::Op::Build(_)) => Kind::Build,
            Some(pb::op::Op::Merge(_)) => Kind::Merge,
            Some(pb::op::Op::Diff(_)) => Kind::Diff,
            Some(pb::op::Op::Passthrough(_)) => Kind::Passthrough,
            None => Kind::Result,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Graph {
    /// Reads a definition. What cannot be decoded becomes an operation of [`Kind::Unknown`].
    pub fn from_definition(definition: &pb::Definition) -> Graph {
        let encoded = || definition.def.iter().take(MAX_OPS);
        let digests = digests::of(definition, MAX_OPS);
        let mut index = HashMap::new();
        for (at, digest) in digests.iter().enumerate() {
            index.entry(digest.clone()).or_insert(at);
        }
        let ops = encoded()
            .zip(digests)
            .map(|(encoded, digest)| {
                let decoded = pb::Op::decode(encoded.clone()).ok();
                Op::new(digest, decoded.as_ref(), definition, &index)
            })
            .collect();
        Graph {
            ops,
            left_out: definition.def.len().saturating_sub(MAX_OPS),
        }
    }

    /// The indices of all operations such that inputs come before their users, and otherwise in
    /// the order of the definition. Operations in a cycle, which no client makes, come last.
    pub fn topological(&self) -> Vec<usize> {
        let mut users = vec![Vec::new(); self.ops.len()];
        let mut missing = vec![0_usize; self.ops.len()];
        for (at, op) in self.ops.iter().enumerate() {
            for input in op.inputs.iter().filter_map(|input| input.op) {
                if let (Some(users), Some(missing)) = (users.get_mut(input), missing.get_mut(at)) {
                    users.push(at);
                    *missing = missing.saturating_add(1);
                }
            }
        }
        let mut ready: BTreeSet<usize> = (0..self.ops.len())
            .filter(|&at| missing.get(at) == Some(&0))
            .collect();
        let mut order = Vec::with_capacity(self.ops.len());
        while let Some(at) = ready.pop_first() {
            order.push(at);
            for &user in users.get(at).into_iter().flatten() {
                if let Some(missing) = missing.get_mut(user) {
                    *missing = missing.saturating_sub(1);
                    if *missing == 0 {
                        ready.insert(user);
                    }
                }
            }
        }
        order.extend((0..self.ops.len()).filter(|&at| missing.get(at) != Some(&0)));
        order
    }
}

impl fmt::Display for Graph {
    /// `3 ← 1,2  exec  RUN make  (secret npm at /run/secrets/npm)  Dockerfile:7`: the number of
    /// an operation is its index from 1, with `[1]` where not its first output is meant.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = self.topological();
        let number = |op: &Op, at: usize| {
            let mut text = format!("{}", at.saturating_add(1));
            for (place, input) in op.inputs.iter().enumerate() {
                text.push_str(if place == 0 { " ← " } else { "," });
                text.push_str(&input.to_string());
            }
            text
        };
        let rows = || {
            order
                .iter()
                .filter_map(|&at| self.ops.get(at).map(|op| (number(op, at), op)))
        };
        let wide = |row: (String, &Op)| row.0.chars().count();
        let width = rows().map(wide).max().unwrap_or(0).min(24);
        for (number, op) in rows() {
            write!(f, "{number:width$}  ")?;
            // Its number and its input say all that there is.
            if op.kind == Kind::Result {
                writeln!(f, "{}", op.kind)?;
                continue;
            }
            write!(f, "{:6}  ", op.kind)?;
            f.write_str(op.name.as_ref().unwrap_or(&op.text))?;
            if !op.details.is_empty() {
                write!(f, "  ({})", op.details.join(", "))?;
            }
            for more in [&op.location, &op.platform].into_iter().flatten() {
                write!(f, "  {more}")?;
            }
            writeln!(f)?;
        }
        if self.left_out > 0 {
            writeln!(f, "and {} more operations", self.left_out)?;
        }
        Ok(())
    }
}

impl Op {
    fn new(
        digest: String,
        op: Option<&pb::Op>,
        definition: &pb::Definition,
        index: &HashMap<String, usize>,
    ) -> Op {
        let metadata = definition.metadata.get(&digest);
        let name = metadata.and_then(|metadata| metadata.description.get("llb.customname"));
        let inputs = op.map(|op| op.inputs.as_slice()).unwrap_or_default();
        let inputs: Vec<Input> = inputs
            .iter()
            .map(|input| Input {
                op: index.get(&input.digest).copied(),
                output: input.index,
            })
            .collect();
        let text = |op| describe_in_graph(op, &inputs);
        Op {
            kind: op.map_or(Kind::Unknown, Kind::of),
            text: op.map_or_else(|| "cannot be decoded".to_owned(), text),
            details: op.map(|op| details(op, &inputs)).unwrap_or_default(),
            name: name.map(|name| line(&mask_text(head(name, MAX_READ)))),
            platform: op.and_then(|op| op.platform.as_ref()).map(platform),
            location: location(definition, &digest),
            inputs,
            digest,
        }
    }
}

/// An input by its number, where there is a graph that gives it one.
fn numbered(inputs: &[Input], at: i64) -> Option<String> {
    let input = inputs.get(usize::try_from(at).ok()?)?;
    Some(input.to_string())
}

/// What an operation does, in one line: a source's identifier, a command as it would be typed,
/// `copy /src → /dest`.
pub fn describe(op: &pb::Op) -> String {
    describe_in_graph(op, &[])
}

/// The same with the numbers that these inputs have in their graph.
fn describe_in_graph(op: &pb::Op, inputs: &[Input]) -> String {
    let text = match &op.op {
        Some(pb::op::Op::Source(source)) => {
            mask_url(head(&source.identifier, MAX_READ)).into_owned()
        }
        Some(pb::op::Op::Exec(exec)) => {
            let args = exec.meta.as_ref().map(|meta| meta.args.as_slice());
            mask_text(&command(args.unwrap_or_default())).into_owned()
        }
        Some(pb::op::Op::File(file)) => {
            let told = file.actions.iter().take(MAX_PARTS);
            let mut parts: Vec<String> = told.map(|told| action(told, inputs)).collect();
            parts.extend(more(file.actions.len().saturating_sub(MAX_PARTS)));
            parts.join("; ")
        }
        Some(pb::op::Op::Build(build)) => match build.attrs.get("llb.filename") {
            Some(file) => format!("build of {}", head(file, MAX_READ)),
            None => "build".to_owned(),
        },
        Some(pb::op::Op::Merge(merge)) => layers(merge, inputs),
        Some(pb::op::Op::Diff(diff)) => change(diff, inputs),
        Some(pb::op::Op::Passthrough(passthrough)) => {
            format!("passthrough {}", head(&passthrough.id, MAX_READ))
        }
        None => "result".to_owned(),
    };
    line(&text)
}

/// A command as it would be typed: what a shell is given to run stands for itself.
fn command(args: &[String]) -> String {
    let mut read = 0_usize;
    let args: Vec<&str> = args
        .iter()
        .map(|arg| head(arg, MAX_READ))
        .take_while(|arg| {
            let room = read < MAX_READ;
            read = read.saturating_add(arg.len()).saturating_add(1);
            room
        })
        .collect();
    match script(&args) {
        Some(script) => script.to_owned(),
        None => command_line(&args).0,
    }
}

/// What a shell is given to run, if that is what the command is.
pub(crate) fn script<'a>(args: &[&'a str]) -> Option<&'a str> {
    let [shell, flag, script] = args else {
        return None;
    };
    let shell = shell.rsplit('/').next().unwrap_or_default();
    let is_shell = matches!(shell, "sh" | "bash" | "ash" | "dash" | "zsh");
    (is_shell && *flag == "-c").then_some(script)
}

/// A command as it would be typed, and where each argument begins in that, inside of its quotes.
/// In quotes a `'` is written as `'\''`.
pub(crate) fn command_line(args: &[&str]) -> (String, Vec<usize>) {
    let mut text = String::new();
    let mut starts = Vec::with_capacity(args.len());
    for arg in args {
        if !text.is_empty() {
            text.push(' ');
        }
        let quoted =
            arg.is_empty() || arg.contains(|c: char| c.is_whitespace() || "\"'$`;|&<>".contains(c));
        starts.push(text.len().saturating_add(quoted.into()));
        if quoted {
            _ = write!(text, "'{}'", arg.replace('\'', r"'\''"));
        } else {
            text.push_str(arg);
        }
    }
    (text, starts)
}

/// `3, then 5 on top`.
fn layers(merge: &pb::MergeOp, inputs: &[Input]) -> String {
    let told = merge.inputs.iter().take(MAX_PARTS);
    let layers: Option<Vec<String>> = told.map(|layer| numbered(inputs, layer.input)).collect();
    match layers.as_deref() {
        Some([lowest, upper @ ..]) if !upper.is_empty() => {
            let mut upper = upper.to_vec();
            upper.extend(more(merge.inputs.len().saturating_sub(MAX_PARTS)));
            format!("{lowest}, then {} on top", upper.join(", "))
        }
        _ => format!("merge of {}", merge.inputs.len()),
    }
}

/// `from 1 to 4`.
fn change(diff: &pb::DiffOp, inputs: &[Input]) -> String {
    let side = |input: Option<i64>| match input {
        // No input is the empty file system.
        None | Some(..0) => Some("nothing".to_owned()),
        Some(at) => numbered(inputs, at),
    };
    let lower = side(diff.lower.as_ref().map(|lower| lower.input));
    let upper = side(diff.upper.as_ref().map(|upper| upper.input));
    match (lower, upper) {
        (Some(lower), Some(upper)) => format!("from {lower} to {upper}"),
        _ => "diff".to_owned(),
    }
}

fn action(action: &pb::FileAction, inputs: &[Input]) -> String {
    let path = |path| mask_text(head(path, MAX_READ));
    match &action.action {
        Some(Action::Copy(copy)) => {
            // With one input there is no question where from.
            let from = match inputs {
                [] | [_] => None,
                several => numbered(several, action.secondary_input),
            };
            let from = from.map_or(String::new(), |from| format!(" of {from}"));
            format!("copy {}{from} → {}", path(&copy.src), path(&copy.dest))
        }
        Some(Action::Mkfile(file)) => {
            format!("mkfile {} ({} bytes)", path(&file.path), file.data.len())
        }
        Some(Action::Mkdir(dir)) => format!("mkdir {}", path(&dir.path)),
        Some(Action::Rm(rm)) => format!("rm {}", path(&rm.path)),
        Some(Action::Symlink(link)) => {
            format!("symlink {} → {}", path(&link.newpath), path(&link.oldpath))
        }
        None => "unknown action".to_owned(),
    }
}

fn details(op: &pb::Op, inputs: &[Input]) -> Vec<String> {
    match &op.op {
        Some(pb::op::Op::Exec(exec)) => belongings(exec, inputs),
        Some(pb::op::Op::Source(source)) => attributes(source),
        _ => Vec::new(),
    }
}

/// The attributes of a source, by name.
fn attributes(source: &pb::SourceOp) -> Vec<String> {
    let mut attrs: Vec<_> = source.attrs.iter().collect();
    attrs.sort_unstable();
    let told = attrs.iter().take(MAX_PARTS).map(|(name, value)| {
        let value = mask_value(name, head(value, MAX_READ));
        line(&format!("{}={value}", head(name, MAX_READ)))
    });
    let mut all: Vec<String> = told.collect();
    all.extend(more(attrs.len().saturating_sub(MAX_PARTS)));
    all
}

/// What a command gets besides its root file system.
fn belongings(exec: &pb::ExecOp, inputs: &[Input]) -> Vec<String> {
    let named = |id: &str, other: &str| {
        line(if id.is_empty() {
            other
        } else {
            head(id, MAX_READ)
        })
    };
    let mount = |mount: &pb::Mount| {
        let dest = line(head(&mount.dest, MAX_READ));
        match pb::MountType::try_from(mount.mount_type) {
            Ok(pb::MountType::Bind) if dest == "/" => None,
            Ok(pb::MountType::Bind) => {
                let what = match numbered(inputs, mount.input) {
                    Some(number) if mount.selector.is_empty() => format!("mount of {number}"),
                    Some(number) => {
                        format!(
                            "mount of {} of {number}",
                            line(head(&mount.selector, MAX_READ))
                        )
                    }
                    None => "mount".to_owned(),
                };
                let read_only = if mount.readonly { "read-only " } else { "" };
                Some(format!("{read_only}{what} at {dest}"))
            }
            Ok(pb::MountType::Secret) => {
                let id = mount.secret_opt.as_ref().map_or("", |secret| &secret.id);
                Some(format!("secret {} at {dest}", named(id, "without id")))
            }
            Ok(pb::MountType::Ssh) => {
                let id = mount.ssh_opt.as_ref().map_or("", |ssh| &ssh.id);
                Some(format!("ssh {}", named(id, "default")))
            }
            Ok(pb::MountType::Cache) => Some(format!("cache at {dest}")),
            Ok(pb::MountType::Tmpfs) => Some(format!("tmpfs at {dest}")),
            Err(_) => Some(format!("unknown mount at {dest}")),
        }
    };
    let environment = |secret: &pb::SecretEnv| {
        let id = named(&secret.id, "without id");
        format!("secret {id} in ${}", line(head(&secret.name, MAX_READ)))
    };
    let network = match exec.network() {
        pb::NetMode::Unset => None,
        pb::NetMode::Host => Some("the network of the host".to_owned()),
        pb::NetMode::None => Some("no network".to_owned()),
    };
    let rights = match exec.security() {
        pb::SecurityMode::Sandbox => None,
        pb::SecurityMode::Insecure => Some("privileged".to_owned()),
    };
    let mut told = [network, rights]
        .into_iter()
        .flatten()
        .chain(exec.mounts.iter().filter_map(mount))
        .chain(exec.secretenv.iter().map(environment));
    let mut all: Vec<String> = told.by_ref().take(MAX_PARTS).collect();
    all.extend(more(told.count()));
    all
}

fn platform(platform: &pb::Platform) -> String {
    let mut text = format!(
        "{}/{}",
        head(&platform.os, MAX_READ),
        head(&platform.architecture, MAX_READ)
    );
    if !platform.variant.is_empty() {
        _ = write!(text, "/{}", head(&platform.variant, MAX_READ));
    }
    line(&text)
}

/// The first place in the source that the operation of this digest comes from.
fn location(definition: &pb::Definition, digest: &str) -> Option<String> {
    let source = definition.source.as_ref()?;
    let location = source.locations.get(digest)?.locations.first()?;
    let info = source
        .infos
        .get(usize::try_from(location.source_index).ok()?)?;
    let start = location.ranges.first()?.start?;
    Some(line(&format!(
        "{}:{}",
        head(&info.filename, MAX_READ),
        start.line
    )))
}

/// What stands for the parts that are not told.
fn more(parts: usize) -> Option<String> {
    (parts > 0).then(|| format!("and {parts} more"))
}

/// Text as one line of at most [`MAX_TEXT`] characters: white space and control characters in a
/// row become one space.
fn line(text: &str) -> String {
    let mut line = String::new();
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    for word in words.filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if let Some((end, _)) = line.char_indices().nth(MAX_TEXT) {
        line.truncate(end);
        line.push('…');
    }
    line
}
