//! What one message of a call says, for views: as JSON, in one line for a log, and as a [`tree`]
//! that tells where in the bytes each part of it stands.
//!
//! Here a message meets its schema, or is shown by field numbers if there is none, and what must
//! not be shown is masked. What a message means for the trace is not decided here, and no view is
//! drawn. Whoever shows other texts off the wire passes them through [`printable`].

use std::borrow::Cow;

use buildtap_proto::schema::Schemas;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_json::{Value as Json, json};

use crate::protocol::diffcopy::Packet;
use crate::redact;

mod cut;
mod line;
mod packet;
mod printable;
mod raw;
pub(crate) mod secrets;
#[cfg(test)]
mod tests;
mod text;
pub mod tree;
mod values;

pub use line::size;
pub use printable::{disturbs, printable};

/// How much of a message is read, in bytes; of a longer one the beginning is shown.
pub const MAX_BODY: usize = 1 << 20;

/// How many characters a line has at most.
pub const MAX_LINE: usize = 160;

/// Puts messages into words, by the schemas that it was given.
#[derive(Clone, Debug)]
pub struct Describer {
    schemas: Schemas,
    show_secrets: bool,
}

/// What could be made of a message.
enum Shape {
    /// It parses by its schema, whose name this is.
    Message(String, Json),
    /// It may be a secret.
    Masked,
    /// Fields by number; why it does not fit its schema, if it has one.
    Raw(Option<String>),
}

impl Describer {
    /// `show_secrets` is for a person who asked to see them: nothing is masked then, but what
    /// [`crate::protocol::llb`] says of a build graph and [`Describer::packet`] of an error.
    pub fn new(schemas: Schemas, show_secrets: bool) -> Self {
        Self {
            schemas,
            show_secrets,
        }
    }

    /// The schemas in use.
    pub fn schemas(&self) -> &Schemas {
        &self.schemas
    }

    /// A message as JSON, without its secrets: in their place is `*** (12 bytes)`.
    ///
    /// `path` is that of the call, `/package.Service/Method`; `request` says whether the caller
    /// sent the message; `body` is the encoded message, decompressed; `cut` says that this is
    /// only its beginning.
    ///
    /// An object's members are fields, by the names in the schema, or by number for a message
    /// without a schema or one that does not fit it. Members that begin with `_` are remarks:
    /// `_unknown`, fields that the schema does not have, as text; `_cut`, where a message ends
    /// that is cut; `_error`, why it does not fit the schema; `_rest`, why there are no more
    /// fields. `…` stands for what is left out. A message that may be nothing but a secret is a
    /// string.
    pub fn json(&self, path: &str, request: bool, body: &[u8], cut: bool) -> Json {
        let (body, cut) = limited(body, cut);
        let body = &*self.redacted(path, request, body, cut);
        match self.shape(path, request, body, cut) {
            Shape::Message(_, json) => json,
            Shape::Masked => hidden(body.len()).into(),
            Shape::Raw(error) => {
                let mut json = raw::json(body, self.show_secrets);
                if let (Some(error), Json::Object(members)) = (error, &mut json) {
                    members.insert("_error".to_owned(), error.into());
                }
                json
            }
        }
    }

    /// The same in one line of at most [`MAX_LINE`] characters, what is important first. There
    /// is nothing in it that disturbs a terminal.
    pub fn line(&self, path: &str, request: bool, body: &[u8], cut: bool) -> String {
        let (body, cut) = limited(body, cut);
        let body = &*self.redacted(path, request, body, cut);
        let line = match self.shape(path, request, body, cut) {
            Shape::Message(name, json) => line::line(&name, &json),
            Shape::Masked => hidden(body.len()),
            Shape::Raw(_) if body.is_empty() => line::EMPTY.to_owned(),
            Shape::Raw(_) => raw::line(body, self.show_secrets),
        };
        line::finish(&line, cut)
    }

    /// A packet of DiffCopy in one line: `STAT 3 src/main.c 0644 1.2 KiB`, `REQ 3`,
    /// `DATA 3 32 KiB`, `end of file 3`, `end of listing`, `FIN`, `ERR` and a text, masked.
    ///
    /// A STAT has no number on the wire: it is told if `packet.id` is not 0.
    pub fn packet(packet: &Packet) -> String {
        packet::packet(packet)
    }

    /// A message as a redacted capture has it: so what is said of it is the same, live or from
    /// a file.
    fn redacted<'a>(&self, path: &str, request: bool, body: &'a [u8], cut: bool) -> Cow<'a, [u8]> {
        match self.show_secrets {
            true => Cow::Borrowed(body),
            false => redact::plain_message(&self.schemas, path, request, body, cut),
        }
    }

    fn shape(&self, path: &str, request: bool, body: &[u8], cut: bool) -> Shape {
        let Some(descriptor) = descriptor(&self.schemas, path, request, body) else {
            let hide = secrets::is_secret_service(path) && !self.show_secrets;
            return if hide {
                Shape::Masked
            } else {
                Shape::Raw(None)
            };
        };
        let name = descriptor.full_name().to_owned();
        let decoded = match cut {
            false => DynamicMessage::decode(descriptor.clone(), body).map(|whole| (whole, None)),
            true => {
                let beginning = cut::beginning(&descriptor, body);
                DynamicMessage::decode(descriptor.clone(), beginning.body.as_slice())
                    .map(|message| (message, Some(beginning.within)))
            }
        };
        match decoded {
            Ok((message, ended)) => {
                let mut json = values::json(&self.schemas, self.show_secrets, &message);
                if let Some(within) = ended {
                    remark_cut(&mut json, &descriptor, within);
                }
                Shape::Message(name, json)
            }
            Err(_) if !self.show_secrets && secrets::may_hold_secrets(&descriptor) => Shape::Masked,
            Err(error) => Shape::Raw(Some(format!("does not parse as {name}: {error}"))),
        }
    }
}

/// The type of a message, if the schemas have it.
pub(crate) fn descriptor(
    schemas: &Schemas,
    path: &str,
    request: bool,
    body: &[u8],
) -> Option<MessageDescriptor> {
    // An exported tree comes in packets, on the path on which an archive comes in bytes
    // (BuildKit `session/filesync/diffcopy.go`). Only the latter has bytes in field 1.
    const BYTES_IN_1: u8 = 1 << 3 | 2;
    if path.eq_ignore_ascii_case("/moby.filesync.v1.FileSend/DiffCopy")
        && body.first() != Some(&BYTES_IN_1)
    {
        return schemas.message("fsutil.types.Packet");
    }
    let method = schemas.method_ignore_case(path)?;
    Some(if request {
        method.input()
    } else {
        method.output()
    })
}

/// As much of a message as is read.
fn limited(body: &[u8], cut: bool) -> (&[u8], bool) {
    match body.get(..MAX_BODY) {
        Some(beginning) if body.len() > MAX_BODY => (beginning, true),
        _ => (body, cut),
    }
}

fn hidden(len: usize) -> String {
    match len {
        0 => line::EMPTY.to_owned(),
        1 => "(1 byte, masked)".to_owned(),
        _ => format!("({len} bytes, masked)"),
    }
}

/// Says in `json` where the message was cut, and keeps the length of bytes that are not there.
fn remark_cut(json: &mut Json, descriptor: &MessageDescriptor, within: Option<cut::Within>) {
    let Json::Object(members) = json else {
        return;
    };
    let Some(within) = within else {
        members.insert("_cut".to_owned(), "ends here".into());
        return;
    };
    let mut remark = format!("ends within {}", within.path.join("."));
    if let Some(len) = within.len {
        remark.push_str(&format!(" ({len} bytes)"));
        if let ([name], Some(field)) = (within.path.as_slice(), descriptor.get_field(within.number))
            && field.kind() == prost_reflect::Kind::Bytes
            && !field.is_list()
        {
            members.insert(name.clone(), json!({ "bytes": len }));
        }
    }
    members.insert("_cut".to_owned(), remark.into());
}
