//! Listings over loopback sockets, against a scripted provider that records its requests.

use std::sync::{Arc, LazyLock, Mutex};

use http::{HeaderMap, HeaderName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;

use super::*;
use crate::api::conditions::Reaction;
use crate::api::limits::LimitScope;
use crate::egress::Egress;
use crate::egress::EgressPolicy;
use crate::egress::byte_budget::ByteBudget;
use crate::egress::hosts::HostBudget;
use crate::fetch::transcript::Transcript;
use crate::observe::Metrics;
use crate::plan::date_format::DateFormat;
use crate::plan::field_path::FieldPath;
use crate::plan::id::IdPlan;
use crate::plan::sample;
use crate::plan::template::Template;
use crate::plan::{
    AuthPlan, CalendarDay, ChangeBy, DateField, ExtractPlan, LimitsPlan, Order, PaginationPlan, RecordsAs, RequestLimitPlan,
    RequestPlan, StartFrom, TokenPlace, ValueAt,
};

/// A provider that gives its answers one after the other, the last one again and again.
struct Provider {
    url: Url,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Provider {
    async fn new(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/v1/items", listener.local_addr().unwrap())).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answers: Vec<String> = answers.iter().map(|a| a.replace("{origin}", &url.origin().ascii_serialization())).collect();
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { break };
                    head.push(byte);
                }
                let count = {
                    let mut log = log.lock().unwrap();
                    log.push(String::from_utf8(head).unwrap());
                    log.len()
                };
                let (head, body) = answers[count.min(answers.len()) - 1].split_once("\n\n").unwrap();
                let head = head.replace('\n', "\r\n");
                let length =
                    if head.starts_with("304") { String::new() } else { format!("content-length: {}\r\n", body.len()) };
                let answer = format!("HTTP/1.1 {head}\r\n{length}connection: close\r\n\r\n{body}");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { url, asked }
    }

    /// Request lines, without method and version.
    fn targets(&self) -> Vec<String> {
        self.heads().iter().map(|head| head.split(' ').nth(1).unwrap().to_owned()).collect()
    }

    fn heads(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn resource(&self) -> ResourcePlan {
        ResourcePlan {
            name: "items".into(),
            snapshot: None,
            deleted_list: None,
            request: RequestPlan {
                method: Method::GET,
                origin: self.url.origin(),
                url: Template::parse(self.url.as_str()).unwrap(),
                query: vec![("since".into(), Template::parse("${since}").unwrap())],
                headers: vec![],
                body: None,
            },
            auth: Arc::new(AuthPlan::None),
            tls: None,
            extract: Arc::new(ExtractPlan {
                records_path: None,
                records_as: RecordsAs::List,
                id: IdPlan::Field(FieldPath::parse("id").unwrap()),
                updated: None,
                created: None,
                deleted: None,
                ignored: Vec::new(),
                filter: None,
                shape: crate::plan::shaping::Shape::default(),
                error_rules: Vec::new(),
            }),
            change_by: ChangeBy::Content,
            compare_content: false,
            delta: None,
            feed: None,
            created_tolerance: Duration::ZERO,
            lookback: Duration::ZERO,
            lateness: Duration::ZERO,
            max_future: Duration::from_hours(24),
            max_age: None,
            full_sweep: None,
            changes: None,
            detail: None,
            order: Order::Unordered,
            pagination: PaginationPlan::Detect,
            for_each: None,
            list_of: None,
            result_cap: None,
            page_size: None,
            interval: Duration::from_mins(1),
            start_from: StartFrom::Now,
            limits: None,
            meaning: 0,
        }
    }
}

fn asker() -> Asker {
    let policy = EgressPolicy { allow_loopback: true, ..EgressPolicy::default() };
    Asker {
        egress: Egress::new(policy).unwrap(),
        hosts: HostBudget::default(),
        bytes: ByteBudget::default(),
        cpu: crate::cpu::CpuBudget::default(),
        metrics: Metrics::new(),
        transcript: Transcript::default(),
    }
}

static INSTANCE: LazyLock<InstanceRef> = LazyLock::new(|| InstanceRef::new("crm", "keap"));

fn now() -> DateTime<Utc> {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn auth(query: &[(&str, &str)]) -> RequestAuth {
    RequestAuth {
        headers: HeaderMap::new(),
        query: query.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        fingerprint: 7,
        client: 7,
        identity: None,
    }
}

/// Lists to the end; the records of each page.
async fn all(reader: &mut PageReader<'_>) -> Result<Vec<Vec<String>>, Problem> {
    let mut pages = Vec::new();
    loop {
        match reader.next_page().await? {
            Step::Page(page) => pages.push(page.records().map(|r| r.json.to_owned()).collect()),
            Step::NotModified | Step::TokenExpired | Step::BeginAgain => panic!("no validators and no token were given"),
            Step::End => return Ok(pages),
        }
    }
}

const OK: &str = "200 OK\ncontent-type: application/json\n";

#[tokio::test]
async fn walks_to_the_end_and_tells_what_it_detected() {
    let provider = Provider::new(&[
        &format!(
            "{OK}date: Fri, 02 Jan 2026 03:04:05 GMT\netag: \"a\"\n\n\
             {{\"value\":[{{\"id\":1}},{{\"id\":2}}],\"@odata.nextLink\":\"items?%24skiptoken=2\"}}"
        ),
        &format!("{OK}backoff: 600\n\n{{\"value\":[{{\"id\":3}}],\"warnings\":[]}}"),
    ])
    .await;
    let (asker, resource, auth) = (asker(), provider.resource(), auth(&[("api_key", "k")]));
    let since: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut reader = PageReader::new(&asker, &INSTANCE, &resource, &auth, Some(since), now(), None);
    let pages = all(&mut reader).await.unwrap();
    assert_eq!(pages, [vec![r#"{"id":1}"#.to_owned(), r#"{"id":2}"#.to_owned()], vec![r#"{"id":3}"#.to_owned()]]);
    assert_eq!(reader.detected().unwrap(), r#"nextLink: {field: "['@odata.nextLink']"}"#);
    assert_eq!(reader.server_date(), Some(now()));
    assert_eq!(reader.retry_after(), Some(Duration::from_mins(10)));
    assert_eq!(reader.validators(), None, "the first page's validators say nothing about the second");
    assert_eq!((reader.pages(), reader.bytes()), (2, 104));
    let targets = provider.targets();
    assert!(
        targets[0].starts_with("/v1/items?since=2026-01-01T00:00:00Z") || targets[0].starts_with("/v1/items?since=2025"),
        "{targets:?}"
    );
    assert!(targets[0].ends_with("&api_key=k"), "{targets:?}");
    assert_eq!(targets[1], "/v1/items?%24skiptoken=2&api_key=k");
    assert!(matches!(reader.next_page().await, Ok(Step::End)));
    assert_eq!(provider.targets().len(), 2, "the end sends no request");

    // The Backoff applies to every request to this host with this credential.
    let held = PageReader::new(&asker, &INSTANCE, &resource, &auth, None, now(), None).next_page().await.unwrap_err();
    assert_eq!((held.reason, held.reaction), (Reason::RateLimited, Reaction::Throttled));
    assert!(held.retry_after.unwrap() <= Duration::from_mins(10));
    assert_eq!(provider.targets().len(), 2);
}

/// Else no complete reading of such a list would prove a deletion, since records seem to have moved between its pages.
#[tokio::test]
async fn rows_that_show_the_end_once_more_are_no_page() {
    let page = |ids: &str, more: &str| {
        let rows: Vec<_> = ids.split(' ').map(|id| format!("{{\"id\":{id}}}")).collect();
        format!("{OK}\n{{\"items\":[{}]{more}}}", rows.join(","))
    };
    let token = |field: &str, parameter: &str| {
        let from = ValueAt::Field(FieldPath::parse(field).unwrap());
        PaginationPlan::Token { from, parameter: parameter.to_owned(), place: TokenPlace::Query }
    };
    let number = || PaginationPlan::Page { parameter: "page".to_owned(), size_parameter: None, first: None };
    for (what, pagination, pages) in [
        (
            "the last page leads to itself",
            token("next", "cursor"),
            vec![page("1 2", r#","next":5"#), page("3", r#","next":5"#), page("3", r#","next":5"#)],
        ),
        (
            "the last page leads back",
            token("offset", "offset"),
            vec![page("1 2", r#","offset":5"#), page("3", r#","offset":1"#), page("1 2", r#","offset":5"#)],
        ),
        ("behind the end", number(), vec![page("1 2", ""), page("3", ""), page("3", "")]),
    ] {
        let pages: Vec<_> = pages.iter().map(String::as_str).collect();
        let provider = Provider::new(&pages).await;
        let (asker, auth) = (asker(), auth(&[]));
        let resource = ResourcePlan { pagination, ..provider.resource() };
        let mut reader = PageReader::new(&asker, &INSTANCE, &resource, &auth, None, now(), None);
        let read = all(&mut reader).await.unwrap_or_else(|problem| panic!("{what}: {problem}"));
        assert_eq!(read.concat(), [r#"{"id":1}"#, r#"{"id":2}"#, r#"{"id":3}"#], "{what}");
        assert_eq!((provider.targets().len(), reader.pages()), (3, 2), "{what}");
    }
}

#[tokio::test]
async fn a_304_with_other_pages_than_before_is_no_answer() {
    let link = "link: <{origin}/v1/items?page=2>; rel=\"next\"\n";
    let first = |more: &str| format!("{OK}etag: \"v1\"\n{more}\n[{{\"id\":1}}]");
    let second = format!("{OK}\n[{{\"id\":2}}]");
    for (before, after, is_other) in [
        ("", link, true),
        ("x-total-count: 1\n", "x-total-count: 2\n", true),
        ("x-wp-totalpages: 1\n", "x-wp-totalpages: 2\n", true),
        ("x-total-count: 1\n", "x-total-count: 1\n", false),
        ("x-total-count: 1\n", "", false),
        ("x-request-count: 1\n", "x-request-count: 2\naccept-ranges: none\n", false),
    ] {
        let unchanged = format!("304 Not Modified\netag: \"v1\"\n{after}\n");
        let provider = Provider::new(&[&first(before), &unchanged, &first(link), &second]).await;
        let (asker, auth) = (asker(), auth(&[]));
        let resource = ResourcePlan { pagination: PaginationPlan::LinkHeader, ..provider.resource() };
        let mut reader = PageReader::new(&asker, &INSTANCE, &resource, &auth, None, now(), None);
        all(&mut reader).await.unwrap();
        let validators = reader.validators().unwrap();
        let mut reader = PageReader::new(&asker, &INSTANCE, &resource, &auth, None, now(), Some(&validators));
        if is_other {
            assert_eq!(all(&mut reader).await.unwrap().concat(), [r#"{"id":1}"#, r#"{"id":2}"#], "{after}");
            assert!(provider.heads()[1].contains("if-none-match") && !provider.heads()[2].contains("if-none-match"));
        } else {
            assert!(matches!(reader.next_page().await, Ok(Step::NotModified)), "{after}");
            assert_eq!(provider.targets().len(), 2, "{after}");
        }
    }
}

#[tokio::test]
async fn makes_the_very_same_request_conditional() {
    let provider = Provider::new(&[
        &format!("{OK}etag: \"v1\"\n\n[{{\"id\":1}}]"),
        "304 Not Modified\netag: \"v1\"\n\n",
        &format!("{OK}\n[]"),
    ])
    .await;
    let (asker, resource, auth) = (asker(), provider.resource(), auth(&[]));
    let mut reader = PageReader::new(&asker, &INSTANCE, &resource, &auth, None, now(), None);
    assert!(reader.validators().is_none());
    all(&mut reader).await.unwrap();
    let validators = reader.validators().unwrap();

    let mut reader = PageReader::new(&asker, &INSTANCE, &resource, &auth, None, now(), Some(&validators));
    assert!(matches!(reader.next_page().await, Ok(Step::NotModified)));
    assert!(matches!(reader.next_page().await, Ok(Step::End)));
    assert!(provider.heads()[1].contains("if-none-match: \"v1\"\r\n"), "{:?}", provider.heads());

    for (since, fingerprint) in [(Some(now()), 7), (None, 8)] {
        let other = RequestAuth { fingerprint, identity: None, ..auth.clone() };
        let mut reader = PageReader::new(&asker, &INSTANCE, &resource, &other, since, now(), Some(&validators));
        assert!(matches!(reader.next_page().await, Ok(Step::Page(_))));
        assert!(!provider.heads().last().unwrap().contains("if-none-match"), "another URL or credential");
    }
}

#[tokio::test]
async fn nothing_is_asked_for_that_is_older_than_the_provider_lists() {
    let provider = Provider::new(&[&format!("{OK}\n[]")]).await;
    let (asker, mut resource, auth) = (asker(), provider.resource(), auth(&[]));
    resource.request.query = vec![("since".into(), Template::parse("${epoch:s}").unwrap())];
    resource.max_age = Some(Duration::from_hours(24));
    let [oldest, young, old] = [24, 1, 48].map(|hours| now() - chrono::TimeDelta::hours(hours));
    for (since, asked) in [(None, oldest), (Some(young), young), (Some(old), oldest)] {
        let reader = PageReader::new(&asker, &INSTANCE, &resource, &auth, since, now(), None);
        let url = reader.next_request().unwrap().unwrap().url;
        // every bound is one unit early
        assert_eq!(url.query(), Some(&*format!("since={}", asked.timestamp() - 1)), "{since:?}");
    }
}

#[tokio::test]
async fn a_304_that_nobody_asked_for_is_no_page() {
    let provider = Provider::new(&["304 Not Modified\n\n"]).await;
    let (asker, resource, auth) = (asker(), provider.resource(), auth(&[]));
    let problem = PageReader::new(&asker, &INSTANCE, &resource, &auth, None, now(), None).next_page().await.unwrap_err();
    assert_eq!(problem.reason, Reason::UnexpectedStatus);

    let mut resource = resource;
    resource.request.headers = vec![(HeaderName::from_static("if-modified-since"), Template::parse("${since}").unwrap())];
    let step = PageReader::new(&asker, &INSTANCE, &resource, &auth, None, now(), None).next_page().await;
    assert!(matches!(step, Ok(Step::Page(page)) if page.is_empty()), "the plan asked for what is newer");
}

#[tokio::test]
async fn goes_on_where_it_stood_after_a_problem() {
    let provider = Provider::new(&[
        &format!("{OK}link: </v1/items?page=2>; rel=\"next\"\n\n[{{\"id\":1}}]"),
        "401 Unauthorized\n\n",
        &format!("{OK}\n[{{\"id\":2}}]"),
    ])
    .await;
    let (asker, resource, old, new) = (asker(), provider.resource(), auth(&[("k", "old")]), auth(&[("k", "new")]));
    let mut reader = PageReader::new(&asker, &INSTANCE, &resource, &old, None, now(), None);
    assert!(matches!(reader.next_page().await, Ok(Step::Page(_))));
    assert_eq!(reader.next_page().await.unwrap_err().reason, Reason::Unauthorized);
    reader.set_auth(new);
    assert_eq!(all(&mut reader).await.unwrap(), [vec![r#"{"id":2}"#.to_owned()]]);
    assert_eq!(provider.targets()[1..], ["/v1/items?page=2&k=old", "/v1/items?page=2&k=new"]);
}

#[tokio::test]
async fn never_asks_another_origin() {
    let other = Provider::new(&[&format!("{OK}\n[]")]).await;
    let link = format!("{OK}\n{{\"data\":[{{\"id\":1}}],\"next\":\"{}\"}}", other.url);
    let provider = Provider::new(&[&link]).await;
    let (asker, resource, auth) = (asker(), provider.resource(), auth(&[]));
    let problem = all(&mut PageReader::new(&asker, &INSTANCE, &resource, &auth, None, now(), None)).await.unwrap_err();
    assert_eq!(problem.reason, Reason::CrossOriginNextLink);
    assert!(other.targets().is_empty());
}

#[tokio::test]
async fn a_token_goes_into_the_body_of_a_post() {
    let provider =
        Provider::new(&[&format!("{OK}\n{{\"data\":[{{\"id\":1}}],\"next\":\"t\"}}"), &format!("{OK}\n{{\"data\":[]}}")]).await;
    let (asker, mut resource, auth) = (asker(), provider.resource(), auth(&[]));
    resource.request.method = Method::POST;
    resource.pagination = PaginationPlan::Token {
        from: ValueAt::Field(FieldPath::parse("next").unwrap()),
        parameter: "start_cursor".into(),
        place: TokenPlace::Body,
    };
    let mut reader = PageReader::new(&asker, &INSTANCE, &resource, &auth, None, now(), None);
    reader.next_page().await.unwrap();
    let next = reader.next_request().unwrap().unwrap();
    assert_eq!((next.method, next.body.unwrap()), (Method::POST, r#"{ "start_cursor":"t"}"#.into()));
    assert_eq!(all(&mut reader).await.unwrap(), [Vec::<String>::new()]);
    assert!(reader.next_request().unwrap().is_none());
}

#[tokio::test]
async fn an_answer_without_content_is_an_empty_page() {
    let provider = Provider::new(&["204 No Content\n\n"]).await;
    let (asker, resource, auth) = (asker(), provider.resource(), auth(&[]));
    let pages = all(&mut PageReader::new(&asker, &INSTANCE, &resource, &auth, None, now(), None)).await.unwrap();
    assert_eq!(pages, [Vec::<String>::new()]);
}

#[tokio::test]
async fn the_place_of_the_records_is_kept_for_the_next_walk() {
    let provider = Provider::new(&[
        &format!("{OK}\n{{\"data\":[{{\"id\":1}}]}}"),
        &format!("{OK}\n{{\"total\":0}}"),
        &format!("{OK}\n{{\"errors\":[{{\"id\":2}}]}}"),
        &format!("{OK}\n{{\"results\":[{{\"id\":3}}]}}"),
        &format!("{OK}content-length: 0\n\n"),
        &format!("{OK}content-length: 3\n\n \r\n"),
    ])
    .await;
    let (asker, resource, auth) = (asker(), provider.resource(), auth(&[]));
    let mut reader = PageReader::new(&asker, &INSTANCE, &resource, &auth, None, now(), None);
    assert_eq!(reader.records_path(), None);
    all(&mut reader).await.unwrap();
    let found = reader.records_path();
    assert_eq!(found.as_deref(), Some("data"));
    let reader = || PageReader::new(&asker, &INSTANCE, &resource, &auth, None, now(), None).with_records_path(found.as_deref());
    let mut empty = reader();
    assert_eq!(all(&mut empty).await.unwrap(), [Vec::<String>::new()]);
    assert_eq!(empty.records_path(), None, "nothing was found that could be kept");
    assert_eq!(all(&mut reader()).await.unwrap_err().reason, Reason::ErrorInResponse);
    assert_eq!(all(&mut reader()).await.unwrap_err().reason, Reason::RecordsNotFound);
    for form in ["no bytes", "blanks"] {
        assert_eq!(all(&mut reader()).await.unwrap(), [Vec::<String>::new()], "{form}");
    }
}

/// PHP writes an object without members as `[]`: that response does not show where records will be.
#[tokio::test]
async fn an_empty_array_alone_is_no_place_of_records() {
    let provider = Provider::new(&[&format!("{OK}\n[]"), &format!("{OK}\n[{{\"id\":1}}]"), &format!("{OK}\n[]")]).await;
    let (asker, mut resource, auth) = (asker(), provider.resource(), auth(&[]));
    for found in [None, Some("$")] {
        let mut reader = PageReader::new(&asker, &INSTANCE, &resource, &auth, None, now(), None);
        all(&mut reader).await.unwrap();
        assert_eq!(reader.records_path().as_deref(), found);
    }
    Arc::make_mut(&mut resource.extract).records_path = FieldPath::parse("['$']").ok();
    let mut reader = PageReader::new(&asker, &INSTANCE, &resource, &auth, None, now(), None);
    all(&mut reader).await.unwrap();
    assert_eq!(reader.records_path().as_deref(), Some("$"), "the manifest says so");
}

/// A scroll has one token for all pages; a last page that leads to itself comes again, though its bytes may differ.
#[tokio::test]
async fn a_token_that_stays_the_same_is_followed_while_other_records_come() {
    let page = |id: u32, signed: u32| format!("{OK}\n{{\"data\":[{{\"id\":{id},\"link\":{signed}}}],\"scroll\":\"t\"}}");
    let ids = |pages: Vec<Vec<String>>| pages.concat().iter().map(|row| row[6..7].to_owned()).collect::<String>();
    let scrolled: Vec<String> =
        (1..5).map(|id| page(id, 0)).chain([format!("{OK}\n{{\"data\":[],\"scroll\":\"t\"}}")]).collect();
    let itself: Vec<String> = [1, 2, 2, 2].iter().zip(0..).map(|(id, signed)| page(*id, signed)).collect();
    for (answers, expected) in [(scrolled, "1234"), (itself, "12")] {
        let provider = Provider::new(&answers.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let (asker, mut resource, auth) = (asker(), provider.resource(), auth(&[]));
        resource.pagination = PaginationPlan::Token {
            from: ValueAt::Field(FieldPath::parse("scroll").unwrap()),
            parameter: "scroll".into(),
            place: TokenPlace::Query,
        };
        let pages = all(&mut PageReader::new(&asker, &INSTANCE, &resource, &auth, None, now(), None)).await.unwrap();
        assert_eq!(ids(pages), expected);
    }
}

#[tokio::test]
async fn the_path_of_the_manifest_wins_over_a_kept_one() {
    let provider = Provider::new(&[&format!("{OK}\n{{\"data\":[{{\"id\":1}}],\"other\":[{{\"id\":2}}]}}")]).await;
    let (asker, mut resource, auth) = (asker(), provider.resource(), auth(&[]));
    let with = |resource: &mut ResourcePlan, path: &str| {
        let extract = ExtractPlan { records_path: FieldPath::parse(path).ok(), ..(*resource.extract).clone() };
        resource.extract = Arc::new(extract);
    };
    with(&mut resource, "other");
    let mut reader = PageReader::new(&asker, &INSTANCE, &resource, &auth, None, now(), None).with_records_path(Some("data"));
    assert_eq!(all(&mut reader).await.unwrap(), [vec![r#"{"id":2}"#.to_owned()]]);
    assert_eq!(reader.records_path().as_deref(), Some("other"));
    with(&mut resource, "misspelt");
    let mut reader = PageReader::new(&asker, &INSTANCE, &resource, &auth, None, now(), None).with_records_path(Some("data"));
    assert_eq!(all(&mut reader).await.unwrap_err().reason, Reason::RecordsNotFound);
}

#[tokio::test]
async fn a_wait_is_kept_for_the_host_and_credential() {
    let provider = Provider::new(&["429 Too Many Requests\nretry-after: 600\n\n", &format!("{OK}\n[]")]).await;
    let (asker, resource, mine) = (asker(), provider.resource(), auth(&[]));
    for _ in 0..2 {
        let problem = PageReader::new(&asker, &INSTANCE, &resource, &mine, None, now(), None).next_page().await.unwrap_err();
        assert_eq!((problem.reason, problem.reaction), (Reason::RateLimited, Reaction::Throttled));
        assert!(problem.retry_after.unwrap() <= Duration::from_mins(10));
    }
    assert_eq!(provider.targets().len(), 1, "the second was not sent");
    let others = RequestAuth { fingerprint: 8, identity: None, ..mine.clone() };
    assert!(PageReader::new(&asker, &INSTANCE, &resource, &others, None, now(), None).next_page().await.is_ok());
}

#[tokio::test]
async fn what_a_connector_declares_is_kept_by_all_that_share_a_client() {
    let limit = |count, scope| RequestLimitPlan {
        group: 1,
        count,
        period: Duration::from_hours(24),
        scope,
        remaining: Some(HeaderName::from_static("x-daylimit-remaining")),
        reset: Some(HeaderName::from_static("x-daylimit-reset")),
        day: None,
    };
    let planned = |limit| Some(Arc::new(LimitsPlan { requests: vec![limit], concurrent: Some(1) }));
    let provider = Provider::new(&[&format!("{OK}\n[]")]).await;
    let (asker, mut resource, mine) = (asker(), provider.resource(), auth(&[]));
    resource.limits = planned(limit(2, LimitScope::Client));
    let others = RequestAuth { fingerprint: 8, ..mine.clone() };
    let strangers = RequestAuth { client: 9, ..others.clone() };
    let first_page = async |auth: &RequestAuth, resource: &ResourcePlan| {
        PageReader::new(&asker, &INSTANCE, resource, auth, None, now(), None).next_page().await.map(drop)
    };
    assert_eq!((first_page(&mine, &resource).await, first_page(&others, &resource).await), (Ok(()), Ok(())));
    let problem = first_page(&mine, &resource).await.unwrap_err();
    assert_eq!((problem.reason, problem.reaction), (Reason::RateLimited, Reaction::Throttled));
    assert!(problem.retry_after.unwrap() > Duration::from_hours(22));
    assert_eq!(provider.targets().len(), 2, "the third was not sent");
    assert_eq!(first_page(&strangers, &resource).await, Ok(()), "another client");

    // The provider says that the day is over for this credential, whatever its status is.
    for status in ["403 Forbidden", "429 Too Many Requests", "200 OK"] {
        let spent = format!("{status}\nx-daylimit-remaining: 0\nx-daylimit-reset: 7200\n\n[]");
        let provider = Provider::new(&[&spent]).await;
        let mut resource = provider.resource();
        resource.limits = planned(limit(5_000, LimitScope::Credential));
        let first = first_page(&mine, &resource).await;
        assert_eq!(first.map_err(|problem| problem.reason), if status == "200 OK" { Ok(()) } else { Err(Reason::RateLimited) });
        let problem = first_page(&mine, &resource).await.unwrap_err();
        assert_eq!(problem.reason, Reason::RateLimited, "{status}");
        assert!((7_100..=7_201).contains(&problem.retry_after.unwrap().as_secs()), "{status}: {:?}", problem.retry_after);
        assert_eq!(provider.targets().len(), 1, "{status}: nothing is sent before it is renewed");
    }
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_asked_for_again_when_its_day_ends_or_after_an_hour() {
    let rule = sample::error_rule("{status: 403, bodyPath: reason, match: ^quota, means: QuotaExhausted}");
    let limit = |zone: Option<&str>| RequestLimitPlan {
        group: 1,
        count: 10_000,
        period: Duration::from_hours(24),
        scope: LimitScope::Client,
        remaining: None,
        reset: None,
        day: zone.and_then(CalendarDay::of),
    };
    let until_midnight = CalendarDay::of("America/Los_Angeles").unwrap().ends(Utc::now()).unwrap() - Utc::now();
    let until_midnight = until_midnight.to_std().unwrap();
    for (zone, header, expected) in [
        (Some("America/Los_Angeles"), "", until_midnight),
        (Some("America/Los_Angeles"), "retry-after: 60\n", Duration::from_mins(1)),
        (None, "", Duration::from_hours(1)),
    ] {
        let spent = format!("403 Forbidden\n{header}\n{{\"reason\":\"quotaExceeded\"}}");
        let provider = Provider::new(&[&spent]).await;
        let (asker, mut resource, auth) = (asker(), provider.resource(), auth(&[]));
        resource.extract = Arc::new(ExtractPlan { error_rules: vec![rule.clone()], ..(*resource.extract).clone() });
        resource.limits = Some(Arc::new(LimitsPlan { requests: vec![limit(zone)], concurrent: None }));
        for _ in 0..2 {
            let problem =
                PageReader::new(&asker, &INSTANCE, &resource, &auth, None, now(), None).next_page().await.unwrap_err();
            assert_eq!((problem.reason, problem.reaction), (Reason::RateLimited, Reaction::Throttled));
            let wait = problem.retry_after.unwrap();
            assert!(wait.abs_diff(expected) < Duration::from_secs(30) || expected == until_midnight, "{wait:?} {expected:?}");
            assert!(wait <= expected + Duration::from_secs(1), "{wait:?} {expected:?}");
        }
        assert_eq!(provider.targets().len(), 1, "the second was not sent");
    }
}

#[tokio::test]
async fn names_the_fault_of_a_body_and_shows_nothing_of_it() {
    for (answer, reason) in [
        ("200 OK\ncontent-type: text/html\n\n<html>s3cret</html>", Reason::InvalidResponse),
        ("200 OK\n\n{\"data\":[{\"id\":\"s3cret\"", Reason::InvalidResponse),
        ("200 OK\n\n", Reason::InvalidResponse),
        ("200 OK\n\n{\"error\":\"s3cret\"}", Reason::ErrorInResponse),
        ("200 OK\ncontent-type: application/problem+json\n\n{\"detail\":\"s3cret\"}", Reason::ErrorInResponse),
        ("200 OK\n\n{\"name\":\"s3cret\"}", Reason::RecordsNotFound),
        ("200 OK\n\n{\"data\":[{\"id\":1}],\"has_more\":true,\"x\":\"s3cret\"}", Reason::PaginationUnclear),
        ("500 Oops\n\ns3cret", Reason::ProviderError),
        ("302 Found\nlocation: http://127.0.0.2:1/\n\n", Reason::RedirectRefused),
    ] {
        let provider = Provider::new(&[answer]).await;
        let (asker, resource, auth) = (asker(), provider.resource(), auth(&[]));
        let problem = PageReader::new(&asker, &INSTANCE, &resource, &auth, None, now(), None).next_page().await.unwrap_err();
        assert_eq!(problem.reason, reason, "{answer}");
        assert!(!problem.message.contains("s3cret"), "{problem}");
    }
}

/// The provider is asked in the format of the date that moves the cursor, whichever dates are configured.
#[tokio::test]
async fn since_is_written_in_the_format_of_the_date_that_moves_the_cursor() {
    let date = |name: &str, pattern: &str| {
        Some(DateField { path: FieldPath::parse(name).unwrap(), format: DateFormat::new(Some(pattern), None).unwrap() })
    };
    let provider = Provider::new(&[]).await;
    let (asker, auth, since) = (asker(), auth(&[]), DateTime::from_timestamp(1_700_000_000, 500_000_000));
    for (change_by, both, updated_alone, created_alone) in [
        (ChangeBy::Updated, "since=1700000000499", "since=1700000000499", "since=2023-11-13"),
        (ChangeBy::Created, "since=2023-11-13", "since=1700000000499", "since=2023-11-13"),
        (ChangeBy::Content, "since=1700000000499", "since=1700000000499", "since=2023-11-13"),
    ] {
        for (has_updated, has_created, expected) in [
            (true, true, both),
            (true, false, updated_alone),
            (false, true, created_alone),
            (false, false, "since=2023-11-14T22:13:19Z"),
        ] {
            let mut resource = ResourcePlan { change_by, ..provider.resource() };
            let extract = Arc::make_mut(&mut resource.extract);
            extract.updated = if has_updated { date("updated", "milliseconds") } else { None };
            extract.created = if has_created { date("created", "yyyy-MM-dd") } else { None };
            let reader = PageReader::new(&asker, &INSTANCE, &resource, &auth, since, now(), None);
            let request = reader.next_request().unwrap().unwrap();
            assert_eq!(request.url.query(), Some(expected), "{change_by:?} {has_updated} {has_created}");
        }
    }
}

#[tokio::test]
async fn only_what_was_asked_for_shows_that_the_credentials_are_accepted() {
    let provider = Provider::new(&[
        "401 Unauthorized\n\n",
        "200 OK\ncontent-type: text/html\n\n<h1>Sign in</h1>",
        &format!("{OK}\n{{\"error\":\"invalid token\"}}"),
        &format!("{OK}\n[]"),
    ])
    .await;
    let (asker, resource, auth) = (asker(), provider.resource(), auth(&[]));
    for contact in [Contact::Answered, Contact::Answered, Contact::Answered, Contact::Accepted] {
        let mut reader = PageReader::new(&asker, &INSTANCE, &resource, &auth, None, now(), None);
        assert_eq!(reader.contact(), Contact::None);
        let page = all(&mut reader).await;
        assert_eq!((page.is_ok(), reader.contact()), (contact == Contact::Accepted, contact));
    }
}

#[tokio::test]
async fn a_page_behind_the_end_is_named_unless_counts_said_that_there_is_none() {
    let by_page = PaginationPlan::Page { parameter: "page".into(), first: Some(1), size_parameter: None };
    let page =
        |ids: [u32; 2], said: &str| format!("200 OK\n\n{{\"items\":[{{\"id\":{}}},{{\"id\":{}}}]{said}}}", ids[0], ids[1]);
    for status in [400, 403, 404, 410, 416, 422] {
        let refused = format!("{status} No\n\n{{\"detail\":\"Invalid page.\"}}");
        let provider = Provider::new(&[&page([1, 2], ""), &page([3, 4], ""), &refused]).await;
        let resource = ResourcePlan { pagination: by_page.clone(), ..provider.resource() };
        let (asker, credentials) = (asker(), auth(&[]));
        let mut reader = PageReader::new(&asker, &INSTANCE, &resource, &credentials, None, now(), None);
        let problem = all(&mut reader).await.unwrap_err();
        assert!(problem.message.contains(&format!("answered {status} for page 3")), "{problem}");
        assert!(problem.message.contains("errorRules"), "{problem}");

        let provider = Provider::new(&[&page([1, 2], ",\"pages\":2"), &page([3, 4], ",\"pages\":2"), &refused]).await;
        let resource = ResourcePlan { pagination: by_page.clone(), ..provider.resource() };
        let mut reader = PageReader::new(&asker, &INSTANCE, &resource, &credentials, None, now(), None);
        assert_eq!(all(&mut reader).await.unwrap().concat().len(), 4, "{status}");
        assert_eq!(provider.targets().len(), 3);
    }
}

#[tokio::test]
async fn a_list_that_is_still_prepared_is_no_empty_list() {
    for body in [r#"{"status":"processing","data":[]}"#, "[]", "{}", ""] {
        let provider = Provider::new(&[&format!("202 Accepted\nretry-after: 7\n\n{body}")]).await;
        let (asker, credentials, resource) = (asker(), auth(&[]), provider.resource());
        let mut reader = PageReader::new(&asker, &INSTANCE, &resource, &credentials, None, now(), None);
        let problem = all(&mut reader).await.unwrap_err();
        assert_eq!((problem.reason, problem.reaction), (Reason::UnexpectedStatus, Reaction::Transient), "{body}");
        assert_eq!(problem.retry_after, Some(Duration::from_secs(7)));
    }
    let provider = Provider::new(&["202 Accepted\n\n{\"data\":[{\"id\":1}]}"]).await;
    let (asker, credentials, resource) = (asker(), auth(&[]), provider.resource());
    let mut reader = PageReader::new(&asker, &INSTANCE, &resource, &credentials, None, now(), None);
    assert_eq!(all(&mut reader).await.unwrap().concat().len(), 1);
}
