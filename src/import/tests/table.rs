//! What published connectors have, poller by poller: what becomes of each, and that no spelling of an export changes it.

use std::sync::Arc;

use super::*;
use crate::api::connector::ConnectorAuth;
use crate::api::instance::{ConnectorInstance, ConnectorInstanceSpec};
use crate::plan::ResourcePlan;
use crate::plan::date_format::DateFormat;
use crate::plan::hub_path::stands_for;
use crate::plan::template::{MacroContext, Place as Rendered, Template};

/// The word that only Secrets may have.
const SECRET: &str = "hunter2";
const POLLERS: &str = "event.poller.configuration";
/// A member that is there and empty.
const EMPTY: &str = "\"\"";

/// A poller, and what must come of it. The table describes its columns.
struct Row {
    key: &'static str,
    auth: &'static str,
    resource: &'static str,
    url: &'static str,
    id: &'static str,
    dates: [&'static str; 6],
    others: &'static str,
    answer: &'static str,
    query: &'static str,
    repaired: &'static str,
    asked: &'static str,
}

fn rows() -> Vec<Row> {
    let table = include_str!("../../../tests/data/open-connectors-pollers.tsv");
    let row = |line: &'static str| {
        let columns: Vec<_> = line.split('\t').collect();
        let &[key, auth, resource, url, id, d1, d2, d3, d4, d5, d6, others, answer, query, repaired, asked] =
            columns.as_slice()
        else {
            panic!("{} columns: {line}", columns.len())
        };
        let dates = [d1, d2, d3, d4, d5, d6];
        Row { key, auth, resource, url, id, dates, others, answer, query, repaired, asked }
    };
    table.lines().filter(|line| !line.starts_with('#')).map(row).collect()
}

/// `name=value` pairs.
fn pairs(text: &'static str, separator: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    text.split(separator)
        .filter(|pair| !pair.is_empty())
        .filter_map(|pair| pair.split_once('='))
        .collect::<Vec<_>>()
        .into_iter()
}

impl Row {
    fn date_members(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let [_, names @ ..] = crate::import::legacy::PARTS;
        names.into_iter().zip(self.dates).filter(|(_, text)| !text.is_empty())
    }

    fn poller(&self) -> Value {
        let given = |text: &str| json!(if text == EMPTY { "" } else { text });
        let mut poller = json!({"url": self.url, "idField": given(self.id)});
        for (name, text) in self.date_members() {
            poller["datesConfiguration"][name] = given(text);
        }
        for (name, value) in pairs(self.others, " ").filter(|(name, _)| !name.starts_with("event.")) {
            poller[name] = serde_json::from_str(value).unwrap();
        }
        poller
    }

    /// An instance of its connector with credentials as the connector takes them, and with a value for each of its parameters.
    fn body(&self, pollers: Value) -> Value {
        let entry = catalog::built_in(self.key);
        let scheme = match entry.and_then(|spec| spec.auth.as_ref()) {
            Some(ConnectorAuth::Oauth2(_)) => "O2",
            Some(ConnectorAuth::Basic(_)) => "B",
            Some(ConnectorAuth::ApiKey(_) | ConnectorAuth::Bearer(_)) => "K",
            None => self.auth,
        };
        let mut configuration = match scheme {
            "O2" => json!({"oauth.api.key": "an-id", "oauth.api.secret": SECRET, "oauth.user.refresh_token": SECRET}),
            "O1" => json!({"oauth.api.key": "an-id", "oauth.user.token": SECRET, "oauth.user.token.secret": SECRET}),
            "B" => json!({"username": "u", "password": SECRET}),
            _ => json!({"api.key": SECRET}),
        };
        for parameter in entry.into_iter().flat_map(|spec| &spec.parameters) {
            configuration[&parameter.name] = json!("acme");
        }
        for (name, value) in pairs(self.others, " ").filter(|(name, _)| name.starts_with("event.")) {
            configuration[name] = json!(value);
        }
        configuration["event.notification.enabled"] = json!("true");
        configuration["event.notification.callback.url"] = json!("https://h.example/in");
        configuration[POLLERS] = pollers;
        json!({"element": {"key": self.key}, "name": self.key, "configuration": configuration})
    }

    /// The resource's name: letters, digits and some signs of the given one.
    fn name(&self) -> String {
        let is_sign = |c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c));
        self.resource.split(is_sign).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
    }

    /// What the manifest must have.
    fn resource(&self) -> Value {
        let path = self.url.split('?').next().unwrap();
        let url = match self.answer {
            "guess" => Some(format!("/{}", path.splitn(4, '/').nth(3).unwrap())),
            "-" | "own" => Some(path.to_owned()),
            _ => {
                let entry = stands_for(path, catalog::built_in(self.key).unwrap());
                assert_eq!(entry.map(|entry| entry.resource.name.as_str()), Some(self.answer), "{}", self.url);
                Some(path.to_owned())
            }
        };
        let mut expected = json!({"name": self.name(), "url": url});
        if self.id != EMPTY {
            expected["idField"] = json!(self.id);
        }
        for (name, value) in self.date_members().filter(|(_, text)| *text != EMPTY).chain(pairs(self.repaired, " ")) {
            expected["datesConfiguration"][name] = json!(value);
        }
        // The format of the date of change is that of the other one, too, unless it has one.
        if let Some(Value::Object(dates)) = expected.get_mut("datesConfiguration")
            && dates.contains_key("createdDateField")
            && !dates.contains_key("createdDateFormat")
            && let Some(format) = dates.get("updatedDateFormat").cloned()
        {
            dates.insert("createdDateFormat".to_owned(), format);
        }
        for (name, value) in pairs(self.query, " && ") {
            expected["query"][name] = json!(value);
        }
        for (name, value) in pairs(self.others, " ") {
            match name {
                "createdCheckTolerance" => expected["createdTolerance"] = json!(format!("{value}s")),
                "pageSize" => expected["pageSize"] = serde_json::from_str(value).unwrap(),
                "filterByUpdatedDate" | "event.poller.refresh_interval" => {}
                other => panic!("{other}"),
            }
        }
        expected
    }

    /// About what a person must be asked, each with words of the sentence.
    fn asked(&self) -> BTreeMap<String, &'static str> {
        let place = Place::default().member("configuration").member(POLLERS).member(self.resource);
        let about = |text: &'static str| {
            let (about, words) = text.split_once(": ").unwrap();
            let is_result = about.starts_with("spec.") || about.starts_with("resource ");
            let inner = || about.split('.').fold(place.clone(), |place, name| place.member(name)).to_string();
            (if is_result { about.to_owned() } else { inner() }, words)
        };
        self.asked.split("; ").filter(|text| !text.is_empty()).map(about).collect()
    }
}

/// What asks for a person, except that a connector is unknown and that the instance waits for that.
fn open(imported: &Imported) -> BTreeMap<String, &Line> {
    let is_open = |line: &&Line| matches!(line.verdict, Verdict::Masked | Verdict::ToDo);
    let about = |line: &Line| match &line.about {
        About::Field(place) => place.to_string(),
        About::Result(what) => what.clone(),
    };
    let all = lines(imported).into_iter().filter(is_open).map(|line| (about(line), line));
    all.filter(|(about, _)| !about.starts_with("Connector ") && about != "spec.suspend").collect()
}

fn planned(spec: &Value) -> Arc<ResourcePlan> {
    let instance: ConnectorInstanceSpec = serde_json::from_value(spec.clone()).unwrap();
    let connector = catalog::built_in(instance.connector.as_deref().unwrap());
    resolve(&ConnectorInstance::new("x", instance), connector).unwrap().resources[0].clone()
}

#[test]
fn each_of_271_published_pollers_comes_to_what_the_table_says() {
    let rows = rows();
    let keys: BTreeSet<_> = rows.iter().map(|row| row.key).collect();
    assert_eq!((rows.len(), keys.len()), (271, 94));
    let is_wrong = |row: &&Row| std::panic::catch_unwind(|| check(row)).is_err();
    let wrong: Vec<_> = rows.iter().filter(is_wrong).map(|row| format!("{} {}", row.key, row.resource)).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

fn check(row: &Row) {
    let mut pollers = json!({});
    pollers[row.resource] = row.poller();
    let body = row.body(pollers);
    let imported = import_one(&body);
    let told = format!("{} {}\n{}", row.key, row.resource, imported.report);
    assert_every_field_once(&body, &imported);
    assert_plans(&imported);
    let spec = spec(&imported);
    assert!(!spec.to_string().contains(SECRET) && !told.contains(SECRET), "{told}");
    assert!(imported.files.iter().any(|file| file.is_secret && file.text.contains(SECRET)), "{told}");
    assert_eq!(spec["resources"], json!([row.resource()]), "{told}");
    let minutes = pairs(row.others, " ").find(|(name, _)| *name == "event.poller.refresh_interval");
    assert_eq!(spec.pointer("/polling/interval"), minutes.map(|(_, text)| json!(format!("{text}m"))).as_ref(), "{told}");
    // What is asked is what the table says, and nothing else.
    let mut open = open(&imported);
    if row.auth == "O1" && catalog::built_in(row.key).is_none() {
        assert!(open.remove("spec.auth").unwrap().text.contains("OAuth 1.0a"), "{told}");
        open.retain(|about, _| !about.starts_with("configuration[\"oauth."));
    }
    let asked = row.asked();
    assert_eq!(open.keys().collect::<Vec<_>>(), asked.keys().collect::<Vec<_>>(), "{told}");
    for (about, words) in &asked {
        assert!(open[about].text.contains(words), "{words:?} in {told}");
    }
    let is_unknown = catalog::built_in(row.key).is_none();
    assert_eq!(is_unknown, lines(&imported).iter().any(|line| line.about == About::Result(format!("Connector {}", row.key))));
    assert_eq!(spec["suspend"] == json!(true), is_unknown || imported.report.needs_a_person(), "{told}");
    // The request is that of the entry.
    if !is_unknown && row.answer != "guess" {
        let mut own = spec.clone();
        own["resources"] = json!([{"name": row.answer}]);
        assert_eq!(planned(&spec).request, planned(&own).request, "{told}");
    }
}

/// An instance whose pollers, or whole body, are spelt in another way.
type Spelling = fn(Value) -> Value;

fn pollers_taken(body: &mut Value) -> Value {
    body["configuration"].as_object_mut().unwrap().remove(POLLERS).unwrap()
}

fn pollers_of(body: &mut Value) -> serde_json::Map<String, Value> {
    let Value::Object(pollers) = pollers_taken(body) else { panic!("{body}") };
    pollers
}

fn in_strings(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(members.into_iter().map(|(name, value)| (name, in_strings(value))).collect()),
        Value::String(text) => Value::String(text),
        other => Value::String(other.to_string()),
    }
}

fn in_small_letters(value: Value) -> Value {
    let name =
        |name: String| if ["url", "createdDateField"].contains(&name.as_str()) { name } else { name.to_ascii_lowercase() };
    match value {
        Value::Object(members) => members.into_iter().map(|(key, value)| (name(key), in_small_letters(value))).collect(),
        other => other,
    }
}

/// All pollers but the first inside it.
fn nested(pollers: serde_json::Map<String, Value>) -> serde_json::Map<String, Value> {
    let mut pollers = pollers.into_iter();
    let (name, mut first) = pollers.next().unwrap();
    pollers.for_each(|(name, poller)| first[name] = poller);
    [(name, first)].into_iter().collect()
}

const SPELLINGS: [(&str, Spelling); 11] = [
    ("text", |mut body| {
        let pollers = pollers_of(&mut body);
        body["configuration"][POLLERS] = json!(serde_json::to_string_pretty(&pollers).unwrap());
        body
    }),
    ("text in a text", |mut body| {
        let text = Value::Object(pollers_of(&mut body)).to_string();
        body["configuration"][POLLERS] = json!(json!(text).to_string());
        body
    }),
    ("everything in strings", |mut body| {
        body["configuration"] = in_strings(body["configuration"].take());
        body
    }),
    ("names in small letters", |mut body| {
        let pollers = pollers_of(&mut body).into_iter().map(|(name, poller)| (name, in_small_letters(poller)));
        body["configuration"][POLLERS] = Value::Object(pollers.collect());
        body
    }),
    ("settings in a list", |mut body| {
        let Value::Object(settings) = body["configuration"].take() else { panic!("{body}") };
        let items = settings.into_iter().enumerate();
        body["configuration"] = items.map(|(id, (key, value))| json!({"id": id, "key": key, "propertyValue": value})).collect();
        body
    }),
    ("wrapped", |body| json!({"status": "success", "elementInstance": body})),
    ("in a list", |body| json!([body])),
    ("directly among the settings", |mut body| {
        let pollers = pollers_of(&mut body);
        body["configuration"].as_object_mut().unwrap().extend(pollers);
        body
    }),
    ("inside the first one", |mut body| {
        let pollers = nested(pollers_of(&mut body));
        body["configuration"][POLLERS] = Value::Object(pollers);
        body
    }),
    ("inside the first one, among the settings", |mut body| {
        let pollers = nested(pollers_of(&mut body));
        body["configuration"].as_object_mut().unwrap().extend(pollers);
        body
    }),
    ("with the other settings of an export", |mut body| {
        for (name, value) in [
            ("event.vendor.type", "polling"),
            ("event.poller.urls", "null"),
            ("event.metadata", "null"),
            ("event.notification.basic.username", ""),
            ("event.notification.basic.password", "********"),
            ("event.notification.signature.key", "null"),
            ("filter.response.nulls", "true"),
        ] {
            body["configuration"][name] = json!(value);
        }
        body["token"] = json!(SECRET);
        body["valid"] = json!("true");
        body["providerData"] = Value::Null;
        body
    }),
];

/// The specification with its resources in the order of their names.
fn in_order(mut spec: Value) -> Value {
    let resources = spec["resources"].as_array_mut().unwrap();
    resources.sort_by_key(|resource| resource["name"].to_string());
    spec
}

#[test]
fn no_spelling_changes_what_is_imported() {
    let mut by_key: BTreeMap<&str, Vec<Row>> = BTreeMap::new();
    for row in rows() {
        by_key.entry(row.key).or_default().push(row);
    }
    let mut tried = BTreeMap::new();
    for (number, rows) in by_key.values().enumerate() {
        let pollers: serde_json::Map<_, _> = rows.iter().map(|row| (row.resource.to_owned(), row.poller())).collect();
        let body = rows[0].body(Value::Object(pollers));
        let plain = import_one(&body);
        let expected = in_order(spec(&plain));
        assert_eq!(expected["resources"].as_array().map(Vec::len), Some(rows.len()));
        // A third of them for each connector: every spelling is tried with about 30 of them.
        for (_, (how, spelt)) in SPELLINGS.into_iter().enumerate().filter(|(index, _)| (index + number) % 3 == 0) {
            let body = spelt(body.clone());
            let imported = import_one(&body);
            let told = format!("{}, {how}\n{}", rows[0].key, imported.report);
            // A setting in a list is reported as the whole item.
            if how != "settings in a list" {
                assert_every_field_once(&body, &imported);
            }
            assert_plans(&imported);
            assert_eq!(in_order(spec(&imported)), expected, "{told}");
            assert_eq!(imported.report.needs_a_person(), plain.report.needs_a_person(), "{told}");
            *tried.entry(how).or_insert(0) += 1;
        }
        // The older form has no place for members that are not dates.
        if rows.iter().all(|row| row.others.is_empty()) {
            let line = |row: &Row| {
                let parts = [row.resource, row.url, row.id].into_iter().chain(row.dates);
                parts.map(|part| if part == EMPTY { "" } else { part }).collect::<Vec<_>>().join("|")
            };
            let mut body = body;
            pollers_of(&mut body);
            body["configuration"]["event.poller.urls"] = json!(rows.iter().map(line).collect::<Vec<_>>().join("\n"));
            let imported = import_one(&body);
            assert_every_field_once(&body, &imported);
            assert_eq!(in_order(spec(&imported)), expected, "{}\n{}", rows[0].key, imported.report);
            *tried.entry("lines").or_insert(0) += 1;
        }
    }
    assert!(tried.len() == 12 && tried.values().all(|count| *count > 30), "{tried:?}");
}

/// Resources that are named and nothing else, as in the settings of Pardot, Zendesk and Salesforce.
#[test]
fn names_alone_are_resources_of_the_entry_or_questions() {
    // By key and setting: for each name, the URL in the manifest and whether a person is asked about it.
    type Named = (&'static str, Option<&'static str>, bool);
    let cases: [(&str, &str, &str, &[Named]); 5] = [
        (
            "pardot",
            "event.poller.urls",
            "contacts|leads",
            &[("contacts", Some("/contacts"), true), ("leads", Some("/leads"), true)],
        ),
        (
            "hubspot",
            "event.poller.urls",
            "contacts\naccounts\nopportunities",
            &[
                ("contacts", None, false),
                ("accounts", Some("/hubs/crm/accounts"), false),
                ("opportunities", Some("/hubs/crm/opportunities"), false),
            ],
        ),
        (
            "zendesk",
            "event.objects",
            "incidents, users,brands",
            &[
                ("incidents", Some("/hubs/helpdesk/incidents"), false),
                ("users", None, false),
                ("brands", Some("/brands"), true),
            ],
        ),
        (
            "sfdc",
            "event.objects",
            "Account,Contact",
            &[("Account", Some("/Account"), true), ("Contact", Some("/Contact"), true)],
        ),
        ("quickbooks", "event.poller.urls", "invoices", &[("invoices", Some("/invoices"), true)]),
    ];
    for (key, setting, text, expected) in cases {
        let row = Row { key, auth: "O2", ..rows().swap_remove(0) };
        let mut body = row.body(Value::Null);
        pollers_taken(&mut body);
        body["configuration"][setting] = json!(text);
        let imported = import_one(&body);
        assert_plans(&imported);
        assert_every_field_once(&body, &imported);
        let resources = spec(&imported)["resources"].clone();
        let found = resources.as_array().unwrap().iter().map(|one| (one["name"].as_str().unwrap(), one["url"].as_str()));
        assert_eq!(found.collect::<Vec<_>>(), expected.iter().map(|(name, url, _)| (*name, *url)).collect::<Vec<_>>());
        let open = open(&imported);
        for (index, (name, _, is_asked)) in expected.iter().enumerate() {
            let place = Place::default().member("configuration").member(setting).item(index).to_string();
            assert_eq!(open.contains_key(&place), *is_asked, "{key} {name}\n{}", imported.report);
        }
    }
}

/// Every macro that is left in a manifest, and what it asks for when the cursor is at noon of a summer's day.
#[test]
fn the_macros_of_the_table_say_when() {
    let time = |text: &str| text.parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    let context = MacroContext {
        since: Some(time("2026-07-01T12:00:00Z")),
        now: time("2026-07-01T12:15:00Z"),
        until: time("2026-07-01T12:15:00Z"),
        since_format: &DateFormat::default(),
        token: None,
    };
    let mut found = BTreeMap::new();
    for row in rows() {
        let resource = row.resource();
        let texts = resource["query"].as_object().into_iter().flat_map(|query| query.values()).chain([&resource["url"]]);
        for text in texts.filter_map(Value::as_str).flat_map(|text| text.split("${").skip(1)) {
            let text = format!("${{{}}}", text.split('}').next().unwrap());
            let rendered = Template::parse(&text).unwrap().render(&context, Rendered::Header);
            found.insert(text, rendered);
        }
    }
    let expected = [
        ("${DateTimeZone:PST:yyyy-MM-dd'T'HH:mm:ss.SSS}", "2026-07-01T04:59:59.999"),
        ("${date:MM/dd/yyy'T'HH:mm:ssXXX}", "07/01/2026T11:59:59Z"),
        ("${date:yyyy-MM-dd'T'HH:mm:ss'Z'}", "2026-07-01T11:59:59Z"),
        ("${date:yyyy-MM-dd'T'HH:mm:ss.SSS'Z'}", "2026-07-01T11:59:59.999Z"),
        ("${date:yyyy-MM-dd'T'HH:mm:ss.SSS}", "2026-07-01T11:59:59.999"),
        ("${date:yyyy-MM-dd'T'HH:mm:ssXXX}", "2026-07-01T11:59:59Z"),
        ("${date:yyyy-MM-dd'T'HH:mm:ssZ}", "2026-07-01T11:59:59+0000"),
        ("${date:yyyy-MM-dd'T'HH:mm:ss}", "2026-07-01T11:59:59"),
        ("${date:yyyy-MM-dd}", "2026-06-30"),
        ("${date}", "2026-07-01T11:59:59Z"),
        ("${dateTimeZone:America/Denver:yyyy-MM-dd'T'HH:mm:ssXXX}", "2026-07-01T05:59:59-06:00"),
        ("${dateTimeZone:CST:yyyy-MM-dd'T'HH:mm:ssXXX}", "2026-07-01T06:59:59-05:00"),
        ("${dateTimeZone:GMT:yyyy-MM-dd HH:mm:ss}", "2026-07-01 11:59:59"),
        ("${dateTimeZone:GMT:yyyy-MM-dd'T'HH:mm:ss}", "2026-07-01T11:59:59"),
        ("${dateTimeZone:PST:yyyy-MM-dd HH:mm:ss Z}", "2026-07-01 04:59:59 -0700"),
        ("${epoch:0}", "1782907199999"),
        ("${epoch:ms}", "1782907199999"),
        ("${epoch:s}", "1782907199"),
        ("${epoch}", "1782907199999"),
        ("${gmtDate:MM/dd/yyyy HH:mm:ss}", "07/01/2026 11:59:59"),
        ("${gmtDate:yyyy-MM-dd HH:mm:ss}", "2026-07-01 11:59:59"),
        ("${gmtDate:yyyy-MM-dd'T'HH:mm:ss'Z'}", "2026-07-01T11:59:59Z"),
        ("${gmtDate:yyyy-MM-dd'T'HH:mm:ss.SSS'Z'}", "2026-07-01T11:59:59.999Z"),
        ("${gmtDate:yyyy-MM-dd'T'HH:mm:ss.SSSXXX}", "2026-07-01T11:59:59.999Z"),
        ("${gmtDate:yyyy-MM-dd'T'HH:mm:ssXXX}", "2026-07-01T11:59:59Z"),
        ("${gmtDate:yyyy-MM-dd'T'HH:mm:ss}", "2026-07-01T11:59:59"),
        ("${gmtDate:yyyy-MM-dd'T'HH:mmz}", "2026-07-01T11:59GMT"),
        ("${milliseconds}", "1782907199999"),
        ("${nowTimeZone:GMT:yyyy-MM-dd'T'HH:mm:ss}", "2026-07-01T12:15:00"),
        ("${since}", "2026-07-01T11:59:59Z"),
    ];
    let expected: BTreeMap<_, _> = expected.map(|(text, rendered)| (text.to_owned(), rendered.to_owned())).into();
    assert_eq!(found, expected);
}
