use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use url::Url;

use super::*;
use crate::plan::id::IdPlan;
use crate::plan::{ExtractPlan, sample};

fn path(text: &str) -> FieldPath {
    FieldPath::parse(text).unwrap()
}

fn links() -> Links {
    let own = Url::parse("https://acme.example.com/v2/contacts?shop=acme").unwrap();
    Links::new(&own, &Url::parse("https://replace-me.example.com/v2/contacts?shop=replace-me").unwrap())
}

/// The body as it is masked for this plan, its records at a path.
fn masked(resource: &ResourcePlan, at: &str, ids: &[&str], body: &str) -> String {
    let ids: Vec<_> = ids.iter().map(|id| (*id).to_owned()).collect();
    let mut pseudonyms = Pseudonyms::of(&ids);
    let records = if at.is_empty() { Vec::new() } else { path(at).segments().to_vec() };
    let mut mask = Mask::new(resource, &resource.pagination, records, links(), &mut pseudonyms);
    mask.body(body.as_bytes()).unwrap().get().to_owned()
}

fn with_pagination(pagination: PaginationPlan) -> ResourcePlan {
    ResourcePlan { pagination, ..sample::resource() }
}

#[test]
fn of_a_record_stays_what_the_plan_reads() {
    let body = r#"{"data":[
        {"id":"c_17","updated":"2026-01-02T03:04:05Z","created":"tomorrow, says Ada","deleted":false,"name":"Ada","age":36,"vip":true,
         "mail":{"ada@x.example":"home"},"friends":["c_18","c_99"],"boss":null,"self":"https://acme.example.com/v2/contacts/c_17"},
        {"id":"c_18","updated":"2026-01-02","created":null,"deleted":"by Ada","nested":{"id":"c_17","total":4711}}
    ]}"#;
    assert_eq!(
        masked(&sample::resource(), "data", &["c_17", "c_18"], body),
        concat!(
            r#"{"data":[{"id":"id-1","updated":"2026-01-02T03:04:05Z","created":"a masked text","deleted":false,"name":"masked","age":11,"#,
            r#""vip":false,"mail":{"name-1":"masked"},"friends":["id-2","masked"],"boss":null,"self":"{origin}/v2/contacts/id-1"},"#,
            r#"{"id":"id-2","updated":"2026-01-02","created":null,"deleted":"masked","nested":{"id":"id-1","total":1111}}]}"#
        )
    );
}

#[test]
fn members_that_are_named_like_ids_or_texts_are_masked_unless_the_plan_reads_them() {
    let body = br#"{"data":[{"id":"cus_17","name":"ada","tags":["updated","page"],"updated":"2026-01-02T03:04:05Z"}],"page":2,
        "by_id":{"cus_17":1},"by_name":{"ada":{"x":1}},"odd":"?ada=lovelace"}"#;
    let mut pseudonyms = Pseudonyms::of(&["cus_17".to_owned()]);
    let resource = sample::resource();
    let mut mask = Mask::new(&resource, &resource.pagination, path("data").segments().to_vec(), links(), &mut pseudonyms);
    mask.note(body);
    assert_eq!(
        mask.body(body).unwrap().get(),
        concat!(
            r#"{"data":[{"id":"id-1","name":"masked","tags":["masked","masked"],"updated":"2026-01-02T03:04:05Z"}],"page":2,"#,
            r#""by_id":{"id-1":1},"by_name":{"name-1":{"x":1}},"odd":"a masked text"}"#
        )
    );
}

#[test]
fn around_the_records_stays_what_speaks_of_pages() {
    let next = PaginationPlan::NextLink(ValueAt::Field(path("links.next")));
    let body = r#"{"ok":true,"status":"success","code":0,"total_count":120,"has_more":true,"owner":"Ada","owner_number":4711,"data":[],
        "links":{"next":"https://acme.example.com/v2/contacts?shop=acme&cursor=QWRh&page=2","self":"/v2/contacts?key=s3cr3t"},
        "included":[{"total":36,"name":"Ada"}],"first_name":"Ada","next_token":"QWRh","last":"c_17"}"#;
    assert_eq!(
        masked(&with_pagination(next), "data", &["c_17"], body),
        concat!(
            r#"{"ok":true,"status":"success","code":0,"total_count":120,"has_more":true,"owner":"masked","owner_number":1111,"data":[],"#,
            r#""links":{"next":"{origin}/v2/contacts?shop=replace-me&cursor=token-1&page=2","self":"a masked text"},"#,
            r#""included":[{"total":11,"name":"masked"}],"first_name":"masked","next_token":"token-1","last":"id-1"}"#
        )
    );
}

#[test]
fn a_token_stays_the_same_kind_of_value() {
    let token = |field: &str| {
        with_pagination(PaginationPlan::Token {
            from: ValueAt::Field(path(field)),
            parameter: "after".to_owned(),
            place: crate::plan::TokenPlace::Query,
        })
    };
    for (sent, shown) in [
        ("\"QWRh\"", "\"token-1\""),
        ("2", "2"),
        ("1234567890123", "1000000000001"),
        ("\"\"", "\"\""),
        ("null", "null"),
        ("\"100\"", "\"100\""),
    ] {
        let body = format!(r#"{{"data":[],"@odata.after":{sent}}}"#);
        assert_eq!(masked(&token("['@odata.after']"), "data", &[], &body), format!(r#"{{"data":[],"@odata.after":{shown}}}"#));
    }
}

#[test]
fn a_map_of_records_has_pseudonyms_for_keys() {
    let mut resource = sample::resource();
    let extract = ExtractPlan { records_as: RecordsAs::Map, id: IdPlan::Key, ..(*resource.extract).clone() };
    resource.extract = Arc::new(extract);
    let body = r#"{"people":{"ada":{"updated":"2026-01-02T03:04:05Z","name":"Ada"}}}"#;
    assert_eq!(
        masked(&resource, "people", &["ada"], body),
        r#"{"people":{"id-1":{"updated":"2026-01-02T03:04:05Z","name":"masked"}}}"#
    );
}

#[test]
fn of_the_headers_stay_those_of_the_list() {
    let mut pseudonyms = Pseudonyms::default();
    let resource = with_pagination(PaginationPlan::NextLink(ValueAt::Header("next-page".parse().unwrap())));
    let mut mask = Mask::new(&resource, &resource.pagination, Vec::new(), links(), &mut pseudonyms);
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("date", "Mon, 30 Nov 2026 12:00:00 GMT"),
        ("content-type", "application/json; charset=utf-8; owner=ada"),
        ("set-cookie", "session=s3cr3t"),
        ("x-user", "ada"),
        ("etag", "\"s3cr3t\""),
        ("x-total-count", "120"),
        ("next-page", "https://acme.example.com/v2/contacts?_token=s3cr3t"),
        (
            "link",
            "<https://acme.example.com/v2/contacts?page=2>; rel=\"next\"; title=\"Ada\", <https://other.example/ada>; rel=author",
        ),
        ("content-range", "items 0-9/120"),
    ] {
        headers.insert(http::HeaderName::from_static(name), value.parse().unwrap());
    }
    let kept: Vec<_> = mask.headers(&headers).into_iter().collect();
    let kept: Vec<_> = kept.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        kept,
        [
            ("content-range", "items 0-9/120"),
            ("content-type", "application/json"),
            ("date", "Mon, 30 Nov 2026 12:00:00 GMT"),
            ("link", "<{origin}/v2/contacts?page=2>; rel=\"next\", <https://example.com/masked>; rel=\"author\""),
            ("next-page", "{origin}/v2/contacts?_token=token-1"),
            ("x-total-count", "120"),
        ]
    );
}

/// Anything that is made of names and of texts and numbers that are someone's.
fn personal() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "Canary[a-z ]{0,40}",
        "canary[0-9]{1,4}@canary\\.example",
        "https://canary\\.example/canary",
        "https://acme\\.example\\.com/v2/canary/[0-9]{1,3}\\?q=canary&page=canary",
        "/v2/contacts/canary\\?page=2&after=canary",
        "\\+49 canary 8675309",
    ];
    let leaf = prop_oneof![
        text.prop_map(Value::from),
        (86_753_090_000i64..86_753_099_999).prop_map(Value::from),
        any::<bool>().prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let name =
            "id|updated|deleted|next|total|page|links|cursor|items|status|code|count|canary@canary\\.example|8675309|of canary";
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(name, inner, 0..4).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_a_response_holds_nothing_of_it_stays(rows in proptest::collection::vec(personal(), 0..3), around in personal(), more in personal()) {
        let body = json!({"data": rows, "next": around, "paging": more}).to_string();
        for field in ["next", "paging.next", "paging.cursor"] {
            let plan = with_pagination(PaginationPlan::NextLink(ValueAt::Field(path(field))));
            let shown = masked(&plan, "data", &["canary-7"], &body);
            prop_assert!(serde_json::from_str::<Value>(&shown).is_ok(), "{}", shown);
            prop_assert!(!shown.to_lowercase().contains("canary"), "{}\n{}", body, shown);
            prop_assert!(!shown.contains("8675309"), "{}\n{}", body, shown);
        }
    }
}
