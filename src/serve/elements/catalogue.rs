//! What is asked of connectors, which Open Connectors calls elements.

use axum::Json;
use axum::extract::RawQuery;
use serde_json::{Value, json};
use url::Url;

use super::change::connector_of;
use super::failure::Failure;
use super::instances::At;
use super::paging::page;
use super::{Caller, shown};
use crate::api::connector::{ConnectorAuth, ConnectorSpec};
use crate::import::host;

/// `GET /elements`.
pub async fn list(caller: Caller, RawQuery(query): RawQuery) -> Result<Json<Value>, Failure> {
    let (instances, namespace) = (&caller.realm.instances, &caller.realm.new_in);
    let mut all = Vec::new();
    for key in instances.connectors(namespace).await? {
        // One that was deleted in between is no connector any more.
        if let Some(connector) = instances.connector(namespace, &key).await? {
            all.push(shown::element(&key, Some(&connector)));
        }
    }
    Ok(Json(Value::Array(page(query.as_deref(), all)?)))
}

/// `GET /elements/{key}`.
pub async fn show(caller: Caller, At(key): At<String>) -> Result<Json<Value>, Failure> {
    let (key, connector) = connector_of(&caller.realm, &key).await?;
    Ok(Json(shown::element(&key, Some(&connector))))
}

/// `GET /elements/{key}/metadata`.
pub async fn metadata(caller: Caller, At(key): At<String>) -> Result<Json<Value>, Failure> {
    let (key, connector) = connector_of(&caller.realm, &key).await?;
    Ok(Json(shown::metadata(&key, &connector)))
}

/// `GET /elements/{key}/oauth/url`: where a person gives consent, and from where the code comes.
pub async fn oauth_url(caller: Caller, At(key): At<String>, RawQuery(query): RawQuery) -> Result<Json<Value>, Failure> {
    let (key, connector) = connector_of(&caller.realm, &key).await?;
    let url = consent_url(&key, &connector, &query.unwrap_or_default())?;
    Ok(Json(json!({"oauthUrl": url, "element": key})))
}

/// The value of a query parameter that is called as a setting is: `zendesk.subdomain`.
fn named<'a>(asked: &'a [(String, String)], parameter: &str, template: &str) -> Option<&'a str> {
    let is_meant = |name: &str| {
        let last = name.rsplit('.').next().unwrap_or_default();
        last.eq_ignore_ascii_case(parameter) || host::is_word(name) && host::leading(template) == Some(parameter)
    };
    asked.iter().find(|(name, value)| is_meant(name) && !value.is_empty()).map(|(_, value)| value.as_str())
}

/// The authorization request (RFC 6749 §4.1.1).
fn consent_url(key: &str, connector: &ConnectorSpec, query: &str) -> Result<String, Failure> {
    let asked: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let given =
        |name: &str| asked.iter().find(|(other, value)| other == name && !value.is_empty()).map(|(_, value)| value.as_str());
    let needed = |name: &str| given(name).ok_or_else(|| Failure::unusable(format!("the query parameter {name} is missing")));
    let (client, callback) = (needed("apiKey")?, needed("callbackUrl")?);
    let Some(ConnectorAuth::Oauth2(auth)) = &connector.auth else {
        return Err(Failure::unusable("this connector needs no consent: it does not use OAuth 2.0"));
    };
    let Some(endpoint) = &auth.authorization_url else {
        return Err(Failure::unusable(
            "the URL at which this connector's provider asks for consent is unknown; obtain the code from the provider",
        ));
    };
    let mut endpoint = endpoint.clone();
    for parameter in &connector.parameters {
        let place = format!("{{{}}}", parameter.name);
        if endpoint.contains(&place) {
            let template = endpoint.as_str();
            let value = given(&parameter.name).or_else(|| named(&asked, &parameter.name, template));
            let value = value.or_else(|| given("siteAddress")).or(parameter.default_value.as_deref());
            let value = value.map(|value| host::part(value, &parameter.name, template));
            let value = value.filter(|value| value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)));
            let value = value.ok_or_else(|| {
                let name = &parameter.name;
                Failure::unusable(format!("the query parameter {name} (or siteAddress) is missing, or is not part of a URL"))
            })?;
            endpoint = endpoint.replace(&place, &value);
        }
    }
    let mut url = Url::parse(&endpoint).map_err(|_| {
        Failure::unusable(
            "the address at which this connector's provider asks for consent is not a URL; obtain the code from the provider",
        )
    })?;
    {
        let mut pairs = url.query_pairs_mut();
        pairs.append_pair("response_type", "code").append_pair("client_id", client).append_pair("redirect_uri", callback);
        if !auth.scopes.is_empty() {
            pairs.append_pair("scope", &auth.scopes.join(" "));
        }
        if let Some(audience) = &auth.audience {
            pairs.append_pair("audience", audience);
        }
        for (name, value) in &auth.extra_parameters {
            pairs.append_pair(name, value);
        }
        pairs.append_pair("state", given("state").unwrap_or(key));
    }
    Ok(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    #[test]
    fn a_consent_begins_at_the_provider() {
        let keap = catalog::built_in("infusionsoftrest").unwrap();
        let url = |query: &str| consent_url("infusionsoftrest", keap, query);
        let shown = url("apiKey=a%26b&apiSecret=hunter2&callbackUrl=https%3A%2F%2Fmycoolapp.com").unwrap();
        assert_eq!(
            shown,
            "https://accounts.infusionsoft.com/app/oauth/authorize?response_type=code&client_id=a%26b\
             &redirect_uri=https%3A%2F%2Fmycoolapp.com&state=infusionsoftrest"
        );
        assert!(url("apiKey=a&callbackUrl=b&state=mine").unwrap().ends_with("&state=mine"));
        assert!(
            matches!(url("apiKey=a"), Err(Failure::Unusable(told)) if told == ["the query parameter callbackUrl is missing"])
        );
        let zendesk = catalog::built_in("zendesk").unwrap();
        for given in
            ["subdomain=acme", "zendesk.subdomain=acme", "siteAddress=acme", "subdomain=https%3A%2F%2Facme.zendesk.com"]
        {
            let shown = consent_url("zendesk", zendesk, &format!("apiKey=a&callbackUrl=b&{given}")).unwrap();
            assert!(shown.starts_with("https://acme.zendesk.com/"), "{given}: {shown}");
        }
        assert!(consent_url("zendesk", zendesk, "apiKey=a&callbackUrl=b&subdomain=https%3A%2F%2Fother.example%2F").is_err());
        let freshdesk = catalog::built_in("freshdeskv2").unwrap();
        assert!(consent_url("freshdeskv2", freshdesk, "apiKey=a&callbackUrl=b").is_err());
    }
}
