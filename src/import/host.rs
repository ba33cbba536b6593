//! The settings that say where a provider's account is: Open Connectors calls them `subdomain`, `zendesk.subdomain` or `site.address`
//! where a connector has a parameter of another name, and their values are names, hosts or whole URLs.

use std::collections::BTreeMap;

use super::fields::Fields;
use super::value::Said;
use crate::api::connector::ConnectorSpec;
use crate::api::nearest::plain;

/// What settings, query parameters and parameters are called that name an account's host or its first part.
const WORDS: [&str; 20] = [
    "subdomain",
    "domain",
    "domainname",
    "companydomain",
    "site",
    "siteaddress",
    "siteurl",
    "sitename",
    "instance",
    "instancename",
    "instanceurl",
    "host",
    "hostname",
    "shop",
    "shopname",
    "store",
    "storename",
    "tenant",
    "accountname",
    "workspace",
];

/// The parameter that has the name of a setting, or of its last part: `zendesk.subdomain` fills `subdomain`, and `company.name`
/// fills `company-name`. `parameters` are their names by those in small letters.
pub(super) fn own<'a>(setting: &str, parameters: &'a BTreeMap<String, String>) -> Option<&'a String> {
    let lower = setting.to_ascii_lowercase();
    let last = lower.rsplit('.').next().unwrap_or_default();
    parameters.get(&lower).or_else(|| parameters.get(&lower.replace('.', "-"))).or_else(|| parameters.get(last))
}

/// Whether a setting, or a query parameter, names the account's host by what it is called.
pub(crate) fn is_word(setting: &str) -> bool {
    let reserved = ["event.", "oauth.", "bulk.", "pagination."].iter().any(|start| setting.starts_with(start));
    let last = setting.rsplit('.').next().unwrap_or_default();
    !reserved && [plain(setting), plain(last)].iter().any(|name| WORDS.contains(&name.as_str()))
}

/// The parameter that a connector's host begins with, as in `https://{domain}.freshdesk.com`.
pub(crate) fn leading(template: &str) -> Option<&str> {
    let (_, host) = template.split_once("://")?;
    let name = host.strip_prefix('{')?.split_once('}')?.0;
    is_word(name).then_some(name)
}

/// The setting that fills the parameter which the connector's host begins with, and that parameter, when none has its own name.
pub(super) fn parameter(
    spec: &ConnectorSpec,
    settings: &Fields,
    parameters: &BTreeMap<String, String>,
) -> Option<(String, String)> {
    let name = leading(spec.base_url.as_deref()?)?;
    let says = |value| matches!(Said::of(value), Said::Text(_));
    let is_own = |setting: &str| own(setting, parameters).is_some_and(|own| own == name);
    if settings.iter().any(|field| is_own(&field.name) && says(&field.value)) {
        return None;
    }
    let found = settings.iter().find(|field| is_word(&field.name) && says(&field.value))?;
    Some((found.name.clone(), name.to_owned()))
}

/// What a value is for a placeholder of a host: `acme` of `https://acme.freshdesk.com/a` in `https://{domain}.freshdesk.com`. Other
/// values, and those of other places, stay as they are.
pub(crate) fn part(value: &str, name: &str, template: &str) -> String {
    let is_address = value.contains("://") || value.contains('.');
    let (Some((_, behind)), true) = (template.split_once("://"), is_address) else { return value.to_owned() };
    let place = format!("{{{name}}}");
    let Some((before, after)) = behind.split('/').next().unwrap_or_default().split_once(&place) else {
        return value.to_owned();
    };
    let host = value.split_once("://").map_or(value, |(_, rest)| rest);
    let host = host.split(['/', '?', '#']).next().unwrap_or_default();
    let inner = host.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)).filter(|inner| !inner.is_empty());
    inner.unwrap_or(if value.contains("://") && before.is_empty() && after.is_empty() { host } else { value }).to_owned()
}

/// A URL whose placeholders are filled by the settings of their names, or whose names end in them; `None`: one has no value.
pub(super) fn filled(url: &str, settings: &Fields) -> Option<String> {
    let mut filled = String::with_capacity(url.len());
    let mut rest = url;
    while let Some((before, behind)) = rest.split_once('{') {
        let (name, after) = behind.split_once('}')?;
        let ending = format!(".{name}").to_ascii_lowercase();
        let named = settings.iter().find(|field| field.name.to_ascii_lowercase().ends_with(&ending));
        let Said::Text(value) = Said::of(&settings.peek(name).or(named)?.value) else { return None };
        filled.push_str(before);
        filled.push_str(&part(&value, name, url));
        rest = after;
    }
    filled.push_str(rest);
    Some(filled)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::import::fields::Place;

    #[test]
    fn words_of_hosts() {
        for name in ["subdomain", "zendesk.subdomain", "site.address", "siteAddress", "Instance", "host-name", "shop_name"] {
            assert!(is_word(name), "{name}");
        }
        for name in ["event.host", "dc", "region", "username", "bulk.domain", ""] {
            assert!(!is_word(name), "{name}");
        }
        assert_eq!(leading("https://{domain}.freshdesk.com/api"), Some("domain"));
        assert_eq!(
            [leading("https://{dc}.api.mailchimp.com"), leading("https://api.{site}"), leading("/a")],
            [None, None, None]
        );
    }

    #[test]
    fn an_address_is_reduced_to_the_part_that_is_meant() {
        let template = "https://{domain}.freshdesk.com/api/v2";
        for (value, part_of) in [
            ("acme", "acme"),
            ("https://acme.freshdesk.com", "acme"),
            ("https://acme.freshdesk.com/a/b?c", "acme"),
            ("acme.freshdesk.com", "acme"),
            ("https://other.example", "https://other.example"),
            ("a.b", "a.b"),
            ("", ""),
        ] {
            assert_eq!(part(value, "domain", template), part_of, "{value}");
        }
        assert_eq!(part("https://shop.example/x", "host", "https://{host}/wp-json"), "shop.example");
        assert_eq!(part("https://acme.example", "owner", template), "https://acme.example");
    }

    #[test]
    fn a_setting_fills_the_parameter_that_is_meant() {
        let names = |names: &[&str]| names.iter().map(|name| (name.to_ascii_lowercase(), (*name).to_owned())).collect();
        let parameters: BTreeMap<String, String> = names(&["subDomain", "company-name"]);
        for (setting, parameter) in [("zendesk.subdomain", "subDomain"), ("company.name", "company-name")] {
            assert_eq!(own(setting, &parameters).map(String::as_str), Some(parameter));
        }
        let spec = ConnectorSpec { base_url: Some("https://{site}.example.com".to_owned()), ..ConnectorSpec::default() };
        let by = |settings: serde_json::Value| {
            let fields = Fields::of(&Place::default(), settings.as_object().unwrap());
            parameter(&spec, &fields, &names(&["site"])).map(|(setting, _)| setting)
        };
        assert_eq!(by(json!({"username": "u", "acme.subdomain": "x"})).as_deref(), Some("acme.subdomain"));
        assert_eq!(by(json!({"site": "y", "acme.subdomain": "x"})), None, "another has its name");
        assert_eq!(by(json!({"acme.subdomain": ""})), None);
    }

    #[test]
    fn a_url_is_filled_by_settings() {
        let settings = json!({"acme.subdomain": "x", "port": 8443, "empty": ""});
        let settings = Fields::of(&Place::default(), settings.as_object().unwrap());
        for (url, expected) in [
            ("https://{subdomain}.example.com:{port}/a", Some("https://x.example.com:8443/a")),
            ("https://{empty}.a", None),
            ("https://{other}.a", None),
            ("https://{open", None),
            ("https://a", Some("https://a")),
        ] {
            assert_eq!(filled(url, &settings).as_deref(), expected, "{url}");
        }
    }
}
