//! What must not be shown: the rules by which secrets are known by their names, and their
//! replacement in text. Whatever is printed, drawn or exported goes through here, unless the
//! person asked to see secrets.
//!
//! The rules err on the side of masking. Masking inside captured bytes, which must keep every
//! length, is not done here.

use std::borrow::Cow;

use serde_json::Value;

/// What is shown in the place of a secret.
pub const MASK: &str = "***";

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
const SECRET_LAST_WORDS: [&str; 9] = [
    "key", "pass", "pwd", "pw", "auth", "pat", "cred", "creds", "sig",
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

fn is_secret_header_exactly(name: &str) -> bool {
    SECRET_HEADERS
        .iter()
        .any(|secret| name.eq_ignore_ascii_case(secret))
}

/// The value of a named thing as it may be shown.
pub fn mask_value<'a>(name: &str, value: &'a str) -> Cow<'a, str> {
    if value.is_empty() {
        Cow::Borrowed(value)
    } else if is_secret_name(name) {
        Cow::Borrowed(MASK)
    } else {
        mask_text(value)
    }
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

/// A URL, or the target of a request, without its credentials: the user information, and the
/// secret values of its query, also inside JSON or another URL there. The login names of SSH and
/// `git@` stay, a password does not. Anything else is given back as it is.
pub fn mask_url(url: &str) -> Cow<'_, str> {
    match mask_query(url) {
        Cow::Borrowed(url) => mask_users(url),
        Cow::Owned(url) => mask_users(&url).into_owned().into(),
    }
}

/// Masks the user information of every URL in `text`.
fn mask_users(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut masked = false;
    let mut rest = text;
    while let Some((scheme, after)) = rest.split_once("://") {
        let end = after.find(['/', '?', '#']).unwrap_or(after.len());
        let (authority, behind) = after.split_at_checked(end).unwrap_or((after, ""));
        out.push_str(scheme);
        out.push_str("://");
        match authority.rsplit_once('@') {
            Some((user, host)) if is_secret_user(scheme, user) => {
                masked = true;
                out.push_str(MASK);
                out.push('@');
                out.push_str(host);
            }
            _ => out.push_str(authority),
        }
        rest = behind;
    }
    if masked {
        out.push_str(rest);
        Cow::Owned(out)
    } else {
        Cow::Borrowed(text)
    }
}

fn is_secret_user(scheme: &str, user: &str) -> bool {
    // A token can stand alone, in the place of the user.
    !user.is_empty() && (user.contains(':') || !(user == "git" || scheme.ends_with("ssh")))
}

/// Masks the secret values in the query of `url`, if it has one.
fn mask_query(url: &str) -> Cow<'_, str> {
    let Some((before, after)) = url.split_once('?') else {
        return Cow::Borrowed(url);
    };
    let end = after.find('#').unwrap_or(after.len());
    let (query, fragment) = after.split_at_checked(end).unwrap_or((after, ""));
    let mut masked = false;
    let pairs: Vec<Cow<'_, str>> = query
        .split('&')
        .map(|pair| {
            match pair
                .split_once('=')
                .map(|(name, value)| (name, mask_parameter(name, value)))
            {
                Some((name, Some(value))) => {
                    masked = true;
                    format!("{name}={value}").into()
                }
                _ => Cow::Borrowed(pair),
            }
        })
        .collect();
    if masked {
        format!("{before}?{}{fragment}", pairs.join("&")).into()
    } else {
        Cow::Borrowed(url)
    }
}

/// The value of a query parameter with what is secret in it masked; None if nothing is.
fn mask_parameter(name: &str, value: &str) -> Option<String> {
    if value.is_empty() {
        return None;
    }
    if is_secret_name(name) {
        return Some(MASK.to_owned());
    }
    // Of a pair without `=` all is the name.
    let (plain, _) = form_urlencoded::parse(value.as_bytes()).next()?;
    let plain = if value.contains(['=', '&']) {
        Cow::Borrowed(value)
    } else {
        plain
    };
    let masked = if plain.starts_with(['{', '[']) {
        let mut json = serde_json::from_str(&plain).ok()?;
        mask_json(&mut json).then(|| json.to_string())
    } else {
        match mask_users(&plain) {
            Cow::Borrowed(_) => None,
            Cow::Owned(masked) => Some(masked),
        }
    }?;
    Some(form_urlencoded::byte_serialize(masked.as_bytes()).collect())
}

/// Masks the members with secret names in a JSON value, at any depth, and the credentials of
/// URLs. Gives whether there were any.
pub fn mask_json(value: &mut Value) -> bool {
    match value {
        Value::String(text) => match mask_users(text) {
            Cow::Borrowed(_) => false,
            Cow::Owned(masked) => {
                *text = masked;
                true
            }
        },
        // `|`: every element is masked.
        Value::Array(list) => list
            .iter_mut()
            .fold(false, |any, each| mask_json(each) | any),
        Value::Object(members) => members.iter_mut().fold(false, |any, (name, member)| {
            let secret = is_secret_name(name)
                && match member {
                    Value::String(text) => !text.is_empty(),
                    Value::Number(_) => true,
                    _ => false,
                };
            if secret {
                *member = MASK.into();
            }
            secret | mask_json(member) | any
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Text that somebody wrote, such as a shell command or an error message, without the secrets
/// that can be told from their surroundings: credentials in URLs, `NAME=value` and
/// `--name value` with a secret name, `Authorization: …` and `Bearer …`.
pub fn mask_text(text: &str) -> Cow<'_, str> {
    // Everything that is masked follows one of these, or a word for an authentication scheme.
    if !text.contains([':', '=', '-']) && !contains_scheme(text) {
        return Cow::Borrowed(text);
    }
    let mut masker = Masker {
        out: String::with_capacity(text.len()),
        secret: Secret::No,
        quote: None,
    };
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if is_separator(first) {
            masker.separator(first, rest)
        } else {
            let end = rest.find(is_separator).unwrap_or(rest.len());
            masker.word(rest.get(..end).unwrap_or_default());
            end
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    if masker.out == text {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(masker.out)
    }
}

fn contains_scheme(text: &str) -> bool {
    let mut words = text.split(is_separator);
    words.any(is_scheme)
}

/// Whether a word announces credentials (RFC 9110 §11.4).
fn is_scheme(word: &str) -> bool {
    word.eq_ignore_ascii_case("bearer") || word.eq_ignore_ascii_case("basic")
}

/// Whether what follows `Basic` or `Bearer` is credentials rather than prose or a parameter.
fn looks_like_credentials(word: &str) -> bool {
    let odd = |c: char| c.is_ascii_digit() || c.is_ascii_uppercase();
    word.len() >= 6 && word.chars().skip(1).any(odd)
}

/// Whether `name: ` in text announces a secret. Error messages put all sorts of words in front
/// of a colon ("secret NPM_TOKEN: not found"), so a secret name alone does not count.
fn is_secret_label(name: &str) -> bool {
    is_secret_header_exactly(name)
        || name.eq_ignore_ascii_case("password")
        || (name.get(..2).is_some_and(|x| x.eq_ignore_ascii_case("x-")) && is_secret_name(name))
}

fn is_separator(c: char) -> bool {
    c.is_whitespace() || is_quote(c) || matches!(c, '(' | ')' | '<' | '>' | '|' | ';')
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\'' | '`')
}

/// Which of the text to come is secret.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Secret {
    No,
    /// A quoted string, if one follows at once.
    Quoted,
    /// The next word, or quoted string.
    Word,
    /// The next word, if it looks like credentials.
    Credentials,
    /// The rest of the line or quoted string.
    Line,
    /// As `Line`, and the mask stands already.
    Masked,
}

struct Masker {
    out: String,
    secret: Secret,
    /// The quote that a string was opened with and not closed yet.
    quote: Option<char>,
}

impl Masker {
    /// Copies a separator, which `rest` begins with, or masks the quoted string that it opens.
    /// Gives how many bytes of `rest` are done.
    fn separator(&mut self, separator: char, rest: &str) -> usize {
        let length = separator.len_utf8();
        let closes = self.quote == Some(separator);
        match self.secret {
            Secret::Quoted | Secret::Word if is_quote(separator) => {
                self.secret = Secret::No;
                let quoted = rest.get(length..).unwrap_or_default();
                let end = quoted.find(separator).unwrap_or(quoted.len());
                self.out.push(separator);
                self.out.push_str(if end > 0 { MASK } else { "" });
                let done = length.saturating_add(end);
                let closed = end < quoted.len();
                if closed {
                    self.out.push(separator);
                }
                return done.saturating_add(if closed { length } else { 0 });
            }
            Secret::Line | Secret::Masked if closes || separator == '\n' => {
                self.secret = Secret::No;
            }
            Secret::Line if is_quote(separator) => {
                self.out.push_str(MASK);
                self.secret = Secret::Masked;
                return length;
            }
            Secret::Masked => return length,
            Secret::Quoted => self.secret = Secret::No,
            Secret::Word | Secret::Credentials | Secret::Line | Secret::No => {}
        }
        if closes {
            self.quote = None;
        } else if is_quote(separator) && self.quote.is_none() {
            self.quote = Some(separator);
        }
        self.out.push(separator);
        length
    }

    fn word(&mut self, word: &str) {
        let secret = std::mem::replace(&mut self.secret, Secret::No);
        match secret {
            Secret::Masked => self.secret = Secret::Masked,
            Secret::Line => {
                self.out.push_str(MASK);
                self.secret = Secret::Masked;
            }
            Secret::Word | Secret::Credentials | Secret::Quoted | Secret::No => {
                let announced = announcement(word);
                self.secret = announced.map_or(Secret::No, |(_, next)| next);
                if secret == Secret::Word
                    || secret == Secret::Credentials && looks_like_credentials(word)
                {
                    self.out.push_str(MASK);
                } else if let Some((length, _)) = announced {
                    let (shown, value) = word.split_at_checked(length).unwrap_or((word, ""));
                    self.out.push_str(shown);
                    self.out.push_str(if value.is_empty() { "" } else { MASK });
                } else {
                    self.out.push_str(&mask_url(word));
                }
            }
        }
    }
}

/// Whether `word` announces a secret: how much of it may be shown, the rest being secret, and
/// what of the following text is.
fn announcement(word: &str) -> Option<(usize, Secret)> {
    if is_scheme(word) {
        return Some((word.len(), Secret::Credentials));
    }
    if word.strip_suffix(':').is_some_and(is_secret_label) {
        return Some((word.len(), Secret::Line));
    }
    // An assignment may be inside another one: `--build-arg=TOKEN=…`. Of a URL only the part in
    // front can be one.
    let names = word.split_once("://").map_or(word, |(before, _)| before);
    let mut start = 0_usize;
    for (at, sign) in names.match_indices(['=', ':', ',', '&']) {
        let name = names.get(start..at).unwrap_or_default();
        start = at.saturating_add(1);
        if sign == "=" && is_secret_name(name) {
            let empty = start == word.len();
            let next = if empty { Secret::Quoted } else { Secret::No };
            return Some((start, next));
        }
        // As in `Authorization:Bearer …`.
        if sign == ":" && is_secret_header_exactly(name) {
            return Some((start, Secret::Masked));
        }
    }
    let flag = word.starts_with("--") && !word.contains('=') && is_secret_name(word);
    flag.then_some((word.len(), Secret::Word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_names() {
        for name in [
            "NPM_TOKEN",
            "build-arg:dbPassword",
            "--api-key",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_ACCESS_KEY_ID",
            "GITHUB_PAT",
            "apiKey",
            "MYSQL_PWD",
            "pass",
            "X-Amz-Signature",
            "HTTP_BASIC_AUTH",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "VERSION",
            "KEYCLOAK_VERSION",
            "--keyserver",
            "COMPASS",
            "PATH",
            "monkey",
            "",
            "AUTHOR",
            "BUILDKIT_INLINE_CACHE",
            "x-docker-expose-session-sharedkey",
            "x-docker-expose-session-uuid",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
        for name in [
            "Authorization",
            "X-Registry-Config",
            "x-registry-auth",
            "COOKIE",
            "X-Auth-Token",
        ] {
            assert!(is_secret_header(name), "{name}");
        }
        assert!(!is_secret_header("Content-Type"));
    }

    #[test]
    fn urls() {
        for (url, masked) in [
            (
                "https://bob:hunter2@example.com/x#main",
                "https://***@example.com/x#main",
            ),
            (
                "https://ghp_abc@github.com/x.git",
                "https://***@github.com/x.git",
            ),
            (
                "git://ghp_abc@github.com/x.git",
                "git://***@github.com/x.git",
            ),
            ("https://a@b:c@d@example.com", "https://***@example.com"),
            ("ssh://git@github.com/x.git", "ssh://git@github.com/x.git"),
            ("ssh://root:pw@host/x", "ssh://***@host/x"),
            ("git@github.com:x/y.git", "git@github.com:x/y.git"),
            (
                "https://e.com/?a=1&access_token=t#f",
                "https://e.com/?a=1&access_token=***#f",
            ),
            ("https://e.com/a@b?c=d", "https://e.com/a@b?c=d"),
            (
                "docker-image://docker.io/library/alpine@sha256:00",
                "docker-image://docker.io/library/alpine@sha256:00",
            ),
            ("local://context", "local://context"),
            (
                "a=https://u:p@h/,https://v:q@i",
                "a=https://***@h/,https://***@i",
            ),
            ("/v1.47/exec/1/start", "/v1.47/exec/1/start"),
            (
                "/build?remote=https%3A%2F%2Ftok%40github.com%2Fx&t=a%2Fb",
                "/build?remote=https%3A%2F%2F***%40github.com%2Fx&t=a%2Fb",
            ),
            (
                "/build?buildargs=%7B%22NPM_TOKEN%22%3A%22x%22%2C%22V%22%3A%221%22%7D&q=1",
                "/build?buildargs=%7B%22NPM_TOKEN%22%3A%22***%22%2C%22V%22%3A%221%22%7D&q=1",
            ),
            (
                "/build?cachefrom=[{\"Attrs\":{\"token\":\"x\"}}]",
                "/build?cachefrom=%5B%7B%22Attrs%22%3A%7B%22token%22%3A%22***%22%7D%7D%5D",
            ),
        ] {
            assert_eq!(mask_url(url), masked);
        }
    }

    #[test]
    fn text() {
        for (text, masked) in [
            ("", ""),
            ("apk add --no-cache git", "apk add --no-cache git"),
            (
                "curl -H 'Authorization: Bearer abc def' https://u:p@h/x",
                "curl -H 'Authorization: ***' https://***@h/x",
            ),
            (
                "curl -H \"X-Api-Key: abc\" h",
                "curl -H \"X-Api-Key: ***\" h",
            ),
            ("Bearer eyJ0.e30.x rest", "Bearer *** rest"),
            (
                "Bearer realm=\"https://h/\", basic authentication",
                "Bearer realm=\"https://h/\", basic authentication",
            ),
            ("secret NPM_TOKEN: not found", "secret NPM_TOKEN: not found"),
            ("TOKEN=abc make && A=b ./x", "TOKEN=*** make && A=b ./x"),
            ("PASSWORD='a b' make", "PASSWORD='***' make"),
            ("PASSWORD= make", "PASSWORD= make"),
            (
                "docker login --password hunter2 -u bob",
                "docker login --password *** -u bob",
            ),
            (
                "x --token=\"t 1\" --build-arg=KEY=v z",
                "x --token=\"***\" --build-arg=KEY=*** z",
            ),
            (
                "failed: GET https://h/?token=abc&x=1: 403",
                "failed: GET https://h/?token=***&x=1: 403",
            ),
            ("PROXY=http://u:p@h:1/", "PROXY=http://***@h:1/"),
            (
                "--mount=type=secret,id=npm echo",
                "--mount=type=secret,id=npm echo",
            ),
            ("Cookie:a=b", "Cookie:***"),
            ("password: \"a b\" c\nd", "password: ***\nd"),
            ("'password: a' b", "'password: ***' b"),
            ("can't TOKEN='a b' c", "can't TOKEN='***' c"),
            ("ünïcode: «TOKEN=é»", "ünïcode: «TOKEN=***"),
            ("--secret", "--secret"),
        ] {
            assert_eq!(mask_text(text), masked);
        }
        assert_eq!(mask_value("API_KEY", "x"), MASK);
        assert_eq!(mask_value("API_KEY", ""), "");
        assert_eq!(mask_value("REPO", "https://t@h/"), "https://***@h/");
    }

    proptest::proptest! {
        #[test]
        fn a_secret_is_masked_in_any_surroundings(
            before in "([a-zA-Zé=:@/?&\"{},# -]|://|token|Bearer ){0,20}",
            secret in proptest::sample::select(vec![
                "TOKEN=0Secret0", "https://u:0Secret0@h/", "--password 0Secret0", "Authorization: Bearer 0Secret0",
                "API_KEY='a 0Secret0'", "https://h/?a=b&token=0Secret0", "Basic 0Secret0==", "Cookie:x 0Secret0",
            ]),
            after in "[a-z =:'\"]{0,9}",
        ) {
            let text = format!("{before} {secret} {after}");
            let masked = mask_text(&text);
            proptest::prop_assert!(!masked.contains("0Secret0"), "{}", masked);
            mask_url(&text);
        }
    }
}
