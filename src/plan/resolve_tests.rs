use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::api::instance::ConnectorInstanceSpec;
use crate::plan::delta::DeltaForm;
use crate::plan::{AuthPlan, ChangeBy, Order, PaginationPlan, TokenPlace, ValueAt};

fn instance(spec: &str) -> ConnectorInstance {
    let spec: ConnectorInstanceSpec = serde_saphyr::from_str(spec).unwrap();
    let mut instance = ConnectorInstance::new("keap", spec);
    instance.metadata.namespace = Some("crm".to_owned());
    instance
}

fn connector(spec: &str) -> ConnectorSpec {
    serde_saphyr::from_str(spec).unwrap()
}

fn plan(spec: &str) -> PollPlan {
    resolve(&instance(spec), None).unwrap()
}

fn plan_with(spec: &str, under: &str) -> PollPlan {
    resolve(&instance(spec), Some(&connector(under))).unwrap()
}

fn messages(spec: &str, under: Option<&str>) -> Vec<String> {
    let under = under.map(connector);
    resolve(&instance(spec), under.as_ref()).unwrap_err().into_iter().map(|problem| problem.message).collect()
}

/// A spec of one resource with these members, as JSON within YAML.
fn with_resource(members: &str) -> String {
    format!(
        "{{baseUrl: 'https://api.example.com/v2/', callback: {{url: 'https://h.example/in'}}, resources: [{{name: a, {members}}}]}}"
    )
}

const ORDERS: &str = "
baseUrl: https://{sub}.example.com/v1
parameters: [{name: sub, description: Your subdomain.}]
headers: {Accept: application/json, X-Version: '2'}
auth: {apiKey: {in: Header, name: X-Token, prefix: 'Token '}}
polling: {interval: 30m, startFrom: Earliest}
pagination: {linkHeader: {}}
resources:
- name: orders
  hubPaths: [/hubs/ecommerce/orders]
  url: /orders
  query: {since: '${since}', order: asc}
  headers: {x-version: '3'}
  idField: order_id
  order: Ascending
  interval: 10m
  datesConfiguration: {updatedDateField: modified, createdDateField: made}
- name: contacts
  url: /contacts
";

#[test]
fn the_least_instance_gets_all_defaults() {
    let plan = plan(&with_resource("url: /contacts"));
    assert_eq!(
        (&*plan.instance.namespace, &*plan.instance.name, plan.connector.as_deref(), plan.suspended),
        ("crm", "keap", None, false)
    );
    assert_eq!((plan.callback.max_in_flight, plan.callback.timeout.as_secs()), (8, 15));
    assert_eq!(plan.callback.format, EventFormat::CloudEvents);
    let resource = &plan.resources[0];
    assert_eq!(resource.request.url.as_str(), "https://api.example.com/v2/contacts");
    assert_eq!(resource.request.method, http::Method::GET);
    assert_eq!(resource.extract.id.to_string(), "id");
    assert_eq!(
        (resource.change_by, resource.order, &resource.pagination),
        (ChangeBy::Content, Order::Unordered, &PaginationPlan::Detect)
    );
    assert_eq!(resource.interval.as_secs(), 900);
    assert_eq!((resource.created_tolerance.as_secs(), resource.lookback), (10, Duration::ZERO));
    assert_eq!(resource.start_from, StartFrom::Now);
    assert_eq!(*resource.auth, AuthPlan::None);
}

#[test]
fn urls_join_as_text() {
    for (url, joined) in [
        ("/contacts", "https://api.example.com/v2/contacts"),
        ("contacts", "https://api.example.com/v2/contacts"),
        ("/", "https://api.example.com/v2"),
        ("?a=b", "https://api.example.com/v2?a=b"),
        ("/a?where=x>'${since}' and y='1'", "https://api.example.com/v2/a?where=x>'${since}' and y='1'"),
        ("/docs:export", "https://api.example.com/v2/docs:export"),
        ("https://api.example.com/other", "https://api.example.com/other"),
        ("https://api.example.com:443/other", "https://api.example.com:443/other"),
        ("https://API.example.com/other", "https://API.example.com/other"),
    ] {
        let members = format!("url: {}", json!(url));
        assert_eq!(plan(&with_resource(&members)).resources[0].request.url.as_str(), joined, "{url}");
    }
}

#[test]
fn urls_stay_on_the_origin() {
    for url in [
        "https://evil.net/x",
        "https://api.example.com:8443/x",
        "https://api.example.com@evil.net/x",
        "https://user@api.example.com/x",
        "http://api.example.com/x",
        "ftp://api.example.com/x",
        "//evil.net/x",
        "\\\\evil.net/x",
        "/x#y",
    ] {
        let found = messages(&with_resource(&format!("url: {}", json!(url))), None);
        assert!(found.len() == 1 && found[0].starts_with("spec.resources[a].url must be a path"), "{url}: {found:?}");
    }
}

proptest! {
    /// Whatever url contains, a plan requests the origin of baseUrl or there is no plan.
    #[test]
    fn no_url_leaves_the_origin(url in "[/a-z:@?.\\\\#\\t ]{1,12}|(https?|HTTPS)://(api\\.example\\.com|evil\\.net)[@:/a-z0-9]{0,8}") {
        let mut instance = instance(&with_resource("url: /a"));
        instance.spec.resources[0].url = Some(url);
        let Ok(plan) = resolve(&instance, None) else { return Ok(()) };
        let asked = Url::parse(plan.resources[0].request.url.as_str()).unwrap();
        prop_assert_eq!(asked.origin().ascii_serialization(), "https://api.example.com");
        prop_assert_eq!(asked.username(), "");
    }
}

#[test]
fn the_instance_overrides_field_by_field() {
    let plan = plan_with(
        "
connector: shop
parameters: {sub: acme}
auth: {apiKey: {secretRef: {name: s, key: k}}}
callback: {url: 'https://h.example/in'}
resources:
- name: orders
  query: {order: desc}
  order: Descending
  datesConfiguration: {updatedDateTimezone: America/Denver, updatedDateField: changed}
",
        ORDERS,
    );
    assert_eq!(plan.resources.len(), 1);
    let orders = &plan.resources[0];
    assert_eq!(orders.request.url.as_str(), "https://acme.example.com/v1/orders");
    let query: Vec<_> = orders.request.query.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(query, [("order", "desc"), ("since", "${since}")]);
    let headers: Vec<_> = orders.request.headers.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(headers, [("accept", "application/json"), ("x-version", "3")]);
    assert_eq!(orders.extract.updated.as_ref().unwrap().path.to_string(), "changed");
    assert_eq!(orders.extract.created.as_ref().unwrap().path.to_string(), "made");
    assert_eq!((orders.order, orders.change_by), (Order::Descending, ChangeBy::Updated));
    assert_eq!(orders.pagination, PaginationPlan::LinkHeader);
    assert_eq!((orders.interval.as_secs(), orders.start_from), (600, StartFrom::Earliest));
    let AuthPlan::ApiKeyHeader { name, prefix, secret } = &*orders.auth else { panic!("{:?}", orders.auth) };
    assert_eq!((name.as_str(), prefix.as_str(), secret.key.as_str()), ("x-token", "Token ", "k"));
}

#[test]
fn an_instance_without_resources_polls_all_of_the_connectors() {
    let spec = "{connector: shop, parameters: {sub: a}, auth: {bearer: {secretRef: {name: s, key: k}}}, callback: {url: 'https://h.example/in'}}";
    let plan = plan_with(spec, ORDERS);
    let names: Vec<_> = plan.resources.iter().map(|resource| &*resource.name).collect();
    assert_eq!(names, ["orders", "contacts"]);
    assert!(matches!(*plan.resources[0].auth, AuthPlan::Bearer { .. }));
}

#[test]
fn the_instances_interval_beats_the_connectors() {
    for (polling, special, seconds) in [("", "", 600), ("1h", "", 3600), ("1h", "5s", 5), ("", "20s", 20)] {
        let polling = if polling.is_empty() { String::new() } else { format!("polling: {{interval: {polling}}}, ") };
        let special = if special.is_empty() { String::new() } else { format!(", interval: {special}") };
        let spec = format!(
            "{{connector: shop, parameters: {{sub: a}}, {polling}auth: {{bearer: {{secretRef: {{name: s, key: k}}}}}}, \
             callback: {{url: 'https://h.example/in'}}, resources: [{{name: orders{special}}}]}}"
        );
        assert_eq!(plan_with(&spec, ORDERS).resources[0].interval.as_secs(), seconds, "{polling}{special}");
    }
}

const HUB: &str = "{connector: shop, parameters: {sub: a}, auth: {bearer: {secretRef: {name: s, key: k}}}, callback: {url: 'https://h.example/in'}, resources: [{name: NAME, url: URL}]}";

#[test]
fn a_pasted_hub_path_is_answered_by_the_connectors_resource() {
    let url = json!("/hubs/ecommerce/orders?where=modified>='${gmtDate:yyyy-MM-dd'T'HH:mm:ss'Z'}'&pageSize=200").to_string();
    let plan = plan_with(&HUB.replace("NAME", "bestellungen").replace("URL", &url), ORDERS);
    let resource = &plan.resources[0];
    assert_eq!((&*resource.name, resource.request.url.as_str()), ("bestellungen", "https://a.example.com/v1/orders"));
    assert_eq!(resource.extract.id.to_string(), "order_id");

    let other = HUB.replace("NAME", "orders").replace("URL", "/hubs/ecommerce/discounts");
    assert_eq!(
        messages(&other, Some(ORDERS)),
        [
            "spec.resources[orders].url is a hub path of Open Connectors for which the connector has no resource; write the provider's own path"
        ]
    );
    let filtered =
        HUB.replace("NAME", "orders").replace("URL", &json!("/hubs/ecommerce/orders?where=status='open'").to_string());
    assert_eq!(
        messages(&filtered, Some(ORDERS)),
        [
            "spec.resources[orders].url asks for status='open', which is not translated; write the provider's own parameter in query and leave it out of url"
        ]
    );
}

#[test]
fn a_parameter_of_a_resource_that_is_not_polled_needs_no_value() {
    let under = "{baseUrl: 'https://api.example.com', parameters: [{name: list}, {name: board}], \
                 resources: [{name: a, url: '/lists/{list}'}, {name: b, url: '/boards/{board}'}]}";
    let with = |resources: &str| format!("{{connector: x, callback: {{url: 'https://h.example/in'}}, {resources}}}");
    let only = plan_with(&with("parameters: {list: l1}, resources: [{name: a}]"), under);
    assert_eq!(only.resources[0].request.url.as_str(), "https://api.example.com/lists/l1");
    plan_with(&with("parameters: {list: l1, board: b1}, resources: [{name: a}]"), under);
    assert_eq!(messages(&with("parameters: {list: l1}"), Some(under)), ["spec.parameters.board is required by the connector"]);
}

#[test]
fn a_page_is_not_larger_than_the_provider_gives() {
    let under = "{baseUrl: 'https://api.example.com', resources: [{name: a, url: /a, maxPageSize: 100, pageSize: 50, \
                 pagination: {offset: {parameter: skip, sizeParameter: take}}}]}";
    let with =
        |size: &str| format!("{{connector: x, callback: {{url: 'https://h.example/in'}}, resources: [{{name: a{size}}}]}}");
    assert_eq!(plan_with(&with(""), under).resources[0].page_size, Some(50));
    assert_eq!(plan_with(&with(", pageSize: 100"), under).resources[0].page_size, Some(100));
    assert_eq!(
        messages(&with(", pageSize: 101"), Some(under)),
        ["spec.resources[a].pageSize must be at most 100, the most that the provider gives per page"]
    );
}

#[test]
fn a_pasted_hub_path_without_connector_is_a_path() {
    let url = json!("/hubs/crm/contacts?where=lastUpdated>'${gmtDate:yyyy-MM-dd'T'HH:mm:ss'Z'}'");
    let plan = plan(&with_resource(&format!("url: {url}")));
    assert_eq!(
        plan.resources[0].request.url.as_str(),
        "https://api.example.com/v2/hubs/crm/contacts?where=lastUpdated>'${gmtDate:yyyy-MM-dd'T'HH:mm:ss'Z'}'"
    );
}

#[test]
fn every_pagination_is_understood() {
    let pagination = |text: &str| plan(&with_resource(&format!("url: /a, {text}"))).resources[0].pagination.clone();
    assert_eq!(pagination("pagination: {none: {}}"), PaginationPlan::None);
    assert_eq!(
        pagination("pagination: {nextLink: {header: X-Next}}"),
        PaginationPlan::NextLink(ValueAt::Header("x-next".parse().unwrap()))
    );
    let PaginationPlan::Token { from: ValueAt::Field(field), parameter, place } =
        pagination("pagination: {token: {field: meta.next, parameter: page_token}}")
    else {
        panic!()
    };
    assert_eq!((field.to_string().as_str(), parameter.as_str(), place), ("meta.next", "page_token", TokenPlace::Query));
    assert_eq!(
        pagination("pagination: {page: {parameter: p, sizeParameter: n}}"),
        PaginationPlan::Page { parameter: "p".into(), first: None, size_parameter: Some("n".into()) }
    );
}

#[test]
fn a_body_is_compiled_with_its_holes() {
    let spec = "
baseUrl: https://api.example.com
parameters: {team: blue}
callback: {url: 'https://h.example/in'}
resources: [{name: a, url: /search, method: POST, body: {filter: {since: '${since}', team: '{team}'}, limit: 10}}]
";
    let body = plan(spec).resources[0].request.body.clone().unwrap();
    let text = |text: &str| super::super::BodyPlan::Text(super::super::template::Template::parse(text).unwrap());
    let filter = super::super::BodyPlan::Map(vec![("since".into(), text("${since}")), ("team".into(), text("blue"))]);
    assert_eq!(
        body,
        super::super::BodyPlan::Map(vec![
            ("filter".into(), filter),
            ("limit".into(), super::super::BodyPlan::Literal(json!(10)))
        ])
    );
}

#[test]
fn batches_are_for_cloud_events_and_have_limits() {
    let spec = |callback: &str| {
        format!(
            "{{baseUrl: 'https://api.example.com', callback: {{url: 'https://h.example/in', {callback}}}, resources: [{{name: a, url: /a}}]}}"
        )
    };
    let batch = |max_events, max_bytes| EventFormat::CloudEventsBatch(Batch { max_events, max_bytes });
    assert_eq!(plan(&spec("batch: {}")).callback.format, batch(64, 262_144));
    assert_eq!(plan(&spec("batch: {maxEvents: 1, maxBytes: 1024}")).callback.format, batch(1, 1_024));
    for (callback, told) in [
        ("batch: {maxEvents: 129}", "spec.callback.batch.maxEvents must be between 1 and 128"),
        ("batch: {maxBytes: 4194305}", "spec.callback.batch.maxBytes must be between 1024 and 4194304"),
        (
            "batch: {}, format: OpenConnectors",
            "spec.callback.batch needs format: CloudEvents; OpenConnectors sends up to ten events a request without it",
        ),
    ] {
        assert_eq!(messages(&spec(callback), None), [told]);
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let spec = "
connector: shop
parameters: {sub: a, sbu: b}
auth: {oauth2: {secretRef: {name: s}}}
callback: {url: 'http://h.example/in', auth: {oauth2: {grant: RefreshToken, tokenUrl: 'https://l.example/t', secretRef: {name: s}}}, maxInFlight: 0, timeout: 1d}
resources:
- name: orders
  idField: a..b
  changeBy: Created
  deletes: {snapshot: {interval: 1w, maxCount: -1, maxPercent: 101, confirm: {url: '/orders/${since}'}}}
  headers: {Authorization: x}
  pagination: {token: {field: a, parameter: b, in: Body}}
  lookback: 1w
- {name: extra}
";
    let found = messages(spec, Some(ORDERS));
    let begins = [
        "spec.auth.oauth2.grant is required: ",
        "spec.auth.oauth2.tokenUrl is required: ",
        "spec.callback.url must be https; ",
        "spec.callback.timeout must be a duration such as ",
        "spec.callback.maxInFlight must be between 1 and 64",
        "spec.callback.auth.oauth2.grant must be ClientCredentials: ",
        "spec.resources[orders].headers.Authorization cannot be set here; ",
        "spec.resources[orders].idField is not a path ",
        "spec.resources[orders].pagination.token.in Body needs method POST",
        "spec.resources[orders].lookback must be a duration ",
        "spec.resources[extra].url is required: ",
        "spec.parameters.sbu fills no placeholder, did you mean sub?",
    ];
    assert_eq!(found.len(), begins.len(), "{found:#?}");
    for (found, begin) in found.iter().zip(begins) {
        assert!(found.starts_with(begin), "{found}");
    }
}

#[test]
fn single_problems_read_well() {
    for (spec, under, message) in [
        (
            "{connector: shop, callback: {url: 'https://h.example/in'}}",
            None,
            "spec.connector names shop, which is neither a Connector in namespace crm nor an entry of the catalog; correct the name or create the Connector",
        ),
        (
            "{connector: shop, callback: {url: 'https://h.example/in'}}",
            Some(ORDERS),
            "spec.parameters.sub is required by the connector: Your subdomain",
        ),
        (
            "{connector: shop, parameters: {sub: a}, callback: {url: 'https://h.example/in'}}",
            Some(ORDERS),
            "spec.auth.apiKey.secretRef is required: the connector asks for apiKey; name the Secret that holds it",
        ),
        (
            "{connector: shop, callback: {url: 'https://h.example/in'}}",
            Some("{baseUrl: 'https://a.example'}"),
            "spec.resources is empty and the connector has none; list at least one resource",
        ),
        (
            "{connector: shop, callback: {url: 'https://h.example/in'}, resources: [{name: ordres}]}",
            Some("{baseUrl: 'https://a.example', resources: [{name: orders, url: /o}, {name: items, url: /i}]}"),
            "spec.resources[ordres].url is required: the connector shop has no resource of this name; did you mean orders?",
        ),
        (
            "{connector: shop, callback: {url: 'https://h.example/in'}, resources: [{name: people}]}",
            Some("{baseUrl: 'https://a.example', resources: [{name: orders, url: /o}, {name: items, url: /i}]}"),
            "spec.resources[people].url is required: the connector shop has no resource of this name; write it, or use one of orders, items",
        ),
        (
            "{baseUrl: 'https://a.example', callback: {url: 'https://h.example/in'}, resources: [{name: a}]}",
            None,
            "spec.resources[a].url is required: no connector is named, which could supply it",
        ),
        (
            "{baseUrl: 'https://u:p@a.example', callback: {url: 'https://h.example/in'}, resources: [{name: a, url: /a}]}",
            None,
            "spec.baseUrl carries credentials; they belong in a Secret that spec.auth names",
        ),
        (
            "{baseUrl: 'https://a.example', callback: {url: 'https://h.example/in'}, resources: [{name: a, url: '/{id}/x'}]}",
            None,
            "spec.resources[a].url has the placeholder {id} that no parameter fills; set spec.parameters.id",
        ),
        (
            "{baseUrl: 'https://a.example', callback: {url: 'https://h.example/in'}, resources: [{name: a, url: /a, changeBy: Updated}]}",
            None,
            "spec.resources[a].changeBy needs datesConfiguration.updatedDateField",
        ),
    ] {
        assert_eq!(messages(spec, under), [message]);
    }
}

/// The numbers are stored in cursors: another one would void them all.
#[test]
fn the_meaning_of_a_cursor_is_stable() {
    let meaning = |members: &str| plan(&with_resource(members)).resources[0].meaning;
    let first = meaning("url: /a");
    assert_eq!(first, 15_199_178_735_484_381_644);
    assert_eq!(first, meaning("url: /b, lookback: 1h, query: {a: b}, datesConfiguration: {createdDateField: c}"));
    assert_eq!(first, meaning("url: 'https://api.example.com:443/v2/a', idField: '$.id'"));
    assert_ne!(first, meaning("url: /a, idField: key"));
}

#[test]
fn a_misspelt_connector_is_put_right() {
    let spec = "{connector: infusionsoft-rest, callback: {url: 'https://h.example/in'}}";
    assert!(messages(spec, None)[0].ends_with("; did you mean infusionsoftrest?"));
}

#[test]
fn a_delta_and_its_macro_go_together() {
    let delta = |members: &str| plan(&with_resource(members)).resources[0].delta.clone().unwrap();
    let token = delta("url: /a, query: {t: '${cursor}'}, delta: {token: {field: next}}");
    assert_eq!(token.form, DeltaForm::Token { first: None });
    let body = "method: POST, url: /a, body: {cursor: '${cursor}'}, delta: {token: {header: x-next, first: '0'}}";
    assert_eq!(delta(body).form, DeltaForm::Token { first: Some("0".into()) });
    assert_eq!(delta("url: /a, delta: {link: {field: '@odata.deltaLink'}}").form, DeltaForm::Link);
    assert!(plan(&with_resource("url: /a, delta: {link: {field: a}}")).resources[0].compare_content);
    // A token holds for one request and one place.
    let scopes = ["t: '${cursor}'", "t: '${cursor}', x: '1'"]
        .map(|query| delta(&format!("url: /a, query: {{{query}}}, delta: {{token: {{field: next}}}}")).scope);
    assert_ne!(scopes[0], scopes[1]);
    assert_eq!(token.scope, scopes[0]);
    for (members, part) in [
        ("url: /a, query: {t: '${cursor}'}", "query has the macro ${cursor}, and nothing says"),
        ("url: /a, delta: {token: {field: next}}", "delta.token needs the macro ${cursor}"),
        ("url: /a, delta: {link: {field: a}}, deletes: {snapshot: {}}", "deletes.snapshot has no meaning with delta"),
        (
            "url: /a, query: {s: '${since}'}, order: Ascending, pageSize: 9, pagination: {keyset: {}}, deletes: {snapshot: {}}, \
             datesConfiguration: {updatedDateField: u}",
            "deletes.snapshot needs a list that can be read from its beginning",
        ),
        (
            "url: '/a/${cursor}', delta: {token: {field: next}}",
            "url has the macro ${cursor}, and the first request has no token",
        ),
        (
            "url: /a, query: {t: '${cursor}'}, delta: {link: {field: next}}",
            "query has the macro ${cursor}, and with delta.link",
        ),
        (
            "url: /a, query: {s: '${since}', t: '${cursor}'}, delta: {token: {field: next}}",
            "query has a macro of the date cursor",
        ),
        ("url: /a, delta: {link: {field: next, expired: {status: 429}}}", "delta.expired.status must be"),
    ] {
        let found = messages(&with_resource(members), None);
        assert!(found.len() == 1 && found[0].contains(part), "{members}: {found:?}");
    }
}

/// What messages offer is accepted, alone or with what the macro takes, wherever a macro may be.
#[test]
fn each_macro_that_is_offered_is_accepted() {
    let offer = messages(&with_resource("url: '/a?x=${sinse}'"), None).remove(0);
    let (_, offered) = offer.split_once("known are ").unwrap();
    let offered: Vec<_> = offered.split(", ").collect();
    assert_eq!(offered, crate::plan::template::OFFERED);
    for name in offered {
        let used = match name {
            "gmtDate" => "gmtDate:yyyy-MM-dd".to_owned(),
            "dateTimeZone" | "nowTimeZone" | "untilTimeZone" => format!("{name}:America/Denver:yyyy-MM-dd"),
            _ => name.to_owned(),
        };
        for place in ["url: '/a?x=${M}'", "url: /a, query: {x: '${M}'}", "url: /a, headers: {x: '${M}'}"] {
            let needed = match name {
                "cursor" => ", delta: {token: {field: next, first: now}}",
                "each" => ", forEach: {values: [a]}",
                _ => "",
            };
            plan(&with_resource(&format!("{}{needed}", place.replace('M', &used))));
        }
    }
}

#[test]
fn a_callback_that_would_loop_is_refused() {
    let with_callback = |url: &str| {
        format!("{{baseUrl: 'https://api.example.com', callback: {{url: '{url}'}}, resources: [{{name: a, url: /a}}]}}")
    };
    for url in [
        "https://api.openconnectors.us2.ext.hana.ondemand.com/elements/api-v2/events/",
        "https://api.openconnectors.us2.ext.hana.ondemand.com/elements/api-v2/events/infusionsoftrest/abc?x=1",
        "https://gateway.example.com/oc//Elements/api-v2/events",
    ] {
        assert_eq!(
            messages(&with_callback(url), None),
            [
                "spec.callback.url is an event endpoint of SAP Open Connectors, which would send the events in a loop; write the URL of \
                 the application that receives the events"
            ],
            "{url}"
        );
    }
    for url in [
        "https://h.example/events",
        "https://h.example/elements/api-v2/eventsink",
        "https://h.example/in?to=/elements/api-v2/events/",
    ] {
        plan(&with_callback(url));
    }
}

#[test]
fn filter_shape_and_rules_are_laid_over_the_connectors() {
    let under = "
baseUrl: https://api.example.com
errorRules: [{status: 404, means: Gone}]
resources:
- name: orders
  url: /orders
  filter: record.open
  onLeave: Deleted
  dropFields: [notes]
  maskFields: [{field: mail, with: Hash}]
  errorRules: [{status: 403, means: Retry}]
";
    let spec = |members: &str| {
        format!("{{connector: shop, callback: {{url: 'https://h.example/in'}}, resources: [{{name: orders, {members}}}]}}")
    };
    let printed = |members: &str| {
        let printed = crate::plan::print(&plan_with(&spec(members), under));
        let read: serde_json::Value = serde_saphyr::from_str(&printed).unwrap();
        let resource = &read["resources"][0];
        ["filter", "onLeave", "keepFields", "dropFields", "maskFields", "errorRules"].map(|field| resource[field].clone())
    };
    let rules = json!(["Retry when status 403", "Gone when status 404"]);
    assert_eq!(
        printed("idField: id"),
        [json!("record.open"), json!("Deleted"), json!(null), json!(["notes"]), json!(["mail as a hash"]), rules]
    );
    let over = "filter: 'record.won', keepFields: [id], maskFields: [{field: id}], errorRules: [{bodyPath: e, means: Auth}]";
    let rules = json!(["Auth when e is set", "Retry when status 403", "Gone when status 404"]);
    assert_eq!(printed(over), [json!("record.won"), json!("Deleted"), json!(["id"]), json!(null), json!(["id as ***"]), rules]);
}

#[test]
fn the_id_of_an_instance_replaces_that_of_its_connector_of_either_kind() {
    let planned = |over: &str, under: &str| {
        let under = format!("baseUrl: https://api.example.com\nresources: [{{name: orders, url: /orders, {under}}}]");
        let over = format!(
            "{{connector: shop, callback: {{url: 'https://h.example/in'}}, resources: [{{name: orders, interval: 5m, {over}}}]}}"
        );
        plan_with(&over, &under).resources[0].extract.id.to_string()
    };
    let (one, several) = ("idField: key", "idFields: [type, id]");
    assert_eq!([planned("", one), planned("", several)], ["key", "type, id"]);
    assert_eq!([planned(one, several), planned(several, one)], ["key", "type, id"]);
    assert_eq!(planned("idFields: [id, type]", several), "id, type");
}

#[test]
fn what_is_wrong_with_a_filter_or_a_shape_names_its_field() {
    let told = |members: &str| messages(&with_resource(&format!("url: /a, {members}")), None);
    assert_eq!(
        told("onLeave: Deleted, dropFields: ['a..b']"),
        [
            "spec.resources[a].onLeave needs filter; set filter, or leave onLeave out",
            "spec.resources[a].dropFields is not a path such as data.items or ['Modified Time']: a member between two dots is empty",
        ]
    );
    assert_eq!(
        told("filter: 'status == 1', maskFields: [{field: 'a['}]"),
        [
            "spec.resources[a].filter has an unknown variable status at column 1; the only variable is record, as in record.status",
            "spec.resources[a].maskFields is not a path such as data.items or ['Modified Time']: a bracket is not closed",
        ]
    );
}
