//! A message of which only the beginning is there, made into a whole one without what is missing.

use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint};
use prost_reflect::{Kind, MessageDescriptor};

use crate::wire::protobuf;

/// How many messages within each other are looked into for the place of the cut.
const MAX_DEPTH: usize = 16;

/// A message up to the cut.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Beginning {
    /// The fields that are there as a whole, encoded.
    pub(super) body: Vec<u8>,
    /// The field that is not, if the cut is within one.
    pub(super) within: Option<Within>,
}

/// The field that a message was cut in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Within {
    /// Field names from the outermost message, or numbers of fields that the schema does not have.
    pub(super) path: Vec<String>,
    /// The number of the first field of the path.
    pub(super) number: u32,
    /// The length that the innermost field announced, for one that has a length.
    pub(super) len: Option<u64>,
}

/// The beginning of a message of type `message`, of which `body` is there.
pub(super) fn beginning(message: &MessageDescriptor, body: &[u8]) -> Beginning {
    up_to_cut(message, body, MAX_DEPTH)
}

fn up_to_cut(message: &MessageDescriptor, body: &[u8], depth: usize) -> Beginning {
    let whole = protobuf::fields(body).map_while(Result::ok);
    let end = whole.last().map_or(0, |field| field.at.end);
    let (whole, mut rest) = body.split_at_checked(end).unwrap_or((body, &[]));
    let mut beginning = Beginning {
        body: whole.to_vec(),
        within: None,
    };
    let Ok((number, wire_type)) = decode_key(&mut rest) else {
        return beginning;
    };
    let field = message.get_field(number);
    let name = field
        .as_ref()
        .map_or_else(|| number.to_string(), |field| field.name().to_owned());
    let mut within = Within {
        path: vec![name],
        number,
        len: None,
    };
    if wire_type == WireType::LengthDelimited
        && let Ok(len) = decode_varint(&mut rest)
    {
        within.len = Some(len);
        if let Some(Kind::Message(inner)) = field.map(|field| field.kind())
            && let Some(depth) = depth.checked_sub(1)
        {
            let inner = up_to_cut(&inner, rest, depth);
            encode_key(number, wire_type, &mut beginning.body);
            encode_varint(inner.body.len() as u64, &mut beginning.body);
            beginning.body.extend_from_slice(&inner.body);
            if let Some(deeper) = inner.within {
                within.path.extend(deeper.path);
                within.len = deeper.len;
            }
        }
    }
    beginning.within = Some(within);
    beginning
}
