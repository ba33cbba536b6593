use proptest::prelude::{any, prop, prop_assert_eq, proptest};
use proptest::strategy::Strategy as _;

use super::*;
use crate::api::instance::ConnectorInstance;
use crate::plan::{ResourcePlan, print, resolve};

fn path(text: &str) -> FieldPath {
    FieldPath::parse(text).unwrap()
}

fn fields(paths: &[&str]) -> IdPlan {
    IdPlan::Fields(IdFields::new(paths.iter().map(|text| path(text)).collect()).unwrap())
}

/// Text and kept JSON of the id of a record.
fn read(id: &IdPlan, json: &str) -> Option<(String, String)> {
    let found: Vec<_> = id.paths().iter().map(|path| path.find(json)).collect();
    id.read(&found, None).map(|(text, kept)| (text.into_owned(), kept.unwrap().into_owned()))
}

#[test]
fn an_id_of_several_members_is_their_texts_in_the_order_of_the_paths() {
    let both = fields(&["type", "id"]);
    let text = |json: &str| read(&both, json).map(|(text, _)| text);
    assert_eq!(text(r#"{"id": 11446498, "type": "folder"}"#).as_deref(), Some("folder:11446498"));
    assert_eq!(
        text(r#"{"id": "11446498", "type": "folder"}"#).as_deref(),
        Some("folder:11446498"),
        "1 and \"1\" are the same id"
    );
    assert_eq!(text(r#"{"id": "a:b%c", "type": "100%:"}"#).as_deref(), Some("100%25%3A:a%3Ab%25c"));
    assert_eq!(text(r#"{"id": "é/ü", "type": 9007199254740993.10}"#).as_deref(), Some("9007199254740993.10:é/ü"));
    let nested = fields(&["id.time", "id.uniqueQualifier", "id.applicationName"]);
    let json = r#"{"id": {"applicationName": "login", "time": "2026-11-30T10:00:00Z", "uniqueQualifier": "-42"}}"#;
    assert_eq!(read(&nested, json).unwrap().0, "2026-11-30T10%3A00%3A00Z:-42:login");
}

#[test]
fn a_record_that_lacks_a_member_has_no_id() {
    let both = fields(&["type", "id"]);
    for json in [
        "{}",
        r#"{"id": 1}"#,
        r#"{"type": "a"}"#,
        r#"{"type": "a", "id": null}"#,
        r#"{"type": "", "id": 1}"#,
        r#"{"type": [1], "id": 1}"#,
        r#"{"type": "a", "id": {}}"#,
        "7",
    ] {
        assert_eq!(read(&both, json), None, "{json}");
    }
}

#[test]
fn what_is_kept_of_an_id_makes_the_same_id_and_a_record_that_has_only_it() {
    let cases = [
        (fields(&["type", "id"]), r#"{"id": 10, "type": "a:b", "name": "x"}"#, r#"{"type":"a:b","id":10}"#),
        (
            fields(&["id.time", "kind", "id.q"]),
            r#"{"kind": "k", "id": {"q": "1", "time": 5, "x": 0}}"#,
            r#"{"id":{"time":5,"q":"1"},"kind":"k"}"#,
        ),
        (fields(&["ids[0]", "b"]), r#"{"b": true, "ids": [7, 8]}"#, r#"{"ids[0]":7,"b":true}"#),
        (IdPlan::Field(path("id")), r#"{"id": 9007199254740993}"#, r#"{"id":9007199254740993}"#),
        (IdPlan::Field(path("meta['the id']")), r#"{"meta": {"the id": "a\"b"}}"#, r#"{"meta":{"the id":"a\"b"}}"#),
        (IdPlan::Field(path("ids[0]")), r#"{"ids": [1]}"#, r#"{"ids[0]":1}"#),
    ];
    for (id, json, record) in cases {
        let (text, kept) = read(&id, json).unwrap();
        assert_eq!(id.text(&kept).as_deref(), Some(&*text), "{json}");
        assert_eq!(id.find(json).as_deref(), Some(&*kept), "{json}");
        assert_eq!(id.record(&kept), record);
        let other = read(&id, record);
        assert!(record.contains("ids[0]") || other.is_some_and(|(other, _)| other == text), "{record}");
    }
    assert_eq!(IdPlan::Key.record(r#""key""#), r#"{"id":"key"}"#);
    assert_eq!(IdPlan::Key.read(&[None], Some("key")).unwrap(), ("key".into(), None));
    assert_eq!(fields(&["a", "b"]).text("[1]"), None);
    assert_eq!(fields(&["a", "b"]).text("1"), None);
    assert_eq!(IdPlan::Field(path("a")).text("[1,2]"), None);
}

/// A receiver gets the id of a record that left the filter, and nothing else of it.
#[test]
fn a_record_of_which_only_the_id_is_delivered() {
    let json = r#"{"id": 1, "type": "a", "meta": {"id": 2}, "secret": "s"}"#;
    assert_eq!(IdPlan::Field(path("id")).alone("1", json), r#"{"id":1}"#);
    assert_eq!(IdPlan::Field(path("meta.id")).alone("2", json), r#"{"meta":{"id":2}}"#);
    assert_eq!(IdPlan::Key.alone("k", json), r#"{"id":"k"}"#);
    assert_eq!(fields(&["type", "meta.id"]).alone("a:2", json), r#"{"type":"a","meta":{"id":2}}"#);
}

proptest! {
    #[test]
    fn different_members_never_make_the_same_id(
        one in prop::collection::vec("[a:%3A25]{1,6}", 2..=3), other in prop::collection::vec("[a:%3A25]{1,6}", 2..=3),
        any in prop::collection::vec(any::<String>().prop_filter("an empty member is none", |text| !text.is_empty()), 2..=4),
    ) {
        let id = |members: &[String]| {
            let quoted: Vec<_> = members.iter().map(|text| serde_json::Value::from(text.as_str()).to_string()).collect();
            joined(&quoted.iter().map(String::as_str).collect::<Vec<_>>()).unwrap()
        };
        prop_assert_eq!(id(&one) == id(&other), one == other);
        let back: Vec<_> = id(&any).split(':').map(|part| part.replace("%3A", ":").replace("%25", "%")).collect();
        prop_assert_eq!(back, any);
    }
}

fn planned(members: &str) -> Result<(ResourcePlan, serde_json::Value), Vec<String>> {
    let spec = format!(
        "{{baseUrl: 'https://api.example.com/v2', callback: {{url: 'https://h.example/in'}}, resources: [{{name: items, url: /items, {members}}}]}}"
    );
    let plan = resolve(&ConnectorInstance::new("shop", serde_saphyr::from_str(&spec).unwrap()), None);
    let plan = plan.map_err(|problems| problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>())?;
    let printed: serde_json::Value = serde_saphyr::from_str(&print(&plan)).unwrap();
    Ok(((*plan.resources[0]).clone(), printed["resources"][0].clone()))
}

#[test]
fn the_plan_names_the_members_and_the_cursor_depends_on_them() {
    let (plan, printed) = planned("idFields: [type, $.id]").unwrap();
    assert_eq!(plan.extract.id, fields(&["type", "id"]));
    assert_eq!((&printed["idFields"], &printed["idField"]), (&serde_json::json!(["type", "id"]), &serde_json::Value::Null));
    let (one, printed) = planned("idField: type").unwrap();
    assert_eq!((&printed["idFields"], &printed["idField"]), (&serde_json::Value::Null, &serde_json::json!("type")));
    let (other, _) = planned("idFields: [id, type]").unwrap();
    assert!(plan.meaning != one.meaning && plan.meaning != other.meaning, "other ids are other objects");
    let map = planned("recordsAs: Map, idFields: [type, id]").unwrap().0;
    assert_eq!(map.extract.id, plan.extract.id);
}

#[test]
fn what_cannot_work_with_several_members_is_refused() {
    let dated = "order: Ascending, datesConfiguration: {createdDateField: at}";
    let feed = "feed: {typeField: t, objectIdField: o, typeMap: {a: Created}}";
    for (members, says) in [
        ("idField: id, idFields: [type, id]".to_owned(), "idFields must be left out where idField is set"),
        ("idFields: [id]".to_owned(), "idFields must be 2 to 4 paths to different members"),
        ("idFields: [a, b, c, d, e]".to_owned(), "idFields must be 2 to 4 paths to different members"),
        ("idFields: [id, '$.id']".to_owned(), "idFields must be 2 to 4 paths to different members"),
        ("idFields: [id.time, id]".to_owned(), "idFields must be 2 to 4 paths to different members"),
        ("idFields: [id, 'a..b']".to_owned(), "idFields is not a path such as"),
        ("idFields: [type, id], detail: {url: '/items/${id}'}".to_owned(), "detail.url has ${id}, which"),
        (
            "idFields: [type, id], deletes: {snapshot: {confirm: {url: '/items/${id}'}}}".to_owned(),
            "deletes.snapshot.confirm.url has ${id}, which",
        ),
        (
            "idFields: [type, id], deletes: {feed: {url: /deleted, dateField: at}}".to_owned(),
            "deletes.feed names records by one member",
        ),
        (
            "idFields: [type, id], pagination: {lastId: {parameter: after}}".to_owned(),
            "pagination.lastId.field must be set where records have idFields",
        ),
    ] {
        let problems = planned(&members).unwrap_err();
        assert!(
            problems.len() == 1 && problems[0].starts_with(&format!("spec.resources[items].{says}")),
            "{members}: {problems:?}"
        );
    }
    for members in [
        "deletes: {snapshot: {}}".to_owned(),
        "deletes: {flag: {field: gone}}".to_owned(),
        "pagination: {lastId: {parameter: after, field: id}}".to_owned(),
        format!("{dated}, {feed}, detail: {{url: '/objects/${{id}}'}}"),
    ] {
        assert!(planned(&format!("idFields: [type, id], {members}")).is_ok(), "{members}");
    }
}

#[test]
fn a_list_for_each_parent_needs_one_value() {
    let child = |for_each: &str| {
        planned(&format!("idFields: [type, id]}}, {{name: child, url: '/p/${{each}}', forEach: {{resource: items{for_each}}}"))
    };
    let problems = child("").unwrap_err();
    assert!(problems.len() == 1 && problems[0].contains("name the member that has it in forEach.field"), "{problems:?}");
    assert!(child(", field: id").is_ok());
}
