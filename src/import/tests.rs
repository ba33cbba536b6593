use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::report::{About, Line};
use super::*;

mod cases;
mod exports;
mod properties;
mod table;

/// The body of the Open Connectors page, without its placeholders.
fn page() -> Value {
    json!({
        "element": {"key": "infusionsoftrest"},
        "providerData": {"code": "a-code"},
        "configuration": {
            "oauth.api.key": "an-id", "oauth.api.secret": "hunter2", "oauth.callback.url": "https://mycoolapp.com",
            "event.notification.enabled": true, "event.vendor.type": "polling",
            "event.notification.callback.url": "https://mycoolapp.com/events", "event.poller.refresh_interval": "15",
            "event.poller.configuration": {"appointments": {
                "url": "/hubs/crm/appointments", "idField": "id",
                "datesConfiguration": {
                    "updatedDateField": "modification_date", "updatedDateFormat": "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'",
                    "updatedDateTimezone": "GMT", "createdDateField": "creation_date",
                    "createdDateFormat": "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'", "createdDateTimezone": "GMT"
                }
            }}
        },
        "tags": ["Docs"],
        "name": "API Instance with Polling"
    })
}

/// The page's body with one value replaced.
fn page_with(pointer: &str, value: Value) -> Value {
    let mut body = page();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    body.pointer_mut(parent).unwrap()[name] = value;
    body
}

fn import_one(value: &Value) -> Imported {
    import_text(&value.to_string())
}

fn import_text(text: &str) -> Imported {
    import(&[Source { name: "folder/shop.json", text }], Options::default())
}

fn lines(imported: &Imported) -> Vec<&Line> {
    imported.report.sections.iter().flat_map(|section| &section.lines).collect()
}

/// The line about a field or a result.
fn line<'a>(imported: &'a Imported, about: &str) -> &'a Line {
    let is_meant = |line: &&Line| match &line.about {
        About::Field(place) => place.to_string() == about,
        About::Result(what) => what == about,
    };
    let found = lines(imported).into_iter().find(is_meant);
    found.unwrap_or_else(|| panic!("no line about {about}:\n{}", imported.report))
}

fn file<'a>(imported: &'a Imported, name: &str) -> &'a str {
    let found = imported.files.iter().find(|file| file.name == name);
    &found.unwrap_or_else(|| panic!("no {name} in {:?}", imported.files)).text
}

/// The only instance, as its manifest has it.
fn spec(imported: &Imported) -> Value {
    let instances: Vec<Value> = imported
        .files
        .iter()
        .filter(|file| !file.is_secret)
        .map(|file| serde_saphyr::from_str(&file.text).unwrap())
        .filter(|object: &Value| object["kind"] == "ConnectorInstance")
        .collect();
    assert_eq!(instances.len(), 1, "{:?}", imported.files);
    instances[0]["spec"].clone()
}

/// All that was written is valid and plans, as `pollinator plan` would plan it.
fn assert_plans(imported: &Imported) {
    let mut connectors = BTreeMap::new();
    let mut instances = Vec::new();
    for file in &imported.files {
        let declared = manifest::read(&file.name, &file.text);
        assert_eq!(declared.errors, [], "{}", file.text);
        for (_, manifest) in declared.manifests {
            match manifest {
                Manifest::Connector(connector) => {
                    connectors.insert(connector.metadata.name.clone().unwrap(), connector.spec);
                }
                Manifest::ConnectorInstance(instance) => instances.push(instance),
                Manifest::Secret(_) => {}
            }
        }
    }
    for instance in instances {
        let named = instance.spec.connector.clone().unwrap();
        let connector = connectors.get(&named).or_else(|| catalog::built_in(&named));
        if let Err(problems) = resolve(&instance, connector) {
            panic!("{problems:?}\n{}", serde_json::to_string_pretty(&instance.spec).unwrap());
        }
    }
}

fn leaves(place: &Place, value: &Value, found: &mut Vec<Place>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            members.iter().for_each(|(name, member)| leaves(&place.member(name), member, found));
        }
        Value::Array(items) if !items.is_empty() => {
            items.iter().enumerate().for_each(|(index, item)| leaves(&place.item(index), item, found));
        }
        _ => found.push(place.clone()),
    }
}

/// Every field of the input is in the report exactly once: itself, or as a part of what a line names, or by what is in its text.
fn assert_every_field_once(input: &Value, imported: &Imported) {
    let told: Vec<_> = lines(imported)
        .into_iter()
        .filter_map(|line| if let About::Field(place) = &line.about { Some(place) } else { None })
        .collect();
    let mut all = Vec::new();
    leaves(&Place::default(), input, &mut all);
    for leaf in all {
        let by: Vec<_> = told.iter().filter(|place| place.holds(&leaf)).collect();
        let inside = told.iter().filter(|place| leaf.holds(place) && ***place != leaf).count();
        assert!(by.len() == 1 && inside == 0 || by.is_empty() && inside > 0, "{leaf} is in {by:?}\n{}", imported.report);
    }
    let distinct: BTreeSet<_> = told.iter().collect();
    assert_eq!(distinct.len(), told.len(), "{}", imported.report);
}

#[test]
fn the_body_of_the_page_needs_nobody() {
    let imported = import_one(&page());
    assert_plans(&imported);
    assert_every_field_once(&page(), &imported);
    assert!(!imported.report.needs_a_person(), "{}", imported.report);
    assert_eq!(
        spec(&imported),
        json!({
            "connector": "infusionsoftrest",
            "tags": ["Docs"],
            "auth": {"oauth2": {"secretRef": {"name": "api-instance-with-polling-oauth"}}},
            "polling": {"interval": "15m"},
            "callback": {"url": "https://mycoolapp.com/events", "format": "OpenConnectors"},
            "resources": [{
                "name": "appointments", "url": "/hubs/crm/appointments", "idField": "id",
                "datesConfiguration": page()["configuration"]["event.poller.configuration"]["appointments"]["datesConfiguration"]
            }]
        })
    );
    let secret: Value = serde_saphyr::from_str(file(&imported, "api-instance-with-polling.secret.yaml")).unwrap();
    assert_eq!(secret["metadata"]["name"], "api-instance-with-polling-oauth");
    assert_eq!(
        secret["stringData"],
        json!({"client_id": "an-id", "client_secret": "hunter2", "code": "a-code", "redirect_uri": "https://mycoolapp.com"})
    );
}

/// In the successor of Open Connectors, too, the format of the date of change is that of the other one.
#[test]
fn a_date_of_creation_without_a_format_has_that_of_the_date_of_change() {
    let mut body = page();
    let dates = "/configuration/event.poller.configuration/appointments/datesConfiguration";
    body.pointer_mut(dates).unwrap().as_object_mut().unwrap().remove("createdDateFormat");
    let imported = import_one(&body);
    assert_plans(&imported);
    assert_eq!(spec(&imported)["resources"][0]["datesConfiguration"]["createdDateFormat"], "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'");
    assert!(line(&imported, "resource appointments").text.contains("createdDateFormat is not given"), "{}", imported.report);
    // Where there is none, each is RFC 3339.
    body.pointer_mut(dates).unwrap().as_object_mut().unwrap().remove("updatedDateFormat");
    let imported = import_one(&body);
    assert_eq!(spec(&imported)["resources"][0]["datesConfiguration"]["createdDateFormat"], Value::Null);
}

/// Close takes an API key as the user name, and exports write the password that is not there as a text.
#[test]
fn a_password_that_says_nothing_is_empty() {
    for (password, is_done) in [(json!("null"), true), (json!(null), true), (json!(""), true), (json!("********"), false)] {
        let imported = import_one(&json!({
            "element": {"key": "closeio"}, "name": "a",
            "configuration": {
                "username": "api_key", "password": password, "event.notification.enabled": true, "event.vendor.type": "polling",
                "event.notification.callback.url": "https://h.example/in",
            },
        }));
        assert_eq!(!imported.report.needs_a_person(), is_done, "{password}: {}", imported.report);
        let secret: Value = serde_saphyr::from_str(file(&imported, "a.secret.yaml")).unwrap();
        let expected =
            if is_done { json!({"username": "api_key"}) } else { json!({"username": "api_key", "password": "replace-me"}) };
        assert_eq!(secret["stringData"], expected, "{password}");
    }
}

/// The page prints two bodies; the second has its callback on the platform.
#[test]
fn the_quirks_of_the_page() {
    let mut body = page();
    body["configuration"]["oauth.api.key"] = json!("<Infusionsoft app Key Name>");
    body["configuration"]["event.poller.refresh_interval"] = json!("<minutes>");
    body["configuration"].as_object_mut().unwrap().remove("event.vendor.type");
    body["providerData"]["code"] = json!("<AUTHORIZATION_GRANT_CODE>");
    body["tags"] = json!(["<Add_Your_Tag>"]);
    body["name"] = json!("<INSTANCE_NAME>");
    let imported = import_one(&body);
    assert_plans(&imported);
    assert_every_field_once(&body, &imported);
    assert_eq!(
        (spec(&imported)["suspend"].clone(), spec(&imported)["polling"]["interval"].clone()),
        (json!(true), json!("15m"))
    );
    assert!(line(&imported, "configuration[\"event.poller.refresh_interval\"]").text.contains("not a number of minutes"));
    let code = line(&imported, "providerData.code");
    assert!(code.verdict == Verdict::ToDo && code.text.starts_with("it is no code: give consent"), "{code}");
    file(&imported, "infusionsoftrest.yaml");

    let own = "https://api.openconnectors.us2.ext.hana.ondemand.com/elements/api-v2/events/";
    let imported = import_one(&page_with("/configuration/event.notification.callback.url", json!(own)));
    assert_plans(&imported);
    let refused = line(&imported, "configuration[\"event.notification.callback.url\"]");
    assert!(refused.verdict == Verdict::ToDo && refused.text.starts_with("refused: "), "{refused}");
    assert_eq!(spec(&imported)["callback"]["url"], "https://replace-me.invalid/events");

    let imported = import_one(&page_with("/configuration/event.notification.callback.url", json!("http://mycoolapp.com")));
    assert_plans(&imported);
    assert!(line(&imported, "configuration[\"event.notification.callback.url\"]").text.contains("allowInsecureHttp: true"));
    assert_eq!((&spec(&imported)["callback"]["allowInsecureHttp"], imported.report.needs_a_person()), (&json!(true), false));
}

/// What `GET /instances` answers: strings for everything, hidden passwords, `"null"`, and the poller configuration as text.
#[test]
fn an_export_is_imported() {
    let mut instance = page();
    let pollers = instance["configuration"]["event.poller.configuration"].clone();
    let text = serde_json::to_string_pretty(&pollers).unwrap();
    let configuration = json!({
        "base.url": "https://api.infusionsoft.com/crm/rest/v1", "oauth.api.key": "an-id", "oauth.api.secret": "********",
        "oauth.user.refresh_token": "hunter3", "oauth.user.token": "hunter4", "oauth.user.refresh_time": "3600",
        "oauth.callback.url": "https://mycoolapp.com", "event.notification.enabled": "true", "event.vendor.type": "polling",
        "event.notification.callback.url": "https://mycoolapp.com/events", "event.notification.signature.key": "hunter5",
        "event.notification.basic.username": "", "event.notification.basic.password": "********",
        "event.poller.refresh_interval": "5", "event.poller.urls": "null", "filter.response.nulls": "true", "site": "null",
        "event.poller.configuration": text
    });
    instance["configuration"] = configuration;
    instance["providerData"] = Value::Null;
    instance["id"] = json!(123_456);
    instance["token"] = json!("hunter6");
    instance["element"] = json!({"id": 9, "key": "infusionsoftrest", "hub": "crm", "authentication": {"type": "oauth2"}});
    instance["user"] = json!({"id": 1});
    let input = json!([instance, {"status": "success", "elementInstance": instance}]);
    let imported = import_one(&input);
    assert_plans(&imported);
    assert_every_field_once(&input, &imported);
    let names: Vec<_> = imported.files.iter().map(|file| file.name.as_str()).collect();
    let plain = "api-instance-with-polling";
    let expected = ["", "-2"].map(|n| [format!("{plain}{n}.yaml"), format!("{plain}{n}.secret.yaml")]).concat();
    assert_eq!(names, expected, "a name that is taken gets a number");
    let masked = line(&imported, "[0].configuration[\"oauth.api.secret\"]");
    assert_eq!(masked.verdict, Verdict::Masked);
    let secret = file(&imported, "api-instance-with-polling.secret.yaml");
    assert!(secret.contains("client_secret: replace-me") && secret.contains("refresh_token: hunter3"), "{secret}");
    assert!(secret.contains("signing-key: hunter5"), "{secret}");
    let manifest: Value = serde_saphyr::from_str(file(&imported, "api-instance-with-polling.yaml")).unwrap();
    assert_eq!(manifest["metadata"]["annotations"]["pollinator.dev/imported-id"], "123456");
    assert_eq!((&manifest["spec"]["suspend"], &manifest["spec"]["polling"]["interval"]), (&json!(true), &json!("5m")));
    for secret in ["hunter3", "hunter4", "hunter5", "hunter6"] {
        assert!(!imported.report.to_string().contains(secret) && !manifest.to_string().contains(secret), "{secret}");
    }
}

#[test]
fn a_definition_becomes_a_connector_and_tells_how_a_where_is_translated() {
    let definition = json!({
        "id": 1, "name": "Shop", "key": "shop", "hub": "ecommerce", "authentication": {"type": "oauth2"},
        "configuration": [
            {"key": "base.url", "name": "Base URL", "defaultValue": "https://{site}.example.com/api", "type": "TEXTFIELD"},
            {"key": "oauth.token.url", "defaultValue": "https://{site}.example.com/token"},
            {"key": "oauth.scope", "defaultValue": "read write"}, {"key": "oauth.api.secret", "defaultValue": "hunter2"},
            {"key": "pagination.type", "defaultValue": "page"}, {"key": "pagination.max", "defaultValue": "250"},
            {"key": "event.poller.configuration", "defaultValue": "{\"orders\": {\"url\": \"/hubs/ecommerce/orders?where=since='${date}'\", \
             \"idField\": \"orderId\", \"datesConfiguration\": {\"updatedDateField\": \"changed\"}}}"}
        ],
        "resources": [
            {"method": "GET", "path": "/hubs/ecommerce/orders", "vendorMethod": "GET", "vendorPath": "/v1/order.json?api_key={k}&x=1",
             "rootKey": "|entries", "parameters": [
                {"name": "where", "vendorName": "converter:toQueryParameters", "vendorType": "query"},
                {"name": "page", "vendorName": "p", "vendorType": "query"}, {"name": "pageSize", "vendorName": "size"}]},
            {"method": "GET", "path": "/hubs/ecommerce/orders/{id}", "vendorPath": "/v1/order/{id}"},
            {"method": "POST", "path": "/hubs/ecommerce/orders", "vendorPath": "/v1/order.json"}
        ],
        "hooks": [{"body": "hunter3"}]
    });
    let instance = json!({"element": {"key": "shop"}, "name": "Shop", "configuration": {
        "site": "acme", "oauth.api.key": "a", "oauth.api.secret": "hunter4", "oauth.user.refresh_token": "hunter5",
        "event.notification.enabled": true, "event.notification.callback.url": "https://h.example/in",
        "event.poller.configuration": {"orders": {"url": "/hubs/ecommerce/orders?where=since='${gmtDate:yyyy-MM-dd}' and state='paid'"}}
    }});
    let texts = [definition.to_string(), instance.to_string()];
    let sources = [Source { name: "instance.json", text: &texts[1] }, Source { name: "element.json", text: &texts[0] }];
    let imported = import(&sources, Options { namespace: Some("crm"), ..Options::default() });
    assert_plans(&imported);
    assert_every_field_once(
        &definition,
        &Imported { report: Report { sections: vec![imported.report.sections[0].clone()] }, ..Imported::default() },
    );
    let connector: Value = serde_saphyr::from_str(file(&imported, "shop.connector.yaml")).unwrap();
    assert_eq!(connector["metadata"], json!({"name": "shop", "namespace": "crm"}));
    assert_eq!(connector["spec"]["baseUrl"], "https://{site}.example.com/api");
    assert_eq!(
        connector["spec"]["resources"],
        json!([{
            "hubPaths": ["/hubs/ecommerce/orders"], "name": "orders", "url": "/v1/order.json", "query": {"since": "${date}", "x": "1"},
            "recordsPath": "entries", "idField": "orderId", "datesConfiguration": {"updatedDateField": "changed"}, "pageSize": 250,
            "pagination": {"page": {"parameter": "p", "sizeParameter": "size"}}
        }])
    );
    let spec = spec(&imported);
    assert_eq!(spec["resources"][0]["query"], json!({"since": "${gmtDate:yyyy-MM-dd}", "state": "paid"}));
    assert_eq!(spec["parameters"], json!({"site": "acme"}));
    for secret in ["hunter2", "hunter3", "hunter4", "hunter5"] {
        assert!(!imported.report.to_string().contains(secret), "{secret}");
    }
}

#[test]
fn without_a_folder_no_value_of_a_secret_is_printed() {
    let text = page().to_string();
    let options = Options { withhold_secrets: true, ..Options::default() };
    let imported = import(&[Source { name: "a.json", text: &text }], options);
    assert!(imported.files.iter().all(|file| !file.is_secret && !file.text.contains("hunter2")), "{:?}", imported.files);
}
