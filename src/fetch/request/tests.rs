use chrono::{DateTime, Utc};
use proptest::prelude::*;

use super::*;
use crate::plan::date_format::DateFormat;
use crate::plan::field_path::FieldPath;
use crate::plan::template::Template;

fn template(text: &str) -> Template {
    Template::parse(text).unwrap()
}

fn plan(url: &str, query: &[(&str, &str)]) -> RequestPlan {
    RequestPlan {
        method: Method::GET,
        origin: Url::parse("https://api.example").unwrap().origin(),
        url: template(url),
        query: query.iter().map(|(k, v)| ((*k).to_owned(), template(v))).collect(),
        headers: vec![],
        body: None,
    }
}

fn at(plan: &RequestPlan, position: &Position) -> Result<Request, Problem> {
    let format = DateFormat::default();
    let now: DateTime<Utc> = "2026-01-02T03:04:05Z".parse().unwrap();
    let context = MacroContext { since: None, now, until: now, since_format: &format, token: None };
    build(plan, &context, position)
}

fn url_of(plan: &RequestPlan, position: &Position) -> String {
    at(plan, position).unwrap().url.to_string()
}

fn pairs(pairs: &[(&str, &str)]) -> Position {
    Position::Query(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
}

fn auth(query: &[(&str, &str)], headers: &[(&'static str, &'static str)]) -> RequestAuth {
    RequestAuth {
        headers: headers.iter().map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v))).collect(),
        query: query.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        fingerprint: 1,
        client: 1,
        identity: None,
    }
}

#[test]
fn a_query_keeps_its_order_and_writes_a_space_as_percent_20() {
    let plan = plan("https://api.example/v1/items?b=1&a=x+y#top", &[("$filter", "modified gt ${now}"), ("a", "ü&=+")]);
    assert_eq!(
        url_of(&plan, &Position::Start),
        "https://api.example/v1/items?b=1&a=x+y&$filter=modified%20gt%202026-01-02T03:04:05Z&a=%C3%BC%26%3D%2B"
    );
}

#[test]
fn a_position_takes_the_place_of_parameters_of_its_name() {
    let with = plan("https://api.example/x?page%5Bnumber%5D=1&q=2", &[("offset", "1")]);
    let position = pairs(&[("offset", "51"), ("page[number]", "7"), ("cursor", "a b/+")]);
    assert_eq!(url_of(&with, &position), "https://api.example/x?page[number]=7&q=2&offset=51&cursor=a%20b%2F%2B");
    assert_eq!(url_of(&plan("https://api.example/x", &[]), &Position::Start), "https://api.example/x");
}

#[test]
fn a_next_link_is_taken_as_it_is() {
    let next = Url::parse("https://api.example/x?%24skiptoken=50&a=b+c").unwrap();
    let plan = plan("https://api.example/x", &[("since", "1")]);
    assert_eq!(at(&plan, &Position::Url(next.clone())).unwrap().url, next);
}

#[test]
fn never_sends_to_another_origin() {
    for url in ["https://other.example/x", "http://api.example/x", "https://api.example:444/", "/x", "not a url"] {
        assert_eq!(at(&plan(url, &[]), &Position::Start).unwrap_err().reason, Reason::InvalidSpec, "{url}");
    }
}

#[test]
fn authentication_comes_last_and_is_not_repeated() {
    let key = auth(&[("api_key", "s/1"), ("v", "2")], &[]);
    let mut request = at(&plan("https://api.example/x", &[("a", "1")]), &Position::Start).unwrap();
    key.apply(&mut request);
    assert_eq!(request.url.as_str(), "https://api.example/x?a=1&api_key=s%2F1&v=2");

    let next = Url::parse("https://api.example/x?api%5Fkey=s%2F1&p=2").unwrap();
    let mut request = at(&plan("https://api.example/x", &[]), &Position::Url(next)).unwrap();
    key.apply(&mut request);
    assert_eq!(request.url.as_str(), "https://api.example/x?api%5Fkey=s%2F1&p=2&v=2");
    let older = Url::parse("https://api.example/x?api_key=older&p=2").unwrap();
    let mut request = at(&plan("https://api.example/x", &[]), &Position::Url(older)).unwrap();
    key.apply(&mut request);
    assert_eq!(request.url.as_str(), "https://api.example/x?api_key=s%2F1&p=2&v=2", "the own value counts");
}

#[test]
fn headers_have_defaults_that_the_plan_may_change() {
    let mut plan = plan("https://api.example/x", &[]);
    let request = at(&plan, &Position::Start).unwrap();
    assert_eq!(request.headers[ACCEPT], "application/json");
    assert_eq!((request.redirects, request.body), (Redirects::WithinOrigin(3), None));
    plan.headers = vec![(ACCEPT, template("application/hal+json")), (HeaderName::from_static("x-now"), template("${now}"))];
    let position = Position::Header { name: "X-Cursor".into(), value: "t".into() };
    let headers = at(&plan, &position).unwrap().headers;
    assert_eq!(
        (&headers[ACCEPT], &headers["x-now"]),
        (&"application/hal+json".parse().unwrap(), &"2026-01-02T03:04:05Z".parse().unwrap())
    );
    assert_eq!(headers["x-cursor"], "t");
    let bad = Position::Header { name: "X-Cursor".into(), value: "a\nb".into() };
    assert_eq!(at(&plan, &bad).unwrap_err().reason, Reason::InvalidSpec);
}

fn body_at(body: Option<BodyPlan>, field: Option<(&str, &str)>) -> String {
    let mut plan = plan("https://api.example/x", &[]);
    plan.method = Method::POST;
    plan.body = body;
    let position = field.map_or(Position::Start, |(field, json)| Position::Body {
        field: FieldPath::parse(field).unwrap(),
        json: json.to_owned(),
    });
    let request = at(&plan, &position).unwrap();
    assert_eq!(request.headers[CONTENT_TYPE], "application/json");
    assert_eq!(request.redirects, Redirects::Never);
    String::from_utf8(request.body.unwrap().to_vec()).unwrap()
}

#[test]
fn a_body_is_json_with_its_macros_and_the_token_in_place() {
    let text = |t: &str| BodyPlan::Text(template(t));
    let map = |members: Vec<(&str, BodyPlan)>| BodyPlan::Map(members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect());
    let body = map(vec![
        ("z", BodyPlan::List(vec![text("say \"${now}\"\n"), BodyPlan::Literal(serde_json::json!(null))])),
        ("page", map(vec![("size", BodyPlan::Literal(serde_json::json!(50))), ("after", text("old"))])),
    ]);
    assert_eq!(
        body_at(Some(body.clone()), None),
        r#"{"z":["say \"2026-01-02T03:04:05Z\"\n",null],"page":{"size":50,"after":"old"}}"#
    );
    let patched = |field: &str, json: &str| -> serde_json::Value {
        serde_json::from_str(&body_at(Some(body.clone()), Some((field, json)))).unwrap()
    };
    assert_eq!(patched("page.after", "\"t\"")["page"], serde_json::json!({"size": 50, "after": "t"}));
    assert_eq!(patched("page.next.token", "7")["page"]["next"], serde_json::json!({"token": 7}));
    assert_eq!(patched("z.a", "1")["z"], serde_json::json!({"a": 1}));
    assert_eq!(patched("cursor", "1")["page"]["after"], "old");
    assert!(body_at(Some(body), Some(("cursor", "90071992547409931234.10"))).contains(":90071992547409931234.10"));
    let fresh: serde_json::Value = serde_json::from_str(&body_at(None, Some(("a.b", "null")))).unwrap();
    assert_eq!(fresh, serde_json::json!({"a": {"b": null}}));
}

#[test]
fn a_shown_request_has_no_secret() {
    let auth = auth(&[("key", "s3cret/é")], &[("x-custom-auth", "s3cret"), ("authorization", "Bearer s3cret")]);
    let mut plan = plan("https://api.example/x", &[("a", "1"), ("access_token", "s3cret")]);
    plan.headers = vec![(HeaderName::from_static("cookie"), template("s3cret"))];
    let mut request = at(&plan, &Position::Start).unwrap();
    auth.apply(&mut request);
    let shown = masked(&request, &auth);
    assert!(!shown.contains("s3cret"), "{shown}");
    assert!(shown.starts_with("GET https://api.example/x?a=1&access_token=***&key=***\n"), "{shown}");
    assert!(shown.contains("x-custom-auth: ***\n") && shown.contains("accept: application/json\n"), "{shown}");
}

proptest! {
    #[test]
    fn a_parameter_arrives_as_it_was_given(name in "[^\\x00]{1,12}", value in ".{0,24}") {
        let plan = plan("https://api.example/x", &[]);
        let request = at(&plan, &pairs(&[(&name, &value)])).unwrap();
        let got: Vec<_> = request.url.query_pairs().into_owned().collect();
        prop_assert_eq!(got, vec![(name, value)]);
        prop_assert!(!request.url.as_str().contains('+'));
    }
}
