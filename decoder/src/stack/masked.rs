//! What is written down of headers and attributes: without the secrets, unless asked otherwise.

use crate::core::Core;
use crate::protocol::mask::{MASK, is_secret_header, mask_text, mask_url, mask_value};

/// Header fields as pairs.
pub(super) fn headers<'a>(
    core: &Core,
    fields: impl Iterator<Item = (&'a str, &'a str)>,
) -> Vec<(String, String)> {
    let show = core.options.show_secrets;
    fields
        .map(|(name, value)| {
            let value = match () {
                () if show => value.to_owned(),
                () if is_secret_header(name) => MASK.to_owned(),
                () => mask_text(value).into_owned(),
            };
            (name.to_owned(), value)
        })
        .collect()
}

/// Attributes of a frontend or an exporter, by name.
pub(super) fn attrs<'a>(
    core: &Core,
    attrs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Vec<(String, String)> {
    let show = core.options.show_secrets;
    let mut attrs: Vec<_> = attrs
        .into_iter()
        .map(|(name, value)| {
            // `build-arg:TOKEN` is as secret as TOKEN.
            let bare = name.rsplit_once(':').map_or(name, |(_, bare)| bare);
            let value = if show {
                value.to_owned()
            } else {
                mask_value(bare, value).into_owned()
            };
            (name.to_owned(), value)
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
