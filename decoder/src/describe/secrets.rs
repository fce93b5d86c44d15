//! Which fields hold what must not be shown, whatever is in them.

use std::collections::HashSet;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

/// Why a field is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// It is a secret: only its length is told.
    Secret,
    /// It is the contents of files, or a connection inside the connection: it may hold anything,
    /// and is of no use to a reader.
    Contents,
}

/// The rule for a field, by the full name of its message and its number. Numbers, since a user's
/// schema may spell names differently, and the wire knows numbers only.
pub(crate) fn rule(message: &str, number: u32) -> Option<Rule> {
    match (message, number) {
        // data
        ("moby.buildkit.secrets.v1.GetSecretResponse", 1)
        // Secret
        | ("moby.filesync.v1.CredentialsResponse", 2)
        // Token
        | ("moby.filesync.v1.FetchTokenResponse", 1)
        // Salt
        | ("moby.filesync.v1.GetTokenAuthorityRequest", 2)
        // Payload, Salt
        | ("moby.filesync.v1.VerifyTokenAuthorityRequest", 2 | 3)
        // Signed
        | ("moby.filesync.v1.VerifyTokenAuthorityResponse", 1)
        // data: the agent's protocol
        | ("moby.sshforward.v1.BytesMessage", 1) => Some(Rule::Secret),
        // data: an HTTP/2 connection with all of a session; an exported tar; an uploaded one
        ("moby.buildkit.v1.BytesMessage", 1)
        | ("moby.filesync.v1.BytesMessage", 1)
        | ("moby.upload.v1.BytesMessage", 1)
        // data, which is text in an ERR packet: see `values`
        | ("fsutil.types.Packet", 4) => Some(Rule::Contents),
        _ => None,
    }
}

/// The packages whose business is secrets: in their messages nothing is shown that is not known.
const SECRET_PACKAGES: [&str; 3] = [
    "moby.buildkit.secrets.v1.",
    "moby.filesync.v1.",
    "moby.sshforward.v1.",
];

/// Whether a message is from a package whose business is secrets.
pub(crate) fn is_of_secret_package(full_name: &str) -> bool {
    SECRET_PACKAGES
        .iter()
        .any(|package| full_name.starts_with(package))
}

/// Whether `path` belongs to a service of those packages, in whatever case.
pub(crate) fn is_secret_service(path: &str) -> bool {
    let path = path.strip_prefix('/').unwrap_or(path);
    SECRET_PACKAGES.iter().any(|package| {
        path.get(..package.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(package))
    })
}

/// Whether a message of this type that does not parse may hold secrets which its fields would
/// have told: it has a field with a [`Rule`] anywhere, or attributes by name itself.
pub(crate) fn may_hold_secrets(message: &MessageDescriptor) -> bool {
    if is_of_secret_package(message.full_name()) || message.fields().any(|f| is_attributes(&f)) {
        return true;
    }
    let mut seen = HashSet::new();
    let mut open = vec![message.clone()];
    while let Some(message) = open.pop() {
        for field in message.fields() {
            if rule(message.full_name(), field.number()).is_some() {
                return true;
            }
            if let Kind::Message(inner) = field.kind()
                && seen.insert(inner.full_name().to_owned())
            {
                open.push(inner);
            }
        }
    }
    false
}

/// Whether a field is a map from names to text or bytes.
fn is_attributes(field: &FieldDescriptor) -> bool {
    let Kind::Message(entry) = field.kind() else {
        return false;
    };
    field.is_map()
        && entry.map_entry_key_field().kind() == Kind::String
        && matches!(
            entry.map_entry_value_field().kind(),
            Kind::String | Kind::Bytes
        )
}
