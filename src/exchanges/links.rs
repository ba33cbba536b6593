//! Links in answers: they lead to the same place of a provider without a name, and what they carry is replaced. Pure.

use std::collections::{BTreeMap, HashMap};

use percent_encoding::utf8_percent_encode;
use url::Url;

use super::neutral::is_name;
use super::pseudonyms::{ORIGIN, Pseudonyms};
use crate::api::uri::RESERVED;
use crate::fetch::is_about_pages;

/// Digits of a number that may be a page, an offset or a size.
const MOST_DIGITS: usize = 7;

/// How the links of one list are rewritten: what the request of the account has is replaced by what the request without an account has.
#[derive(Clone, Debug)]
pub struct Links {
    own: Url,
    /// Segments of the path of the account, and what the other request has there. Empty where the two differ in length.
    path: Vec<(String, String)>,
    query: HashMap<String, (String, String)>,
}

impl Links {
    /// `own` is the first request of the account, `blank` the same without an account.
    pub fn new(own: &Url, blank: &Url) -> Self {
        let (ours, theirs) = (segments(own), segments(blank));
        let path = if ours.len() == theirs.len() { ours.into_iter().zip(theirs).collect() } else { Vec::new() };
        let blank: BTreeMap<_, _> = blank.query_pairs().into_owned().collect();
        let pairs = own.query_pairs().into_owned();
        let query = pairs.filter_map(|(name, value)| blank.get(&name).map(|other| (name.clone(), (value, other.clone()))));
        Self { own: own.clone(), path, query: query.collect() }
    }

    /// Rewrites a text that is a link to this provider; `None` if it is none.
    pub fn rewrite(&self, text: &str, pseudonyms: &mut Pseudonyms) -> Option<String> {
        let text = text.trim();
        let is_absolute = text.starts_with("https://") || text.starts_with("http://");
        let is_relative = text.starts_with('?') || (text.starts_with('/') && !text.starts_with("//"));
        (is_absolute || is_relative).then_some(())?;
        let url = self.own.join(text).ok().filter(|url| url.origin() == self.own.origin())?;
        let mut link = if is_absolute { ORIGIN.to_owned() } else { String::new() };
        if !text.starts_with('?') {
            self.path(&mut link, &url, pseudonyms);
        }
        self.query(&mut link, &url, pseudonyms);
        Some(link)
    }

    fn path(&self, link: &mut String, url: &Url, pseudonyms: &mut Pseudonyms) {
        let segments = segments(url);
        let is_same_length = segments.len() == self.path.len();
        for (at, segment) in segments.iter().enumerate() {
            let paired = is_same_length.then(|| &self.path[at]).filter(|(own, _)| own == segment);
            // What both requests have is the provider's.
            let is_fixed = self.path.iter().any(|(own, other)| own == other && own == segment);
            let new = match paired {
                Some((_, other)) => other.clone(),
                None if is_fixed || segment.is_empty() => segment.clone(),
                None => pseudonyms.token(segment),
            };
            link.push('/');
            link.extend(utf8_percent_encode(&new, RESERVED));
        }
    }

    fn query(&self, link: &mut String, url: &Url, pseudonyms: &mut Pseudonyms) {
        for (at, (name, value)) in url.query_pairs().enumerate() {
            let new = match self.query.get(&*name) {
                Some((own, other)) if *own == value => other.clone(),
                _ if value.is_empty() => String::new(),
                _ if pseudonyms.known(&value).is_none() && is_count(&name, &value) => value.to_string(),
                _ => pseudonyms.token(&value),
            };
            let name = if is_query_name(&name) { name.into_owned() } else { pseudonyms.name(&name) };
            link.push(if at == 0 { '?' } else { '&' });
            link.extend(utf8_percent_encode(&name, RESERVED));
            link.push('=');
            link.extend(utf8_percent_encode(&new, RESERVED));
        }
    }
}

/// Whether a value is a number of a page or of rows.
fn is_count(name: &str, value: &str) -> bool {
    is_about_pages(name) && value.len() <= MOST_DIGITS && value.bytes().all(|byte| byte.is_ascii_digit())
}

/// Names of parameters may have brackets: `page[size]`.
fn is_query_name(name: &str) -> bool {
    is_name(name.split('[').next().unwrap_or_default())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "[]_-.$@".contains(c))
}

fn segments(url: &Url) -> Vec<String> {
    let decoded = |segment: &str| percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned();
    url.path_segments().map(|segments| segments.map(decoded).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_the_same_place_without_what_it_carries() {
        let own = Url::parse("https://acme.example.com/v1/accounts/acme/orders?limit=2&shop=acme&since=2026-01-01").unwrap();
        let blank =
            Url::parse("https://replace-me.example.com/v1/accounts/replace-me/orders?limit=2&shop=replace-me&since=2026-01-01")
                .unwrap();
        let links = Links::new(&own, &blank);
        let mut pseudonyms = Pseudonyms::of(&["ord_9".to_owned()]);
        let mut rewritten = |text: &str| links.rewrite(text, &mut pseudonyms);
        let start = "{origin}/v1/accounts/replace-me/orders";
        for (link, masked) in [
            (
                "https://acme.example.com/v1/accounts/acme/orders?limit=2&shop=acme&since=2026-01-01&page=2",
                format!("{start}?limit=2&shop=replace-me&since=2026-01-01&page=2"),
            ),
            (
                "https://acme.example.com/v1/accounts/acme/orders?after=ord_9&access_token=s3cr3t",
                format!("{start}?after=id-1&access_token=token-1"),
            ),
            ("/v1/accounts/acme/orders/ord_9?q=ada%40x", "/v1/accounts/token-2/orders/id-1?q=token-3".to_owned()),
            ("?cursor=YWRh&cursor2=s3cr3t", "?cursor=token-4&cursor2=token-1".to_owned()),
            ("?page%5Bsize%5D=2&ada@x.example=1", "?page%5Bsize%5D=2&name-6=token-5".to_owned()),
        ] {
            assert_eq!(rewritten(link).as_deref(), Some(&*masked), "{link}");
        }
        for none in [
            "https://other.example/v1",
            "//other.example/x",
            "abc",
            "",
            "mailto:ada@x.example",
            "https://acme.example.com:8443/",
        ] {
            assert_eq!(rewritten(none), None, "{none}");
        }
    }

    #[test]
    fn a_base_of_another_depth_says_nothing_of_the_account() {
        let own = Url::parse("http://127.0.0.1:99/tenants/acme/v1/orders").unwrap();
        let blank = Url::parse("https://api.example.com/v1/orders").unwrap();
        let mut pseudonyms = Pseudonyms::default();
        let link =
            Links::new(&own, &blank).rewrite("http://127.0.0.1:99/tenants/acme/v1/orders?page=2", &mut pseudonyms).unwrap();
        assert!(link.starts_with("{origin}/token-1/token-2/token-3/token-4?page=2"), "{link}");
    }
}
