//! What is written down of headers and attributes: without the secrets, unless asked otherwise.

use crate::core::Core;
use crate::protocol::mask::{mask_header, mask_text, mask_url, mask_value};
use crate::text::head;

/// Attributes that are written down of one frontend or exporter.
const ATTR_LIMIT: usize = 256;
/// Bytes of one name or value.
const ATTR_BYTES: usize = 4 << 10;

/// Bytes that are kept of a text.
const TEXT_BYTES: usize = 16 << 10;
/// Bytes that are kept of the headers of one message.
const HEADER_BYTES: usize = 64 << 10;

/// Text that a peer wrote for people: errors, names of steps, standard error.
pub(super) fn text(show_secrets: bool, text: &str) -> String {
    let text = head(text, TEXT_BYTES);
    match show_secrets {
        true => text.to_owned(),
        false => mask_text(text).into_owned(),
    }
}

/// Header fields as pairs, as far as there is room for them.
pub(super) fn headers<'a>(
    core: &Core,
    fields: impl Iterator<Item = (&'a str, &'a str)>,
) -> Vec<(String, String)> {
    let show = core.options.show_secrets;
    let mut room = HEADER_BYTES;
    fields
        .take_while(|(name, value)| {
            let left = room
                .checked_sub(name.len())
                .and_then(|room| room.checked_sub(value.len()));
            room = left.unwrap_or(0);
            left.is_some()
        })
        .map(|(name, value)| {
            let value = match show {
                true => value.to_owned(),
                false => mask_header(name, value).into_owned(),
            };
            (name.to_owned(), value)
        })
        .collect()
}

/// Bytes of such pairs.
pub(super) fn weight(pairs: &[(String, String)]) -> usize {
    let bytes = |(name, value): &(String, String)| name.len().saturating_add(value.len());
    pairs.iter().map(bytes).fold(0, usize::saturating_add)
}

/// Attributes of a frontend or an exporter, by name.
pub(super) fn attrs<'a>(
    core: &Core,
    attrs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Vec<(String, String)> {
    let show = core.options.show_secrets;
    let mut attrs: Vec<_> = attrs
        .into_iter()
        .take(ATTR_LIMIT)
        .map(|(name, value)| {
            // `build-arg:TOKEN` is as secret as TOKEN.
            let bare = name.rsplit_once(':').map_or(name, |(_, bare)| bare);
            let value = if show {
                value.to_owned()
            } else {
                mask_value(bare, value).into_owned()
            };
            (
                head(name, ATTR_BYTES).to_owned(),
                head(&value, ATTR_BYTES).to_owned(),
            )
        })
        .collect();
    attrs.sort_unstable();
    attrs
}

/// A request target: its query may hold anything.
pub(super) fn target(core: &Core, target: &str) -> String {
    match core.options.show_secrets {
        true => target.to_owned(),
        false => mask_url(target).into_owned(),
    }
}
