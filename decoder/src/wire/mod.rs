//! The formats on the wire: what the octets are, before anybody asks what they mean.

pub mod hpack;
pub mod protobuf;
