//! `docs/filter.md`, made from the table of fields.

use super::lexer::Operator;
use super::parse::operators;
use super::{Field, Type, Words};

const BEGINNING: &str = r#"# Filters

Which lines `buildtap show --filter EXPR` prints, and which rows the terminal views show.
This document is made from the table in `decoder/src/filter/fields.rs`:
`BUILDTAP_WRITE_DOCS=1 cargo test -p buildtap-decoder --test filter` writes it anew.

```text
service == FileSend && bytes > 1MiB        large exports
state == open                              what has not ended
status != OK                               what was answered with an error
path ~ "node_modules"                      files and requests with that in their path
waiting_on == client                       what the client keeps waiting
status in (CANCELLED, UNAVAILABLE) || severity >= warning
Dockerfile && kind == file                 a word that stands anywhere in what is said of a file
```

## Writing

- A comparison is a field, an operator and a value. A thing that has no such field, or no value in it, is not matched,
  by `!=` and `!~` neither; `has(error)` asks whether there is a value.
- `&&`, `||`, `!` and parentheses join comparisons; `!` binds closest, then `&&`, then `||`. What stands side by side is
  joined by `&&`.
- `field in (a, b)` is `(field == a || field == b)`.
- `~` and `!~` take a regular expression, in the [syntax of Rust's regex](https://docs.rs/regex/latest/regex/#syntax), which
  may match anywhere in the value; `(?i)` at its beginning disregards case.
- A word or a text in quotes by itself is looked for, whatever its case, in the fields with a `*` below.
- A value with spaces or with one of `"'()&|!=<>~,` in it needs quotes, `"…"` or `'…'`. Nothing needs a backslash in them but
  a `"` in `"…"`.
- Words (fields of the type word) are compared without regard to case, other texts with.
- Sizes are in `B`, `KB`, `MB`, `GB`, `TB` (powers of 1000) or `KiB`, `MiB`, `GiB`, `TiB` (of 1024), bytes if nothing is
  said. Durations are in `ns`, `us`, `ms`, `s`, `m` or `min`, `h`, `d`, and may be put together: `1m30s`.

A file belongs to its transfer, a transfer and a message to their call, a step to its build, a finding to what it is about.
They have the fields of those, too, where they have no value of their own, but for `kind`, `id`, `name` and `state`.

## What `show --filter` keeps

Lines, or JSON objects, about things that match, and about what belongs to them: the messages of a call, the files of a
transfer, the steps of a build, the findings about any of these. The lines of the connection or session that something
runs on are not kept for its sake. Neither is the summary.

What matches is decided by how things stand at the end of the file, which is read twice for that: `state == open` is what
never ended, and `bytes > 1MiB` keeps the first line of a call that has sent so much only later. A file that is followed
(`--follow`), and standard input, are read once: there it is decided by how things stand when the line is written.

## Fields

| field | type | operators | what it is |
|---|---|---|---|
"#;

/// All of it in Markdown.
pub fn document() -> String {
    let mut out = BEGINNING.to_owned();
    for field in Field::ALL {
        let star = if field.is_searched() { " *" } else { "" };
        let kind = match field.kind() {
            Type::Text => "text",
            Type::Word(_) => "word",
            Type::Number => "number",
            Type::Size => "size",
            Type::Duration => "duration",
            Type::Flag => "flag",
        };
        let symbols: Vec<String> = operators(field.kind())
            .iter()
            .map(|operator| format!("`{}`", operator.as_str()))
            .collect();
        out.push_str(&format!(
            "| `{}`{star} | {kind} | {} | {} |\n",
            field.name(),
            symbols.join(" "),
            field.help()
        ));
    }
    out.push_str("\nThe words that are known:\n\n");
    for field in Field::ALL {
        let Type::Word(words) = field.kind() else {
            continue;
        };
        let known: Vec<String> = words
            .known()
            .iter()
            .map(|word| format!("`{word}`"))
            .collect();
        let others = match words {
            Words::Only(_) => "",
            Words::Ordered(_) => ", in this order",
            Words::OrNumber(_) => ", or a number",
            Words::Some([]) => "see [findings.md](findings.md)",
            Words::Some(_) => ", and others",
        };
        out.push_str(&format!(
            "- `{}`: {}{others}.\n",
            field.name(),
            known.join(", ")
        ));
    }
    debug_assert!(Operator::ALL.iter().all(|one| out.contains(one.as_str())));
    out
}
