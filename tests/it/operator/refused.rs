//! What is wrong in a manifest is said at apply, or, where only the operator can know, in `Ready` at once afterwards.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta};
use serde_json::{Value, json};

use crate::control_plane::judged::cases;
use crate::rig::canary;
use crate::rig::control_plane::shared;
use crate::rig::manifest::secret;
use crate::rig::operator::Cluster;

/// The issue asks for five seconds; a loaded machine gets more, the log of a quiet one shows tenths.
const SOON: TimeDelta = TimeDelta::seconds(15);

/// What the server takes and the operator does not: the reason, and what the sentence must say of field, cause and fix.
const KNOWN_LATER: &str = r#"
# the connector
- {name: unknown connector, spec: {connector: infusionsoft}, reason: ConnectorNotFound, says: [spec.connector, infusionsoft, "did you mean infusionsoftrest?"]}
- {name: connector far from any, spec: {connector: qqqqqqqq}, reason: ConnectorNotFound, says: [spec.connector, qqqqqqqq, "create the Connector"]}
- {name: parameter missing, without: base, spec: {connector: github}, says: [spec.parameters.owner, "required by the connector", spec.parameters.repo]}
- {name: parameter of another shape, without: base, spec: {connector: github, parameters: {owner: rust/lang, repo: rust}}, says: ["spec.parameters.owner must match [A-Za-z0-9_-]+", "The account that owns"]}
- {name: parameter misspelt, spec: {parameters: {accuont: a}, baseUrl: "https://api.example.com"}, says: [spec.parameters.accuont, "remove it"]}
- {name: hole that nobody fills, resource: {url: "/{account}/contacts"}, says: ["spec.resources[contacts].url", "set spec.parameters.account"]}
- {name: resource that the connector has not, without: base, spec: {connector: infusionsoftrest, resources: [{name: apointments}], auth: {oauth2: {secretRef: {name: s}}}}, says: ["spec.resources[apointments].url is required"]}
- {name: secret that the connector asks for, without: base, spec: {connector: infusionsoftrest}, says: [spec.auth.oauth2.secretRef is required, name the Secret]}
# requests
- {name: credentials in baseUrl, spec: {baseUrl: "https://user:word@api.example.com"}, says: [spec.baseUrl, "carries credentials", "Secret that spec.auth names"]}
- {name: unknown macro, resource: {headers: {x: "${sinse}"}}, says: ["spec.resources[contacts].headers.x", "unknown macro ${sinse}", known are since]}
- {name: macro not closed, resource: {query: {since: "${since"}}, says: ["spec.resources[contacts].query.since", "not closed by }"]}
- {name: macro not opened, resource: {query: {since: "$since}"}}, says: ["spec.resources[contacts].query.since", "without the opening brace"]}
- {name: macro without format, resource: {query: {since: "${gmtDate}"}}, says: ["spec.resources[contacts].query.since", "without a date format, as in ${gmtDate:"]}
- {name: macro with a bad format, resource: {query: {since: "${gmtDate:yyyy-MM-dd'T}"}}, says: ["spec.resources[contacts].query.since", "a quote ' that is not closed"]}
- {name: macro with a bad unit, resource: {query: {since: "${epoch:min}"}}, says: ["spec.resources[contacts].query.since", "known are s, ms and us"]}
- {name: macro with an argument, resource: {query: {since: "${since:yyyy}"}}, says: ["spec.resources[contacts].query.since", "it takes none"]}
- {name: cursor macro, resource: {query: {after: "${cursor}"}}, says: ["spec.resources[contacts].query has the macro ${cursor}", "set delta.token", "use ${since}"]}
- {name: header name, resource: {headers: {"a b": x}}, says: ["spec.resources[contacts].headers.a b is not a valid header name"]}
- {name: header with a line break, resource: {headers: {x: "a\nb"}}, says: ["spec.resources[contacts].headers.x", "line break"]}
# records and dates
- {name: idField, resource: {idField: a..b}, says: ["spec.resources[contacts].idField", "is not a path such as"]}
- {name: recordsPath, resource: {recordsPath: "data["}, says: ["spec.resources[contacts].recordsPath", "is not a path such as"]}
- {name: date field, resource: {datesConfiguration: {updatedDateField: "['a"}}, says: ["datesConfiguration.updatedDateField", "is not a path such as"]}
- {name: minutes for months, resource: {datesConfiguration: {updatedDateField: a, updatedDateFormat: yyyy-mm-dd}}, says: ["datesConfiguration.updatedDateFormat", "small and capital letters differ"]}
- {name: half a day, resource: {datesConfiguration: {createdDateField: a, createdDateFormat: "yyyy-MM-dd hh:mm:ss"}}, says: ["datesConfiguration.createdDateFormat", H is the 24-hour clock]}
- {name: no year, resource: {datesConfiguration: {updatedDateField: a, updatedDateFormat: "HH:mm:ss"}}, says: ["datesConfiguration.updatedDateFormat", has no year]}
- {name: zone, resource: {datesConfiguration: {updatedDateField: a, updatedDateTimezone: Mars/Olympus}}, says: ["datesConfiguration.updatedDateTimezone", "write a name such as America/Denver"]}
- {name: changeBy Updated, resource: {changeBy: Updated}, says: ["spec.resources[contacts].changeBy needs datesConfiguration.updatedDateField"]}
- {name: changeBy Created, resource: {changeBy: Created, datesConfiguration: {updatedDateField: a}}, says: ["changeBy needs datesConfiguration.createdDateField"]}
# pages
- {name: token in the body of GET, resource: {pagination: {token: {field: next, parameter: p, in: Body}}}, says: ["spec.resources[contacts].pagination.token.in", needs method POST]}
- {name: token in a bad header, resource: {pagination: {token: {field: next, parameter: "a b", in: Header}}}, says: ["pagination.token.parameter is not a valid header name"]}
- {name: next link at no path, resource: {pagination: {nextLink: {field: a..b}}}, says: ["pagination.nextLink.field", "is not a path such as"]}
# together
- {name: snapshots of what changed, resource: {url: /a, delta: {link: {field: next}}, deletes: {snapshot: {}}}, says: ["spec.resources[contacts].deletes.snapshot has no meaning with delta", deletes.flag]}
- {name: confirmation without an id, resource: {deletes: {snapshot: {confirm: {url: /contacts}}}}, says: ["spec.resources[contacts].deletes.snapshot.confirm.url must contain ${id}"]}
- {name: oauth2 with a parameter of its own, spec: {auth: {bearer: DELETE, oauth2: {grant: ClientCredentials, tokenUrl: "https://a.example/t", extraParameters: {client_secret: x}, secretRef: {name: s}}}}, says: [spec.auth.oauth2.extraParameters.client_secret cannot be set here]}
- {name: callback with consent, spec: {callback: {auth: {oauth2: {grant: RefreshToken, tokenUrl: "https://a.example/t", secretRef: {name: s}}}}}, says: [spec.callback.auth.oauth2.grant must be ClientCredentials]}
- {name: callback that would loop, spec: {callback: {url: "https://api.openconnectors.us2.ext.hana.ondemand.com/elements/api-v2/events/"}}, says: [spec.callback.url is an event endpoint of SAP Open Connectors, loop, "write the URL of the application"]}
# credentials
- {name: no such Secret, spec: {auth: {bearer: {secretRef: {name: absent}}}}, reason: SecretNotFound, says: [spec.auth.bearer, Secret absent does not exist, create it]}
- {name: no such key, spec: {auth: {bearer: {secretRef: {key: tokken}}}}, reason: SecretKeyMissing, says: [spec.auth.bearer, has no key tokken, add the key]}
- {name: empty key, spec: {auth: {bearer: {secretRef: {key: empty}}}}, reason: SecretInvalid, says: [spec.auth.bearer, key empty of Secret shop is empty]}
- {name: what a template left, spec: {auth: {bearer: {secretRef: {key: left}}}}, reason: SecretInvalid, says: [spec.auth.bearer, is the text null]}
- {name: no user name, spec: {auth: {bearer: DELETE, basic: {secretRef: {name: shop}}}}, reason: SecretKeyMissing, says: [spec.auth.basic, username]}
- {name: no signing key, spec: {callback: {signature: {secretRef: {name: absent, key: k}}}}, reason: SecretNotFound, says: [spec.callback.signature, Secret absent]}
- {name: a bad signing key, spec: {callback: {signature: {secretRef: {name: shop, key: bad}}}}, reason: SecretInvalid, says: [spec.callback.signature, key bad of Secret shop]}
- {name: no secret headers, spec: {callback: {headersSecretRef: {name: absent}}}, reason: SecretNotFound, says: [spec.callback.headersSecretRef, Secret absent]}
# addresses
- {name: metadata service, spec: {baseUrl: "http://169.254.169.254/latest"}, reason: EgressDenied, says: [baseUrl, "169.254.169.254", --allow-egress]}
- {name: private provider, spec: {baseUrl: "https://10.0.0.1/api"}, reason: EgressDenied, says: [baseUrl, "10.0.0.1", --allow-egress]}
"#;

#[test]
fn a_bad_manifest_is_refused_at_apply_or_told_at_once() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "refused");
    let entries = [("token", canary::TOKEN), ("empty", ""), ("left", "null"), ("bad", "whsec_no base64")];
    cluster.apply_yaml(&secret("shop", &entries));
    let operator = cluster.start();
    operator.wait_stderr("everything is listed");
    let manifest = |case: &Value, name: &str| {
        let mut object = cases::object(case);
        if object["metadata"]["namespace"] == "crm" {
            object["metadata"]["namespace"] = json!(cluster.ns.name());
        }
        if !name.is_empty() {
            object["metadata"]["name"] = json!(name);
        }
        object
    };
    let create =
        |object: &Value| cluster.ns.api().create(&format!("{}?fieldValidation=Strict", cluster.ns.instances()), object);
    let mut wrong = Vec::new();

    // at apply; that the words are the right ones is `control_plane::judged`'s matter
    let refused = cases::cases(cases::REFUSED);
    for case in &refused {
        let reply = create(&manifest(case, ""));
        let says = case["says"][0].as_str().unwrap();
        let told = says.split_once("unknown field \"").map_or(says, |(_, unknown)| unknown);
        let field = told.split([':', '"']).next().unwrap().rsplit(['.', ' ']).next().unwrap();
        let field = field.trim_end_matches(|c: char| !c.is_alphanumeric());
        if !matches!(reply.status, 400 | 422) || !reply.message().contains(field) {
            wrong.push(format!("{}: {} does not name {field}: {}", case["name"], reply.status, reply.message()));
        }
    }
    assert!(cluster.ns.api().get(&cluster.ns.instances()).ok()["items"].as_array().unwrap().is_empty());

    // afterwards
    let later = cases::cases(KNOWN_LATER);
    assert!(refused.len() + later.len() >= 100 && later.len() >= 40, "{} and {}", refused.len(), later.len());
    for (index, case) in later.iter().enumerate() {
        let reply = create(&manifest(case, &format!("bad-{index}")));
        if reply.status != 201 {
            wrong.push(format!("{}: {} {}", case["name"], reply.status, reply.message()));
        }
    }
    let mut slowest = TimeDelta::zero();
    for (index, case) in later.iter().enumerate() {
        let path = cluster.ns.instance(&format!("bad-{index}"));
        let begun = Instant::now();
        let seen = cluster.ns.api().try_wait(&path, Duration::from_mins(1), |instance| {
            let conditions = instance["status"]["conditions"].as_array()?;
            let find = |kind: &str| conditions.iter().find(|one| one["type"] == kind).cloned();
            let ready = find("Ready").filter(|ready| ready["status"] == "False")?;
            Some((ready, find("Stalled"), instance["metadata"]["creationTimestamp"].clone()))
        });
        let (ready, stalled, created) = match seen {
            Ok(seen) => seen,
            Err(last) => {
                wrong.push(format!("{}: not told after {:?}: {}", case["name"], begun.elapsed(), last["status"]));
                continue;
            }
        };
        let (reason, message) = (case["reason"].as_str().unwrap_or("InvalidSpec"), ready["message"].as_str().unwrap());
        let unsaid: Vec<_> =
            case["says"].as_array().unwrap().iter().filter(|says| !message.contains(says.as_str().unwrap())).collect();
        if ready["reason"] != reason || !unsaid.is_empty() {
            wrong.push(format!("{}: {}: {message}\n    unsaid {unsaid:?}", case["name"], ready["reason"]));
        }
        if stalled.is_none_or(|stalled| stalled["message"] != ready["message"]) {
            wrong.push(format!("{}: not stalled", case["name"]));
        }
        let at = |time: &Value| DateTime::parse_from_rfc3339(time.as_str().unwrap()).unwrap();
        slowest = slowest.max(at(&ready["lastTransitionTime"]) - at(&created));
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), refused.len() + later.len(), wrong.join("\n"));
    println!("{} refused at apply, {} told afterwards, the last after {slowest}", refused.len(), later.len());
    assert!(slowest <= SOON, "told after {slowest}");
    assert_eq!(cluster.provider.asked(), 0);
}
