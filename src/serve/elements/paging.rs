//! `page` and `pageSize`, which every list of Open Connectors takes. Pure.

use serde_json::Value;

use super::failure::Failure;

/// The part of a list that the query asks for: all of it, or the page of a number from 1. Behind the last page there is nothing, so that
/// a client that asks until a page is empty ends.
///
/// # Errors
/// [`Failure::Unusable`] for what is no number from 1.
pub fn page(query: Option<&str>, all: Vec<Value>) -> Result<Vec<Value>, Failure> {
    let number = number(query, "page")?.unwrap_or(1);
    let size = self::number(query, "pageSize")?.unwrap_or(usize::MAX);
    Ok(all.into_iter().skip((number - 1).saturating_mul(size)).take(size).collect())
}

fn number(query: Option<&str>, wanted: &str) -> Result<Option<usize>, Failure> {
    let asked = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).find(|(name, _)| name == wanted);
    asked.map_or(Ok(None), |(_, text)| match text.parse() {
        Ok(number @ 1..) => Ok(Some(number)),
        _ => Err(Failure::unusable(format!("{wanted} must be a number from 1"))),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pages_end() {
        let all = || vec![json!(1), json!(2), json!(3)];
        let paged = |query: &str| page(Some(query), all()).unwrap();
        for (query, expected) in [
            ("", json!([1, 2, 3])),
            ("page=1&pageSize=2", json!([1, 2])),
            ("page=2&pageSize=2", json!([3])),
            ("page=3&pageSize=2", json!([])),
            ("pageSize=2", json!([1, 2])),
            ("page=2", json!([])),
            ("page=18446744073709551615&pageSize=7", json!([])),
        ] {
            assert_eq!(Value::Array(paged(query)), expected, "{query}");
        }
        assert_eq!(page(None, all()).unwrap().len(), 3);
        for query in ["page=0", "pageSize=0", "page=x", "pageSize=-1", "page="] {
            assert!(page(Some(query), all()).is_err(), "{query}");
        }
    }
}
