//! What is masked, and what is not.

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

#[test]
fn members_of_json_inside_text() {
    for (text, masked) in [
        (
            r#"got {"token": "a:b", "x":"y"} from u"#,
            r#"got {"token": "***", "x":"y"} from u"#,
        ),
        (r#"{"token":"a\"b","x":"y""#, r#"{"token":"***","x":"y""#),
        (
            r#"x {\"pw\":\"a b\",\"x\":1}"#,
            r#"x {\"pw\":\"***\",\"x\":1}"#,
        ),
        (r#"x {"pw":"a b"#, r#"x {"pw":"***"#),
        (r#"x {"pw":"","y":"z"}"#, r#"x {"pw":"","y":"z"}"#),
        (
            r#"secret "NPM_TOKEN": not found"#,
            r#"secret "NPM_TOKEN": not found"#,
        ),
        (
            r#"RUN ["login", "--password", "x y", "h"]"#,
            // The words take the comma for the value, too.
            r#"RUN ["login", "--password"***"***", "h"]"#,
        ),
        ("\":\":", "\":\":"),
    ] {
        assert_eq!(mask_text(text), masked);
    }
}

/// The quote that seems to end one string begins another, which is secret as well.
#[test]
fn a_secret_behind_a_quote_that_is_not_closed() {
    for text in [
        "--token' API_KEY='a 0Secret0' ",
        "--password\"TOKEN=\"0Secret0\"",
    ] {
        let masked = mask_text(text);
        assert!(!masked.contains("0Secret0"), "{masked}");
    }
}

#[test]
fn header_values() {
    for (name, value, masked) in [
        ("Authorization", "Basic x", MASK),
        ("authorization", "", ""),
        (":path", "/build?token=t&q=1", "/build?token=***&q=1"),
        ("location", "https://u:p@h/x", "https://***@h/x"),
        ("dir-name", "context", "context"),
    ] {
        assert_eq!(mask_header(name, value), masked, "{name}");
    }
    // Read as it was meant.
    let message = "login --password%20hunter2 failed";
    assert!(!mask_header("grpc-message", message).contains("hunter2"));
}
