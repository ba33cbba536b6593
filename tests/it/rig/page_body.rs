//! The JSON body with which the page of Open Connectors creates an instance: as it is there, and with the names of dates and the interval of
//! the doubles.

use serde_json::{Value, json};

use super::oauth_server::{CLIENT_ID, CLIENT_SECRET};

/// The body, with this name, code and callback.
pub fn of(name: &str, code: &str, callback: &str) -> Value {
    json!({
        "element": {"key": "infusionsoftrest"},
        "providerData": {"code": code},
        "configuration": {
            "oauth.api.key": CLIENT_ID,
            "oauth.api.secret": CLIENT_SECRET,
            "oauth.callback.url": "https://mycoolapp.com",
            "event.notification.enabled": true,
            "event.vendor.type": "polling",
            "event.notification.callback.url": callback,
            // six seconds: the page's fifteen minutes are too long for a test
            "event.poller.refresh_interval": "0.1",
            "event.poller.configuration": {"appointments": {
                "url": "/hubs/crm/appointments",
                "idField": "id",
                "datesConfiguration": {
                    "updatedDateField": "modified",
                    "updatedDateFormat": "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'",
                    "updatedDateTimezone": "GMT",
                    "createdDateField": "created",
                    "createdDateFormat": "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'",
                    "createdDateTimezone": "GMT"
                }
            }}
        },
        "tags": ["Docs"],
        "name": name
    })
}

/// The body as it is on the page.
const VERBATIM: &str = r#"{
"element": {
"key": "infusionsoftrest"
},
"providerData":{
"code": "<AUTHORIZATION_GRANT_CODE>"
},
"configuration": {
"oauth.api.key": "Rand0MAP1-key",
"oauth.api.secret": "fak3AP1-s3Cr3t",
"oauth.callback.url": "https://mycoolapp.com",
"event.notification.enabled": true,
"event.vendor.type": "polling",
"event.notification.callback.url": "https://api.openconnectors.us2.ext.hana.ondemand.com/elements/api-v2/events/",
"event.poller.refresh_interval": "15",
"event.poller.configuration":{
"appointments": {
"url": "/hubs/crm/appointments",
"idField": "id",
"datesConfiguration": {
"updatedDateField": "modification_date",
"updatedDateFormat": "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'",
"updatedDateTimezone": "GMT",
"createdDateField": "creation_date",
"createdDateFormat": "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'",
"createdDateTimezone": "GMT"
}
}
}
},
"tags": [
"Docs"
],
"name": "API Instance with Polling"
}"#;

/// The body of the page, in which nothing is changed but the credentials and the callback.
pub fn verbatim(code: &str, client: (&str, &str), callback: &str) -> String {
    let replaced = [
        ("<AUTHORIZATION_GRANT_CODE>", code),
        ("Rand0MAP1-key", client.0),
        ("fak3AP1-s3Cr3t", client.1),
        ("https://api.openconnectors.us2.ext.hana.ondemand.com/elements/api-v2/events/", callback),
    ];
    replaced.into_iter().fold(VERBATIM.to_owned(), |text, (page, ours)| {
        assert_eq!(text.matches(page).count(), 1, "{page}");
        text.replace(page, ours)
    })
}
