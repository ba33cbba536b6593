//! What makes a request conditional (RFC 9110 §13), kept from one listing for the next. Pure.

use http::header::{ACCEPT_RANGES, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::answer;
use crate::auth::RequestAuth;
use crate::egress::Request;

/// Longest entity tag that is kept.
const MAX_ETAG: usize = 1024;

/// What makes a later request conditional; only for the very same request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validators {
    request: RequestDigest,
    tag: Tag,
    /// What the headers said of other pages.
    pages: Box<[(HeaderName, u64)]>,
}

/// Identifies a request as it is before authentication, and by the credential: another account may see another list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestDigest(u128);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Tag {
    Entity(HeaderValue),
    Modified(HeaderValue),
}

impl RequestDigest {
    /// Of a request before it is authenticated, and of what it will be authenticated with.
    pub fn of(request: &Request, auth: &RequestAuth) -> Self {
        let mut bytes = request.url.as_str().as_bytes().to_vec();
        for (name, value) in &request.headers {
            bytes.push(b'\n');
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.push(b':');
            bytes.extend_from_slice(value.as_bytes());
        }
        bytes.extend_from_slice(&auth.fingerprint.to_le_bytes());
        Self(xxh3_128(&bytes))
    }
}

impl Validators {
    /// Those of the answer to a request, if it carries some.
    pub(super) fn of(headers: &HeaderMap, request: RequestDigest) -> Option<Self> {
        let tag = headers.get(ETAG).filter(|tag| !tag.is_empty() && tag.as_bytes() != b"*" && tag.len() <= MAX_ETAG);
        if let Some(tag) = tag {
            return Some(Self { request, tag: Tag::Entity(tag.clone()), pages: pages(headers) });
        }
        // A change within the second of the response would have the same date: only an older date distinguishes states (§8.8.2.2).
        let modified = headers.get(LAST_MODIFIED)?;
        let age = answer::server_date(headers)? - answer::http_date(modified)?;
        let tag = Tag::Modified(modified.clone());
        (age >= chrono::TimeDelta::seconds(1)).then(|| Self { request, tag, pages: pages(headers) })
    }

    /// Whether the headers of a 304 say another thing of other pages than those of the response did that it stands for. The first page may be
    /// as it was while a second one has appeared: some servers know of that only in headers (app-sre/github-mirror#113).
    pub(super) fn has_other_pages(&self, headers: &HeaderMap) -> bool {
        pages(headers).iter().any(|header| !self.pages.contains(header))
    }
}

/// The headers that say something of other pages, with a hash of each value.
fn pages(headers: &HeaderMap) -> Box<[(HeaderName, u64)]> {
    let names_pages = |name: &str| {
        let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
        // counts of requests differ in each response
        has(&["link", "page", "total", "count", "range", "next", "cursor", "offset"])
            && !has(&["rate", "limit", "quota", "request"])
    };
    let named = headers.iter().filter(|(name, _)| names_pages(name.as_str()) && **name != ACCEPT_RANGES);
    named.map(|(name, value)| (name.clone(), xxh3_64(value.as_bytes()))).collect()
}

/// What a 304 says in answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// Nothing: it was not asked for.
    None,
    /// The list is as the last poll read it.
    Unchanged,
    /// No record is newer than `${since}`, which the plan sends in a header: the list is empty.
    NothingSince,
}

/// Makes a request conditional if it may be.
pub(super) fn make_conditional(request: &mut Request, digest: RequestDigest, known: Option<&Validators>) -> Condition {
    let headers = &mut request.headers;
    if headers.contains_key(IF_NONE_MATCH) || headers.contains_key(IF_MODIFIED_SINCE) {
        return Condition::NothingSince;
    }
    let Some(known) = known.filter(|known| known.request == digest && request.method == Method::GET) else {
        return Condition::None;
    };
    match &known.tag {
        Tag::Entity(tag) => headers.insert(IF_NONE_MATCH, tag.clone()),
        Tag::Modified(date) => headers.insert(IF_MODIFIED_SINCE, date.clone()),
    };
    Condition::Unchanged
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests differ from poll to poll, as `${since}` does, and each answer has a tag of its own (KEDA#7685: all of them were kept).
    #[test]
    fn of_all_requests_the_last_one_has_validators() {
        let tagged = |tag: &str| HeaderMap::from_iter([(ETAG, HeaderValue::from_str(tag).unwrap())]);
        let mut kept = None;
        for number in 0..1_000_u128 {
            kept = Validators::of(&tagged(&format!("\"{number}\"")), RequestDigest(number));
        }
        let kept = kept.expect("it has a tag");
        assert!(kept.request == RequestDigest(999) && kept.tag == Tag::Entity(HeaderValue::from_static("\"999\"")));
        assert!(
            Validators::of(&tagged(&format!("\"{}\"", "x".repeat(MAX_ETAG))), RequestDigest(1)).is_none(),
            "nor a long one"
        );
    }

    #[test]
    fn a_date_is_a_validator_only_when_it_tells_states_apart() {
        let of = |pairs: &[(&'static str, &'static str)]| {
            Validators::of(
                &pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect(),
                RequestDigest(1),
            )
        };
        let modified = ("last-modified", "Fri, 02 Jan 2026 03:04:05 GMT");
        assert!(of(&[modified, ("date", "Fri, 02 Jan 2026 03:04:06 GMT")]).is_some());
        assert!(of(&[modified, ("date", "Fri, 02 Jan 2026 03:04:05 GMT")]).is_none());
        assert!(of(&[modified]).is_none());
        assert!(of(&[("etag", "*")]).is_none());
        assert!(of(&[("etag", "W/\"x\"")]).is_some());
        assert!(of(&[]).is_none());
    }
}
