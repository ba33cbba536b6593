use http::{HeaderName, HeaderValue, Method};
use proptest::prelude::*;

use super::*;
use crate::plan::template::Template;

const URL: &str = "https://api.example/v1/items?since=x";

fn request(method: Method, query: &[(&str, &str)]) -> RequestPlan {
    RequestPlan {
        method,
        origin: Url::parse(URL).unwrap().origin(),
        url: Template::parse(URL).unwrap(),
        query: query.iter().map(|(k, v)| ((*k).to_owned(), Template::parse(v).unwrap())).collect(),
        headers: vec![],
        body: None,
    }
}

fn pager(pagination: &PaginationPlan) -> Pager {
    Pager::new(&request(Method::GET, &[]), pagination, Some(50))
}

fn field(path: &str) -> ValueAt {
    ValueAt::Field(FieldPath::parse(path).unwrap())
}

fn token(place: TokenPlace, parameter: &str) -> PaginationPlan {
    PaginationPlan::Token { from: field("next"), parameter: parameter.to_owned(), place }
}

fn offset() -> PaginationPlan {
    PaginationPlan::Offset { parameter: "offset".into(), size_parameter: Some("limit".into()) }
}

struct Walked {
    pager: Pager,
    url: Url,
    page: u128,
}

impl Walked {
    fn new(pagination: &PaginationPlan) -> Self {
        Self { pager: pager(pagination), url: Url::parse(URL).unwrap(), page: 0 }
    }

    /// Answers with records that were never seen.
    fn answer(&mut self, headers: &[(&'static str, &str)], envelope: &str, count: usize) -> Result<Option<Position>, Problem> {
        self.page += 1;
        let headers = headers.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_str(v).unwrap())).collect();
        let answer = Answer { url: &self.url, headers: &headers, envelope, record_count: count, digest: self.page };
        let next = self.pager.next(&answer);
        if let Ok(Some(Position::Url(url))) = &next {
            self.url = url.clone();
        }
        next
    }

    fn body(&mut self, envelope: &str) -> Result<Option<Position>, Problem> {
        self.answer(&[], envelope, 1)
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as next() gives it")]
fn url(text: &str) -> Option<Position> {
    Some(Position::Url(Url::parse(text).unwrap()))
}

#[expect(clippy::unnecessary_wraps, reason = "as next() gives it")]
fn query(pairs: &[(&str, &str)]) -> Option<Position> {
    Some(Position::Query(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()))
}

fn reason(result: Result<Option<Position>, Problem>) -> Reason {
    result.unwrap_err().reason
}

#[test]
fn follows_a_relative_next_link_as_odata_sends_it() {
    let mut walk = Walked::new(&PaginationPlan::NextLink(field("@odata.nextLink")));
    assert_eq!(walk.pager.first(), Position::Start);
    let next = walk.body(r#"{"value":[],"@odata.nextLink":"items?$top=5&%24skiptoken=50#x"}"#).unwrap();
    assert_eq!(next, url("https://api.example/v1/items?$top=5&%24skiptoken=50"));
    assert_eq!(walk.body(r#"{"value":[],"@odata.nextLink":"/v2?p=3"}"#).unwrap(), url("https://api.example/v2?p=3"));
    assert_eq!(walk.body(r#"{"value":[],"@odata.nextLink":"?p=4"}"#).unwrap(), url("https://api.example/v2?p=4"));
    assert_eq!(walk.body(r#"{"value":[]}"#).unwrap(), None);
}

#[test]
fn follows_headers() {
    let mut walk = Walked::new(&PaginationPlan::LinkHeader);
    let next = walk.answer(&[("link", r#"</v1/items?page=2>; rel="next""#)], "[]", 0).unwrap();
    assert_eq!(next, url("https://api.example/v1/items?page=2"), "an empty page need not be the last one");
    assert_eq!(walk.answer(&[("link", r#"</v1/items?page=1>; rel="first""#)], "[]", 1).unwrap(), None);

    let mut walk = Walked::new(&PaginationPlan::NextLink(ValueAt::Header(HeaderName::from_static("next-page"))));
    let next = walk.answer(&[("next-page", "https://api.example:443/x?_token=t")], "{}", 1).unwrap();
    assert_eq!(next, url("https://api.example/x?_token=t"));
    assert_eq!(walk.answer(&[("next-page", "")], "{}", 1).unwrap(), None);
}

#[test]
fn never_leaves_the_origin() {
    for (target, part) in [
        ("https://evil.example/x", "host"),
        ("//evil.example/x", "host"),
        ("http://api.example/x", "scheme"),
        ("https://api.example:8443/x", "port"),
        ("http://169.254.169.254/latest", "host"),
        ("file:///etc/passwd", "scheme"),
        ("javascript:alert(1)", "scheme"),
    ] {
        let problem =
            Walked::new(&PaginationPlan::NextLink(field("next"))).body(&format!(r#"{{"next":"{target}"}}"#)).unwrap_err();
        assert_eq!(problem.reason, Reason::CrossOriginNextLink, "{target}");
        assert!(problem.message.contains(&format!("another {part} ")), "{target}: {problem}");
        assert!(!problem.message.contains("evil"), "{problem}");
    }
    let mut walk = Walked::new(&PaginationPlan::NextLink(field("next")));
    assert_eq!(walk.body(r#"{"next":"https://u:p@api.example/x"}"#).unwrap(), url("https://api.example/x"));
    assert_eq!(reason(walk.body(r#"{"next":"https://[x"}"#)), Reason::InvalidResponse);
}

#[test]
fn carries_tokens_as_they_were_sent() {
    let mut walk = Walked::new(&token(TokenPlace::Query, "cursor"));
    assert_eq!(walk.body(r#"{"next":"a\u002Fb=="}"#).unwrap(), query(&[("cursor", "a/b==")]));
    assert_eq!(walk.body(r#"{"next":90071992547409931234}"#).unwrap(), query(&[("cursor", "90071992547409931234")]));
    for last in [r#"{"next":null}"#, r#"{"next":""}"#, r#"{"next":false}"#, "{}", "[]", r#"{"next":"c","has_more":false}"#] {
        assert_eq!(walk.body(last).unwrap(), None, "{last}");
    }
    for wrong in [r#"{"next":{"a":1}}"#, r#"{"next":["a"]}"#, r#"{"next":true}"#] {
        assert_eq!(reason(walk.body(wrong)), Reason::InvalidResponse, "{wrong}");
    }

    let mut walk = Walked::new(&token(TokenPlace::Header, "X-Cursor"));
    let header = Position::Header { name: "X-Cursor".into(), value: "t".into() };
    assert_eq!(walk.body(r#"{"next":"t"}"#).unwrap(), Some(header));
    let mut walk = Walked::new(&token(TokenPlace::Body, "pagination.starting_after"));
    let place = FieldPath::parse("pagination.starting_after").unwrap();
    assert_eq!(walk.body(r#"{"next":7.10}"#).unwrap(), Some(Position::Body { field: place, json: "7.10".into() }));
}

#[test]
fn an_offset_advances_by_what_came() {
    let mut walk = Walked::new(&offset());
    assert_eq!(Some(walk.pager.first()), query(&[("offset", "0"), ("limit", "50")]));
    // The server clamps 50 to 20: the first page says how long a full one is.
    assert_eq!(walk.answer(&[], "[]", 20).unwrap(), query(&[("offset", "20"), ("limit", "50")]));
    assert_eq!(walk.answer(&[], "[]", 20).unwrap(), query(&[("offset", "40"), ("limit", "50")]));
    assert_eq!(walk.answer(&[], "[]", 19).unwrap(), None);

    let mut walk = Walked::new(&offset());
    assert!(walk.answer(&[], "[]", 3).unwrap().is_some(), "a short first page proves nothing");
    assert_eq!(walk.answer(&[], "[]", 0).unwrap(), None);
    assert_eq!(Walked::new(&offset()).answer(&[], "[]", 0).unwrap(), None);

    let from_one = Pager::new(&request(Method::GET, &[("offset", "1")]), &offset(), None);
    assert_eq!(Some(from_one.first()), query(&[("offset", "1")]));
}

#[test]
fn page_numbers_count_from_their_first() {
    let plan = PaginationPlan::Page { parameter: "page".into(), first: 0, size_parameter: None };
    let mut walk = Walked::new(&plan);
    assert_eq!(Some(walk.pager.first()), query(&[("page", "0")]));
    assert_eq!(walk.answer(&[], "[]", 5).unwrap(), query(&[("page", "1")]));
    assert_eq!(walk.answer(&[], "[]", 4).unwrap(), None);
}

#[test]
fn stops_a_walk_in_circles() {
    let mut walk = Walked::new(&PaginationPlan::NextLink(field("next")));
    assert_eq!(reason(walk.body(&format!(r#"{{"next":"{URL}"}}"#))), Reason::PaginationLoop, "a link to itself");
    let mut walk = Walked::new(&PaginationPlan::NextLink(field("next")));
    walk.body(r#"{"next":"?p=2"}"#).unwrap();
    walk.body(r#"{"next":"?p=3"}"#).unwrap();
    assert_eq!(reason(walk.body(r#"{"next":"?p=2"}"#)), Reason::PaginationLoop);

    let mut walk = Walked::new(&token(TokenPlace::Query, "cursor"));
    walk.body(r#"{"next":"a"}"#).unwrap();
    assert_eq!(reason(walk.body(r#"{"next":"a"}"#)), Reason::PaginationLoop);
}

#[test]
fn stops_when_a_page_comes_twice() {
    let base = Url::parse(URL).unwrap();
    let headers = HeaderMap::new();
    let answer = |count, digest| Answer { url: &base, headers: &headers, envelope: "[]", record_count: count, digest };
    let mut pager = pager(&offset());
    assert!(pager.next(&answer(5, 1)).unwrap().is_some());
    assert!(pager.next(&answer(5, 2)).unwrap().is_some());
    assert_eq!(reason(pager.next(&answer(5, 1))), Reason::PaginationLoop);
}

#[test]
fn bounds_the_number_of_pages() {
    let mut walk = Walked::new(&token(TokenPlace::Query, "cursor"));
    for page in 1..MAX_PAGES {
        walk.body(&format!(r#"{{"next":{page}}}"#)).unwrap();
    }
    assert_eq!(reason(walk.body(r#"{"next":"more"}"#)), Reason::PaginationLoop);
}

#[test]
fn detects_once_and_stays_with_it() {
    let mut walk = Walked::new(&PaginationPlan::Detect);
    assert_eq!(walk.pager.detected(), None);
    assert!(walk.body(r#"{"next":"https://api.example/v1/items?page=2"}"#).unwrap().is_some());
    assert_eq!(walk.pager.detected(), Some(&PaginationPlan::NextLink(field("next"))));
    assert_eq!(walk.answer(&[("link", "</z>; rel=next")], r#"{"next":null}"#, 1).unwrap(), None);

    let mut walk = Walked::new(&PaginationPlan::Detect);
    assert_eq!(walk.body("[]").unwrap(), None);
    assert_eq!(walk.pager.detected(), None);
    let unclear = Walked::new(&PaginationPlan::Detect).body(r#"{"has_more":true}"#).unwrap_err();
    assert_eq!(unclear.reason, Reason::InvalidSpec);
    assert_eq!(Walked::new(&PaginationPlan::None).body(r#"{"has_more":true,"next":"/x"}"#).unwrap(), None);
}

#[test]
fn shows_itself_as_a_manifest_takes_it() {
    for (plan, text) in [
        (token(TokenPlace::Body, "a.b"), "token: {field: next, parameter: a.b, in: Body}"),
        (offset(), "offset: {parameter: offset, sizeParameter: limit}"),
        (
            PaginationPlan::Page { parameter: "page[number]".into(), first: 1, size_parameter: None },
            r#"page: {parameter: "page[number]", first: 1}"#,
        ),
        (PaginationPlan::NextLink(ValueAt::Header(HeaderName::from_static("next-page"))), "nextLink: {header: next-page}"),
        (PaginationPlan::NextLink(field("on")), r#"nextLink: {field: "on"}"#),
    ] {
        assert_eq!(manifest_text(&plan), text);
    }
}

proptest! {
    #[test]
    fn never_panics_on_any_link(target in r"([a-z:/?#@\[\]%\\. -]|https://api.example){0,20}") {
        let envelope = serde_json::json!({"next": target}).to_string();
        if let Ok(Some(Position::Url(url))) = Walked::new(&PaginationPlan::NextLink(field("next"))).body(&envelope) {
            prop_assert_eq!(url.origin(), Url::parse(URL).unwrap().origin());
        }
    }

    #[test]
    fn an_offset_walk_sees_every_record(total in 0_usize..200, size in 1_usize..30) {
        let mut walk = Walked::new(&offset());
        let mut position = Some(walk.pager.first());
        let mut seen = 0;
        while let Some(Position::Query(pairs)) = position {
            let start: usize = pairs[0].1.parse().unwrap();
            prop_assert_eq!(start, seen);
            let count = size.min(total - start);
            seen += count;
            position = walk.answer(&[], "[]", count).unwrap();
        }
        prop_assert_eq!(seen, total);
    }
}
