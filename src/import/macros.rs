//! `${…}` in the URLs of pollers: those that are known stay, the malformed ones of the wild are repaired.

use super::dates::{fixed_offset, is_pattern};
use crate::plan::template::Template;

/// The text with macros that can be planned, and what was done to it.
pub(super) fn repair(text: &str, zone: &str) -> (String, Vec<&'static str>) {
    let mut notes = Vec::new();
    let text = with_zone(text, zone);
    let mut repaired = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find('$') {
        repaired.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        let (inside, after) = if let Some(inside) = behind.strip_prefix('{') {
            inside.split_once('}').unwrap_or_else(|| {
                notes.push("a macro that is not closed became ${since}");
                ("since", "")
            })
        } else if let Some(found) = behind.split_once('}').filter(|(inside, _)| is_pattern(inside)) {
            // A macro that lost its opening brace: what is before the closing one is a pattern.
            found
        } else {
            repaired.push('$');
            rest = behind;
            continue;
        };
        repaired.push_str(&known(inside, &mut notes));
        rest = after;
    }
    repaired.push_str(rest);
    (repaired, notes)
}

fn known(inside: &str, notes: &mut Vec<&'static str>) -> String {
    let whole = format!("${{{inside}}}");
    if is_known(&whole) {
        let lettered = fixed_offset(inside).map(|(before, letters)| format!("${{{before}{letters}}}"));
        if let Some(lettered) = lettered.filter(|lettered| is_known(lettered)) {
            notes.push("the fixed offset in a macro became the letters for that of its zone, which has another one in summer");
            return lettered;
        }
        return whole;
    }
    if is_pattern(inside) {
        notes.push("a macro without a name is taken for ${date:…}");
        return format!("${{date:{inside}}}");
    }
    notes.push("a macro that is unknown or malformed became ${since}");
    "${since}".to_owned()
}

/// Whether a URL may have this macro.
fn is_known(whole: &str) -> bool {
    Template::parse(whole).is_ok_and(|template| !template.uses_token())
}

/// `{TimeZone}` stands for a setting of the instance.
fn with_zone(text: &str, zone: &str) -> String {
    const HOLE: &str = "{timezone}";
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.to_ascii_lowercase().find(HOLE) {
        filled.push_str(&rest[..at]);
        filled.push_str(zone);
        rest = &rest[at + HOLE.len()..];
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macros_of_the_wild() {
        for kept in [
            "${gmtDate:yyyy-MM-dd'T'HH:mm:ss'Z'}",
            "${date:yyyy-MM-dd'T'HH:mm:ssXXX}",
            "${dateTimeZone:-8:00:yyyy-MM-dd}",
            "${DateTimeZone:PST:yyyy-MM-dd'T'HH:mm:ss.SSS}",
            "${nowTimeZone:GMT:yyyy-MM-dd'T'HH:mm:ss}",
            "${epoch}${epoch:s}${epoch:ms}${epoch:us}${epoch:0}",
            "${milliseconds}",
            "${date}",
            "costs $5 & more",
        ] {
            assert_eq!(repair(kept, "GMT"), (kept.to_owned(), vec![]), "{kept}");
        }
        for (given, repaired) in [
            ("x='${yyyy-MM-dd'T'HH:mm:ss'Z'}'", "x='${date:yyyy-MM-dd'T'HH:mm:ss'Z'}'"),
            ("x='$yyyy-MM-dd}'", "x='${date:yyyy-MM-dd}'"),
            ("x='${518862600}'", "x='${since}'"),
            ("x='${date:yyyy", "x='${since}"),
            ("x='${cursor}'", "x='${since}'"),
            ("${dateTimeZone:PST:yyyy-MM-dd HH:mm:ss -0800}", "${dateTimeZone:PST:yyyy-MM-dd HH:mm:ss Z}"),
            ("${dateTimeZone:{TimeZone}:yyyy-MM-dd HH:mm:ss}", "${dateTimeZone:GMT:yyyy-MM-dd HH:mm:ss}"),
        ] {
            assert_eq!(repair(given, "GMT").0, repaired, "{given}");
        }
    }
}
