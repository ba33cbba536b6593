//! Parameters of a query that carry credentials: whatever a next link or a redirect says of them, those of the request count. Servers repeat
//! them as they were at another time, mask them, or leave them out. Pure.

use percent_encoding::{percent_decode_str, utf8_percent_encode};
use url::Url;

use crate::api::uri::RESERVED;

/// Puts these parameters into the query of a URL.
pub(super) fn put(url: &mut Url, parameters: &[(String, String)]) {
    if !parameters.is_empty() {
        let query = with_parameters(url.query().unwrap_or_default(), parameters);
        url.set_query(Some(&query));
    }
}

/// The query with these parameters, given as names and values that are not encoded: each in its place, or behind the others. One that has
/// its value already stays as it is written.
fn with_parameters(query: &str, parameters: &[(String, String)]) -> String {
    let mut missing: Vec<_> = parameters.iter().collect();
    let mut pairs: Vec<String> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decoded(name);
        if parameters.iter().all(|(own, _)| *own != name) {
            pairs.push(pair.to_owned());
        } else if let Some(index) = missing.iter().position(|(own, _)| *own == name) {
            let own = missing.remove(index);
            pairs.push(if decoded(value) == own.1 { pair.to_owned() } else { encoded(own) });
        }
    }
    pairs.extend(missing.into_iter().map(encoded));
    pairs.join("&")
}

fn encoded((name, value): &(String, String)) -> String {
    format!("{}={}", utf8_percent_encode(name, RESERVED), utf8_percent_encode(value, RESERVED))
}

fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_value_counts_whatever_a_link_says() {
        let own = [("api key".to_owned(), "s/1".to_owned()), ("v".to_owned(), "2".to_owned())];
        for (query, with) in [
            ("", "api%20key=s%2F1&v=2"),
            ("a=1", "a=1&api%20key=s%2F1&v=2"),
            ("a=%20&api+key=s/1&p=2&v=2", "a=%20&api+key=s/1&p=2&v=2"),
            ("api%20key=older&p=2", "api%20key=s%2F1&p=2&v=2"),
            ("api%20key=***&v&p=2&v=3", "api%20key=s%2F1&v=2&p=2"),
        ] {
            assert_eq!(with_parameters(query, &own), with, "{query}");
        }
        assert_eq!(with_parameters("a&b=&&c", &[]), "a&b=&c");
    }
}
