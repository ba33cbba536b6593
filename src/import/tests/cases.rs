//! One line for each kind of dirt that is met in real configurations, and what the report says of it.

use super::*;

const POLLER: &str = "configuration[\"event.poller.configuration\"].appointments";

/// Imports the page's poller with changes; yields the resource, and checks what always holds.
fn poller(changes: &[(&str, Value)]) -> (Imported, Value) {
    let mut body = page();
    for (pointer, value) in changes {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = format!("/configuration/event.poller.configuration/appointments{parent}");
        match value {
            Value::Null => drop(body.pointer_mut(&parent).unwrap().as_object_mut().unwrap().remove(name)),
            value => body.pointer_mut(&parent).unwrap()[name] = value.clone(),
        }
    }
    let imported = import_one(&body);
    assert_plans(&imported);
    assert_every_field_once(&body, &imported);
    let resource = spec(&imported)["resources"][0].clone();
    (imported, resource)
}

/// The instances API shows ids of several members in this way, and takes them back.
#[test]
fn an_id_of_several_members_comes_back() {
    let with = |ids: Value| poller(&[("/idField", Value::Null), ("/idFields", ids)]);
    let (imported, resource) = with(json!(["type", "id"]));
    assert_eq!((&resource["idFields"], &resource["idField"]), (&json!(["type", "id"]), &Value::Null));
    assert_eq!(line(&imported, &format!("{POLLER}.idFields")).verdict, Verdict::Kept);
    for unusable in [json!("id"), json!(["id"]), json!(["id", "a..b"]), json!([1, {}])] {
        let (imported, resource) = with(unusable.clone());
        assert_eq!(resource["idFields"], Value::Null, "{unusable}");
        assert_eq!(line(&imported, &format!("{POLLER}.idFields")).verdict, Verdict::ToDo, "{unusable}");
    }
}

/// A changed member of the poller, what the line about it says, and the member of the resource that it became.
#[test]
fn dirt_in_a_poller() {
    let dates = "datesConfiguration.updatedDateFormat";
    let zone = "datesConfiguration.updatedDateTimezone";
    let cases: &[(&str, Value, &str, Verdict, &str, &str, Value)] = &[
        ("/idField", json!(""), "idField", Verdict::Dropped, "the connector's applies", "/idField", Value::Null),
        ("/idField", json!("@.@id"), "idField", Verdict::ToDo, "has id there", "/idField", json!("@.@id")),
        ("/idField", json!("a..b"), "idField", Verdict::ToDo, "not a path in a record", "/idField", Value::Null),
        (
            "/idField",
            json!("['Modified Time']"),
            "idField",
            Verdict::ToDo,
            "Modified Time",
            "/idField",
            json!("['Modified Time']"),
        ),
        ("/pageSize", json!("200"), "pageSize", Verdict::Kept, "pageSize: 200", "/pageSize", json!(200)),
        ("/pageSize", json!(50_000), "pageSize", Verdict::Changed, "pageSize: 10000", "/pageSize", json!(10_000)),
        ("/pageSize", json!("many"), "pageSize", Verdict::Dropped, "not a number", "/pageSize", Value::Null),
        ("/pollDelay", json!("60"), "pollDelay", Verdict::Changed, "lookback: 1m", "/lookback", json!("1m")),
        (
            "/createdCheckTolerance",
            json!(10),
            "createdCheckTolerance",
            Verdict::Changed,
            "10s",
            "/createdTolerance",
            json!("10s"),
        ),
        (
            "/datesConfiguration/createdCheckTolerance",
            json!("5"),
            "datesConfiguration.createdCheckTolerance",
            Verdict::Changed,
            "createdTolerance: 5s",
            "/createdTolerance",
            json!("5s"),
        ),
        (
            "/filterByUpdatedDate",
            json!("false"),
            "filterByUpdatedDate",
            Verdict::Changed,
            "Created",
            "/changeBy",
            json!("Created"),
        ),
        (
            "/filterByUpdateDate",
            json!(true),
            "filterByUpdateDate",
            Verdict::Dropped,
            "decides in any case",
            "/changeBy",
            Value::Null,
        ),
        (
            "/filterByCurrentDate",
            json!(true),
            "filterByCurrentDate",
            Verdict::Dropped,
            "in the future",
            "/filterByCurrentDate",
            Value::Null,
        ),
        ("/xPath", json!("id"), "xPath", Verdict::Dropped, "idField says", "/idField", json!("id")),
        ("/idFields", json!(["type", "id"]), "idFields", Verdict::Dropped, "idField says", "/idFields", Value::Null),
        ("/postHooks", json!([{"a": 1}]), "postHooks", Verdict::Dropped, "in the receiver", "/postHooks", Value::Null),
        ("/whatever", json!({"a": 1}), "whatever", Verdict::Dropped, "no field of a resource", "/whatever", Value::Null),
        (
            "/datesConfiguration/updatedDateFormat",
            json!("yyyy-MM-dd HH:mm:ss'"),
            dates,
            Verdict::Changed,
            "a quote",
            "/datesConfiguration/updatedDateFormat",
            json!("yyyy-MM-dd HH:mm:ss"),
        ),
        (
            "/datesConfiguration/updatedDateFormat",
            json!(""),
            dates,
            Verdict::Dropped,
            "it is empty",
            "/datesConfiguration/updatedDateFormat",
            Value::Null,
        ),
        (
            "/datesConfiguration/updatedDateFormat",
            json!("10 digit integer Unix time"),
            dates,
            Verdict::ToDo,
            "seconds",
            "/datesConfiguration/updatedDateFormat",
            json!("seconds"),
        ),
        (
            "/datesConfiguration/updatedDateTimezone",
            json!("PST"),
            zone,
            Verdict::Kept,
            "PST",
            "/datesConfiguration/updatedDateTimezone",
            json!("PST"),
        ),
        (
            "/datesConfiguration/updatedDateTimezone",
            json!("EST"),
            zone,
            Verdict::Kept,
            "no summer time",
            "/datesConfiguration/updatedDateTimezone",
            json!("EST"),
        ),
        (
            "/datesConfiguration/updatedDateTimezone",
            json!("Mars"),
            zone,
            Verdict::ToDo,
            "not a time zone",
            "/datesConfiguration/updatedDateTimezone",
            Value::Null,
        ),
        (
            "/datesConfiguration/updatedDateTimezone",
            json!("{TimeZone}"),
            zone,
            Verdict::Changed,
            "GMT",
            "/datesConfiguration/updatedDateTimezone",
            json!("GMT"),
        ),
        (
            "/url",
            json!("/hubs/crm/appointments?where=x>'${date:yyyy-MM-dd}''"),
            "url",
            Verdict::Changed,
            "an extra quote",
            "/url",
            json!("/hubs/crm/appointments"),
        ),
        (
            "/url",
            json!("/hubs/crm/appointments?where=x>'${518862600}'"),
            "url",
            Verdict::Changed,
            "became ${since}",
            "/url",
            json!("/hubs/crm/appointments"),
        ),
        ("/url", json!("/hubs/crm/meetings"), "url", Verdict::ToDo, "a guess", "/url", json!("/meetings")),
        ("/url", Value::Null, "resource appointments", Verdict::Kept, "of this name", "/url", Value::Null),
    ];
    for (pointer, value, about, verdict, part, target, expected) in cases {
        let (imported, resource) = poller(&[(pointer, value.clone())]);
        let about = if about.contains(' ') { (*about).to_owned() } else { format!("{POLLER}.{about}") };
        let found = line(&imported, &about);
        assert_eq!(found.verdict, *verdict, "{found}");
        assert!(found.text.contains(part), "{found}");
        assert_eq!(resource.pointer(target).unwrap_or(&Value::Null), expected, "{found}");
    }
}

#[test]
fn names_of_members_are_read_in_any_case() {
    let dates = page()["configuration"]["event.poller.configuration"]["appointments"]["datesConfiguration"].clone();
    let mut lower = dates.clone();
    let zone = lower.as_object_mut().unwrap().remove("updatedDateTimezone").unwrap();
    lower["UpdatedDateTimezone"] = zone;
    let (_, resource) = poller(&[("/datesConfiguration", Value::Null), ("/datesconfiguration", lower)]);
    assert_eq!(resource["datesConfiguration"], dates);
}

#[test]
fn a_poller_without_dates_goes_by_content() {
    for dates in [Value::Null, json!(""), json!({})] {
        let (imported, resource) = poller(&[("/datesConfiguration", dates)]);
        assert_eq!(resource.get("datesConfiguration"), None);
        let found = lines(&imported).into_iter().any(|line| line.text.contains("changes are found by"));
        assert!(found, "{}", imported.report);
    }
}

#[test]
fn pollers_at_wrong_places_are_found() {
    let mut body = page();
    let mut poller = body["configuration"]["event.poller.configuration"]["appointments"].take();
    poller["orders"] = json!({"url": "/hubs/crm/orders", "idField": "id"});
    body["configuration"].as_object_mut().unwrap().remove("event.poller.configuration");
    body["configuration"]["appointments"] = poller;
    let imported = import_one(&body);
    assert_plans(&imported);
    assert_every_field_once(&body, &imported);
    let names: Vec<_> = spec(&imported)["resources"].as_array().unwrap().iter().map(|r| r["name"].clone()).collect();
    assert_eq!(names, ["appointments", "orders"]);
    assert!(line(&imported, "resource appointments").text.contains("among the settings by mistake"));
    assert!(line(&imported, "resource orders").text.contains("inside appointments by mistake"));
}

#[test]
fn wrapped_and_broken_poller_configurations() {
    let pollers = page()["configuration"]["event.poller.configuration"].to_string();
    let twice = serde_json::to_string(&pollers).unwrap();
    for text in [pollers, twice] {
        let body = page_with("/configuration/event.poller.configuration", json!(text));
        let imported = import_one(&body);
        assert_every_field_once(&body, &imported);
        assert_eq!(spec(&imported)["resources"][0]["name"], "appointments");
    }
    let body = page_with("/configuration/event.poller.configuration", json!("{broken"));
    let imported = import_one(&body);
    assert_plans(&imported);
    assert_eq!(line(&imported, "configuration[\"event.poller.configuration\"]").verdict, Verdict::ToDo);
    let again = page().to_string().replacen("\"idField\":\"id\"", "\"idField\":\"key\",\"idField\":\"id\"", 1);
    let earlier = import_text(&again);
    assert_eq!(line(&earlier, &format!("{POLLER}[\"idField (earlier)\"]")).verdict, Verdict::Dropped);
}

#[test]
fn poller_urls_are_read() {
    let line = "appointments|/hubs/crm/appointments|id|modification_date|yyyy-MM-dd'T'HH:mm:ss.SSS'Z'|GMT|creation_date||";
    for (text, names) in
        [(line, vec!["appointments"]), ("appointments|orders", vec!["appointments", "orders"]), ("orders\n", vec!["orders"])]
    {
        let mut body = page_with("/configuration/event.poller.urls", json!(text));
        body["configuration"].as_object_mut().unwrap().remove("event.poller.configuration");
        let imported = import_one(&body);
        assert_plans(&imported);
        assert_every_field_once(&body, &imported);
        let found: Vec<_> = spec(&imported)["resources"].as_array().unwrap().iter().map(|r| r["name"].clone()).collect();
        assert_eq!(found, names);
    }
    let imported = import_text("contacts|leads");
    assert_plans(&imported);
    assert_eq!(spec(&imported)["connector"], "shop", "after the file");
}

#[test]
fn objects_name_what_is_polled() {
    let mut body = page_with("/configuration/event.objects", json!("appointments, orders"));
    body["configuration"].as_object_mut().unwrap().remove("event.poller.configuration");
    let imported = import_one(&body);
    assert_every_field_once(&body, &imported);
    assert_eq!(spec(&imported)["resources"].as_array().map(Vec::len), Some(2));
}

/// A changed setting, the verdict and text of its line, and what the spec has because of it.
#[test]
fn dirt_among_the_settings() {
    let cases: &[(&str, Value, Verdict, &str, &str, Value)] = &[
        ("event.poller.refresh_interval", json!(0), Verdict::ToDo, "15m", "/polling/interval", json!("15m")),
        ("event.poller.refresh_interval", json!("soon"), Verdict::ToDo, "15m", "/polling/interval", json!("15m")),
        ("event.poller.refresh_interval", json!("-5"), Verdict::ToDo, "15m", "/polling/interval", json!("15m")),
        ("event.poller.refresh_interval", json!("<minutes>"), Verdict::Changed, "15m", "/polling/interval", json!("15m")),
        ("event.poller.refresh_interval", json!(1), Verdict::Changed, "1m", "/polling/interval", json!("1m")),
        ("event.poller.refresh_interval", json!("99999"), Verdict::Changed, "nearest", "/polling/interval", json!("168h")),
        ("event.notification.enabled", json!("false"), Verdict::Changed, "events are off", "/suspend", json!(true)),
        ("event.notification.enabled", json!("true"), Verdict::Kept, "on", "/suspend", Value::Null),
        ("event.metadata", json!("{}"), Verdict::Dropped, "from the dates", "/metadata", Value::Null),
        ("unheard.of", json!("x"), Verdict::Dropped, "no field", "/unheard", Value::Null),
        (
            "shop.api.key",
            json!("hunter9"),
            Verdict::ToDo,
            "Secret api-instance-with-polling-more, key shop.api.key",
            "/suspend",
            json!(true),
        ),
        ("shop.api.key", json!("********"), Verdict::Dropped, "nothing of the connector uses it", "/suspend", Value::Null),
        ("shop.api.key", json!("null"), Verdict::Dropped, "no value", "/suspend", Value::Null),
        ("oauth.scope", json!("read,write"), Verdict::Changed, "scopes", "/auth/oauth2/scopes", json!(["read", "write"])),
        (
            "event.notification.callback.url",
            json!("https://h.example/in?token=hunter9&a=1"),
            Verdict::Changed,
            "callback.auth.apiKey",
            "/callback/url",
            json!("https://h.example/in?a=1"),
        ),
        (
            "event.notification.callback.url",
            json!("https://u:hunter9@h.example/in"),
            Verdict::Changed,
            "user name and password",
            "/callback/url",
            json!("https://h.example/in"),
        ),
        ("event.notification.callback.url", json!("ftp://h.example"), Verdict::ToDo, "not an http", "/suspend", json!(true)),
        (
            "event.notification.callback.headers",
            json!("X-Key: hunter9"),
            Verdict::Changed,
            "each header",
            "/callback/headersSecretRef/name",
            json!("api-instance-with-polling-headers"),
        ),
        ("event.notification.callback.headers", json!("hunter9"), Verdict::ToDo, "no headers", "/suspend", json!(true)),
        (
            "event.notification.signature.key",
            json!("hunter9"),
            Verdict::Kept,
            "signing-key",
            "/callback/signature/secretRef/key",
            json!("signing-key"),
        ),
    ];
    for (key, value, verdict, part, target, expected) in cases {
        let body = page_with(&format!("/configuration/{key}"), value.clone());
        let imported = import_one(&body);
        assert_plans(&imported);
        assert_every_field_once(&body, &imported);
        let found = line(&imported, &format!("configuration[\"{key}\"]"));
        assert_eq!(found.verdict, *verdict, "{found}");
        assert!(found.text.contains(part), "{found}");
        assert_eq!(spec(&imported).pointer(target).unwrap_or(&Value::Null), expected, "{found}");
        assert!(!imported.report.to_string().contains("hunter9") && !spec(&imported).to_string().contains("hunter9"), "{key}");
    }
}

/// Two secrets under one name keep both values.
#[test]
fn no_secret_replaces_another() {
    let mut body = page_with("/configuration/my.api key", json!("hunter7"));
    body["configuration"]["my.api-key"] = json!("hunter8");
    body["configuration"]["event.notification.callback.url"] = json!("https://u:hunter9@h.example/in");
    body["configuration"]["event.notification.basic.username"] = json!("v");
    body["configuration"]["event.notification.basic.password"] = json!("hunter10");
    let imported = import_one(&body);
    assert_plans(&imported);
    assert_every_field_once(&body, &imported);
    let secrets = file(&imported, "api-instance-with-polling.secret.yaml");
    for value in ["hunter7", "hunter8", "hunter9", "hunter10"] {
        assert!(secrets.contains(value), "{value}: {secrets}");
    }
}

/// The default of the page: without the switch there are no events.
#[test]
fn events_that_nobody_switched_on_are_off() {
    let mut body = page();
    body["configuration"].as_object_mut().unwrap().remove("event.notification.enabled");
    let imported = import_one(&body);
    assert_eq!(spec(&imported)["suspend"], json!(true));
    assert_eq!((line(&imported, "spec.suspend").verdict, imported.report.needs_a_person()), (Verdict::Changed, false));
}

#[test]
fn what_is_not_polled_is_left_out_with_the_reason() {
    for (key, value, part) in
        [("event.vendor.type", json!("webhooks"), "webhooks"), ("event.vendor.type", json!("webhook"), "webhooks")]
    {
        let body = page_with(&format!("/configuration/{key}"), value);
        let imported = import_one(&body);
        assert!(imported.files.is_empty() && line(&imported, "the whole document").text.contains(part), "{}", imported.report);
        assert_every_field_once(&body, &imported);
    }
    let idle = json!({"element": {"key": "shop"}, "configuration": {"event.notification.enabled": "false", "a": "b"}});
    let imported = import_one(&idle);
    assert!(imported.files.is_empty() && !imported.report.needs_a_person(), "{}", imported.report);
    let unknown = json!({"element": {"key": "shop"}, "configuration": {"event.notification.enabled": "true"}});
    let imported = import_one(&unknown);
    assert!(imported.files.is_empty() && imported.report.needs_a_person(), "{}", imported.report);
}

/// Without an entry in the catalogue the credentials are recognised by their names.
#[test]
fn credentials_are_told_by_their_names() {
    for (settings, member) in [
        (json!({"oauth.api.key": "a", "oauth.user.refresh_token": "hunter9"}), "/auth/oauth2"),
        (json!({"oauth.user.token": "hunter9"}), "/auth/bearer"),
        (json!({"username": "a", "password": "hunter9"}), "/auth/basic"),
        (json!({"shop.api.key": "hunter9"}), "/auth/apiKey"),
    ] {
        let mut body = json!({"element": {"key": "shop"}, "configuration": settings});
        body["configuration"]["event.poller.configuration"] = json!({"a": {"url": "/hubs/crm/a", "idField": "id"}});
        let imported = import_one(&body);
        assert_plans(&imported);
        assert_every_field_once(&body, &imported);
        assert!(spec(&imported).pointer(member).is_some(), "{member}");
        assert!(file(&imported, "shop.secret.yaml").contains("hunter9"));
        file(&imported, "shop.connector.yaml");
    }
}

#[test]
fn settings_may_come_as_a_list() {
    let mut items: Vec<Value> = page()["configuration"]
        .as_object()
        .unwrap()
        .iter()
        .enumerate()
        .map(|(id, (key, value))| json!({"id": id, "key": key, "name": "x", "propertyValue": value}))
        .collect();
    items.push(json!({"id": 99, "key": "element.key", "propertyValue": "infusionsoftrest"}));
    // the poller configuration stands for its whole item
    let imported = import_one(&json!(items));
    assert_plans(&imported);
    assert_eq!(spec(&imported)["connector"], "infusionsoftrest");
    assert_eq!(spec(&imported)["resources"][0]["name"], "appointments");
}
