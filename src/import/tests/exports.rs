//! What exports and published bodies have that is neither dirt nor a poller: hosts, templates, harmless settings, and secrets under any name.

use super::*;
use crate::import::posted;

const CONFIGURED: &str = "configuration[\"event.poller.configuration\"]";

/// An instance of a connector with these settings, in addition to what each has.
fn instance(key: &str, settings: Value) -> Value {
    let mut body = json!({"element": {"key": key}, "name": "Case", "configuration": {
        "event.notification.enabled": "true", "event.notification.callback.url": "https://h.example/in",
    }});
    let Value::Object(settings) = settings else { panic!("{settings}") };
    for (name, value) in settings {
        body["configuration"][name] = value;
    }
    body
}

/// The page's body, as the instances API reads it.
fn post(body: &Value) -> posted::Posted {
    let Value::Object(members) = body.clone() else { panic!("{body}") };
    posted::posted(members, None, catalog::built_in("infusionsoftrest").unwrap()).unwrap()
}

fn manifests(imported: &Imported) -> String {
    imported.files.iter().filter(|file| !file.is_secret).map(|file| file.text.as_str()).collect()
}

#[test]
fn no_secret_is_outside_of_a_secret() {
    for name in ["authKey", "consumerKey", "passkey", "pass", "jwt", "accessCode", "hmac", "q"] {
        let value = if name == "q" { "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.hunter2" } else { "hunter2" };
        let url = json!(format!("https://m.example/hook?{name}={value}"));
        let imported = import_one(&page_with("/configuration/event.notification.callback.url", url));
        assert_plans(&imported);
        assert!(!manifests(&imported).contains("hunter2") && !imported.report.to_string().contains("hunter2"), "{name}");
        let poller = json!({"reviews": {"url": format!("/hubs/social/reviews?{name}={value}"), "idField": "id"}});
        let imported = import_one(&instance("unheard", json!({"event.poller.configuration": poller})));
        assert!(!manifests(&imported).contains("hunter2"), "{name}");
        let imported = import_one(&page_with(&format!("/configuration/my.{name}"), json!(value)));
        assert!(!manifests(&imported).contains("hunter2"), "{name}");
    }
}

#[test]
fn harmless_settings_need_nobody() {
    for (name, value) in [
        ("authentication.time", "never"),
        ("authentication.type", "oauth2"),
        ("oauth.token.revoke_url", "https://{a.b}.example/revoke"),
        ("oauth.token.refresh_url", "https://a.example/token"),
        ("some.token.expiry", "3600"),
        ("bulk.query.date_mask", "yyyy"),
        ("filter.response.nulls", "true"),
    ] {
        let body = page_with(&format!("/configuration/{name}"), json!(value));
        let imported = import_one(&body);
        assert_every_field_once(&body, &imported);
        assert!(!imported.report.needs_a_person(), "{name}: {}", imported.report);
        assert_eq!(post(&body).open(), [""; 0], "{name}");
    }
}

#[test]
fn the_api_warns_of_what_has_no_effect() {
    for (pointer, value) in [
        ("/configuration/event.poler.refresh_interval", json!("1")),
        ("/configuration/unused.secret", json!("hunter2")),
        ("/configuration/event.poller.refresh_interval", json!(0.01)),
        ("/configuration/filter.response.nulls", json!(false)),
        ("/configuration/event.poller.configuration/appointments/pollDelays", json!(60)),
        ("/configuration/event.poller.configuration/appointments/pollDelay", json!("60s")),
        ("/configuration/event.poller.configuration/appointments/pageSize", json!("many")),
        ("/configuration/event.poller.configuration/appointments/datesConfiguration/updatedDateFeild", json!("u")),
        ("/nmae", json!("x")),
    ] {
        let posted = post(&page_with(pointer, value));
        let warnings = posted.warnings();
        assert!(posted.open().is_empty() && warnings.len() == 1 && !warnings[0].contains("hunter2"), "{pointer}: {warnings:?}");
    }
    assert_eq!(post(&page()).warnings(), [""; 0]);
}

#[test]
fn an_empty_poller_configuration_polls_nothing_and_a_missing_one_says_what_is_polled() {
    for empty in [json!("{}"), json!({}), json!("")] {
        let body = page_with("/configuration/event.poller.configuration", empty);
        let imported = import_one(&body);
        assert_every_field_once(&body, &imported);
        assert_eq!(line(&imported, CONFIGURED).verdict, Verdict::ToDo);
        assert_eq!(post(&body).open().len(), 1);
    }
    let mut body = page();
    body["configuration"].as_object_mut().unwrap().remove("event.poller.configuration");
    let imported = import_one(&body);
    let found = line(&imported, "spec.resources");
    assert!(found.verdict == Verdict::Changed && found.text.contains("appointments, "), "{found}");
    assert!(!imported.report.needs_a_person());
}

#[test]
fn a_resource_of_both_forms_is_polled_once() {
    let body = page_with(
        "/configuration/event.poller.urls",
        json!("appointments|/hubs/crm/appointments|id\norders|/hubs/crm/orders|id"),
    );
    let imported = import_one(&body);
    assert_every_field_once(&body, &imported);
    let names: Vec<_> = spec(&imported)["resources"].as_array().unwrap().iter().map(|r| r["name"].clone()).collect();
    assert_eq!(names, ["appointments", "orders"]);
}

/// A documented setting, and the parameter that it fills.
#[test]
fn settings_of_hosts_fill_the_parameter_that_is_meant() {
    for (key, setting, value, parameter) in [
        ("freshdeskv2", "subdomain", "acme", "domain"),
        ("freshdeskv2", "subdomain", "https://acme.freshdesk.com/", "domain"),
        ("servicenow", "servicenow.subdomain", "acme", "instance"),
        ("zendesk", "zendesk.subdomain", "acme.zendesk.com", "subdomain"),
        ("bamboohr", "subdomain", "acme", "companyDomain"),
        ("chargebee", "site.address", "https://acme.chargebee.com", "site"),
    ] {
        let body = instance(key, json!({setting: value, "username": "u", "password": "p"}));
        let imported = import_one(&body);
        assert_every_field_once(&body, &imported);
        assert_eq!(spec(&imported)["parameters"][parameter], "acme", "{key}: {}", imported.report);
    }
    let template = "https://{subdomain}.service-now.com/api/now/v1/table";
    let body =
        instance("servicenow", json!({"base.url": template, "servicenow.subdomain": "acme", "username": "u", "password": "p"}));
    let imported = import_one(&body);
    assert_plans(&imported);
    assert!(!imported.report.needs_a_person() && spec(&imported).get("baseUrl").is_none(), "{}", imported.report);
    let poller = json!({"a": {"url": "/hubs/crm/a", "idField": "id"}});
    let own =
        json!({"base.url": "https://{subdomain}.example/api", "shop.subdomain": "acme", "event.poller.configuration": poller});
    assert_eq!(spec(&import_one(&instance("unheard", own)))["baseUrl"], "https://acme.example/api");
}

#[test]
fn pages_and_ids_are_bounded_by_the_entry() {
    let poller = json!({"incidents": {"url": "/hubs/helpdesk/incidents", "idField": "", "pageSize": 10_000}});
    let body = instance(
        "freshdeskv2",
        json!({"domain": "acme", "username": "u", "password": "p", "event.poller.configuration": poller}),
    );
    let imported = import_one(&body);
    assert_plans(&imported);
    let found = line(&imported, &format!("{CONFIGURED}.incidents.pageSize"));
    assert!(found.verdict == Verdict::Changed && found.text.starts_with("pageSize: 100,"), "{found}");
    // The published body of Chargebee.
    let poller = json!({"events": {"url": "/hubs/payment/events?where=start_time='${epoch:s}'", "idField": ""}});
    let body =
        instance("chargebee", json!({"site": "acme", "username": "u", "password": "p", "event.poller.configuration": poller}));
    let imported = import_one(&body);
    assert_plans(&imported);
    assert!(!imported.report.needs_a_person(), "{}", imported.report);
    let unheard = instance("unheard", json!({"event.poller.configuration": {"a": {"url": "/hubs/crm/a", "idField": ""}}}));
    assert_eq!(line(&import_one(&unheard), &format!("{CONFIGURED}.a.idField")).verdict, Verdict::ToDo);
}

/// A hub path that ends in the name of the entry's resource, which names no hub path itself.
#[test]
fn a_resource_of_the_entry_has_the_url_of_the_entry() {
    let poller = json!({"tickets": {"url": "/hubs/crm/tickets?where=lastmodifieddate='${date}'", "idField": "id"}});
    let imported = import_one(&instance(
        "hubspot",
        json!({
            "oauth.api.key": "a", "oauth.api.secret": "b", "oauth.user.refresh_token": "c", "event.poller.configuration": poller
        }),
    ));
    assert_plans(&imported);
    let resource = &spec(&imported)["resources"][0];
    assert!(resource.get("url").is_none() && resource.get("query").is_none(), "{resource}");
    assert!(!imported.report.needs_a_person(), "{}", imported.report);
}

#[test]
fn headers_that_cannot_be_sent_and_secrets_with_blanks() {
    let headers = "/configuration/event.notification.callback.headers";
    for value in ["Host: a.example", "X-A: a\u{0}b", "Content-Length: 5", "X-A: 1\nx-a: 2"] {
        let body = page_with(headers, json!(value));
        assert_eq!(post(&body).open().len(), 1, "{value:?}");
        assert_every_field_once(&body, &import_one(&body));
    }
    let masked = post(&page_with(headers, json!("********")));
    assert_eq!((masked.masked().len(), masked.hidden().collect::<Vec<_>>()), (1, vec!["api-instance-with-polling-headers"]));
    let body = page_with("/configuration/event.notification.signature.key", json!(" hunter2 \n"));
    let posted = post(&body);
    assert!(posted.secrets().any(|(_, key, value)| key == "signing-key" && value == Some(" hunter2 ")));
}

#[test]
fn a_code_that_is_none_is_refused_whatever_is_there_already() {
    let mut body = page_with("/providerData/code", json!("<AUTHORIZATION_GRANT_CODE>"));
    body["configuration"]["oauth.user.refresh_token"] = json!("********");
    assert_eq!(post(&body).open().len(), 1);
    body["configuration"]["oauth.user.refresh_token"] = json!("hunter2");
    assert_eq!(post(&body).open(), [""; 0]);
}

#[test]
fn names_that_differ_in_letters_that_manifests_have_not_do_not_meet() {
    let mut names = BTreeSet::new();
    for name in ["日本", "中国", "Клиент", "A/B", "A B", "Zürich", "Zurich"] {
        let of = || post(&page_with("/name", json!(name))).name;
        assert_eq!(of(), of(), "{name}");
        assert!(names.insert(of()) && crate::api::names::is_label(&of()), "{name}: {}", of());
    }
    let long = post(&page_with("/name", json!("x".repeat(300)))).name;
    assert!(long.len() == 50 && crate::api::names::is_label(&long), "{long}");
}

/// What element.json files of Taulia, Bazaarvoice and Epicor have: values for every request, and placeholders with dots.
#[test]
fn a_definition_keeps_what_it_sends_with_every_request() {
    let definition = json!({
        "key": "acme", "name": "Acme", "authentication": {"type": "basic"},
        "configuration": [
            {"key": "base.url", "defaultValue": "https://{acme.host}.example"}, {"key": "client.id"}, {"key": "company.name"},
            {"key": "acme.host", "defaultValue": "eu"}, {"key": "username"}, {"key": "password"}
        ],
        "parameters": [
            {"name": "client.id", "vendorName": "x-client", "type": "configuration", "vendorType": "header", "source": "request"},
            {"name": "5.4", "vendorName": "apiversion", "type": "value", "vendorType": "query", "source": "request"},
            {"name": "a", "vendorName": "b", "type": "value", "vendorType": "body", "source": "request"},
        ],
        "resources": [{
            "path": "/hubs/erp/quotes", "vendorPath": "/companies/{company.name}/quotes", "method": "GET", "vendorMethod": "GET",
            "parameters": [{"name": "full", "vendorName": "view", "type": "value", "vendorType": "query", "source": "request"}]
        }]
    });
    let settings = json!({
        "username": "u", "password": "p", "client.id": "C7", "company.name": "EPIC",
        "event.poller.configuration": {"quotes": {"url": "/hubs/erp/quotes", "idField": "id"}}
    });
    let input = json!([definition, instance("acme", settings)]);
    let imported = import_one(&input);
    assert_plans(&imported);
    assert_every_field_once(&input, &imported);
    let connector: Value = serde_saphyr::from_str(file(&imported, "acme.connector.yaml")).unwrap();
    let written = &connector["spec"];
    assert_eq!(written["headers"], json!({"x-client": "{client-id}"}));
    assert_eq!(written["baseUrl"], "https://{acme-host}.example");
    assert_eq!(
        (&written["resources"][0]["url"], &written["resources"][0]["query"]),
        (&json!("/companies/{company-name}/quotes"), &json!({"apiversion": "5.4", "view": "full"}))
    );
    assert_eq!(spec(&imported)["parameters"], json!({"client-id": "C7", "company-name": "EPIC"}));
    assert_eq!(line(&imported, "[0].parameters[2]").verdict, Verdict::ToDo);
}

/// Exports hide every password, also of settings that a connector has for other purposes: they are as good as absent.
#[test]
fn a_hidden_value_matters_where_it_is_used() {
    let hidden = |name: &str| page_with(&format!("/configuration/{name}"), json!("********"));
    for unused in ["user.password", "bulk.relay.key", "shop.private.key"] {
        let imported = import_one(&hidden(unused));
        assert_plans(&imported);
        assert_every_field_once(&hidden(unused), &imported);
        assert!(
            !imported.report.needs_a_person() && !imported.files.iter().any(|file| file.text.contains("-more")),
            "{unused}"
        );
        let posted = post(&hidden(unused));
        assert!(posted.masked().is_empty() && posted.open().is_empty(), "{unused}");
        assert!(posted.warnings().iter().any(|text| text.contains(unused)), "{unused}");
    }
    let secret = "oauth.api.secret";
    assert_eq!(post(&hidden(secret)).masked().len(), 1);
    // a person who completes an unknown connector may need it
    let unheard =
        json!({"shop.private.pass": "********", "event.poller.configuration": {"a": {"url": "/hubs/crm/a", "idField": "id"}}});
    assert_eq!(
        line(&import_one(&instance("unheard", unheard)), "configuration[\"shop.private.pass\"]").verdict,
        Verdict::Masked
    );
    let of_host = instance("freshdeskv2", json!({"username": "u", "password": "p", "domain": "********"}));
    assert!(line(&import_one(&of_host), "configuration.domain").text.contains("spec.parameters.domain"));
}

#[test]
fn only_the_parameters_of_what_is_polled_are_asked_for() {
    let of = |resource: &str| {
        let mut pollers = json!({});
        pollers[resource] = json!({"url": format!("/v2/{resource}"), "idField": "id"});
        let settings = json!({
            "oauth.api.key": "a", "oauth.api.secret": "b", "oauth.user.refresh_token": "c", "event.poller.configuration": pollers
        });
        let imported = import_one(&instance("square", settings));
        assert_plans(&imported);
        let asked = lines(&imported).into_iter().any(|line| line.sentence().starts_with("spec.parameters.locationId"));
        (asked, spec(&imported)["parameters"].clone())
    };
    assert_eq!(of("payments"), (false, Value::Null));
    assert_eq!(of("orders"), (true, json!({"locationId": "replace-me"})), "its body names the place");
    // a parameter of the host is needed by all, and one with a default by none
    let imported = import_one(&instance("zendesk", json!({})));
    assert!(line(&imported, "spec.parameters.subdomain").text.contains("write it"));
    let imported = import_one(&instance("googlecalendar", json!({})));
    assert!(spec(&imported).get("parameters").is_none(), "{}", imported.report);
}

/// As Twitter and Desk have them.
#[test]
fn credentials_of_oauth_1_are_told_from_those_of_oauth_2() {
    let pollers = json!({"users": {"url": "/hubs/social/users", "idField": "id"}});
    let settings = json!({
        "oauth.api.key": "a", "oauth.api.secret": "hunter2", "oauth.user.token": "hunter3", "oauth.user.token.secret": "hunter4",
        "event.poller.configuration": pollers
    });
    let body = instance("twitter", settings);
    let imported = import_one(&body);
    assert_plans(&imported);
    assert_every_field_once(&body, &imported);
    assert!(line(&imported, "spec.auth").text.contains("OAuth 1.0a") && spec(&imported).get("auth").is_none());
    let secrets = file(&imported, "case.secret.yaml");
    assert!(["hunter2", "hunter3", "hunter4"].iter().all(|secret| secrets.contains(secret)), "{secrets}");
}

/// A store is named by its hash there, and an account by its SID: the entry says that they are parts of URLs.
#[test]
fn a_parameter_of_the_entry_is_no_secret_whatever_it_is_called() {
    for (key, name, value) in
        [("bigcommerce", "storeHash", "k8d3n2"), ("twiliov2", "accountSid", "AC9f86d081884c7d659a2feaa0c55ad015")]
    {
        let body = instance(key, json!({name: value, "api.key": "a", "username": "u", "password": "p"}));
        let imported = import_one(&body);
        assert_plans(&imported);
        assert_every_field_once(&body, &imported);
        assert_eq!(spec(&imported)["parameters"], json!({name: value}), "{}", imported.report);
    }
    // in the URL of an unknown connector it may be one
    let poller = json!({"a": {"url": "/hubs/crm/{apiKey}/a", "idField": "id"}});
    let imported = import_one(&instance("unheard", json!({"apiKey": "hunter2", "event.poller.configuration": poller})));
    assert!(!manifests(&imported).contains("hunter2"));
}
