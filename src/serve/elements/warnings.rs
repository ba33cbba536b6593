//! What is said of a request that was granted although something in it has no effect. Pure.

use axum::http::header::WARNING;
use axum::http::{HeaderMap, HeaderValue};

/// Most warnings of an answer, and most characters of each: clients bound their headers.
const MOST: usize = 16;
const LONGEST: usize = 300;

/// A header for each sentence. RFC 9111 section 5.5 calls the header obsolete; the Kubernetes API uses it, and people see it.
pub fn headers(sentences: &[String]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let others = sentences.len().saturating_sub(MOST);
    let more = (others > 0).then(|| format!("and {} more, which the log has", others + 1));
    let shown = if others > 0 { MOST - 1 } else { MOST };
    for sentence in sentences.iter().take(shown).chain(&more) {
        if let Ok(value) = HeaderValue::try_from(format!("299 - \"{}\"", quotable(sentence))) {
            headers.append(WARNING, value);
        }
    }
    headers
}

/// The characters that a quoted string has without escapes.
fn quotable(sentence: &str) -> String {
    let plain = |c: char| match c {
        '"' => '\'',
        '\\' => '/',
        ' '..='~' => c,
        _ => '?',
    };
    sentence.chars().take(LONGEST).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sentence_is_a_header_whatever_is_in_it() {
        let sentences = ["configuration[\"a.b\"]: é\r\nX: y".to_owned(), "x".repeat(1000)];
        let headers = headers(&sentences);
        let values: Vec<_> = headers.get_all(WARNING).iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(values[0], "299 - \"configuration['a.b']: ???X: y\"");
        assert_eq!(values[1].len(), LONGEST + 8);
        let many = super::headers(&vec![String::new(); 100]);
        assert_eq!(many.get_all(WARNING).iter().count(), MOST);
        assert_eq!(many.get_all(WARNING).iter().next_back().unwrap(), "299 - \"and 85 more, which the log has\"");
        assert_eq!(super::headers(&vec!["a".to_owned(); MOST]).get_all(WARNING).iter().next_back().unwrap(), "299 - \"a\"");
    }
}
