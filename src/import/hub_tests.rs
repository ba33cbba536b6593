use super::*;
use crate::api::connector::ConnectorSpec;
use crate::api::resource::Resource;

/// One entry with a parameter of its own, and how the list of contacts is filtered by its definition.
fn entry(parameters: &[(&str, &str)]) -> ConnectorSpec {
    let query = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let resource = Resource { name: "contacts".to_owned(), url: Some("/people".to_owned()), query, ..Resource::default() };
    let hub_paths = vec!["/hubs/crm/contacts".to_owned()];
    ConnectorSpec { resources: vec![crate::import::stub::list(hub_paths, resource)], ..ConnectorSpec::default() }
}

fn pairs(found: &Translated) -> Vec<String> {
    found.query.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

#[test]
fn an_entry_filters_in_its_own_way_and_takes_the_parameters_that_it_has() {
    let spec = entry(&[("status", "any")]);
    let known = Known { spec: Some(&spec), filters: None };
    for (url, query, verdict, part) in [
        ("/hubs/crm/contacts", vec![], Verdict::Kept, "url of the resource"),
        (
            "/hubs/crm/contacts?where=lastUpdated>'${date:yyyy-MM-dd}'",
            vec![],
            Verdict::Changed,
            "asks for what is new in its own way",
        ),
        (
            "/hubs/crm/contacts?where=a>'${date}' and status='open'",
            vec!["status=open"],
            Verdict::Changed,
            "status is the connector's",
        ),
        ("/hubs/crm/contacts?where=a%3E'${date}'%20and%20status%3D'open'", vec!["status=open"], Verdict::Changed, "status is"),
        ("/hubs/crm/contacts?where=colour='red'", vec![], Verdict::ToDo, "the comparison of colour is left out"),
        ("/hubs/crm/contacts?where=status>'open'", vec![], Verdict::ToDo, "the comparison of status is left out"),
        ("/hubs/crm/contacts?where=status='a' or status='b'", vec![], Verdict::ToDo, "an or in the where"),
        ("/hubs/crm/contacts?where=contains(a,b)", vec![], Verdict::ToDo, "not a list of comparisons"),
        ("/hubs/crm/contacts?includeDeleted=true", vec![], Verdict::ToDo, "the comparison of includeDeleted"),
        ("/hubs/crm/contacts?pageSize=5&orderBy=Id", vec![], Verdict::Changed, "pageSize is left out"),
        ("/hubs/crm/contacts?where=a>='${date}''", vec![], Verdict::Changed, "an extra quote"),
    ] {
        let found = translate(url, "contacts", known, "GMT");
        let query: Vec<_> = query.into_iter().map(str::to_owned).collect();
        assert_eq!(
            (found.url.as_deref(), pairs(&found), found.verdict().0),
            (Some("/hubs/crm/contacts"), query, verdict),
            "{url}"
        );
        assert!(found.verdict().1.contains(part), "{url}: {}", found.verdict().1);
    }
    let lacking = translate("/hubs/crm/leads?where=a>'${date}'", "leads", known, "GMT");
    assert_eq!((lacking.url.as_deref(), lacking.verdict().0), (Some("/leads"), Verdict::ToDo));
}

#[test]
fn a_definition_says_how_a_where_reaches_the_provider() {
    let spec = entry(&[]);
    let url = "/hubs/crm/contacts?where=lastUpdated>'${date:yyyy-MM-dd}' and a='b'";
    for (filter, query, verdict) in [
        (Filter::Parameters, vec!["a=b", "lastUpdated=${date:yyyy-MM-dd}"], Verdict::Changed),
        (Filter::Whole("q".to_owned()), vec!["q=lastUpdated>'${date:yyyy-MM-dd}' and a='b'"], Verdict::Changed),
        (Filter::Rewritten("$filter".to_owned()), vec!["$filter=lastUpdated>'${date:yyyy-MM-dd}' and a='b'"], Verdict::ToDo),
    ] {
        let filters = BTreeMap::from([("contacts".to_owned(), filter)]);
        let found = translate(url, "contacts", Known { spec: Some(&spec), filters: Some(&filters) }, "GMT");
        assert_eq!((pairs(&found), found.verdict().0), (query.into_iter().map(str::to_owned).collect(), verdict));
    }
}

#[test]
fn without_an_entry_all_is_a_guess() {
    for (url, name, query, part) in [
        ("/hubs/crm/contacts?where=a>'${date:yyyy-MM-dd}'", "/hubs/crm/contacts", vec!["a=${date:yyyy-MM-dd}"], "a guess"),
        ("/hubs/crm/contacts?where=a>='<10 digit unix s>'", "/hubs/crm/contacts", vec!["a=${since}"], "had a placeholder"),
        ("/hubs/crm/x?where=a='${date}' or b='${date}'", "/hubs/crm/x", vec!["where=a='${date}' or b='${date}'"], "has an or"),
        ("/hubs/crm/x?key=<INSERT_UPDATE_KEY>", "/hubs/crm/x", vec!["key={key}"], "had a placeholder"),
        ("/clients/startingFrom=${epoch:0}", "/clients/startingFrom=${epoch:0}", vec![], "not a hub path"),
        ("/hubs/crm/contacts'", "/hubs/crm/contacts", vec![], "an extra quote"),
        ("/hubs/social/<INSERT_ID>/likes", "/hubs/social/{INSERT_ID}/likes", vec![], "the hub path stays"),
        (
            "/hubs/crm/x?filter=a gte '${since}'&b=1",
            "/hubs/crm/x",
            vec!["b=1", "filter=a gte '${since}'"],
            "query.filter is as in",
        ),
    ] {
        let found = translate(url, "x", Known::default(), "GMT");
        assert_eq!(
            (found.url.as_deref(), pairs(&found)),
            (Some(name), query.into_iter().map(str::to_owned).collect()),
            "{url}"
        );
        assert!(found.verdict().1.contains(part), "{url}: {}", found.verdict().1);
    }
    let wanted = translate("/hubs/social/<INSERT_ID>/likes/{id}", "x", Known::default(), "GMT").wanted;
    assert_eq!(wanted, ["INSERT_ID", "id"]);
}

#[test]
fn a_secret_in_a_url_leaves_it() {
    let found = translate("/hubs/crm/contacts?api_key=hunter2&where=token='hunter3'", "x", Known::default(), "GMT");
    assert_eq!(found.secrets, [("api_key".to_owned(), "hunter2".to_owned()), ("token".to_owned(), "hunter3".to_owned())]);
    assert_eq!((found.query.len(), found.verdict().0), (0, Verdict::ToDo));
    assert!(!found.verdict().1.contains("hunter"));
}
