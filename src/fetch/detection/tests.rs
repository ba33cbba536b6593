use http::HeaderValue;
use proptest::prelude::*;
use url::Url;

use super::*;
use crate::api::conditions::Reason;
use crate::fetch::pagination::{Answer, Ids, Pager, manifest_text};
use crate::plan::RequestPlan;
use crate::plan::field_path::Segment;
use crate::plan::template::Template;

/// Interprets a first response as a listing does.
fn detected(method: &Method, headers: &HeaderMap, envelope: &str, rows: u64) -> Detection {
    let url = Url::parse("https://api.example/v1/items").unwrap();
    let request = RequestPlan {
        method: method.clone(),
        origin: url.origin(),
        url: Template::parse(url.as_str()).unwrap(),
        query: vec![],
        headers: vec![],
        body: None,
    };
    let mut pager = Pager::new(&request, &PaginationPlan::Detect, None);
    let path = [Segment::Key("items".into())];
    let record_count = usize::try_from(rows).unwrap();
    let next = pager.next(&Answer { url: &url, headers, envelope, path: &path, record_count, digest: 1, ids: Ids(&|| 1) });
    match (pager.detected(), next) {
        (Some(plan), _) => Detection::Found(plan.clone()),
        (None, Err(problem)) => {
            assert_eq!(problem.reason, Reason::PaginationUnclear, "{envelope}");
            let name = problem.message.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
            Detection::Unclear(name.map(|(name, _)| name.to_owned()))
        }
        (None, Ok(_)) => Detection::Nothing,
    }
}

fn shown(envelope: &str, rows: u64) -> String {
    match detected(&Method::GET, &HeaderMap::new(), envelope, rows) {
        Detection::Found(plan) | Detection::Likely(plan) => manifest_text(&plan),
        Detection::Unclear(_) => "Unclear".to_owned(),
        Detection::Nothing => "Nothing".to_owned(),
    }
}

#[test]
fn knows_the_usual_forms() {
    for (envelope, chosen) in [
        (r#"{"value":[],"@odata.nextLink":"A?$skiptoken=50"}"#, r#"nextLink: {field: "['@odata.nextLink']"}"#),
        (r#"{"count":3,"next":"https://a/?page=2","results":[]}"#, "nextLink: {field: next}"),
        (r#"{"siguiente":"/a?page=2","resultados":[]}"#, "nextLink: {field: siguiente}"),
        (r#"{"links":{"next":"/a?p=2"}}"#, "nextLink: {field: links.next}"),
        (r#"{"links":{"next":{"href":"x"}}}"#, "nextLink: {field: links.next.href}"),
        (r#"{"_links":{"next":{"href":"/x"}}}"#, "nextLink: {field: _links.next.href}"),
        (r#"{"paging":{"next":{"after":"7","link":"https://a/?after=7"}}}"#, "nextLink: {field: paging.next.link}"),
        (r#"{"paging":{"next":{"after":"7"}}}"#, "token: {field: paging.next.after, parameter: after, in: Query}"),
        (r#"{"next_page_token":"t"}"#, "token: {field: next_page_token, parameter: page_token, in: Query}"),
        (r#"{"next_cursor":"t"}"#, "token: {field: next_cursor, parameter: cursor, in: Query}"),
        (r#"{"object":"list","next_cursor":"t"}"#, "token: {field: next_cursor, parameter: start_cursor, in: Query}"),
        (r#"{"nextPageToken":"t"}"#, "token: {field: nextPageToken, parameter: pageToken, in: Query}"),
        (
            r#"{"response_metadata":{"next_cursor":"dGVhbQ=="}}"#,
            "token: {field: response_metadata.next_cursor, parameter: cursor, in: Query}",
        ),
        (r#"{"done":false,"nextRecordsUrl":"/services/data/q-2000"}"#, "nextLink: {field: nextRecordsUrl}"),
        (r#"{"next":"opaque"}"#, "Unclear"),
        (r#"{"next":null,"next_cursor":""}"#, "Nothing"),
        (r#"{"next_page":2}"#, "Unclear"),
        (r#"{"next_page":null}"#, "Nothing"),
        (r#"{"object":"list","has_more":true,"data":[]}"#, "Unclear"),
        (r#"{"object":"list","has_more":false,"data":[]}"#, "Nothing"),
        (r#"{"content":[],"last":false}"#, "Unclear"),
        (r#"{"additional_data":{"pagination":{"more_items_in_collection":true}}}"#, "Unclear"),
        ("[]", "Nothing"),
        ("", "Nothing"),
    ] {
        assert_eq!(shown(envelope, 3), chosen, "{envelope}");
    }
}

#[test]
fn follows_links_and_named_tokens_wherever_they_stand() {
    for (envelope, chosen) in [
        (r#"{"meta":{"next_link":"/a?p=2"}}"#, "nextLink: {field: meta.next_link}"),
        (r#"{"meta":{"paging":{"nextPageUrl":"https://a/?p=2"}}}"#, "nextLink: {field: meta.paging.nextPageUrl}"),
        (r#"{"pagination":{"next":{"url":"/a?p=2"}}}"#, "nextLink: {field: pagination.next.url}"),
        (r#"{"hydra:view":{"hydra:next":"/a?page=2"}}"#, r#"nextLink: {field: "hydra:view.hydra:next"}"#),
        (r#"{"NextPageLink":"https:\/\/a\/?p=2"}"#, "nextLink: {field: NextPageLink}"),
        (r#"{"paging":{"next-href":"?p=2"}}"#, "nextLink: {field: paging.next-href}"),
        (r#"{"more_url":"/a?p=2"}"#, "nextLink: {field: more_url}"),
        (r#"{"more_topics_url":"/latest?page=1"}"#, "nextLink: {field: more_topics_url}"),
        (r#"{"moreContactsLink":"?page=2"}"#, "nextLink: {field: moreContactsLink}"),
        (r#"{"meta":{"nextCursor":"t"}}"#, "token: {field: meta.nextCursor, parameter: cursor, in: Query}"),
        (r#"{"page_info":{"next-cursor":"/t=="}}"#, "token: {field: page_info.next-cursor, parameter: cursor, in: Query}"),
        (
            r#"{"pagination":{"next_page_token":"t"}}"#,
            "token: {field: pagination.next_page_token, parameter: page_token, in: Query}",
        ),
        (r#"{"continuationToken":"t"}"#, "token: {field: continuationToken, parameter: continuationToken, in: Query}"),
        (r#"{"cursor":"3"}"#, "token: {field: cursor, parameter: cursor, in: Query}"),
        (r#"{"offset":"p3"}"#, "token: {field: offset, parameter: offset, in: Query}"),
        (r#"{"paging":{"after":"t"}}"#, "token: {field: paging.after, parameter: after, in: Query}"),
        (r#"{"bookmark":"t"}"#, "token: {field: bookmark, parameter: bookmark, in: Query}"),
        (r#"{"marker":"t"}"#, "token: {field: marker, parameter: marker, in: Query}"),
        (r#"{"has_more":true,"cursor":"t"}"#, "token: {field: cursor, parameter: cursor, in: Query}"),
    ] {
        assert_eq!(shown(envelope, 3), chosen, "{envelope}");
    }
}

/// What says that more follows, but not how.
const LOUD: &[&str] = &[
    // flags, in any spelling and place
    r#"{"hasMore":true}"#,
    r#"{"has-more":true,"vid-offset":3}"#,
    r#"{"HAS_MORE":true}"#,
    r#"{"hasmore":"true"}"#,
    r#"{"has_more":1}"#,
    r#"{"more":true}"#,
    r#"{"more":6}"#,
    r#"{"moreItems":true}"#,
    r#"{"moreAvailable":"Y"}"#,
    r#"{"more_records":true}"#,
    r#"{"hasMoreOrders":true}"#,
    r#"{"info":{"more_records":true,"page":1,"per_page":3,"count":3}}"#,
    r#"{"meta":{"pagination":{"hasNextPage":true}}}"#,
    r#"{"pageInfo":{"hasNextPage":true,"endCursor":null}}"#,
    r#"{"somewhere":{"deep":{"has_more":true}}}"#,
    r#"{"next":true}"#,
    r#"{"IsTruncated":true}"#,
    r#"{"exceededTransferLimit":true}"#,
    r#"{"isLast":false}"#,
    r#"{"last_page":false}"#,
    r#"{"endOfRecords":false}"#,
    r#"{"end_of_stream":false}"#,
    r#"{"no_more":false}"#,
    r#"{"id":"req_1","has_more":true}"#,
    // pages
    r#"{"page":1,"pages":3}"#,
    r#"{"page":"1","pages":"3"}"#,
    r#"{"page":0,"total_pages":2}"#,
    r#"{"meta":{"current_page":1,"last_page":3,"per_page":3,"total":9}}"#,
    r#"{"page":{"size":3,"number":0,"totalElements":9,"totalPages":3}}"#,
    r#"{"number":0,"totalPages":3}"#,
    r#"{"pageIndex":0,"pageCount":2}"#,
    r#"{"paging":{"pageNumber":1,"numberOfPages":2}}"#,
    r#"{"nbPages":3,"page":0,"nbHits":9}"#,
    r#"{"pagination":{"page":1,"page_count":3}}"#,
    r#"{"totalPages":2}"#,
    // totals
    r#"{"total":9}"#,
    r#"{"total":"9"}"#,
    r#"{"count":9}"#,
    r#"{"totalResults":9,"startIndex":1,"itemsPerPage":3}"#,
    r#"{"total_count":9,"limit":3,"offset":0}"#,
    r#"{"meta":{"totalItems":9}}"#,
    r#"{"hits":{"total":{"value":9,"relation":"eq"}}}"#,
    r#"{"response":{"numFound":9,"start":0}}"#,
    r#"{"recordsTotal":90,"recordsFiltered":9}"#,
    r#"{"numberMatched":9,"numberReturned":3}"#,
    r#"{"metadata":{"remainingItemCount":6}}"#,
    r#"{"@odata.count":9}"#,
    // what leads on
    r#"{"nextToken":"t"}"#,
    r#"{"next":{"offset":3,"limit":3}}"#,
    r#"{"next":{"page":2}}"#,
    r#"{"nextPage":2}"#,
    r#"{"next_offset":3}"#,
    r#"{"meta":{"next_page_number":"2"}}"#,
    r#"{"pagingState":"t"}"#,
    r#"{"_scroll_id":"t"}"#,
    r#"{"scroll_id":"t"}"#,
    r#"{"LastEvaluatedKey":{"id":"9"}}"#,
    r#"{"continue":{"cmcontinue":"page|x"}}"#,
    r#"{"resumptionToken":"t"}"#,
    r#"{"links":[{"rel":"self","href":"/a"},{"rel":"next","href":"/a?p=2"}]}"#,
    r#"{"link":[{"relation":"next","url":"https://a/?p=2"}]}"#,
    r#"{"pageInfo":{"endCursor":"t"}}"#,
    r#"{"token":"t"}"#,
    // as many rows as a page has
    r#"{"limit":3,"offset":0}"#,
    // the list was cut off
    r#"{"limitReached":true}"#,
    r#"{"max_results_reached":true}"#,
    r#"{"exceededTransferLimit":true}"#,
    // in other languages
    r#"{"pagina":1,"total_de_paginas":3,"registros":3,"total_de_registros":9}"#,
    r#"{"seite":1,"anzahlSeiten":3,"gesamtAnzahl":9}"#,
    r#"{"pagination":{"page_courante":1,"pages_totales":3}}"#,
    r#"{"count":3,"per_page":3,"page":1}"#,
];

#[test]
fn what_says_that_more_follows_is_never_passed_over() {
    for envelope in LOUD {
        assert_eq!(shown(envelope, 3), "Unclear", "{envelope}");
    }
}

/// What whole lists say, and data that looks like it.
const QUIET: &[&str] = &[
    r#"{"has_more":false,"cursor":"t"}"#,
    r#"{"hasMore":false,"vid-offset":3}"#,
    r#"{"more":false}"#,
    r#"{"isLast":true}"#,
    r#"{"last":true,"totalPages":1,"number":0}"#,
    r#"{"pageInfo":{"hasNextPage":false,"hasPreviousPage":true,"endCursor":"t"}}"#,
    r#"{"has_previous":true}"#,
    r#"{"done":true}"#,
    r#"{"page":1,"pages":1}"#,
    r#"{"page":0,"totalPages":1}"#,
    r#"{"page":3,"pages":3}"#,
    r#"{"totalPages":0}"#,
    r#"{"meta":{"current_page":1,"last_page":1,"per_page":15,"total":3}}"#,
    r#"{"total":3}"#,
    r#"{"total":3,"limit":3,"offset":0}"#,
    r#"{"total":4,"limit":50,"offset":0}"#,
    r#"{"count":3}"#,
    r#"{"count":3,"next":null,"previous":null}"#,
    r#"{"paging":{"start":0,"count":10,"links":[]}}"#,
    r#"{"limit":100,"offset":0}"#,
    r#"{"resultSizeEstimate":201}"#,
    r#"{"took":12,"total_ms":90}"#,
    r#"{"total_amount":900,"total":9.5}"#,
    r#"{"id":7,"total":900,"currency":"EUR"}"#,
    r#"{"id":7,"title":"A book","pages":320}"#,
    r#"{"id":7,"completed":false,"done":false}"#,
    r#"{"user":{"has_more_credits":true,"total":9,"pages":9,"next_review_url":"/x"}}"#,
    r#"{"next":null}"#,
    r#"{"next":""}"#,
    r#"{"next":"null"}"#,
    r#"{"next":false,"nextPage":0}"#,
    r#"{"next":{}}"#,
    r#"{"next":{"href":null}}"#,
    r#"{"next_offset":-1}"#,
    r#"{"next_cursor":0}"#,
    r#"{"next_cursor":"0","next_page_token":"end"}"#,
    r#"{"next_page":1,"page":1}"#,
    r#"{"next_offset":3,"total":3}"#,
    r#"{"cursor":null}"#,
    r#"{"cursor":"t","total":3}"#,
    r#"{"cursor":"t","next_cursor":null}"#,
    r#"{"offset":0}"#,
    r#"{"paging":{"cursors":{"before":"a","after":"b"}}}"#,
    r#"{"access_token":"t"}"#,
    r#"{"nextSyncToken":"t"}"#,
    r#"{"@odata.deltaLink":"https://a/?d=1","deltaToken":"t"}"#,
    r#"{"csrf_token":"t","session_token":"t"}"#,
    r#"{"next_review_date":"2026-01-01","next_billing_url":"/pay"}"#,
    r#"{"more_info_url":"/about","more_details_url":"/a/1","more_settings_url":"/s"}"#,
    r#"{"more_topics_url":null}"#,
    r#"{"links":[{"rel":"self","href":"/a"},{"rel":"next","href":null}]}"#,
    r#"{"links":{"self":"/a","first":"/a","last":"/a","next":null}}"#,
    r#"{"incomplete_results":false}"#,
    r#"{"rate_limit":{"remaining":4999,"limit":5000}}"#,
];

#[test]
fn a_whole_list_is_quiet() {
    for envelope in QUIET {
        assert_eq!(shown(envelope, 3), "Nothing", "{envelope}");
    }
}

#[test]
fn an_empty_list_is_quiet_unless_it_says_that_more_follows() {
    for (envelope, chosen) in [
        (r#"{"cursor":"t"}"#, "Nothing"),
        (r#"{"token":"t"}"#, "Nothing"),
        (r#"{"offset":"p3"}"#, "Nothing"),
        (r#"{"total":5321}"#, "Nothing"),
        (r#"{"total":9,"limit":50}"#, "Nothing"),
        (r#"{"total":90,"limit":50}"#, "Unclear"),
        (r#"{"has_more":true}"#, "Unclear"),
        (r#"{"page":1,"pages":3}"#, "Unclear"),
        (r#"{"next_cursor":"t"}"#, "token: {field: next_cursor, parameter: cursor, in: Query}"),
    ] {
        assert_eq!(shown(envelope, 0), chosen, "{envelope}");
    }
}

#[test]
fn headers_speak_too() {
    for (name, value, unclear) in [
        ("x-total-count", "9", true),
        ("x-total-count", "3", false),
        ("x-total", "9", true),
        ("total-count", "9", true),
        ("x-total-pages", "3", true),
        ("x-total-pages", "1", false),
        ("x-wp-totalpages", "3", true),
        ("x-wp-totalpages", "1", false),
        ("x-next-page", "2", true),
        ("x-next-page", "", false),
        ("next-page", "2", true),
        ("x-has-more", "true", true),
        ("x-has-more", "false", false),
        ("x-next-cursor", "t", true),
        ("x-continuation-token", "t", true),
        ("x-ms-continuation", "t", true),
        ("sforce-locator", "t", false),
        ("content-range", "items 0-2/9", true),
        ("content-range", "items 0-2/3", false),
        ("content-range", "items 0-2/*", false),
        ("content-range", "bytes 0-2/9", false),
        ("x-pagination", r#"{"totalCount":9,"pageSize":3,"currentPage":1,"totalPages":3}"#, true),
        ("x-pagination", r#"{"totalCount":3,"pageSize":3,"currentPage":1,"totalPages":1}"#, false),
        ("x-ratelimit-remaining", "4999", false),
        ("x-ratelimit-limit", "5000", false),
        ("x-csrf-token", "t", false),
        ("x-request-id", "9", false),
        ("x-auth-token", "t", false),
        ("retry-after", "9", false),
        ("content-length", "999", false),
        ("x-runtime", "9", false),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        let detected = detected(&Method::GET, &headers, "[]", 3);
        assert_eq!(matches!(detected, Detection::Unclear(_)), unclear, "{name}: {value}: {detected:?}");
        assert!(unclear || detected == Detection::Nothing, "{name}: {value}: {detected:?}");
    }
}

#[test]
fn headers_come_first() {
    let mut headers = HeaderMap::new();
    headers.insert("Next-Page", HeaderValue::from_static("http://127.0.0.1/records?_token=x"));
    let body = r#"{"next_cursor":"c"}"#;
    let expected = PaginationPlan::NextLink(ValueAt::Header(NEXT_PAGE));
    assert_eq!(detected(&Method::GET, &headers, body, 1), Detection::Found(expected));
    headers.append(LINK, HeaderValue::from_static("</a>; rel=prev"));
    headers.append(LINK, HeaderValue::from_static("</b>; rel=next"));
    assert_eq!(detected(&Method::GET, &headers, body, 1), Detection::Found(PaginationPlan::LinkHeader));
}

#[test]
fn never_guesses_where_a_post_takes_a_token() {
    for token in [r#"{"next_cursor":"c"}"#, r#"{"cursor":"c"}"#, r#"{"meta":{"nextPageToken":"c"}}"#] {
        assert!(matches!(detected(&Method::POST, &HeaderMap::new(), token, 3), Detection::Unclear(Some(_))), "{token}");
    }
    let link = detected(&Method::POST, &HeaderMap::new(), r#"{"next":"https://a/"}"#, 3);
    assert!(matches!(link, Detection::Found(_)));
}

#[test]
fn names_the_member_that_says_so() {
    let name = |envelope| match detected(&Method::GET, &HeaderMap::new(), envelope, 3) {
        Detection::Unclear(name) => name.unwrap(),
        other => panic!("{envelope}: {other:?}"),
    };
    assert_eq!(name(r#"{"info":{"more_records":true}}"#), "info.more_records");
    assert_eq!(name(r#"{"meta":{"next_offset":3}}"#), "meta.next_offset");
}

fn value(depth: u32) -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        "(-1|0|1|null|true|end|/x|https://a/|[a-z]{0,4})".prop_map(Into::into),
    ];
    leaf.prop_recursive(depth, 32, 5, |inner| {
        let name = "(next|has_more|page|pages|total|count|cursor|offset|links|rel|href|id|error|data|items|token|after|[a-z@._'\"-]{0,6})";
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::vec((name, inner), 0..5).prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn never_panics(value in value(5), rows in 0_u64..5) {
        let _ = detected(&Method::GET, &HeaderMap::new(), &value.to_string(), rows);
        let _ = detected(&Method::POST, &HeaderMap::new(), &value.to_string(), rows);
    }

    #[test]
    fn a_true_flag_is_heard_in_any_spelling(
        words in prop::sample::select(vec![
            vec!["has", "more"], vec!["more", "items"], vec!["has", "next", "page"], vec!["is", "truncated"], vec!["more", "available"],
            vec!["has", "more", "results"], vec!["more", "pages"], vec!["has", "next"],
        ]),
        style in 0..6,
        wrapper in prop::sample::select(vec!["", "meta", "pagination", "page_info", "response", "unheard_of"]),
    ) {
        let capital = |word: &&str| word[..1].to_uppercase() + &word[1..];
        let name = match style {
            0 => words.join("_"),
            1 => words.join("-"),
            2 => words.iter().enumerate().map(|(at, word)| if at == 0 { (*word).to_owned() } else { capital(word) }).collect(),
            3 => words.iter().map(capital).collect(),
            4 => words.join("_").to_uppercase(),
            _ => words.concat(),
        };
        let flag = serde_json::json!({ &name: true });
        let envelope = if wrapper.is_empty() { flag } else { serde_json::json!({ wrapper: flag }) };
        prop_assert_eq!(shown(&envelope.to_string(), 3), "Unclear", "{}", envelope);
        let text = envelope.to_string().replace("true", "false");
        prop_assert_eq!(shown(&text, 3), "Nothing", "{}", text);
    }
}
