//! The names by which secrets are known.

/// Header fields whose values are credentials, in lower case.
const SECRET_HEADERS: [&str; 8] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "set-cookie",
    // Registry credentials of the Engine API, base64 of JSON.
    "x-registry-auth",
    "x-registry-config",
    "x-amz-security-token",
    "x-goog-iam-authorization-token",
];

/// A name is secret when it contains one of these, separators and case left aside.
const SECRET_PARTS: [&str; 14] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "credential",
    "apikey",
    "accesskey",
    "authkey",
    "privatekey",
    "signingkey",
    "encryptionkey",
    "deploykey",
    "signature",
];

/// A name is secret when its last word is one of these.
const SECRET_LAST_WORDS: [&str; 10] = [
    "key",
    "pass",
    "pwd",
    "pw",
    "auth",
    "authorization",
    "pat",
    "cred",
    "creds",
    "sig",
];

/// Whether a build argument, environment variable, attribute, flag or query parameter of this
/// name holds a secret: `NPM_TOKEN`, `build-arg:dbPassword`, `--api-key`.
pub fn is_secret_name(name: &str) -> bool {
    let plain: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    SECRET_PARTS.iter().any(|part| plain.contains(part))
        || SECRET_LAST_WORDS.contains(&last_word(name).as_str())
}

/// Whether a header field or gRPC metadata entry of this name holds a credential. The name is
/// compared without regard to case.
pub fn is_secret_header(name: &str) -> bool {
    is_secret_header_exactly(name) || is_secret_name(name)
}

pub(super) fn is_secret_header_exactly(name: &str) -> bool {
    SECRET_HEADERS
        .iter()
        .any(|secret| name.eq_ignore_ascii_case(secret))
}

/// Whether an attribute has the name of a secret: `build-arg:TOKEN` is as secret as `TOKEN`.
pub(crate) fn is_secret_attribute(name: &str) -> bool {
    is_secret_name(name.rsplit_once(':').map_or(name, |(_, bare)| bare))
}

/// Whether `word` is a flag whose value follows as a word of its own, and is secret.
pub(crate) fn announces_secret(word: &str) -> bool {
    word.starts_with('-') && !word.contains('=') && is_secret_name(word)
}

/// The last word of a name in any of the usual spellings: `key` of `API_KEY`, `apiKey`, `api.key`.
fn last_word(name: &str) -> String {
    let name = name.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    let mut word = Vec::new();
    let mut later: Option<char> = None;
    for c in name.chars().rev() {
        let hump = later.is_some_and(|later| later.is_ascii_uppercase() && c.is_ascii_lowercase());
        if !c.is_ascii_alphanumeric() || hump {
            break;
        }
        word.push(c.to_ascii_lowercase());
        later = Some(c);
    }
    word.into_iter().rev().collect()
}
