//! A decoded header block.

/// One header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name, in lower case on any well-formed connection; `:path` and such included.
    pub name: String,
    /// Its value; bytes that are not UTF-8 are replaced.
    pub value: String,
    /// Whether the sender asked that it is never indexed (RFC 7541 §6.2.3): likely a secret.
    pub never_indexed: bool,
}

/// The fields of one header block, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// The fields.
    pub fields: Vec<Header>,
    /// How many bytes the block took on the wire.
    pub block_bytes: usize,
}

impl Headers {
    /// The value of the first field with this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|field| field.name == name)
            .map(|field| field.value.as_str())
    }

    /// Its size as SETTINGS_MAX_HEADER_LIST_SIZE counts (RFC 9113 §6.5.2).
    pub fn list_size(&self) -> usize {
        self.fields.iter().fold(0, |size, field| {
            size.saturating_add(field.name.len())
                .saturating_add(field.value.len())
                .saturating_add(32)
        })
    }

    /// The fields that are not pseudo headers, as pairs.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields
            .iter()
            .filter(|field| !field.name.starts_with(':'))
            .map(|field| (field.name.as_str(), field.value.as_str()))
    }
}
