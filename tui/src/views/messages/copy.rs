//! A message in forms for other programs.

use std::fmt::Write as _;

use buildtap_decoder::describe::tree::Tree;
use buildtap_decoder::trace::Call;

use super::{Messages, Pane};
use crate::keys::Action;
use crate::model::Message;
use crate::view::{Context, Outcome};

/// What a message says, as JSON.
pub(super) fn json(cx: &Context<'_>, call: &Call, message: &Message<'_>) -> Option<String> {
    let request = message.from == call.caller;
    let said = cx
        .describer
        .json(&call.path(), request, message.body?, message.cut);
    Some(format!("{said:#}"))
}

/// The bytes of a message, as far as they are kept, secrets overwritten.
pub(super) fn tree(cx: &Context<'_>, call: &Call, message: &Message<'_>) -> Option<Tree> {
    let request = message.from == call.caller;
    let body = message.body?;
    Some(cx.describer.tree(&call.path(), request, body, message.cut))
}

/// Bytes as hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A line for a shell that says the same again: what buildtap does not show, a secret, is not in
/// it. The names of fields are those of the schema.
pub(super) fn grpcurl(cx: &Context<'_>, call: &Call, message: &Message<'_>) -> Option<String> {
    let request = message.from == call.caller;
    let said = cx
        .describer
        .json(&call.path(), request, message.body?, message.cut);
    let mut connection = cx.store.trace().connections.get(call.connection);
    // The outermost one is where somebody listens.
    while let Some((outer, _)) = connection.and_then(|row| row.parent) {
        connection = cx.store.trace().connections.get(outer);
    }
    let daemon = connection.map_or("", |row| row.endpoints.daemon.as_str());
    let address = match daemon.strip_prefix("unix://") {
        Some(path) => format!("-unix {}", quoted(path)),
        None => quoted(daemon.trim_start_matches("tcp://")),
    };
    Some(format!(
        "grpcurl -plaintext -d {} {address} {}",
        quoted(&said.to_string()),
        quoted(call.path().trim_start_matches('/'))
    ))
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

impl Messages {
    /// Copies the message under the cursor, or the field.
    pub(super) fn copied(&self, action: Action, cx: &Context<'_>) -> Outcome {
        let Some((call, message)) = self.selected_message(cx) else {
            return Outcome::Say("there is no message under the cursor".to_owned());
        };
        let copied = match action {
            Action::CopyJson => json(cx, call, &message).map(|it| (it, "the message as JSON")),
            Action::CopyGrpcurl => grpcurl(cx, call, &message).map(|it| (it, "a line for grpcurl")),
            _ => self.parts().map(|parts| match self.pane {
                Pane::List => (hex(&parts.bytes), "the message as hex"),
                Pane::Tree | Pane::Bytes => {
                    let part = parts.on(self.tree.selected());
                    let range = part.map_or(0..0, |(_, part)| part.node.range.clone());
                    let bytes = parts.bytes.get(range).unwrap_or_default();
                    (hex(bytes), "the field as hex")
                }
            }),
        };
        match copied {
            Some((text, _)) if text.is_empty() => Outcome::Say("it has no bytes".to_owned()),
            Some((text, what)) => Outcome::Copy(text, what),
            None => Outcome::Say("its bytes are not kept any more".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_a_shell() {
        assert_eq!(quoted("/run/docker.sock"), "/run/docker.sock");
        assert_eq!(quoted(r#"{"a":"it's"}"#), r#"'{"a":"it'\''s"}'"#);
        assert_eq!(quoted(""), "''");
        assert_eq!(hex(b"\x00\xff"), "00ff");
    }
}
