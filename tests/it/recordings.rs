//! Exchanges with an API are recorded without what is anyone's, and an entry of the catalog is checked against them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::rig::canary::{self, ODD_PASSWORD, PASSWORD, TOKEN, USER};
use crate::rig::http::{Answer, Ask, Server};
use crate::rig::manifest;
use crate::rig::pollinator::{Site, binary};
use crate::rig::real_server::{Kind, RealServer};
use crate::rig::traffic::Records as _;

/// What is someone's: in the account, in records, around them, in headers and in links.
const PERSONAL: [&str; 16] = [
    "acme-widgets",
    "Lovelace",
    "ada@lovelace.example",
    "7946",
    "1815-12-10",
    "London",
    "cus_Ada7",
    "cus_Grace9",
    "90071992547409",
    "Hopper",
    "s3ss10n",
    "QWRhTG92ZWxhY2U",
    "lovelace.example/ada",
    "secret-note",
    "4711",
    "Ada",
];

/// Two pages of customers and what changed since; and a list that answers with an error that names people and secrets.
fn shop(ask: &Ask) -> Answer {
    let bearer = ask.header("authorization").unwrap_or_default();
    assert_eq!(bearer, format!("Bearer {TOKEN}"), "{}", ask.target);
    let query = ask.query();
    let get = |name: &str| query.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
    let page = |body: String| {
        Answer::json(body)
            .header("Set-Cookie", "session=s3ss10n")
            .header("X-Account-Owner", "Lovelace")
            .header("X-Total-Count", "3")
    };
    let customer = |id: &str, name: &str, number: &str, updated: &str| {
        format!(
            r#"{{"id":"{id}","number":{number},"updated_at":"{updated}","name":"{name}","mail":"ada@lovelace.example","phone":"+44 20 7946 0958",
                "born":"1815-12-10","address":{{"city":"London"}},"notes":["secret-note {TOKEN}"],"balance":-4711.25,"parent":"cus_Ada7",
                "by_mail":{{"ada@lovelace.example":true,"1815":1}},"home":"https://lovelace.example/ada","vip":true,"deleted":false}}"#
        )
    };
    if ask.path() == "/v1/acme-widgets/invoices" {
        return Answer::json(format!(r#"{{"error":"Ada Lovelace may not, with {bearer}"}}"#)).with_status(403);
    }
    assert_eq!((ask.path(), get("shop")), ("/v1/acme-widgets/customers", Some("acme-widgets")), "{}", ask.target);
    let host = ask.header("host").unwrap_or_default();
    match (get("cursor"), get("since")) {
        (None, Some(since)) if since.starts_with("1970") => {
            let next = format!(
                "http://{host}/v1/acme-widgets/customers?shop=acme-widgets&since={since}&limit=2&cursor=QWRhTG92ZWxhY2U&access_token={TOKEN}"
            );
            let rows = [
                customer("cus_Ada7", "Ada Lovelace", "9007199254740993", "2026-01-02T03:04:05Z"),
                customer("cus_Grace9", "Grace Hopper", "7", "2026-01-03T00:00:00Z"),
            ];
            page(format!(
                r#"{{"owner":{{"name":"Ada","number":4711}},"total":3,"customers":[{}],"next":"{next}"}}"#,
                rows.join(",")
            ))
        }
        (Some("QWRhTG92ZWxhY2U"), Some(_)) => {
            let row = customer("cus_Mary", "Mary", "8", "2026-01-04T00:00:00Z");
            page(format!(r#"{{"owner":{{"name":"Ada"}},"total":3,"customers":[{row}],"next":null}}"#))
        }
        (None, Some(since)) => {
            assert!(since.starts_with("2026-01-03T23:59:5"), "{since}");
            let row = customer("cus_Ada7", "Ada Lovelace", "9007199254740993", "2026-01-05T00:00:00Z");
            page(format!(r#"{{"owner":{{"name":"Ada"}},"total":1,"customers":[{row}],"next":null}}"#))
        }
        _ => panic!("{}", ask.target),
    }
}

const SHOP: &str = "\
apiVersion: pollinator.dev/v1alpha1
kind: Connector
metadata: {name: shop}
spec:
  baseUrl: https://api.shop.example/v1/{account}
  parameters: [{name: account, description: The account.}]
  auth: {bearer: {}}
  pagination: {nextLink: {field: next}}
  resources:
  - name: customers
    url: /customers
    query: {shop: '{account}', since: '${since}', limit: '2'}
    recordsPath: customers
    idField: id
    datesConfiguration: {updatedDateField: updated_at}
    deletes: {flag: {field: deleted}}
  - name: invoices
    url: /invoices
    recordsPath: invoices
";

/// A site with a catalog folder that has one entry.
fn site(key: &str, entry: &str, instance: String) -> (Site, PathBuf) {
    let site = Site::new(&[instance]);
    let catalog = site.path().join("catalog");
    write_entry(&catalog, key, entry);
    (site, catalog)
}

fn write_entry(catalog: &Path, key: &str, entry: &str) {
    fs::create_dir_all(catalog.join(key)).unwrap();
    fs::write(catalog.join(key).join("connector.yaml"), entry).unwrap();
}

fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = binary().args(arguments).output().expect("it runs");
    let said = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    assert_eq!(canary::find_in(&said), None, "{said}");
    (status.code(), said)
}

fn record(site: &Site, catalog: &Path) -> (Option<i32>, String) {
    let catalog = catalog.to_str().unwrap();
    run(&["record", site.manifests().to_str().unwrap(), "--catalog", catalog, "--out", catalog])
}

fn verify(key: &str, catalog: &Path) -> (Option<i32>, String) {
    run(&["verify", key, "--dir", catalog.to_str().unwrap()])
}

#[test]
fn what_is_anyones_is_in_no_recording_and_the_entry_is_checked_against_it() {
    let server = Server::start(shop);
    let instance = format!(
        "apiVersion: pollinator.dev/v1alpha1\nkind: ConnectorInstance\nmetadata: {{name: shop, namespace: it}}\nspec:\n  connector: shop\n  \
         parameters: {{account: acme-widgets}}\n  baseUrl: {}/v1/acme-widgets\n  auth: {{bearer: {{secretRef: {{name: token, key: token}}}}}}\n  \
         callback: {{url: 'https://h.example/in'}}\n",
        server.url()
    );
    let (site, catalog) = site("shop", SHOP, instance);
    manifest::write(&site.manifests(), "token.yaml", &[manifest::secret("token", &[("token", TOKEN)])]);
    let (code, said) = record(&site, &catalog);
    assert_eq!(code, Some(1), "{said}");
    for line in [
        "it/shop, resource invoices\n  not recorded: Forbidden: auth: the provider answered 403",
        "  seen:         2 pages, 3 records, 3 ids, dated 2026-01-02T03:04:05Z to 2026-01-04T00:00:00Z\n",
        "  seen:         1 page, 1 record, 1 id, dated 2026-01-05T00:00:00Z\n",
        "catalog/shop/exchanges/customers.jsonl\n",
    ] {
        assert!(said.contains(line), "{line} is not in:\n{said}");
    }
    let folder = catalog.join("shop/exchanges");
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files, ["customers.jsonl"]);
    let text = fs::read_to_string(folder.join("customers.jsonl")).unwrap();
    assert_eq!(canary::find_in(&text), None, "{text}");
    let host = server.address().to_string();
    for personal in PERSONAL.into_iter().chain([host.as_str(), "127.0.0.1"]) {
        assert!(!text.contains(personal), "{personal} is in\n{text}");
    }
    // the same object is the same in all places, and the page leads on
    assert_eq!(text.matches(r#""id":"id-1""#).count(), 2, "{text}");
    assert_eq!(text.matches(r#""parent":"id-1""#).count(), 4, "{text}");
    for part in [
        r#""path":"/v1/replace-me/customers","query":[["limit","2"],["shop","replace-me"],["since","1970-01-01T00:00:00Z"]]"#,
        r#""next":"{origin}/v1/replace-me/customers?shop=replace-me&since=1970-01-01T00%3A00%3A00Z&limit=2&cursor=token-"#,
        r#""updated_at":"2026-01-02T03:04:05Z""#,
        r#""x-total-count":"3""#,
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    // an entry that does not fit the records replaces no recording
    write_entry(&catalog, "shop", &SHOP.replacen("idField: id", "idField: key", 1));
    let (code, said) = record(&site, &catalog);
    let why = "not recorded: 3 of 3 records have no id at idField";
    assert!(code == Some(1) && said.contains(why), "{said}");
    assert_eq!(fs::read_to_string(folder.join("customers.jsonl")).unwrap(), text);
    write_entry(&catalog, "shop", SHOP);
    drop(server);

    let (code, said) = verify("shop", &catalog);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(
        said,
        "shop, resource customers\n  seen:      2 pages, 3 records, 3 ids, dated 2026-01-02T03:04:05Z to 2026-01-04T00:00:00Z\n  seen:      1 \
         page, 1 record, 1 id, dated 2026-01-05T00:00:00Z, since 2026-01-04T00:00:00Z\nnot recorded: invoices\n"
    );
    for (from, to, why) in [
        ("idField: id", "idField: key", "3 of 3 records have no id at idField"),
        ("limit: '2'", "limit: '3'", "asks GET /v1/replace-me/customers?limit=3&"),
        ("limit: '2'", "limit: '3'", "does not ask GET /v1/replace-me/customers?limit=2&"),
        ("updatedDateField: updated_at", "updatedDateField: updated", "no record has updated;"),
        ("recordsPath: customers", "recordsPath: clients", "recordsPath"),
        ("{field: next}", "{field: after}", "PaginationUnclear"),
    ] {
        write_entry(&catalog, "shop", &SHOP.replacen(from, to, 1));
        let (code, said) = verify("shop", &catalog);
        assert_eq!(code, Some(1), "{from} → {to}\n{said}");
        assert!(said.contains("disagrees: ") && said.contains(why), "{why} is not in:\n{said}");
    }
}

#[test]
fn what_cannot_be_recorded_or_verified_says_why() {
    let bare = "apiVersion: pollinator.dev/v1alpha1\nkind: ConnectorInstance\nmetadata: {name: bare, namespace: it}\nspec:\n  baseUrl: \
                https://h.example\n  resources: [{name: a, url: /a}]\n  callback: {url: 'https://h.example/in'}\n";
    let (site, catalog) = site("shop", SHOP, bare.to_owned());
    let (code, said) = record(&site, &catalog);
    assert!(code == Some(1) && said.starts_with("it/bare: spec.connector: "), "{said}");
    let (code, said) = verify("shop", &catalog);
    assert!(code == Some(2) && said.contains("holds no recorded exchanges"), "{said}");
    let (code, said) = verify("githup", &catalog);
    assert!(code == Some(2) && said.contains("did you mean github?"), "{said}");
    let folder = catalog.join("shop/exchanges");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("customers.jsonl"), "nothing\n").unwrap();
    let (code, said) = verify("shop", &catalog);
    assert!(code == Some(2) && said.contains("line 1 is no line of a recording"), "{said}");
}

const KINTO: &str = "\
apiVersion: pollinator.dev/v1alpha1
kind: Connector
metadata: {name: kinto}
spec:
  baseUrl: https://kinto.example.com/v1
  auth: {basic: {}}
  pagination: {nextLink: {header: Next-Page}}
  resources:
  - name: appointments
    url: /buckets/crm/collections/appointments/records
    query: {_since: '${since}', _sort: last_modified, _limit: '4'}
    recordsPath: data
    idField: id
    datesConfiguration: {updatedDateField: last_modified, updatedDateFormat: milliseconds}
    deletes: {flag: {field: deleted}}
";

/// A server that this project did not write: pages, a deleted record, and what changed since.
#[test]
fn exchanges_with_kinto_are_recorded_and_verified_without_it() {
    let Some(server) = RealServer::start(Kind::Kinto) else { return };
    let mut records = &server;
    let id = |number: i64| format!("ada10000-1815-4bbb-8ccc-00000000000{number}");
    for number in 0..9 {
        records.create(&id(number), number);
    }
    records.delete(&id(3));
    let base = server.instance("real", "http://h.example/in").base_url;
    let instance = format!(
        "apiVersion: pollinator.dev/v1alpha1\nkind: ConnectorInstance\nmetadata: {{name: real, namespace: it}}\nspec:\n  connector: kinto\n  \
         baseUrl: {base}\n  auth: {{basic: {{secretRef: {{name: login}}}}}}\n  callback: {{url: 'https://h.example/in'}}\n"
    );
    let (site, catalog) = site("kinto", KINTO, instance);
    manifest::write(&site.manifests(), "login.yaml", &[RealServer::login()]);
    let (code, said) = record(&site, &catalog);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("3 pages, 9 records, 9 ids"), "{said}");
    drop(server);
    let text = fs::read_to_string(catalog.join("kinto/exchanges/appointments.jsonl")).unwrap();
    for personal in ["ada10000", "127.0.0.1", USER, PASSWORD, ODD_PASSWORD] {
        assert!(!text.contains(personal), "{personal} is in\n{text}");
    }
    let (code, said) = verify("kinto", &catalog);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("3 pages, 9 records, 9 ids") && said.contains(", since "), "{said}");
}
