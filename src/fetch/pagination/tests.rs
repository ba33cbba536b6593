use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;

use super::*;
use crate::plan::field_path::FieldPath;
use crate::plan::id::IdPlan;
use crate::plan::template::Template;
use crate::plan::{TokenPlace, ValueAt};

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

struct Listing {
    pager: Pager,
    url: Url,
    page: u128,
}

impl Listing {
    fn new(pagination: &PaginationPlan) -> Self {
        Self { pager: pager(pagination), url: Url::parse(URL).unwrap(), page: 0 }
    }

    /// Answers with records that were never seen.
    fn answer(&mut self, headers: &[(&'static str, &str)], envelope: &str, count: usize) -> Result<Option<Position>, Problem> {
        self.page += 1;
        let headers = headers.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_str(v).unwrap())).collect();
        let answer = Answer {
            url: &self.url,
            headers: &headers,
            envelope,
            path: &[],
            record_count: count,
            digest: self.page,
            ids: Ids(&|| self.page),
        };
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
    let mut listing = Listing::new(&PaginationPlan::NextLink(field("@odata.nextLink")));
    assert_eq!(listing.pager.first(), Position::Start);
    let next = listing.body(r#"{"value":[],"@odata.nextLink":"items?$top=5&%24skiptoken=50#x"}"#).unwrap();
    assert_eq!(next, url("https://api.example/v1/items?$top=5&%24skiptoken=50"));
    assert_eq!(listing.body(r#"{"value":[],"@odata.nextLink":"/v2?p=3"}"#).unwrap(), url("https://api.example/v2?p=3"));
    assert_eq!(listing.body(r#"{"value":[],"@odata.nextLink":"?p=4"}"#).unwrap(), url("https://api.example/v2?p=4"));
    assert_eq!(listing.body(r#"{"value":[]}"#).unwrap(), None);
}

#[test]
fn follows_headers() {
    let mut listing = Listing::new(&PaginationPlan::LinkHeader);
    let next = listing.answer(&[("link", r#"</v1/items?page=2>; rel="next""#)], "[]", 0).unwrap();
    assert_eq!(next, url("https://api.example/v1/items?page=2"), "an empty page need not be the last one");
    assert_eq!(listing.answer(&[("link", r#"</v1/items?page=1>; rel="first""#)], "[]", 1).unwrap(), None);

    let mut listing = Listing::new(&PaginationPlan::NextLink(ValueAt::Header(HeaderName::from_static("next-page"))));
    let next = listing.answer(&[("next-page", "https://api.example:443/x?_token=t")], "{}", 1).unwrap();
    assert_eq!(next, url("https://api.example/x?_token=t"));
    assert_eq!(listing.answer(&[("next-page", "")], "{}", 1).unwrap(), None);
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
            Listing::new(&PaginationPlan::NextLink(field("next"))).body(&format!(r#"{{"next":"{target}"}}"#)).unwrap_err();
        assert_eq!(problem.reason, Reason::CrossOriginNextLink, "{target}");
        assert!(problem.message.contains(&format!("another {part} ")), "{target}: {problem}");
        assert!(!problem.message.contains("evil"), "{problem}");
    }
    let mut listing = Listing::new(&PaginationPlan::NextLink(field("next")));
    assert_eq!(listing.body(r#"{"next":"https://u:p@api.example/x"}"#).unwrap(), url("https://api.example/x"));
    assert_eq!(reason(listing.body(r#"{"next":"https://[x"}"#)), Reason::InvalidResponse);
}

#[test]
fn carries_tokens_as_they_were_sent() {
    let mut listing = Listing::new(&token(TokenPlace::Query, "cursor"));
    assert_eq!(listing.body(r#"{"next":"a\u002Fb=="}"#).unwrap(), query(&[("cursor", "a/b==")]));
    assert_eq!(listing.body(r#"{"next":90071992547409931234}"#).unwrap(), query(&[("cursor", "90071992547409931234")]));
    for last in [r#"{"next":null}"#, r#"{"next":""}"#, r#"{"next":false}"#, "{}", "[]", r#"{"next":"c","has_more":false}"#] {
        assert_eq!(listing.body(last).unwrap(), None, "{last}");
    }
    for wrong in [r#"{"next":{"a":1}}"#, r#"{"next":["a"]}"#, r#"{"next":true}"#] {
        assert_eq!(reason(listing.body(wrong)), Reason::InvalidResponse, "{wrong}");
    }

    let mut listing = Listing::new(&token(TokenPlace::Header, "X-Cursor"));
    let header = Position::Header { name: "X-Cursor".into(), value: "t".into() };
    assert_eq!(listing.body(r#"{"next":"t"}"#).unwrap(), Some(header));
    let mut listing = Listing::new(&token(TokenPlace::Body, "pagination.starting_after"));
    let place = FieldPath::parse("pagination.starting_after").unwrap();
    assert_eq!(listing.body(r#"{"next":7.10}"#).unwrap(), Some(Position::Body { field: place, json: "7.10".into() }));
}

#[test]
fn an_offset_advances_by_what_came() {
    let mut listing = Listing::new(&offset());
    assert_eq!(Some(listing.pager.first()), query(&[("offset", "0"), ("limit", "50")]));
    // The server clamps 50 to 20: the first page says how long a full one is.
    assert_eq!(listing.answer(&[], "[]", 20).unwrap(), query(&[("offset", "20"), ("limit", "50")]));
    assert_eq!(listing.answer(&[], "[]", 20).unwrap(), query(&[("offset", "40"), ("limit", "50")]));
    // Rows in the middle may be hidden: only an empty page is the end.
    assert_eq!(listing.answer(&[], "[]", 19).unwrap(), query(&[("offset", "59"), ("limit", "50")]));
    assert_eq!(listing.answer(&[], "[]", 20).unwrap(), query(&[("offset", "79"), ("limit", "50")]));
    assert_eq!(listing.answer(&[], "[]", 0).unwrap(), None);

    let mut listing = Listing::new(&offset());
    assert!(listing.answer(&[], "[]", 3).unwrap().is_some(), "a short first page proves nothing");
    assert_eq!(listing.answer(&[], "[]", 0).unwrap(), None);
    assert_eq!(Listing::new(&offset()).answer(&[], "[]", 0).unwrap(), None);

    let from_one = Pager::new(&request(Method::GET, &[("offset", "1")]), &offset(), None);
    assert_eq!(Some(from_one.first()), query(&[("offset", "1")]));
}

#[test]
fn page_numbers_count_from_their_first() {
    let plan = PaginationPlan::Page { parameter: "page".into(), first: Some(0), size_parameter: None };
    let mut listing = Listing::new(&plan);
    assert_eq!(Some(listing.pager.first()), query(&[("page", "0")]));
    assert_eq!(listing.answer(&[], "[]", 5).unwrap(), query(&[("page", "1")]));
    // Rows that stand on every first page make it longer than the others.
    assert_eq!(listing.answer(&[], "[]", 4).unwrap(), query(&[("page", "2")]));
    assert!(listing.pager.is_probing(), "that there is no such page is the end, too");
    assert_eq!(listing.answer(&[], "[]", 0).unwrap(), None);
}

/// What an answer said of the page after it, and what that page is when it has no list.
#[test]
fn a_page_that_was_announced_is_promised() {
    let says = |body: &str, plan: &PaginationPlan| {
        let mut listing = Listing::new(plan);
        listing.body(body).unwrap().map(|_| listing.pager.promise())
    };
    let link = PaginationPlan::NextLink(field("next"));
    assert_eq!(says(r#"{"next":"?p=2"}"#, &link), Some(Promise::Leads));
    assert_eq!(says(r#"{"next":"?p=2","has_more":true}"#, &link), Some(Promise::Says));
    let mut counted = Listing::new(&offset());
    counted.answer(&[], "[]", 20).unwrap();
    assert_eq!(counted.pager.promise(), Promise::None);
}

#[test]
fn pages_without_rows_end_at_some_time_whatever_their_tokens() {
    let mut listing = Listing::new(&token(TokenPlace::Query, "cursor"));
    let mut asked = 0;
    let ended = loop {
        match listing.answer(&[], &format!(r#"{{"next":"t{asked}"}}"#), 0) {
            Ok(next) => assert!(next.is_some()),
            Err(problem) => break problem.reason,
        }
        asked += 1;
    };
    assert!(ended == Reason::PaginationLoop && asked <= 200, "{ended} after {asked}");
}

#[test]
fn stops_a_walk_in_circles() {
    let mut listing = Listing::new(&PaginationPlan::NextLink(field("next")));
    assert_eq!(reason(listing.body(&format!(r#"{{"next":"{URL}"}}"#))), Reason::PaginationLoop, "a link to itself");
    let mut listing = Listing::new(&PaginationPlan::NextLink(field("next")));
    listing.body(r#"{"next":"?p=2"}"#).unwrap();
    listing.body(r#"{"next":"?p=3"}"#).unwrap();
    assert_eq!(reason(listing.body(r#"{"next":"?p=2"}"#)), Reason::PaginationLoop);

    let mut listing = Listing::new(&token(TokenPlace::Query, "cursor"));
    listing.body(r#"{"next":"a"}"#).unwrap();
    listing.body(r#"{"next":"b"}"#).unwrap();
    assert_eq!(reason(listing.body(r#"{"next":"a"}"#)), Reason::PaginationLoop, "back to a page that was left");
}

#[test]
fn stops_when_a_page_comes_twice() {
    let walked = script(&offset(), &[("[]", 5, 1), ("[]", 5, 2), ("[]", 5, 1)]);
    assert!(walked[..2].iter().all(|next| matches!(next, Ok(Some(_)))), "{walked:?}");
    assert_eq!(walked[2], Err(Reason::PaginationLoop));
}

#[test]
fn the_first_page_in_the_place_of_the_second_is_no_end_whatever_it_says() {
    for (plan, first, second) in [
        (page(), r#"{"total":8}"#, r#"{"total":8}"#),
        (offset(), r#"{"total":8}"#, r#"{"total":8}"#),
        (page(), r#"{"page":1,"pages":2}"#, r#"{"page":2,"pages":2}"#),
        (page(), r#"{"has_more":true}"#, r#"{"has_more":false}"#),
    ] {
        let pages = script(&plan, &[(first, 4, 1), (second, 4, 1)]);
        assert!(matches!(pages[0], Ok(Some(_))), "{first}");
        assert_eq!(pages[1], Err(Reason::PaginationLoop), "{second}");
    }
}

#[test]
fn bounds_the_number_of_pages() {
    let mut listing = Listing::new(&token(TokenPlace::Query, "cursor"));
    for page in 1..MAX_PAGES {
        listing.body(&format!(r#"{{"next":{page}}}"#)).unwrap();
    }
    assert_eq!(reason(listing.body(r#"{"next":"more"}"#)), Reason::PaginationLoop);
}

#[test]
fn detects_once_and_stays_with_it() {
    let mut listing = Listing::new(&PaginationPlan::Detect);
    assert_eq!(listing.pager.detected(), None);
    assert!(listing.body(r#"{"next":"https://api.example/v1/items?page=2"}"#).unwrap().is_some());
    assert_eq!(listing.pager.detected(), Some(&PaginationPlan::NextLink(field("next"))));
    assert_eq!(listing.answer(&[("link", "</z>; rel=next")], r#"{"next":null}"#, 1).unwrap(), None);

    let mut listing = Listing::new(&PaginationPlan::Detect);
    assert_eq!(listing.body("[]").unwrap(), None);
    assert_eq!(listing.pager.detected(), None);
    let unclear = Listing::new(&PaginationPlan::Detect).body(r#"{"has_more":true}"#).unwrap_err();
    assert_eq!(unclear.reason, Reason::PaginationUnclear);
    assert_eq!(Listing::new(&PaginationPlan::None).body(r#"{"has_more":true,"next":"/x"}"#).unwrap(), None);
}

#[test]
fn shows_itself_as_a_manifest_takes_it() {
    for (plan, text) in [
        (token(TokenPlace::Body, "a.b"), "token: {field: next, parameter: a.b, in: Body}"),
        (offset(), "offset: {parameter: offset, sizeParameter: limit}"),
        (
            PaginationPlan::Page { parameter: "page[number]".into(), first: None, size_parameter: None },
            r#"page: {parameter: "page[number]", first: 1}"#,
        ),
        (PaginationPlan::NextLink(ValueAt::Header(HeaderName::from_static("next-page"))), "nextLink: {header: next-page}"),
        (PaginationPlan::NextLink(field("on")), r#"nextLink: {field: "on"}"#),
    ] {
        assert_eq!(manifest_text(&plan), text);
    }
}

fn page() -> PaginationPlan {
    PaginationPlan::Page { parameter: "page".into(), first: None, size_parameter: None }
}

fn from_one() -> PaginationPlan {
    PaginationPlan::Page { parameter: "page".into(), first: Some(1), size_parameter: None }
}

/// Lists scripted responses: envelope, number of records, digest of the records.
fn script(pagination: &PaginationPlan, answers: &[(&str, usize, u128)]) -> Vec<Result<Option<Position>, Reason>> {
    let mut pager = pager(pagination);
    let mut url = Url::parse(URL).unwrap();
    answers
        .iter()
        .map(|(envelope, record_count, digest)| {
            let answer = Answer {
                url: &url,
                headers: &HeaderMap::new(),
                envelope,
                path: &[],
                record_count: *record_count,
                digest: *digest,
                ids: Ids(&|| *digest),
            };
            let next = pager.next(&answer).map_err(|problem| problem.reason);
            if let Ok(Some(Position::Url(next))) = &next {
                url = next.clone();
            }
            next
        })
        .collect()
}

#[test]
fn the_answers_own_word_beats_the_length_of_a_page() {
    for (said, says_more) in [
        (r#"{"has_more":true}"#, true),
        (r#"{"isLast":false}"#, true),
        (r#"{"meta":{"hasNextPage":true}}"#, true),
        (r#"{"page":1,"pages":3}"#, true),
        (r#"{"current_page":1,"last_page":3}"#, true),
        (r#"{"total":12}"#, true),
        (r#"{"totalCount":"12"}"#, true),
        (r#"{"next":"https://api.example/?page=2"}"#, true),
        (r#"{"next_page":2}"#, true),
        (r#"{"next_offset":4}"#, true),
        (r#"{"nextPageToken":"t"}"#, true),
        (r#"{"has_more":false}"#, false),
        (r#"{"isLast":true}"#, false),
        (r#"{"page":3,"pages":3}"#, false),
        (r#"{"next":null}"#, false),
        (r#"{"next_page":-1}"#, false),
        (r#"{"next_offset":0}"#, false),
    ] {
        for plan in [offset(), page()] {
            // pages of four: a full one, then a short or an empty one
            for count in [3, 0] {
                let mut listing = Listing::new(&plan);
                let start = if said.contains("page\":3") || said.contains("pages\":3") { "{}" } else { r#"{"has_more":true}"# };
                listing.answer(&[], start, 4).unwrap();
                let said = said.replace("\"page\":1", "\"page\":2").replace("current_page\":1", "current_page\":2");
                let said = said.replace("\"next_page\":2", "\"next_page\":3").replace("\"next_offset\":4", "\"next_offset\":8");
                let next = listing.answer(&[], &said, count).unwrap();
                assert_eq!(next.is_some(), says_more, "{plan:?} {said} {count}: {next:?}");
            }
            if !says_more && !said.contains("3,") {
                assert_eq!(Listing::new(&plan).answer(&[], said, 4).unwrap(), None, "a full page may be the last one: {said}");
            }
        }
    }
    for (name, value) in [
        ("x-total-count", "12"),
        ("x-total-pages", "3"),
        ("x-wp-totalpages", "3"),
        ("content-range", "items 0-3/12"),
        ("x-has-more", "true"),
    ] {
        let mut listing = Listing::new(&page());
        listing.answer(&[(name, value)], "[]", 4).unwrap();
        assert!(listing.answer(&[(name, value)], "[]", 3).unwrap().is_some(), "{name}");
    }
}

#[test]
fn an_offset_moves_by_the_providers_own_page() {
    let at = |answers: &[(&str, usize)]| {
        let mut listing = Listing::new(&PaginationPlan::Offset { parameter: "startAt".into(), size_parameter: None });
        let mut last = None;
        for (envelope, count) in answers {
            last = listing.answer(&[], envelope, *count).unwrap();
        }
        last.map(|position| position.mark().to_owned())
    };
    assert_eq!(at(&[(r#"{"startAt":0,"maxResults":4,"total":12}"#, 3)]).as_deref(), Some("4"));
    assert_eq!(at(&[(r#"{"limit":4,"has_more":true}"#, 0)]).as_deref(), Some("4"));
    assert_eq!(at(&[(r#"{"limit":4,"total":12}"#, 4), (r#"{"limit":4,"total":12}"#, 0)]).as_deref(), Some("8"));
    assert_eq!(
        at(&[(r#"{"has_more":true}"#, 4), (r#"{"has_more":true}"#, 0)]).as_deref(),
        Some("8"),
        "as long as the longest page"
    );
    assert_eq!(at(&[(r#"{"has_more":true}"#, 4), (r#"{"has_more":true}"#, 3)]).as_deref(), Some("7"), "rather read some twice");
    assert_eq!(at(&[(r#"{"next_offset":10}"#, 4)]).as_deref(), Some("10"), "the provider's word");
    assert_eq!(at(&[(r#"{"limit":4,"total":4}"#, 4)]).as_deref(), Some("4"), "a total may be of the page");
    assert_eq!(at(&[(r#"{"limit":4,"total":6}"#, 4), (r#"{"limit":4,"total":6}"#, 1)]), None);

    // It repeats the 50 that was asked for and gives 20.
    let mut listing = Listing::new(&offset());
    let next = listing.answer(&[], r#"{"limit":50,"total":90}"#, 20).unwrap();
    assert_eq!(next.unwrap().mark(), "20");
}

#[test]
fn a_promise_that_is_never_kept_ends() {
    for plan in [offset(), page()] {
        let mut listing = Listing::new(&plan);
        let mut asked = 0;
        let problem = loop {
            asked += 1;
            match listing.answer(&[], r#"{"has_more":true}"#, 0) {
                Ok(next) => assert!(next.is_some()),
                Err(problem) => break problem,
            }
        };
        assert_eq!((problem.reason, asked), (Reason::PaginationLoop, MAX_EMPTY + 1));

        let mut listing = Listing::new(&plan);
        listing.answer(&[], r#"{"total":1000000}"#, 4).unwrap();
        let pages = (0..100).take_while(|_| listing.answer(&[], r#"{"total":1000000}"#, 0).unwrap().is_some()).count();
        assert_eq!(pages, MAX_EMPTY_BY_TOTAL as usize, "the total may count what is not listed");
    }
}

/// As Keap does: each page links to a next one, also the last, and has the number of all rows.
#[test]
fn a_total_that_was_read_counts_more_than_a_bare_link() {
    let keap = |count: usize| format!(r#"{{"count":{count},"next":"https://api.example/v1/items?offset=9","previous":""}}"#);
    let pages = |plan: &PaginationPlan, pages: &[(&str, usize)]| {
        let mut listing = Listing::new(plan);
        let asked = pages.iter().take_while(|(envelope, rows)| listing.answer(&[], envelope, *rows).unwrap().is_some()).count();
        (asked, listing.pager.claim())
    };
    for plan in [offset(), page()] {
        let (counted, nothing) = (keap(5), keap(0));
        let empty = [(&*counted, 0); 20];
        let (asked, claim) = pages(&plan, &[&[(&*counted, 3), (&*counted, 2)], &empty[..]].concat());
        assert_eq!(
            (asked, claim),
            (2, Claim { short: 0, more: false, counted: true }),
            "{plan:?}: the first empty page ends it"
        );
        assert_eq!(pages(&plan, &[(&*nothing, 0); 20]).0, 1, "{plan:?}: two pages say that there is nothing");

        // What is wrong, or counts the rows of its page or those that were asked for, loses nothing.
        let all = MAX_EMPTY_BY_TOTAL as usize;
        for (start, envelope) in [(3, keap(4)), (3, keap(2)), (3, keap(0))] {
            let listed = [&[(&*envelope, start)], &[(&*envelope, 0); 20][..]].concat();
            assert_eq!(pages(&plan, &listed).0, 1 + all, "{plan:?} {envelope}");
        }
        let fifty = keap(50);
        let full = [&[(&*fifty, 50)], &[(&*fifty, 0); 20][..]].concat();
        assert_eq!(pages(&plan, &full).0, if plan == offset() { 1 + all } else { 2 }, "{plan:?}: it may be the size of a page");
        let more = r#"{"count":3,"has_more":true}"#;
        assert_eq!(pages(&plan, &[&[(more, 3)], &[(more, 0); 20][..]].concat()).0, 21, "{plan:?}: a flag says it");
    }
    let walked = script(
        &PaginationPlan::NextLink(field("next")),
        &[
            (r#"{"count":3,"next":"?p=2"}"#, 2, 1),
            (r#"{"count":3,"next":"?p=3"}"#, 1, 2),
            (r#"{"count":3,"next":"?p=4"}"#, 0, 0),
        ],
    );
    assert!(walked[1].as_ref().unwrap().is_some() && walked[2] == Ok(None), "{walked:?}");
    let walked = script(
        &PaginationPlan::NextLink(field("next")),
        &[(r#"{"count":2,"next":"?p=2"}"#, 2, 1), (r#"{"count":0,"next":"?p=3"}"#, 0, 0), (r#"{"count":1,"next":null}"#, 1, 2)],
    );
    assert!(walked[1].as_ref().unwrap().is_some() && walked[2] == Ok(None), "a count of the page proves nothing: {walked:?}");
}

#[test]
fn a_position_that_does_not_go_forward_ends_the_list() {
    let next_offset =
        PaginationPlan::Token { from: field("next_offset"), parameter: "offset".into(), place: TokenPlace::Query };
    for end in [
        "-1",
        "0",
        "\"0\"",
        "\"-1\"",
        "\"\"",
        "null",
        "false",
        "\"null\"",
        "\"undefined\"",
        "\"None\"",
        "\"end\"",
        "{}",
        "[]",
        "2",
        "\"2\"",
    ] {
        let last = format!(r#"{{"next_offset":{end}}}"#);
        let walked = script(&next_offset, &[(r#"{"next_offset":2}"#, 2, 1), (&last, 2, 2)]);
        assert_eq!(walked[1], Ok(None), "{end}");
    }
    // a smaller number leads back to where the list began, or on: what comes then shows which
    let back = script(&next_offset, &[(r#"{"next_offset":2}"#, 2, 1), (r#"{"next_offset":1}"#, 2, 2), ("{}", 2, 1)]);
    assert_eq!(back[1..], [Ok(query(&[("offset", "1")])), Ok(None)]);
    let counted = r#"{"next_offset":1,"page":2,"pages":2}"#;
    assert_eq!(script(&next_offset, &[(r#"{"next_offset":2}"#, 2, 1), (counted, 2, 2)])[1], Ok(None), "it is the last page");
    let link = PaginationPlan::NextLink(field("next"));
    for end in [
        "null",
        "false",
        "0",
        "-1",
        "\"\"",
        "\"#\"",
        "\"null\"",
        "\"none\"",
        "{}",
        "\"?p=2\"",
        "\"https://api.example/v1/items?p=2\"",
    ] {
        let last = format!(r#"{{"next":{end}}}"#);
        let walked = script(&link, &[(r#"{"next":"?p=2"}"#, 2, 1), (&last, 2, 2)]);
        assert_eq!(walked[1], Ok(None), "{end}");
    }
    let cursor = token(TokenPlace::Query, "cursor");
    let cursor = |answers: &[(&str, usize, u128)]| script(&cursor, answers).pop().unwrap();
    let (a, b, c) = (r#"{"next":"a"}"#, r#"{"next":"b"}"#, r#"{"next":"c"}"#);
    assert_eq!(cursor(&[(a, 2, 1), (a, 2, 2), (a, 2, 2)]), Ok(None), "the last page leads to itself");
    assert_eq!(cursor(&[(a, 2, 1), (a, 0, 0)]), Ok(None), "as Solr says it");
    assert_eq!(cursor(&[(a, 2, 1), (b, 2, 2), (b, 2, 2)]), Ok(None), "the last page comes again and leads to itself");
    assert_eq!(cursor(&[(a, 2, 1), (b, 2, 2), (a, 0, 0)]), Ok(None), "an empty page that leads back");
    assert!(cursor(&[(a, 2, 1), (b, 0, 0)]).unwrap().is_some(), "an empty page need not be the last one");
    assert!(cursor(&[(r#"{"next":"9"}"#, 2, 1), (r#"{"next":"5"}"#, 2, 2)]).unwrap().is_some(), "a cursor may count down");

    assert_eq!(cursor(&[(a, 2, 1), (a, 2, 1)]), Err(Reason::PaginationLoop), "the parameter is ignored");
    assert_eq!(cursor(&[(a, 2, 1), (b, 2, 1)]), Err(Reason::PaginationLoop), "the parameter is ignored");
    assert_eq!(cursor(&[(a, 2, 1), (b, 2, 2), (c, 2, 2)]), Err(Reason::PaginationLoop), "the same records at a new position");
    assert_eq!(cursor(&[(a, 2, 1), (b, 2, 2), (a, 2, 3)]), Err(Reason::PaginationLoop), "round and round");
}

#[test]
fn a_scroll_goes_on_under_one_token() {
    let scroll = |answers: &[(&str, usize, u128)]| script(&token(TokenPlace::Query, "scroll_id"), answers);
    let (a, b) = (r#"{"next":"a"}"#, r#"{"next":"b"}"#);
    let walked = scroll(&[(a, 2, 1), (a, 2, 2), (a, 2, 3), (a, 1, 4), (a, 0, 0)]);
    assert!(walked[..4].iter().all(|next| matches!(next, Ok(Some(_)))), "{walked:?}");
    assert_eq!(walked[4], Ok(None));
    let walked = scroll(&[(a, 2, 1), (b, 2, 2), (b, 2, 3), ("{}", 1, 4)]);
    assert!(walked[2].as_ref().unwrap().is_some(), "{walked:?}");
    assert_eq!(walked[3], Ok(None), "the token is gone");
    for over in [r#"{"next":"a","has_more":false}"#, r#"{"next":"a","page":2,"pages":2}"#] {
        assert_eq!(scroll(&[(a, 2, 1), (over, 2, 2)])[1], Ok(None), "{over}");
    }
    // A link that leads to itself is asked for no second time.
    let walked =
        script(&PaginationPlan::NextLink(field("next")), &[(r#"{"next":"?p=2"}"#, 2, 1), (r#"{"next":"?p=2"}"#, 2, 2)]);
    assert_eq!(walked[1], Ok(None));
}

#[test]
fn bytes_that_differ_in_each_answer_are_no_other_page() {
    let base = Url::parse(URL).unwrap();
    let headers = HeaderMap::new();
    let walk = |envelope: &str, ids: &[u128]| {
        let mut pager = pager(&token(TokenPlace::Query, "cursor"));
        let mut last = None;
        for (digest, ids) in ids.iter().enumerate() {
            let digest = digest as u128;
            let ids = Ids(&|| *ids);
            let answer = Answer { url: &base, headers: &headers, envelope, path: &[], record_count: 2, digest, ids };
            last = Some(pager.next(&answer).map_err(|problem| problem.reason));
        }
        last.unwrap()
    };
    assert_eq!(walk(r#"{"next":"a"}"#, &[1, 2, 2]), Ok(None), "the last page leads to itself");
    assert_eq!(walk(r#"{"next":"a"}"#, &[1, 1]), Err(Reason::PaginationLoop), "the parameter is ignored");
    assert_eq!(walk(r#"{"next":"a","has_more":true}"#, &[1, 2, 2]), Err(Reason::PaginationLoop), "it says that more follows");
}

/// Microsoft Graph: an item may be there several times, and the last one counts.
#[test]
fn a_list_of_changes_shows_one_record_on_several_pages() {
    let delta = DeltaPlan { from: field("delta"), form: crate::plan::delta::DeltaForm::Link, expired: None, scope: 1 };
    let read = |delta: Option<&DeltaPlan>, pages: [(&str, u128); 3]| {
        let mut pager = pager(&PaginationPlan::NextLink(field("next"))).beside(delta);
        let (url, headers) = (Url::parse(URL).unwrap(), HeaderMap::new());
        let mut answer = |(envelope, digest): (&str, u128)| {
            let ids = Ids(&|| 7);
            pager.next(&Answer { url: &url, headers: &headers, envelope, path: &[], record_count: 1, digest, ids })
        };
        pages
            .into_iter()
            .map(|page| answer(page).map(|next| next.is_some()).map_err(|problem| problem.reason))
            .collect::<Vec<_>>()
    };
    let (one, two, last) = (r#"{"next":"?s=1"}"#, r#"{"next":"?s=2"}"#, r#"{"delta":"?d=1"}"#);
    let loops = Err(Reason::PaginationLoop);
    // one object that changed, changed again, and was deleted; then the same bytes each time
    assert_eq!(read(Some(&delta), [(one, 1), (two, 2), (last, 3)]), [Ok(true), Ok(true), Ok(false)]);
    assert_eq!(read(Some(&delta), [(one, 1), (two, 1), (last, 1)]), [Ok(true), Ok(true), Ok(false)]);
    assert_eq!(read(None, [(one, 1), (two, 2), (last, 3)])[1], loops, "in a list of records it came before");
    // a provider that ignores the token
    assert_eq!(read(Some(&delta), [(one, 1), (one, 1), (last, 1)])[1], loops);
}

/// Their texts may be equal, although one is the place of a page and the other the end of a poll.
#[test]
fn the_token_of_a_poll_is_not_that_of_a_page() {
    let delta = |from: &str| DeltaPlan {
        from: field(from),
        form: crate::plan::delta::DeltaForm::Token { first: None },
        expired: None,
        scope: 1,
    };
    let next = |from: &str| {
        let mut listing = Listing::new(&token(TokenPlace::Query, "page"));
        listing.pager = listing.pager.beside(Some(&delta(from)));
        listing.pager.continue_from("1");
        listing.body(r#"{"next":"1"}"#)
    };
    assert_eq!(next("sync").unwrap(), query(&[("page", "1")]));
    assert_ne!(next("next").ok().flatten(), query(&[("page", "1")]), "a list that continues where it ended");
}

#[test]
fn a_first_page_that_says_that_it_is_none_is_a_condition() {
    for (envelope, loud) in [
        (r#"{"number":1,"totalPages":3,"first":false,"last":false}"#, true),
        (r#"{"isFirst":false}"#, true),
        (r#"{"pagination":{"has_previous_page":true}}"#, true),
        (r#"{"hasPrev":"true"}"#, true),
        (r#"{"first":true,"hasPrevious":false}"#, false),
        (r#"{"previous":null,"prev":"/x","first":"/x"}"#, false),
        (r#"{"first_name":false,"previous_employer":true}"#, false),
    ] {
        let walked = script(&page(), &[(envelope, 3, 1)]);
        assert_eq!(walked[0] == Err(Reason::PaginationUnclear), loud, "{envelope}: {walked:?}");
        let zero = PaginationPlan::Page { parameter: "page".into(), first: Some(0), size_parameter: None };
        assert!(script(&zero, &[(envelope, 3, 1)])[0].is_ok(), "{envelope}");
    }
}

/// Whether a listing over pages of these numbers of rows ends with a message about missed pages.
fn misses_one(plan: &PaginationPlan, since: bool, listed: &[(&str, usize)]) -> bool {
    let mut request = request(Method::GET, &[]);
    if since {
        request.query.push(("since".into(), Template::parse("${since}").unwrap()));
    }
    let mut pager = Pager::new(&request, plan, None);
    let url = Url::parse(URL).unwrap();
    for (number, (envelope, record_count)) in (1..).zip(listed) {
        let (headers, digest) = (HeaderMap::new(), number);
        let record_count = *record_count;
        let answer = Answer { url: &url, headers: &headers, envelope, path: &[], record_count, digest, ids: Ids(&|| digest) };
        match pager.next(&answer) {
            Err(problem) => return problem.reason == Reason::PaginationUnclear,
            Ok(None) => return false,
            Ok(Some(_)) => {}
        }
    }
    panic!("the list does not end");
}

#[test]
fn pages_that_are_counted_from_zero_are_recognised_by_their_total() {
    let is_noticed = |pages: &[usize], total: usize, plan: &PaginationPlan, since: bool| {
        let envelope = format!(r#"{{"total":{total},"per_page":3}}"#);
        let pages: Vec<_> = pages.iter().map(|rows| (envelope.as_str(), *rows)).collect();
        misses_one(plan, since, &pages)
    };
    let empty = [0; 11];
    let of = |first: &[usize]| [first, &empty[..]].concat();
    // The pages before the last are full, and one more of them is counted.
    for missed in [&of(&[3, 3, 1])[..], &of(&[1])[..], &of(&[3])[..]] {
        let rows: usize = missed.iter().sum();
        assert!(is_noticed(missed, rows + 3, &page(), false), "{missed:?}");
        assert!(!is_noticed(missed, rows + 3, &from_one(), false), "the manifest says that it begins at 1");
        assert!(!is_noticed(missed, rows + 2, &page(), false), "hidden rows");
    }
    assert!(!is_noticed(&of(&[3, 2, 3, 1]), 12, &page(), false), "a page before the last hides a row");
    assert!(is_noticed(&empty, 2, &page(), false), "all rows are on page 0");
    assert!(!is_noticed(&empty, 2, &page(), true), "the total may be that of the list before the filter");
    assert!(!is_noticed(&empty, 40, &page(), false), "all rows are hidden");
}

#[test]
fn a_place_in_the_list_may_be_told_in_words() {
    for (said, more) in [
        (r#"{"page":"1 of 3"}"#, true),
        (r#"{"page":"Page 1 of 3"}"#, true),
        (r#"{"paging":{"current_page":"1\/3"}}"#, true),
        (r#"{"showing":"1-4 of 12"}"#, true),
        (r#"{"range":"1 - 4 of 12 results"}"#, true),
        (r#"{"page":"1 of 1"}"#, false),
        (r#"{"showing":"1-4 of 4"}"#, false),
        (r#"{"score":"1 of 3"}"#, false),
        (r#"{"page":"a/b"}"#, false),
        (r#"{"page":"3/1"}"#, false),
    ] {
        let detected = script(&PaginationPlan::Detect, &[(said, 4, 1)]);
        assert_eq!(detected[0] == Err(Reason::PaginationUnclear), more, "{said}: {detected:?}");
        let walked = script(&page(), &[(said, 4, 1)]);
        assert!(matches!(walked[0], Ok(Some(_))) || !more, "{said}: {walked:?}");
    }
}

#[test]
fn a_page_number_beyond_the_last_may_lead_to_the_last() {
    let numbered = |n: usize| format!(r#"{{"page":{n}}}"#);
    let (one, two) = (numbered(1), numbered(2));
    let walked = script(&page(), &[(&one, 2, 1), (&two, 2, 2), (&two, 2, 2)]);
    assert_eq!(walked[2], Ok(None));
    let walked = script(&page(), &[(&one, 2, 1), (&one, 2, 1)]);
    assert_eq!(walked[1], Err(Reason::PaginationLoop), "the parameter is ignored");
    let walked = script(&page(), &[("[]", 2, 1), ("[]", 2, 2), ("[]", 2, 2)]);
    assert_eq!(walked[2], Err(Reason::PaginationLoop), "it says nothing");
}

#[test]
fn more_without_a_way_to_it_is_a_condition() {
    for (plan, envelope, loud) in [
        (token(TokenPlace::Query, "cursor"), r#"{"has_more":true}"#, true),
        (token(TokenPlace::Query, "cursor"), r#"{"has_more":true,"next":null}"#, true),
        (token(TokenPlace::Query, "cursor"), r#"{"page":1,"pages":3}"#, true),
        (token(TokenPlace::Query, "cursor"), r#"{"next_cursor":"t"}"#, true),
        (PaginationPlan::NextLink(field("next")), r#"{"links":{"next":"/x"}}"#, true),
        (PaginationPlan::LinkHeader, r#"{"next_page_token":"t"}"#, true),
        (token(TokenPlace::Query, "cursor"), r#"{"has_more":false}"#, false),
        (token(TokenPlace::Query, "cursor"), r#"{"next":null,"total":9}"#, false),
        (token(TokenPlace::Query, "cursor"), r#"{"nextSyncToken":"t"}"#, false),
        (PaginationPlan::LinkHeader, "[]", false),
    ] {
        let expected = if loud { Err(Reason::PaginationUnclear) } else { Ok(None) };
        assert_eq!(script(&plan, &[(envelope, 3, 1)]), [expected], "{envelope}");
    }
}

#[test]
fn a_wrong_guess_is_told_and_named() {
    let base = Url::parse(URL).unwrap();
    for envelope in [r#"{"cursor":"t"}"#, r#"{"next_cursor":"t"}"#, r#"{"has_more":true,"bookmark":"t"}"#] {
        let mut pager = pager(&PaginationPlan::Detect);
        let answer =
            Answer { url: &base, headers: &HeaderMap::new(), envelope, path: &[], record_count: 3, digest: 1, ids: Ids(&|| 1) };
        assert!(pager.next(&answer).unwrap().is_some(), "{envelope}");
        let problem = pager.next(&answer).unwrap_err();
        assert_eq!(problem.reason, Reason::PaginationUnclear, "{envelope}");
        assert!(problem.message.contains("set pagination.token"), "{problem}");
    }
    // A feed that gives a position for the next poll: the first empty page ends it.
    let walked = script(&PaginationPlan::Detect, &[(r#"{"cursor":"a"}"#, 3, 1), (r#"{"cursor":"b"}"#, 0, 0)]);
    assert_eq!(walked[1], Ok(None));
}

/// Lists 25 rows, or so, in pages of ten, of which each answer says something; the rows that were read, or why it ended.
fn read_of(rows: usize, plan: &PaginationPlan, says: impl Fn(usize) -> String) -> Result<usize, Reason> {
    let mut pager = Pager::new(&request(Method::GET, &[]), plan, None);
    let (url, mut position, mut read) = (Url::parse(URL).unwrap(), Some(pager.first()), 0);
    while let Some(at) = position {
        let number: usize = at.mark().parse().unwrap();
        let start = if matches!(plan, PaginationPlan::Page { .. }) { (number - 1) * 10 } else { number };
        let record_count = rows.saturating_sub(start).min(10);
        let (digest, envelope) = (start as u128, says(start));
        let headers = HeaderMap::new();
        let ids = Ids(&|| digest);
        let answer = Answer { url: &url, headers: &headers, envelope: &envelope, path: &[], record_count, digest, ids };
        read += record_count;
        position = pager.next(&answer).map_err(|problem| problem.reason)?;
    }
    Ok(read)
}

#[test]
fn a_count_below_the_rows_that_are_there_ends_no_list() {
    let by_offset = PaginationPlan::Offset { parameter: "offset".into(), size_parameter: None };
    let page = |start: usize| start / 10 + 1;
    for total in [18, 20, 10, 0] {
        let said = |start| format!(r#"{{"page":{},"per_page":10,"total":{total}}}"#, page(start));
        assert_eq!(read_of(25, &from_one(), said), Ok(25), "{total}");
        assert_eq!(read_of(25, &from_one(), |_| format!(r#"{{"total":{total}}}"#)), Ok(25), "{total}");
        let said = |start| format!(r#"{{"offset":{start},"limit":10,"total":{total}}}"#);
        assert_eq!(read_of(25, &by_offset, said), Ok(25), "{total}");
    }
    assert_eq!(read_of(25, &from_one(), |start| format!(r#"{{"page":{},"pages":2}}"#, page(start))), Ok(25));
    assert_eq!(read_of(25, &from_one(), |start| format!(r#"{{"page":{},"pages":2,"total":25}}"#, page(start))), Ok(25));
    let said = |start| format!(r#"{{"page":{},"per_page":10,"total_pages":1,"total":25}}"#, page(start));
    assert_eq!(read_of(25, &from_one(), said), Ok(25));
    let said = |start: usize| {
        let next = if start + 10 < 25 { (start + 10).to_string() } else { "null".to_owned() };
        format!(r#"{{"offset":{start},"total":18,"next_offset":{next}}}"#)
    };
    assert_eq!(read_of(25, &by_offset, said), Ok(25));
    assert_eq!(
        read_of(25, &from_one(), |start| format!(r#"{{"has_more":{},"total":25}}"#, start < 10)),
        Ok(20),
        "a flag is certain"
    );
}

#[test]
fn a_list_that_ends_where_its_counts_say_costs_no_request_unless_its_last_page_is_full() {
    for (rows, requests) in [(3, 1), (10, 2), (13, 2), (20, 3), (25, 3)] {
        let asked = std::cell::Cell::new(0);
        let said = |start| {
            asked.set(asked.get() + 1);
            format!(r#"{{"page":{},"per_page":10,"pages":{},"total":{rows}}}"#, start / 10 + 1, usize::div_ceil(rows, 10))
        };
        assert_eq!(read_of(rows, &from_one(), said), Ok(rows));
        assert_eq!(asked.get(), requests, "{rows}");
    }
    // The total of an idle poll may be that of the list before the filter, and there is one page.
    let walked = script(&from_one(), &[(r#"{"page":1,"pages":1,"total":5000}"#, 1, 1)]);
    assert_eq!(walked, [Ok(None)]);
}

#[test]
fn a_page_that_is_asked_for_in_spite_of_a_count_ends_the_list_whatever_it_has() {
    let said = |page: usize| format!(r#"{{"page":{page},"pages":2}}"#);
    let (one, two) = (said(1), said(2));
    for (last, count, digest) in [("", 0, 0), ("{}", 0, 0), (&*two, 10, 2), (&*one, 10, 1)] {
        let walked = script(&from_one(), &[(&one, 10, 1), (&two, 10, 2), (last, count, digest)]);
        assert!(matches!(walked[1], Ok(Some(_))), "{walked:?}");
        assert_eq!(walked[2], Ok(None), "{last} {count}");
    }
}

#[test]
fn a_next_page_that_is_left_out_is_missed_where_a_total_says_so() {
    let link = [("link", "<?page=2>; rel=next")];
    let cursor = || token(TokenPlace::Query, "cursor");
    let (total, next) = (r#"{"total":30}"#, r#"{"total":30,"next":"b"}"#);
    let mut listing = Listing::new(&PaginationPlan::LinkHeader);
    assert_eq!(reason(listing.answer(&[], total, 10)), Reason::PaginationUnclear);
    assert_eq!(
        reason(Listing::new(&PaginationPlan::LinkHeader).answer(&[("x-total-count", "30")], "[]", 10)),
        Reason::PaginationUnclear
    );
    assert_eq!(reason(Listing::new(&cursor()).answer(&[], total, 10)), Reason::PaginationUnclear);
    let second = |plan: &PaginationPlan, last: &str, rows: usize| {
        let mut listing = Listing::new(plan);
        listing.answer(&link, next, 10).unwrap();
        listing.answer(&[], last, rows).map_err(|problem| problem.reason)
    };
    for plan in [PaginationPlan::LinkHeader, cursor(), PaginationPlan::NextLink(field("next")), PaginationPlan::Detect] {
        assert_eq!(second(&plan, total, 10), Err(Reason::PaginationUnclear), "{plan:?}");
        assert_eq!(second(&plan, r#"{"total":20}"#, 10), Ok(None), "{plan:?}");
        assert_eq!(second(&plan, total, 7), Ok(None), "the total counts rows that are hidden: {plan:?}");
        assert_eq!(second(&plan, total, 0), Ok(None), "{plan:?}");
    }
    assert_eq!(second(&cursor(), r#"{"total":30,"next":null}"#, 10), Ok(None), "it is said");
    // A filtered list, whose total is that of the whole.
    let mut since = request(Method::GET, &[]);
    since.query.push(("since".into(), Template::parse("${since}").unwrap()));
    let mut listing = Listing { pager: Pager::new(&since, &cursor(), Some(50)), ..Listing::new(&cursor()) };
    assert_eq!(listing.answer(&[], r#"{"total":5000}"#, 3), Ok(None));
}

/// `HubSpot`'s lists of the latest records: `time-offset` is the date of the last row, and the newest row is the first.
#[test]
fn a_token_that_falls_leads_on_whatever_its_name_says() {
    for name in ["time-offset", "offset", "nextOffset", "page_before", "before", "until"] {
        let plan = PaginationPlan::Token { from: field(name), parameter: "x".into(), place: TokenPlace::Query };
        let said = |number: u32, more: &str| format!(r#"{{"{name}":{number}{more}}}"#);
        let pages = [said(900, ""), said(800, ""), said(9, ""), said(3, "")];
        let answers = |more: &str| -> Vec<String> { pages.iter().map(|page| page.replace('}', more) + "}").collect() };
        for more in ["", r#","has-more":true"#] {
            let said = answers(more);
            let mut answers: Vec<_> = said.iter().zip(1..).map(|(said, digest)| (&**said, 2, digest)).collect();
            answers.push((r#"{"has-more":false}"#, 1, 9));
            let walked = script(&plan, &answers);
            let on = |token: &str| Ok(query(&[("x", token)]));
            assert_eq!(walked, [on("900"), on("800"), on("9"), on("3"), Ok(None)], "{name} {more}");
        }
        // it stands still, or two pages lead to each other
        let still =
            script(&plan, &[(&said(900, ""), 2, 1), (&said(800, ""), 2, 2), (&said(800, ""), 2, 3), (&said(800, ""), 2, 3)]);
        assert_eq!(still.last(), Some(&Ok(None)), "{name}");
        let turns = [(said(900, ""), 1), (said(800, ""), 2), (said(900, ""), 3), (said(800, ""), 2)];
        let turns: Vec<_> = turns.iter().map(|(said, digest)| (&**said, 2, *digest)).collect();
        assert!(script(&plan, &turns).contains(&Err(Reason::PaginationLoop)), "{name}");
    }
}

/// devlake#5032: the number of the page is sent as the offset, or the other way round.
#[test]
fn pages_and_offsets_that_are_swapped_are_said() {
    /// Reads a list of `rows` by ten, until it ends or fails; the reason, and the number of rows that were read.
    fn read(
        pagination: &PaginationPlan,
        rows: u64,
        said: impl Fn(u64) -> String,
        at: impl Fn(u64) -> u64,
    ) -> (Option<Reason>, u64) {
        let mut pager = pager(pagination);
        let url = Url::parse(URL).unwrap();
        let (mut position, mut read) = (pager.first(), 0);
        loop {
            let number: u64 = match &position {
                Position::Query(pairs) => pairs[0].1.parse().unwrap(),
                other => panic!("{other:?}"),
            };
            let start = at(number);
            let count = rows.saturating_sub(start).min(10);
            read += count;
            let ids = (u128::from(start) << 32) | u128::from(count);
            let envelope = said(number);
            let answer = Answer {
                url: &url,
                headers: &HeaderMap::new(),
                envelope: &envelope,
                path: &[],
                record_count: usize::try_from(count).unwrap(),
                digest: ids,
                ids: Ids(&|| ids),
            };
            match pager.next(&answer) {
                Ok(Some(next)) => position = next,
                Ok(None) => return (None, read),
                Err(problem) => return (Some(problem.reason), read),
            }
        }
    }
    let offset = |parameter: &str| PaginationPlan::Offset { parameter: parameter.into(), size_parameter: None };
    let page = |parameter: &str, first| PaginationPlan::Page { parameter: parameter.into(), first, size_parameter: None };
    let from_1 = |number: u64| number.saturating_sub(1) * 10;
    let from_0 = |number: u64| number * 10;
    let total = |rows: u64| move |_: u64| format!(r#"{{"total":{rows}}}"#);
    let unclear = Some(Reason::PaginationUnclear);
    // by the total, where the name says that pages are counted
    for name in ["page", "pageNumber", "page_no", "p", "pageIndex", "page[number]", "currentPage"] {
        for rows in [95, 1_000] {
            assert_eq!(read(&offset(name), rows, total(rows), from_1).0, unclear, "{name} {rows} from 1");
            assert_eq!(read(&offset(name), rows, total(rows), from_0).0, unclear, "{name} {rows} from 0");
        }
    }
    // by what the answers repeat, whatever the name is
    assert_eq!(read(&offset("at"), 1_000, |number| format!(r#"{{"page":{number}}}"#), from_1).0, unclear);
    assert_eq!(read(&page("at", None), 95, |number| format!(r#"{{"offset":{number}}}"#), |number| number).0, unclear);
    // what is right stays so, and a total may count rows that are hidden
    for name in ["page", "offset", "at"] {
        assert_eq!(read(&offset(name), 95, total(95), |number| number), (None, 95), "{name}");
        let echo = |number: u64| format!(r#"{{"total":95,"offset":{number},"page":{}}}"#, number / 10 + 1);
        assert_eq!(read(&offset(name), 95, echo, |number| number), (None, 95), "{name}");
        assert_eq!(read(&page(name, Some(1)), 95, total(95), from_1), (None, 95), "{name}");
        let echo = |number: u64| format!(r#"{{"total":95,"page":{number},"start":{}}}"#, (number - 1) * 10);
        assert_eq!(read(&page(name, Some(1)), 95, echo, from_1), (None, 95), "{name}");
    }
    for name in ["offset", "page[offset]", "skip", "$skip", "startAt", "at", "pageSize", "pageToken"] {
        assert_eq!(read(&offset(name), 15, total(95), |number| number), (None, 15), "{name}: 80 rows are hidden");
    }
    for (name, counts) in
        [("offset", true), ("page[offset]", true), ("startAt", true), ("$skip", true), ("page", false), ("p", false)]
    {
        assert_eq!(may_count_rows(&page(name, None)), counts, "{name}");
    }
}

#[test]
fn a_token_that_is_a_word_is_a_token_where_the_manifest_says_so() {
    for word in ["NO", "NA", "end", "last", "done", "complete", "-5", "#", "n/a"] {
        let said = format!(r#"{{"next_marker":"{word}"}}"#);
        let plan = PaginationPlan::Token { from: field("next_marker"), parameter: "after".into(), place: TokenPlace::Query };
        assert_eq!(script(&plan, &[(&said, 3, 1)]), [Ok(query(&[("after", word)]))], "{word}");
        let plan = PaginationPlan::Token { from: field("next_marker"), parameter: "offset".into(), place: TokenPlace::Query };
        assert_eq!(script(&plan, &[(&said, 3, 1)]), [Ok(None)], "{word} is no offset");
    }
    for end in ["null", "false", "\"\"", "\" \"", "0", "\"0\"", "-1", "\"null\"", "\"None\"", "\"undefined\"", "{}", "[]"] {
        assert_eq!(script(&token(TokenPlace::Query, "after"), &[(&format!(r#"{{"next":{end}}}"#), 3, 1)]), [Ok(None)], "{end}");
    }
}

#[test]
fn an_ignored_parameter_is_noticed_though_the_bytes_differ() {
    let base = Url::parse(URL).unwrap();
    let last_id = PaginationPlan::LastId { parameter: "after".into(), field: None, place: TokenPlace::Query };
    let id = IdPlan::Field(FieldPath::parse("id").unwrap());
    for plan in [offset(), page(), last_id, PaginationPlan::NextLink(field("next"))] {
        let mut pager = pager(&plan);
        let mut ask = |digest: u128, ids: u128| {
            let headers = HeaderMap::new();
            let ids = Ids(&|| ids);
            let envelope = if matches!(plan, PaginationPlan::NextLink(_)) { r#"{"next":"?page=2"}"# } else { "[]" };
            pager.note_last([("null", None), ("{}", None), (r#"{"id":9}"#, None), (r#"{"id":8}"#, None)].into_iter(), &id);
            pager
                .next(&Answer { url: &base, headers: &headers, envelope, path: &[], record_count: 10, digest, ids })
                .map_err(|problem| problem.reason)
        };
        assert!(matches!(ask(1, 7), Ok(Some(_))), "{plan:?}");
        assert_eq!(ask(2, 7), Err(Reason::PaginationLoop), "{plan:?}");
    }
}

#[test]
fn what_the_last_answer_says_of_rows_that_were_not_read_is_kept() {
    let claim = |plan: &PaginationPlan, envelope: &str| {
        let mut listing = Listing::new(plan);
        assert_eq!(listing.answer(&[], envelope, 4), Ok(None), "{envelope}");
        let claim = listing.pager.claim();
        (claim.short, claim.more)
    };
    for (envelope, expected) in [
        ("[]", (0, false)),
        (r#"{"total":4}"#, (0, false)),
        (r#"{"total":9}"#, (5, false)),
        (r#"{"has_more":true}"#, (0, true)),
        (r#"{"next":"/x"}"#, (0, true)),
        (r#"{"page":1,"pages":3}"#, (0, true)),
        (r#"{"has_more":false,"next":"/x"}"#, (0, false)),
    ] {
        assert_eq!(claim(&PaginationPlan::None, envelope), expected, "{envelope}");
    }
    assert_eq!(claim(&token(TokenPlace::Query, "cursor"), r#"{"next":null,"total":9}"#), (5, false));
}

/// Without this, no sweep of a list that is read by a scroll would prove a deletion.
#[test]
fn a_token_that_was_followed_to_the_end_promises_no_more() {
    let ends = |last: &str, rows: usize| {
        let mut listing = Listing::new(&token(TokenPlace::Query, "cursor"));
        assert_eq!(listing.answer(&[], r#"{"next":"a"}"#, 4), Ok(query(&[("cursor", "a")])));
        assert_eq!(listing.answer(&[], last, rows), Ok(None), "{last}");
        listing.pager.claim().more
    };
    assert!(!ends(r#"{"next":"a"}"#, 0), "a scroll has its token on an empty page, too");
    assert!(ends(r#"{"next":"a","nextPageUrl":"/x"}"#, 0), "another link was not followed");
    assert!(!ends(r#"{"next":null}"#, 2));
}

#[derive(Clone, Copy, Debug)]
enum Word {
    Flag,
    LastFlag,
    Total,
    TotalHeader,
    Pages,
    Next,
}

fn word() -> impl Strategy<Value = Word> {
    prop::sample::select(vec![Word::Flag, Word::LastFlag, Word::Total, Word::TotalHeader, Word::Pages, Word::Next])
}

/// A provider of numbered rows, some of which are hidden after a page was cut.
struct Mock {
    hidden: Vec<bool>,
    size: usize,
    says: Word,
    says_size: bool,
}

impl Mock {
    /// What it answers for the rows from `start` on: visible rows, envelope, total header.
    fn answer(&self, start: usize, page: Option<usize>) -> (Vec<usize>, String, Option<String>) {
        let total = self.hidden.len();
        let end = (start + self.size).min(total);
        let rows = (start.min(total)..end).filter(|row| !self.hidden[*row]).collect();
        let more = end < total;
        let mut said = serde_json::json!({});
        match self.says {
            Word::Flag => said["has_more"] = more.into(),
            Word::LastFlag => said["isLast"] = (!more).into(),
            Word::Total => said["total"] = total.into(),
            Word::TotalHeader => {}
            Word::Pages => {
                said["page"] = page.unwrap_or(start / self.size + 1).into();
                said["pages"] = total.div_ceil(self.size).into();
            }
            Word::Next => said["next_url"] = if more { "https://api.example/x".into() } else { serde_json::Value::Null },
        }
        if self.says_size {
            said["limit"] = self.size.into();
        }
        (rows, said.to_string(), matches!(self.says, Word::TotalHeader).then(|| total.to_string()))
    }
}

/// Lists a mock; the rows that were seen.
fn seen(mock: &Mock, plan: &PaginationPlan) -> Result<std::collections::BTreeSet<usize>, String> {
    let base = Url::parse(URL).unwrap();
    let mut pager = pager(plan);
    let mut position = Some(pager.first());
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..2_000 {
        let Some(at) = position else { return Ok(seen) };
        let number: usize = at.mark().parse().unwrap();
        let (rows, envelope, total) = match plan {
            PaginationPlan::Page { .. } => mock.answer((number - 1) * mock.size, Some(number)),
            _ => mock.answer(number, None),
        };
        let mut headers = HeaderMap::new();
        if let Some(total) = total {
            headers.insert("x-total-count", HeaderValue::from_str(&total).unwrap());
        }
        let digest = xxhash_rust::xxh3::xxh3_128(format!("{rows:?}").as_bytes());
        let answer = Answer {
            url: &base,
            headers: &headers,
            envelope: &envelope,
            path: &[],
            record_count: rows.len(),
            digest,
            ids: Ids(&|| digest),
        };
        position = pager.next(&answer).map_err(|problem| problem.to_string())?;
        seen.extend(rows);
    }
    Err("it does not end".to_owned())
}

proptest! {
    #[test]
    fn every_visible_row_is_read(
        hidden in prop::collection::vec(prop::bool::weighted(0.25), 0..60),
        size in 1_usize..9,
        says in word(),
        by_page in any::<bool>(),
    ) {
        let mock = Mock { says_size: true, hidden, size, says };
        let plan = if by_page { from_one() } else { PaginationPlan::Offset { parameter: "offset".into(), size_parameter: None } };
        let visible: std::collections::BTreeSet<_> = (0..mock.hidden.len()).filter(|row| !mock.hidden[*row]).collect();
        prop_assert_eq!(seen(&mock, &plan).unwrap(), visible.clone());
        // Where the manifest does not say where pages begin, a page of hidden rows may look like one that is missed.
        match seen(&mock, &page()) {
            Ok(rows) => prop_assert_eq!(rows, visible),
            Err(message) => prop_assert!(message.contains("pagination.page.first"), "{}", message),
        }
    }

    /// When no response says the size of a page, an offset listing reads some rows twice and passes none.
    #[test]
    fn every_visible_row_is_read_without_a_size(
        hidden in prop::collection::vec(prop::bool::weighted(0.1), 0..60),
        size in 3_usize..9,
        says in prop::sample::select(vec![Word::Flag, Word::LastFlag, Word::Next, Word::Total]),
        by_page in any::<bool>(),
    ) {
        // A page that comes again because what it passes is hidden looks like one whose parameter is ignored.
        let page = |from: usize| (from..from + size).filter(|row| hidden.get(*row) == Some(&false)).collect::<Vec<_>>();
        let comes_again = |from: usize| !page(from).is_empty() && page(from) == page(from + page(from).len());
        prop_assume!(by_page || !(0..hidden.len()).any(comes_again));
        let mock = Mock { says_size: false, hidden, size, says };
        let plan = if by_page { from_one() } else { PaginationPlan::Offset { parameter: "offset".into(), size_parameter: None } };
        let visible: std::collections::BTreeSet<_> = (0..mock.hidden.len()).filter(|row| !mock.hidden[*row]).collect();
        prop_assert_eq!(seen(&mock, &plan).unwrap(), visible);
    }

    #[test]
    fn a_token_walk_with_hidden_rows_reads_all(hidden in prop::collection::vec(prop::bool::weighted(0.4), 0..60), size in 1_usize..9) {
        let mock = Mock { hidden, size, says: Word::Total, says_size: true };
        let mut listing = Listing::new(&token(TokenPlace::Query, "cursor"));
        let (mut start, mut seen) = (0, 0);
        loop {
            let (rows, ..) = mock.answer(start, None);
            seen += rows.len();
            let more = start + size < mock.hidden.len();
            let envelope = if more { format!(r#"{{"next":"t{}","total":{}}}"#, start + size, mock.hidden.len()) } else { r#"{"next":null}"#.to_owned() };
            match listing.answer(&[], &envelope, rows.len()).unwrap() {
                Some(next) => start = next.mark()[1..].parse().unwrap(),
                None => break,
            }
        }
        prop_assert_eq!(seen, mock.hidden.iter().filter(|hidden| !**hidden).count());
    }

    /// Whatever a provider answers, for ever the same or changing, a listing ends.
    #[test]
    fn any_walk_ends(
        plan in 0_usize..6,
        envelopes in prop::collection::vec(
            (
                prop::sample::select(vec![
                    "{}", "[]", r#"{"has_more":true}"#, r#"{"total":99999999999999999999}"#, r#"{"total":1000,"limit":18446744073709551615}"#,
                    r#"{"next":"a"}"#, r#"{"next":"b"}"#, r#"{"next":"/x"}"#, r#"{"next":7}"#, r#"{"next":-1}"#, r#"{"page":1,"pages":9}"#,
                    r#"{"next_offset":18446744073709551615}"#, r#"{"cursor":"c"}"#, r#"{"page":18446744073709551615,"pages":18446744073709551615}"#,
                ]),
                0_usize..4,
                0_u128..4,
            ),
            1..6,
        ),
    ) {
        let plans = [
            PaginationPlan::Detect,
            PaginationPlan::NextLink(field("next")),
            token(TokenPlace::Query, "cursor"),
            offset(),
            page(),
            PaginationPlan::None,
        ];
        let plan = plans[plan].clone();
        let base = Url::parse(URL).unwrap();
        let mut pager = pager(&plan);
        let mut pages = 0;
        for (envelope, record_count, digest) in envelopes.iter().cycle() {
            let answer = Answer {
                url: &base,
                headers: &HeaderMap::new(),
                envelope,
                path: &[],
                record_count: *record_count,
                digest: *digest,
                ids: Ids(&|| *digest),
            };
            pages += 1;
            prop_assert!(pages <= 1_000);
            if !matches!(pager.next(&answer), Ok(Some(_))) {
                break;
            }
        }
    }

    #[test]
    fn never_panics_on_any_link(target in r"([a-z:/?#@\[\]%\\. -]|https://api.example){0,20}") {
        let envelope = serde_json::json!({"next": target}).to_string();
        if let Ok(Some(Position::Url(url))) = Listing::new(&PaginationPlan::NextLink(field("next"))).body(&envelope) {
            prop_assert_eq!(url.origin(), Url::parse(URL).unwrap().origin());
        }
    }

    #[test]
    fn an_offset_walk_sees_every_record(total in 0_usize..200, size in 1_usize..30) {
        let mut listing = Listing::new(&offset());
        let mut position = Some(listing.pager.first());
        let mut seen = 0;
        while let Some(Position::Query(pairs)) = position {
            let start: usize = pairs[0].1.parse().unwrap();
            prop_assert_eq!(start, seen);
            let count = size.min(total - start);
            seen += count;
            position = listing.answer(&[], "[]", count).unwrap();
        }
        prop_assert_eq!(seen, total);
    }
}
