//! The `Link` header of RFC 8288, read as its appendix B.2 says: whatever is malformed is skipped, nothing fails.

/// The target of the first link whose relation is `next`, as sent; `None` when there is none, or when it says of itself that it
/// leads to nothing (`results="false"`, as Sentry sends it).
pub fn next_target<'a>(values: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    values.into_iter().flat_map(Links).find(|link| link.leads_on).map(|link| link.target)
}

/// One link of a header.
struct Link<'a> {
    target: &'a str,
    leads_on: bool,
}

/// The links of one header value; what is left of it.
struct Links<'a>(&'a str);

impl<'a> Iterator for Links<'a> {
    type Item = Link<'a>;

    fn next(&mut self) -> Option<Link<'a>> {
        let start = self.0.find('<')?;
        let (target, mut rest) = self.0[start + 1..].split_once('>')?;
        let mut next = None;
        let mut empty = false;
        let mut elsewhere = false;
        loop {
            rest = rest.trim_start();
            let Some(parameter) = rest.strip_prefix(';') else { break };
            let end = parameter.find(['=', ';', ',']).unwrap_or(parameter.len());
            let name = parameter[..end].trim();
            rest = &parameter[end..];
            let mut value = "";
            if let Some(after) = rest.strip_prefix('=') {
                (value, rest) = parameter_value(after.trim_start());
            }
            if name.eq_ignore_ascii_case("rel") {
                // Of several rel parameters only the first counts (§3.3).
                next = next.or(Some(value.split_ascii_whitespace().any(|rel| rel.eq_ignore_ascii_case("next"))));
            } else if name.eq_ignore_ascii_case("results") {
                empty = value.eq_ignore_ascii_case("false");
            } else if name.eq_ignore_ascii_case("anchor") {
                elsewhere = true;
            }
        }
        self.0 = rest;
        Some(Link { target: target.trim(), leads_on: next == Some(true) && !empty && !elsewhere })
    }
}

/// A parameter's value and what follows. Escapes in a quoted value are left in: none of the values that count has any.
fn parameter_value(text: &str) -> (&str, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',']).unwrap_or(text.len());
        return (text[..end].trim(), &text[end..]);
    };
    let mut escaped = false;
    for (at, c) in quoted.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return (&quoted[..at], &quoted[at + 1..]),
            _ => {}
        }
    }
    (quoted, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn finds_the_next_link() {
        for (value, target) in [
            (r#"<https://a/?p=2>; rel="next", <https://a/?p=9>; rel="last""#, Some("https://a/?p=2")),
            (r#"<https://a/?p=1>; rel="prev", </x?p=3>; rel="next""#, Some("/x?p=3")),
            ("<?p=2>;rel=next", Some("?p=2")),
            (r#"<a>; title="x, <b>; rel=\"next\" "; rel="last""#, None),
            (r#"<a>; title="say \"hi\", <x>"; rel="last next""#, Some("a")),
            (r#"<a,b;c>; REL="NEXT""#, Some("a,b;c")),
            (r#"<a>; rel="prev"; rel="next""#, None),
            (r#"<a> ; rel = "next""#, Some("a")),
            (r#"<a>; rel="next"; results="false"; cursor="0:0:1""#, None),
            (r#"<a>; rel="next"; results="true""#, Some("a")),
            (r##"<a>; rel="next"; anchor="#foo""##, None),
            (r#"<a>; rel="nextpage""#, None),
            ("<a>; crossorigin; rel=next", Some("a")),
            ("junk, <a>; rel=next", Some("a")),
            (r#"<a>; rel="next"#, Some("a")),
            ("<a", None),
            ("", None),
        ] {
            assert_eq!(next_target([value]), target, "{value}");
        }
        assert_eq!(next_target(["<a>; rel=prev", "<b>; rel=next"]), Some("b"), "several headers");
    }

    proptest! {
        #[test]
        fn never_panics(value in r#"([<>;,="\\ a-eé]|rel|next){0,40}"#) {
            let _ = next_target([value.as_str()]);
        }

        #[test]
        fn finds_next_among_any_others(
            before in prop::collection::vec("[a-z/?=&,;]{0,8}", 0..4),
            target in "[a-z/?=&,;%]{1,12}",
        ) {
            let mut links: Vec<_> = before.iter().map(|t| format!("<{t}>; title=\"{t}\"; rel=\"last\"")).collect();
            links.push(format!("<{target}>; rel=\"next\""));
            let value = links.join(", ");
            prop_assert_eq!(next_target([value.as_str()]), Some(target.as_str()));
        }
    }
}
