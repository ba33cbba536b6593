//! `event.poller.urls`, the older text form of a poller configuration: a resource a line, its parts between bars, or names alone.

use serde_json::{Map, Value, json};

/// The parts of a line behind the name and the URL.
pub(super) const PARTS: [&str; 7] = [
    "xPath",
    "updatedDateField",
    "updatedDateFormat",
    "updatedDateTimezone",
    "createdDateField",
    "createdDateFormat",
    "createdDateTimezone",
];

/// Whether a text that is not JSON has this form. A single word does not: it may be anything.
pub(super) fn is_poller_urls(text: &str) -> bool {
    let mut lines = 0;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        lines += 1;
        let mut parts = line.split('|').map(str::trim);
        let has_url = parts.clone().nth(1).is_some_and(|url| url.starts_with('/') || url.starts_with("hubs/"));
        if !(parts.next().is_some_and(is_name) && (has_url || parts.all(is_name))) {
            return false;
        }
    }
    lines > 0 && (lines > 1 || text.contains('|'))
}

/// Resources and their pollers, as the JSON form would have them. A poller without members is a name alone.
pub(super) fn pollers(text: &str) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let parts: Vec<_> = line.split('|').map(str::trim).collect();
        match parts.as_slice() {
            [name, url, rest @ ..] if url.contains('/') => found.push(((*name).to_owned(), poller(url, rest))),
            names => found.extend(names.iter().filter(|name| !name.is_empty()).map(|name| ((*name).to_owned(), json!({})))),
        }
    }
    found
}

fn poller(url: &str, rest: &[&str]) -> Value {
    let mut poller = Map::from_iter([("url".to_owned(), url.into())]);
    let mut dates = Map::new();
    for (index, part) in rest.iter().enumerate().filter(|(_, part)| !part.is_empty()) {
        match PARTS.get(index) {
            Some(&"xPath") => drop(poller.insert("xPath".to_owned(), (*part).into())),
            Some(name) => drop(dates.insert((*name).to_owned(), (*part).into())),
            None => drop(poller.insert(format!("part {}", index + 3), (*part).into())),
        }
    }
    if !dates.is_empty() {
        poller.insert("datesConfiguration".to_owned(), dates.into());
    }
    poller.into()
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/' | b'{' | b'}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_nine_parts_or_names() {
        let line = "contacts|/hubs/crm/contacts|id|updated|yyyy-MM-dd|GMT|created||PST|more";
        assert_eq!(
            pollers(line),
            [(
                "contacts".to_owned(),
                json!({
                    "url": "/hubs/crm/contacts",
                    "xPath": "id",
                    "datesConfiguration": {
                        "updatedDateField": "updated", "updatedDateFormat": "yyyy-MM-dd", "updatedDateTimezone": "GMT",
                        "createdDateField": "created", "createdDateTimezone": "PST"
                    },
                    "part 10": "more"
                })
            )]
        );
        let names = |text| pollers(text).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names("contacts|leads"), ["contacts", "leads"]);
        assert_eq!(names("contacts\n\n accounts\n"), ["contacts", "accounts"]);
    }

    #[test]
    fn other_texts_are_not_taken_for_it() {
        for text in ["", "hello", "hello world\nmore text here", "a|b c", "{}"] {
            assert!(!is_poller_urls(text), "{text:?}");
        }
    }
}
